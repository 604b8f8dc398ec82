//! The words of `ovs-ofctl`: printing, and parsing.

mod print;
