//! What an explanation looks like on paper: a headline, and facts with a label each.

use crate::print::{self, printable};

/// Words are not broken for less room than this.
const NARROWEST: usize = 30;

/// An explanation for people.
#[derive(Debug, Default)]
pub struct Report {
    headline: String,
    facts: Vec<(&'static str, Vec<String>)>,
}

impl Report {
    /// One that has a headline only.
    pub fn new(headline: impl Into<String>) -> Self {
        Self { headline: headline.into(), facts: Vec::new() }
    }
    /// Adds a fact of one line.
    pub fn fact(&mut self, label: &'static str, text: impl Into<String>) {
        self.facts.push((label, vec![text.into()]));
    }
    /// Adds a fact of several lines, unless there are none.
    pub fn facts(&mut self, label: &'static str, lines: impl IntoIterator<Item = String>) {
        let lines: Vec<String> = lines.into_iter().collect();
        if !lines.is_empty() {
            self.facts.push((label, lines));
        }
    }
    /// As it is printed: long lines are broken for a terminal, and stay whole for programs.
    pub fn text(&self) -> String {
        self.wrapped(print::width())
    }

    fn wrapped(&self, columns: Option<usize>) -> String {
        let width = self.facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(width + 4).max(NARROWEST));
        let mut text = printable(&self.headline) + "\n";
        for (label, lines) in &self.facts {
            for (i, line) in lines.iter().flat_map(|line| print::wrap(&printable(line), room)).enumerate() {
                let label = if i == 0 { label } else { "" };
                text.push_str(&format!("  {label:width$}  {line}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_for_a_terminal_only() {
        let mut report = Report::new("flow");
        report.fact("why", "one two three four five six seven");
        report.facts("matches", ["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            report.wrapped(None),
            "flow\n  why      one two three four five six seven\n  matches  a\n           b\n"
        );
        let narrow = "flow\n  why      one two three four five six\n           seven\n  matches  a\n           b\n";
        assert_eq!(report.wrapped(Some(41)), narrow);
    }
}
