//! What the rules make of a packet, against a reference of what switches and routers should do with it that is so small that it is plainly right.
//!
//! Random networks are told to the simulator, which computes every host's tables by the rules and walks packets through them. The
//! reference ([`world`], [`places`], [`ways`], [`walk`]) reads the same objects and knows no tables, no flows and nothing of the rules. Both say
//! which ports get the packet, on which hosts, with which bytes, and how often it crossed the underlay; or where and why it ends.
//!
//! `TUPLENET_SEED` chooses other networks, `TUPLENET_CASES` how many. A case that fails is shrunk, and printed as the list of its objects and its
//! packets in words.

mod by_hand;
mod corners;
mod edges;
mod equals;
mod fate;
#[path = "../generate/mod.rs"]
mod generate;
mod packets;
mod places;
mod power;
mod same;
mod tables;
mod translate;
mod views;
mod walk;
mod ways;
mod words;
mod world;
