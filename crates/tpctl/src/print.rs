//! What goes to standard output: tables for people, JSON and YAML for programs.

use crate::cli::Format;
use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::{self, ErrorKind, Write};

/// Columns that not all rows fill. The first column, whatever its name, is always filled.
const OPTIONAL: [&str; 12] = [
    "CHASSIS",
    "ROUTERS",
    "SWITCHES",
    "FLOOD",
    "NAT",
    "LINK TO",
    "PATCH TO",
    "WHERE",
    "SNAT",
    "ROLES",
    "LABELS",
    "DESCRIPTION",
];

/// Something to show: rows for a table, and the whole of it as data.
pub struct View {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    data: Value,
}

impl View {
    /// A list of things of one kind, each as cells (one a column) and as data.
    pub fn list(columns: &[&'static str], things: impl IntoIterator<Item = (Vec<String>, Value)>) -> Self {
        let (rows, data): (_, Vec<Value>) = things.into_iter().unzip();
        Self { columns: columns.to_vec(), rows, data: Value::Array(data) }
    }
    /// One thing: as data it is itself, not a list of one.
    pub fn one(columns: &[&'static str], cells: Vec<String>, data: Value) -> Self {
        Self { columns: columns.to_vec(), rows: vec![cells], data }
    }
    /// The thing if one was asked for, else the list.
    pub fn of(columns: &[&'static str], single: bool, mut things: Vec<(Vec<String>, Value)>) -> Self {
        match things.pop() {
            Some((cells, data)) if single => Self::one(columns, cells, data),
            last => Self::list(columns, things.into_iter().chain(last)),
        }
    }
    /// Prints it. Columns that are empty in all rows are left out of tables; of a table without rows, those that may be.
    pub fn print(self, format: Format) -> Result<()> {
        match format {
            Format::Table => {
                let optional = |i: usize| i > 0 && self.columns.get(i).is_some_and(|name| OPTIONAL.contains(name));
                let used = |i: &usize| match self.rows.is_empty() {
                    true => !optional(*i),
                    false => self.rows.iter().any(|row| row.get(*i).is_some_and(|c| !c.is_empty())),
                };
                let used: Vec<usize> = (0..self.columns.len()).filter(used).collect();
                let mut table = Table::new();
                table.load_style(presets::NOTHING);
                table.set_header(used.iter().filter_map(|i| self.columns.get(*i)));
                for row in &self.rows {
                    table.add_row(used.iter().map(|i| row.get(*i).map(|cell| printable(cell)).unwrap_or_default()));
                }
                for column in table.column_iter_mut() {
                    column.set_padding((0, 2));
                }
                let text = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
                out(&text)
            }
            _ => data(&self.data, format),
        }
    }
}

/// The outcome of a change: a sentence for people, the object for programs.
pub fn done(format: Format, sentence: &str, object: &Value) -> Result<()> {
    match format {
        Format::Table => out(&format!("{}\n", printable(sentence))),
        _ => data(object, format),
    }
}

/// JSON or YAML.
pub fn data(value: &Value, format: Format) -> Result<()> {
    match format {
        Format::Yaml => out(&serde_saphyr::to_string(value).context("cannot write this as YAML")?),
        _ => out(&format!("{}\n", serde_json::to_string_pretty(value)?)),
    }
}

/// Text to standard output; that the reader has gone (`| head`) is no error.
pub fn out(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// How many of something, in words for one and for many.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Text from the store on a terminal: one line, no control characters.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
