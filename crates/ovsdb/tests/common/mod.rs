//! Real ovsdb-servers in directories of their own, that end with the test however it ends.

#![allow(dead_code, clippy::unwrap_used)]

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
pub use tuplenet_fixture::{Dir, PATIENCE, SCHEMA, run, text, wait_for};
use tuplenet_ovsdb::mirror::{Changes, Mirror};
use tuplenet_ovsdb::{Client, Config, Event, Function, Mutator, Operation, Target, Update, Value, connect};

/// An ovsdb-server with a database, started and stopped at will.
pub struct Server {
    pub dir: Dir,
    pub arguments: Vec<String>,
    /// Name of its socket in the directory.
    pub socket: &'static str,
    /// A shell command to run beside it, that ends at the end of its input.
    pub run: String,
    is_cluster: bool,
    child: Option<Child>,
}

impl Server {
    /// A server of an empty switch database on a Unix socket.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[String]) -> Self {
        let mut server = Self::prepare(arguments);
        server.create(SCHEMA);
        server.launch();
        server
    }

    /// Neither database nor process yet.
    pub fn prepare(arguments: &[String]) -> Self {
        Self {
            dir: Dir::new("ovsdb"),
            arguments: arguments.to_vec(),
            socket: "db.sock",
            run: "cat".into(),
            is_cluster: false,
            child: None,
        }
    }

    /// Makes the database anew.
    pub fn create(&self, schema: &str) {
        let _ = std::fs::remove_file(self.dir.file("conf.db"));
        run(&["ovsdb-tool", "create", &text(&self.dir.file("conf.db")), schema]);
    }

    /// Makes the database anew, as a cluster of one, which keeps a history of transactions.
    pub fn create_cluster(&mut self) {
        self.is_cluster = true;
        let _ = std::fs::remove_file(self.dir.file("conf.db"));
        let raft = format!("unix:{}", self.dir.file("raft.sock").display());
        run(&["ovsdb-tool", "create-cluster", &text(&self.dir.file("conf.db")), SCHEMA, &raft]);
    }

    /// Starts the process, and waits until it listens.
    pub fn launch(&mut self) {
        let dir = &self.dir;
        let socket = dir.file(self.socket);
        for old in [&socket, &dir.file("ctl"), &dir.file("log")] {
            let _ = std::fs::remove_file(old);
        }
        let child = Command::new("ovsdb-server")
            .arg(dir.file("conf.db"))
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", dir.file("ctl").display()))
            .arg(format!("--log-file={}", dir.file("log").display()))
            // It ends when the command does: for `cat` when our end of the pipe is closed, even by SIGKILL. A cluster's
            // cannot.
            .args(if self.is_cluster { None } else { Some(format!("--run={}", self.run)) })
            .arg("--no-chdir")
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ovsdb-server is needed: install openvswitch-switch");
        self.child = Some(child);
        // That for commands comes after that for clients, and is bound before it is listened on.
        wait_for("the server's sockets", || socket.exists() && UnixStream::connect(dir.file("ctl")).is_ok());
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.file("log")).unwrap_or_default()
    }

    /// The port that the kernel chose for remote `ptcp:0:127.0.0.1` or `pssl:0:127.0.0.1`.
    pub fn port(&self) -> u16 {
        let mut port = None;
        wait_for("the server's port", || {
            let log = self.log();
            let digits = log
                .split("listening on port ")
                .nth(1)
                .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap());
            port = digits.and_then(|digits| digits.parse().ok());
            port.is_some()
        });
        port.unwrap()
    }

    pub fn appctl(&self, arguments: &[&str]) {
        run(&[&["ovs-appctl", "-t", &text(&self.dir.file("ctl"))], arguments].concat());
    }

    pub fn target(&self) -> Target {
        Target::Unix(self.dir.file(self.socket))
    }

    pub fn config(&self) -> Config {
        config(self.target())
    }

    pub fn connect(&self) -> User {
        User::new(self.config())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A configuration that watches all that the mirror needs.
pub fn config(target: Target) -> Config {
    Config { monitor: Mirror::monitors(), backoff_min: Duration::from_millis(20), ..Config::new(target) }
}

/// A client, its news, and a mirror fed by it.
pub struct User {
    pub client: Client,
    pub events: Receiver<Event>,
    pub mirror: Mirror,
}

impl User {
    pub fn new(config: Config) -> Self {
        let (client, events) = connect(config);
        Self { client, events, mirror: Mirror::new() }
    }

    pub async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("news in time").expect("a channel that is open")
    }

    /// The next event, which must be an update, mirrored.
    pub async fn update(&mut self) -> (Update, Changes) {
        match self.event().await {
            Event::Update(update) => {
                let changes = self.mirror.apply(&update);
                (update, changes)
            }
            other => panic!("expected an update, got {other:?}"),
        }
    }

    /// Goes on until it is up, and gives the update that brought the state.
    pub async fn up(&mut self) -> (Update, Changes) {
        loop {
            match self.event().await {
                Event::Up => return self.update().await,
                Event::Update(update) => drop(self.mirror.apply(&update)),
                Event::Down(_) => {}
            }
        }
    }

    /// Goes on until it is down, and gives the reason.
    pub async fn down(&mut self) -> String {
        loop {
            if let Event::Down(why) = self.event().await {
                return why;
            }
        }
    }

    /// Mirrors all news that is there.
    pub fn drain(&mut self) -> Vec<Changes> {
        let mut all = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Update(update) = event {
                all.push(self.mirror.apply(&update));
            }
        }
        all
    }

    /// Makes the row that everything hangs on, as `ovs-vsctl init` does.
    pub async fn init(&self) {
        self.client.transact(vec![Operation::insert("Open_vSwitch")]).await.unwrap();
    }

    /// Adds a bridge without ports.
    pub async fn add_bridge(&self, name: &str) {
        let operations = vec![
            Operation::insert("Bridge").named("bridge").column("name", name),
            Operation::mutate("Open_vSwitch").all().mutation("bridges", Mutator::Insert, Value::named("bridge")),
        ];
        self.client.transact(operations).await.unwrap();
    }

    /// Adds ports of one interface each to a bridge, in one transaction.
    pub async fn add_ports(&self, bridge: &str, names: &[String]) {
        let mut operations = Vec::new();
        let mut ports = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let interface = Operation::insert("Interface").named(&format!("i{i}")).column("name", name);
            operations.push(interface.column("external_ids", Value::map([("iface-id", format!("lsp-{name}"))])));
            let port = Operation::insert("Port").named(&format!("p{i}")).column("name", name);
            operations.push(port.column("interfaces", Value::named(&format!("i{i}"))));
            ports.push(Value::named(&format!("p{i}")));
        }
        let bridge = Operation::mutate("Bridge").filter("name", Function::Equal, bridge);
        operations.push(bridge.mutation("ports", Mutator::Insert, Value::set(ports)));
        self.client.transact(operations).await.unwrap();
    }
}

/// The schema of a switch with a change in its text, in a file.
pub fn changed_schema(dir: &Path, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(SCHEMA).unwrap();
    assert!(text.contains(from));
    let path = dir.join("changed.ovsschema");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    path.to_str().unwrap().to_owned()
}
