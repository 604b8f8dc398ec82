//! A real Open vSwitch in dummy mode: no root, no network, its own database and sockets in a directory of its own.
//!
//! The daemons are ended by their own process ids when the fixture is dropped, and by the kernel if the test dies.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Longest time that a daemon may take to start. A loaded machine is slow, a broken one is slower.
const PATIENCE: Duration = Duration::from_secs(60);
/// The schema that openvswitch-switch installs.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A directory that goes when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tuplenet-sim-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An ovsdb-server and an ovs-vswitchd.
pub struct Daemons {
    // In the order in which they end.
    vswitchd: Option<Child>,
    ovsdb: Option<Child>,
    directory: Dir,
}

impl Daemons {
    /// Starts both; no bridges yet.
    pub fn start() -> Daemons {
        let mut daemons = Daemons { vswitchd: None, ovsdb: None, directory: Dir::new() };
        let database = daemons.file("conf.db");
        daemons.run("ovsdb-tool", &["create", &database, SCHEMA]);
        let remote = format!("--remote=punix:{}", daemons.file("db.sock"));
        daemons.ovsdb = Some(daemons.spawn("ovsdb-server", &[&database, &remote]));
        // Not only until the file is there: it is bound before it is listened on.
        wait_for("ovsdb-server", || UnixStream::connect(daemons.path().join("db.sock")).is_ok());
        daemons.vsctl(&["--no-wait", "init"]);
        let server = format!("unix:{}", daemons.file("db.sock"));
        let control = format!("--unixctl={}", daemons.file("ctl"));
        let flags = ["--enable-dummy=system", "--disable-system", "--disable-system-route"];
        let arguments = [&[server.as_str(), control.as_str()][..], &flags[..]].concat();
        daemons.vswitchd = Some(daemons.spawn("ovs-vswitchd", &arguments));
        wait_for("ovs-vswitchd", || UnixStream::connect(daemons.path().join("ctl")).is_ok());
        daemons
    }

    /// Whether ovs-vswitchd runs.
    pub fn is_alive(&mut self) -> bool {
        self.vswitchd.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Where their sockets are.
    pub fn path(&self) -> &Path {
        &self.directory.0
    }

    /// `ovs-vsctl`; waits until ovs-vswitchd has done it.
    pub fn vsctl<S: AsRef<str>>(&self, arguments: &[S]) {
        let db = format!("--db=unix:{}", self.file("db.sock"));
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        self.run("ovs-vsctl", &[&[db.as_str(), "--timeout=50"][..], &arguments].concat());
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).to_string_lossy().into_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, self.path());
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let out = self.command(program).args(arguments).output();
        let out = out.unwrap_or_else(|e| panic!("{program}: {e}: install openvswitch-switch"));
        assert!(out.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        // The kernel ends it with the thread that started it, which is the test's: nothing is left of a test that was killed.
        let mut command = self.command("setpriv");
        command.args(["--pdeathsig", "KILL", program, "--no-chdir", "--pidfile", "-vconsole:off", "-vsyslog:off"]);
        command.arg(format!("--log-file={}", self.file(&format!("{program}.log"))));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|e| panic!("setpriv {program}: {e}"))
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in [&mut self.vswitchd, &mut self.ovsdb].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
