//! How packets leave by tunnels.

mod common;

use common::*;
use tuplenet_rules::stage;

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
