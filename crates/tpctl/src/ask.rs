//! Asking before something is deleted.

use crate::print::printable;
use anyhow::{Result, bail};
use std::io::{self, BufRead, IsTerminal, Write};

/// Shows what will happen and asks, unless `-y` was given. Refuses where there is nobody to ask.
pub fn confirm(yes: bool, what: &str, with: &[String]) -> Result<()> {
    if yes && with.is_empty() {
        return Ok(());
    }
    let mut stderr = io::stderr().lock();
    if !with.is_empty() {
        writeln!(stderr, "what goes with {}:", printable(what)).ok();
        for one in with {
            writeln!(stderr, "  {}", printable(one)).ok();
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
