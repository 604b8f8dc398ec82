//! A network namespace: made by `ip netns`, entered by a thread of its own or by `nsenter --net`.
//!
//! `ip netns exec` is not used: it makes a mount namespace and remounts `/sys` for each command.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::{
    command::{self, words},
    registry::{Entry, Registry},
};

/// A network namespace of a lab, by name. It lives until its lab is cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// A namespace of this name, which [`Netns::create`] is to make.
    pub(crate) fn named(name: &str) -> Netns {
        Netns { name: name.to_owned() }
    }

    /// Makes the namespaces of these names, with `lo` up.
    pub(crate) fn create(registry: &Registry, names: &[String]) -> Result<Vec<Netns>> {
        for name in names {
            registry.record(&Entry::Namespace(name.clone()))?;
        }
        let batch: String = names.iter().map(|name| format!("netns add {name}\n")).collect();
        command::run_with_input(&["ip", "-batch", "-"], &batch)?;
        Ok(names.iter().map(|name| Netns { name: name.clone() }).collect())
    }

    /// The name that `ip netns list` shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that keeps it, for `nsenter --net=PATH`.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// The command line that runs `argv` inside.
    pub fn enter<S: AsRef<str>>(&self, argv: &[S]) -> Vec<String> {
        words(&["nsenter", &format!("--net={}", self.path().display()), "--"], argv)
    }

    /// Runs a short command inside and returns its standard output.
    ///
    /// # Errors
    /// As for [`command::run`].
    pub fn run<S: AsRef<str>>(&self, argv: &[S]) -> Result<String> {
        command::run(&self.enter(argv))
    }

    /// Runs a short command inside and returns its output whether it succeeds or not.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn output<S: AsRef<str>>(&self, argv: &[S]) -> Result<Output> {
        command::output(&self.enter(argv), "")
    }

    /// Runs lines of `ip -batch` inside.
    ///
    /// # Errors
    /// The first line that `ip` refuses, with its words.
    pub fn ip(&self, lines: &str) -> Result<()> {
        command::run_with_input(&self.enter(&["ip", "-batch", "-"]), lines)
            .map(|_| ())
            .with_context(|| format!("of the lines\n{lines}"))
    }

    /// Runs a function on a thread that is inside; sockets that it opens stay there, wherever they are used later.
    ///
    /// # Errors
    /// Those of the function; the namespace cannot be entered (it is gone, or we are not root).
    pub fn inside<T: Send>(&self, function: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let thread = || -> Result<T> {
            let file = File::open(self.path()).with_context(|| format!("no network namespace {}", self.name))?;
            setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", self.name))?;
            function()
        };
        let result = std::thread::scope(|scope| scope.spawn(thread).join());
        result.unwrap_or_else(|_| Err(anyhow!("a thread inside {} panicked", self.name)))
    }

    /// Sets a variable of `sysctl` inside, like `net/ipv6/conf/all/forwarding`.
    ///
    /// # Errors
    /// There is no such variable, or it refuses the value.
    pub fn sysctl(&self, variable: &str, value: &str) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that opens it.
        self.inside(|| {
            let path = Path::new("/proc/sys").join(variable);
            std::fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
        })
    }
}
