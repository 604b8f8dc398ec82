//! What flows do, planned in small numbers, and made actions where a flow of some protocol may do it.

use super::protocol::{OPTION_BITS, PROTOCOLS, Protocol, ones, v4, v6, value_for, width};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::net::IpAddr;
use tuplenet_openflow::{
    Action, Value,
    action::{Controller, Ct, Nat, SetField, Subfield, Zone},
    field::{self, Prerequisite},
    port,
};

/// Tables 0 to this one.
pub const LAST: u8 = 5;

/// One thing that a flow does, in numbers. `check_pkt_larger` is not among them: the switch then follows the packet both ways.
#[derive(Clone, Debug)]
pub enum Deed {
    Set {
        which: usize,
        value: u128,
        mask: Option<u128>,
    },
    Move {
        from: usize,
        to: usize,
        from_bit: u16,
        to_bit: u16,
        bits: u16,
    },
    Resubmit {
        ahead: u8,
        in_port: Option<u16>,
    },
    Output(u32),
    Controller(u8),
    Group(u32),
    Clone(Vec<Deed>),
    PushVlan(u16, u16),
    PopVlan,
    DecTtl,
    ForgetInPort,
    Push {
        which: usize,
        bit: u16,
        bits: u16,
    },
    Pop {
        which: usize,
        bit: u16,
        bits: u16,
    },
    Ct {
        ahead: Option<u8>,
        track: Track,
    },
    CtClear,
    /// Back to a table, which may go on for ever.
    Back(u8),
    Exit,
    OutputReg {
        which: usize,
        bit: u16,
    },
    Ttl(u8),
    Note,
}

/// What `ct` is to do.
#[derive(Clone, Debug)]
pub struct Track {
    commit: bool,
    force: bool,
    /// By what the connection has, or to another source (true) or destination.
    nat: Option<Option<bool>>,
    mark: bool,
}

/// Any of it.
pub fn track() -> impl Strategy<Value = Track> {
    let force = proptest::bool::weighted(0.1);
    let nat = option::of(option::of(any::<bool>()));
    (any::<bool>(), force, nat, proptest::bool::weighted(0.2)).prop_map(|(commit, force, nat, mark)| Track {
        commit,
        force,
        nat,
        mark,
    })
}

impl Track {
    /// The action; `six`: addresses to translate to are IPv6 ones.
    pub fn action(&self, table: Option<u8>, six: bool, zone: u16) -> Action {
        let mut actions = Vec::new();
        // With both, the userspace datapath of 3.1 dies.
        let force = self.force && !matches!(self.nat, Some(Some(_)));
        let commit = self.commit || force || self.mark || matches!(self.nat, Some(Some(_)));
        match self.nat {
            None => {}
            // With a commit, the userspace datapath of 3.1 would make a connection whose answers it does not find.
            Some(None) if commit => {}
            Some(None) => actions.push(Action::Nat(Box::default())),
            Some(Some(source)) => {
                let ip = if six { IpAddr::V6(v6(3)) } else { IpAddr::V4(v4(3)) };
                let flags = if source { Nat::SRC } else { Nat::DST };
                actions.push(Action::Nat(Box::new(Nat { flags, addr_min: Some(ip), ..Nat::default() })));
            }
        }
        if self.mark {
            actions.push(Action::set_field(field::CT_MARK, 7_u32));
        }
        let zone = Zone::Fixed(zone);
        Action::Ct(Box::new(Ct { commit, force, zone, table, alg: 0, actions }))
    }
}

/// Numbers that a field is likely to have, or any.
pub fn number() -> BoxedStrategy<u128> {
    prop_oneof![6 => 0..8_u128, 2 => Just(u128::MAX), 1 => any::<u128>(), 1 => any::<u64>().prop_map(u128::from)]
        .boxed()
}

/// A mask, mostly none.
pub fn mask() -> BoxedStrategy<Option<u128>> {
    prop_oneof![
        5 => Just(None),
        1 => any::<u128>().prop_map(Some),
        2 => (0..127_u32).prop_map(|bit| Some(u128::MAX << bit)),
        1 => (0..127_u32).prop_map(|bit| Some(1 << bit)),
        1 => (0..127_u32).prop_map(|bit| Some(u128::MAX >> bit)),
    ]
    .boxed()
}

/// Any of them.
pub fn deed() -> BoxedStrategy<Deed> {
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
        2 => (option::of(1..4_u8), track()).prop_map(|(ahead, track)| Deed::Ct { ahead, track }),
        1 => Just(Deed::CtClear),
        1 => prop_oneof![
            (0..=LAST).prop_map(Deed::Back),
            Just(Deed::Exit),
            (0..64_usize, any::<u16>()).prop_map(|(which, bit)| Deed::OutputReg { which, bit }),
            any::<u8>().prop_map(Deed::Ttl),
            Just(Deed::Note),
        ],
    ]
    .boxed();
    prop_oneof![12 => leaf.clone(), 1 => vec(leaf, 1..4).prop_map(Deed::Clone)].boxed()
}

/// Where a deed is done.
#[derive(Clone, Copy)]
pub struct Place {
    pub table: u8,
    pub protocol: Protocol,
    /// Groups that there are, from 1 on.
    pub groups: usize,
    /// In a bucket.
    pub bucket: bool,
    /// With connection tracking.
    pub tracked: bool,
    /// A tag was pushed already.
    pub pushed: bool,
}

impl Place {
    fn part(self, which: usize, bit: u16, bits: u16, write: bool) -> Subfield {
        let mut fields = self.protocol.fields(write);
        // Open vSwitch 3.1 reads it as 0 (a 16-bit number in network order taken for 8 bits), so it is only set as a whole.
        fields.retain(|f| *f != field::ND_OPTIONS_TYPE);
        let f = fields[which % fields.len()];
        let bit = if bit.is_multiple_of(3) { 0 } else { bit % width(f) };
        let most = width(f) - bit;
        let bits = if bits.is_multiple_of(2) { most } else { 1 + bits % most };
        Subfield::new(f, bit, bits.min(128))
    }

    fn ahead(self, ahead: u8) -> Option<u8> {
        if self.bucket { (self.table < LAST).then_some(LAST) } else { Some(self.table + ahead).filter(|t| *t <= LAST) }
    }

    /// The deeds that can be done here, as actions.
    pub fn actions(self, deeds: &[Deed]) -> Vec<Action> {
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
        let never = [
            matches!(deed, Deed::Controller(_) | Deed::Push { .. } | Deed::Pop { .. } | Deed::Clone(_)),
            matches!(deed, Deed::Back(_) | Deed::Exit | Deed::OutputReg { .. } | Deed::Note),
        ];
        if self.bucket && never.contains(&true) {
            return None;
        }
        Some(match deed {
            Deed::Set { which, value, mask } => {
                let fields = self.protocol.fields(true);
                let f = fields[which % fields.len()];
                let mut value = value_for(f, *value);
                // Of an option only the whole is set, or a part by `load`: how long it is only the switch knows.
                let mask = mask.map(|m| m & ones(width(f))).filter(|m| *m != 0 && *m != ones(width(f)));
                let mask = mask.filter(|_| f != field::ND_OPTIONS_TYPE);
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
            Deed::Ct { ahead, track } => {
                let ip = self.protocol.fulfils.contains(&Prerequisite::Ip);
                if !self.tracked || !ip || self.bucket {
                    return None;
                }
                let six = self.protocol.fulfils.contains(&Prerequisite::Ipv6);
                // A zone of the table's own.
                track.action(ahead.and_then(|ahead| self.ahead(ahead)), six, self.table.into())
            }
            Deed::Back(table) => Action::resubmit(table % (self.table + 1)),
            Deed::Exit => Action::Exit,
            Deed::OutputReg { which, bit } => {
                let src = self.part(*which, *bit, 0, false);
                Action::OutputReg { src: Subfield::new(src.field(), src.ofs, src.n_bits.min(16)), max_len: 0 }
            }
            Deed::Ttl(ttl) if self.protocol.fulfils.contains(&Prerequisite::Ip) => Action::SetTtl(*ttl),
            Deed::Ttl(_) => return None,
            Deed::Note => Action::Note(vec![1, 2, 3, 4, 5, 6]),
            Deed::CtClear => self.tracked.then_some(Action::CtClear)?,
        })
    }
}
