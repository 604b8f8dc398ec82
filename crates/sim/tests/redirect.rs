//! A packet for a chassis whose tunnel is dead: by way of another one, once, and never round.
#![allow(clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr};
use tuplenet_model::entity::EncapKind;
use tuplenet_openflow::field;
use tuplenet_rules::{Change, ClaimMark, Config, Engine, LocalInterface, Scope, register, stage};
use tuplenet_sim::{Effect, Packet, Probe, Switch, What};

/// Everybody's tunnel port, and the first of those with BFD.
const TUNNEL: u32 = 1;
const BFD: u32 = 30;
/// The VMs' port.
const VM: u32 = 11;

/// A switch S with a port on each of three hosts, and an edge router on e1 and on e2, reached by a router that S has.
fn objects() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |path: String, json: String| all.push((path, json));
    for (n, host) in [(1, "h1"), (2, "e1"), (3, "e2")] {
        add(format!("chassis/{host}"), format!(r#"{{"encaps":[{{"type":"geneve","ip":"192.0.2.{n}"}}],"roles":[]}}"#));
        let mac = format!("f2:01:0a:01:00:{n:02x}");
        add(format!("ls/S/lsp/p{n}"), format!(r#"{{"port_id":{n},"mac":"{mac}","ips":["10.1.0.{n}"]}}"#));
        add(format!("binding/S/p{n}"), format!(r#"{{"chassis":"{host}","generation":1}}"#));
    }
    add("ls/S".into(), r#"{"id":1}"#.into());
    add("ls/J".into(), r#"{"id":2}"#.into());
    add("lr/R".into(), r#"{"id":3,"chassis":null}"#.into());
    let mut link = |lr: &str, ls: &str, id: u16, ip: &str, mac: &str| {
        let (lrp, lsp) = (format!("{lr}_to_{ls}"), format!("{ls}_to_{lr}"));
        all.push((
            format!("lr/{lr}/lrp/{lrp}"),
            format!(r#"{{"port_id":{id},"mac":"{mac}","nets":["{ip}/24"],"peer":{{"ls":"{ls}","lsp":"{lsp}"}}}}"#),
        ));
        all.push((
            format!("ls/{ls}/lsp/{lsp}"),
            format!(r#"{{"port_id":{id},"mac":"{mac}","ips":["{ip}"],"peer":{{"lr":"{lr}","lrp":"{lrp}"}}}}"#),
        ));
    };
    link("R", "S", 100, "10.1.0.254", "f2:01:0a:01:00:fe");
    link("R", "J", 101, "10.2.0.254", "f2:01:0a:02:00:fe");
    for n in 1..=2_u16 {
        link(&format!("E{n}"), "J", n, &format!("10.2.0.{n}"), &format!("f2:01:0a:02:00:{n:02x}"));
    }
    for n in 1..=2 {
        all.push((format!("lr/E{n}"), format!(r#"{{"id":{},"chassis":"e{n}"}}"#, 10 + n)));
    }
    all
}

/// One host's switch, which watches all others.
fn host(name: &str, number: u8) -> Switch {
    let mut engine = Engine::new(Config { chassis: name.parse().expect("a name"), scope: Scope::Reachable });
    let objects = objects();
    let object = |(path, json): (String, String)| Change::Object {
        path,
        value: Some(json.into_bytes().into()),
        create_revision: 1,
    };
    let claim = Some(ClaimMark { lsp: format!("S/p{number}"), generation: 1 });
    let interface = LocalInterface { name: "vif".into(), iface_id: format!("S/p{number}"), ofport: VM, claim };
    let tunnels = (0..=3).filter(|n| *n != number).map(|n| Change::Tunnel {
        kind: EncapKind::Geneve,
        remote: (n > 0).then(|| [192, 0, 2, n].into()),
        ofport: Some(if n > 0 { BFD + u32::from(n) } else { TUNNEL }),
    });
    let sessions =
        (1..=3).map(|n| Change::Session { kind: EncapKind::Geneve, remote: [192, 0, 2, n].into(), proven: true });
    engine.apply(
        objects
            .into_iter()
            .map(object)
            .chain(tunnels)
            .chain(sessions)
            .chain([Change::Interface { id: 1, interface: Some(interface) }]),
    );
    Switch::new(engine.flows(), engine.groups().map(Into::into))
}

fn number(packet: &Packet, field: &'static tuplenet_openflow::Field) -> u128 {
    packet.get(field).and_then(|value| value.to_u128()).unwrap_or(0)
}

/// What leaves: (port, where the tunnel leads, the flags in the option).
fn out(switch: &mut Switch, packet: Packet) -> Vec<(u32, IpAddr, u32, Packet)> {
    let run = switch.run(packet, stage::PHYSICAL_IN.table).expect("the simulator knows all of it");
    let left = run.effects.into_iter().filter_map(|effect| match effect {
        Effect::Output { port, packet, .. } => {
            let to = Ipv4Addr::from(number(&packet, field::TUN_DST) as u32);
            let option = number(&packet, field::TUN_METADATA0);
            Some((port, to.into(), (option >> register::option::FLAGS) as u32 & 0xffff, packet))
        }
        _ => None,
    });
    left.collect()
}

/// The packet as it comes in at the next host.
fn over(packet: &Packet) -> Packet {
    let mut next = Packet::parse(&packet.to_bytes()).expect("a packet");
    next.set(field::IN_PORT, TUNNEL);
    for field in [field::TUN_ID, field::TUN_DST, field::TUN_METADATA0] {
        next.set(field, packet.get(field).expect("it is in a tunnel"));
    }
    next
}

fn from_h1(to: u8) -> Packet {
    let probe = Probe {
        eth_src: "f2:01:0a:01:00:01".parse().expect("a MAC"),
        eth_dst: format!("f2:01:0a:01:00:{to:02x}").parse().expect("a MAC"),
        src: [10, 1, 0, 1].into(),
        dst: [10, 1, 0, to].into(),
        ttl: 64,
        what: What::Udp(53),
        size: None,
    };
    let mut packet = Packet::parse(&probe.to_bytes().expect("one family")).expect("a packet");
    packet.set(field::IN_PORT, VM);
    packet
}

#[test]
fn a_detour_is_taken_once() {
    let (mut h1, mut e1, mut e2) = (host("h1", 1), host("e1", 2), host("e2", 3));
    let at = |n: u8| IpAddr::from([192, 0, 2, n]);
    let direct = out(&mut h1, from_h1(2));
    assert_eq!(direct.iter().map(|o| (o.0, o.1, o.2)).collect::<Vec<_>>(), [(TUNNEL, at(2), 0)]);

    h1.set_port_up(BFD + 2, false);
    let detour = out(&mut h1, from_h1(2));
    assert_eq!(detour.iter().map(|o| (o.0, o.1, o.2)).collect::<Vec<_>>(), [(TUNNEL, at(3), register::REDIRECTED)]);
    // There it is sent on, also if that host's own tunnel is dead: no second detour.
    for up in [true, false] {
        e2.set_port_up(BFD + 2, up);
        let on = out(&mut e2, over(&detour[0].3));
        assert_eq!(on.iter().map(|o| (o.0, o.1, o.2)).collect::<Vec<_>>(), [(TUNNEL, at(2), register::RELAYED)]);
        let arrived = out(&mut e1, over(&on[0].3));
        assert_eq!(arrived.iter().map(|o| o.0).collect::<Vec<_>>(), [VM]);
        assert_eq!(arrived[0].3.to_bytes(), from_h1(2).to_bytes());
        // A host that is not the right one either does not send it on again.
        assert_eq!(out(&mut h1, over(&on[0].3)).len(), 0);
    }
    // For a port of its own it is where it should be.
    let own = out(&mut e1, over(&detour[0].3));
    assert_eq!(own.iter().map(|o| o.0).collect::<Vec<_>>(), [VM]);

    // Nobody lives: the direct way.
    h1.set_port_up(BFD + 3, false);
    let direct = out(&mut h1, from_h1(2));
    assert_eq!(direct.iter().map(|o| (o.0, o.1, o.2)).collect::<Vec<_>>(), [(TUNNEL, at(2), 0)]);
}
