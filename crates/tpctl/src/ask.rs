//! Asking before something is deleted.

use crate::print::printable;
use anyhow::{Result, bail};
use std::io::{self, BufRead, IsTerminal, Write};

/// How many of what goes along are named.
const SHOWN: usize = 40;

/// Shows what will happen and asks, unless `-y` was given. Refuses where there is nobody to ask.
pub fn confirm(yes: bool, what: &str, with: &[String]) -> Result<()> {
    if yes && with.is_empty() {
        return Ok(());
    }
    let mut stderr = io::stderr().lock();
    if !with.is_empty() {
        writeln!(stderr, "deleting {} deletes:", printable(what)).ok();
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
        bail!("this would delete {what}, and there is no terminal to ask at: use -y");
    }
    write!(stderr, "Delete {}? [y/N] ", printable(what)).ok();
    stderr.flush().ok();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("not deleted") }
}
