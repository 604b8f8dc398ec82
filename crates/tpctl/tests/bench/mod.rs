//! What the tests work on: a store (the embedded one in a thread, or real etcd in a process), a prefix of their own in it, and `tpctl` as a process.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use tuplenet_fixture::{Dir, free_address};
use tuplenet_store::{
    Client, Config,
    embedded::{Options, Server},
};

/// Each test runs on the embedded store by itself, and all of them on one etcd.
#[allow(unused_macros)]
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod on_the_embedded_store {
            $(#[test] fn $name() {
                let store = $crate::bench::Embedded::start();
                super::$name(&$crate::bench::Bench::new(&store.endpoint, "/tuplenet"));
            })*
        }
        #[test]
        fn on_etcd() {
            let Some(store) = $crate::bench::Etcd::start() else { return };
            $(eprintln!("{}", stringify!($name));
              $name(&$crate::bench::Bench::new(&store.endpoint, concat!("/", stringify!($name))));)*
        }
    };
}

/// The embedded store, in a runtime of its own that ends with it.
pub struct Embedded {
    pub endpoint: String,
    _runtime: Runtime,
    _dir: Dir,
}

impl Embedded {
    pub fn start() -> Self {
        let dir = Dir::new("tpctl");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options::new(dir.file("store.db"), "127.0.0.1:0".parse().unwrap());
        let server = runtime.block_on(Server::open(options)).unwrap();
        let endpoint = server.address().to_string();
        runtime.spawn(server.run(std::future::pending()));
        Self { endpoint, _runtime: runtime, _dir: dir }
    }
}

/// A real etcd of one member.
pub struct Etcd {
    pub endpoint: String,
    process: Child,
    _dir: Dir,
}

impl Etcd {
    /// `None` if they are left out on purpose (TUPLENET_SKIP_ETCD).
    pub fn start() -> Option<Self> {
        if std::env::var_os("TUPLENET_SKIP_ETCD").is_some() {
            eprintln!("left out: needs etcd (TUPLENET_SKIP_ETCD is set)");
            return None;
        }
        let (client, peer, dir) = (free_address(), free_address(), Dir::new("tpctl"));
        // The kernel ends it with the test's thread: nothing is left of a test that was killed.
        let mut etcd = Command::new("setpriv");
        etcd.args(["--pdeathsig", "KILL", "etcd"]);
        etcd.arg("--data-dir").arg(dir.file("etcd")).arg("--log-level=error").arg("--unsafe-no-fsync=true");
        etcd.arg(format!("--listen-client-urls=http://{client}"));
        etcd.arg(format!("--advertise-client-urls=http://{client}"));
        etcd.arg(format!("--listen-peer-urls=http://{peer}"));
        etcd.arg(format!("--initial-advertise-peer-urls=http://{peer}"));
        etcd.arg(format!("--initial-cluster=default=http://{peer}"));
        etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = etcd.spawn().expect("these tests need setpriv, of the package util-linux");
        let mut etcd = Self { endpoint: client.to_string(), process, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        let bench = Bench::new(&etcd.endpoint, "/health");
        while bench.run(&["status"]).status.code() != Some(0) {
            let ended = etcd.process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "etcd ended, {ended:?}: install the package etcd-server (TUPLENET_SKIP_ETCD=1 leaves these tests out)"
            );
            assert!(Instant::now() < deadline, "etcd does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(etcd)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A network of a test's own.
pub struct Bench {
    pub endpoint: String,
    pub prefix: String,
    pub dir: Dir,
    runtime: Runtime,
}

impl Bench {
    pub fn new(endpoint: &str, prefix: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { endpoint: endpoint.to_owned(), prefix: prefix.to_owned(), dir: Dir::new("tpctl"), runtime }
    }

    /// `tpctl` on this network, not started yet.
    pub fn tpctl(&self, arguments: &[&str]) -> Command {
        let mut tpctl = Command::new(env!("CARGO_BIN_EXE_tpctl"));
        tpctl.env_clear().env("TUPLENET_ENDPOINTS", &self.endpoint).env("TUPLENET_PREFIX", &self.prefix);
        tpctl.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        tpctl
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.tpctl(arguments).output().unwrap()
    }

    /// Runs a command line (split at spaces) that must succeed; its standard output.
    pub fn ok(&self, line: &str) -> String {
        self.exits(0, line).0
    }

    /// Runs a command line that must be refused: exit code 1, nothing on standard output, one line on standard error, which is returned.
    pub fn refused(&self, line: &str) -> String {
        let (out, err) = self.exits(1, line);
        assert_eq!(out, "", "tpctl {line}");
        let last = err.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("tpctl: ") && err.ends_with('\n'), "tpctl {line}: {err}");
        last
    }

    /// As [`Bench::refused`], and the line must contain the words.
    pub fn refused_with(&self, line: &str, words: &[&str]) {
        let said = self.refused(line);
        for word in words {
            assert!(said.contains(word), "tpctl {line}: must say \"{word}\": {said}");
        }
    }

    /// Runs a command line that must end with that code: standard output and error.
    pub fn exits(&self, code: i32, line: &str) -> (String, String) {
        let output = self.run(&line.split_whitespace().collect::<Vec<_>>());
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "tpctl {line}\n{out}{err}");
        (out, err)
    }

    /// The data that a command line prints.
    pub fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("-o json {line}"))).unwrap()
    }

    /// A file with that text.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.file(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn client(&self) -> Client {
        let _inside = self.runtime.enter();
        Client::new(Config::new(&self.endpoint).unwrap()).unwrap()
    }

    fn key(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.prefix)
    }

    /// Writes behind the back of `tpctl`, as with etcdctl.
    pub fn put(&self, path: &str, value: &str) {
        let client = self.client();
        self.runtime.block_on(client.put(&self.key(path), value.to_owned())).unwrap();
    }

    /// Deletes behind the back of `tpctl`.
    pub fn delete(&self, path: &str) {
        let client = self.client();
        self.runtime.block_on(client.delete(tuplenet_store::Range::key(&self.key(path)))).unwrap();
    }

    /// The value at a path.
    pub fn get(&self, path: &str) -> Option<String> {
        let client = self.client();
        let (kv, _) = self.runtime.block_on(client.get(&self.key(path))).unwrap();
        kv.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
    }

    /// All paths with their values, ordered; without the notes of those who allocate port ids, but for notes of what is gone.
    pub fn all(&self) -> Vec<(String, String)> {
        let client = self.client();
        let listing = self.runtime.block_on(client.list(&self.key(""))).unwrap();
        let root = self.key("");
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let all: Vec<(String, String)> =
            listing.kvs.iter().map(|kv| (kv.key.trim_start_matches(&root).to_owned(), text(&kv.value))).collect();
        let note_of = |path: &str| Some(path.strip_prefix("claim/")?.strip_suffix("/last_port_id")?.to_owned());
        let there = |datapath: &str| all.iter().any(|(path, _)| path == datapath);
        let is_note = |path: &str| note_of(path).is_some_and(|datapath| there(&datapath));
        all.iter().filter(|(path, _)| !is_note(path)).cloned().collect()
    }

    /// The store's revision: it tells whether anything was written.
    pub fn revision(&self) -> i64 {
        let client = self.client();
        self.runtime.block_on(client.list(&self.key("nothing"))).unwrap().revision
    }

    /// The tutorial's network.
    pub fn tutorial(&self) {
        for line in [
            "ls add LS-A",
            "ls add LS-B",
            "lr add LR-central",
            "lr link LR-central LS-A 10.20.1.1/24,fd00:20:1::1/64",
            "lr link LR-central LS-B 10.20.2.1/24,fd00:20:2::1/64",
            "lsp add LS-A vm1 10.20.1.2,fd00:20:1::2",
            "lsp add LS-B vm2 10.20.2.2,fd00:20:2::2",
        ] {
            self.ok(line);
        }
    }

    /// Every object has the claims that it needs, and there are no others.
    pub fn claims_are_consistent(&self) {
        use tuplenet_model::{key::Key, object::Object};
        let all = self.all();
        let mut wanted: Vec<(String, String)> = Vec::new();
        for (path, value) in &all {
            let Ok(Some(key)) = Key::parse(path) else { continue };
            let Ok(object) = Object::parse(&key, value.as_bytes()) else { continue };
            wanted.extend(
                tuplenet_store::network::claims::of(&key, &object).into_iter().map(|claim| (claim, path.clone())),
            );
        }
        wanted.sort();
        let held: Vec<(String, String)> = all.into_iter().filter(|(path, _)| path.starts_with("claim/")).collect();
        assert_eq!(held, wanted);
    }
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
