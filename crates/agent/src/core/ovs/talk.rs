//! What the core asks of Open vSwitch's database and of the kernel, and what the kernel answers.

use super::wanted::Families;

/// What a transaction of ours was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To put the bridge right.
    Repair,
    /// To mark interfaces, or to take marks away.
    Mark,
    /// To tell those that watch this host whether they may send here.
    Withdraw,
    /// To write down what a setting of the kernel was, or to strike that out.
    Sysctl,
}

/// What the kernel is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Forward what comes in by that device. `remembered`: what it was is written down.
    Prepare { device: String, families: Families, remembered: bool },
    /// Put back what was written down.
    Restore { device: String, was: String },
}

/// How that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It forwards.
    Ready,
    /// First this is to be written down.
    Remember(String),
    /// It is as it was.
    Restored,
    /// Why not, for people.
    Failed(String),
}
