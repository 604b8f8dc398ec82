//! Provider networks, all of them that three hosts can make: every set of hosts with a patch port, flooding or not, in a VLAN or not, over each kind of tunnel. The
//! physical network is one switch that sends what it gets to all hosts with a patch port, as before it has learned anything; frames that come back into a
//! patch port are ours or the outside's. What must come out is simple enough to say in a line each.

#![allow(clippy::unwrap_used)]

use tuplenet_model::name::Name;
use tuplenet_sim::{Delivery, Network, Object, Packet};

const HOSTS: [&str; 3] = ["hv1", "hv2", "hv3"];
const VLAN: u16 = 100;
const OUTSIDE: [u8; 6] = [2, 0xee, 0, 0, 0, 1];
const NOBODY: [u8; 6] = [2, 0xee, 0, 0, 0, 9];
const ALL: [u8; 6] = [0xff; 6];

/// One of the networks.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Bit by bit, which hosts have a patch port.
    patched: usize,
    flood: bool,
    tagged: bool,
    encap: &'static str,
}

impl Case {
    fn has(&self, host: usize) -> bool {
        self.patched >> host & 1 == 1
    }

    /// By whose patch port a host's frames leave.
    fn way_out(&self, host: usize) -> Option<usize> {
        if self.has(host) { Some(host) } else { (0..HOSTS.len()).find(|other| self.has(*other)) }
    }

    fn network(&self) -> Network {
        let object = |path: String, json: String| Object { path, value: json.into(), create_revision: 1 };
        let mut all = vec![object("ls/P".into(), format!(r#"{{"id":7,"flood":{}}}"#, self.flood))];
        for (i, host) in HOSTS.iter().enumerate() {
            let (n, encap) = (i + 1, self.encap);
            all.push(object(
                format!("chassis/{host}"),
                format!(r#"{{"encaps":[{{"type":"{encap}","ip":"192.0.2.{n}"}}],"roles":[]}}"#),
            ));
            all.push(object(
                format!("ls/P/lsp/vm{n}"),
                format!(r#"{{"port_id":{n},"mac":"02:00:00:00:00:0{n}","ips":["10.0.0.{n}","fd00::{n}"]}}"#),
            ));
            all.push(object(format!("binding/P/vm{n}"), format!(r#"{{"chassis":"{host}","generation":1}}"#)));
            if self.has(i) {
                let vlan = if self.tagged { format!(r#","vlan":{VLAN}"#) } else { String::new() };
                let json = format!(r#"{{"port_id":{},"patch":{{"chassis":"{host}","bridge":"br-ex"{vlan}}}}}"#, 20 + n);
                all.push(object(format!("ls/P/lsp/out{n}"), json));
            }
        }
        Network::new(all)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    (0..8).flat_map(|patched| {
        ["geneve", "vxlan", "gre"].into_iter().flat_map(move |encap| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(flood, tagged)| Case {
                patched,
                flood,
                tagged,
                encap,
            })
        })
    })
}

fn mac(host: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, host as u8 + 1]
}

fn name(s: &str) -> Name {
    s.parse().unwrap()
}

/// A frame, with a tag or without.
fn frame(dst: [u8; 6], src: [u8; 6], tag: Option<u16>, ethertype: u16, payload: &[u8]) -> Packet {
    let mut bytes = [dst, src].concat();
    if let Some(vlan) = tag {
        bytes.extend([0x81, 0x00]);
        bytes.extend(vlan.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().max(60), 0);
    Packet::parse(&bytes).unwrap()
}

fn plain(dst: [u8; 6], src: [u8; 6], tag: Option<u16>) -> Packet {
    frame(dst, src, tag, 0x88b5, b"data")
}

/// Who has 10.0.0.`target`?
fn question(src: [u8; 6], asker: u8, target: u8, tag: Option<u16>) -> Packet {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(src);
    arp.extend([10, 0, 0, asker]);
    arp.extend([0; 6]);
    arp.extend([10, 0, 0, target]);
    frame(ALL, src, tag, 0x0806, &arp)
}

struct Wire {
    case: Case,
    network: Network,
}

impl Wire {
    fn tag(&self) -> Option<u16> {
        self.case.tagged.then_some(VLAN)
    }

    /// Where a frame that a port sends comes out: `vm2`, `out1`, ... in order. What comes out at a patch port has the tag, what a VM gets has none.
    fn send(&mut self, from: &str, packet: Packet) -> Vec<String> {
        let all: Vec<Delivery> = self.network.deliveries(&name("P"), &name(from), packet).unwrap();
        for delivery in &all {
            let bytes = delivery.packet.to_bytes();
            let tagged = bytes[12..14] == [0x81, 0x00];
            let wanted = delivery.lsp.starts_with("out") && self.case.tagged;
            assert_eq!(tagged, wanted, "{:?}: from {from} to {}", self.case, delivery.lsp);
            assert!(delivery.crossings <= 1, "{:?}: {} crossings", self.case, delivery.crossings);
        }
        let mut all: Vec<String> = all.iter().map(|delivery| delivery.lsp.to_string()).collect();
        all.sort();
        all
    }

    /// The same from outside: the physical network gives the frame to all patch ports but those in `not`.
    fn arrive(&mut self, packet: &Packet, not: Option<usize>) -> Vec<String> {
        let case = self.case;
        let hosts = (0..HOSTS.len()).filter(|host| case.has(*host) && Some(*host) != not);
        let mut all: Vec<String> =
            hosts.flat_map(|host| self.send(&format!("out{}", host + 1), packet.clone())).collect();
        all.sort();
        all
    }
}

fn vms(but: Option<usize>) -> Vec<String> {
    (0..HOSTS.len()).filter(|host| Some(*host) != but).map(|host| format!("vm{}", host + 1)).collect()
}

fn out(host: Option<usize>) -> Vec<String> {
    host.map(|host| format!("out{}", host + 1)).into_iter().collect()
}

#[test]
fn every_frame_comes_out_where_it_should_and_once() {
    for case in cases() {
        let mut wire = Wire { case, network: case.network() };
        for host in 0..HOSTS.len() {
            let (vm, src, way) = (format!("vm{}", host + 1), mac(host), case.way_out(host));
            let say = |what: &str| format!("{case:?}: {what} of {vm}");
            let others = if case.flood { vms(Some(host)) } else { Vec::new() };
            // Inside: to a MAC that nobody has, to all, to each other.
            assert_eq!(wire.send(&vm, plain(NOBODY, src, None)), out(way), "{}", say("a frame for nobody"));
            let expected: Vec<String> = out(way).into_iter().chain(others).collect();
            assert_eq!(wire.send(&vm, plain(ALL, src, None)), expected, "{}", say("a broadcast"));
            for other in (0..HOSTS.len()).filter(|other| *other != host) {
                let got = wire.send(&vm, plain(mac(other), src, None));
                assert_eq!(got, [format!("vm{}", other + 1)], "{}", say("a frame for another"));
            }
            assert_eq!(wire.send(&vm, plain(NOBODY, src, Some(5))), [] as [&str; 0], "{}", say("a tagged frame"));
            // Its broadcast comes back by the other patch ports: nobody gets it again.
            let reflected = wire.arrive(&plain(ALL, src, wire.tag()), way);
            assert_eq!(reflected, [] as [&str; 0], "{}", say("a broadcast come back"));
            // Questions: inside for somebody outside, outside for this VM.
            let ask = question(src, host as u8 + 1, 200, None);
            let expected: Vec<String> =
                out(way).into_iter().chain(if case.flood { vms(Some(host)) } else { Vec::new() }).collect();
            assert_eq!(wire.send(&vm, ask), expected, "{}", say("a question"));
            let asked = question(OUTSIDE, 200, host as u8 + 1, wire.tag());
            assert_eq!(wire.arrive(&asked, None), out(way), "{}", say("the answer for"));
            // From outside, sent to all patch ports: one host takes it in.
            let expected = if case.patched == 0 { Vec::new() } else { vec![vm.clone()] };
            let got = wire.arrive(&plain(mac(host), OUTSIDE, wire.tag()), None);
            assert_eq!(got, expected, "{}", say("a frame from outside for the port"));
        }
        let everybody = if case.flood && case.patched != 0 { vms(None) } else { Vec::new() };
        assert_eq!(
            wire.arrive(&plain(ALL, OUTSIDE, wire.tag()), None),
            everybody,
            "{case:?}: a broadcast from outside"
        );
        assert_eq!(wire.arrive(&plain(NOBODY, OUTSIDE, wire.tag()), None), [] as [&str; 0], "{case:?}: for nobody");
        // Of another VLAN, or of none where there is one.
        let foreign = if case.tagged { None } else { Some(5) };
        assert_eq!(wire.arrive(&plain(mac(0), OUTSIDE, foreign), None), [] as [&str; 0], "{case:?}: of another VLAN");
    }
}

#[test]
fn a_patch_port_that_goes_leaves_its_work_to_the_next() {
    let case = Case { patched: 0b111, flood: false, tagged: true, encap: "geneve" };
    let mut wire = Wire { case, network: case.network() };
    for (gone, way) in [(1, "out2"), (2, "out3")] {
        let before = wire.send("vm1", plain(NOBODY, mac(0), None));
        assert_eq!(before, [format!("out{gone}")]);
        wire.network.apply([(format!("ls/P/lsp/out{gone}"), None, 0)]);
        assert_eq!(wire.send("vm1", plain(NOBODY, mac(0), None)), [way]);
    }
    wire.network.apply([("ls/P/lsp/out3".to_owned(), None, 0)]);
    assert_eq!(wire.send("vm1", plain(NOBODY, mac(0), None)), [] as [&str; 0]);
}
