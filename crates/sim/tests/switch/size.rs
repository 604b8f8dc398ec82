//! How long packets may be: real packets around the MTU, through a router to a guest of the same host and to one behind a tunnel. What comes out of the real
//! switch, the simulator lets out; and by the simulator's word it is told what does not.

use super::{
    generate::{Network, Object, Port},
    network::Host,
    real::Question,
    wire,
};
use proptest::prelude::*;
use tuplenet_rules::{icmp::Event, userdata::Userdata};
use tuplenet_sim::{
    Packet,
    probe::{Probe, What},
    switch::Effect,
};

const CASES: u32 = 60;
/// Of A nothing is set, of B this is.
const SET: u16 = 1300;
/// What Geneve leaves of the underlay's 1500 bytes, less what hv2 has less.
const CARRIED: u16 = 1500 - 10 - 62;

#[derive(Clone, Debug)]
struct Sent {
    size: u16,
    v6: bool,
    tcp: bool,
    /// Who it is for: the last byte of the address. 1 is on hv1, 2 on hv2.
    to: u8,
    /// To B, or from B to A.
    there: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let near = prop_oneof![SET - 3..SET + 3, CARRIED - 3..CARRIED + 3, 60..2000_u16];
    (near, any::<bool>(), any::<bool>(), 1..3_u8, any::<bool>()).prop_map(|(size, v6, tcp, to, there)| Sent {
        size,
        v6,
        tcp,
        to,
        there,
    })
}

fn mac(net: u8, host: u8) -> [u8; 6] {
    [0xf2, 0x01, 10, net, 0, host]
}

fn address(net: u8, host: u8, v6: bool) -> String {
    if v6 { format!("fd00:{net}::{host:x}") } else { format!("10.{net}.0.{host}") }
}

fn network() -> Network {
    let object = |path: String, json: String| Object { path, json, created: 1 };
    let mut network = Network::default();
    let mut put = |path: &str, json: String| network.objects.push(object(path.to_owned(), json));
    let set = format!(r#","mtu":{SET}"#);
    for (host, mtu) in [(1, 1500), (2, 1490)] {
        let encap = format!(r#"{{"type":"geneve","ip":"192.0.2.{host}"}}"#);
        put(&format!("chassis/hv{host}"), format!(r#"{{"encaps":[{encap}],"roles":[],"mtu":{mtu}}}"#));
    }
    put("lr/R", r#"{"id":3,"chassis":null}"#.to_owned());
    for (net, ls, mtu) in [(1_u8, "A", ""), (2, "B", set.as_str())] {
        put(&format!("ls/{ls}"), format!(r#"{{"id":{net}{mtu}}}"#));
        let ips = |host| format!("{:?}", [address(net, host, false), address(net, host, true)]);
        for host in [1, 2] {
            let (lsp, own) = (format!("{ls}{host}"), tuplenet_model::mac::Mac(mac(net, host)));
            let json = format!(r#"{{"port_id":{host},"mac":"{own}","ips":{}}}"#, ips(host));
            put(&format!("ls/{ls}/lsp/{lsp}"), json);
            put(&format!("binding/{ls}/{lsp}"), format!(r#"{{"chassis":"hv{host}","generation":1}}"#));
        }
        let own = tuplenet_model::mac::Mac(mac(net, 0xfe));
        let peer = format!(r#""peer":{{"lr":"R","lrp":"R{ls}"}}"#);
        put(&format!("ls/{ls}/lsp/{ls}R"), format!(r#"{{"port_id":9,"mac":"{own}","ips":{},{peer}}}"#, ips(0xfe)));
        let nets = format!("{:?}", [address(net, 0xfe, false) + "/24", address(net, 0xfe, true) + "/64"]);
        let peer = format!(r#""peer":{{"ls":"{ls}","lsp":"{ls}R"}}"#);
        put(&format!("lr/R/lrp/R{ls}"), format!(r#"{{"port_id":{net},"mac":"{own}","nets":{nets},{peer}}}"#));
    }
    for (net, ls) in [(1, "A"), (2, "B")] {
        let ips = [false, true].map(|v6| address(net, 1, v6).parse().unwrap()).to_vec();
        let (ls, lsp, chassis) = (ls.to_owned(), format!("{ls}1"), Some("hv1".to_owned()));
        let mac = tuplenet_model::mac::Mac(mac(net, 1));
        network.ports.push(Port { ls, lsp, mac, ips, chassis, gateway: false, outside: false, vlan: None });
    }
    network
}

pub fn check_all() {
    let network = network();
    let host = Host::new(&network, "hv1");
    wire::try_wired(&proptest::collection::vec(sent(), 20), CASES, false, |wired, sent| {
        let mut switch = wired.fill(&host.flows, &host.groups)?;
        for Sent { size, v6, tcp, to, there } in sent.iter().cloned() {
            let (from, net) = if there { (1, 2) } else { (2, 1) };
            let ip = |net, host| address(net, host, v6).parse().unwrap();
            let bytes = Probe {
                eth_src: tuplenet_model::mac::Mac(mac(from, 1)),
                eth_dst: tuplenet_model::mac::Mac(mac(from, 0xfe)),
                src: ip(from, 1),
                dst: ip(net, to),
                ttl: 64,
                what: if tcp { What::Tcp(80) } else { What::Udp(53) },
                size: Some(size),
            };
            let bytes = bytes.to_bytes().map_err(|error| error.to_string())?;
            let question = Question::new(
                host.ofport(if there { "A" } else { "B" }, if there { "A1" } else { "B1" }).unwrap(),
                bytes,
            );
            wired.send(&mut switch, &question)?;

            let mut packet = Packet::parse(&question.bytes).map_err(|error| error.to_string())?;
            packet.set(tuplenet_openflow::field::IN_PORT, question.in_port);
            let run = switch.run(packet, 0).map_err(|error| error.to_string())?;
            let told = Userdata::IcmpError(Event::TooBig).encode();
            let ended =
                run.effects.iter().any(|e| matches!(e, Effect::Controller { userdata, .. } if *userdata == told));
            let most = if there { SET } else { CARRIED };
            if ended != (size > most) {
                return Err(format!("a packet of {size} bytes where {most} may be: too big {ended}"));
            }
        }
        Ok(())
    });
}
