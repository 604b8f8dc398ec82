//! What a lab has made, on disk, so that whoever comes later can remove exactly that and nothing else.
//!
//! Each lab has a directory with a file `registry`, one JSON object a line, appended *before* the thing is made (a
//! process: its command line) and after (its pid and start time). A process is ours when its pid, its start time and
//! its command line agree: pids wrap, and are reused. A process of which only the intention was recorded, because its
//! maker was killed at that moment, is ours when its command line agrees and contains the directory's unique name.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{command, interrupt, wait::wait_until};

/// One thing that a lab has made, or is about to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A network namespace, by its name below `/run/netns`.
    Namespace(String),
    /// A process is about to be started with this command line.
    Starting(Vec<String>),
    /// A process runs.
    Process {
        /// Its process id.
        pid: i32,
        /// Its start time, in clock ticks since the machine started (`proc(5)`, `/proc/pid/stat` field 22).
        start: u64,
        /// Its command line as it was started.
        argv: Vec<String>,
    },
}

/// The open registry of a lab that lives.
#[derive(Debug)]
pub struct Registry {
    file: Mutex<File>,
}

impl Registry {
    /// Makes the registry of a new lab in `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Registry> {
        let path = path(directory);
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        Ok(Registry { file: Mutex::new(file.with_context(|| format!("cannot make {}", path.display()))?) })
    }

    /// Appends an entry in one write.
    pub(crate) fn record(&self, entry: &Entry) -> Result<()> {
        interrupt::check();
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).context("cannot write the lab's registry")
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("registry")
}

/// Reads the registry of the lab in `directory`; a line cut off by the death of its writer is passed over.
pub(crate) fn read(directory: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(path(directory)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Ends the processes and removes the namespaces that the registry of `directory` names and that are still what it
/// says, then removes the directory.
///
/// # Errors
/// What could not be ended or removed; the directory then stays, so that the next sweep tries again.
pub(crate) fn clean(directory: &Path) -> Result<()> {
    end(directory)?;
    // Not while another program sweeps: it would make a lock in a directory that is being removed.
    let lock = directory.parent().map(|base| File::create(base.join("lock"))).transpose()?;
    lock.as_ref().map(File::lock).transpose().context("cannot lock the labs")?;
    remove(directory)
}

/// Removes the directory of a lab of which nothing lives; the caller holds the lock of all labs.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        // An interrupt and the lab's own end may meet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {}", directory.display())),
    }
}

/// Ends and removes what the registry of `directory` names, but leaves the directory.
pub(crate) fn end(directory: &Path) -> Result<()> {
    let entries = read(directory);
    let alive = || -> Vec<i32> { our_processes(directory, &entries) };
    for pid in alive() {
        // It may have ended meanwhile, which is what we want.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let mut wrong = wait_until("the lab's processes to end", Duration::from_secs(5), || match alive() {
        left if left.is_empty() => Ok(()),
        left => Err(anyhow::anyhow!("still alive: {left:?}")),
    });
    let standing = || -> Vec<&String> {
        let names = entries.iter().filter_map(|entry| match entry {
            Entry::Namespace(name) if Path::new("/run/netns").join(name).exists() => Some(name),
            _ => None,
        });
        names.collect()
    };
    let batch: String = standing().into_iter().map(|name| format!("netns del {name}\n")).collect();
    if !batch.is_empty() {
        // -force: one that does not go must not keep the others.
        let removed = command::run_with_input(&["ip", "-force", "-batch", "-"], &batch);
        if !standing().is_empty() {
            wrong = removed.and(Err(anyhow::anyhow!("namespaces that do not go: {:?}", standing())));
        }
    }
    wrong
}

/// The pids of `entries` that run and are still the processes that were recorded.
pub(crate) fn our_processes(directory: &Path, entries: &[Entry]) -> Vec<i32> {
    let unique = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut pids = Vec::new();
    let mut unborn = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Process { pid, start, argv } => {
                if is_alive(*pid, *start) && command_line(*pid).is_some_and(|now| is_same_command(argv, &now)) {
                    pids.push(*pid);
                }
            }
            Entry::Starting(argv) => {
                let started = |later: &Entry| matches!(later, Entry::Process { argv: theirs, .. } if theirs == argv);
                let mentions_us = !unique.is_empty() && argv.iter().any(|word| word.contains(unique));
                if mentions_us && !entries.iter().skip(index).any(started) {
                    unborn.push(argv);
                }
            }
            Entry::Namespace(_) => {}
        }
    }
    if !unborn.is_empty() {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let running = all.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
        pids.extend(
            running.filter(|pid| {
                command_line(*pid).is_some_and(|now| unborn.iter().any(|argv| is_same_command(argv, &now)))
            }),
        );
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Whether `now` is the command line `started`, which may have been started by `nsenter ... -- COMMAND` and by `nice -n PRIORITY COMMAND`, which
/// become their command.
fn is_same_command(started: &[String], now: &[String]) -> bool {
    let mut started = started;
    while now != started {
        let words = match started.first().map(String::as_str) {
            Some("nsenter") => started.iter().position(|word| word == "--").map(|at| at + 1),
            Some("nice") => Some(3),
            _ => None,
        };
        let Some(command) = words.and_then(|words| started.get(words..)) else { return false };
        started = command;
    }
    true
}

/// The command line of a process; `None` when it is gone or a zombie.
fn command_line(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<String> = text.strip_suffix('\0')?.split('\0').map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

/// The start time of a process; `None` when it is gone.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold blanks and brackets itself.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn is_alive(pid: i32, start: u64) -> bool {
    start_time(pid) == Some(start)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sleeper(mark: &str) -> (std::process::Child, Vec<String>) {
        let argv = ["sh", "-c", "read wait", mark].map(str::to_owned).to_vec();
        let child = Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::piped()).spawn().unwrap();
        // Until the child has become `sh`, it still bears our own command line.
        wait_until("exec", Duration::from_secs(5), || {
            let now = command_line(child.id() as i32);
            if now.as_deref() == Some(&argv[..]) { Ok(()) } else { Err(anyhow::anyhow!("{now:?}")) }
        })
        .unwrap();
        (child, argv)
    }

    #[test]
    fn only_what_is_recorded_and_still_matches_is_ours() {
        let directory = Path::new("/nowhere/unit-3141");
        let (mut child, argv) = sleeper("unit-3141");
        let pid = child.id() as i32;
        let start = start_time(pid).unwrap();
        let ours = |entry: Entry| our_processes(directory, &[entry]);

        assert_eq!(ours(Entry::Process { pid, start, argv: argv.clone() }), [pid]);
        assert!(ours(Entry::Process { pid, start: start + 1, argv: argv.clone() }).is_empty(), "another start time");
        let other = vec!["sh".to_owned(), "else".to_owned()];
        assert!(ours(Entry::Process { pid, start, argv: other }).is_empty(), "another command");
        assert_eq!(ours(Entry::Starting(argv.clone())), [pid], "killed between start and record");
        assert!(our_processes(Path::new("/nowhere/other-2718"), &[Entry::Starting(argv.clone())]).is_empty());

        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ours(Entry::Process { pid, start, argv }).is_empty(), "gone");
    }

    #[test]
    fn a_command_that_others_became_is_recognized() {
        let started = ["nsenter", "--net=/run/netns/x", "--", "nice", "-n", "-10", "etcd", "--name", "a"];
        let started = started.map(str::to_owned);
        let etcd = ["etcd", "--name", "a"].map(str::to_owned);
        assert!(is_same_command(&started, &started));
        assert!(is_same_command(&started, &started[3..]));
        assert!(is_same_command(&started, &etcd));
        assert!(!is_same_command(&started, &started[4..]));
        assert!(!is_same_command(&started, &etcd[1..]));
    }

    #[test]
    fn a_torn_last_line_is_passed_over() {
        let directory = std::env::temp_dir().join(format!("tuplenet-registry-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let registry = Registry::create(&directory).unwrap();
        registry.record(&Entry::Namespace("a".into())).unwrap();
        fs::write(path(&directory), [fs::read(path(&directory)).unwrap(), b"{\"names".to_vec()].concat()).unwrap();
        assert_eq!(read(&directory), [Entry::Namespace("a".into())]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
