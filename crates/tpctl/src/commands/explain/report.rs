//! What an explanation looks like on paper: a headline, and facts with a label each.

use crate::print::printable;

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
    /// As it is printed.
    pub fn text(&self) -> String {
        let width = self.facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let mut text = printable(&self.headline) + "\n";
        for (label, lines) in &self.facts {
            for (i, line) in lines.iter().enumerate() {
                let label = if i == 0 { label } else { "" };
                text.push_str(&format!("  {label:width$}  {}\n", printable(line)));
            }
        }
        text
    }
}
