//! The network of the measurements, as keys and values of the store: the shape of `crates/rules/benches/engine.rs`, so that the
//! rules' own cost there and the whole path's here are of the same network.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use tuplenet_store::{Client, Op, Txn};

/// Hosts that the store knows, the measured one included.
pub const CHASSIS: u32 = 2_000;
/// Logical switches.
pub const SWITCHES: u32 = 500;
/// Ports on each of them.
pub const PORTS: u32 = 40;
/// Logical routers, with five switches each.
pub const ROUTERS: u32 = 100;
/// Ports that the measured host has: two on each switch of the first router.
pub const LOCAL: u32 = 10;
/// Switches of one router.
pub const PER_ROUTER: u32 = SWITCHES / ROUTERS;
/// Prefixes of other routers that each router has a static route to.
const ROUTES: u32 = 20;
/// Operations of one transaction: the most that etcd takes.
const OPS: usize = 128;

/// A key below `<prefix>/v1/` and its value.
pub type Object = (String, String);

/// The name of a port.
pub fn port_name(switch: u32, port: u32) -> String {
    format!("vm-{switch}-{port}")
}

/// The id of a switch, which its flows' cookies have.
pub fn switch_id(switch: u32) -> u32 {
    switch + 1
}

/// Whether a port is on the measured host, so that its agent is to write the binding.
fn is_local(switch: u32, port: u32) -> bool {
    switch < PER_ROUTER && port <= LOCAL / PER_ROUTER
}

/// The names of the ports on the measured host.
pub fn local_ports() -> Vec<String> {
    (0..PER_ROUTER).flat_map(|switch| (1..=LOCAL / PER_ROUTER).map(move |port| port_name(switch, port))).collect()
}

/// A port and, unless it is local, its binding to some other host.
pub fn port(switch: u32, port: u32) -> Vec<Object> {
    let (a, b, name) = (switch / 250, switch % 250, port_name(switch, port));
    let mac = format!("f2:01:{a:02x}:{b:02x}:{:02x}:{:02x}", port >> 8, port & 255);
    let value = format!(r#"{{"port_id":{port},"mac":"{mac}","ips":["10.{a}.{b}.{port}"]}}"#);
    let mut objects = vec![(format!("ls/ls-{switch}/lsp/{name}"), value)];
    if !is_local(switch, port) {
        let chassis = (switch * PORTS + port) % (CHASSIS - 1) + 1;
        let binding = format!(r#"{{"chassis":"far-{chassis}","generation":1}}"#);
        objects.push((format!("binding/ls-{switch}/{name}"), binding));
    }
    objects
}

/// The two ports by which a router and a switch are linked; `router_port` and `switch_port` are their ids.
fn link(router: u32, ls: &str, (router_port, switch_port): (u32, u32), ip: Ipv4Addr, mac: &str) -> [Object; 2] {
    let (lrp, lsp) = (format!("lr-{router}_to_{ls}"), format!("{ls}_to_lr-{router}"));
    [
        (
            format!("lr/lr-{router}/lrp/{lrp}"),
            format!(
                r#"{{"port_id":{router_port},"mac":"{mac}","nets":["{ip}/24"],"peer":{{"ls":"{ls}","lsp":"{lsp}"}}}}"#
            ),
        ),
        (
            format!("ls/{ls}/lsp/{lsp}"),
            format!(
                r#"{{"port_id":{switch_port},"mac":"{mac}","ips":["{ip}"],"peer":{{"lr":"lr-{router}","lrp":"{lrp}"}}}}"#
            ),
        ),
    ]
}

/// The prefix of a switch as its first two bytes after 10.
fn subnet(switch: u32) -> (u8, u8) {
    ((switch / 250) as u8, (switch % 250) as u8)
}

/// Everything but the backbone: each router reaches its own 200 ports.
pub fn islands() -> Vec<Object> {
    let mut objects = Vec::new();
    // The measured host's own chassis is written by its agent.
    for chassis in 1..CHASSIS {
        let ip = format!("172.16.{}.{}", chassis / 250, chassis % 250 + 1);
        objects.push((format!("chassis/far-{chassis}"), format!(r#"{{"encaps":[{{"type":"geneve","ip":"{ip}"}}]}}"#)));
    }
    for switch in 0..SWITCHES {
        objects.push((format!("ls/ls-{switch}"), format!(r#"{{"id":{}}}"#, switch_id(switch))));
        objects.extend((1..=PORTS).flat_map(|p| port(switch, p)));
    }
    for router in 0..ROUTERS {
        objects.push((format!("lr/lr-{router}"), format!(r#"{{"id":{},"chassis":null}}"#, 2000 + router)));
        for (port, switch) in (1..).zip(router * PER_ROUTER..(router + 1) * PER_ROUTER) {
            let (a, b) = subnet(switch);
            let (ip, mac) = (Ipv4Addr::new(10, a, b, 254), format!("f2:01:{a:02x}:{b:02x}:ff:fe"));
            objects.extend(link(router, &format!("ls-{switch}"), (port, 1000), ip, &mac));
        }
    }
    objects
}

/// What joins all routers: a backbone switch, and static routes from each router to prefixes of others.
pub fn backbone() -> Vec<Object> {
    let mut objects = vec![("ls/backbone".to_owned(), r#"{"id":1000}"#.to_owned())];
    for router in 0..ROUTERS {
        let ip = Ipv4Addr::new(100, 64, 0, router as u8 + 1);
        objects.extend(link(router, "backbone", (10, router + 1), ip, &format!("f2:02:00:00:00:{router:02x}")));
        for route in 1..=ROUTES {
            let other = (router + route) % ROUTERS;
            let ((a, b), hop) = (subnet(other * PER_ROUTER), other + 1);
            objects.push((
                format!("lr/lr-{router}/lsr/to-{other}"),
                format!(
                    r#"{{"prefix":"10.{a}.{b}.0/24","next_hop":"100.64.0.{hop}","outport":"lr-{router}_to_backbone"}}"#
                ),
            ));
        }
    }
    objects
}

/// Writes objects in as few transactions as the store takes; the revision of the last.
pub async fn write(client: &Client, root: &str, objects: &[Object]) -> Result<i64> {
    let mut revision = 0;
    for some in objects.chunks(OPS) {
        let puts = some.iter().map(|(path, value)| Op::put(&format!("{root}{path}"), value.clone()));
        let reply = client.txn(Txn::new().then_all(puts)).await?;
        ensure!(reply.succeeded, "the store refused a transaction without conditions");
        revision = reply.revision;
    }
    Ok(revision)
}
