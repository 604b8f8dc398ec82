//! `etcdctl` works against the embedded store, and prints what it prints against etcd.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Store;
use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Command, Stdio},
};

fn command(endpoint: &str, args: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={endpoint}")).args(args);
    command
}

/// What it prints, errors included; `input` is what is typed.
fn etcdctl(endpoint: &str, args: &[&str], input: &str) -> String {
    let mut command = command(endpoint, args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("etcdctl: install etcd-client");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    // Logs of the client carry times.
    text.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_prints_the_same() {
    let stores = Store::both().await;
    let script: &[(&[&str], &str)] = &[
        (&["put", "/t/a", "1"], ""),
        (&["put", "/t/b", "2", "--prev-kv"], ""),
        (&["put", "/t/b", "3", "--prev-kv"], ""),
        (&["get", "/t", "--prefix"], ""),
        (&["get", "/t", "--prefix", "--keys-only"], ""),
        (&["get", "/t", "--prefix", "--order=DESCEND", "--sort-by=MODIFY", "--limit=1"], ""),
        (&["get", "/t/b", "--rev=3", "--print-value-only"], ""),
        (&["get", "/t", "--from-key", "-w", "fields", "--print-value-only"], ""),
        (&["txn"], "mod(\"/t/a\") > \"1\"\nvalue(\"/t/b\") = \"3\"\n\nput /t/c 4\nget /t/a\n\nget /t/b\n\n"),
        (&["txn"], "create(\"/t/a\") = \"0\"\n\nput /t/c 5\n\nget /t --prefix\ndel /t/c --prev-kv\n\n"),
        (&["del", "/t/a", "--prev-kv"], ""),
        (&["del", "/t", "--prefix"], ""),
        (&["lease", "keep-alive", "--once", "694d"], ""),
        (&["lease", "revoke", "694d"], ""),
        (&["lease", "timetolive", "694d"], ""),
        (&["lease", "list"], ""),
        (&["put", "--lease=694d", "/t/x", "y"], ""),
        (&["compaction", "5"], ""),
        (&["compaction", "5"], ""),
        (&["get", "/t/b", "--rev=3"], ""),
        (&["compaction", "500"], ""),
        (&["put", "", "x"], ""),
        (&["alarm", "list"], ""),
    ];
    for (args, input) in script {
        let mut answers = Vec::new();
        for store in &stores {
            let endpoint = store.endpoints();
            answers.push(strip_ids(&etcdctl(&endpoint, args, input)));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "etcdctl {args:?}: {answers:#?}");
    }
    for store in &stores {
        let endpoint = store.endpoints();
        assert!(etcdctl(&endpoint, &["endpoint", "health"], "").contains("is healthy"), "{}", store.name());
        assert!(etcdctl(&endpoint, &["endpoint", "status", "-w", "table"], "").contains("3.4."));
        assert!(etcdctl(&endpoint, &["member", "list", "-w", "table"], "").contains("started"));
        assert!(etcdctl(&endpoint, &["defrag"], "").contains("Finished"));
        leases(&endpoint);
        watch(&endpoint);
    }
    let Some(Store::Embedded(store)) = stores.first() else { panic!("the embedded store is first") };
    let refused = etcdctl(&store.endpoint, &["user", "list"], "");
    assert!(refused.contains("the embedded store has no users and roles: run etcd"), "{refused}");
}

/// Member and cluster ids are random.
fn strip_ids(text: &str) -> String {
    let id = |line: &&str| {
        !line.starts_with("\"ClusterID\"") && !line.starts_with("\"MemberID\"") && !line.starts_with("\"RaftTerm\"")
    };
    text.lines().filter(id).collect::<Vec<_>>().join("\n")
}

fn leases(endpoint: &str) {
    let granted = etcdctl(endpoint, &["lease", "grant", "100"], "");
    let id = granted
        .strip_prefix("lease ")
        .and_then(|rest| rest.split_once(' '))
        .map(|(id, _)| id.to_owned())
        .expect("an id");
    assert!(granted.ends_with("granted with TTL(100s)"), "{granted}");
    assert_eq!(etcdctl(endpoint, &["put", &format!("--lease={id}"), "/leased", "y"], ""), "OK");
    assert_eq!(
        etcdctl(endpoint, &["lease", "keep-alive", "--once", &id], ""),
        format!("lease {id} keepalived with TTL(100)")
    );
    let left = etcdctl(endpoint, &["lease", "timetolive", &id, "--keys"], "");
    assert!(
        left.contains("granted with TTL(100s), remaining(") && left.ends_with("attached keys([/leased])"),
        "{left}"
    );
    assert!(etcdctl(endpoint, &["lease", "list"], "").ends_with(&id));
    assert_eq!(etcdctl(endpoint, &["lease", "revoke", &id], ""), format!("lease {id} revoked"));
    assert_eq!(etcdctl(endpoint, &["get", "/leased"], ""), "");
}

fn watch(endpoint: &str) {
    etcdctl(endpoint, &["put", "/w/1", "before"], "");
    let revision: i64 = {
        let fields = etcdctl(endpoint, &["get", "/w/1", "-w", "fields"], "");
        let line = fields.lines().find(|line| line.starts_with("\"ModRevision\"")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let from = format!("--rev={revision}");
    let child =
        command(endpoint, &["watch", "/w/", "--prefix", "--prev-kv", &from]).stdout(Stdio::piped()).spawn().unwrap();
    let mut process = common::Process(child);
    etcdctl(endpoint, &["put", "/w/1", "after"], "");
    etcdctl(endpoint, &["del", "/w/1"], "");
    let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let expected =
        ["PUT", "/w/1", "before", "PUT", "/w/1", "before", "/w/1", "after", "DELETE", "/w/1", "after", "/w/1", ""];
    let seen: Vec<String> = lines.take(expected.len()).map(Result::unwrap).collect();
    let mut seen_sorted = seen.clone();
    // etcdctl prints the old value with its header "PUT" and the new one after it; only the lines matter here.
    seen_sorted.sort();
    let mut expected_sorted: Vec<String> = expected.map(str::to_owned).to_vec();
    expected_sorted.sort();
    assert_eq!(seen_sorted, expected_sorted, "{seen:?}");
}
