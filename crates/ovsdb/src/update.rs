//! What a connection tells its user.

use crate::row::Row;
use crate::uuid::Uuid;
use std::sync::Arc;

/// News of a connection, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Connected; transactions are possible. If anything is monitored, exactly one [`Event::Update`] follows at once,
    /// which brings the user's copy up to date (it is empty if nothing changed meanwhile).
    Up,
    /// Not connected, and why, in words for people. The connection is tried again, for ever. Told once per reason, not
    /// per attempt.
    Down(String),
    /// Rows came, changed or went.
    Update(Update),
}

/// A step of the monitored state: apply all rows, then look at the result, since rows refer to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The rows (all `Insert`) are the whole state and replace whatever was known: the first update ever, a database
    /// that has no row in common with the one before, or a user that was so slow that single steps were not kept for
    /// it.
    pub initial: bool,
    /// Rows in the order of the server.
    pub rows: Vec<RowUpdate>,
}

/// What happened to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowUpdate {
    /// Name of the table.
    pub table: Arc<str>,
    /// Name of the row.
    pub uuid: Uuid,
    /// What happened.
    pub change: Change,
}

/// What happened to a row, as far as monitored columns and conditions show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or newly meets the condition. All monitored columns are there, those with default values included.
    Insert(Row),
    /// Only the columns that changed, with their whole new values.
    Modify(Row),
    /// It is gone, or no longer meets the condition.
    Delete,
}
