//! Each kind of rule, on connections that one can follow with a pencil.

use crate::{
    bed::{A1, A2, B1, Bed, C1, Host, UPLINK_OF_S, X1, X2},
    packet::{Packet, Proto, Says},
};
use std::net::IpAddr;

const PROTOS: [Proto; 4] = [Proto::Syn, Proto::Udp, Proto::Sctp, Proto::Ping];

/// `A` behind one address, `b1` behind another, `a2` and `b1` with floating ones.
const RULES: [(&str, &str, &str, &str, &str); 10] = [
    ("R", "snat", "snat", "10.1.0.0/24", "203.0.113.254"),
    ("R", "snat6", "snat", "fd00:1::/64", "2001:db8::5"),
    ("R", "dnat", "dnat", "203.0.113.7/32", "10.2.0.1"),
    ("R", "dnat6", "dnat", "2001:db8::7/128", "fd00:2::1"),
    ("R", "float", "floating", "10.1.0.2/32", "203.0.113.8"),
    ("R", "float6", "floating", "fd00:1::2/128", "2001:db8::8"),
    ("S", "snat", "snat", "10.0.0.0/8", "203.0.113.9"),
    ("S", "snat6", "snat", "fd00::/16", "2001:db8::9"),
    ("R", "floatb", "floating", "10.2.0.1/32", "203.0.113.10"),
    ("R", "floatb6", "floating", "fd00:2::1/128", "2001:db8::10"),
];

fn bed() -> Bed {
    Bed::new(&RULES[..8])
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Each protocol of both families; with the external address of the rule that ends in `last`.
fn each(mut test: impl FnMut(&mut Bed, bool, Proto)) {
    for v4 in [true, false] {
        for proto in PROTOS {
            test(&mut bed(), v4, proto);
        }
    }
}

fn packet(proto: Proto, src: IpAddr, sport: u16, dst: IpAddr, dport: u16) -> Packet {
    let dport = if proto.has_ports() { dport } else { sport };
    Packet { src, dst, says: Says::Data { proto, sport, dport } }
}

fn external(v4: bool, last: &str) -> IpAddr {
    match (v4, last) {
        (true, last) => ip(&format!("203.0.113.{last}")),
        (false, "254") => ip("2001:db8::5"),
        (false, last) => ip(&format!("2001:db8::{last}")),
    }
}

fn sport(packet: &Packet) -> u16 {
    let Says::Data { sport, .. } = packet.says else { panic!("{packet}") };
    sport
}

#[test]
fn many_go_out_by_one_address_and_answers_come_back() {
    each(|bed, v4, proto| {
        let (x1, outside) = (X1.ip(v4), external(v4, "254"));
        let asked = packet(proto, A1.ip(v4), 1001, x1, 80);
        let (to, seen) = bed.arrives(A1, &asked);
        assert_eq!((to.as_str(), seen.src, seen.dst), ("x1", outside, x1), "{asked}");
        assert_eq!(bed.arrives(X1, &seen.answer()), ("a1".to_owned(), asked.answer()), "{asked}");
        // Again, now that conntrack knows both sides.
        assert_eq!(bed.arrives(A1, &asked).1, seen);
        assert_eq!(bed.arrives(X1, &seen.answer()).1, asked.answer());
        // Nobody is behind the address for who was not asked.
        let other = packet(proto, X2.ip(v4), 1001, outside, if proto.has_ports() { sport(&seen) } else { 1001 });
        let got = bed.send(X2, &other);
        let own = proto == Proto::Ping && v4; // the address is the router's, which answers an echo request
        assert!(got.is_empty() || own && got[0].0 == "x2", "{other}: {got:?}");
    });
}

#[test]
fn equal_ports_of_two_hosts_are_told_apart() {
    let mut bed = Bed::new(&[("R", "snat", "snat", "10.0.0.0/8", "203.0.113.5")]);
    for proto in [Proto::Syn, Proto::Udp, Proto::Sctp] {
        let asked = [A1, A2, B1].map(|host| (host, packet(proto, host.ip(true), 1001, X1.ip(true), 80)));
        let seen: Vec<Packet> = asked.iter().map(|(host, packet)| bed.arrives(*host, packet).1).collect();
        let mut ports: Vec<u16> = seen.iter().map(sport).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 3, "{seen:?}");
        for ((host, packet), seen) in asked.iter().zip(&seen) {
            assert_eq!(bed.arrives(X1, &seen.answer()), (host.name.to_owned(), packet.answer()));
        }
    }
}

#[test]
fn an_external_address_leads_to_an_inner_one() {
    each(|bed, v4, proto| {
        let asked = packet(proto, X1.ip(v4), 1001, external(v4, "7"), 80);
        let (to, seen) = bed.arrives(X1, &asked);
        assert_eq!((to.as_str(), seen.src, seen.dst), ("b1", X1.ip(v4), B1.ip(v4)));
        assert_eq!(bed.arrives(B1, &seen.answer()), ("x1".to_owned(), asked.answer()), "{asked}");
        // What the inner host begins by itself no rule covers.
        let own = packet(proto, B1.ip(v4), 1002, X1.ip(v4), 80);
        assert_eq!(bed.arrives(B1, &own), ("x1".to_owned(), own.clone()));
        // Nor what comes for its inner address, and the answer.
        let direct = packet(proto, X1.ip(v4), 1003, B1.ip(v4), 80);
        assert_eq!(bed.arrives(X1, &direct), ("b1".to_owned(), direct.clone()));
        assert_eq!(bed.arrives(B1, &direct.answer()), ("x1".to_owned(), direct.answer()));
    });
}

#[test]
fn a_floating_address_does_both() {
    each(|bed, v4, proto| {
        let (inner, outside) = (A2.ip(v4), external(v4, "8"));
        let out = packet(proto, inner, 1001, X1.ip(v4), 80);
        let (to, seen) = bed.arrives(A2, &out);
        assert_eq!((to.as_str(), &seen), ("x1", &packet(proto, outside, 1001, X1.ip(v4), 80)));
        assert_eq!(bed.arrives(X1, &seen.answer()), ("a2".to_owned(), out.answer()));
        let asked = packet(proto, X2.ip(v4), 1001, outside, 80);
        let (to, seen) = bed.arrives(X2, &asked);
        assert_eq!((to.as_str(), &seen), ("a2", &packet(proto, X2.ip(v4), 1001, inner, 80)));
        assert_eq!(bed.arrives(A2, &seen.answer()), ("x2".to_owned(), asked.answer()));
    });
}

#[test]
fn a_floating_address_works_for_connections_that_began_elsewhere() {
    for v4 in [true, false] {
        for proto in [Proto::SynAck, Proto::Pong] {
            let mut bed = bed();
            let (inner, outside) = (A2.ip(v4), external(v4, "8"));
            let out = packet(proto, inner, 1001, X1.ip(v4), 80);
            assert_eq!(bed.arrives(A2, &out).1, packet(proto, outside, 1001, X1.ip(v4), 80));
            let back = packet(proto, X1.ip(v4), 1001, outside, 80);
            assert_eq!(bed.arrives(X1, &back).1, packet(proto, X1.ip(v4), 1001, inner, 80));
            // Behind a snat rule it ends: who would it be?
            let other = packet(proto, A1.ip(v4), 1001, X1.ip(v4), 80);
            assert!(bed.send(A1, &other).is_empty());
            assert!(bed.why(A1, &other)[0].contains("conntrack"), "{:?}", bed.why(A1, &other));
        }
    }
}

#[test]
fn inner_hosts_reach_external_addresses_of_their_own_router() {
    for v4 in [true, false] {
        for proto in PROTOS {
            for (from, to, as_seen, asked_for) in [
                (A2, A2, "8", "8"),    // itself
                (A2, B1, "8", "10"),   // another floating address
                (A1, B1, "254", "10"), // from behind a snat rule
                (B1, A2, "10", "8"),
            ] {
                let mut bed = Bed::new(&[&RULES[..2], &RULES[4..6], &RULES[8..]].concat());
                let asked = packet(proto, from.ip(v4), 1001, external(v4, asked_for), 80);
                let (at, seen) = bed.arrives(from, &asked);
                assert_eq!((at.as_str(), seen.src, seen.dst), (to.name, external(v4, as_seen), to.ip(v4)), "{asked}");
                assert_eq!(bed.arrives(to, &seen.answer()), (from.name.to_owned(), asked.answer()), "{asked}");
                assert_eq!(bed.arrives(from, &asked), (to.name.to_owned(), seen.clone()), "{asked}");
                // An error comes back by the same way.
                let error = seen.error(to.ip(v4));
                let (at, told) = bed.arrives(to, &error);
                assert_eq!((at.as_str(), &told.says), (from.name, &Says::Error(Box::new(asked.clone()))), "{error}");
            }
        }
    }
}

#[test]
fn between_inner_networks_nothing_is_translated() {
    each(|bed, v4, proto| {
        for (from, to) in [(A1, B1), (A2, B1), (B1, A2)] {
            let asked = packet(proto, from.ip(v4), 1001, to.ip(v4), 80);
            assert_eq!(bed.arrives(from, &asked), (to.name.to_owned(), asked.clone()));
            assert_eq!(bed.arrives(to, &asked.answer()), (from.name.to_owned(), asked.answer()));
        }
    });
}

#[test]
fn errors_are_translated_with_what_they_quote() {
    each(|bed, v4, proto| {
        // From outside, by the host itself and by a router on the way.
        for (from, as_seen) in [(A1, "254"), (A2, "8")] {
            let asked = packet(proto, from.ip(v4), 1001, X1.ip(v4), 80);
            let (_, seen) = bed.arrives(from, &asked);
            assert_eq!(seen.src, external(v4, as_seen));
            let router = if v4 { ip("198.51.100.1") } else { ip("2001:db8:1::1") };
            for by in [X1.ip(v4), router] {
                let (to, told) = bed.arrives(X1, &seen.error(by));
                assert_eq!((to.as_str(), told.dst), (from.name, from.ip(v4)));
                assert_eq!(told.says, Says::Error(Box::new(asked.clone())), "{told}");
            }
        }
        // From inside, about what came for an external address.
        for (host, asked_for) in [(B1, "7"), (A2, "8")] {
            let asked = packet(proto, X1.ip(v4), 1001, external(v4, asked_for), 80);
            let (_, seen) = bed.arrives(X1, &asked);
            // By the host itself, and by a router on the way whose own address no rule covers.
            for by in [host.ip(v4), ip(if v4 { "192.0.2.77" } else { "2001:db8:77::7" })] {
                let (to, told) = bed.arrives(host, &seen.error(by));
                assert_eq!((to.as_str(), told.src, told.dst), ("x1", external(v4, asked_for), X1.ip(v4)));
                assert_eq!(told.says, Says::Error(Box::new(asked.clone())), "{told}");
            }
        }
    });
}

#[test]
fn errors_about_connections_that_nobody_knows_end() {
    each(|bed, v4, proto| {
        for (from, as_seen) in [(A1, "254"), (A2, "8")] {
            let forged = packet(proto, external(v4, as_seen), 1001, X1.ip(v4), 80).error(X1.ip(v4));
            assert!(bed.send(X1, &forged).is_empty(), "{forged}");
            let out = packet(proto, X1.ip(v4), 1001, from.ip(v4), 80).error(from.ip(v4));
            assert!(bed.send(from, &out).is_empty(), "{out}");
            assert!(bed.why(from, &out)[0].contains("ICMP error"), "{:?}", bed.why(from, &out));
        }
    });
}

#[test]
fn routers_with_equal_inner_addresses_do_not_meet() {
    each(|bed, v4, proto| {
        let asked = packet(proto, A1.ip(v4), 1001, X1.ip(v4), 80);
        let (_, of_a) = bed.arrives(A1, &asked);
        let (_, of_c) = bed.arrives(C1, &asked);
        assert_eq!((of_a.src, of_c.src), (external(v4, "254"), external(v4, "9")));
        assert_eq!(bed.arrives(X1, &of_a.answer()), ("a1".to_owned(), asked.answer()));
        let back = bed.send_by(X1, UPLINK_OF_S, &of_c.answer());
        assert_eq!(back, [("c1".to_owned(), asked.answer())]);
    });
}

#[test]
fn one_router_reaches_what_another_has_outside() {
    // c1, behind S, asks for a floating address of R.
    each(|bed, v4, proto| {
        let asked = packet(proto, C1.ip(v4), 1001, external(v4, "8"), 80);
        let (to, seen) = bed.arrives(C1, &asked);
        assert_eq!((to.as_str(), seen.src, seen.dst), ("a2", external(v4, "9"), A2.ip(v4)));
        assert_eq!(bed.arrives(A2, &seen.answer()), ("c1".to_owned(), asked.answer()));
    });
}

#[test]
fn nothing_of_a_router_without_rules_goes_through_conntrack() {
    let mut bed = Bed::new(&RULES[6..8]);
    for host in ["hv1", "hv2", "hv3"] {
        let flows: Vec<String> = match bed.network.host(&crate::bed::name(host)) {
            Some(host) => host.engine().flows().map(|flow| flow.to_string()).collect(),
            None => Vec::new(),
        };
        let tracked = flows.iter().filter(|flow| flow.contains("ct(") || flow.contains("ct_state"));
        for flow in tracked {
            assert!(flow.contains("metadata=0x4") && host == "hv2", "{host}: {flow}");
        }
    }
    let asked = packet(Proto::Syn, A1.ip(true), 1, X1.ip(true), 2);
    assert_eq!(bed.arrives(A1, &asked), ("x1".to_owned(), asked.clone()));
}

#[test]
fn who_asks_for_an_external_address_is_told_the_routers_mac() {
    let _: Host = X1;
    let mut bed = bed();
    for (host, asked, gateway) in [(X1, "203.0.113.8", 0xd), (X2, "203.0.113.7", 0xd), (X1, "203.0.113.9", UPLINK_OF_S)]
    {
        let mut frame = [0xff; 6].to_vec();
        frame.extend(crate::bed::mac(host.mac).0);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(crate::bed::mac(host.mac).0);
        for ip in [host.v4, asked] {
            let bytes = ip.split('.').map(|byte| byte.parse::<u8>().expect("a byte"));
            frame.extend(bytes);
            if ip == host.v4 {
                frame.extend([0; 6]);
            }
        }
        let packet = tuplenet_sim::Packet::parse(&frame).expect("an ARP request");
        let (ls, lsp) = (crate::bed::name(host.ls), crate::bed::name(host.name));
        let got = bed.network.deliveries(&ls, &lsp, packet).expect("the port is in use");
        assert_eq!(got.len(), 1, "{asked}");
        assert_eq!(got[0].packet.to_bytes()[22..28], crate::bed::mac(gateway).0, "{asked}");
    }
}
