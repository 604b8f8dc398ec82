//! A host: its own ovsdb-server, its own ovs-vswitchd in dummy mode, and an agent.

use super::process::{Dir, Process, output, page, run, wait_for};
use std::path::Path;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

pub struct Host {
    pub dir: Dir,
    pub number: u8,
    ovsdb: Process,
    vswitchd: Process,
}

impl Host {
    /// `number` makes its underlay address, 192.0.2.number.
    pub fn start(name: &str, number: u8) -> Self {
        let dir = Dir::new(name);
        run(&["ovsdb-tool", "create", &path(&dir.file("conf.db")), SCHEMA]);
        let ovsdb = start_ovsdb(&dir);
        let host = Self { vswitchd: start_vswitchd(&dir), ovsdb, number, dir };
        host.vsctl(&["--no-wait", "init"]);
        host.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", &format!("external_ids:system-id={name}")]);
        host
    }

    pub fn target(&self) -> String {
        format!("unix:{}", path(&self.dir.file("db.sock")))
    }

    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let db = format!("--db={}", self.target());
        let argv: Vec<&str> = ["ovs-vsctl", &db, "--timeout=20"].into_iter().chain(arguments.iter().copied()).collect();
        run(&argv)
    }

    /// A column's value, without quotes; empty if there is no such row.
    pub fn get(&self, table: &str, row: &str, column: &str) -> String {
        let value = self.vsctl(&["--if-exists", "get", table, row, column]);
        value.trim().trim_matches('"').to_owned()
    }

    pub fn ofctl(&self, arguments: &[&str]) -> String {
        let mut argv = vec!["ovs-ofctl", "-O", "OpenFlow15", "--timeout=20"];
        let socket = format!("unix:{}", path(&self.dir.file("br-int.mgmt")));
        let (command, rest) = arguments.split_first().unwrap();
        argv.extend([*command, &socket]);
        argv.extend(rest);
        run(&argv)
    }

    /// Flows without what changes by itself, sorted.
    pub fn flows(&self) -> Vec<String> {
        let mut flows: Vec<String> =
            self.ofctl(&["dump-flows", "--no-stats"]).lines().map(|l| l.trim().to_owned()).collect();
        flows.retain(|l| l.contains("actions="));
        flows.sort();
        flows
    }

    /// An interface of a VM.
    pub fn plug(&self, port: &str, iface_id: &str) {
        self.vsctl(&[
            "add-port",
            "br-int",
            port,
            "--",
            "set",
            "Interface",
            port,
            "type=dummy",
            &format!("external_ids:iface-id={iface_id}"),
        ]);
    }

    pub fn set_iface_id(&self, port: &str, iface_id: &str) {
        self.vsctl(&["--no-wait", "set", "Interface", port, &format!("external_ids:iface-id={iface_id}")]);
    }

    pub fn claim_mark(&self, port: &str) -> Option<String> {
        let marks = self.vsctl(&["--if-exists", "get", "Interface", port, "external_ids"]);
        let (_, rest) = marks.split_once("tuplenet-claim=\"")?;
        Some(rest.split('"').next()?.to_owned())
    }

    pub fn restart_vswitchd(&mut self) {
        self.vswitchd.kill();
        self.vswitchd = start_vswitchd(&self.dir);
    }

    pub fn kill_vswitchd(&mut self) {
        self.vswitchd.kill();
    }

    pub fn restart_ovsdb(&mut self) {
        self.ovsdb.kill();
        self.ovsdb = start_ovsdb(&self.dir);
    }

    pub fn agent(&self, store: &str, more: &[&str]) -> Agent {
        Agent::start(self, store, more)
    }
}

fn start_ovsdb(dir: &Dir) -> Process {
    let socket = dir.file("db.sock");
    let _ = std::fs::remove_file(&socket);
    let remote = format!("--remote=punix:{}", path(&socket));
    let argv = ["ovsdb-server", &path(&dir.file("conf.db")), &remote, "--no-chdir", "-vsyslog:off", "-vconsole:warn"]
        .map(str::to_owned);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let process = Process::start(&argv, &[("OVS_RUNDIR", &dir.0)], &dir.file("ovsdb.log"));
    wait_for("the database's socket", || socket.exists().then_some(()));
    process
}

fn start_vswitchd(dir: &Dir) -> Process {
    let target = format!("unix:{}", path(&dir.file("db.sock")));
    let argv = [
        "ovs-vswitchd",
        &target,
        "--enable-dummy=system",
        "--disable-system",
        "--disable-system-route",
        "--no-chdir",
        "-vsyslog:off",
        "-vconsole:warn",
    ];
    Process::start(&argv, &[("OVS_RUNDIR", &dir.0)], &dir.file("vswitchd.log"))
}

pub fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub struct Agent {
    pub process: Process,
}

impl Agent {
    fn start(host: &Host, store: &str, more: &[&str]) -> Self {
        let ip = format!("192.0.2.{}", host.number);
        let target = host.target();
        let mut argv = vec![env!("CARGO_BIN_EXE_tuplenet"), "agent", "--ovsdb", &target, "--encap-ip", &ip];
        argv.extend(["--datapath-type", "dummy", "--metrics", "0", "--log", "info"]);
        if !store.is_empty() {
            argv.extend(["--store", store]);
        }
        argv.extend(more);
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let log = format!("agent-{}.log", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Self { process: Process::start(&argv, &[], &host.dir.file(&log)) }
    }

    /// The page of metrics, when it is served.
    pub fn metrics(&self) -> Option<String> {
        let log = self.process.log();
        let address = log.split("http://").nth(1)?.split('/').next()?;
        page(address, "/metrics")
    }

    pub fn metric(&self, name: &str) -> Option<u64> {
        let page = self.metrics()?;
        let line = page.lines().find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until it has the whole network in the switch.
    pub fn settle(&self) {
        wait_for("the agent to settle", || (self.metric("tuplenet_switch_settled") == Some(1)).then_some(()));
    }

    /// Waits until a metric has that value.
    pub fn wait_metric(&self, name: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        wait_for(name, || self.metric(name).filter(|v| wanted(*v)))
    }

    pub fn says(&self, text: &str) {
        wait_for(&format!("the agent to say \"{text}\""), || self.process.log().contains(text).then_some(()));
    }
}

/// Runs `tuplenet` to its end: exit code and what it said.
pub fn tuplenet(arguments: &[&str]) -> (Option<i32>, String) {
    let argv: Vec<&str> = [env!("CARGO_BIN_EXE_tuplenet")].into_iter().chain(arguments.iter().copied()).collect();
    let output = output(&argv);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
