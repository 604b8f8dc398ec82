//! What can exist in a TupleNet network: entities, typed names, addresses, ids, and every rule of validity.
//!
//! This crate does no I/O. The store keeps these objects, the rules derive flows from them, `tpctl` edits them.

pub mod document;
pub mod ecmp;
pub mod edge;
pub mod entity;
pub mod hash;
pub mod id;
pub mod key;
pub mod mac;
pub mod mtu;
pub mod name;
pub mod network;
pub mod object;
pub mod outside;
mod text;
pub mod trace;
