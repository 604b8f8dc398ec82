//! Ctrl-C and TERM: the labs of this program are removed before it ends.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::lock::locked;

/// Directories of labs, each with what removes it.
static LABS: Mutex<Vec<(PathBuf, Clean)>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static STARTED: OnceLock<Result<(), String>> = OnceLock::new();

/// Removes the lab in a directory.
type Clean = fn(&Path) -> Result<()>;

/// Adds a lab's directory to those that are cleaned at an interrupt, in this way.
pub(crate) fn watch(directory: &Path, clean: Clean) -> Result<()> {
    locked(&LABS).push((directory.to_owned(), clean));
    let started = STARTED.get_or_init(|| {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| error.to_string())?;
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                end(signal);
            }
        });
        Ok(())
    });
    started.clone().map_err(anyhow::Error::msg).context("cannot catch signals")
}

/// The lab is cleaned already, or is to be kept.
pub(crate) fn unwatch(directory: &Path) {
    locked(&LABS).retain(|(watched, _)| watched != directory);
}

/// Once the labs are being removed, nothing more is made, and no error of that is told: the caller waits for the end.
pub(crate) fn check() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn end(signal: i32) {
    INTERRUPTED.store(true, Ordering::SeqCst);
    // What was recorded just now may be in the making; the commands that make it take some milliseconds.
    std::thread::sleep(Duration::from_millis(300));
    let labs = locked(&LABS).clone();
    for (directory, clean) in labs {
        if let Err(error) = clean(&directory) {
            eprintln!("{} is not clean; the next lab tries again: {error:#}", directory.display());
        }
    }
    // As a shell reports a program that a signal ended.
    std::process::exit(128 + signal);
}
