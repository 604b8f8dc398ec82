//! The monitored part of the database as the server last told it.
//!
//! Needed because the wire tells sets and maps as differences while users want values, and to tell, after a
//! reconnection, what is different from before even when the server does not know.

use crate::config::TableMonitor;
use crate::row::Row;
use crate::schema::{ColumnType, Schema};
use crate::update::{Change, RowUpdate, Update};
use crate::uuid::Uuid;
use crate::wire::{RowUpdate1, RowUpdate2, TableUpdates, Updates};
use std::collections::BTreeMap;
use std::sync::Arc;

type Columns = BTreeMap<Arc<str>, ColumnType>;

/// Tables, their monitored columns, their rows.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    tables: BTreeMap<Arc<str>, Table>,
    /// The last transaction that is in here; zero if the server does not count them.
    pub(crate) last_txn: Uuid,
}

#[derive(Debug, Default)]
struct Table {
    columns: Columns,
    rows: BTreeMap<Uuid, Row>,
}

/// The server told something that cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    #[error("it told a change of row {uuid} of table {table}, which it never told before")]
    UnknownRow { table: Arc<str>, uuid: Uuid },
    #[error("it told a value of another type than its schema says, for column {column} of row {uuid} of table {table}")]
    WrongType { table: Arc<str>, uuid: Uuid, column: Arc<str> },
    #[error("its schema has none of the tables to be watched ({0})")]
    NothingToWatch(String),
}

impl Replica {
    /// Settles what to watch, from what is wanted and what the schema has. What was known is kept if it has the same
    /// columns.
    pub(crate) fn prepare(&mut self, wanted: &[TableMonitor], schema: &Schema) -> Result<(), ReplicaError> {
        let mut tables = BTreeMap::<Arc<str>, Columns>::new();
        for monitor in wanted {
            let Some(table) = schema.tables.get(&monitor.table) else {
                tracing::warn!(
                    table = monitor.table,
                    schema = schema.version,
                    "this OVSDB server has no such table: not watched"
                );
                continue;
            };
            let mut columns = Columns::new();
            for name in &monitor.columns {
                match table.columns.get(name) {
                    Some(column) => drop(columns.insert(name.as_str().into(), column.kind)),
                    None => tracing::warn!(
                        table = monitor.table,
                        column = name,
                        schema = schema.version,
                        "this OVSDB server has no such column: taken as not set"
                    ),
                }
            }
            tables.insert(monitor.table.as_str().into(), columns);
        }
        if tables.is_empty() && !wanted.is_empty() {
            let names: Vec<_> = wanted.iter().map(|monitor| monitor.table.as_str()).collect();
            return Err(ReplicaError::NothingToWatch(names.join(", ")));
        }
        let same = tables.len() == self.tables.len()
            && tables.iter().zip(&self.tables).all(|(new, old)| new.0 == old.0 && *new.1 == old.1.columns);
        if !same {
            let empty = |(name, columns)| (name, Table { columns, rows: BTreeMap::new() });
            self.tables = tables.into_iter().map(empty).collect();
            self.last_txn = Uuid::ZERO;
        }
        Ok(())
    }

    /// The tables and columns to ask for.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.tables.iter().map(|(name, table)| (&**name, table.columns.keys().map(|column| &**column).collect()))
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(|table| table.rows.len()).sum()
    }

    /// Forgets all, so that the next state is told as a new one.
    pub(crate) fn clear(&mut self) {
        self.last_txn = Uuid::ZERO;
        for table in self.tables.values_mut() {
            table.rows.clear();
        }
    }

    /// All that is known.
    pub(crate) fn snapshot(&self) -> Update {
        let rows = self.tables.iter().flat_map(|(name, table)| {
            let insert = |(uuid, row): (&Uuid, &Row)| RowUpdate {
                table: name.clone(),
                uuid: *uuid,
                change: Change::Insert(row.clone()),
            };
            table.rows.iter().map(insert)
        });
        Update { initial: true, rows: rows.collect() }
    }

    /// Follows a change, and tells it in whole values. After an error call [`Replica::clear`]: half of it may be done.
    pub(crate) fn follow(&mut self, updates: Updates) -> Result<Update, ReplicaError> {
        let mut rows = Vec::new();
        match updates {
            Updates::One(updates) => {
                self.each(updates, &mut rows, |table, name, uuid, RowUpdate1 { new }| match new {
                    Some(row) => table.put(name, uuid, row).map(Some),
                    None => Ok(table.rows.remove(&uuid).map(|_| Change::Delete)),
                })?
            }
            Updates::Two(updates) => self.each(updates, &mut rows, |table, name, uuid, update| match update {
                RowUpdate2::Initial(row) | RowUpdate2::Insert(row) => table.put(name, uuid, row).map(Some),
                RowUpdate2::Modify(row) => table.modify(name, uuid, row).map(Some),
                RowUpdate2::Delete(_) => Ok(table.rows.remove(&uuid).map(|_| Change::Delete)),
            })?,
        }
        Ok(Update { initial: false, rows })
    }

    fn each<R>(
        &mut self,
        updates: TableUpdates<R>,
        rows: &mut Vec<RowUpdate>,
        mut apply: impl FnMut(&mut Table, &Arc<str>, Uuid, R) -> Result<Option<Change>, ReplicaError>,
    ) -> Result<(), ReplicaError> {
        for (name, updates) in updates.0 {
            let name: Arc<str> = name.into();
            // Of a table that was not asked for nothing is expected, and nothing is lost by leaving it.
            let Some(table) = self.tables.get_mut(&name) else { continue };
            for (uuid, update) in updates.0 {
                match apply(table, &name, uuid, update)? {
                    None => {}
                    Some(Change::Modify(row)) if row.0.is_empty() => {}
                    Some(change) => rows.push(RowUpdate { table: name.clone(), uuid, change }),
                }
            }
        }
        Ok(())
    }

    /// Takes a whole state in place of the one known, and tells only the difference if it is the same database: rows
    /// have their names for ever and no two databases share one, so one common row is proof.
    pub(crate) fn replace(&mut self, updates: Updates) -> Result<Update, ReplicaError> {
        let empty = |(name, table): (&Arc<str>, &Table)| {
            (name.clone(), Table { columns: table.columns.clone(), rows: BTreeMap::new() })
        };
        let tables = self.tables.iter().map(empty).collect();
        let old = std::mem::replace(&mut self.tables, tables);
        let whole = self.follow(updates)?;
        let common = |(table, before): (&Table, &Table)| before.rows.keys().any(|uuid| table.rows.contains_key(uuid));
        if !self.tables.values().zip(old.values()).any(common) {
            return Ok(Update { initial: true, ..whole });
        }
        let mut rows = Vec::new();
        for ((name, table), before) in self.tables.iter().zip(old.values()) {
            for uuid in before.rows.keys().filter(|uuid| !table.rows.contains_key(uuid)) {
                rows.push(RowUpdate { table: name.clone(), uuid: *uuid, change: Change::Delete });
            }
            for (uuid, row) in &table.rows {
                let change = match before.rows.get(uuid) {
                    None => Change::Insert(row.clone()),
                    Some(before) if before == row => continue,
                    Some(before) => Change::Modify(difference(before, row)),
                };
                rows.push(RowUpdate { table: name.clone(), uuid: *uuid, change });
            }
        }
        Ok(Update { initial: false, rows })
    }
}

/// The columns of `new` that have another value than in `old`.
fn difference(old: &Row, new: &Row) -> Row {
    let changed = new.0.iter().filter(|(column, datum)| old.0.get(*column) != Some(datum));
    Row(changed.map(|(column, datum)| (column.clone(), datum.clone())).collect())
}

impl Table {
    /// A whole row, in which columns of default value may be missing.
    fn put(&mut self, name: &Arc<str>, uuid: Uuid, mut told: Row) -> Result<Change, ReplicaError> {
        let mut row = Row::default();
        // Column names are those of the schema, shared by all rows.
        for (column, kind) in &self.columns {
            let datum = match told.0.remove(column) {
                None => kind.default_datum(),
                Some(datum) => kind.fit(datum).ok_or_else(|| wrong_type(name, uuid, column))?,
            };
            row.0.insert(column.clone(), datum);
        }
        match self.rows.insert(uuid, row.clone()) {
            None => Ok(Change::Insert(row)),
            Some(before) => Ok(Change::Modify(difference(&before, &row))),
        }
    }

    /// Columns of a known row: new values, or differences where the column may have several elements.
    fn modify(&mut self, name: &Arc<str>, uuid: Uuid, told: Row) -> Result<Change, ReplicaError> {
        let Some(row) = self.rows.get_mut(&uuid) else {
            return Err(ReplicaError::UnknownRow { table: name.clone(), uuid });
        };
        let mut changed = Row::default();
        for (column, datum) in told.0 {
            let Some((column, kind)) = self.columns.get_key_value(&column) else { continue };
            let datum = kind.fit(datum).ok_or_else(|| wrong_type(name, uuid, column))?;
            let Some(value) = row.0.get_mut(column) else { continue };
            if kind.changes_by_difference() {
                value.apply_difference(datum);
            } else if *value == datum {
                continue;
            } else {
                *value = datum;
            }
            changed.0.insert(column.clone(), value.clone());
        }
        Ok(Change::Modify(changed))
    }
}

fn wrong_type(table: &Arc<str>, uuid: Uuid, column: &Arc<str>) -> ReplicaError {
    ReplicaError::WrongType { table: table.clone(), uuid, column: column.clone() }
}
