//! OpenFlow 1.5 with the Nicira extensions: codec and connection.
//!
//! The codec is written against Open vSwitch 3.1, whose `ovs-ofctl` is the oracle of its tests.
//!
//! - [`field`]: the registry of match fields.
//! - [`matching`], [`action`], [`instruction`], [`flow`]: what a flow is made of.
//! - [`text`]: the same in the words of `ovs-ofctl`.
//! - [`message`]: what goes over the wire.
//! - [`connection`]: a switch to talk to.

pub mod action;
pub mod connection;
mod error;
pub mod field;
pub mod flow;
pub mod instruction;
pub mod matching;
pub mod message;
mod oxm;
pub mod port;
pub mod text;
mod value;
mod wire;

pub use action::Action;
pub use error::{DecodeError, EncodeError, ParseError, ValueError};
pub use field::Field;
pub use flow::Flow;
pub use instruction::Instruction;
pub use matching::{FieldMatch, Match};
pub use value::Value;
