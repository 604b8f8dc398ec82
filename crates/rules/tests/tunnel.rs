//! How packets leave by tunnels.

mod common;

use common::*;
use tuplenet_rules::{Change, stage};

/// The actions of the flow that sends packets to hv2.
fn to_hv2(endpoint: &str) -> String {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([chassis("hv2", endpoint)]);
    let mut flows = engine.flows().filter(|flow| flow.table == stage::LSP_INGRESS_OUTPUT_DST_PORT.table);
    flows.find(|flow| flow.priority == 100).map(|flow| text(&flow)).expect("a flow to hv2")
}

/// A packet that a router on this host sends on may have come by a tunnel over the other family.
#[test]
fn the_address_of_the_tunnel_that_a_packet_came_by_is_forgotten() {
    let v4 = to_hv2("192.0.2.2");
    assert!(v4.contains("set_field:192.0.2.2->tun_dst") && v4.contains("set_field:::->tun_ipv6_dst"), "{v4}");
    let v6 = to_hv2("2001:db8::2");
    assert!(v6.contains("set_field:2001:db8::2->tun_ipv6_dst") && v6.contains("set_field:0.0.0.0->tun_dst"), "{v6}");
}

#[test]
fn a_broadcast_does_not_go_to_a_chassis_that_has_but_a_router_in_the_switch() {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([chassis("hv3", "192.0.2.3"), flooding_ls("A", 1), pinned_lr("P", 9, "hv3")]);
    engine.apply(link("P", "A", 1, 1, 101).map(|end| match end {
        Change::Object { path, value: Some(value), create_revision } => {
            let value = String::from_utf8(value.to_vec()).expect("JSON");
            let value = value.replace("0.254", "0.253").replace("fffe", "fffd").replace("00:fe", "00:fd").into_bytes();
            Change::Object { path, value: Some(value.into()), create_revision }
        }
        other => other,
    }));
    assert_eq!(engine.rejected().count(), 0);
    let buckets: Vec<String> = engine.groups().flat_map(|g| g.buckets).map(|b| format!("{b:?}")).collect();
    assert_eq!(buckets.len(), 2, "one for the port here, one for hv2: {buckets:#?}");
}
