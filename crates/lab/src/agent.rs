//! The agent of a host: `tuplenet agent`, in the host's namespace, on the host's sockets.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::{Host, Process, lock::locked, programs::program};

/// Where an agent has its metrics when it is not told otherwise.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);

/// How an agent is to be started.
#[derive(Clone, Debug, Default)]
pub struct AgentSpec {
    arguments: Vec<String>,
    endpoints: Option<String>,
    with_store: bool,
    environment: Vec<(String, String)>,
}

impl AgentSpec {
    /// On the lab's store, with nothing special.
    pub fn new() -> AgentSpec {
        AgentSpec::default()
    }

    /// More arguments of `tuplenet agent`.
    pub fn arguments<S: AsRef<str>>(mut self, arguments: &[S]) -> AgentSpec {
        self.arguments.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Another store than the lab's.
    pub fn endpoints(mut self, endpoints: &str) -> AgentSpec {
        self.endpoints = Some(endpoints.to_owned());
        self
    }

    /// The embedded store in this agent's process, listening at the host's management address; it becomes the lab's.
    pub fn with_store(mut self) -> AgentSpec {
        self.with_store = true;
        self
    }

    /// A variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> AgentSpec {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A host's agent. Clones are the same agent.
#[derive(Clone, Debug)]
pub struct Agent {
    host: Host,
    spec: AgentSpec,
    process: Arc<Mutex<Process>>,
}

impl Host {
    /// Starts an agent. It is not waited for: wait for what it is to do.
    ///
    /// # Errors
    /// `tuplenet` is not built; the lab has no store, and none was named.
    pub fn agent(&self, spec: &AgentSpec) -> Result<Agent> {
        let process = self.start_agent(spec)?;
        Ok(Agent { host: self.clone(), spec: spec.clone(), process: Arc::new(Mutex::new(process)) })
    }

    fn start_agent(&self, spec: &AgentSpec) -> Result<Process> {
        let lab = self.lab();
        let tuplenet = program("tuplenet")?.to_string_lossy().into_owned();
        let listen = format!("{}:2379", self.management_ip());
        let endpoints = match &spec.endpoints {
            Some(endpoints) => endpoints.clone(),
            None if spec.with_store => listen.clone(),
            None => lab.endpoints()?,
        };
        let mut argv = vec![tuplenet, "agent".to_owned()];
        let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
        if spec.with_store {
            option("--with-store", self.directory().join("store.db").to_string_lossy().into_owned());
            option("--store-listen", listen.clone());
        }
        option("--store", endpoints.clone());
        option("--encap-ip", self.encap_ip().to_string());
        option("--ovsdb", format!("unix:{}", self.ovsdb_socket().display()));
        option("--of", format!("unix:{}", self.of_socket().display()));
        // A dummy vswitchd calls its only datapath type "system".
        let datapath = if self.netns().is_ok() { "netdev" } else { "system" };
        option("--datapath-type", datapath.to_owned());
        argv.extend(spec.arguments.iter().cloned());
        // A dummy host has no namespace; its agent needs the store only, and finds it in the management namespace.
        let argv = self.netns().unwrap_or(&lab.management).enter(&argv);
        let environment: Vec<(&str, String)> =
            spec.environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let log = self.directory().join("log/agent.log");
        let process = lab.start(&format!("{}'s agent", self.name()), &argv, &environment, &log)?;
        if spec.with_store {
            *locked(&lab.endpoints) = Some(listen);
        }
        Ok(process)
    }
}

impl Agent {
    /// Its host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its process, as it is now.
    pub fn process(&self) -> Process {
        locked(&self.process).clone()
    }

    /// Ends it by SIGTERM and waits until it has.
    ///
    /// # Errors
    /// It has ended before, or takes longer than ten seconds.
    pub fn term(&self) -> Result<ExitStatus> {
        self.process().term()
    }

    /// Ends it by SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It has ended before.
    pub fn kill9(&self) -> Result<ExitStatus> {
        self.process().kill9()
    }

    /// Stops it where it stands (SIGSTOP), as a host that hangs.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<()> {
        self.process().signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Agent::pause`].
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<()> {
        self.process().signal(Signal::SIGCONT)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        self.process().wait(timeout)
    }

    /// Starts it again after it has ended, as it was started before.
    ///
    /// # Errors
    /// As for [`Host::agent`].
    pub fn start(&self) -> Result<()> {
        let process = self.host.start_agent(&self.spec).context("cannot start the agent again")?;
        *locked(&self.process) = process;
        Ok(())
    }

    /// Its metrics, in the text form of Prometheus, from the address where they are by default.
    ///
    /// # Errors
    /// It does not answer (yet), or was told to have its metrics elsewhere.
    pub fn metrics(&self) -> Result<String> {
        let ask = || -> Result<String> {
            let mut stream = TcpStream::connect_timeout(&METRICS, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let netns = self.host.netns().unwrap_or(&self.host.lab().management);
        let text = netns.inside(ask).with_context(|| format!("{}'s agent shows no metrics", self.host.name()))?;
        let (head, body) = text.split_once("\r\n\r\n").context("the agent's metrics are no HTTP")?;
        ensure!(head.contains(" 200 "), "the agent's metrics: {}", head.lines().next().unwrap_or_default());
        Ok(body.to_owned())
    }

    /// One sample of its metrics: `switch_settled`, `flow_mods_total`, `events_total{source="store"}`.
    ///
    /// # Errors
    /// It does not answer (yet), or has no such metric.
    pub fn metric(&self, sample: &str) -> Result<f64> {
        let text = self.metrics()?;
        let value = text.lines().find_map(|line| {
            let (name, value) = line.strip_prefix("tuplenet_")?.rsplit_once(' ')?;
            (name == sample).then(|| value.parse().ok())?
        });
        value.with_context(|| format!("no metric tuplenet_{sample} among\n{text}"))
    }

    /// Waits until it knows the whole network and the switch holds what it wants.
    ///
    /// # Errors
    /// Not before `timeout`, or it ended: with its last words.
    pub fn wait_settled(&self, timeout: Duration) -> Result<()> {
        self.process()
            .wait_ready(timeout, || {
                for metric in ["synced", "switch_settled"] {
                    ensure!(self.metric(metric)? == 1.0, "{metric} is not 1");
                }
                ensure!(self.metric("changes_held")? == 0.0, "it holds changes back");
                Ok(())
            })
            .inspect_err(|_| self.host.lab().fail())
    }

    /// All that it has logged, over all its lives.
    pub fn log_text(&self) -> String {
        self.process().log_text()
    }
}
