//! Where a TupleNet network is kept: layout, transactions, watch, the embedded store.
