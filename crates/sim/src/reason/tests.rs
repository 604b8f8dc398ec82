#![allow(clippy::unwrap_used)]
use super::*;

fn packet() -> Packet {
    Packet::parse(&[0; 60]).unwrap()
}

/// A stage that ends what it does not know must say why; one that lets pass has no need to.
#[test]
fn every_stage_that_ends_packets_has_its_words() {
    let (names, packet, chassis) = (Names::default(), packet(), "hv1".parse().unwrap());
    for stage in stage::ALL {
        let case =
            Case { names: &names, host: None, chassis: &chassis, packet: &packet, table: stage.table, datapath: None };
        // It goes on to the egress here, whatever it knows.
        assert_eq!(case.missed().is_some(), stage.next.is_none(), "{}", stage.name);
    }
}

#[test]
fn every_rule_has_its_words() {
    let (names, packet, chassis) = (Names::default(), packet(), "hv1".parse().unwrap());
    for rule in Rule::ALL {
        let case = Case { names: &names, host: None, chassis: &chassis, packet: &packet, table: 17, datapath: None };
        assert!(!case.by_rule(*rule).is_empty(), "{}", rule.name());
    }
}
