//! Drivers: each carries the core's effects to one place outside, and brings what happens there back as events.

mod device;
pub mod http;
mod netlink;
pub mod openflow;
pub mod ovsdb;
pub mod own_stack;
pub mod signals;
pub mod store;
pub mod underlay;
