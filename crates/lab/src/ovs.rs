//! One Open vSwitch of its own: an ovsdb-server and an ovs-vswitchd with their files in one directory.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    Process,
    command::{self, words},
    lab,
    lock::locked,
    netns::Netns,
    wait::wait_until,
};

/// Longest wait for a daemon, on a machine that is busy with other tests too.
const PATIENCE: Duration = Duration::from_secs(30);
/// The schema that openvswitch-switch installs.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

#[derive(Debug)]
pub(crate) struct Ovs {
    host: String,
    directory: PathBuf,
    netns: Option<Netns>,
    daemons: Mutex<Daemons>,
}

#[derive(Debug)]
struct Daemons {
    ovsdb: Process,
    vswitchd: Process,
}

impl Ovs {
    /// Makes a database and starts both daemons, in the namespace or, without one, in dummy mode.
    pub(crate) fn start(lab: &Arc<lab::Inner>, host: &str, directory: &Path, netns: Option<Netns>) -> Result<Ovs> {
        for part in ["run", "db", "log", "etc"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let socket = directory.join("run/br-int.mgmt");
        if socket.as_os_str().len() > 100 {
            bail!("{} is too long for the address of a unix socket: set TMPDIR to a shorter place", socket.display());
        }
        let database = directory.join("db/conf.db");
        command::run(&["ovsdb-tool", "create", &database.to_string_lossy(), SCHEMA])?;
        let place = Place { lab, host, directory, netns: netns.as_ref() };
        let ovsdb = place.start_ovsdb()?;
        let vsctl = |arguments: &[&str]| {
            let db = format!("--db=unix:{}/run/db.sock", directory.display());
            command::run(&words(&["ovs-vsctl", &db, "--no-wait", "--timeout=20"], arguments))
        };
        vsctl(&["init"])?;
        vsctl(&[
            "set",
            "Open_vSwitch",
            ".",
            &format!("external_ids:system-id={host}"),
            &format!("external_ids:hostname={host}"),
        ])?;
        let vswitchd = place.start_vswitchd()?;
        let daemons = Mutex::new(Daemons { ovsdb, vswitchd });
        Ok(Ovs { host: host.to_owned(), directory: directory.to_owned(), netns, daemons })
    }

    fn place<'a>(&'a self, lab: &'a Arc<lab::Inner>) -> Place<'a> {
        Place { lab, host: &self.host, directory: &self.directory, netns: self.netns.as_ref() }
    }

    pub(crate) fn start_vswitchd(&self, lab: &Arc<lab::Inner>) -> Result<()> {
        let process = self.place(lab).start_vswitchd()?;
        locked(&self.daemons).vswitchd = process;
        Ok(())
    }

    pub(crate) fn start_ovsdb(&self, lab: &Arc<lab::Inner>) -> Result<()> {
        let process = self.place(lab).start_ovsdb()?;
        locked(&self.daemons).ovsdb = process;
        Ok(())
    }

    pub(crate) fn vswitchd(&self) -> Process {
        locked(&self.daemons).vswitchd.clone()
    }

    pub(crate) fn ovsdb(&self) -> Process {
        locked(&self.daemons).ovsdb.clone()
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// `ovs-vsctl` on this database.
    pub(crate) fn vsctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        let db = format!("--db=unix:{}/db.sock", self.run_directory().display());
        command::run(&words(&["ovs-vsctl", &db, "--timeout=20"], arguments))
    }

    /// `ovs-ofctl` on this switch, OpenFlow 1.5 unless told otherwise.
    pub(crate) fn ofctl<S: AsRef<str>>(&self, arguments: &[S], input: &str) -> Result<String> {
        let run = format!("OVS_RUNDIR={}", self.run_directory().display());
        let argv = words(&["env", &run, "ovs-ofctl", "--timeout=30", "-O", "OpenFlow15"], arguments);
        command::run_with_input(&argv, input)
    }

    /// What `ovs-appctl -t ovs-vswitchd` does, without a process: one JSON-RPC request on the daemon's control socket.
    pub(crate) fn appctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        control(&self.run_directory().join("vswitchd.ctl"), arguments)
    }
}

/// Where daemons are started.
struct Place<'a> {
    lab: &'a Arc<lab::Inner>,
    host: &'a str,
    directory: &'a Path,
    netns: Option<&'a Netns>,
}

impl Place<'_> {
    fn start(&self, daemon: &str, arguments: &[String]) -> Result<Process> {
        let run = self.directory.join("run");
        // At the priority that ovs-ctl(8) gives them: who has nothing to do but to forward packets does not wait behind compilers.
        let argv = words(
            &[
                "nice",
                "-n",
                "-10",
                daemon,
                "--no-chdir",
                &format!("--pidfile={}/{daemon}.pid", run.display()),
                "-vsyslog:off",
            ],
            arguments,
        );
        let argv = self.netns.map_or_else(|| argv.clone(), |netns| netns.enter(&argv));
        let variable = |name, part: &str| (name, self.directory.join(part).to_string_lossy().into_owned());
        let environment = [
            variable("OVS_RUNDIR", "run"),
            variable("OVS_DBDIR", "db"),
            variable("OVS_LOGDIR", "log"),
            variable("OVS_SYSCONFDIR", "etc"),
        ];
        let log = self.directory.join(format!("log/{daemon}.log"));
        self.lab.start(&format!("{}'s {daemon}", self.host), &argv, &environment, &log)
    }

    fn start_ovsdb(&self) -> Result<Process> {
        let run = self.directory.join("run").to_string_lossy().into_owned();
        let process = self.start(
            "ovsdb-server",
            &[
                self.directory.join("db/conf.db").to_string_lossy().into_owned(),
                format!("--remote=punix:{run}/db.sock"),
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options".to_owned(),
                format!("--unixctl={run}/ovsdb.ctl"),
            ],
        )?;
        let socket = format!("{run}/db.sock");
        process.wait_ready(PATIENCE, || Ok(UnixStream::connect(&socket).map(drop)?))?;
        Ok(process)
    }

    fn start_vswitchd(&self) -> Result<Process> {
        let run = self.directory.join("run").to_string_lossy().into_owned();
        let mut arguments = vec![format!("unix:{run}/db.sock"), format!("--unixctl={run}/vswitchd.ctl")];
        // What the datapath can do is the same each time, and would hide what is worth reading.
        arguments.extend(["-vofproto_dpif:warn", "-vdpif_netdev:warn"].map(str::to_owned));
        // Open vSwitch forgets the kernel's routes and reads them again whenever a link of the host changes, and the userspace datapath
        // drops what is to leave or has come by a tunnel meanwhile. The host gives it its route instead.
        arguments.push("--disable-system-route".to_owned());
        if self.netns.is_none() {
            arguments.extend(["--enable-dummy=system", "--disable-system"].map(str::to_owned));
        }
        let process = self.start("ovs-vswitchd", &arguments)?;
        let socket = self.directory.join("run/vswitchd.ctl");
        process.wait_ready(PATIENCE, || control(&socket, &["version"]))?;
        Ok(process)
    }
}

/// One request to a daemon's control socket (`ovs-appctl(8)`; the protocol is JSON-RPC 1.0, Open vSwitch's unixctl.h).
fn control<S: AsRef<str>>(socket: &Path, arguments: &[S]) -> Result<String> {
    let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    let (method, parameters) = words.split_first().context("no command for ovs-appctl")?;
    let mut stream = UnixStream::connect(socket).with_context(|| format!("cannot reach {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    serde_json::to_writer(&mut stream, &serde_json::json!({"id": 0, "method": method, "params": parameters}))?;
    stream.flush()?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let reply: serde_json::Value = loop {
        let got = stream.read(&mut chunk).with_context(|| format!("no answer to `{}`", words.join(" ")))?;
        bytes.extend_from_slice(chunk.get(..got).unwrap_or_default());
        match serde_json::from_slice(&bytes) {
            Ok(reply) => break reply,
            Err(error) if got > 0 && error.is_eof() => {}
            Err(error) => return Err(error).context("an answer that is no JSON"),
        }
    };
    match (reply.get("error").and_then(|error| error.as_str()), reply.get("result")) {
        (Some(error), _) => Err(anyhow!("`ovs-appctl {}` failed: {}", words.join(" "), error.trim())),
        (None, Some(result)) => Ok(result.as_str().unwrap_or_default().to_owned()),
        (None, None) => bail!("an answer without a result: {reply}"),
    }
}

/// Waits until a network device exists in the namespace.
pub(crate) fn wait_device(netns: &Netns, device: &str) -> Result<()> {
    wait_until(&format!("the device {device} in {}", netns.name()), PATIENCE, || {
        netns.run(&["ip", "link", "show", "dev", device]).map(drop)
    })
}
