//! The rule modules that emit flows: one a feature, each with its stage and its cost per change.

pub mod drop;
pub mod echo;
pub mod ecmp;
pub mod flood;
pub mod l2;
pub mod mtu;
pub mod nat;
pub mod neighbour;
pub mod next_hop;
pub mod outside;
pub mod patch;
pub mod physical;
pub mod pipeline;
pub mod probe;
pub mod redirect;
pub mod route;
pub mod router;
pub mod steer;
pub mod trace;
pub mod tunnel;
pub mod untunnel;
