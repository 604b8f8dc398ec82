//! Operations of a transaction (RFC 7047 section 5.2), and their results.

use crate::row::Row;
use crate::uuid::Uuid;
use crate::value::{Condition, Function, Mutator, Value};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// What an operation is, and which rows it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Insert,
    Select,
    Update,
    Mutate,
    Delete,
    Wait,
    Commit,
    Abort,
    Comment,
    Assert,
}

/// One operation of a transaction. The first call says what it is, the others add to it:
///
/// ```
/// use tuplenet_ovsdb::{Function, Mutator, Operation, Value};
/// let operations = vec![
///     Operation::insert("Bridge").named("br").column("name", "br-int").column("fail_mode", "secure"),
///     Operation::mutate("Open_vSwitch").all().mutation("bridges", Mutator::Insert, Value::named("br")),
///     Operation::delete("Port").filter("name", Function::Equal, "old"),
/// ];
/// # assert_eq!(operations.len(), 3);
/// ```
///
/// An operation on existing rows must say which, by [`Operation::filter`] or [`Operation::all`]: the protocol takes no
/// condition for "all rows", and to forget one is too easy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Operation {
    op: Op,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    condition: Option<Vec<Condition>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "object")]
    row: Option<Vec<(String, Value)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mutations: Vec<(String, Mutator, Value)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Function>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<String>,
}

fn object<S: Serializer>(row: &Option<Vec<(String, Value)>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(row.iter().flatten().map(|(column, value)| (column, value)))
}

impl Operation {
    fn new(op: Op) -> Self {
        Self {
            op,
            table: None,
            condition: None,
            row: None,
            uuid_name: None,
            columns: None,
            mutations: Vec::new(),
            timeout: None,
            until: None,
            rows: None,
            durable: None,
            comment: None,
            lock: None,
        }
    }

    fn on(op: Op, table: &str) -> Self {
        Self { table: Some(table.into()), ..Self::new(op) }
    }

    /// A new row (section 5.2.1); columns not given have their default values. A row that nothing refers to vanishes at
    /// commit, except in root tables: of a switch's database that is `Open_vSwitch` only.
    pub fn insert(table: &str) -> Self {
        Self { row: Some(Vec::new()), ..Self::on(Op::Insert, table) }
    }

    /// Reads rows (5.2.2); all columns unless [`Operation::columns`] says which.
    pub fn select(table: &str) -> Self {
        Self::on(Op::Select, table)
    }

    /// Writes columns of existing rows (5.2.3).
    pub fn update(table: &str) -> Self {
        Self { row: Some(Vec::new()), ..Self::on(Op::Update, table) }
    }

    /// Changes columns of existing rows by their present values (5.2.4).
    pub fn mutate(table: &str) -> Self {
        Self::on(Op::Mutate, table)
    }

    /// Deletes rows (5.2.5).
    pub fn delete(table: &str) -> Self {
        Self::on(Op::Delete, table)
    }

    /// Waits until the chosen rows, in the chosen columns, are (`Equal`) or are not (`NotEqual`) exactly `rows`
    /// (5.2.6). With a timeout of zero it asserts that they are now. Without [`Operation::timeout`] it waits as long as
    /// the connection lives.
    pub fn wait(table: &str, until: Function, rows: Vec<Vec<(&str, Value)>>) -> Self {
        let object =
            |row: Vec<(&str, Value)>| row.into_iter().map(|(column, value)| (column.to_owned(), value.0)).collect();
        let columns = rows.first().map(|row| row.iter().map(|(column, _)| (*column).to_owned()).collect());
        let rows = rows.into_iter().map(|row| serde_json::Value::Object(object(row))).collect();
        Self { until: Some(until), rows: Some(rows), columns, ..Self::on(Op::Wait, table) }
    }

    /// The transaction is answered only once it is on disk, if `durable` (5.2.7).
    pub fn commit(durable: bool) -> Self {
        Self { durable: Some(durable), ..Self::new(Op::Commit) }
    }

    /// Makes the transaction fail; to try what comes before it (5.2.8).
    pub fn abort() -> Self {
        Self::new(Op::Abort)
    }

    /// A note in the server's log of the database (5.2.9): say who and why, `ovsdb-tool show-log` shows it.
    pub fn comment(text: &str) -> Self {
        Self { comment: Some(text.into()), ..Self::new(Op::Comment) }
    }

    /// Fails unless this connection holds the lock (5.2.10).
    pub fn assert(lock: &str) -> Self {
        Self { lock: Some(lock.into()), ..Self::new(Op::Assert) }
    }

    /// A name for the inserted row within the transaction, for [`Value::named`]: a letter or `_`, then letters, digits
    /// and `_`.
    pub fn named(mut self, name: &str) -> Self {
        self.uuid_name = Some(name.into());
        self
    }

    /// The value of a column, for `insert` and `update`.
    pub fn column(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.row.get_or_insert_default().push((column.into(), value.into()));
        self
    }

    /// A change of a column, for `mutate`; they happen in order.
    pub fn mutation(mut self, column: &str, mutator: Mutator, value: impl Into<Value>) -> Self {
        self.mutations.push((column.into(), mutator, value.into()));
        self
    }

    /// Chooses rows; of several filters all must hold.
    pub fn filter(mut self, column: &str, function: Function, value: impl Into<Value>) -> Self {
        self.condition.get_or_insert_default().push(Condition::new(column, function, value));
        self
    }

    /// Chooses the row of this name.
    pub fn row(self, uuid: Uuid) -> Self {
        self.filter("_uuid", Function::Equal, uuid)
    }

    /// Chooses all rows of the table.
    pub fn all(mut self) -> Self {
        self.condition.get_or_insert_default();
        self
    }

    /// Which columns, for `select` and `wait`.
    pub fn columns<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// How long to `wait`, in whole milliseconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// What it is, for messages: `insert into Bridge`.
    pub(crate) fn describe(&self) -> String {
        let table = self.table.as_deref().unwrap_or_default();
        match self.op {
            Op::Insert => format!("insert into {table}"),
            Op::Select => format!("select from {table}"),
            Op::Update => format!("update of {table}"),
            Op::Mutate => format!("mutate of {table}"),
            Op::Delete => format!("delete from {table}"),
            Op::Wait => format!("wait for {table}"),
            Op::Commit => "commit".into(),
            Op::Abort => "abort".into(),
            Op::Comment => "comment".into(),
            Op::Assert => format!("assert of lock {}", self.lock.as_deref().unwrap_or_default()),
        }
    }

    /// Why it must not be sent, if so.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let chooses = matches!(self.op, Op::Select | Op::Update | Op::Mutate | Op::Delete | Op::Wait);
        if chooses && self.condition.is_none() {
            Some("it does not say which rows: use filter(), row() or all()")
        } else if self.op == Op::Mutate && self.mutations.is_empty() {
            Some("it changes nothing: use mutation()")
        } else {
            None
        }
    }
}

/// What an operation gave (RFC 7047 section 5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpResult {
    pub(crate) uuid: Option<Uuid>,
    pub(crate) count: Option<u64>,
    pub(crate) rows: Vec<Row>,
}

impl OpResult {
    /// Of `insert`: the name of the new row.
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// Of `update`, `mutate` and `delete`: how many rows met the condition.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// Of `select`: the rows. A column of one value and a set of one look alike.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(operation: Operation, json: serde_json::Value) {
        assert_eq!(serde_json::to_value(operation).unwrap(), json);
    }

    #[test]
    fn wire_forms() {
        check(
            Operation::insert("Bridge").named("b").column("name", "x").column("ports", Value::set([Value::named("p")])),
            json!({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "x", "ports": ["set", [["named-uuid", "p"]]]}}),
        );
        check(
            Operation::select("Port").row(Uuid(1)).columns(["name"]),
            json!({"op": "select", "table": "Port", "where": [["_uuid", "==", ["uuid", "00000000-0000-0000-0000-000000000001"]]], "columns": ["name"]}),
        );
        check(
            Operation::mutate("Bridge").all().mutation("external_ids", Mutator::Insert, Value::map([("a", "b")])),
            json!({"op": "mutate", "table": "Bridge", "where": [], "mutations": [["external_ids", "insert", ["map", [["a", "b"]]]]]}),
        );
        check(
            Operation::wait("Bridge", Function::NotEqual, vec![vec![("name", "x".into())]])
                .all()
                .timeout(Duration::from_millis(5)),
            json!({"op": "wait", "table": "Bridge", "where": [], "columns": ["name"], "until": "!=", "rows": [{"name": "x"}], "timeout": 5}),
        );
        check(Operation::abort(), json!({"op": "abort"}));
        check(Operation::commit(true), json!({"op": "commit", "durable": true}));
        check(Operation::assert("l"), json!({"op": "assert", "lock": "l"}));
    }

    #[test]
    fn rows_must_be_chosen() {
        assert!(Operation::delete("Bridge").fault().is_some());
        assert!(Operation::delete("Bridge").all().fault().is_none());
        assert!(Operation::mutate("Bridge").all().fault().is_some());
        assert!(Operation::insert("Bridge").fault().is_none());
    }
}
