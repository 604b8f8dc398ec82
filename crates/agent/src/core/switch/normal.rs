//! One form for what a switch may say in several: Open vSwitch reports some actions otherwise than they were sent. Both sides go through here before
//! they are compared.

use std::borrow::Cow;
use tuplenet_openflow::{Action, Instruction};

/// Instructions in one form.
pub fn instructions(given: &[Instruction]) -> Cow<'_, [Instruction]> {
    Cow::Borrowed(given)
}

/// Actions in one form.
pub fn actions(given: &[Action]) -> Cow<'_, [Action]> {
    Cow::Borrowed(given)
}
