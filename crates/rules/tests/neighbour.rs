//! Who is answered what: ARP and neighbour discovery.

mod common;

use common::*;
use tuplenet_rules::stage::{self, Stage};

/// The flows of a stage, as `ovs-ofctl` prints them.
fn flows(stage: Stage) -> Vec<String> {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.flows().filter(|flow| flow.table == stage.table).map(|flow| text(&flow)).collect()
}

/// A VLAN of a VM is another network, where another may have the address.
#[test]
fn no_question_with_a_tag_is_answered() {
    let answers: Vec<_> = flows(stage::LSP_INGRESS_ARP_RESPONSE)
        .into_iter()
        .filter(|f| f.contains("arp") || f.contains("icmp6"))
        .collect();
    assert!(answers.len() > 8, "{answers:#?}");
    assert!(answers.iter().all(|flow| flow.contains("vlan_tci=0x0000/0x1000")), "{answers:#?}");
}

/// An advertisement without the flag tells a host to forget its router (RFC 4861 section 7.2.5).
#[test]
fn a_router_says_that_it_is_one_also_to_all_nodes() {
    let flows = flows(stage::LSP_INGRESS_NEIGHBOUR_REPLY);
    let to_all: Vec<_> = flows.iter().filter(|flow| flow.contains("ipv6_src=::")).collect();
    let of_router = to_all.iter().filter(|flow| flow.contains("nd_reserved=3758096384"));
    let said: Vec<_> = of_router.map(|flow| flow.contains("set_field:2684354560->nd_reserved")).collect();
    assert_eq!(said, [true], "{to_all:#?}");
    assert_eq!(to_all.len(), 2, "{to_all:#?}");
}

/// Nobody would take what is sent to it: the router's host has set that port aside.
#[test]
fn a_port_of_a_router_elsewhere_that_is_set_aside_answers_no_question() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let asked = |engine: &tuplenet_rules::Engine, ip: &str| {
        engine.flows().filter(|flow| text(flow).contains(&format!("arp_tpa={ip},"))).count()
    };
    engine.apply([pinned_lr("Edge", 4, "hv2")]);
    engine.apply(link("Edge", "A", 3, 1, 101));
    assert_eq!(asked(&engine, "10.3.0.254"), 1);
    let second = lrp_of_the_same_network();
    engine.apply(second);
    assert_eq!(asked(&engine, "10.3.0.254"), 1);
    assert_eq!(asked(&engine, "10.3.0.253"), 0);
    engine.apply(unlink("Edge", "A"));
    assert_eq!((asked(&engine, "10.3.0.254"), asked(&engine, "10.3.0.253")), (0, 1));
}

fn lrp_of_the_same_network() -> [tuplenet_rules::Change; 2] {
    let mac = "f2:01:0a:03:00:fd";
    [
        object(
            "lr/Edge/lrp/second",
            format!(r#"{{"port_id":9,"mac":"{mac}","nets":["10.3.0.253/16"],"peer":{{"ls":"A","lsp":"to-second"}}}}"#),
        ),
        object(
            "ls/A/lsp/to-second",
            format!(r#"{{"port_id":102,"mac":"{mac}","ips":["10.3.0.253"],"peer":{{"lr":"Edge","lrp":"second"}}}}"#),
        ),
    ]
}
