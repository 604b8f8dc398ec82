//! The agent against real Open vSwitch (in dummy mode: no root, no namespaces) and the embedded store, each in a process of its own.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod bridge;
mod claims;
mod cleanup;
mod errors;
mod export;
mod faults;
mod host;
mod network;
mod restart;
mod scale;
mod traces;
