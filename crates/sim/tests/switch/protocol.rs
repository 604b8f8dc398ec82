//! Protocols that flows are about: what they may match and set, and values that packets have.

use std::net::{Ipv4Addr, Ipv6Addr};
use tuplenet_model::mac::Mac;
use tuplenet_openflow::{
    Field, Match,
    field::{self, Access, Prerequisite, REGISTRY},
};

/// Bits of `tun_metadata0` that the option has.
pub const OPTION_BITS: u16 = 64;

/// What a flow may be about: what it matches first, and the prerequisites that this fulfils.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub ethertype: Option<u16>,
    pub proto: Option<u8>,
    /// ICMPv6 type.
    pub nd: Option<u8>,
    pub tagged: bool,
    pub fulfils: &'static [Prerequisite],
}

/// All of them; the first is any packet.
pub const PROTOCOLS: &[Protocol] = {
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
    /// What a flow of this protocol matches at least.
    pub fn matching(self) -> Match {
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
    pub fn fields(self, write: bool) -> Vec<&'static Field> {
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

/// So many ones.
pub fn ones(bits: u16) -> u128 {
    1_u128.checked_shl(bits.into()).map_or(u128::MAX, |n| n - 1)
}

/// Bits of the field that there are.
pub fn width(f: &'static Field) -> u16 {
    if f.is_variable() { OPTION_BITS } else { f.bits }
}

/// Values that packets have, for the small numbers; the number itself for the rest.
pub fn value_for(f: &'static Field, number: u128) -> u128 {
    if f == field::IN_PORT {
        return [1, 2, 3, 4, 100, 101, 102, 77][(number & 7) as usize];
    }
    let small = usize::try_from(number).ok().filter(|n| *n < 8);
    let Some(n) = small else {
        // Open vSwitch keeps 8 bits of an ARP operation, and 255 comes out as 65535.
        return number & if f == field::ARP_OP { 0x7f } else { ones(width(f)) };
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

pub const MACS: [Mac; 5] = [
    Mac([2, 0, 0, 0, 0, 1]),
    Mac([2, 0, 0, 0, 0, 2]),
    Mac([2, 0, 0, 0, 0, 3]),
    Mac([0xff; 6]),
    Mac([1, 0, 0x5e, 0, 0, 1]),
];

fn mac_number(mac: Mac) -> u128 {
    mac.0.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

pub fn v4(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n as u8)
}

pub fn v6(n: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n as u16)
}
