//! Flows that a switch would accept, at random: a protocol first, then fields and actions that it allows.
#![allow(dead_code)] // Each test binary uses its part.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use tuplenet_openflow::field::{self, Access, Field, Format, Mask, Prerequisite, REGISTRY};
use tuplenet_openflow::{Flow, Match, Value, port};

mod actions;

/// `n` values, the same in each run unless `TUPLENET_SEED` says otherwise.
pub fn sample<S: Strategy>(strategy: S, n: usize) -> Vec<S::Value> {
    let seed: u64 = std::env::var("TUPLENET_SEED").map_or(1, |s| s.parse().expect("TUPLENET_SEED is a number"));
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..n).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// A protocol: what the match says about it, and the prerequisites that this fulfils.
#[derive(Clone, Debug)]
pub struct Protocol {
    matching: Match,
    fulfils: Vec<Prerequisite>,
}

fn protocol() -> impl Strategy<Value = Protocol> {
    use Prerequisite as P;
    let ip = |eth_type: u16, proto: Option<u8>, fulfils: &[P]| {
        let m = Match::new().with(field::ETH_TYPE, eth_type);
        let m = match proto {
            Some(proto) => m.with(field::IP_PROTO, proto),
            None => m,
        };
        Protocol { matching: m, fulfils: [&[P::None, P::Ethernet][..], fulfils].concat() }
    };
    let nd = |kind: u8, which: P| {
        let p = ip(0x86dd, Some(58), &[P::Ipv6, P::Ip, P::Icmpv6, P::Nd, which]);
        let m = p.matching.with(field::ICMPV6_TYPE, kind).with(field::ICMPV6_CODE, 0u8);
        Protocol { matching: m, ..p }
    };
    let tracked = |p: Protocol| Protocol {
        matching: p.matching.with_masked(field::CT_STATE, 0x22u32, 0x22u32),
        fulfils: [&p.fulfils[..], &[P::Ct]].concat(),
    };
    let vlan = |vid: u16, vid_mask: u16| Protocol {
        matching: Match::new().with_masked(field::VLAN_VID, vid, vid_mask),
        fulfils: vec![P::None, P::Ethernet, P::VlanVid],
    };
    select(vec![
        Protocol { matching: Match::new(), fulfils: vec![P::None, P::Ethernet] },
        Protocol { matching: Match::new(), fulfils: vec![P::None, P::Ethernet] },
        vlan(0x1000, 0x1000),
        vlan(0x1064, 0x1fff),
        ip(0x0800, None, &[P::Ipv4, P::Ip]),
        ip(0x0800, Some(2), &[P::Ipv4, P::Ip]),
        ip(0x0800, Some(47), &[P::Ipv4, P::Ip]),
        ip(0x0800, Some(1), &[P::Ipv4, P::Ip, P::Icmpv4]),
        ip(0x0800, Some(6), &[P::Ipv4, P::Ip, P::Tcp]),
        ip(0x0800, Some(17), &[P::Ipv4, P::Ip, P::Udp]),
        ip(0x0800, Some(132), &[P::Ipv4, P::Ip, P::Sctp]),
        ip(0x86dd, None, &[P::Ipv6, P::Ip]),
        ip(0x86dd, Some(43), &[P::Ipv6, P::Ip]),
        ip(0x86dd, Some(6), &[P::Ipv6, P::Ip, P::Tcp]),
        ip(0x86dd, Some(17), &[P::Ipv6, P::Ip, P::Udp]),
        ip(0x86dd, Some(132), &[P::Ipv6, P::Ip, P::Sctp]),
        ip(0x86dd, Some(58), &[P::Ipv6, P::Ip, P::Icmpv6]),
        nd(135, P::NdSolicit),
        nd(136, P::NdAdvert),
        tracked(ip(0x0800, Some(6), &[P::Ipv4, P::Ip, P::Tcp])),
        tracked(ip(0x86dd, None, &[P::Ipv6, P::Ip])),
        ip(0x0806, None, &[P::Arp]),
        ip(0x8035, None, &[P::Arp]),
        ip(0x8847, None, &[P::Mpls]),
        ip(0x8848, None, &[P::Mpls]),
        ip(0x894f, None, &[P::Nsh]),
        ip(0x88cc, None, &[]),
    ])
}

/// Fields that say nothing of their own here: aliases of others, and those with rules of their own.
fn plain(f: &Field) -> bool {
    let special = [
        field::PACKET_TYPE,
        field::IN_PORT_NXM,
        field::ETH_TYPE,
        field::IP_PROTO,
        field::VLAN_TCI,
        field::VLAN_VID,
        field::NW_TOS,
        field::NSH_MDTYPE,
        field::TUN_ERSPAN_IDX,
        field::TUN_ERSPAN_DIR,
        field::TUN_ERSPAN_HWID,
        field::CT_NW_SRC,
        field::CT_NW_DST,
        field::CT_TP_SRC,
        field::CT_TP_DST,
        field::CT_IPV6_SRC,
        field::CT_IPV6_DST,
        field::NSH_C1,
        field::NSH_C2,
        field::NSH_C3,
        field::NSH_C4,
        field::RECIRC_ID,
    ];
    !special.contains(&f) && !f.is_variable()
}

fn number(bits: u16) -> BoxedStrategy<Value> {
    let mask = if bits >= 128 { u128::MAX } else { (1u128 << bits) - 1 };
    prop_oneof![
        any::<u128>().prop_map(move |n| Value::from(n & mask)),
        (0u128..=3).prop_map(move |n| Value::from(n & mask)),
        Just(Value::from(mask)),
    ]
    .boxed()
}

/// A value that the field can have, with a mask if it takes one.
fn value(f: &'static Field) -> BoxedStrategy<(Value, Option<Value>)> {
    match f.format {
        Format::Port => {
            let reserved = Just(port::LOCAL);
            prop_oneof![1u32..0xff00, reserved].prop_map(|p| (p.into(), None)).boxed()
        }
        // Not 0/1 and 2/2, which have the words of 0/3 and 3/3.
        Format::Frag => select(vec![(0u8, 3u8), (1, 3), (3, 3), (1, 1), (0, 2)])
            .prop_map(|(v, m)| (v.into(), Some(m.into())))
            .boxed(),
        _ if f == field::ARP_OP || f == field::CT_NW_PROTO => (1u16..=255).prop_map(|op| (op.into(), None)).boxed(),
        // Not +inv, with which no connection can be committed.
        _ if f == field::CT_STATE => (any::<u8>(), proptest::option::of(any::<u8>()))
            .prop_map(|(v, m)| ((v & 0xef).into(), m.map(|m| m.into())))
            .boxed(),
        _ => {
            let bits = match f {
                f if f == field::NSH_TTL => 6,
                _ => f.bits,
            };
            let prefix = select(vec![1u32, 8, 16, 20, 24, 31, 32, 64]).prop_map(move |len| {
                let len = len.min(u32::from(bits));
                let ones = if bits >= 128 { u128::MAX } else { (1u128 << bits) - 1 };
                Some(Value::from(ones & !(ones.checked_shr(len).unwrap_or(0))))
            });
            // `ovs-ofctl` prints these without their masks, and some not at all where they are zero.
            let lossy = [field::TUN_GBP_FLAGS, field::TUN_GTPU_FLAGS, field::TUN_GTPU_MSGTYPE, field::TUN_ERSPAN_VER];
            if lossy.contains(&f) {
                return (1u8..16).prop_map(|n| (n.into(), None)).boxed();
            }
            let any_mask = number(bits).prop_map(move |m| {
                // `ovs-ofctl` takes an IPv6 mask that begins with a digit for the length of a prefix.
                let first = if f.format == Format::Ipv6 { 0xf000u128 << 112 } else { 0 };
                Some(Value::from(m.to_u128().unwrap() | first))
            });
            let mask = match f.mask {
                Mask::Exact => Just(None).boxed(),
                Mask::Any => prop_oneof![3 => Just(None), 1 => prefix, 1 => any_mask].boxed(),
            };
            (number(bits), mask).boxed()
        }
    }
}

/// Fields of which the protocol allows to match, or (`write`) to set.
fn fields(p: &Protocol, write: bool) -> Vec<&'static Field> {
    let ok = |f: &&Field| {
        // Open vSwitch lists `in_port_oxm` as writable, but refuses to write it: `in_port` is the one to set. What
        // belongs to a connection is set inside of ct() only.
        let inside = [field::IN_PORT, field::CT_MARK, field::CT_LABEL];
        let writable = f.access == Access::ReadWrite && !inside.contains(f);
        plain(f) && p.fulfils.contains(&f.prerequisite) && (!write || writable)
    };
    REGISTRY.iter().filter(ok).collect()
}

fn matching(p: Protocol) -> impl Strategy<Value = Match> {
    let known = fields(&p, false);
    let own: Vec<_> = known.iter().filter(|f| f.prerequisite != Prerequisite::None).copied().collect();
    let some = move |of: Vec<&'static Field>, max: usize| {
        prop::collection::vec(select(of).prop_flat_map(|f| (Just(f), value(f))), 0..=max)
    };
    (some(known, 4), some(own, 3)).prop_map(move |(a, b)| {
        a.into_iter().chain(b).fold(p.matching.clone(), |m, (f, (value, mask))| {
            // A later fragment has no ports.
            let later = f == field::IP_FRAG && value.to_u64() != Some(0) && p.fulfils.len() > 4;
            if p.matching.get(f).is_some() || later { m } else { m.try_with(f, value, mask).unwrap() }
        })
    })
}

/// A flow of table 0 without cookie, timeouts and flags.
pub fn flow() -> impl Strategy<Value = Flow> {
    (protocol(), any::<u16>()).prop_flat_map(|(p, priority)| {
        (matching(p.clone()), actions::instructions(p)).prop_map(move |(matching, instructions)| Flow {
            priority,
            matching,
            instructions,
            ..Flow::default()
        })
    })
}

/// A match that a switch would accept.
pub fn any_match() -> impl Strategy<Value = Match> {
    protocol().prop_flat_map(matching)
}
