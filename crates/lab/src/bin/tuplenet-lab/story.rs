//! How the demo speaks: numbered steps, words, and commands as a person would type them.

use std::io::{IsTerminal, Write};

/// The story so far.
pub struct Story {
    step: u32,
    colour: bool,
}

impl Story {
    /// Colours only on a terminal, and not when <https://no-color.org> says no.
    pub fn new() -> Story {
        let colour =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Story { step: 0, colour }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn out(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: the demo goes on to its clean end all the same.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A heading, numbered.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        self.out(&format!("\n{}", self.paint("1", &format!("{}. {title}", self.step))));
    }

    /// Words.
    pub fn say(&self, words: &str) {
        for line in words.lines() {
            self.out(&format!("   {line}"));
        }
    }

    /// A command that is run now.
    pub fn command(&self, text: &str) {
        self.out(&format!("   {}", self.paint("36", &format!("$ {text}"))));
    }

    /// What a command has printed.
    pub fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            self.out(&format!("     {line}"));
        }
    }

    /// A result: good or bad.
    pub fn result(&self, good: bool, text: &str) {
        let mark = if good { self.paint("32", "ok  ") } else { self.paint("31", "FAIL") };
        self.out(&format!("   {mark} {text}"));
    }
}
