//! Networks that meet a physical one: what must hold whatever else they do.

mod again;
mod by_hand;
#[path = "../generate/mod.rs"]
mod generate;
mod leak;
mod wire;
