//! What a TupleNet network means: facts in, flows and groups out.
