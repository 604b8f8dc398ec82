//! Random OpenFlow programs of the subset that the rules use and the simulator claims, and packets for them.
//!
//! A program that makes no sense as a network finds what the networks of today never do. Priorities differ, so that the switch has no choice; resubmits
//! lead to later tables, so that it ends. Everything is planned in small numbers, so that a failing case shrinks.

use super::generate::{Arp, Body, Frame, Ip, Says};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tuplenet_model::mac::Mac;
use tuplenet_openflow::{
    Action, Field, Flow, Match, Value,
    action::{Controller, Ct, Nat, SetField, Subfield, Zone},
    field::{self, Access, Mask, Prerequisite, REGISTRY},
    message::{Bucket, GroupKind},
    port,
};
use tuplenet_sim::Group;

/// Tables 0 to this one.
const LAST: u8 = 5;
/// Bits of `tun_metadata0` that the option has.
const OPTION_BITS: u16 = 64;

/// Flows, groups, and packets to send through them.
#[derive(Clone)]
pub struct Program {
    pub flows: Vec<Flow>,
    pub groups: Vec<Group>,
    pub packets: Vec<Stimulus>,
}

/// A packet, and what only the switch knows about it.
#[derive(Clone, Debug)]
pub struct Stimulus {
    pub in_port: u32,
    /// VNI, source and destination of the tunnel that it came by, and the option if there is one.
    pub tunnel: Option<(u32, Option<u64>)>,
    pub frame: Frame,
    /// What connections `ct` finds, in turn: bits of `ct_state`.
    pub ct_next: Vec<u32>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for flow in &self.flows {
            writeln!(f, "  {flow}")?;
        }
        for group in &self.groups {
            let buckets: Vec<_> = group.buckets.iter().map(|bucket| &bucket.actions).collect();
            writeln!(f, "  group {} {}: {buckets:?}", group.id, group.kind)?;
        }
        for packet in &self.packets {
            let (port, tunnel, frame) = (packet.in_port, packet.tunnel, &packet.frame);
            writeln!(f, "  at port {port}, tunnel {tunnel:x?}, ct_next {:x?}: {frame}", packet.ct_next)?;
        }
        Ok(())
    }
}

/// What a flow may be about: what it matches first, and the prerequisites that this fulfils.
#[derive(Clone, Copy, Debug)]
struct Protocol {
    ethertype: Option<u16>,
    proto: Option<u8>,
    /// ICMPv6 type.
    nd: Option<u8>,
    tagged: bool,
    fulfils: &'static [Prerequisite],
}

const PROTOCOLS: &[Protocol] = {
    use Prerequisite as P;
    const fn ip(ethertype: u16, proto: Option<u8>, fulfils: &'static [Prerequisite]) -> Protocol {
        Protocol { ethertype: Some(ethertype), proto, nd: None, tagged: false, fulfils }
    }
    const fn nd(kind: u8, fulfils: &'static [Prerequisite]) -> Protocol {
        Protocol { ethertype: Some(0x86dd), proto: Some(58), nd: Some(kind), tagged: false, fulfils }
    }
    const ANY: &[Prerequisite] = &[P::None, P::Ethernet];
    &[
        Protocol { ethertype: None, proto: None, nd: None, tagged: false, fulfils: ANY },
        ip(0x0800, None, &[P::None, P::Ethernet, P::Ipv4, P::Ip]),
        ip(0x86dd, None, &[P::None, P::Ethernet, P::Ipv6, P::Ip]),
        ip(0x0806, None, &[P::None, P::Ethernet, P::Arp]),
        ip(0x0800, Some(1), &[P::None, P::Ethernet, P::Ipv4, P::Ip, P::Icmpv4]),
        ip(0x0800, Some(6), &[P::None, P::Ethernet, P::Ipv4, P::Ip, P::Tcp]),
        ip(0x0800, Some(17), &[P::None, P::Ethernet, P::Ipv4, P::Ip, P::Udp]),
        ip(0x86dd, Some(58), &[P::None, P::Ethernet, P::Ipv6, P::Ip, P::Icmpv6]),
        ip(0x86dd, Some(6), &[P::None, P::Ethernet, P::Ipv6, P::Ip, P::Tcp]),
        ip(0x86dd, Some(17), &[P::None, P::Ethernet, P::Ipv6, P::Ip, P::Udp]),
        nd(135, &[P::None, P::Ethernet, P::Ipv6, P::Ip, P::Icmpv6, P::Nd, P::NdSolicit]),
        nd(136, &[P::None, P::Ethernet, P::Ipv6, P::Ip, P::Icmpv6, P::Nd, P::NdAdvert]),
        Protocol { ethertype: None, proto: None, nd: None, tagged: true, fulfils: &[P::None, P::Ethernet, P::VlanVid] },
    ]
};

impl Protocol {
    fn matching(self) -> Match {
        let mut matching = Match::new();
        if let Some(ethertype) = self.ethertype {
            matching = matching.with(field::ETH_TYPE, ethertype);
        }
        if let Some(proto) = self.proto {
            matching = matching.with(field::IP_PROTO, proto);
        }
        if let Some(kind) = self.nd {
            matching = matching.with(field::ICMPV6_TYPE, kind).with(field::ICMPV6_CODE, 0_u8);
        }
        if self.tagged {
            matching = matching.with_masked(field::VLAN_VID, 0x1000_u16, 0x1000_u16);
        }
        matching
    }

    /// Fields that a flow of this protocol may match, or (`write`) set.
    fn fields(self, write: bool) -> Vec<&'static Field> {
        // What the rules never touch, and what has rules of its own.
        let left_out = [
            field::PACKET_TYPE,
            field::IN_PORT_NXM,
            field::ETH_TYPE,
            field::IP_PROTO,
            field::NW_TOS,
            field::VLAN_TCI,
            field::TUN_SRC,
            field::TUN_IPV6_SRC,
            field::TUN_FLAGS,
            field::TUN_GBP_ID,
            field::TUN_GBP_FLAGS,
            field::TUN_ERSPAN_IDX,
            field::TUN_ERSPAN_VER,
            field::TUN_ERSPAN_DIR,
            field::TUN_ERSPAN_HWID,
            field::TUN_GTPU_FLAGS,
            field::TUN_GTPU_MSGTYPE,
            field::CONJ_ID,
            field::ACTSET_OUTPUT,
            field::DP_HASH,
            field::RECIRC_ID,
            field::CT_STATE,
            field::CT_ZONE,
            field::CT_MARK,
            field::CT_LABEL,
        ];
        let writable = |f: &Field| f.access == Access::ReadWrite && *f != *field::IN_PORT;
        let known = |f: &&Field| {
            !left_out.contains(f)
                && (!f.is_variable() || *f == field::TUN_METADATA0)
                && self.fulfils.contains(&f.prerequisite)
                && (!write || writable(f))
                && (!write || *f != field::VLAN_VID || self.tagged)
        };
        let mut fields: Vec<_> = REGISTRY.iter().filter(known).collect();
        // There are many registers; headers are what matters as much.
        fields.retain(|f| !matches!(f.name, "reg9" | "reg10" | "reg11" | "reg12" | "reg13" | "reg14" | "reg15"));
        fields.retain(|f| !matches!(f.name, "xreg5" | "xreg6" | "xreg7" | "xreg0" | "xxreg3"));
        fields
    }
}

/// One thing that a flow does, in numbers.
#[derive(Clone, Debug)]
enum Deed {
    Set { which: usize, value: u128, mask: Option<u128> },
    Move { from: usize, to: usize, from_bit: u16, to_bit: u16, bits: u16 },
    Resubmit { ahead: u8, in_port: Option<u16> },
    Output(u32),
    Controller(u8),
    Group(u32),
    Clone(Vec<Deed>),
    PushVlan(u16, u16),
    PopVlan,
    DecTtl,
    ForgetInPort,
    Push { which: usize, bit: u16, bits: u16 },
    Pop { which: usize, bit: u16, bits: u16 },
    Ct { commit: bool, zone: u16, ahead: Option<u8>, nat: Option<Option<bool>>, mark: bool },
    CtClear,
}

/// Numbers that a field is likely to have, or any.
fn number() -> BoxedStrategy<u128> {
    prop_oneof![6 => 0..8_u128, 2 => Just(u128::MAX), 1 => any::<u128>(), 1 => any::<u64>().prop_map(u128::from)]
        .boxed()
}

fn mask() -> BoxedStrategy<Option<u128>> {
    prop_oneof![
        5 => Just(None),
        1 => any::<u128>().prop_map(Some),
        2 => (0..127_u32).prop_map(|bit| Some(u128::MAX << bit)),
        1 => (0..127_u32).prop_map(|bit| Some(1 << bit)),
        1 => (0..127_u32).prop_map(|bit| Some(u128::MAX >> bit)),
    ]
    .boxed()
}

fn deed() -> BoxedStrategy<Deed> {
    let leaf = prop_oneof![
        8 => (0..64_usize, number(), mask()).prop_map(|(which, value, mask)| Deed::Set { which, value, mask }),
        6 => (0..64_usize, 0..64_usize, any::<u16>(), any::<u16>(), any::<u16>())
            .prop_map(|(from, to, from_bit, to_bit, bits)| Deed::Move { from, to, from_bit, to_bit, bits }),
        6 => (1..4_u8, option::weighted(0.1, 0..5_u16)).prop_map(|(ahead, in_port)| Deed::Resubmit { ahead, in_port }),
        4 => select(vec![1_u32, 2, 3, 4, 100, 101, 102, 77, port::IN_PORT]).prop_map(Deed::Output),
        1 => any::<u8>().prop_map(Deed::Controller),
        2 => (1..4_u32).prop_map(Deed::Group),
        1 => (select(vec![0x8100_u16, 0x88a8]), 0..4_u16).prop_map(|(kind, vid)| Deed::PushVlan(kind, vid)),
        1 => Just(Deed::PopVlan),
        2 => Just(Deed::DecTtl),
        1 => Just(Deed::ForgetInPort),
        1 => (0..64_usize, any::<u16>(), any::<u16>()).prop_map(|(which, bit, bits)| Deed::Push { which, bit, bits }),
        1 => (0..64_usize, any::<u16>(), any::<u16>()).prop_map(|(which, bit, bits)| Deed::Pop { which, bit, bits }),
        2 => (any::<bool>(), 0..3_u16, option::of(1..4_u8), option::of(option::of(any::<bool>())), any::<bool>())
            .prop_map(|(commit, zone, ahead, nat, mark)| Deed::Ct { commit, zone, ahead, nat, mark }),
        1 => Just(Deed::CtClear),
    ]
    .boxed();
    prop_oneof![12 => leaf.clone(), 1 => vec(leaf, 1..4).prop_map(Deed::Clone)].boxed()
}

fn ones(bits: u16) -> u128 {
    1_u128.checked_shl(bits.into()).map_or(u128::MAX, |n| n - 1)
}

/// Bits of the field that there are.
fn width(f: &'static Field) -> u16 {
    if f.is_variable() { OPTION_BITS } else { f.bits }
}

/// Values that packets have, for the small numbers; the number itself for the rest.
fn value_for(f: &'static Field, number: u128) -> u128 {
    if f == field::IN_PORT {
        return [1, 2, 3, 4, 100, 101, 102, 77][(number & 7) as usize];
    }
    let small = usize::try_from(number).ok().filter(|n| *n < 8);
    let Some(n) = small else {
        // Open vSwitch keeps 8 bits of an ARP operation.
        return number & if f == field::ARP_OP { 0xff } else { ones(width(f)) };
    };
    let value: u128 = match f.name {
        "eth_src" | "eth_dst" | "arp_sha" | "arp_tha" | "nd_sll" | "nd_tll" => mac_number(MACS[n % MACS.len()]),
        "ip_src" | "ip_dst" | "arp_spa" | "arp_tpa" => u32::from(v4(n)).into(),
        "tun_dst" => u32::from(Ipv4Addr::new(192, 0, 2, n as u8)).into(),
        "tun_ipv6_dst" => u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16)),
        "ipv6_src" | "ipv6_dst" | "nd_target" => v6(n).into(),
        "nw_ttl" => [64, 0, 1, 2, 255, 63, 3, 100][n],
        "tcp_src" | "udp_src" => 0xc001,
        "tcp_dst" => [80, 81, 0, 1, 2, 3, 4, 5][n],
        "udp_dst" => [53, 54, 0, 1, 2, 3, 4, 5][n],
        "icmp_type" => [8, 0, 3, 11, 8, 0, 1, 2][n],
        "icmpv6_type" => [128, 129, 135, 136, 1, 2, 3, 4][n],
        "vlan_vid" => n as u128 & 3,
        _ => n as u128,
    };
    value & ones(width(f))
}

const MACS: [Mac; 5] = [
    Mac([2, 0, 0, 0, 0, 1]),
    Mac([2, 0, 0, 0, 0, 2]),
    Mac([2, 0, 0, 0, 0, 3]),
    Mac([0xff; 6]),
    Mac([1, 0, 0x5e, 0, 0, 1]),
];

fn mac_number(mac: Mac) -> u128 {
    mac.0.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

fn v4(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n as u8)
}

fn v6(n: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n as u16)
}

/// Where a deed is done.
#[derive(Clone, Copy)]
struct Place {
    table: u8,
    protocol: Protocol,
    groups: usize,
    /// In a bucket.
    bucket: bool,
    /// With connection tracking.
    tracked: bool,
    /// A tag was pushed already.
    pushed: bool,
}

impl Place {
    fn part(self, which: usize, bit: u16, bits: u16, write: bool) -> Subfield {
        let fields = self.protocol.fields(write);
        let f = fields[which % fields.len()];
        let bit = if bit.is_multiple_of(3) { 0 } else { bit % width(f) };
        let most = width(f) - bit;
        let bits = if bits.is_multiple_of(2) { most } else { 1 + bits % most };
        Subfield::new(f, bit, bits.min(128))
    }

    fn ahead(self, ahead: u8) -> Option<u8> {
        if self.bucket { (self.table < LAST).then_some(LAST) } else { Some(self.table + ahead).filter(|t| *t <= LAST) }
    }

    fn actions(self, deeds: &[Deed]) -> Vec<Action> {
        let (mut place, mut actions) = (self, Vec::new());
        for deed in deeds {
            match deed {
                // The switch counts tags, as far as it sees: two are the most.
                Deed::PushVlan(..) if place.pushed => {}
                Deed::PushVlan(ethertype, vid) => {
                    place.pushed = true;
                    actions.push(Action::PushVlan(*ethertype));
                    actions.push(Action::set_field(field::VLAN_VID, 0x1000 | *vid));
                }
                deed => actions.extend(place.action(deed)),
            }
            if matches!(deed, Deed::PopVlan) && place.protocol.tagged {
                // What follows has no tag to touch, for all that the switch knows.
                place.protocol = PROTOCOLS[0];
            }
        }
        actions
    }

    fn action(self, deed: &Deed) -> Option<Action> {
        // What no bucket does.
        let never = matches!(deed, Deed::Controller(_) | Deed::Push { .. } | Deed::Pop { .. } | Deed::Clone(_));
        if self.bucket && never {
            return None;
        }
        Some(match deed {
            Deed::Set { which, value, mask } => {
                let fields = self.protocol.fields(true);
                let f = fields[which % fields.len()];
                let mut value = value_for(f, *value);
                // Of an option only the whole is set, or a part by `load`: how long it is only the switch knows.
                let mask = mask.map(|m| m & ones(width(f))).filter(|m| *m != 0 && *m != ones(width(f)));
                if f == field::VLAN_VID {
                    // It says as well that there is a tag.
                    return Some(Action::set_field(f, value | 0x1000));
                }
                if f.is_variable() {
                    return Some(Action::load(Subfield::new(f, 0, OPTION_BITS), value as u64));
                }
                if let Some(mask) = mask {
                    value &= mask;
                }
                Action::SetField(SetField::new(f, value.into(), mask.map(Value::from)).ok()?)
            }
            Deed::Move { from, to, from_bit, to_bit, bits } => {
                let (src, dst) = (self.part(*from, *from_bit, *bits, false), self.part(*to, *to_bit, *bits, true));
                let bits = src.n_bits.min(dst.n_bits);
                Action::Move {
                    src: Subfield::new(src.field(), src.ofs, bits),
                    dst: Subfield::new(dst.field(), dst.ofs, bits),
                }
            }
            Deed::Resubmit { ahead, in_port } => {
                Action::Resubmit { in_port: *in_port, table: Some(self.ahead(*ahead)?), ct: false }
            }
            Deed::Output(port) => Action::output(*port),
            Deed::Controller(n) => {
                Action::Controller(Box::new(Controller { userdata: vec![*n, 1, 2], ..Controller::default() }))
            }
            Deed::Group(id) if self.groups > 0 && !self.bucket && self.table < LAST => {
                Action::Group(id % self.groups as u32 + 1)
            }
            Deed::Group(_) => return None,
            Deed::Clone(deeds) => Action::Clone(self.actions(deeds)),
            Deed::PushVlan(..) => return None,
            // Needs a tag.
            Deed::PopVlan if self.protocol.tagged => Action::PopVlan,
            Deed::PopVlan => return None,
            Deed::DecTtl if self.protocol.fulfils.contains(&Prerequisite::Ip) => Action::DecTtl,
            Deed::DecTtl => return None,
            Deed::ForgetInPort => Action::set_field(field::IN_PORT_NXM, 0_u16),
            Deed::Push { which, bit, bits } => Action::StackPush(self.part(*which, *bit, *bits, false)),
            Deed::Pop { which, bit, bits } => Action::StackPop(self.part(*which, *bit, *bits, true)),
            Deed::Ct { commit, zone, ahead, nat, mark } => {
                if !self.tracked || !self.protocol.fulfils.contains(&Prerequisite::Ip) {
                    return None;
                }
                let mut actions = Vec::new();
                let commit = *commit || *mark || matches!(nat, Some(Some(_)));
                match nat {
                    None => {}
                    Some(None) => actions.push(Action::Nat(Box::default())),
                    Some(Some(source)) => {
                        let ip = if self.protocol.fulfils.contains(&Prerequisite::Ipv4) {
                            IpAddr::V4(v4(99))
                        } else {
                            IpAddr::V6(v6(99))
                        };
                        let flags = if *source { Nat::SRC } else { Nat::DST };
                        actions.push(Action::Nat(Box::new(Nat { flags, addr_min: Some(ip), ..Nat::default() })));
                    }
                }
                if *mark {
                    actions.push(Action::set_field(field::CT_MARK, 7_u32));
                }
                let table = ahead.and_then(|ahead| self.ahead(ahead));
                Action::Ct(Box::new(Ct { commit, force: false, zone: Zone::Fixed(*zone), table, alg: 0, actions }))
            }
            Deed::CtClear => self.tracked.then_some(Action::CtClear)?,
        })
    }
}

/// A flow, in numbers: table, protocol, fields that it matches (which, value, mask), deeds.
type FlowPlan = (u8, usize, Vec<(usize, u128, Option<u128>)>, Vec<Deed>);

fn flow_plan() -> impl Strategy<Value = FlowPlan> {
    let table = prop_oneof![3 => Just(0_u8), 5 => 0..=LAST];
    let protocol = prop_oneof![2 => Just(0_usize), 5 => 0..PROTOCOLS.len()];
    let fields = vec((0..64_usize, number(), mask()), 0..=2);
    (table, protocol, fields, vec(deed(), 0..=5))
}

fn flow(number: usize, (table, protocol, fields, deeds): &FlowPlan, groups: usize, tracked: bool) -> Flow {
    let protocol = PROTOCOLS[*protocol];
    let mut matching = protocol.matching();
    let known = protocol.fields(false);
    for (which, value, mask) in fields {
        let f = known[which % known.len()];
        // Another match on the same bits could contradict the protocol; of an option only the switch knows the length.
        let again = [field::ICMPV6_TYPE, field::ICMPV6_CODE, field::VLAN_VID, field::VLAN_PCP, field::IP_FRAG];
        if again.contains(&f) || f.is_variable() {
            continue;
        }
        let value = value_for(f, *value);
        let mask = mask.filter(|_| f.mask == Mask::Any).map(|m| m & ones(width(f)));
        if let Ok(more) = matching.clone().try_with(f, value.into(), mask.map(Value::from)) {
            matching = more;
        }
    }
    let place = Place { table: *table, protocol, groups, bucket: false, tracked, pushed: false };
    let priority = 1000 - number as u16;
    let cookie = number as u64 + 1;
    Flow { cookie, ..Flow::new(*table, priority, matching, place.actions(deeds)) }
}

fn frame() -> impl Strategy<Value = Frame> {
    let mac = || select(MACS.to_vec());
    let says = (0..9_usize, 0..3_usize, any::<bool>());
    (mac(), mac(), option::weighted(0.2, 1..4_u16), any::<bool>(), says, (0..4_usize, 0..4_usize), 0..6_usize).prop_map(
        |(dst, src, vlan, is_v6, (what, which, option), (from, to), ttl)| {
            let (from4, to4): (IpAddr, IpAddr) = (v4(from).into(), v4(to).into());
            let (from6, to6): (IpAddr, IpAddr) = (v6(from).into(), v6(to).into());
            let (a, b) = if is_v6 { (from6, to6) } else { (from4, to4) };
            let ip = |src, dst, says| Body::Ip(Ip { src, dst, ttl: [64, 1, 2, 255, 0, 3][ttl], says });
            let body = match what {
                0 => ip(a, b, Says::Udp(53 + which as u16)),
                1 => ip(a, b, Says::Tcp(80 + which as u16)),
                2 => ip(a, b, Says::Ping(7)),
                3 => ip(a, b, Says::Pong(7)),
                4 => Body::Arp(Arp { op: which as u16, sha: src, spa: v4(from), tha: MACS[to % 3], tpa: v4(to) }),
                5 => ip(from6, to6, Says::Solicit { target: v6(which), source: option.then_some(src) }),
                6 => ip(from6, to6, Says::Advertise { target: v6(which), flags: 0, mac: option.then_some(src) }),
                7 => ip(a, b, Says::Other(89)),
                _ => Body::Other(0x88b5),
            };
            Frame { dst, src, vlan, body }
        },
    )
}

fn stimulus(tracked: bool) -> impl Strategy<Value = Stimulus> {
    let tunnel = option::weighted(0.2, (0..5_u32, option::of(number().prop_map(|n| n as u64))));
    let states = vec(select(vec![0x21_u32, 0x22, 0x2a, 0x26, 0x30]), 0..4);
    (1..5_u32, tunnel, frame(), states).prop_map(move |(in_port, tunnel, frame, ct_next)| Stimulus {
        in_port: if tunnel.is_some() { 100 } else { in_port },
        tunnel,
        frame,
        ct_next: if tracked { ct_next } else { Vec::new() },
    })
}

/// Programs with up to `packets` packets each; `tracked`: with connection tracking.
pub fn programs(packets: usize, tracked: bool) -> impl Strategy<Value = Program> {
    let bucket = move || vec(deed(), 0..=3);
    let groups = vec((any::<bool>(), vec(bucket(), 1..=3)), 0..=2);
    (vec(flow_plan(), 1..=14), groups, vec(stimulus(tracked), 1..=packets)).prop_map(move |(flows, groups, packets)| {
        let flow = |(i, plan)| flow(i, plan, groups.len(), tracked);
        let flows = flows.iter().enumerate().map(flow).collect();
        // In a bucket no prerequisite is given by a match.
        let place = Place { table: 0, protocol: PROTOCOLS[0], groups: 0, bucket: true, tracked: false, pushed: false };
        let groups = groups.iter().zip(1..).map(|((all, buckets), id)| {
            let kind = if *all { GroupKind::All } else { GroupKind::Indirect };
            let most = if *all { buckets.len() } else { 1 };
            let buckets = buckets.iter().zip(0..).take(most);
            Group { id, kind, buckets: buckets.map(|(deeds, n)| Bucket::new(n, place.actions(deeds))).collect() }
        });
        Program { flows, groups: groups.collect(), packets }
    })
}
