//! What goes to standard output: tables for people, JSON and YAML for programs.

use crate::cli::Format;
use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    time::Duration,
};

/// Columns that not all rows fill. The first column, whatever its name, is always filled.
const OPTIONAL: [&str; 15] = [
    "CHASSIS",
    "ROUTERS",
    "SWITCHES",
    "FLOOD",
    "MTU",
    "NAT",
    "ECMP HASH",
    "BFD",
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

/// A line to standard error, for people.
pub fn tell(text: &str) {
    aside(&format!("tpctl: {}\n", printable(text)));
}

/// Text to standard error; that nobody reads it is no error.
pub fn aside(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

/// A bar on standard error, if somebody looks, for work of so many steps.
pub fn progress(steps: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {eta}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// How wide the terminal is that standard output goes to, in columns; `None`: it goes to none.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Whether standard output takes colours: a terminal that can, unless NO_COLOR and the like forbid it (<https://no-color.org>).
pub fn colours() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Breaks text at spaces into lines of so many characters; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How many of something, in words for one and for many.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Text from the store on a terminal: one line, no control characters, nothing that turns the order of the text around it (Unicode's explicit
/// directional formatting, UAX #9 section 2).
pub fn printable(text: &str) -> String {
    let safe = |c: char| !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if safe(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_a_terminal_is_not_printed() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{9b}d"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
        assert_eq!(printable("a\u{202e}b\u{2067}c\u{2028}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(printable("Zürich, שלום, 東京 ✗"), "Zürich, שלום, 東京 ✗");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap("one two  three", 8), ["one two ", "three"]);
        assert_eq!(wrap("a longword b", 4), ["a", "longword", "b"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
