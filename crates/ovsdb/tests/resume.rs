//! What a connection that was lost and found again tells.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Server, User, changed_schema};
use std::sync::{Arc, Mutex};
use tokio::net::{UnixListener, UnixStream};
use tuplenet_ovsdb::{Change, Config, Function, MonitorMethod, Mutator, Operation, Target, Value};

/// A switch with two bridges and some ports, seen by `user`, then the server killed.
async fn populate(server: &mut Server, user: &mut User) {
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    user.add_bridge("br1").await;
    user.add_ports("br0", &(0..200).map(|i| format!("vm{i}")).collect::<Vec<_>>()).await;
    // The last one known must be a small one: a server's history is never larger than its database, and starts with
    // that one.
    user.client.transact(vec![Operation::update("Bridge").all().column("datapath_type", "netdev")]).await.unwrap();
    user.drain();
    server.kill();
    user.down().await;
}

/// Changes made while `user` is not there: one port gone, one new, one bridge changed.
async fn change_behind_the_back(server: &Server) {
    let mut other = server.connect();
    other.up().await;
    while other.mirror.interfaces_of_bridge("br0").count() < 200 {
        other.update().await;
    }
    let port = other.mirror.ports().find(|(_, port)| &*port.name == "vm7").unwrap().0;
    let bridge = || Operation::mutate("Bridge").filter("name", Function::Equal, "br0");
    other
        .client
        .transact(vec![
            bridge().mutation("ports", Mutator::Delete, port),
            Operation::update("Bridge").filter("name", Function::Equal, "br1").column("fail_mode", "secure"),
        ])
        .await
        .unwrap();
    other.add_ports("br0", &["new".into()]).await;
}

/// After the restart `user` must be told these changes and nothing else.
async fn expect_difference(user: &mut User) {
    let (update, changes) = user.up().await;
    assert!(!update.initial);
    let kinds = |table: &str| {
        let mut kinds: Vec<_> = update
            .rows
            .iter()
            .filter(|row| &*row.table == table)
            .map(|row| match row.change {
                Change::Insert(_) => "insert",
                Change::Modify(_) => "modify",
                Change::Delete => "delete",
            })
            .collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds("Bridge"), ["modify", "modify"]);
    assert_eq!(kinds("Port"), ["delete", "insert"]);
    assert_eq!(kinds("Interface"), ["delete", "insert"]);
    assert_eq!(update.rows.len(), 6);
    assert_eq!(changes.len(), 6);
}

async fn expect_same(server: &Server, user: &User) {
    let mut fresh = server.connect();
    fresh.up().await;
    assert_eq!(fresh.mirror, user.mirror);
}

/// Passes connections on to the server, and counts the bytes that each brought to the client before the server ended
/// it.
fn counting_proxy(server: &Server) -> (Target, Arc<Mutex<Vec<u64>>>) {
    let (path, upstream) = (server.dir.file("proxy.sock"), server.dir.file("db.sock"));
    let listener = UnixListener::bind(&path).unwrap();
    let counts = Arc::new(Mutex::new(Vec::new()));
    let shared = counts.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let Ok(mut server) = UnixStream::connect(&upstream).await else { continue };
            let shared = shared.clone();
            tokio::spawn(async move {
                let (mut from_server, mut to_server) = server.split();
                let (mut from_client, mut to_client) = client.split();
                tokio::select! {
                    count = tokio::io::copy(&mut from_server, &mut to_client) => shared.lock().unwrap().push(count.unwrap()),
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                }
            });
        }
    });
    (Target::Unix(path), counts)
}

/// A standalone server never keeps a history: the difference is ours.
#[tokio::test]
async fn a_restarted_server_tells_the_difference() {
    for method in [MonitorMethod::Plain, MonitorMethod::Cond, MonitorMethod::CondSince] {
        let mut server = Server::start();
        let mut user = User::new(Config { newest_monitor: method, ..server.config() });
        populate(&mut server, &mut user).await;
        // Elsewhere, so that `user` cannot see it happen.
        server.socket = "other.sock";
        server.launch();
        change_behind_the_back(&server).await;
        server.kill();
        server.socket = "db.sock";
        server.launch();
        expect_difference(&mut user).await;
        expect_same(&server, &user).await;
    }
}

#[tokio::test]
async fn nothing_happened_meanwhile() {
    let mut server = Server::start();
    let mut user = server.connect();
    populate(&mut server, &mut user).await;
    server.launch();
    let (update, changes) = user.up().await;
    assert!(!update.initial && update.rows.is_empty() && changes.is_empty());
}

/// A cluster keeps a history, which reaches over a restart, and itself tells the difference.
#[tokio::test]
async fn a_cluster_resumes() {
    let mut server = Server::prepare(&[]);
    server.create_cluster();
    server.launch();
    let (proxy, counts) = counting_proxy(&server);
    let mut user = User::new(Config { target: proxy.clone(), ..server.config() });
    populate(&mut server, &mut user).await;
    // A cluster's server listens before it has read its log, and until then knows less than `user`: let that pass
    // first.
    server.socket = "other.sock";
    server.launch();
    change_behind_the_back(&server).await;
    server.socket = "db.sock";
    server.appctl(&["ovsdb-server/add-remote", &format!("punix:{}", server.dir.file("db.sock").display())]);
    expect_difference(&mut user).await;
    expect_same(&server, &user).await;
    // News after a resumption fits, too.
    user.client.transact(vec![Operation::update("Bridge").all().column("fail_mode", Value::empty())]).await.unwrap();
    let (_, changes) = user.update().await;
    assert_eq!(changes.bridges.len(), 1);
    expect_same(&server, &user).await;
    // It was the server that knew the difference: much less came than to one who knows nothing.
    let mut fresh = User::new(Config { target: proxy, ..server.config() });
    fresh.up().await;
    server.kill();
    user.down().await;
    fresh.down().await;
    let mut last: Vec<u64> = counts.lock().unwrap().iter().rev().take(2).copied().collect();
    last.sort_unstable();
    assert!(last[0] * 3 < last[1], "{last:?} bytes");
}

#[tokio::test]
async fn another_database_is_a_new_state() {
    let mut server = Server::start();
    let mut user = server.connect();
    populate(&mut server, &mut user).await;
    server.create(common::SCHEMA);
    server.launch();
    let (update, changes) = user.up().await;
    assert!(update.initial && update.rows.is_empty());
    // The mirror still tells what went: one switch, two bridges, 200 ports and interfaces.
    assert_eq!(changes.len(), 403);
    assert!(changes.interfaces.iter().all(|change| change.new.is_none()));
    user.init().await;
    user.add_bridge("br0").await;
    user.drain();
    expect_same(&server, &user).await;
}

/// A server that converts its database, or that starts with another schema, is asked again for all.
#[tokio::test]
async fn another_schema_is_a_new_state() {
    let mut server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    user.drain();
    let schema = changed_schema(server.dir.path(), "\"fail_mode\": {", "\"fail_mood\": {");
    let database = format!("unix:{}", server.dir.file("db.sock").display());
    common::run(&["ovsdb-client", "convert", &database, &schema]);
    assert!(user.down().await.contains("closed the connection"));
    let (update, changes) = user.up().await;
    assert!(update.initial);
    assert_eq!((update.rows.len(), changes.len()), (2, 0));
    server.kill();
    user.down().await;
}

/// Connections that break again and again, while the database changes: in the end nothing is missing.
#[tokio::test]
async fn a_server_that_keeps_dying() {
    let mut server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    for round in 0..6 {
        user.add_ports("br0", &[format!("a{round}"), format!("b{round}")]).await;
        server.kill();
        server.launch();
        assert!(!user.up().await.0.initial);
    }
    assert_eq!(user.mirror.interfaces_of_bridge("br0").count(), 12);
    expect_same(&server, &user).await;
}
