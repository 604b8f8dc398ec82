//! A small incremental Datalog runtime over Z-sets.
