//! A process that the lab starts and ends: recorded before it runs, its output kept in a file.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    command,
    registry::{Entry, Registry, start_time},
    wait::wait_until,
};

/// How much of the end of a log an error shows, bytes.
const TAIL: u64 = 4000;

/// A running (or ended) process of a lab. Clones are the same process.
#[derive(Clone, Debug)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    pid: i32,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Process {
    /// Starts `argv`; what it writes is appended to `log`.
    ///
    /// It stands in a process group of its own, so that an interrupt typed at the terminal reaches the lab alone, which
    /// then ends it in order.
    pub(crate) fn start(
        registry: &Registry,
        name: &str,
        argv: &[String],
        environment: &[(&str, String)],
        log: &Path,
    ) -> Result<Process> {
        let out = File::options().create(true).append(true).open(log);
        let out = out.with_context(|| format!("cannot write {}", log.display()))?;
        let (program, arguments) = argv.split_first().context("an empty command line")?;
        registry.record(&Entry::Starting(argv.to_vec()))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} as `{}`", command::text(argv)))?;
        let pid = i32::try_from(child.id()).context("a process id beyond 31 bits")?;
        // A child that is not waited for keeps its pid even when it ends at once, so the start time is its own.
        let start = start_time(pid).unwrap_or_default();
        registry.record(&Entry::Process { pid, start, argv: argv.to_vec() })?;
        let inner = Inner { name: name.to_owned(), pid, log: log.to_owned(), child: Mutex::new(child) };
        Ok(Process { inner: Arc::new(inner) })
    }

    /// Its name in messages, like `hv1's agent`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.inner.pid
    }

    /// The file that has all it wrote to standard output and standard error.
    pub fn log(&self) -> &Path {
        &self.inner.log
    }

    /// All it wrote until now.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.inner.log).unwrap_or_default()).into_owned()
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        tail(&self.inner.log)
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.inner.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Not waited for yet, so the pid cannot have passed to another process.
        if let Some(status) = self.ended() {
            bail!("{} has ended already ({status}); its last words:\n{}", self.name(), self.log_tail());
        }
        kill(Pid::from_raw(self.pid()), signal).with_context(|| format!("cannot signal {}", self.name()))
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// It has ended before, or takes longer than ten seconds.
    pub fn term(&self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(Duration::from_secs(10))
    }

    /// Ends it at once (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// It has ended before.
    pub fn kill9(&self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.wait(Duration::from_secs(10))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        wait_until(&format!("{} (pid {}) to end", self.name(), self.pid()), timeout, || {
            self.ended().ok_or_else(|| anyhow!("it runs; its last words:\n{}", self.log_tail()))
        })
    }

    /// Waits until `ready` answers `Ok`; a process that ends meanwhile is an error at once.
    ///
    /// # Errors
    /// It ended, or was not ready in time; with its last words.
    pub fn wait_ready<T>(&self, timeout: Duration, mut ready: impl FnMut() -> Result<T>) -> Result<T> {
        let ended = || self.ended().map(|status| anyhow!("{} ended ({status})", self.name()));
        let result = wait_until(&format!("{} to be ready", self.name()), timeout, || match (ready(), ended()) {
            (Ok(value), _) => Ok(Ok(value)),
            (Err(_), Some(end)) => Ok(Err(end)),
            (Err(error), None) => Err(error),
        });
        result.and_then(|inner| inner).with_context(|| format!("last words of {}:\n{}", self.name(), self.log_tail()))
    }

    /// The memory that it holds now, bytes: `VmRSS` of `proc(5)`.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kilobytes.map(|kb| kb * 1024).with_context(|| format!("{} has ended", self.name()))
    }

    /// Ends it if it runs, whatever it was told before. For cleaning.
    pub(crate) fn end(&self) {
        let mut child = self.inner.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The last lines of a file, at most some thousand bytes; empty when it cannot be read.
pub(crate) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).trim_end().to_owned()
}
