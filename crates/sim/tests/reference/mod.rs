//! What a packet should experience, said so plainly that it is right: functions over the model that call each other. No tables, no flows, no
//! hosts' views; nothing of it is shared with the rules.
#![allow(dead_code)] // for debugging

mod walk;
mod world;

pub use walk::Delivery;
pub use world::{Place, World};
