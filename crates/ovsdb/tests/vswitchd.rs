//! The mirror and the transactions with a real ovs-vswitchd, in its dummy mode, which needs neither root nor
//! namespaces.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Server, User};
use tuplenet_ovsdb::{Mutator, Operation, Value};

/// A server whose process also runs ovs-vswitchd, and ends it when the test ends.
fn start() -> Server {
    let mut server = Server::prepare(&[]);
    let dir = server.dir.path().display().to_string();
    server.run = format!(
        "OVS_RUNDIR={dir} ovs-vswitchd unix:{dir}/db.sock --enable-dummy=override --disable-system \
         --disable-system-route --unixctl={dir}/vswitchd.ctl >/dev/null 2>&1 & cat; kill $!; wait"
    );
    server.create(common::SCHEMA);
    server.launch();
    server
}

/// Follows the news until ovs-vswitchd has carried out what was asked for up to now.
async fn settled(user: &mut User) {
    let count = vec![
        Operation::mutate("Open_vSwitch").all().mutation("next_cfg", Mutator::Add, 1),
        Operation::select("Open_vSwitch").all().columns(["next_cfg"]),
    ];
    let results = user.client.transact(count).await.unwrap();
    let wanted = results[1].rows()[0].integer("next_cfg").unwrap();
    while user.mirror.open_vswitch().is_none_or(|(_, row)| row.cur_cfg < wanted) {
        user.update().await;
    }
}

/// The operations for a port with one interface; `id` names both within the transaction.
fn port(id: &str, name: &str, interface: Operation) -> [Operation; 2] {
    let port = Operation::insert("Port").named(&format!("p_{id}")).column("name", name);
    [
        interface.named(&format!("i_{id}")).column("name", name),
        port.column("interfaces", Value::named(&format!("i_{id}"))),
    ]
}

#[tokio::test]
async fn a_bridge_with_ports() {
    let server = start();
    let mut user = server.connect();
    user.up().await;
    user.init().await;
    let interface = |kind: &str| Operation::insert("Interface").column("type", kind);
    let flow_based = Value::map([("remote_ip", "flow"), ("key", "flow")]);
    let bridge = Operation::insert("Bridge")
        .named("bridge")
        .column("name", "br-int")
        .column("datapath_type", "dummy")
        .column("fail_mode", "secure")
        .column("protocols", Value::set(["OpenFlow10", "OpenFlow13", "OpenFlow15"]))
        .column("ports", Value::set(["p_local", "p_geneve", "p_vm", "p_bad"].map(Value::named)));
    let operations = [
        &port("local", "br-int", interface("internal"))[..],
        &port("geneve", "geneve0", interface("geneve").column("options", flow_based)),
        &port("vm", "vm1", interface("dummy").column("external_ids", Value::map([("iface-id", "lsp-1")]))),
        &port("bad", "bad0", interface("no-such-type")),
        &[bridge, Operation::mutate("Open_vSwitch").all().mutation("bridges", Mutator::Insert, Value::named("bridge"))],
    ];
    user.client.transact(operations.concat()).await.unwrap();
    settled(&mut user).await;

    let (_, switch) = user.mirror.open_vswitch().unwrap();
    assert!(switch.datapath_types.contains("dummy") && switch.iface_types.contains("geneve"));
    let (uuid, bridge) = user.mirror.bridge_by_name("br-int").unwrap();
    assert_eq!(bridge.datapath_id.as_ref().map(|id| id.len()), Some(16));
    assert_eq!(bridge.protocols.len(), 3);
    let by_name = |name: &str| user.mirror.interface_by_name(name).unwrap().1;
    assert_eq!(by_name("br-int").ofport(), Some(65534));
    assert!(by_name("vm1").ofport().is_some_and(|number| number < 65280));
    assert_eq!(by_name("vm1").iface_id(), Some("lsp-1"));
    assert!(by_name("vm1").mac_in_use.is_some());
    assert_eq!(by_name("geneve0").options.len(), 2);
    // Which ones could not be made, and why, is told.
    let bad = by_name("bad0");
    assert_eq!((bad.ofport(), bad.ofport_raw), (None, Some(-1)));
    assert!(bad.error.as_ref().is_some_and(|error| error.contains("bad0")), "{:?}", bad.error);

    // Taken out and put back, as a machine that restarts does: exactly its interface is told.
    let vm = user.mirror.interface_by_name("vm1").unwrap().0;
    let place = user.mirror.place(vm);
    assert_eq!(place.bridge, Some(uuid));
    let take_out = Operation::mutate("Bridge").row(uuid).mutation("ports", Mutator::Delete, place.port.unwrap());
    user.client.transact(vec![take_out]).await.unwrap();
    // ovs-vswitchd may have something to say of the others at any time; only this one goes.
    let changed = user.drain().into_iter().flat_map(|changes| changes.interfaces);
    let gone: Vec<_> = changed.filter(|change| change.new.is_none()).map(|change| change.uuid).collect();
    assert_eq!(gone, [vm]);
    let mut operations = port("vm", "vm1", interface("dummy")).to_vec();
    operations.push(Operation::mutate("Bridge").row(uuid).mutation("ports", Mutator::Insert, Value::named("p_vm")));
    user.client.transact(operations).await.unwrap();
    settled(&mut user).await;
    assert!(user.mirror.interface_by_name("vm1").is_some_and(|(again, row)| again != vm && row.ofport().is_some()));
}
