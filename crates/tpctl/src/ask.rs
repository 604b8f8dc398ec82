//! Asking before something is deleted, or something large is made.

use crate::print::printable;
use anyhow::{Result, bail};
use std::io::{self, BufRead, IsTerminal, Write};

/// How many of what goes along are named.
const SHOWN: usize = 40;

/// What is asked about.
struct Question {
    doing: &'static str,
    does: &'static str,
    verb: &'static str,
    done: &'static str,
}

/// Shows what will go and asks, unless `-y` was given. Refuses where there is nobody to ask.
pub fn confirm(yes: bool, what: &str, with: &[String]) -> Result<()> {
    ask(&Question { doing: "deleting", does: "deletes", verb: "delete", done: "deleted" }, yes, what, with)
}

/// The same for what will be made.
pub fn confirm_making(yes: bool, what: &str, with: &[String]) -> Result<()> {
    ask(&Question { doing: "making", does: "adds", verb: "make", done: "made" }, yes, what, with)
}

fn ask(question: &Question, yes: bool, what: &str, with: &[String]) -> Result<()> {
    let Question { doing, does, verb, done } = question;
    if yes && with.is_empty() {
        return Ok(());
    }
    let mut stderr = io::stderr().lock();
    if !with.is_empty() {
        writeln!(stderr, "{doing} {} {does}:", printable(what)).ok();
        for one in with.iter().take(SHOWN) {
            writeln!(stderr, "  {}", printable(one)).ok();
        }
        if let more @ 1.. = with.len().saturating_sub(SHOWN) {
            writeln!(stderr, "  and {more} more").ok();
        }
    }
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        bail!("this would {verb} {what}, and there is no terminal to ask at: use -y");
    }
    let capital = verb.chars().take(1).map(|c| c.to_ascii_uppercase());
    let asked: String = capital.chain(verb.chars().skip(1)).collect();
    write!(stderr, "{asked} {}? [y/N] ", printable(what)).ok();
    stderr.flush().ok();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("not {done}") }
}
