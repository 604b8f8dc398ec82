//! Short commands: run to their end, bounded in time, with an error that quotes what they said.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// No short command of the lab takes longer than this, seconds; one that does hangs, and is ended.
const LIMIT: u32 = 60;

/// Runs `argv` and returns its standard output.
///
/// # Errors
/// The command cannot be started, takes longer than a minute, or fails: its text and what it wrote to standard error.
pub fn run<S: AsRef<str>>(argv: &[S]) -> Result<String> {
    run_with_input(argv, "")
}

/// Like [`run`], with `input` on the command's standard input (for `ip -batch -`).
///
/// # Errors
/// As for [`run`].
pub fn run_with_input<S: AsRef<str>>(argv: &[S], input: &str) -> Result<String> {
    let output = output(argv, input)?;
    if !output.status.success() {
        let said = [String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout)].concat();
        bail!("`{}` failed ({}): {}", text(argv), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `argv` and returns its output whether it succeeds or not.
///
/// # Errors
/// The command cannot be started.
pub fn output<S: AsRef<str>>(argv: &[S], input: &str) -> Result<Output> {
    // By timeout(1), not by a thread of ours: the bound holds even when this process is killed meanwhile.
    let mut child = Command::new("timeout")
        .args(["-k", "1", &LIMIT.to_string()])
        .args(argv.iter().map(AsRef::as_ref))
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", text(argv)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends before it has read all says why by its exit status, which is checked by the caller.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().with_context(|| format!("cannot run `{}`", text(argv)))
}

/// The command line as a person would type it.
pub fn text<S: AsRef<str>>(argv: &[S]) -> String {
    argv.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Joins the parts of a command line.
pub(crate) fn words(prefix: &[&str], rest: &[impl AsRef<str>]) -> Vec<String> {
    prefix.iter().map(|word| (*word).to_owned()).chain(rest.iter().map(|word| word.as_ref().to_owned())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_quotes_the_command_and_its_words() {
        let error = run(&["sh", "-c", "echo no such bridge >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("no such bridge") && error.contains("sh -c"), "{error}");
        assert_eq!(run_with_input(&["cat"], "a\nb").unwrap(), "a\nb");
    }

    #[test]
    fn text_can_be_pasted_into_a_shell() {
        assert_eq!(text(&["echo", "it's", "$HOME", ""]), r"echo 'it'\''s' '$HOME' ''");
    }
}
