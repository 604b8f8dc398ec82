//! A real Open vSwitch in dummy mode: no root, no network, its own database and sockets in a directory of its own.
//!
//! The daemons are ended by their own process ids when the fixture is dropped, and by the kernel if the test dies.
#![allow(dead_code)] // Each test binary uses its part.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tuplenet_openflow::connection::{Config, Event, Switch, Target, connect};
use tuplenet_openflow::message::Features;

/// Longest time that anything in these tests may take. A loaded machine is slow, a broken one is slower.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes when it is dropped.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tuplenet-of-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// ovsdb-server and ovs-vswitchd with one bridge, br0, that has the dummy ports p1 (port 1) and p2 (port 2).
pub struct Ovs {
    ovsdb: Option<Child>,
    vswitchd: Option<Child>,
    dir: Dir,
}

impl Ovs {
    /// Starts both and makes the bridge with the given `protocols` (a set in the syntax of ovs-vsctl).
    pub fn start_with(protocols: &str) -> Ovs {
        let mut ovs = Ovs { ovsdb: None, vswitchd: None, dir: Dir::new() };
        let db = ovs.file("conf.db");
        ovs.run("ovsdb-tool", &["create", &db, "/usr/share/openvswitch/vswitch.ovsschema"]);
        let remote = format!("--remote=punix:{}", ovs.file("db.sock"));
        ovs.ovsdb = Some(ovs.spawn("ovsdb-server", &[&db, &remote]));
        // Not only until the file is there: it is bound before it is listened on, and ovs-vsctl does not try twice.
        wait_for("ovsdb-server", || UnixStream::connect(ovs.dir.path().join("db.sock")).is_ok());
        ovs.vsctl(&["--no-wait", "init"]);
        ovs.start_vswitchd();
        let protocols = format!("protocols={protocols}");
        ovs.vsctl(
            &[
                &["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure", &protocols]
                    [..],
                &["--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy", "ofport_request=1"][..],
                &["--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2"][..],
            ]
            .concat(),
        );
        ovs
    }

    pub fn start() -> Ovs {
        Self::start_with("[OpenFlow10,OpenFlow13,OpenFlow15]")
    }

    pub fn start_vswitchd(&mut self) {
        let db = format!("unix:{}", self.file("db.sock"));
        let flags = ["--enable-dummy=system", "--disable-system", "--disable-system-route"];
        self.vswitchd = Some(self.spawn("ovs-vswitchd", &[&[db.as_str()][..], &flags[..]].concat()));
    }

    /// Kills ovs-vswitchd, as a crash would.
    pub fn kill_vswitchd(&mut self) {
        end(&mut self.vswitchd);
    }

    /// A file in this switch's directory.
    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Where br0 listens.
    pub fn target(&self) -> Target {
        Target::Unix(self.dir.path().join("br0.mgmt"))
    }

    pub fn vsctl(&self, args: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.file("db.sock"));
        self.run("ovs-vsctl", &[&[db.as_str(), "--timeout=20"][..], args].concat())
    }

    pub fn ofctl(&self, args: &[&str]) -> String {
        self.run("ovs-ofctl", &[&["-O", "OpenFlow15"][..], args].concat())
    }

    pub fn appctl(&self, args: &[&str]) -> String {
        self.run("ovs-appctl", args)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, self.dir.path());
        }
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let out = self.command(program).args(args).output();
        let out = out.unwrap_or_else(|e| panic!("{program}: {e}: install openvswitch-switch"));
        assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn spawn(&self, program: &str, args: &[&str]) -> Child {
        // The kernel ends it with the thread that started it, which is the test's: nothing is left of a test that was
        // killed.
        let mut command = self.command("setpriv");
        command.args(["--pdeathsig", "KILL", program, "--no-chdir", "--pidfile", "-vconsole:off", "-vsyslog:off"]);
        command.arg(format!("--log-file={}", self.file(&format!("{program}.log"))));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|e| panic!("setpriv {program}: {e}"))
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        end(&mut self.vswitchd);
        end(&mut self.ovsdb);
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Looks again and again until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same in async code, where a sleeping thread would stop the connection's task too.
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the switch tells a listener.
pub struct Events(pub tokio::sync::mpsc::Receiver<Event>);

impl Events {
    /// The next event, which must come.
    pub async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("an event").expect("the connection's task")
    }

    /// Skips events until the connection is up.
    pub async fn up(&mut self) -> Features {
        loop {
            if let Event::Up(features) = self.next().await {
                return features;
            }
        }
    }

    /// Skips events until the connection is down, and tells why.
    pub async fn down(&mut self) -> String {
        loop {
            if let Event::Down(why) = self.next().await {
                return why;
            }
        }
    }
}

/// Connects and waits until that is done.
pub async fn connected(config: Config) -> (Switch, Events) {
    let (switch, events) = connect(config);
    let mut events = Events(events);
    events.up().await;
    (switch, events)
}
