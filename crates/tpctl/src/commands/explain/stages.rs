//! What the stages mean to whoever looks at a switch: what comes next, and for stages that end packets, which kinds, why, and what to do.

mod table;

pub use table::ALL;
use tuplenet_openflow::Match;
use tuplenet_rules::{cookie::Rule, stage::Stage};

/// A stage, explained.
pub struct Explained {
    /// The stage.
    pub stage: Stage,
    /// What it is to a packet, in one sentence.
    pub about: &'static str,
    /// Whether no feature uses it yet, so that all packets pass.
    pub idle: bool,
    /// How packets end here; most stages end none.
    pub ends: &'static [End],
}

/// A way for packets to end.
#[derive(Debug)]
pub struct End {
    /// The rule whose flow drops.
    pub rule: Rule,
    /// Whether the flow is an object's own: then its cookie names the object.
    pub owned: bool,
    /// Which of the rule's flows in this stage, by their match.
    pub which: fn(&Match) -> bool,
    /// Which packets.
    pub packets: &'static str,
    /// Why they end.
    pub why: &'static str,
    /// What to look at.
    pub check: &'static str,
}

/// What is said of a stage, by its table.
pub fn of(table: u8) -> Option<&'static Explained> {
    ALL.iter().find(|explained| explained.stage.table == table)
}

/// Where a packet goes that is sent on to a table: the first stage there that may do something.
pub fn next(table: u8) -> Option<&'static Explained> {
    let mut found = of(table)?;
    while let (true, Some(next)) = (found.idle, found.stage.next) {
        found = of(next)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
