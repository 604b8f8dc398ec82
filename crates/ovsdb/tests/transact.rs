//! Transactions with a real server.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Server, User};
use std::time::Duration;
use tuplenet_ovsdb::{Config, Function, Mutator, Operation, TransactError, Value};

#[tokio::test]
async fn every_operation() {
    let server = Server::start();
    let mut user = server.connect();
    user.up().await;
    let results = user
        .client
        .transact(vec![
            Operation::insert("Bridge")
                .named("br")
                .column("name", "br-int")
                .column("protocols", Value::set(["OpenFlow10", "OpenFlow15"]))
                .column("external_ids", Value::map([("a", "1"), ("b", "2")])),
            Operation::insert("Open_vSwitch").column("bridges", Value::named("br")),
            Operation::comment("tuplenet test"),
            Operation::commit(true),
        ])
        .await
        .unwrap();
    let bridge = results[0].uuid().unwrap();
    assert_eq!(results.len(), 4);
    // The news of a transaction is there before its reply.
    user.drain();
    assert_eq!(user.mirror.bridge_by_name("br-int").unwrap().0, bridge);

    let results = user
        .client
        .transact(vec![
            Operation::wait("Bridge", Function::Equal, vec![vec![("name", "br-int".into())]])
                .row(bridge)
                .timeout(Duration::ZERO),
            Operation::update("Bridge").row(bridge).column("fail_mode", "secure"),
            Operation::mutate("Bridge")
                .filter("name", Function::Equal, "br-int")
                .mutation("external_ids", Mutator::Delete, Value::set(["a"]))
                .mutation("external_ids", Mutator::Insert, Value::map([("c", "3")])),
            Operation::select("Bridge").row(bridge).columns([
                "_uuid",
                "name",
                "fail_mode",
                "external_ids",
                "protocols",
            ]),
            Operation::mutate("Open_vSwitch").all().mutation("next_cfg", Mutator::Add, 1),
        ])
        .await
        .unwrap();
    assert_eq!((results[1].count(), results[2].count()), (Some(1), Some(1)));
    let row = &results[3].rows()[0];
    assert_eq!((row.uuid("_uuid"), row.string("fail_mode")), (Some(bridge), Some("secure")));
    assert_eq!(row.string_map("external_ids"), [("b".into(), "2".into()), ("c".into(), "3".into())].into());
    assert_eq!(row.strings("protocols").len(), 2);
    assert_eq!(row.string("protocols"), None);

    let results = user
        .client
        .transact(vec![
            Operation::update("Open_vSwitch").all().column("bridges", Value::empty()),
            Operation::delete("Bridge").filter("name", Function::Equal, "no such bridge"),
        ])
        .await
        .unwrap();
    assert_eq!((results[0].count(), results[1].count()), (Some(1), Some(0)));
    user.drain();
    assert!(user.mirror.bridge_by_name("br-int").is_none());
    assert_eq!(user.mirror.open_vswitch().unwrap().1.next_cfg, 1);
    assert_eq!(user.client.transact(Vec::new()).await.unwrap(), []);
}

async fn refusal(user: &User, operations: Vec<Operation>) -> String {
    user.client.transact(operations).await.unwrap_err().to_string()
}

#[tokio::test]
async fn refusals_name_the_operation() {
    let server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    user.drain();
    let wait = |rows| Operation::wait("Bridge", Function::Equal, rows).all().timeout(Duration::ZERO);
    assert_eq!(
        refusal(&user, vec![Operation::comment("x"), wait(vec![vec![("name", "other".into())]])]).await,
        "operation 2 of 2, wait for Bridge, was refused by ovsdb: timed out: \"where\" clause test failed; nothing was changed"
    );
    assert_eq!(
        refusal(&user, vec![Operation::update("Bridge").all().column("nosuch", "x"), Operation::comment("x")]).await,
        "operation 1 of 2, update of Bridge, was refused by ovsdb: unknown column: No column nosuch in table Bridge.; nothing was changed"
    );
    let bridge = vec![
        Operation::insert("Bridge").named("b").column("name", "br0"),
        Operation::mutate("Open_vSwitch").all().mutation("bridges", Mutator::Insert, Value::named("b")),
    ];
    let text = refusal(&user, bridge.clone()).await;
    assert!(text.starts_with("the transaction (insert into Bridge, mutate of Open_vSwitch) was refused by ovsdb at commit: constraint violation: "), "{text}");
    let aborted = user.client.transact([bridge, vec![Operation::abort()]].concat()).await.unwrap_err();
    let TransactError::Operation { index: 3, count: 3, operation, error, .. } = aborted else { panic!("{aborted}") };
    assert_eq!((operation.as_str(), error.as_str()), ("abort", "aborted"));
    assert!(refusal(&user, vec![Operation::assert("lock")]).await.contains("not owner"));
    assert!(refusal(&user, vec![Operation::delete("Bridge")]).await.contains("does not say which rows"));
    // None of it changed anything, and the connection is as good as before.
    assert!(user.drain().is_empty());
    assert_eq!(user.mirror.bridges().count(), 1);
}

#[tokio::test]
async fn waits_do_not_block_others() {
    let server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    let client = user.client.clone();
    let wait = Operation::wait("Bridge", Function::Equal, vec![vec![("name", "br0".into())]]).all().columns(["name"]);
    let waiting = tokio::spawn(async move { client.transact(vec![wait]).await });
    user.client.transact(vec![Operation::comment("meanwhile")]).await.unwrap();
    assert!(!waiting.is_finished());
    user.add_bridge("br0").await;
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_reply_is_told_as_such() {
    let mut server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    let client = user.client.clone();
    let wait = Operation::wait("Bridge", Function::Equal, vec![vec![("name", "br0".into())]]).all();
    let waiting = tokio::spawn(async move { client.transact(vec![wait]).await });
    // Both are in one queue: when this is answered the other one was sent, too.
    tokio::task::yield_now().await;
    user.client.transact(vec![Operation::comment("after it")]).await.unwrap();
    server.kill();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, TransactError::OutcomeUnknown { .. }), "{error}");
    user.down().await;
    let error = user.client.transact(vec![Operation::comment("x")]).await.unwrap_err();
    assert!(matches!(error, TransactError::NotConnected { .. }), "{error}");
}

#[tokio::test]
async fn no_server_and_no_database() {
    let mut server = Server::prepare(&[]);
    let mut user = server.connect();
    let why = user.down().await;
    assert!(why.contains("there is no such socket; is ovsdb-server running?"), "{why}");
    let error = user.client.transact(vec![Operation::comment("x")]).await.unwrap_err().to_string();
    assert!(error.contains("nothing was changed, try again when it is up"), "{error}");
    // It comes up by itself, and was told down once only, however many attempts there were.
    server.create(common::SCHEMA);
    server.launch();
    loop {
        match user.event().await {
            tuplenet_ovsdb::Event::Down(again) => assert_ne!(again, why),
            other => break assert_eq!(other, tuplenet_ovsdb::Event::Up),
        }
    }

    let mut user = User::new(Config { database: "nosuch".into(), ..server.config() });
    let why = user.down().await;
    assert!(why.contains("cannot serve database nosuch: unknown database"), "{why}");
}

#[tokio::test]
async fn ends_with_its_last_client() {
    let server = Server::start();
    let mut user = server.connect();
    user.up().await;
    let (client, mut events) = (user.client.clone(), user.events);
    drop(user.client);
    client.transact(vec![Operation::comment("still here")]).await.unwrap();
    drop(client);
    assert_eq!(tokio::time::timeout(common::PATIENCE, events.recv()).await.unwrap(), None);
    // The other way round: nobody listens, transactions go on.
    let (client, events) = tuplenet_ovsdb::connect(server.config());
    drop(events);
    client.transact(vec![Operation::insert("Open_vSwitch")]).await.unwrap();
    for _ in 0..100 {
        let count = Operation::mutate("Open_vSwitch").all().mutation("next_cfg", Mutator::Add, 1);
        client.transact(vec![count]).await.unwrap();
    }
}

/// The news of a transaction is in the channel before its reply is known, also when the connection's task is on another
/// thread.
#[tokio::test]
async fn news_before_reply() {
    let server = Server::start();
    let config = server.config();
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    let (give, take) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            give.send(User::new(config)).ok().unwrap();
            let _ = wait.await;
        });
    });
    let mut user = take.await.unwrap();
    user.up().await;
    user.init().await;
    for round in 1..300 {
        let count = Operation::mutate("Open_vSwitch").all().mutation("next_cfg", Mutator::Add, 1);
        user.client.transact(vec![count]).await.unwrap();
        user.drain();
        assert_eq!(user.mirror.open_vswitch().unwrap().1.next_cfg, round);
    }
    done.send(()).unwrap();
    thread.join().unwrap();
}
