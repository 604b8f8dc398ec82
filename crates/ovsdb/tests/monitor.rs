//! Watching tables of a real server.

#![allow(clippy::unwrap_used)]

mod common;

use common::{PATIENCE, Server, User, config};
use tuplenet_ovsdb::mirror::Mirror;
use tuplenet_ovsdb::{
    Change, Condition, Config, Event, Function, MonitorMethod, Mutator, Operation, Row, TableMonitor, Uuid, Value,
    connect,
};

const METHODS: [MonitorMethod; 3] = [MonitorMethod::Plain, MonitorMethod::Cond, MonitorMethod::CondSince];

fn bridges(columns: &[&str], condition: Vec<Condition>) -> Vec<TableMonitor> {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    vec![TableMonitor { table: "Bridge".into(), columns, condition }]
}

#[tokio::test]
async fn whole_values_by_every_method() {
    for method in METHODS {
        let server = Server::start();
        let mut user = User::new(Config { newest_monitor: method, ..server.config() });
        let (update, changes) = user.up().await;
        assert!(update.initial && update.rows.is_empty() && changes.is_empty());
        user.init().await;
        user.add_bridge("br0").await;
        user.drain();
        let (bridge, row) = user.mirror.bridge_by_name("br0").map(|(uuid, row)| (uuid, row.clone())).unwrap();
        assert_eq!((&row.fail_mode, row.protocols.len(), &*row.datapath_type), (&None, 0, ""));
        // Each step is one difference on the wire: of sets and maps, of optional and of plain columns.
        let steps = [
            Operation::update("Bridge").all().column("protocols", Value::set(["OpenFlow10", "OpenFlow13"])),
            Operation::mutate("Bridge").all().mutation("protocols", Mutator::Insert, "OpenFlow15"),
            Operation::mutate("Bridge").all().mutation("protocols", Mutator::Delete, "OpenFlow10"),
            Operation::update("Bridge").all().column("protocols", Value::empty()),
            Operation::update("Bridge").all().column("external_ids", Value::map([("a", "1"), ("b", "2")])),
            Operation::update("Bridge").all().column("external_ids", Value::map([("b", "3"), ("c", "4")])),
            Operation::mutate("Bridge").all().mutation("external_ids", Mutator::Delete, Value::set(["b"])),
            Operation::update("Bridge").all().column("external_ids", Value::map::<&str, &str>([])),
            Operation::update("Bridge").all().column("fail_mode", "secure"),
            Operation::update("Bridge").all().column("fail_mode", "standalone"),
            Operation::update("Bridge").all().column("fail_mode", Value::empty()),
            Operation::update("Bridge").all().column("datapath_type", "netdev"),
            Operation::update("Bridge").all().column("datapath_type", ""),
        ];
        for step in steps {
            user.client.transact(vec![step.clone()]).await.unwrap();
            let (update, changes) = user.update().await;
            assert_eq!((update.rows.len(), changes.len(), changes.bridges.len()), (1, 1, 1), "{method:?} {step:?}");
            let Change::Modify(columns) = &update.rows[0].change else { panic!("{update:?}") };
            let select = Operation::select("Bridge").row(bridge);
            let results = user.client.transact(vec![select]).await.unwrap();
            // Exactly one column changed, and it is told as a whole.
            let told: Vec<_> = columns.iter().collect();
            assert_eq!(told.len(), 1, "{method:?} {step:?}");
            assert_eq!(Some(told[0].1), results[0].rows()[0].get(told[0].0), "{method:?} {step:?}");
            let mut fresh = User::new(server.config());
            fresh.up().await;
            assert_eq!(fresh.mirror, user.mirror, "{method:?} {step:?}");
        }
        assert_eq!(user.mirror.bridge(bridge), Some(&row));
        // Writing what is there already is no news.
        user.client.transact(vec![Operation::update("Bridge").all().column("datapath_type", "")]).await.unwrap();
        assert!(user.drain().is_empty());
    }
}

#[tokio::test]
async fn only_rows_of_the_condition() {
    let server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    for name in ["br0", "br1"] {
        user.add_bridge(name).await;
    }
    let secure = Condition::new("fail_mode", Function::Equal, "secure");
    for method in [MonitorMethod::Cond, MonitorMethod::CondSince] {
        let monitor = bridges(&["name", "fail_mode"], vec![secure.clone()]);
        let (client, mut events) = connect(Config { monitor, newest_monitor: method, ..server.config() });
        assert_eq!(events.recv().await, Some(Event::Up));
        let Some(Event::Update(update)) = events.recv().await else { panic!() };
        assert!(update.initial && update.rows.is_empty());
        let mut change = async |value: Value| {
            let update = Operation::update("Bridge").filter("name", Function::Equal, "br1").column("fail_mode", value);
            client.transact(vec![update]).await.unwrap();
            let Some(Event::Update(update)) = events.recv().await else { panic!() };
            assert_eq!(update.rows.len(), 1);
            update.rows.into_iter().next().unwrap().change
        };
        let Change::Insert(row) = change("secure".into()).await else { panic!() };
        assert_eq!((row.string("name"), row.string("fail_mode")), (Some("br1"), Some("secure")));
        assert_eq!(change(Value::empty()).await, Change::Delete);
    }
    let monitor = bridges(&["name"], vec![secure]);
    let mut old = User::new(Config { monitor, newest_monitor: MonitorMethod::Plain, ..server.config() });
    assert!(old.down().await.contains("too old"));
}

#[tokio::test]
async fn an_old_server_is_asked_the_old_way() {
    let server = Server::start();
    server.appctl(&["ovsdb-server/disable-monitor-cond"]);
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    user.drain();
    assert!(user.mirror.bridge_by_name("br0").is_some());
}

#[tokio::test]
async fn what_the_schema_lacks_is_left_out() {
    let server = Server::start();
    let mut monitor = bridges(&["name", "no_such_column", "fail_mode"], Vec::new());
    monitor.push(TableMonitor { table: "No_Such_Table".into(), columns: vec!["x".into()], condition: Vec::new() });
    let mut user = User::new(Config { monitor, ..server.config() });
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    let (update, _) = user.update().await;
    let Change::Insert(row) = &update.rows[0].change else { panic!() };
    assert_eq!(row.iter().map(|(column, _)| column).collect::<Vec<_>>(), ["fail_mode", "name"]);

    let monitor = vec![TableMonitor { table: "No_Such_Table".into(), columns: Vec::new(), condition: Vec::new() }];
    let mut user = User::new(Config { monitor, ..server.config() });
    assert!(user.down().await.contains("none of the tables to be watched (No_Such_Table)"));
}

/// The original lost sight of all ports at 1,600 interfaces.
#[tokio::test]
async fn five_thousand_interfaces_at_once() {
    let server = Server::start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    user.add_bridge("br-int").await;
    let names: Vec<String> = (0..5000).map(|i| format!("vm{i}")).collect();
    user.add_ports("br-int", &names).await;
    let changes = user.drain();
    assert_eq!(changes.last().unwrap().interfaces.len(), 5000);
    let mut fresh = server.connect();
    let (update, changes) = fresh.up().await;
    assert!(update.initial);
    assert_eq!((changes.interfaces.len(), changes.ports.len(), changes.len()), (5000, 5000, 10002));
    for mirror in [&user.mirror, &fresh.mirror] {
        let mut seen: Vec<_> = mirror.interfaces_of_bridge("br-int").filter_map(|(_, row)| row.iface_id()).collect();
        seen.sort_unstable();
        let mut wanted: Vec<_> = names.iter().map(|name| format!("lsp-{name}")).collect();
        wanted.sort_unstable();
        assert_eq!(seen, wanted);
    }
    // One more port is three rows of news, however many there are.
    user.add_ports("br-int", &["one-more".into()]).await;
    let (update, changes) = fresh.update().await;
    assert_eq!((update.rows.len(), changes.len(), changes.interfaces.len()), (3, 3, 1));
    let place = changes.interfaces[0].new.as_ref().unwrap().place;
    assert_eq!(place.bridge, fresh.mirror.bridge_by_name("br-int").map(|(uuid, _)| uuid));
}

/// Whoever does not read news still gets its transactions done, and in the end sees the state.
#[tokio::test]
async fn a_user_that_does_not_read() {
    let server = Server::start();
    let mut user = server.connect();
    user.init().await;
    user.add_bridge("br0").await;
    for i in 0..1500 {
        let mark = Value::map([("step", i.to_string())]);
        user.client.transact(vec![Operation::update("Bridge").all().column("external_ids", mark)]).await.unwrap();
    }
    let mut initial = 0;
    while user.mirror.bridge_by_name("br0").and_then(|(_, row)| row.external_ids.get("step").cloned())
        != Some("1499".into())
    {
        match user.event().await {
            Event::Update(update) => {
                initial += usize::from(update.initial);
                user.mirror.apply(&update);
            }
            Event::Up => {}
            Event::Down(why) => panic!("{why}"),
        }
    }
    assert!(initial >= 2, "the first state, and the one that stands for the dropped steps");
    let mut fresh = server.connect();
    fresh.up().await;
    assert_eq!(fresh.mirror, user.mirror);
}

/// Two clients of random transactions: each sees in the end what a third one that comes late sees.
#[tokio::test]
async fn random_transactions() {
    let server = Server::start();
    let mut users = Vec::new();
    for method in METHODS {
        let mut user = User::new(Config { newest_monitor: method, ..server.config() });
        user.up().await;
        users.push(user);
    }
    users[0].init().await;
    let mut random = 1u64;
    let mut pick = |n: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % n
    };
    for step in 0..300 {
        let user = &users[pick(3) as usize];
        let name = format!("br{}", pick(3));
        let bridge = |op: Operation| op.filter("name", Function::Equal, name.as_str());
        let elements: Vec<_> = (0..pick(4)).map(|_| format!("OpenFlow1{}", pick(6))).collect();
        let elements = || Value::set(elements.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>());
        let pairs: std::collections::BTreeMap<_, _> =
            (0..pick(4)).map(|_| (pick(4).to_string(), pick(3).to_string())).collect();
        match pick(8) {
            0 => drop(
                user.client
                    .transact(vec![
                        Operation::insert("Bridge").named("bridge").column("name", name.as_str()),
                        Operation::mutate("Open_vSwitch").all().mutation(
                            "bridges",
                            Mutator::Insert,
                            Value::named("bridge"),
                        ),
                    ])
                    .await,
            ),
            1 => drop(
                user.client
                    .transact(vec![Operation::update("Open_vSwitch").all().column("bridges", Value::empty())])
                    .await,
            ),
            2 => drop(
                user.client
                    .transact(vec![bridge(Operation::mutate("Bridge")).mutation(
                        "protocols",
                        Mutator::Insert,
                        elements(),
                    )])
                    .await
                    .unwrap(),
            ),
            3 => drop(
                user.client
                    .transact(vec![bridge(Operation::mutate("Bridge")).mutation(
                        "protocols",
                        Mutator::Delete,
                        elements(),
                    )])
                    .await
                    .unwrap(),
            ),
            4 => drop(
                user.client
                    .transact(vec![bridge(Operation::update("Bridge")).column("external_ids", Value::map(pairs))])
                    .await
                    .unwrap(),
            ),
            5 => drop(
                user.client
                    .transact(vec![bridge(Operation::mutate("Bridge")).mutation(
                        "external_ids",
                        Mutator::Insert,
                        Value::map(pairs),
                    )])
                    .await
                    .unwrap(),
            ),
            6 if user.client.transact(vec![bridge(Operation::select("Bridge"))]).await.unwrap()[0].rows().len()
                == 1 =>
            {
                let names: Vec<_> = (0..pick(3)).map(|i| format!("port{step}-{i}")).collect();
                user.add_ports(&name, &names).await;
            }
            _ => drop(
                user.client
                    .transact(vec![bridge(Operation::update("Bridge")).column("ports", Value::empty())])
                    .await
                    .unwrap(),
            ),
        }
    }
    let mut late = server.connect();
    late.up().await;
    for mut user in users {
        let start = std::time::Instant::now();
        while user.mirror != late.mirror {
            assert!(start.elapsed() < PATIENCE, "{:#?}\n{:#?}", user.mirror, late.mirror);
            user.update().await;
        }
        assert!(user.drain().is_empty());
    }
}

#[tokio::test]
async fn nothing_to_watch() {
    let server = Server::start();
    let (client, mut events) = connect(Config { monitor: Vec::new(), ..config(server.target()) });
    assert_eq!(events.recv().await, Some(Event::Up));
    let results = client
        .transact(vec![Operation::insert("Open_vSwitch"), Operation::select("Open_vSwitch").all()])
        .await
        .unwrap();
    assert_ne!(results[1].rows()[0].uuid("_uuid"), Some(Uuid::ZERO));
    assert_ne!(results[1].rows(), [Row::default()]);
    assert!(events.try_recv().is_err());
    assert!(Mirror::new().open_vswitch().is_none());
}
