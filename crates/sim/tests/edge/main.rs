//! Networks that meet a physical one: what must hold whatever else they do.

mod again;
#[path = "../generate/mod.rs"]
mod generate;
mod leak;
mod wire;
