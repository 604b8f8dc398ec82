//! Address translation in the simulator: connections from both sides of a router, packet after packet, against a reference that knows what
//! translation is and nothing of tables or of conntrack.

mod bed;
mod by_hand;
#[path = "../bytes/mod.rs"]
mod bytes;
mod packet;
mod random;
mod truth;
