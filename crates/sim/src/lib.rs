//! A network in memory: the tables that the rules compute for every host, and packets walked through them. No I/O.

pub mod path;
