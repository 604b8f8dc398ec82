//! What text is drawn on: how wide it is, and whether it takes colours.

use super::words::Tone;
use crate::print;

/// How wide text is where nobody looks at a terminal.
const WIDTH: usize = 120;
/// Not even the narrowest terminal is taken for narrower.
const NARROWEST: usize = 40;

/// A width in columns, and whether there are colours.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    pub width: usize,
    pub colour: bool,
}

/// Pieces of one line.
#[derive(Default)]
pub struct Row(Vec<(Ink, String)>);

/// How a piece is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Tone(Tone),
    /// Branches of the tree.
    Faint,
    /// Names.
    Strong,
}

impl Paper {
    /// A file.
    pub fn file() -> Self {
        Self { width: WIDTH, colour: false }
    }

    /// Standard output: as wide as the terminal; colours unless there is none, or it takes none, or NO_COLOR says so.
    pub fn stdout() -> Self {
        Self { width: print::width().unwrap_or(WIDTH).max(NARROWEST), colour: print::colours() }
    }

    /// A row as a line, cut to the width.
    pub fn line(self, row: &Row) -> String {
        let mut room = self.width;
        let total: usize = row.0.iter().map(|(_, text)| text.chars().count()).sum();
        let mut line = String::new();
        // The last column is for the mark that something was cut off.
        if total > room {
            room = room.saturating_sub(1);
        }
        for (ink, text) in &row.0 {
            let piece: String = text.chars().take(room).collect();
            room -= piece.chars().count();
            self.paint(*ink, &piece, &mut line);
            if room == 0 {
                break;
            }
        }
        if total > self.width {
            line.push('…');
        }
        let mut line = line.trim_end().to_owned();
        line.push('\n');
        line
    }

    fn paint(self, ink: Ink, piece: &str, line: &mut String) {
        let code = match ink {
            Ink::Tone(Tone::Plain) => "",
            Ink::Tone(Tone::Good) => "32",
            Ink::Tone(Tone::Warn) => "33",
            Ink::Tone(Tone::Bad) => "31",
            Ink::Faint => "2",
            Ink::Strong => "1",
        };
        if code.is_empty() || !self.colour || piece.is_empty() {
            line.push_str(piece);
        } else {
            line.push_str(&format!("\u{1b}[{code}m{piece}\u{1b}[0m"));
        }
    }
}

impl Row {
    /// The same row with one piece more.
    pub fn with(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }
    /// The same row with pieces more, between commas.
    pub fn list(mut self, said: &[(Tone, String)]) -> Self {
        for (number, (tone, text)) in said.iter().enumerate() {
            if number > 0 {
                self.0.push((Ink::Tone(Tone::Plain), ", ".to_owned()));
            }
            self.0.push((Ink::Tone(*tone), text.clone()));
        }
        self
    }
}

impl Row {
    /// Adds the pieces of another row.
    pub fn append(&mut self, other: Row) {
        self.0.extend(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row::default()
            .with(Ink::Faint, "├─ ")
            .with(Ink::Strong, "web")
            .list(&[(Tone::Bad, "red".into()), (Tone::Plain, "12 ports".into())])
    }

    #[test]
    fn colours_are_for_terminals() {
        let paper = Paper { width: 80, colour: false };
        assert_eq!(paper.line(&row()), "├─ webred, 12 ports\n");
        let line = Paper { colour: true, ..paper }.line(&row());
        assert_eq!(line, "\u{1b}[2m├─ \u{1b}[0m\u{1b}[1mweb\u{1b}[0m\u{1b}[31mred\u{1b}[0m, 12 ports\n");
    }

    #[test]
    fn no_line_is_wider_than_the_paper() {
        for width in 1..30 {
            let line = Paper { width, colour: false }.line(&row());
            assert!(line.trim_end_matches('\n').chars().count() <= width, "{width}: {line}");
            assert_eq!(line.contains('…'), width < 19, "{width}: {line}");
        }
    }
}
