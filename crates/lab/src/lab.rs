//! A lab: one directory, one prefix of names, an underlay network and a management network, and the hosts on them.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    net::Ipv4Addr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    Host, Process, command, interrupt,
    lock::locked,
    netns::Netns,
    programs::program,
    registry::{self, Registry},
    wait::wait_until,
};

/// MTU of the underlay, bytes: room for a guest's 1500, and Geneve with our option over IPv4 (62 more) or IPv6 (82).
pub const UNDERLAY_MTU: u32 = 1600;
/// The management network, where stores listen: TEST-NET-1 of RFC 5737, in namespaces of our own.
pub(crate) const MANAGEMENT: [u8; 3] = [192, 0, 2];
/// The underlay network, where tunnels run: TEST-NET-2 of RFC 5737, in namespaces of our own.
pub(crate) const UNDERLAY: [u8; 3] = [198, 51, 100];
/// The last byte of the management network's router, which is the namespace with the stores.
pub(crate) const GATEWAY: u8 = 254;
/// Hosts are numbered 1 to this, and a host's number is the last byte of its addresses; above are the stores'.
const MAX_HOSTS: usize = 200;

/// Hosts on one machine, and what joins them. Dropping it ends and removes all that it made.
#[derive(Debug)]
pub struct Lab {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) directory: PathBuf,
    pub(crate) registry: Registry,
    /// Held (flock) as long as this lab has an owner; its release is what tells a later sweep that the owner is dead.
    lock: File,
    keep: AtomicBool,
    failed: AtomicBool,
    processes: Mutex<Vec<Process>>,
    pub(crate) hosts: Mutex<Vec<Host>>,
    pub(crate) endpoints: Mutex<Option<String>>,
    pub(crate) underlay: Netns,
    pub(crate) management: Netns,
}

impl Lab {
    /// Makes a lab; first removes what labs of ended programs have left behind.
    ///
    /// `name` (letters, digits and `-`, at most 20) stands in the names of its namespaces, with a part that makes them
    /// unique: labs of any names run side by side.
    ///
    /// # Errors
    /// Not root; a program is missing that the lab needs; the system refuses a namespace.
    pub fn new(name: &str) -> Result<Lab> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        ensure!(!name.is_empty() && name.len() <= 20 && name.chars().all(plain), "`{name}` is no name for a lab");
        ensure!(nix::unistd::geteuid().is_root(), "a lab makes network namespaces: run this as root");
        for tool in
            ["ip", "bridge", "nsenter", "ethtool", "ping", "timeout", "ovs-vswitchd", "ovsdb-server", "ovs-vsctl"]
        {
            let found = std::env::var_os("PATH").is_some_and(|path| {
                let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
                std::env::split_paths(&path).chain(extra).any(|directory| directory.join(tool).is_file())
            });
            ensure!(found, "the lab needs `{tool}`, which is not installed: run `make setup`");
        }
        let base = base()?;
        // Held while a directory is made and locked, so that no sweep takes it for one without an owner.
        let base_lock = File::create(base.join("lock")).context("cannot make the lock of the labs")?;
        base_lock.lock().context("cannot lock the labs")?;
        sweep_locked(&base, |_| false);
        let (id, directory) = unique(&base, name)?;
        let lock = File::create(directory.join("lock"))?;
        lock.lock().context("cannot lock the lab")?;
        drop(base_lock);

        let registry = Registry::create(&directory)?;
        interrupt::watch(&directory, registry::clean)?;
        let names = [format!("{id}-underlay"), format!("{id}-mgmt")];
        let made = Netns::create(&registry, &names);
        let (underlay, management) = match made.as_deref() {
            Ok([underlay, management]) => (underlay.clone(), management.clone()),
            _ => {
                interrupt::unwatch(&directory);
                let _ = registry::clean(&directory);
                return Err(made.err().unwrap_or_else(|| anyhow::anyhow!("no namespaces were made")));
            }
        };
        let lab = Lab {
            inner: Arc::new(Inner {
                id,
                directory,
                registry,
                lock,
                keep: AtomicBool::new(false),
                failed: AtomicBool::new(false),
                processes: Mutex::default(),
                hosts: Mutex::default(),
                endpoints: Mutex::default(),
                underlay,
                management,
            }),
        };
        lab.wire()?;
        Ok(lab)
    }

    /// Makes the underlay, a bridge, and the management network, a router with a cable to each host.
    fn wire(&self) -> Result<()> {
        let Inner { underlay, management, .. } = &*self.inner;
        for netns in [underlay, management] {
            netns.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        // No forwarding delay, no multicast snooping: this bridge has no loops, and carries what it gets.
        underlay.ip(&format!(
            "link set lo up\n\
             link add br0 mtu {UNDERLAY_MTU} type bridge forward_delay 0 stp_state 0 mcast_snooping 0\n\
             link set br0 up\n"
        ))?;
        management.ip(&format!("link set lo up\naddress add {}/32 dev lo\n", address(MANAGEMENT, GATEWAY)))?;
        management.sysctl("net/ipv4/ip_forward", "1")
    }

    /// What stands first in the names of its namespaces: the name and a unique part.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where everything of it is: logs, databases, sockets.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Makes a host.
    ///
    /// # Errors
    /// The name is taken or too long, 200 hosts exist, or OVS does not start (with its log).
    pub fn host(&self, name: &str) -> Result<Host> {
        let host = Host::create(&self.inner, name, false)?;
        host.wait_underlay()?;
        Ok(host)
    }

    /// Makes several hosts at once.
    ///
    /// # Errors
    /// As for [`Lab::host`], the first error met.
    pub fn hosts(&self, names: &[&str]) -> Result<Vec<Host>> {
        // Some at a time: each starts two daemons, and a machine has few cores.
        let mut hosts = Vec::new();
        for some in names.chunks(4) {
            let made: Vec<Result<Host>> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    some.iter().map(|name| scope.spawn(|| Host::create(&self.inner, name, false))).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread that makes a host panicked")))
                    .collect()
            });
            for host in made {
                hosts.push(host?);
            }
        }
        hosts.iter().try_for_each(Host::wait_underlay)?;
        Ok(hosts)
    }

    /// Makes a host without a network: OVS in dummy mode (ports of `type=dummy`, frames by `netdev-dummy/receive`).
    ///
    /// Enough for a control plane, cheap, and no guest can be put on it.
    ///
    /// # Errors
    /// As for [`Lab::host`].
    pub fn dummy_host(&self, name: &str) -> Result<Host> {
        Host::create(&self.inner, name, true)
    }

    /// The namespace with the bridge `br0` that joins the hosts' underlay ports, for faults by `nft` or `tc`.
    /// The port of host n is `u<n>`.
    pub fn underlay(&self) -> &Netns {
        &self.inner.underlay
    }

    /// The namespace in which stores run, with a route to each host by `m<n>`.
    pub fn management(&self) -> &Netns {
        &self.inner.management
    }

    /// Where agents and `tpctl` find the store: the value for `--store` and `--endpoints`.
    ///
    /// # Errors
    /// No store was started, and none was named by [`Lab::set_endpoints`].
    pub fn endpoints(&self) -> Result<String> {
        self.inner.endpoints()
    }

    /// Names the store that agents and `tpctl` use from now on.
    pub fn set_endpoints(&self, endpoints: &str) {
        *locked(&self.inner.endpoints) = Some(endpoints.to_owned());
    }

    /// Runs `tpctl` with the lab's store, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It fails: its words.
    pub fn tpctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        command::run(&self.tpctl_command(arguments)?)
    }

    /// Runs `tpctl` with the lab's store, and returns its output whether it succeeds or not.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn tpctl_output<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Output> {
        command::output(&self.tpctl_command(arguments)?, "")
    }

    fn tpctl_command<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Vec<String>> {
        let tpctl = program("tpctl")?;
        let prefix = [tpctl.to_string_lossy().into_owned(), "-e".to_owned(), self.endpoints()?];
        let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
        Ok(self.inner.management.enter(&command::words(&prefix, arguments)))
    }

    /// Like [`wait_until`]; when it fails, the lab's end shows the state of all hosts.
    ///
    /// # Errors
    /// As for [`wait_until`].
    pub fn wait_until<T>(&self, what: &str, timeout: Duration, condition: impl FnMut() -> Result<T>) -> Result<T> {
        wait_until(what, timeout, condition).inspect_err(|_| self.inner.fail())
    }

    /// What happens here has failed: when this is dropped it shows the state of all hosts. Not needed before a panic.
    pub fn fail(&self) {
        self.inner.fail();
    }

    /// What is known of a lab that misbehaves: flows of each host's `br-int`, and the last words of every process.
    pub fn state(&self) -> String {
        let hosts = locked(&self.inner.hosts).clone();
        let flows = hosts.iter().map(|host| format!("== {}\n{}\n", host.name(), host.state()));
        let processes = locked(&self.inner.processes).clone();
        // One that was started again writes on in the same file.
        let replaced = |index: usize, process: &Process| {
            processes.iter().skip(index + 1).any(|later| later.log() == process.log())
        };
        let last = processes.iter().enumerate().filter(|(index, process)| !replaced(*index, process));
        let logs = last.map(|(_, process)| {
            let fate = process.ended().map_or("runs".to_owned(), |status| format!("ended: {status}"));
            format!("== {} ({fate}), last words:\n{}\n", process.name(), process.log_tail())
        });
        flows.chain(logs).collect()
    }

    /// Leaves all of it running when this program ends; [`stop_kept`] ends it.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn keep(&self) -> Result<()> {
        fs::write(self.inner.directory.join("keep"), "")?;
        interrupt::unwatch(&self.inner.directory);
        self.inner.keep.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.inner.keep.load(Ordering::SeqCst) {
            return;
        }
        interrupt::check();
        if std::thread::panicking() || self.inner.failed.load(Ordering::SeqCst) {
            eprintln!("the lab's state at the failure:\n{}", self.state());
            if std::env::var_os("LAB_KEEP").is_some_and(|value| !value.is_empty()) && self.keep().is_ok() {
                eprintln!("LAB_KEEP is set: {} runs on; `tuplenet-lab stop {}` ends it", self.id(), self.id());
                return;
            }
        }
        for process in locked(&self.inner.processes).drain(..) {
            process.end();
        }
        if let Err(error) = registry::clean(&self.inner.directory) {
            eprintln!("the lab {} is not clean; the next lab tries again: {error:#}", self.id());
        }
        // Not before: an interrupt during all this must still find it.
        interrupt::unwatch(&self.inner.directory);
        let _ = self.inner.lock.unlock();
    }
}

impl Inner {
    /// See [`Lab::fail`].
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Starts a process of this lab.
    pub(crate) fn start(
        &self,
        name: &str,
        argv: &[String],
        environment: &[(&str, String)],
        log: &Path,
    ) -> Result<Process> {
        let process = Process::start(&self.registry, name, argv, environment, log)?;
        locked(&self.processes).push(process.clone());
        Ok(process)
    }

    pub(crate) fn endpoints(&self) -> Result<String> {
        locked(&self.endpoints).clone().context("this lab has no store yet: start one by lab.store() or lab.etcd(n)")
    }

    /// The smallest number that no host has.
    pub(crate) fn next_number(hosts: &[Host]) -> Result<u8> {
        let free = (1..=MAX_HOSTS).find(|number| hosts.iter().all(|host| usize::from(host.number()) != *number));
        free.and_then(|number| u8::try_from(number).ok()).context("a lab has at most 200 hosts")
    }
}

/// The address of host `number` on a network.
pub(crate) fn address(network: [u8; 3], number: u8) -> Ipv4Addr {
    let [a, b, c] = network;
    Ipv4Addr::new(a, b, c, number)
}

/// The directory of all labs, which nobody but root may write: what it names is killed and removed by root.
fn base() -> Result<PathBuf> {
    let base = std::env::temp_dir().join("tuplenet-lab");
    if let Err(error) = DirBuilder::new().mode(0o700).create(&base)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("cannot make {}", base.display()));
    }
    let found = fs::symlink_metadata(&base)?;
    let ours = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0;
    ensure!(ours, "{} is not a directory of root alone: remove it, or set TMPDIR to another place", base.display());
    Ok(base)
}

/// Makes a directory `<name>-<four hexadecimal digits>` that did not exist.
fn unique(base: &Path, name: &str) -> Result<(String, PathBuf)> {
    for _ in 0..1000 {
        let mut random = [0; 2];
        std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut random)?;
        let id = format!("{name}-{:04x}", u16::from_be_bytes(random));
        let directory = base.join(&id);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok((id, directory)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", directory.display())),
        }
    }
    bail!("no name is free below {}", base.display())
}

/// Removes every lab whose owner has ended, except those that were to be kept and `also` does not name.
fn sweep_locked(base: &Path, also: impl Fn(&str) -> bool) -> Vec<String> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let (directory, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !directory.is_dir() || (directory.join("keep").exists() && !also(&name)) {
            continue;
        }
        let Ok(lock) = File::create(directory.join("lock")) else { continue };
        match lock.try_lock() {
            Ok(()) => match registry::end(&directory).and_then(|()| registry::remove(&directory)) {
                Ok(()) => removed.push(name),
                Err(error) => eprintln!("cannot remove all of the old lab {name}: {error:#}"),
            },
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => eprintln!("cannot lock the old lab {name}: {error}"),
        }
    }
    removed
}

/// Ends the labs that were kept and whose id starts with `prefix`, and any whose owner has ended; returns their ids.
///
/// # Errors
/// The directory of the labs is not ours.
pub fn stop_kept(prefix: &str) -> Result<Vec<String>> {
    let base = base()?;
    let base_lock = File::create(base.join("lock"))?;
    base_lock.lock()?;
    Ok(sweep_locked(&base, |id| id.starts_with(prefix)))
}
