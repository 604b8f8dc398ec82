//! Where each field of the registry is kept: some bits of a slot.
//!
//! Fields overlap: `xxreg0` is `reg0` to `reg3`, `vlan_vid` is a part of `vlan_tci`. A slot holds what they share, so that
//! there is nothing to keep in step.

use std::sync::LazyLock;
use tuplenet_openflow::field::{self, Field, REGISTRY};

macro_rules! slots {
    ($($(#[doc = $about:literal])* $name:ident,)+) => {
        /// What is known about a packet, one number each. Wide registers stand for the 32-bit ones that they are made of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Slot { $($(#[doc = $about])* $name),+ }

        /// All of them.
        pub(crate) const ALL: &[Slot] = &[$(Slot::$name),+];
    };
}

slots! {
    InPort,
    EthDst,
    EthSrc,
    EthType,
    /// Outermost VLAN tag: Ethertype (16 bits), then TCI with 0x1000 for "there is one".
    Vlan,
    /// The tag after it, if one was pushed.
    InnerVlan,
    Mpls,
    Ip4Src,
    Ip4Dst,
    Ip6Src,
    Ip6Dst,
    Ip6Label,
    IpProto,
    Tos,
    Ttl,
    Frag,
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    /// Source port, or type of an ICMP message.
    TpSrc,
    /// Destination port, or code of an ICMP message.
    TpDst,
    TcpFlags,
    NdTarget,
    NdSll,
    NdTll,
    NdReserved,
    NdOption,
    TunId,
    TunSrc,
    TunDst,
    Tun6Src,
    Tun6Dst,
    TunFlags,
    TunGbpId,
    TunGbpFlags,
    TunErspanIdx,
    TunErspanVer,
    TunErspanDir,
    TunErspanHwid,
    TunGtpuFlags,
    TunGtpuMsgtype,
    /// The one option that our TLV map gives a field.
    TunMetadata0,
    /// 1: the packet has that option.
    TunMetadata0Present,
    Metadata,
    Regs0,
    Regs1,
    Regs2,
    Regs3,
    PktMark,
    CtState,
    CtZone,
    CtMark,
    CtLabel,
    CtProto,
    Ct4Src,
    Ct4Dst,
    Ct6Src,
    Ct6Dst,
    CtTpSrc,
    CtTpDst,
    /// What the datapath keeps of the connection tracker's word: a flow sees it only in the table that `ct` names, the tracker sees it again.
    TrackerState,
    /// Of which zone.
    TrackerZone,
    ConjId,
    ActsetOutput,
    /// Always 0: the outermost header is Ethernet's, nothing was hashed or recirculated as a match could see it.
    Zero,
}

/// How many there are.
pub(crate) const SLOTS: usize = ALL.len();

/// Some bits of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub slot: Slot,
    pub shift: u32,
    pub bits: u32,
}

/// So many ones.
pub(crate) fn ones(bits: u32) -> u128 {
    1_u128.checked_shl(bits).map_or(u128::MAX, |n| n - 1)
}

/// Bits of the option that `tun_metadata0` stands for.
pub(crate) const OPTION_BITS: u32 = 8 * tuplenet_rules::register::option::LEN as u32;

/// Where a field is. `None`: packets here have no such field. Of the tunnel's options there is one (`tun_metadata0`), and NSH headers are not
/// read.
pub(crate) fn place(field: &'static Field) -> Option<Place> {
    static PLACES: LazyLock<Vec<Option<Place>>> = LazyLock::new(|| REGISTRY.iter().map(find).collect());
    PLACES.get(usize::from(field.index())).copied().flatten()
}

fn find(field: &'static Field) -> Option<Place> {
    use Slot::*;
    let index = field.index();
    // Registers, from the widest to the narrowest; the first is the most significant part of the next wider.
    let wide = [Regs0, Regs1, Regs2, Regs3];
    for (first, last, bits) in
        [(field::REG0, field::REG15, 32), (field::XREG0, field::XREG7, 64), (field::XXREG0, field::XXREG3, 128)]
    {
        if (first.index()..=last.index()).contains(&index) {
            let (number, parts) = (u32::from(index - first.index()), 128 / bits);
            let slot = *wide.get((number / parts) as usize)?;
            return Some(Place { slot, shift: 128 - bits * (number % parts + 1), bits });
        }
    }
    if field.is_variable() {
        return (field == field::TUN_METADATA0).then_some(Place { slot: TunMetadata0, shift: 0, bits: OPTION_BITS });
    }
    let parts = [
        (field::VLAN_TCI, Vlan, 0, 16),
        (field::VLAN_VID, Vlan, 0, 13),
        (field::VLAN_PCP, Vlan, 13, 3),
        (field::MPLS_LABEL, Mpls, 12, 20),
        (field::MPLS_TC, Mpls, 9, 3),
        (field::MPLS_BOS, Mpls, 8, 1),
        (field::MPLS_TTL, Mpls, 0, 8),
        // The other eight bits of an operation mean nothing to Open vSwitch.
        (field::ARP_OP, ArpOp, 0, 8),
        (field::IP_DSCP, Tos, 2, 6),
        (field::IP_ECN, Tos, 0, 2),
    ];
    if let Some((_, slot, shift, bits)) = parts.into_iter().find(|(f, ..)| *f == field) {
        return Some(Place { slot, shift, bits });
    }
    let whole = [
        (field::PACKET_TYPE, Zero),
        (field::IN_PORT, InPort),
        (field::IN_PORT_NXM, InPort),
        (field::ETH_DST, EthDst),
        (field::ETH_SRC, EthSrc),
        (field::ETH_TYPE, EthType),
        (field::IPV4_SRC, Ip4Src),
        (field::IPV4_DST, Ip4Dst),
        (field::IPV6_SRC, Ip6Src),
        (field::IPV6_DST, Ip6Dst),
        (field::IPV6_LABEL, Ip6Label),
        (field::IP_PROTO, IpProto),
        (field::NW_TOS, Tos),
        (field::NW_TTL, Ttl),
        (field::IP_FRAG, Frag),
        (field::ARP_SPA, ArpSpa),
        (field::ARP_TPA, ArpTpa),
        (field::ARP_SHA, ArpSha),
        (field::ARP_THA, ArpTha),
        (field::TCP_SRC, TpSrc),
        (field::TCP_DST, TpDst),
        (field::TCP_FLAGS, TcpFlags),
        (field::UDP_SRC, TpSrc),
        (field::UDP_DST, TpDst),
        (field::SCTP_SRC, TpSrc),
        (field::SCTP_DST, TpDst),
        (field::ICMPV4_TYPE, TpSrc),
        (field::ICMPV4_CODE, TpDst),
        (field::ICMPV6_TYPE, TpSrc),
        (field::ICMPV6_CODE, TpDst),
        (field::ND_TARGET, NdTarget),
        (field::ND_SLL, NdSll),
        (field::ND_TLL, NdTll),
        (field::ND_RESERVED, NdReserved),
        (field::ND_OPTIONS_TYPE, NdOption),
        (field::TUN_ID, TunId),
        (field::TUN_SRC, TunSrc),
        (field::TUN_DST, TunDst),
        (field::TUN_IPV6_SRC, Tun6Src),
        (field::TUN_IPV6_DST, Tun6Dst),
        (field::TUN_FLAGS, TunFlags),
        (field::TUN_GBP_ID, TunGbpId),
        (field::TUN_GBP_FLAGS, TunGbpFlags),
        (field::TUN_ERSPAN_IDX, TunErspanIdx),
        (field::TUN_ERSPAN_VER, TunErspanVer),
        (field::TUN_ERSPAN_DIR, TunErspanDir),
        (field::TUN_ERSPAN_HWID, TunErspanHwid),
        (field::TUN_GTPU_FLAGS, TunGtpuFlags),
        (field::TUN_GTPU_MSGTYPE, TunGtpuMsgtype),
        (field::METADATA, Metadata),
        (field::PKT_MARK, PktMark),
        (field::CT_STATE, CtState),
        (field::CT_ZONE, CtZone),
        (field::CT_MARK, CtMark),
        (field::CT_LABEL, CtLabel),
        (field::CT_NW_PROTO, CtProto),
        (field::CT_NW_SRC, Ct4Src),
        (field::CT_NW_DST, Ct4Dst),
        (field::CT_IPV6_SRC, Ct6Src),
        (field::CT_IPV6_DST, Ct6Dst),
        (field::CT_TP_SRC, CtTpSrc),
        (field::CT_TP_DST, CtTpDst),
        (field::CONJ_ID, ConjId),
        (field::ACTSET_OUTPUT, ActsetOutput),
        (field::DP_HASH, Zero),
        (field::RECIRC_ID, Zero),
    ];
    let (_, slot) = whole.into_iter().find(|(f, _)| *f == field)?;
    Some(Place { slot, shift: 0, bits: u32::from(field.bits) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_place() {
        for field in REGISTRY {
            let absent = field.name.starts_with("nsh_") || field.is_variable();
            let expected = !absent || field == field::TUN_METADATA0;
            assert_eq!(place(field).is_some(), expected, "{}", field.name);
            if let Some(place) = place(field) {
                assert!(place.shift + place.bits <= 128, "{}", field.name);
            }
        }
    }

    #[test]
    fn registers_overlap_as_in_open_vswitch() {
        assert_eq!(place(field::REG0), Some(Place { slot: Slot::Regs0, shift: 96, bits: 32 }));
        assert_eq!(place(field::REG9), Some(Place { slot: Slot::Regs2, shift: 64, bits: 32 }));
        assert_eq!(place(field::XREG3), Some(Place { slot: Slot::Regs1, shift: 0, bits: 64 }));
        assert_eq!(place(field::XXREG2), Some(Place { slot: Slot::Regs2, shift: 0, bits: 128 }));
    }
}
