//! Lookups against one that looks at every flow.

#![allow(clippy::unwrap_used)]
use super::*;
use proptest::{collection::vec, prelude::*};

fn table(flows: &[&str]) -> Table {
    let mut table = Table::default();
    flows.iter().for_each(|flow| table.insert(flow.parse().unwrap()));
    table
}

fn packet(regs: [u32; 3]) -> Packet {
    let mut packet = Packet::parse(&[0; 14]).unwrap();
    for (reg, value) in [field::REG0, field::REG1, field::REG2].into_iter().zip(regs) {
        packet.set(reg, value);
    }
    packet
}

fn found(table: &Table, packet: &Packet) -> Option<u64> {
    table.lookup(packet, Pretend::default()).map(|(entry, _)| entry.flow.cookie)
}

#[derive(Clone, Debug)]
struct Rule {
    priority: u16,
    parts: [(u32, u32); 3],
}

impl Rule {
    fn flow(&self, cookie: u64) -> Flow {
        let registers = [field::REG0, field::REG1, field::REG2].into_iter().zip(self.parts);
        let matching = registers.fold(Match::new(), |m, (reg, (value, mask))| m.with_masked(reg, value & mask, mask));
        Flow { cookie, ..Flow::new(0, self.priority, matching, vec![]) }
    }

    fn fits(&self, regs: [u32; 3]) -> bool {
        self.parts.iter().zip(regs).all(|((value, mask), reg)| reg & mask == value & mask)
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let mask = || prop_oneof![Just(0_u32), Just(1), Just(2), Just(3), Just(u32::MAX)];
    let part = || (0..4_u32, mask());
    // Distinct priorities: of equal ones a switch may take any.
    (1..1000_u16, [part(), part(), part()]).prop_map(|(priority, parts)| Rule { priority, parts })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The tuple space finds what a look at every flow finds, also after some flows are gone.
    #[test]
    fn as_if_every_flow_were_looked_at(
        mut rules in vec(rule(), 0..30), gone in vec(any::<prop::sample::Index>(), 0..10), asks in vec([0..4_u32, 0..4_u32, 0..4_u32], 20),
    ) {
        rules.sort_by_key(|rule| rule.priority);
        rules.dedup_by_key(|rule| rule.priority);
        let mut table = Table::default();
        rules.iter().zip(1..).for_each(|(rule, cookie)| table.insert(rule.flow(cookie)));
        let mut left: Vec<(usize, &Rule)> = rules.iter().enumerate().collect();
        for index in gone.iter().filter(|_| !rules.is_empty()) {
            let at = index.index(rules.len());
            let flow = rules[at].flow(0);
            table.remove(flow.priority, &flow.matching);
            left.retain(|(other, _)| *other != at);
        }
        for regs in asks {
            let expected = left.iter().filter(|(_, rule)| rule.fits(regs)).max_by_key(|(_, rule)| rule.priority);
            prop_assert_eq!(found(&table, &packet(regs)), expected.map(|(at, _)| *at as u64 + 1));
        }
        prop_assert_eq!(table.flows().count(), left.len());
    }
}

#[test]
fn a_flow_takes_the_place_of_the_same() {
    let mut table = table(&["cookie=1,priority=5,reg0=1,actions=drop"]);
    table.insert("cookie=2,priority=5,reg0=1,actions=output:1".parse().unwrap());
    assert_eq!(found(&table, &packet([1, 0, 0])), Some(2));
    assert_eq!(table.flows().count(), 1);
}

#[test]
fn a_conjunction_needs_all_its_clauses() {
    let flows = [
        "cookie=1,priority=10,reg0=1,actions=conjunction(7,1/2)",
        "cookie=2,priority=10,reg0=2,actions=conjunction(7,1/2)",
        "cookie=3,priority=10,reg1=1,actions=conjunction(7,2/2)",
        "cookie=4,priority=10,conj_id=7,actions=output:1",
        "cookie=5,priority=1,actions=drop",
        "cookie=6,priority=20,reg2=9,actions=output:2",
    ];
    let table = table(&flows);
    assert_eq!(found(&table, &packet([1, 1, 0])), Some(4));
    assert_eq!(found(&table, &packet([2, 1, 0])), Some(4));
    assert_eq!(found(&table, &packet([3, 1, 0])), Some(5));
    assert_eq!(found(&table, &packet([1, 2, 0])), Some(5));
    // A plain flow of a higher priority comes first.
    assert_eq!(found(&table, &packet([1, 1, 9])), Some(6));
}

#[test]
fn what_no_switch_takes_is_told() {
    for (flow, word) in [
        (Flow::new(0, 1, Match::new().with(field::IPV4_DST, 1_u32), vec![]), "prerequisite"),
        (Flow::new(0, 1, Match::new().with(field::TUN_METADATA5, 1_u32), vec![]), "tun_metadata5"),
        (Flow::new(0, 1, Match::new().with(field::TUN_METADATA0, u128::MAX), vec![]), ""),
    ] {
        let mut table = Table::default();
        table.insert(flow.clone());
        assert_eq!(table.refused().is_some(), !word.is_empty(), "{flow}");
        assert!(table.refused().is_none_or(|(_, why)| why.contains(word)), "{:?}", table.refused());
        table.remove(flow.priority, &flow.matching);
        assert!(table.is_empty());
    }
}

#[test]
fn of_a_fragment_nobody_knows_the_ports() {
    let table =
        table(&["cookie=1,priority=2,udp,udp_dst=53,actions=drop", "cookie=2,priority=1,udp,udp_dst=0,actions=drop"]);
    let header = |flags: u8| {
        let ip = [0x45, 0, 0, 28, 0, 0, flags, 0, 60, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 53, 0, 8, 0, 0];
        Packet::parse(&[&[2; 12][..], &[8, 0], &ip].concat()).unwrap()
    };
    assert_eq!(found(&table, &header(0)), Some(1));
    assert_eq!(found(&table, &header(0x20)), Some(2));
}
