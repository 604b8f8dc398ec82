//! A program of the kind that a network's rules are, whole, against `ascent`: recursion guards joins, winners are chosen
//! before they are negated, counts are joined, a union of rules feeds one set of flows.

use std::collections::{BTreeMap, BTreeSet};

use ascent::aggregators::{count, min};
use ascent::ascent;
use proptest::prelude::*;
use tuplenet_datalog::{Builder, Input, Program, Row, reach};

type Flow = (&'static str, u8, u8, u8);

ascent! {
    /// Datapaths are numbers; routers are those from 6 on.
    struct Oracle;
    /// Switch, address, port.
    relation port(u8, u8, u8);
    /// Port, chassis.
    relation binding(u8, u8);
    relation chassis(u8);
    relation link(u8, u8);
    relation local(u8);
    /// Group, port; group, number.
    relation member(u8, u8);
    relation acl(u8, u8);

    relation present(u8);
    present(ls) <-- local(p), port(ls, _, p);
    present(b) <-- present(a), link(a, b);
    present(a) <-- present(b), link(a, b);

    // Of the ports that claim an address, the least one has it.
    relation claimed(u8, u8);
    claimed(ls, ip) <-- port(ls, ip, _), present(ls);
    relation owner(u8, u8, u8);
    owner(ls, ip, p) <-- claimed(ls, ip), agg p = min(q) in port(ls, ip, q);

    // Of the chassis that claim a port, the least one that lives.
    relation hosted(u8, u8);
    hosted(p, c) <-- binding(p, c), chassis(c);
    relation host(u8, u8);
    host(p, c) <-- hosted(p, _), agg c = min(d) in hosted(p, d);
    relation has_host(u8);
    has_host(p) <-- host(p, _);

    relation flow(&'static str, u8, u8, u8);
    flow("arp", *ls, *ip, *p) <-- owner(ls, ip, p), has_host(p);
    flow("lost", *ls, *ip, *p) <-- owner(ls, ip, p), !has_host(p);
    flow("remote", *ls, *p, *c) <-- owner(ls, _, p), host(p, c), !local(p);
    flow("local", *ls, *p, 0) <-- owner(ls, _, p), local(p);
    flow("route", *b, *ls, *ip) <-- owner(ls, ip, _), link(ls, b), if *b >= 6;
    flow("tunnel", *c, 0, 0) <-- owner(_, _, p), host(p, c), !local(p);
    flow("acl", *n, *ip, *p) <-- local(p), member(g, p), acl(g, n), member(g, q), owner(_, ip, q);
    relation size(u8, usize);
    size(ls, n) <-- present(ls), agg n = count() in owner(ls, _, _), if n > 0;
    flow("flood", *ls, *n as u8, 0) <-- size(ls, n), local(p), owner(ls, _, p);
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    Port(u8, u8, u8),
    Binding(u8, u8),
    Chassis(u8),
    Link(u8, u8),
    Local(u8),
    Member(u8, u8),
    Acl(u8, u8),
}

fn toggle<T: Row + Ord>(program: &mut Program, input: Input<T>, rows: &mut Vec<T>, row: T) {
    if let Some(place) = rows.iter().position(|other| *other == row) {
        rows.swap_remove(place);
        program.remove(input, row);
    } else {
        rows.push(row.clone());
        program.insert(input, row);
    }
}

fn run(transactions: Vec<Vec<Fact>>) {
    let b = Builder::new();
    let (port_in, port) = b.input::<(u8, u8, u8)>("port");
    let (binding_in, binding) = b.input::<(u8, u8)>("binding");
    let (chassis_in, chassis) = b.input::<(u8,)>("chassis");
    let (link_in, link) = b.input::<(u8, u8)>("link");
    let (local_in, local) = b.input::<(u8,)>("local");
    let (member_in, member) = b.input::<(u8, u8)>("member");
    let (acl_in, acl) = b.input::<(u8, u8)>("acl");

    let is_local = local.index(|l| l.0);
    let roots = port.index(|p| p.2).join(&is_local, |_, p, _| p.0);
    let present = reach(&roots, &link.flat_map(|&(a, b)| [(a, b), (b, a)])).index(|n| *n);
    let owner = port.index(|p| p.0).semijoin(&present).min_by(|p| (p.0, p.1), |p| p.2);
    let by_port = owner.index(|o| o.2);
    let host = binding.index(|b| b.1).semijoin(&chassis.index(|c| c.0)).min_by(|b| b.0, |b| b.1);
    let by_host = host.index(|h| h.0);
    let arp = by_port.semijoin(&by_host).map(|o| ("arp", o.0, o.1, o.2));
    let lost = by_port.antijoin(&by_host).map(|o| ("lost", o.0, o.1, o.2));
    let away = by_port.antijoin(&is_local).index(|o| o.2);
    let located = away.join(&by_host, |_, o, h| (o.0, o.2, h.1));
    let remote = located.map(|l| ("remote", l.0, l.1, l.2));
    let tunnel = located.map(|l| ("tunnel", l.2, 0, 0));
    let here = by_port.semijoin(&is_local);
    let out = here.map(|o| ("local", o.0, o.2, 0));
    let routers = link.filter(|l| l.1 >= 6).index(|l| l.0);
    let route = owner.index(|o| o.0).join(&routers, |_, o, l| ("route", l.1, o.0, o.1));
    let by_member = member.index(|m| m.1);
    let address = by_member.join(&by_port, |_, m, o| (m.0, o.1)).index(|a| a.0);
    let ours = by_member.semijoin(&is_local).index(|m| m.0);
    let acl = ours.join(&acl.index(|a| a.0), |_, m, a| (m.0, m.1, a.1)).index(|r| r.0);
    let acl = acl.join(&address, |_, r, a| ("acl", r.2, a.1, r.1));
    let size = owner.count_by(|o| o.0).index(|s| s.0);
    let flood = here.index(|o| o.0).join(&size, |_, o, s| ("flood", o.0, s.1 as u8, 0));
    let flows = arp.concat_all(&[lost, remote, tunnel, out, route, acl, flood]);
    let flows = flows.distinct();
    let (output, stored) = (flows.output(), flows.stored());
    let mut program = b.build();

    let mut facts = Oracle::default();
    let mut installed: BTreeMap<Flow, i64> = BTreeMap::new();
    for transaction in transactions {
        for fact in transaction {
            match fact {
                Fact::Port(ls, ip, p) => toggle(&mut program, port_in, &mut facts.port, (ls, ip, p)),
                Fact::Binding(p, c) => toggle(&mut program, binding_in, &mut facts.binding, (p, c)),
                Fact::Chassis(c) => toggle(&mut program, chassis_in, &mut facts.chassis, (c,)),
                Fact::Link(a, b) => toggle(&mut program, link_in, &mut facts.link, (a, b)),
                Fact::Local(p) => toggle(&mut program, local_in, &mut facts.local, (p,)),
                Fact::Member(g, p) => toggle(&mut program, member_in, &mut facts.member, (g, p)),
                Fact::Acl(g, n) => toggle(&mut program, acl_in, &mut facts.acl, (g, n)),
            }
        }
        program.step();
        let mut oracle = Oracle {
            port: facts.port.clone(),
            binding: facts.binding.clone(),
            chassis: facts.chassis.clone(),
            link: facts.link.clone(),
            local: facts.local.clone(),
            member: facts.member.clone(),
            acl: facts.acl.clone(),
            ..Oracle::default()
        };
        oracle.run();
        for (flow, weight) in program.drain(output) {
            let sum = installed.entry(flow).or_insert(0);
            *sum += weight;
            assert!((0..=1).contains(sum), "{flow:?} has weight {sum}");
            if *sum == 0 {
                installed.remove(&flow);
            }
        }
        let expected: BTreeSet<Flow> = oracle.flow.into_iter().collect();
        assert_eq!(installed.keys().copied().collect::<BTreeSet<Flow>>(), expected);
        let mut listed = BTreeSet::new();
        program.scan(stored, |flow, weight| {
            assert_eq!(weight, 1);
            listed.insert(*flow);
        });
        assert_eq!(listed, expected);
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        5 => (0..5u8, 0..4u8, 0..8u8).prop_map(|(ls, ip, p)| Fact::Port(ls, ip, p)),
        4 => (0..8u8, 0..3u8).prop_map(|(p, c)| Fact::Binding(p, c)),
        2 => (0..3u8).prop_map(Fact::Chassis),
        4 => (0..6u8, 5..9u8).prop_map(|(a, b)| Fact::Link(a, b)),
        2 => (0..8u8).prop_map(Fact::Local),
        3 => (0..3u8, 0..8u8).prop_map(|(g, p)| Fact::Member(g, p)),
        1 => (0..3u8, 0..3u8).prop_map(|(g, n)| Fact::Acl(g, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flows_agree_with_ascent(
        start in prop::collection::vec(fact(), 0..60),
        mut transactions in prop::collection::vec(prop::collection::vec(fact(), 0..6), 1..25),
    ) {
        transactions.insert(0, start);
        run(transactions);
    }
}
