//! Stores for the lab's agents, in its management namespace: etcd, one member or more, or the embedded one.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    Lab, Process,
    lab::{self, MANAGEMENT, address},
    lock::locked,
    programs::program,
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The embedded store's address ends in this, etcd's members' in the following numbers.
const FIRST: u8 = 220;
/// etcd's ports for clients and for members.
const PORTS: (u16, u16) = (2379, 2380);

/// A running embedded store: `tuplenet store`.
#[derive(Clone, Debug)]
pub struct Store {
    lab: Arc<lab::Inner>,
    process: Arc<Mutex<Process>>,
    endpoint: SocketAddr,
}

/// A running etcd cluster.
#[derive(Clone, Debug)]
pub struct Etcd {
    lab: Arc<lab::Inner>,
    members: Vec<Arc<Mutex<Process>>>,
}

impl Lab {
    /// Starts the embedded store as a process of its own; agents and `tpctl` use it from now on.
    ///
    /// # Errors
    /// It does not start (with its last words), or `tuplenet` is not built.
    pub fn store(&self) -> Result<Store> {
        let endpoint = SocketAddr::new(address(MANAGEMENT, FIRST).into(), PORTS.0);
        add_address(&self.inner, address(MANAGEMENT, FIRST))?;
        let process = start_store(&self.inner, endpoint)?;
        self.set_endpoints(&endpoint.to_string());
        Ok(Store { lab: self.inner.clone(), process: Arc::new(Mutex::new(process)), endpoint })
    }

    /// Starts an etcd cluster of `members` (at most nine); agents and `tpctl` use it from now on.
    ///
    /// # Errors
    /// etcd is not installed, or does not start (with its last words).
    pub fn etcd(&self, members: u8) -> Result<Etcd> {
        ensure!((1..=9).contains(&members), "a cluster has one to nine members, not {members}");
        let mut processes = Vec::new();
        for member in 1..=members {
            add_address(&self.inner, address(MANAGEMENT, FIRST + member))?;
            processes.push(Arc::new(Mutex::new(start_member(&self.inner, member, members, "new")?)));
        }
        let etcd = Etcd { lab: self.inner.clone(), members: processes };
        etcd.wait_healthy()?;
        self.set_endpoints(&etcd.endpoints());
        Ok(etcd)
    }
}

fn add_address(lab: &lab::Inner, ip: Ipv4Addr) -> Result<()> {
    lab.management.ip(&format!("address replace {ip}/32 dev lo\n"))
}

fn start_store(lab: &Arc<lab::Inner>, endpoint: SocketAddr) -> Result<Process> {
    let data = lab.directory.join("store.db").to_string_lossy().into_owned();
    let tuplenet = program("tuplenet")?.to_string_lossy().into_owned();
    let argv = [tuplenet.as_str(), "store", "--data", &data, "--listen", &endpoint.to_string()];
    let argv = lab.management.enter(&argv);
    let process = lab.start("the embedded store", &argv, &[], &lab.directory.join("store.log"))?;
    process.wait_ready(PATIENCE, || connect(lab, endpoint))?;
    Ok(process)
}

fn connect(lab: &lab::Inner, endpoint: SocketAddr) -> Result<()> {
    let connected = lab.management.inside(|| Ok(TcpStream::connect_timeout(&endpoint, Duration::from_secs(1))?));
    connected.map(drop).with_context(|| format!("nobody listens at {endpoint}"))
}

fn start_member(lab: &Arc<lab::Inner>, member: u8, members: u8, state: &str) -> Result<Process> {
    let ip = |member: u8| address(MANAGEMENT, FIRST + member);
    let url = |member: u8, port: u16| format!("http://{}:{port}", ip(member));
    let cluster: Vec<String> = (1..=members).map(|other| format!("etcd{other}={}", url(other, PORTS.1))).collect();
    let option = |name: &str, value: String| [format!("--{name}"), value];
    let data: PathBuf = lab.directory.join(format!("etcd{member}"));
    let mut argv = vec!["etcd".to_owned()];
    argv.extend(option("name", format!("etcd{member}")));
    argv.extend(option("data-dir", data.to_string_lossy().into_owned()));
    argv.extend(option("listen-client-urls", url(member, PORTS.0)));
    argv.extend(option("advertise-client-urls", url(member, PORTS.0)));
    argv.extend(option("listen-peer-urls", url(member, PORTS.1)));
    argv.extend(option("initial-advertise-peer-urls", url(member, PORTS.1)));
    argv.extend(option("initial-cluster", cluster.join(",")));
    argv.extend(option("initial-cluster-state", state.to_owned()));
    argv.extend(option("initial-cluster-token", lab.id.clone()));
    let argv = lab.management.enter(&argv);
    let log = lab.directory.join(format!("etcd{member}.log"));
    lab.start(&format!("etcd member {member}"), &argv, &[], &log)
}

impl Store {
    /// Its process.
    pub fn process(&self) -> Process {
        locked(&self.process).clone()
    }

    /// Where it listens.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Starts it again after it was ended, on the same file.
    ///
    /// # Errors
    /// It does not start (with its last words).
    pub fn start(&self) -> Result<()> {
        *locked(&self.process) = start_store(&self.lab, self.endpoint)?;
        Ok(())
    }
}

impl Etcd {
    /// The client addresses of all members, comma-separated.
    pub fn endpoints(&self) -> String {
        let all: Vec<String> = (0..self.members.len()).map(|index| self.endpoint(index)).collect();
        all.join(",")
    }

    /// The client address of a member, counted from 0.
    pub fn endpoint(&self, index: usize) -> String {
        let number = u8::try_from(index).unwrap_or(u8::MAX).saturating_add(1);
        format!("http://{}:{}", address(MANAGEMENT, FIRST.saturating_add(number)), PORTS.0)
    }

    /// A member's process, counted from 0.
    ///
    /// # Errors
    /// There are fewer members.
    pub fn member(&self, index: usize) -> Result<Process> {
        let member = self.members.get(index).with_context(|| format!("no member {index}"))?;
        Ok(locked(member).clone())
    }

    /// Starts a member again after it was ended, with its data.
    ///
    /// # Errors
    /// It does not start, or there are fewer members.
    pub fn start(&self, index: usize) -> Result<()> {
        let member = self.members.get(index).with_context(|| format!("no member {index}"))?;
        let (number, all) = (u8::try_from(index + 1)?, u8::try_from(self.members.len())?);
        *locked(member) = start_member(&self.lab, number, all, "existing")?;
        Ok(())
    }

    /// Runs `etcdctl` with all members' addresses.
    ///
    /// # Errors
    /// It fails: its words.
    pub fn etcdctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        self.etcdctl_at(&self.endpoints(), arguments)
    }

    fn etcdctl_at<S: AsRef<str>>(&self, endpoints: &str, arguments: &[S]) -> Result<String> {
        let endpoints = format!("--endpoints={endpoints}");
        let prefix = ["env", "ETCDCTL_API=3", "etcdctl", endpoints.as_str(), "--command-timeout=5s"];
        self.lab.management.run(&crate::command::words(&prefix, arguments))
    }

    /// The index of the member that leads; an election that is under way is waited for.
    ///
    /// # Errors
    /// There is no leader within half a minute, or it does not answer.
    pub fn leader(&self) -> Result<usize> {
        wait_until("a member of etcd to lead", PATIENCE, || self.leads_now())
    }

    fn leads_now(&self) -> Result<usize> {
        for index in 0..self.members.len() {
            let Ok(text) = self.etcdctl_at(&self.endpoint(index), &["endpoint", "status", "-w", "json"]) else {
                continue;
            };
            let status: serde_json::Value = serde_json::from_str(&text).context("etcdctl's status is no JSON")?;
            let status = status.get(0).and_then(|first| first.get("Status")).context("etcdctl shows no status")?;
            let member = status.get("header").and_then(|header| header.get("member_id"));
            if member.is_some() && member == status.get("leader") {
                return Ok(index);
            }
        }
        bail!("no member of the cluster leads")
    }

    /// Waits until the cluster has a leader and takes a write.
    ///
    /// # Errors
    /// Not within half a minute: the members' last words.
    pub fn wait_healthy(&self) -> Result<()> {
        wait_until("etcd to be healthy", PATIENCE, || {
            let answer = self.etcdctl(&["put", "lab-health", ""]);
            answer.map(drop).map_err(|error| {
                let logs = self.members.iter().map(|member| locked(member).log_tail());
                let last: Vec<String> = logs.map(|log| log.lines().last().unwrap_or_default().to_owned()).collect();
                error.context(last.join("\n"))
            })
        })?;
        self.etcdctl(&["del", "lab-health"]).map(drop)
    }

    /// Where the members keep their data.
    pub fn data_directories(&self) -> Vec<PathBuf> {
        let all = (1..=self.members.len()).map(|number| self.lab.directory.join(format!("etcd{number}")));
        all.filter(|path| fs::metadata(path).is_ok()).collect()
    }
}
