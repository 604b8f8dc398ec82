//! The agent of a host: `tuplenet agent`, in the host's namespace, on the host's sockets.

use std::{
    net::Ipv4Addr,
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::{
    Host, Process,
    lab::{MANAGEMENT, address, locked},
    programs::program,
};

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

    /// The management address at which dummy hosts' agents may listen (for metrics): that of the management namespace.
    pub fn management_gateway() -> Ipv4Addr {
        address(MANAGEMENT, 254)
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

    /// All that it has logged, over all its lives.
    pub fn log_text(&self) -> String {
        self.process().log_text()
    }
}
