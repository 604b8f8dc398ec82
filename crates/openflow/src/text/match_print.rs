//! Printing a match, in the order of `ovs-ofctl`, which is nobody else's.

use std::fmt::{self, Display};

use super::names::CHex;
use super::value::Shown;
use crate::field::{self, Field, Format};
use crate::matching::FieldMatch;
use crate::{Match, Value};

const ETH_IPV4: u64 = 0x0800;
const ETH_ARP: u64 = 0x0806;
const ETH_RARP: u64 = 0x8035;
const ETH_IPV6: u64 = 0x86dd;

/// Names of what `eth_type` and `nw_proto` say together: ethertype, protocol, name.
pub(super) const PROTOCOLS: &[(u64, Option<u64>, &str)] = &[
    (ETH_IPV4, Some(1), "icmp"),
    (ETH_IPV4, Some(6), "tcp"),
    (ETH_IPV4, Some(17), "udp"),
    (ETH_IPV4, Some(132), "sctp"),
    (ETH_IPV4, None, "ip"),
    (ETH_IPV6, Some(58), "icmp6"),
    (ETH_IPV6, Some(6), "tcp6"),
    (ETH_IPV6, Some(17), "udp6"),
    (ETH_IPV6, Some(132), "sctp6"),
    (ETH_IPV6, None, "ipv6"),
    (ETH_ARP, None, "arp"),
    (ETH_RARP, None, "rarp"),
    (0x8847, None, "mpls"),
    (0x8848, None, "mplsm"),
];

/// Fields in the order in which they are printed, with the name that is used. Those that need more thought than this are
/// printed in between, see [`Printer::print`].
const BEFORE_TYPE: &[(&Field, &str)] = &[
    (field::PKT_MARK, "pkt_mark"),
    (field::RECIRC_ID, "recirc_id"),
    (field::DP_HASH, "dp_hash"),
    (field::CONJ_ID, "conj_id"),
    (field::ACTSET_OUTPUT, "actset_output"),
    (field::CT_STATE, "ct_state"),
    (field::CT_ZONE, "ct_zone"),
    (field::CT_MARK, "ct_mark"),
    (field::CT_LABEL, "ct_label"),
    (field::CT_NW_SRC, "ct_nw_src"),
    (field::CT_IPV6_SRC, "ct_ipv6_src"),
    (field::CT_NW_DST, "ct_nw_dst"),
    (field::CT_IPV6_DST, "ct_ipv6_dst"),
    (field::CT_NW_PROTO, "ct_nw_proto"),
    (field::CT_TP_SRC, "ct_tp_src"),
    (field::CT_TP_DST, "ct_tp_dst"),
    (field::PACKET_TYPE, "packet_type"),
];
const TUNNEL: &[(&Field, &str)] = &[
    (field::TUN_ID, "tun_id"),
    (field::TUN_SRC, "tun_src"),
    (field::TUN_DST, "tun_dst"),
    (field::TUN_IPV6_SRC, "tun_ipv6_src"),
    (field::TUN_IPV6_DST, "tun_ipv6_dst"),
    (field::TUN_GBP_ID, "tun_gbp_id"),
    (field::TUN_GBP_FLAGS, "tun_gbp_flags"),
    (field::TUN_ERSPAN_VER, "tun_erspan_ver"),
    (field::TUN_ERSPAN_IDX, "tun_erspan_idx"),
    (field::TUN_ERSPAN_DIR, "tun_erspan_dir"),
    (field::TUN_ERSPAN_HWID, "tun_erspan_hwid"),
    (field::TUN_GTPU_FLAGS, "gtpu_flags"),
    (field::TUN_GTPU_MSGTYPE, "gtpu_msgtype"),
    (field::TUN_FLAGS, "tun_flags"),
];
const AFTER_TYPE: &[(&Field, &str)] = &[
    (field::IPV6_SRC, "ipv6_src"),
    (field::IPV6_DST, "ipv6_dst"),
    (field::IPV6_LABEL, "ipv6_label"),
    (field::ARP_SPA, "arp_spa"),
    (field::ARP_TPA, "arp_tpa"),
    (field::NSH_FLAGS, "nsh_flags"),
    (field::NSH_TTL, "nsh_ttl"),
    (field::NSH_MDTYPE, "nsh_mdtype"),
    (field::NSH_NP, "nsh_np"),
    (field::NSH_SPI, "nsh_spi"),
    (field::NSH_SI, "nsh_si"),
    (field::NSH_C1, "nsh_c1"),
    (field::NSH_C2, "nsh_c2"),
    (field::NSH_C3, "nsh_c3"),
    (field::NSH_C4, "nsh_c4"),
    (field::IPV4_SRC, "nw_src"),
    (field::IPV4_DST, "nw_dst"),
    (field::IP_PROTO, "nw_proto"),
    (field::ARP_OP, "arp_op"),
    (field::ARP_SHA, "arp_sha"),
    (field::ARP_THA, "arp_tha"),
    (field::IP_DSCP, "nw_tos"),
    (field::IP_ECN, "nw_ecn"),
    (field::NW_TTL, "nw_ttl"),
    (field::MPLS_LABEL, "mpls_label"),
    (field::MPLS_TC, "mpls_tc"),
    (field::MPLS_TTL, "mpls_ttl"),
    (field::MPLS_BOS, "mpls_bos"),
    (field::IP_FRAG, "nw_frag"),
    (field::ICMPV4_TYPE, "icmp_type"),
    (field::ICMPV4_CODE, "icmp_code"),
    (field::ICMPV6_TYPE, "icmp_type"),
    (field::ICMPV6_CODE, "icmp_code"),
    (field::ND_TARGET, "nd_target"),
    (field::ND_SLL, "nd_sll"),
    (field::ND_TLL, "nd_tll"),
    (field::ND_RESERVED, "nd_reserved"),
    (field::ND_OPTIONS_TYPE, "nd_options_type"),
    (field::TCP_SRC, "tp_src"),
    (field::TCP_DST, "tp_dst"),
    (field::UDP_SRC, "tp_src"),
    (field::UDP_DST, "tp_dst"),
    (field::SCTP_SRC, "tp_src"),
    (field::SCTP_DST, "tp_dst"),
    (field::TCP_FLAGS, "tcp_flags"),
];

struct Printer<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    fields: Vec<FieldMatch>,
    separator: &'static str,
}

impl Printer<'_, '_> {
    /// Takes a field out, so that it is printed once.
    fn take(&mut self, field: &'static Field) -> Option<FieldMatch> {
        let at = self.fields.iter().position(|m| m.field == field)?;
        Some(self.fields.remove(at))
    }

    fn small(&self, field: &'static Field) -> Option<u64> {
        self.fields.iter().find(|m| m.field == field).and_then(|m| m.value.to_u64())
    }

    fn put(&mut self, name: &str, value: impl Display) -> fmt::Result {
        write!(self.f, "{}{name}={value}", self.separator)?;
        self.separator = ",";
        Ok(())
    }

    fn word(&mut self, word: &str) -> fmt::Result {
        write!(self.f, "{}{word}", self.separator)?;
        self.separator = ",";
        Ok(())
    }

    fn field(&mut self, m: &FieldMatch, name: &str) -> fmt::Result {
        let small = m.value.to_u64().unwrap_or_default();
        let small_mask = m.mask.as_ref().and_then(Value::to_u64);
        if m.field.is_variable() && m.mask.as_ref().is_some_and(Value::is_zero) {
            return self.word(name);
        }
        if m.field == field::IP_DSCP {
            return self.put(name, small << 2);
        }
        if m.field == field::IPV6_LABEL {
            return match small_mask {
                Some(mask) => self.put(name, format_args!("{small:#07x}/{mask:#07x}")),
                None => self.put(name, format_args!("{small:#07x}")),
            };
        }
        if [field::NSH_FLAGS, field::NSH_TTL, field::NSH_MDTYPE, field::NSH_NP, field::NSH_SI].contains(&m.field) {
            return match small_mask {
                Some(mask) => self.put(name, format_args!("{small:#04x}/{mask:#04x}")),
                None => self.put(name, small),
            };
        }
        // Masked 16-bit numbers are printed in hexadecimal even where exact ones are decimal.
        if let (Format::Decimal, Some(mask)) = (m.field.format, small_mask) {
            return self.put(name, format_args!("{small:#x}/{mask:#x}"));
        }
        let nsh = [field::NSH_SPI, field::NSH_C1, field::NSH_C2, field::NSH_C3, field::NSH_C4];
        if nsh.contains(&m.field) {
            return match small_mask {
                Some(mask) => self.put(name, format_args!("{small:#x}/{mask:#x}")),
                None => self.put(name, format_args!("{small:#x}")),
            };
        }
        if m.field == field::RECIRC_ID {
            return self.put(name, CHex(small));
        }
        if m.field == field::CT_ZONE {
            return self.put(name, small);
        }
        if m.field == field::TUN_FLAGS {
            let all = Value::from(1u16);
            let mask = m.mask.as_ref().unwrap_or(&all);
            return self.put(name, Shown { field: m.field, value: &m.value, mask: Some(mask) });
        }
        self.put(name, Shown { field: m.field, value: &m.value, mask: m.mask.as_ref() })
    }

    fn all(&mut self, fields: &[(&'static Field, &str)]) -> fmt::Result {
        fields.iter().try_for_each(|(field, name)| match self.take(field) {
            Some(m) => self.field(&m, name),
            None => Ok(()),
        })
    }

    /// The fields from `first` to `last`, by their own names.
    fn range(&mut self, first: &'static Field, last: &'static Field) -> fmt::Result {
        let (first, last) = (first.index(), last.index());
        while let Some(at) = self.fields.iter().position(|m| (first..=last).contains(&m.field.index())) {
            let m = self.fields.remove(at);
            self.field(&m, m.field.name)?;
        }
        Ok(())
    }

    fn print(&mut self) -> fmt::Result {
        self.all(BEFORE_TYPE)?;
        let (ethertype, proto) = (self.small(field::ETH_TYPE), self.small(field::IP_PROTO));
        let named = PROTOCOLS
            .iter()
            .find(|(e, p, _)| Some(*e) == ethertype && (p.is_none() || *p == proto))
            .filter(|_| ethertype.is_some());
        if let Some((_, p, name)) = named {
            self.word(name)?;
            self.take(field::ETH_TYPE);
            if p.is_some() {
                self.take(field::IP_PROTO);
            }
        }
        self.range(field::REG0, field::REG15)?;
        self.all(TUNNEL)?;
        self.range(field::TUN_METADATA0, field::TUN_METADATA63)?;
        self.all(&[(field::METADATA, "metadata"), (field::IN_PORT, "in_port")])?;
        self.vlan()?;
        self.all(&[(field::ETH_SRC, "dl_src"), (field::ETH_DST, "dl_dst")])?;
        if let Some(ethertype) = self.take(field::ETH_TYPE).and_then(|m| m.value.to_u64()) {
            self.put("dl_type", format_args!("{ethertype:#06x}"))?;
        }
        self.all(AFTER_TYPE)?;
        // What cannot stand together in a switch can stand together in a value of ours: nothing is left out.
        let rest = std::mem::take(&mut self.fields);
        rest.iter().try_for_each(|m| self.field(m, m.field.name))
    }

    /// `dl_vlan` and `dl_vlan_pcp` where they say all, else the whole TCI.
    fn vlan(&mut self) -> fmt::Result {
        let vid = self.take(field::VLAN_VID);
        let pcp = self.take(field::VLAN_PCP).and_then(|m| m.value.to_u64());
        if vid.is_none() && pcp.is_none() {
            return Ok(());
        }
        let small = |v: &Value| v.to_u64().unwrap_or_default();
        let (value, mask) = match &vid {
            Some(m) => (small(&m.value), m.mask.as_ref().map_or(0x1fff, small)),
            None => (0, 0),
        };
        let present = value & mask & 0x1000 != 0;
        let vid_mask = mask & 0xfff;
        if present && (vid_mask == 0 || vid_mask == 0xfff) && (vid_mask != 0 || pcp.is_some()) {
            if vid_mask != 0 {
                self.put("dl_vlan", value & 0xfff)?;
            }
            return pcp.map_or(Ok(()), |pcp| self.put("dl_vlan_pcp", pcp));
        }
        let value = value | pcp.unwrap_or_default() << 13;
        let mask = mask | if pcp.is_some() { 0xe000 } else { 0 };
        match mask {
            0xffff => self.put("vlan_tci", format_args!("{value:#06x}")),
            _ => self.put("vlan_tci", format_args!("{value:#06x}/{mask:#06x}")),
        }
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { f, fields: self.fields().collect(), separator: "" };
        printer.print()?;
        let separator = printer.separator;
        for (i, tlv) in self.unknown().enumerate() {
            write!(f, "{}unknown=0x", if i == 0 { separator } else { "," })?;
            tlv.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        }
        Ok(())
    }
}
