//! What random networks hardly ever are.

use crate::{
    generate::{Body, Frame, Ip, Network, Object, Says, Sent, Then},
    leak::Bed,
};
use tuplenet_model::mac::Mac;

/// A network, one object a line: its path and its JSON, with single quotes for double ones.
fn network(text: &str) -> Network {
    let objects = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let (path, json) = line.split_once(' ').expect("a path and an object");
        Object { path: path.into(), json: json.replace('\'', "\""), created: 1 }
    });
    let neighbours = ["hv1", "hv2"].map(|chassis| crate::generate::Neighbour {
        chassis: chassis.into(),
        ls: "out".into(),
        ip: [203, 0, 113, 101].into(),
        mac: Mac([2, 0xee, 0, 0, 0, 1]),
    });
    Network { objects: objects.collect(), neighbours: neighbours.into(), ..Network::default() }
}

/// The VM is on hv1; its gateway is a router on hv2, which sends what is for outside on to the router that is on all hosts and has the floating address: there, on
/// hv2, nobody knows the VM's connections.
#[test]
fn a_distributed_floating_address_hides_its_vm_on_other_hosts_as_well() {
    let network = network(
        "
        chassis/hv1 {'encaps':[{'type':'geneve','ip':'192.0.2.1'}]}
        chassis/hv2 {'encaps':[{'type':'geneve','ip':'192.0.2.2'}]}
        ls/A {'id':1}
        ls/out {'id':2}
        ls/A/lsp/vm {'port_id':1,'mac':'02:00:00:00:00:01','ips':['10.1.0.1']}
        binding/A/vm {'chassis':'hv1','generation':1}
        ls/out/lsp/phys1 {'port_id':51,'patch':{'chassis':'hv1','bridge':'br-ex'}}
        ls/out/lsp/phys2 {'port_id':52,'patch':{'chassis':'hv2','bridge':'br-ex'}}
        lr/G {'id':3,'chassis':'hv2'}
        lr/R {'id':4}
        lr/G/lrp/A {'mac':'02:00:00:00:00:0a','nets':['10.1.0.254/24'],'peer':{'ls':'A','lsp':'G'}}
        ls/A/lsp/G {'port_id':10,'mac':'02:00:00:00:00:0a','ips':['10.1.0.254'],'peer':{'lr':'G','lrp':'A'}}
        lr/R/lrp/A {'mac':'02:00:00:00:00:0b','nets':['10.1.0.253/24'],'peer':{'ls':'A','lsp':'R'}}
        ls/A/lsp/R {'port_id':11,'mac':'02:00:00:00:00:0b','ips':['10.1.0.253'],'peer':{'lr':'R','lrp':'A'}}
        lr/R/lrp/out {'mac':'02:00:00:00:00:0c','nets':['203.0.113.254/24'],'peer':{'ls':'out','lsp':'R'}}
        ls/out/lsp/R {'port_id':12,'mac':'02:00:00:00:00:0c','ips':['203.0.113.254'],'peer':{'lr':'R','lrp':'out'}}
        lr/G/lsr/all {'prefix':'0.0.0.0/0','next_hop':'10.1.0.253','outport':'A'}
        lr/R/lnat/vm {'type':'floating','prefix':'10.1.0.1/32','xlate_ip':'203.0.113.7','distributed':true}
        ",
    );
    let ip = |text: &str| text.parse().expect("an address");
    for (gateway, leaves) in [(0xb, 1), (0xa, 0)] {
        let body = Body::Ip(Ip { src: ip("10.1.0.1"), dst: ip("203.0.113.101"), ttl: 64, says: Says::udp(53) });
        let frame = Frame { dst: Mac([2, 0, 0, 0, 0, gateway]), src: Mac([2, 0, 0, 0, 0, 1]), vlan: None, body };
        let sent = Sent { ls: "A".into(), lsp: "vm".into(), frame, then: Then::default() };
        let left = Bed::new(&network).outside(&sent).unwrap_or_else(|why| panic!("by {gateway:x}: {why}"));
        assert_eq!(left, leaves, "by {gateway:x}");
    }
}
