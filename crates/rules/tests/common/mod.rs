//! A network for tests, told to the engine as the store and the switch would tell it.
#![allow(dead_code)] // each test file uses its part

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    Change, ClaimMark, Config, Engine, FlowChange, GroupChange, LocalInterface, LocalPatch, Output, Scope,
};

pub const ME: &str = "hv1";

pub fn name(s: &str) -> Name {
    s.parse().expect("a test's name is valid")
}

pub fn engine() -> Engine {
    Engine::new(Config { chassis: name(ME), scope: Scope::Reachable })
}

pub fn object(path: impl Into<String>, json: impl Into<String>) -> Change {
    Change::Object { path: path.into(), value: Some(json.into().into_bytes().into()), create_revision: 1 }
}

pub fn delete(path: impl Into<String>) -> Change {
    Change::Object { path: path.into(), value: None, create_revision: 0 }
}

pub fn ls(ls: &str, id: u32) -> Change {
    object(format!("ls/{ls}"), format!(r#"{{"id":{id}}}"#))
}

pub fn flooding_ls(ls: &str, id: u32) -> Change {
    object(format!("ls/{ls}"), format!(r#"{{"id":{id},"flood":true}}"#))
}

pub fn lr(lr: &str, id: u32) -> Change {
    object(format!("lr/{lr}"), format!(r#"{{"id":{id},"chassis":null}}"#))
}

pub fn pinned_lr(lr: &str, id: u32, chassis: &str) -> Change {
    object(format!("lr/{lr}"), format!(r#"{{"id":{id},"chassis":"{chassis}"}}"#))
}

/// A port with an IPv4 and an IPv6 address made from the switch's number and its own.
pub fn lsp(ls: &str, net: u8, port: u16) -> Change {
    let (high, low) = (port >> 8, port & 0xff);
    object(
        format!("ls/{ls}/lsp/{ls}-{port}"),
        format!(
            r#"{{"port_id":{port},"mac":"f2:01:0a:{net:02x}:{high:02x}:{low:02x}","ips":["10.{net}.{high}.{low}","fd00:{net:x}::{port:x}"]}}"#
        ),
    )
}

/// `lrp_id` 0: the router's port has none.
pub fn link(lr: &str, ls: &str, net: u8, lrp_id: u16, lsp_id: u16) -> [Change; 2] {
    let lrp_id = if lrp_id == 0 { String::new() } else { format!(r#""port_id":{lrp_id},"#) };
    let mac = format!("f2:01:0a:{net:02x}:00:fe");
    [
        object(
            format!("lr/{lr}/lrp/{lr}_to_{ls}"),
            format!(
                r#"{{{lrp_id}"mac":"{mac}","nets":["10.{net}.0.254/16","fd00:{net:x}::fffe/64"],"peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}}}"#
            ),
        ),
        object(
            format!("ls/{ls}/lsp/{ls}_to_{lr}"),
            format!(
                r#"{{"port_id":{lsp_id},"mac":"{mac}","ips":["10.{net}.0.254","fd00:{net:x}::fffe"],"peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}}}"#
            ),
        ),
    ]
}

pub fn unlink(lr: &str, ls: &str) -> [Change; 2] {
    [delete(format!("lr/{lr}/lrp/{lr}_to_{ls}")), delete(format!("ls/{ls}/lsp/{ls}_to_{lr}"))]
}

/// `vlan` 0: untagged.
pub fn patch_port(ls: &str, port: u16, chassis: &str, bridge: &str, vlan: u16) -> Change {
    let vlan = if vlan == 0 { String::new() } else { format!(r#","vlan":{vlan}"#) };
    let json = format!(r#"{{"port_id":{port},"patch":{{"chassis":"{chassis}","bridge":"{bridge}"{vlan}}}}}"#);
    object(format!("ls/{ls}/lsp/{ls}-p{port}"), json)
}

/// The pair of Interfaces for a patch port; `ofport` 0: there is none.
pub fn pair(ls_id: u32, port: u16, bridge: &str, ofport: u32) -> Change {
    let patch = (ofport > 0).then(|| LocalPatch { bridge: bridge.into(), ofport });
    Change::Patch { name: format!("tp-{ls_id:x}-{port:x}"), patch }
}

pub fn chassis(name: &str, ip: &str) -> Change {
    object(format!("chassis/{name}"), format!(r#"{{"encaps":[{{"type":"geneve","ip":"{ip}"}}],"roles":[]}}"#))
}

pub fn binding(ls: &str, lsp: &str, chassis: &str, generation: u64) -> Change {
    object(format!("binding/{ls}/{lsp}"), format!(r#"{{"chassis":"{chassis}","generation":{generation}}}"#))
}

pub fn interface(id: u128, iface_id: &str, ofport: u32) -> Change {
    marked_interface(id, iface_id, ofport, None)
}

pub fn marked_interface(id: u128, iface_id: &str, ofport: u32, claim: Option<(&str, u64)>) -> Change {
    let claim = claim.map(|(lsp, generation)| ClaimMark { lsp: lsp.into(), generation });
    let interface = LocalInterface { name: format!("vif{id}"), iface_id: iface_id.into(), ofport, claim };
    Change::Interface { id, interface: Some(interface) }
}

pub fn tunnel(ofport: u32) -> Change {
    Change::Tunnel { kind: EncapKind::Geneve, remote: None, ofport: Some(ofport) }
}

/// Two switches joined by a router; on each a port here (vif 1, 2) and a port on hv2.
pub fn two_hosts() -> Vec<Change> {
    let mut changes = vec![
        tunnel(1),
        chassis("hv1", "192.0.2.1"),
        chassis("hv2", "192.0.2.2"),
        ls("A", 1),
        ls("B", 2),
        lr("R", 3),
        lsp("A", 1, 1),
        lsp("A", 1, 2),
        lsp("B", 2, 1),
        lsp("B", 2, 2),
        binding("A", "A-1", "hv1", 1),
        binding("A", "A-2", "hv2", 1),
        binding("B", "B-1", "hv1", 1),
        binding("B", "B-2", "hv2", 1),
        marked_interface(1, "A-1", 11, Some(("A/A-1", 1))),
        marked_interface(2, "B-1", 12, Some(("B/B-1", 1))),
    ];
    changes.extend(link("R", "A", 1, 1, 100));
    changes.extend(link("R", "B", 2, 2, 100));
    changes
}

/// The flows as ovs-ofctl would print them, with the cookie.
pub fn text(flow: &Flow) -> String {
    format!("cookie={:#x} {flow}", flow.cookie)
}

/// What a switch would hold that was told every change.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Switch {
    pub flows: BTreeMap<String, String>,
    /// The form, and the buckets.
    pub groups: BTreeMap<u32, (String, BTreeSet<String>)>,
}

impl Switch {
    /// Follows the changes, and insists that each is one.
    pub fn apply(&mut self, output: &Output) {
        for change in &output.groups {
            match change {
                GroupChange::Add(id, form) => {
                    let group = (format!("{form:?}"), BTreeSet::new());
                    assert!(self.groups.insert(*id, group).is_none(), "group {id} twice");
                }
                GroupChange::Change(id, form) => {
                    let group = self.groups.get_mut(id).expect("a group that changes exists");
                    let old = std::mem::replace(&mut group.0, format!("{form:?}"));
                    assert_ne!(old, group.0, "group {id} changes to what it was");
                }
                GroupChange::InsertBucket(id, bucket) => {
                    let group = self.groups.get_mut(id).expect("a bucket's group exists");
                    assert!(group.1.insert(format!("{bucket:?}")), "bucket twice");
                }
                GroupChange::RemoveBucket(id, bucket) => {
                    let group = self.groups.get_mut(id).expect("a bucket's group exists");
                    assert!(group.1.remove(&format!("{bucket:?}")), "no such bucket");
                }
                GroupChange::Delete(id) => assert!(self.groups.remove(id).is_some(), "no group {id}"),
            }
        }
        for change in &output.flows {
            match change {
                FlowChange::Set(flow) => {
                    let old = self.flows.insert(key(flow), text(flow));
                    assert_ne!(old.as_deref(), Some(&*text(flow)), "set to what it was");
                }
                FlowChange::Delete { table, priority, matching } => {
                    let key = format!("{table} {priority} {matching}");
                    assert!(self.flows.remove(&key).is_some(), "deleted what was not there: {key}");
                }
            }
        }
    }

    /// What the engine says it should hold.
    pub fn of(engine: &Engine) -> Self {
        let groups = engine.groups().map(|g| {
            let buckets = g.buckets.iter().map(|b| format!("{b:?}")).collect();
            (g.id, (format!("{:?}", g.form), buckets))
        });
        Switch { flows: engine.flows().map(|f| (key(&f), text(&f))).collect(), groups: groups.collect() }
    }
}

fn key(flow: &Flow) -> String {
    format!("{} {} {}", flow.table, flow.priority, flow.matching)
}

/// What a change is about, so that the last one counts.
pub fn subject(change: &Change) -> String {
    match change {
        Change::Object { path, .. } => path.clone(),
        Change::Interface { id, .. } => format!("interface {id}"),
        Change::Tunnel { kind, remote, .. } => format!("tunnel {kind:?} {remote:?}"),
        Change::Patch { name, .. } => format!("patch {name}"),
        Change::Withdrawn(_) => "withdrawn".into(),
        Change::Session { kind, remote, .. } => format!("session {kind:?} {remote}"),
        Change::Bridge { name, .. } => format!("bridge {name}"),
        Change::Probe { target, .. } => format!("probe {target}"),
        Change::Neighbour { ls, ip, .. } => format!("neighbour {ls} {ip}"),
        Change::Untunnel { .. } => "untunnel".to_owned(),
    }
}

/// Changes over so few names, ids and addresses that they clash all the time; some are broken.
pub fn change() -> impl Strategy<Value = Vec<Change>> {
    let ls_name = prop_oneof![Just("A"), Just("B"), Just("C")];
    let lr_name = prop_oneof![Just("R"), Just("S")];
    let host = prop_oneof![Just("hv1"), Just("hv2"), Just("hv3")];
    let lsp_object = (ls_name.clone(), 1..4_u8, 1..4_u16, 1..6_i64).prop_map(|(ls, net, port, created)| {
        let Change::Object { path, value, .. } = lsp(ls, net, port) else { unreachable!("lsp() makes an object") };
        vec![Change::Object { path, value, create_revision: created }]
    });
    prop_oneof![
        2 => (ls_name.clone(), 1..5_u32, any::<bool>()).prop_map(|(n, id, flood)| vec![if flood { flooding_ls(n, id) } else { ls(n, id) }]),
        2 => (lr_name.clone(), 3..6_u32).prop_map(|(n, id)| vec![lr(n, id)]),
        1 => (lr_name.clone(), 3..6_u32, host.clone()).prop_map(|(n, id, c)| vec![pinned_lr(n, id, c)]),
        6 => lsp_object,
        3 => (lr_name.clone(), ls_name.clone(), 1..4_u8, 0..3_u16, 3..5_u16).prop_map(|(r, s, net, a, b)| link(r, s, net, a, b).into()),
        1 => (lr_name.clone(), ls_name.clone(), 1..4_u8, any::<bool>()).prop_map(|(r, s, net, half)| {
            let [lrp, lsp] = link(r, s, net, 1, 4);
            vec![if half { lrp } else { lsp }]
        }),
        1 => (lr_name.clone(), ls_name.clone()).prop_map(|(r, s)| unlink(r, s).into()),
        3 => (lr_name.clone(), ls_name.clone(), 1..4_u8, 0..3_u8, 1..4_u8, 1..4_u8).prop_map(|(r, s, net, len, name, hop)| {
            let prefix = ["0.0.0.0/0", "10.9.0.0/16", "10.9.1.0/24"][usize::from(len)];
            vec![object(format!("lr/{r}/lsr/route{name}"), format!(r#"{{"prefix":"{prefix}","next_hop":"10.{net}.0.{hop}","outport":"{r}_to_{s}"}}"#))]
        }),
        // Several equal ones, by whatever ports there are.
        2 => (lr_name.clone(), proptest::collection::vec((ls_name.clone(), 1..4_u8, prop_oneof![1..4_u8, Just(254)]), 2..4)).prop_map(|(r, ways)| {
            let way = |(name, (s, net, hop)): (usize, (&str, u8, u8))| {
                object(format!("lr/{r}/lsr/way{name}"), format!(r#"{{"prefix":"0.0.0.0/0","next_hop":"10.{net}.0.{hop}","outport":"{r}_to_{s}"}}"#))
            };
            ways.into_iter().enumerate().map(way).collect()
        }),
        1 => (1..4_u8, proptest::option::of(61..63_u32)).prop_map(|(ip, ofport)| {
            let remote = Some(std::net::IpAddr::from([192, 0, 2, ip]));
            vec![Change::Tunnel { kind: EncapKind::Geneve, remote, ofport: ofport.map(|port| 10 * u32::from(ip) + port) }]
        }),
        3 => (ls_name.clone(), 4..7_u16, host.clone(), any::<bool>(), 0..3_u16).prop_map(|(s, p, c, other, vlan)| {
            vec![patch_port(s, p, c, if other { "br-two" } else { "br-ex" }, vlan)]
        }),
        2 => (1..5_u32, 4..7_u16, any::<bool>(), 0..4_u32).prop_map(|(id, p, other, ofport)| {
            let ofport = if ofport == 0 { 0 } else { 100 + 10 * id + u32::from(p) };
            vec![pair(id, p, if other { "br-two" } else { "br-ex" }, ofport)]
        }),
        1 => (ls_name.clone(), 4..7_u16).prop_map(|(s, p)| vec![delete(format!("ls/{s}/lsp/{s}-p{p}"))]),
        1 => (host.clone(), 1..4_u8).prop_map(|(n, ip)| vec![chassis(n, &format!("192.0.2.{ip}"))]),
        1 => (host.clone(), 1..4_u8, 1400..1403_u32).prop_map(|(n, ip, mtu)| {
            let encap = format!(r#"{{"type":"geneve","ip":"192.0.2.{ip}"}}"#);
            vec![object(format!("chassis/{n}"), format!(r#"{{"encaps":[{encap}],"roles":[],"mtu":{mtu}}}"#))]
        }),
        1 => (ls_name.clone(), 1..5_u32, 1280..1283_u16).prop_map(|(n, id, mtu)| vec![object(format!("ls/{n}"), format!(r#"{{"id":{id},"mtu":{mtu}}}"#))]),
        1 => (any::<bool>(), proptest::option::of(1300..1303_u32)).prop_map(|(other, mtu)| {
            vec![Change::Bridge { name: if other { "br-two" } else { "br-ex" }.into(), mtu }]
        }),
        4 => (ls_name.clone(), 1..4_u16, host.clone(), 1..4_u64).prop_map(|(s, p, c, g)| vec![binding(s, &format!("{s}-{p}"), c, g)]),
        3 => (1..4_u32, ls_name.clone(), 1..4_u16, 0..4_u32, proptest::option::of(1..4_u64)).prop_map(|(id, s, p, ofport, mark)| {
            let ofport = if ofport == 0 { 0 } else { 10 * id + ofport }; // a switch gives no number twice
            let lsp = format!("{s}/{s}-{p}");
            vec![marked_interface(id.into(), &format!("{s}-{p}"), ofport, mark.map(|g| (lsp.as_str(), g)))]
        }),
        1 => (1..4_u128).prop_map(|id| vec![Change::Interface { id, interface: None }]),
        2 => (ls_name.clone(), 1..4_u8, 1..4_u8, proptest::option::of(1..3_u8)).prop_map(|(s, net, ip, mac)| {
            let mac = mac.map(|mac| tuplenet_model::mac::Mac([2, 0, 0, 0, 0, mac]));
            vec![Change::Neighbour { ls: name(s), ip: [10, net, 0, ip].into(), mac }]
        }),
        1 => proptest::option::of(7..9_u32).prop_map(|ofport| vec![Change::Tunnel { kind: EncapKind::Geneve, remote: None, ofport }]),
        1 => (ls_name.clone(), 1..4_u16).prop_map(|(s, p)| vec![object(format!("ls/{s}/lsp/{s}-{p}"), r#"{"port_id":1,"mac":"nonsense"}"#)]),
        1 => ls_name.clone().prop_map(|s| vec![object(format!("ls/{s}"), "not even JSON")]),
        3 => (ls_name.clone(), 1..4_u16).prop_map(|(s, p)| vec![delete(format!("ls/{s}/lsp/{s}-{p}"))]),
        1 => ls_name.clone().prop_map(|s| vec![delete(format!("ls/{s}"))]),
        1 => lr_name.prop_map(|r| vec![delete(format!("lr/{r}"))]),
        2 => (ls_name, 1..4_u16).prop_map(|(s, p)| vec![delete(format!("binding/{s}/{s}-{p}"))]),
        1 => host.prop_map(|c| vec![delete(format!("chassis/{c}"))]),
    ]
}
