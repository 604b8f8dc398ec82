//! Drivers: each carries the core's effects to one place outside, and brings what happens there back as events.

pub mod http;
pub mod openflow;
pub mod ovsdb;
pub mod signals;
pub mod store;
pub mod underlay;
