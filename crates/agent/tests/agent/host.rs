//! A host: its own ovsdb-server, its own ovs-vswitchd in dummy mode, and an agent.

use super::network::Store;
use std::{
    io::{Read, Write},
    net::TcpStream,
};
use tuplenet_fixture::{Dir, Ovs, Process, output, text, wait_for, wait_some};

pub struct Host {
    ovs: Ovs,
    pub number: u8,
}

impl Host {
    /// `number` makes its underlay address, 192.0.2.number.
    pub fn start(name: &str, number: u8) -> Self {
        let ovs = Ovs::start(name);
        ovs.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", &format!("external_ids:system-id={name}")]);
        Self { ovs, number }
    }

    /// For files of the test's own, too.
    pub fn dir(&self) -> &Dir {
        self.ovs.dir()
    }

    pub fn target(&self) -> String {
        self.ovs.database()
    }

    pub fn vsctl(&self, arguments: &[&str]) -> String {
        self.ovs.vsctl(arguments)
    }

    /// A column's value, without quotes; empty if there is no such row.
    pub fn get(&self, table: &str, row: &str, column: &str) -> String {
        let value = self.vsctl(&["--if-exists", "get", table, row, column]);
        value.trim().trim_matches('"').to_owned()
    }

    /// `ovs-ofctl` with a command for br-int.
    pub fn ofctl(&self, arguments: &[&str]) -> String {
        let (command, rest) = arguments.split_first().unwrap();
        self.ovs.ofctl(&[&[command, text(&self.ovs.bridge("br-int")).as_str()], rest].concat())
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
        self.ovs.start_vswitchd();
    }

    pub fn kill_vswitchd(&mut self) {
        self.ovs.kill_vswitchd();
    }

    pub fn restart_ovsdb(&mut self) {
        self.ovs.restart_ovsdb();
    }

    pub fn agent(&self, store: &str, more: &[&str]) -> Agent {
        Agent::start(self, store, more)
    }
}

/// A store that has a switch with so many ports, and the host hv1 with an agent that has settled.
pub fn running(ports: u8) -> (Store, Host, Agent) {
    let (store, host) = (Store::start(), Host::start("hv1", 1));
    store.switch_with_ports(ports);
    let agent = host.agent(&store.url, &[]);
    agent.settle();
    (store, host, agent)
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
        Self { process: Process::start(&argv, &[], &host.dir().file(log)) }
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
        wait_for("the agent to settle", || self.metric("tuplenet_switch_settled") == Some(1));
    }

    /// Waits until a metric has that value.
    pub fn wait_metric(&self, name: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        wait_some(name, || self.metric(name).filter(|v| wanted(*v)))
    }

    pub fn says(&self, text: &str) {
        wait_for(&format!("the agent to say \"{text}\""), || self.process.log().contains(text));
    }
}

/// Runs `tuplenet` to its end: exit code and what it said.
pub fn tuplenet(arguments: &[&str]) -> (Option<i32>, String) {
    let argv: Vec<&str> = [env!("CARGO_BIN_EXE_tuplenet")].into_iter().chain(arguments.iter().copied()).collect();
    let output = output(&argv);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Body of an HTTP page.
fn page(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply.split_once("\r\n\r\n")?.1.to_owned())
}
