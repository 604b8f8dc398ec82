//! Stores for tests: the embedded one in this process or its own, and real etcd, alone or three of them. All on free loopback ports, in
//! directories of their own, ended and removed when dropped.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tonic::{Code, transport::Channel};
use tuplenet_fixture::Dir;
pub use tuplenet_fixture::free_address;
use tuplenet_store::{
    Client, Config,
    embedded::{Options, Server},
    wire,
};

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A process that ends with its owner.
pub struct Process(pub Child);

impl Process {
    /// `kill -9`
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether tests with a real etcd are left out on purpose, as `TUPLENET_SKIP_ETCD=1` asks.
pub fn skip_etcd() -> bool {
    let skip = std::env::var_os("TUPLENET_SKIP_ETCD").is_some();
    if skip {
        eprintln!("left out: needs etcd (TUPLENET_SKIP_ETCD is set)");
    }
    skip
}

pub struct Etcd {
    pub members: Vec<EtcdMember>,
    dir: Dir,
}

pub struct EtcdMember {
    pub process: Process,
    pub endpoint: String,
    args: Vec<String>,
}

impl Etcd {
    /// Starts `count` members and waits until they answer.
    pub async fn start(count: usize) -> Etcd {
        Etcd::start_with(count, &[]).await
    }

    pub async fn start_with(count: usize, extra: &[String]) -> Etcd {
        let dir = Dir::new("store");
        let tls = extra.iter().any(|arg| arg.starts_with("--cert-file"));
        let scheme = if tls { "https" } else { "http" };
        let addresses: Vec<(SocketAddr, SocketAddr)> = (0..count).map(|_| (free_address(), free_address())).collect();
        let cluster: Vec<String> =
            addresses.iter().enumerate().map(|(n, (_, peer))| format!("m{n}=http://{peer}")).collect();
        let members = addresses.iter().enumerate().map(|(n, (client, peer))| {
            let mut args: Vec<String> = vec![
                format!("--name=m{n}"),
                format!("--data-dir={}", dir.file(format!("m{n}")).display()),
                format!("--listen-client-urls={scheme}://{client}"),
                format!("--advertise-client-urls={scheme}://{client}"),
                format!("--listen-peer-urls=http://{peer}"),
                format!("--initial-advertise-peer-urls=http://{peer}"),
                format!("--initial-cluster={}", cluster.join(",")),
                "--log-level=error".to_owned(),
            ];
            args.extend(extra.iter().cloned());
            EtcdMember { process: spawn_etcd(&args), endpoint: client.to_string(), args }
        });
        let mut etcd = Etcd { members: members.collect(), dir };
        if tls {
            return etcd;
        }
        etcd.ready().await;
        etcd
    }

    /// Waits until every member answers, which it does only with a leader.
    pub async fn ready(&mut self) {
        for index in 0..self.members.len() {
            self.member_ready(index).await;
        }
    }

    /// Waits until that member answers, which it does only with a leader.
    pub async fn member_ready(&mut self, index: usize) {
        let member = &mut self.members[index];
        let (process, raw) = (&mut member.process.0, Raw::new(&member.endpoint));
        let deadline = Instant::now() + PATIENCE;
        while raw.unary::<_, wire::RangeResponse>(wire::path::RANGE, get(b"health")).await.is_err() {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "etcd ended, {ended:?}: is the package etcd-server installed?");
            assert!(Instant::now() < deadline, "etcd member {index} does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn endpoints(&self) -> String {
        self.members.iter().map(|member| member.endpoint.clone()).collect::<Vec<_>>().join(",")
    }

    /// The member that leads: there may be none for a moment.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(leader) = self.leads().await {
                return leader;
            }
            assert!(Instant::now() < deadline, "no member leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn leads(&self) -> Option<usize> {
        for (index, member) in self.members.iter().enumerate() {
            let status = Raw::new(&member.endpoint)
                .unary::<_, wire::StatusResponse>(wire::path::STATUS, wire::StatusRequest {})
                .await;
            if status.is_ok_and(|status| status.header.is_some_and(|header| header.member_id == status.leader)) {
                return Some(index);
            }
        }
        None
    }

    /// Saves what the first member has.
    pub fn snapshot(&self) -> PathBuf {
        let path = self.dir.file("snapshot.db");
        etcdctl(["--endpoints", &self.members[0].endpoint, "snapshot", "save"].map(AsRef::as_ref), &path);
        path
    }

    /// Kills all members and gives each the snapshot, as docs/store.md says; starts none.
    pub fn restore(&mut self, snapshot: &Path, token: &str) {
        self.members.iter_mut().for_each(|member| member.process.kill());
        for member in &self.members {
            let arg = |name: &str| member.args.iter().find(|arg| arg.starts_with(name)).cloned().unwrap();
            std::fs::remove_dir_all(&arg("--data-dir=")["--data-dir=".len()..]).unwrap();
            let mut args = vec!["snapshot".to_owned(), "restore".to_owned()];
            args.extend(["--name=", "--data-dir=", "--initial-cluster=", "--initial-advertise-peer-urls="].map(arg));
            args.push(format!("--initial-cluster-token={token}"));
            etcdctl(args.iter().map(AsRef::as_ref), snapshot);
        }
    }

    /// Starts all members where no client of before finds them; their endpoints. They are at their old places again after
    /// [`Etcd::restart`].
    pub async fn start_aside(&mut self) -> String {
        let mut endpoints = Vec::new();
        let places: Vec<String> = self.members.iter().map(|member| member.endpoint.clone()).collect();
        for member in &mut self.members {
            let aside = free_address().to_string();
            let args: Vec<String> = member.args.iter().map(|arg| arg.replace(&member.endpoint, &aside)).collect();
            member.process = spawn_etcd(&args);
            member.endpoint.clone_from(&aside);
            endpoints.push(aside);
        }
        self.ready().await;
        self.members.iter_mut().zip(places).for_each(|(member, place)| member.endpoint = place);
        endpoints.join(",")
    }

    pub fn restart(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.process.kill();
        member.process = spawn_etcd(&member.args);
    }
}

fn etcdctl<'a>(args: impl IntoIterator<Item = &'a std::ffi::OsStr>, last: &Path) {
    let output = Command::new("etcdctl").env("ETCDCTL_API", "3").args(args).arg(last).output();
    let output = output.expect("these tests need etcdctl: install the package etcd-client");
    assert!(output.status.success(), "etcdctl: {}", String::from_utf8_lossy(&output.stderr));
}

fn spawn_etcd(args: &[String]) -> Process {
    let mut command = tied("etcd");
    command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Process(child.expect("these tests need setpriv, of the package util-linux"))
}

/// A command whose process the kernel ends with the thread that starts it, which is the test's: nothing is left of a test that was killed.
fn tied(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// The embedded store in this process.
pub struct Embedded {
    pub endpoint: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
    pub data: PathBuf,
    _dir: Option<Dir>,
}

impl Embedded {
    pub async fn start() -> Embedded {
        let dir = Dir::new("store");
        let data = dir.file("store.db");
        let mut embedded = Embedded::open(Options::new(data, "127.0.0.1:0".parse().unwrap())).await;
        embedded._dir = Some(dir);
        embedded
    }

    pub async fn open(options: Options) -> Embedded {
        let data = options.data.clone();
        let server = Server::open(options).await.unwrap();
        let endpoint = server.address().to_string();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Embedded { endpoint, stop: Some(stop), task: Some(task), data, _dir: None }
    }

    /// Ends it in good order and waits for it.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }
}

/// The name of the test that is no test but the store's process: see [`embedded_process`].
pub const SERVER_TEST: &str = "server_process";
const SERVER_ARGS: [&str; 4] = ["--exact", SERVER_TEST, "--ignored", "--nocapture"];
const DATA: &str = "TUPLENET_TEST_STORE_DATA";
const LISTEN: &str = "TUPLENET_TEST_STORE_LISTEN";

/// To be called by a test named [`SERVER_TEST`], ignored, in a test program that uses [`embedded_process`].
pub fn server_main() {
    let (Ok(data), Ok(listen)) = (std::env::var(DATA), std::env::var(LISTEN)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let server = Server::open(Options::new(data, listen.parse().unwrap())).await.unwrap();
        eprintln!("listening on {}", server.address());
        server.run(std::future::pending()).await;
    });
}

/// The embedded store in a process of its own (this test program, run again), to be killed. Its address.
pub fn embedded_process(data: &Path, listen: &str) -> (Process, SocketAddr) {
    let mut command = tied(std::env::current_exe().unwrap());
    command.args(SERVER_ARGS);
    started(command, data, listen)
}

/// The same, on a disk that is full when the file has so many kilobytes.
pub fn embedded_process_limited(data: &Path, kilobytes: u32) -> (Process, SocketAddr) {
    let mut command = tied("sh");
    // The signal that comes with the error is ignored, as most disks send none.
    command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2)).arg("sh");
    command.arg(std::env::current_exe().unwrap()).args(SERVER_ARGS);
    started(command, data, "127.0.0.1:0")
}

fn started(mut command: Command, data: &Path, listen: &str) -> (Process, SocketAddr) {
    command.env(DATA, data).env(LISTEN, listen);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let errors = BufReader::new(child.stderr.take().unwrap());
    let process = Process(child);
    let mut seen = String::new();
    let mut lines = errors.lines();
    for line in &mut lines {
        let line = line.unwrap();
        if let Some(address) = line.strip_prefix("listening on ") {
            let address = address.parse().unwrap();
            // Keep reading, lest the process meets a closed pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return (process, address);
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    panic!("the store's process ended: {seen}");
}

/// The same, without waiting for it.
pub fn embedded_process_starting(data: &Path) -> Process {
    let mut command = tied(std::env::current_exe().unwrap());
    command.args(["--exact", SERVER_TEST, "--ignored", "--nocapture"]).env(DATA, data).env(LISTEN, "127.0.0.1:0");
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Sends a signal to one process.
pub fn signal(process: &Process, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.0.id().to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name}");
}

/// Either store.
pub enum Store {
    Embedded(Embedded),
    Etcd(Etcd),
}

impl Store {
    pub async fn both() -> Vec<Store> {
        let mut stores = vec![Store::Embedded(Embedded::start().await)];
        if !skip_etcd() {
            stores.push(Store::Etcd(Etcd::start(1).await));
        }
        stores
    }

    pub fn endpoints(&self) -> String {
        match self {
            Store::Embedded(store) => store.endpoint.clone(),
            Store::Etcd(store) => store.endpoints(),
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(Config::new(&self.endpoints()).unwrap()).await.unwrap()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Store::Embedded(_) => "embedded",
            Store::Etcd(_) => "etcd",
        }
    }
}

/// Calls as they travel, without our client.
pub struct Raw(Channel);

impl Raw {
    pub fn new(endpoint: &str) -> Raw {
        Raw(tonic::transport::Endpoint::from_shared(format!("http://{endpoint}")).unwrap().connect_lazy())
    }

    pub async fn unary<Q, R>(&self, path: &'static str, request: Q) -> Result<R, (Code, String)>
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| (Code::Unavailable, error.to_string()))?;
        let codec = tonic_prost::ProstCodec::<Q, R>::default();
        let reply = grpc.unary(tonic::Request::new(request), http::uri::PathAndQuery::from_static(path), codec).await;
        reply.map(tonic::Response::into_inner).map_err(|status| (status.code(), status.message().to_owned()))
    }

    pub async fn watch(
        &self,
        requests: tokio::sync::mpsc::Receiver<wire::WatchRequest>,
    ) -> tonic::Streaming<wire::WatchResponse> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.unwrap();
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        let path = http::uri::PathAndQuery::from_static(wire::path::WATCH);
        grpc.streaming(tonic::Request::new(requests), path, tonic_prost::ProstCodec::default())
            .await
            .unwrap()
            .into_inner()
    }
}

pub fn get(key: &'static [u8]) -> wire::RangeRequest {
    wire::RangeRequest { key: bytes::Bytes::from_static(key), ..Default::default() }
}

/// Waits until `condition` holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
