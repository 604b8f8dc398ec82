//! How a real switch spreads connections over the next hops of equal routes, and whose move when one dies, returns, goes or comes: the two methods that Open vSwitch has,
//! measured. `cargo test -p tuplenet-sim --test switch spread -- --nocapture` prints it.

use super::{real::Real, wire::Capture};
use std::collections::BTreeMap;
use tuplenet_openflow::{
    Action, Flow, Match, field,
    message::{Bucket, GroupCommand, GroupKind, GroupMod, GroupProperties, Message, SelectionMethod, group::bucket_id},
};
use tuplenet_rules::Selection;
use tuplenet_sim::{Group, Packet, Probe, What};

/// How many connections.
const FLOWS: u16 = 240;
/// Where they come from; the next hops are 1 to 4.
const FROM: u32 = 9;
const GROUP: u32 = 1;

/// The next hop of each connection, by its number.
type Taken = BTreeMap<u16, u32>;

fn bucket(port: u32) -> Bucket {
    // As the rules number them: from something, not in a row.
    let bucket_id = port.wrapping_mul(0x9e37_79b9) >> 4;
    let actions = vec![Action::output(port)];
    Bucket { bucket_id, weight: Some(u16::MAX), watch_port: Some(port), actions, ..Bucket::default() }
}

fn command(command: GroupCommand, buckets: Vec<Bucket>) -> Message {
    Message::GroupMod(GroupMod {
        properties: GroupProperties::default(),
        ..GroupMod::new(command, GroupKind::Select, GROUP, buckets)
    })
}

fn connection(n: u16) -> Vec<u8> {
    let probe = Probe {
        eth_src: "02:00:00:00:00:01".parse().expect("a MAC"),
        eth_dst: "02:00:00:00:00:02".parse().expect("a MAC"),
        src: [10, 0, (n % 3) as u8, (n % 50) as u8].into(),
        dst: [198, 51, 100, (n % 7) as u8].into(),
        ttl: 64,
        what: What::Udp(53),
        size: None,
    };
    let mut packet = Packet::parse(&probe.to_bytes().expect("one family")).expect("a packet");
    packet.set(field::UDP_SRC, 10_000 + n);
    packet.to_bytes()
}

struct Bed {
    real: Real,
    ports: Vec<(u32, Capture)>,
}

impl Bed {
    /// Sends one packet of each connection.
    fn round(&mut self) -> Taken {
        let mut taken = Taken::new();
        // What the cache still has from before is not what the switch decides now.
        self.real.forget();
        for n in 0..FLOWS {
            self.real.send(FROM, &connection(n));
        }
        for (port, capture) in &mut self.ports {
            for frame in capture.more() {
                let number = u16::from_be_bytes([frame[34], frame[35]]) - 10_000;
                taken.insert(number, *port);
            }
        }
        assert_eq!(taken.len(), usize::from(FLOWS), "each connection has a next hop");
        taken
    }
}

/// The share that took another next hop, of those for which that counts.
fn moved(before: &Taken, after: &Taken, counts: impl Fn(u32, u32) -> bool) -> f64 {
    let moved = before.iter().filter(|(n, was)| after.get(n).is_some_and(|is| is != *was && counts(**was, *is)));
    moved.count() as f64 / f64::from(FLOWS)
}

#[test]
fn spread() {
    let hash = Selection::five_tuple().method();
    // Ports are not noted here: the plain fields instead.
    let fields = hash.fields.fields().filter(|f| f.field != tuplenet_rules::register::L4_PORTS);
    let fields = fields.fold(Match::new(), |all, f| all.with(f.field, f.value));
    let hash = SelectionMethod { fields: fields.with(field::UDP_SRC, u16::MAX).with(field::UDP_DST, u16::MAX), ..hash };
    let dp_hash = SelectionMethod { method: "dp_hash".into(), param: 0, fields: Match::new() };
    for method in [hash, dp_hash] {
        let real = Real::start(Vec::new(), &[]);
        let ports = (1..=4).map(|port| (port, Capture::of(&real, &format!("p{port}")))).collect();
        let mut bed = Bed { real, ports };
        let name = method.method.clone();
        let group = Group {
            id: GROUP,
            kind: GroupKind::Select,
            selection: Some(method),
            buckets: [1, 2, 3].map(bucket).to_vec(),
        };
        let flow = Flow::new(0, 1, Match::new().with(field::IN_PORT, FROM), vec![Action::Group(GROUP)]);
        bed.real.install(&[flow], &[group]).expect("the switch takes them");

        let all = bed.round();
        let cache = bed.real.ask(&["dpctl/dump-flows"]).lines().count();
        let shares: Vec<f64> =
            (1..=3).map(|port| all.values().filter(|p| **p == port).count() as f64 / f64::from(FLOWS)).collect();
        bed.real.ask(&["netdev-dummy/set-admin-state", "p2", "down"]);
        let dead = bed.round();
        bed.real.ask(&["netdev-dummy/set-admin-state", "p2", "up"]);
        let back = bed.round();
        bed.real.tell(vec![command(GroupCommand::RemoveBucket { bucket_id: bucket(1).bucket_id }, Vec::new())]);
        let gone = bed.round();
        bed.real.tell(vec![command(GroupCommand::InsertBucket { after: bucket_id::LAST }, vec![bucket(1)])]);
        let again = bed.round();
        bed.real.tell(vec![command(GroupCommand::InsertBucket { after: bucket_id::LAST }, vec![bucket(4)])]);
        let more = bed.round();
        let figures = [
            ("one of three dies", moved(&all, &dead, |was, _| was != 2)),
            ("it returns", moved(&all, &back, |_, _| true)),
            ("one is taken out", moved(&back, &gone, |was, _| was != 1)),
            ("it is put in again", moved(&back, &again, |_, _| true)),
            ("a fourth comes", moved(&again, &more, |_, is| is != 4)),
        ];
        println!("{name}: shares {shares:.2?}, {cache} entries in the switch's cache; moved without need:");
        figures.iter().for_each(|(what, share)| println!("  {what:<20} {:>5.1} %", 100.0 * share));
        assert!(shares.iter().all(|share| (0.2..0.47).contains(share)), "{name}: {shares:?}");
        if name == "hash" {
            assert!(figures.iter().all(|(_, share)| *share == 0.0), "{figures:?}");
        }
    }
}
