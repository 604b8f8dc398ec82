//! The store of a test, and the network in it.

use serde_json::{Value, json};
use tuplenet_fixture::{Dir, Process, free_address, wait_for, wait_some};
use tuplenet_store::{Client, Config, Op, Range, Txn};

pub struct Store {
    pub url: String,
    pub dir: Dir,
    process: Process,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Store {
    pub fn start() -> Self {
        let dir = Dir::new("store");
        let (process, url) = launch(&dir, &free_address().to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = {
            let _inside = runtime.enter();
            Client::new(Config::new(&url).unwrap()).unwrap()
        };
        Self { url, dir, process, runtime, client }
    }

    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Where it was before.
    pub fn restart(&mut self) {
        self.process = launch(&self.dir, &self.url).0;
    }

    /// A copy of the file, made while the store is down for a moment.
    pub fn backup(&mut self) {
        self.stop();
        std::fs::copy(self.dir.file("store.db"), self.dir.file("backup.db")).unwrap();
        self.restart();
    }

    /// Puts the backup back, lets others write where no agent sees it, and starts the store where it was.
    pub fn restore(&mut self, others: &[(String, Value)]) {
        self.stop();
        std::fs::copy(self.dir.file("backup.db"), self.dir.file("store.db")).unwrap();
        let (mut aside, url) = launch(&self.dir, "127.0.0.1:0");
        self.runtime.block_on(async {
            let client = Client::new(Config::new(&url).unwrap()).unwrap();
            for (path, value) in others {
                client.put(&format!("/tuplenet/v1/{path}"), value.to_string()).await.unwrap();
            }
        });
        aside.kill();
        self.restart();
    }

    pub fn put(&self, path: &str, value: Value) {
        self.put_text(path, &value.to_string());
    }

    pub fn put_text(&self, path: &str, text: &str) {
        self.runtime.block_on(self.client.put(&format!("/tuplenet/v1/{path}"), text.to_owned())).unwrap();
    }

    pub fn put_all(&self, objects: &[(String, Value)]) {
        for chunk in objects.chunks(100) {
            let ops = chunk.iter().map(|(path, value)| Op::put(&format!("/tuplenet/v1/{path}"), value.to_string()));
            assert!(self.runtime.block_on(self.client.txn(Txn::new().then_all(ops))).unwrap().succeeded);
        }
    }

    pub fn delete(&self, path: &str) {
        let key = format!("/tuplenet/v1/{path}");
        // After a restart of the store the first answer may be lost.
        wait_some("the store", || self.runtime.block_on(self.client.delete(Range::key(&key))).ok());
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        let (kv, _) = self.runtime.block_on(self.client.get(&format!("/tuplenet/v1/{path}"))).unwrap();
        kv.map(|kv| serde_json::from_slice(&kv.value).unwrap())
    }

    pub fn wait_binding(&self, port: &str, chassis: &str, generation: u64) {
        wait_for(&format!("{port} to be bound to {chassis} with generation {generation}"), || {
            self.get(&format!("binding/{port}")) == Some(json!({"chassis": chassis, "generation": generation}))
        });
    }

    /// Switch `LS-A` with id 1 and ports vm1..vmN, 10.1.0.N.
    pub fn switch_with_ports(&self, ports: u8) {
        self.put("ls/LS-A", json!({"id": 1, "flood": true}));
        for n in 1..=ports {
            self.port("LS-A", &format!("vm{n}"), n);
        }
    }

    pub fn port(&self, ls: &str, lsp: &str, n: u8) {
        self.put(&format!("ls/{ls}/lsp/{lsp}"), port(n));
    }
}

/// A switch port with addresses made from its number.
pub fn port(n: u8) -> Value {
    json!({"port_id": n, "mac": format!("f2:01:0a:01:00:{n:02x}"), "ips": [format!("10.1.0.{n}"), format!("fd00::{n:x}")]})
}

fn launch(dir: &Dir, listen: &str) -> (Process, String) {
    let data = dir.file("store.db").to_str().unwrap().to_owned();
    let argv = [env!("CARGO_BIN_EXE_tuplenet"), "store", "--data", &data, "--listen", listen, "--log-format", "json"];
    let process = Process::start(&argv, &[], &dir.file("store.log"));
    let url = wait_some("the store to listen", || {
        let log = process.log();
        let line = log.lines().find(|l| l.contains("the embedded store is open"))?;
        Some(serde_json::from_str::<Value>(line).ok()?.get("address")?.as_str()?.to_owned())
    });
    (process, url)
}
