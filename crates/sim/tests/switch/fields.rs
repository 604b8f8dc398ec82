//! Fields of a packet by name, so that what a real switch prints and what the simulator holds can be laid side by side.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Values by name, `eth_src` to `reg15`. A field that is zero or does not exist is not among them: Open vSwitch tells no difference either.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<&'static str, u128>);

impl Fields {
    pub fn get(&self, name: &str) -> u128 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn set(&mut self, name: &'static str, value: u128) {
        if value == 0 {
            self.0.remove(name);
        } else {
            self.0.insert(name, value);
        }
    }

    /// Sets the bits of a mask.
    pub fn set_masked(&mut self, name: &'static str, value: u128, mask: u128) {
        self.set(name, self.get(name) & !mask | value & mask);
    }

    /// Forgets fields.
    pub fn without(mut self, names: &[&str]) -> Fields {
        self.0.retain(|name, _| !names.contains(name));
        self
    }

    /// Where two differ: name, left, right.
    pub fn differences(&self, other: &Fields) -> Vec<(&'static str, u128, u128)> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).copied().collect();
        let all = names.into_iter().map(|name| (name, self.get(name), other.get(name)));
        all.filter(|(_, left, right)| left != right).collect()
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={value:#x}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Names of a flow's keys where Open vSwitch prints an older one. `tp_src` and `icmp_type` depend on the protocol.
const SAME: &[(&str, &str)] = &[
    ("dl_src", "eth_src"),
    ("dl_dst", "eth_dst"),
    ("dl_type", "eth_type"),
    ("nw_src", "ip_src"),
    ("nw_dst", "ip_dst"),
];

/// Keys that stand as they are.
const PLAIN: &[&str] = &[
    "eth_src",
    "eth_dst",
    "eth_type",
    "in_port",
    "vlan_tci",
    "vlan_tci1",
    "ip_src",
    "ip_dst",
    "ipv6_src",
    "ipv6_dst",
    "ipv6_label",
    "nw_proto",
    "nw_tos",
    "nw_ecn",
    "nw_ttl",
    "arp_op",
    "arp_spa",
    "arp_tpa",
    "arp_sha",
    "arp_tha",
    "nd_target",
    "nd_sll",
    "nd_tll",
    "metadata",
    "pkt_mark",
    "tun_id",
    "tun_dst",
    "tun_ipv6_dst",
    "tun_metadata0",
    "ct_zone",
    "ct_mark",
    "ct_label",
    "reg0",
    "reg1",
    "reg2",
    "reg3",
    "reg4",
    "reg5",
    "reg6",
    "reg7",
    "reg8",
    "reg9",
    "reg10",
    "reg11",
    "reg12",
    "reg13",
    "reg14",
    "reg15",
    "mpls_label",
    "mpls_tc",
    "mpls_ttl",
    "mpls_bos",
];

/// Keys that say nothing about what we compare: of the outer header only destination, key and option are ours, and the
/// rest belongs to the datapath.
const IGNORED: &[&str] = &[
    "recirc_id",
    "dp_hash",
    "skb_priority",
    "tun_src",
    "tun_ipv6_src",
    "tun_gbp_id",
    "tun_gbp_flags",
    "tun_tos",
    "tun_ttl",
    "tun_erspan_ver",
    "gtpu_flags",
    "gtpu_msgtype",
    "tun_flags",
    "ct_nw_src",
    "ct_nw_dst",
    "ct_nw_proto",
    "ct_tp_src",
    "ct_tp_dst",
    "ct_ipv6_src",
    "ct_ipv6_dst",
    "packet_type",
    // Labels after the outermost.
    "mpls_lse1",
    "mpls_lse2",
];

/// Protocol words at the head of a flow: EtherType, IP protocol.
const PROTOCOLS: &[(&str, u128, u128)] = &[
    ("ip", 0x0800, 0),
    ("icmp", 0x0800, 1),
    ("tcp", 0x0800, 6),
    ("udp", 0x0800, 17),
    ("sctp", 0x0800, 132),
    ("ipv6", 0x86dd, 0),
    ("icmp6", 0x86dd, 58),
    ("tcp6", 0x86dd, 6),
    ("udp6", 0x86dd, 17),
    ("sctp6", 0x86dd, 132),
    ("arp", 0x0806, 0),
    ("rarp", 0x8035, 0),
    ("mpls", 0x8847, 0),
    ("mplsm", 0x8848, 0),
];

/// Bits of `ct_state`.
const CT_STATE: &[(&str, u128)] =
    &[("new", 1), ("est", 2), ("rel", 4), ("rpl", 8), ("inv", 16), ("trk", 32), ("snat", 64), ("dnat", 128)];

const TCP_FLAGS: &[(&str, u128)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ece", 64), ("cwr", 128), ("ns", 256)];

/// Reads a flow as a trace prints it ("Flow:", "Final flow:").
///
/// # Errors
/// It has something that is not known here: better than to compare less than it says.
pub fn parse_flow(text: &str) -> Result<Fields, String> {
    let mut fields = Fields::default();
    let tokens: Vec<(&str, Option<&str>)> = text
        .trim()
        .split(',')
        .map(|t| t.split_once('=').map_or((t, None), |(key, value)| (key, Some(value))))
        .collect();
    for (word, value) in &tokens {
        if value.is_none() && *word != "eth" {
            let (_, ethertype, proto) = PROTOCOLS
                .iter()
                .find(|(name, ..)| name == word)
                .ok_or_else(|| format!("no protocol {word}: {text}"))?;
            fields.set("eth_type", *ethertype);
            fields.set("nw_proto", *proto);
        }
    }
    for (key, value) in tokens {
        let Some(value) = value else { continue };
        let key = SAME.iter().find(|(old, _)| *old == key).map_or(key, |(_, name)| *name);
        if IGNORED.contains(&key) {
            continue;
        }
        let bad = || format!("{key}={value} cannot be read: {text}");
        if let Some(name) = PLAIN.iter().find(|name| **name == key) {
            fields.set(name, number(value).ok_or_else(bad)?);
            continue;
        }
        let proto = fields.get("nw_proto");
        let v6 = fields.get("eth_type") == 0x86dd;
        match key {
            "dl_vlan" => fields.set_masked("vlan_tci", 0x1000 | number(value).ok_or_else(bad)?, 0x1fff),
            "dl_vlan_pcp" => fields.set_masked("vlan_tci", number(value).ok_or_else(bad)? << 13, 0xe000),
            "dl_vlan1" => fields.set_masked("vlan_tci1", 0x1000 | number(value).ok_or_else(bad)?, 0x1fff),
            "dl_vlan_pcp1" => fields.set_masked("vlan_tci1", number(value).ok_or_else(bad)? << 13, 0xe000),
            "tp_src" | "tp_dst" => {
                let value = number(value).ok_or_else(bad)?;
                // Of other protocols (IGMP, ICMP in IPv6) Open vSwitch keeps two numbers too, which no flow can match.
                if let Some(name) = transport(proto, key == "tp_src") {
                    fields.set(name, value);
                }
            }
            "icmp_type" => fields.set(if v6 { "icmpv6_type" } else { "icmp_type" }, number(value).ok_or_else(bad)?),
            "icmp_code" => fields.set(if v6 { "icmpv6_code" } else { "icmp_code" }, number(value).ok_or_else(bad)?),
            "tcp_flags" => fields.set("tcp_flags", words(value, TCP_FLAGS).ok_or_else(bad)?),
            "ct_state" => fields.set("ct_state", words(value, CT_STATE).ok_or_else(bad)?),
            "nw_frag" => {
                let frag = ["no", "first", "", "later"].iter().position(|w| *w == value).ok_or_else(bad)?;
                fields.set("ip_frag", frag as u128);
            }
            _ => return Err(format!("what is {key}? {text}")),
        }
    }
    Ok(fields)
}

/// The field of a port of the transport protocol.
pub fn transport(proto: u128, source: bool) -> Option<&'static str> {
    Some(match (proto, source) {
        (6, true) => "tcp_src",
        (6, false) => "tcp_dst",
        (17, true) => "udp_src",
        (17, false) => "udp_dst",
        (132, true) => "sctp_src",
        (132, false) => "sctp_dst",
        _ => return None,
    })
}

/// A number, an address or a port's name, as a flow or a datapath action has it.
pub fn number(text: &str) -> Option<u128> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u128::from_str_radix(hex, 16).ok();
    }
    if let Ok(n) = text.parse::<u128>() {
        return Some(n);
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(u32::from(ip).into());
    }
    if text.split(':').count() == 6 && text.split(':').all(|byte| byte.len() == 2) {
        return text.split(':').try_fold(0, |n, byte| Some(n << 8 | u128::from_str_radix(byte, 16).ok()?));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Some(ip.into());
    }
    (text == "LOCAL").then_some(0xffff_fffe)
}

fn words(text: &str, names: &[(&str, u128)]) -> Option<u128> {
    if let Some(n) = number(text) {
        return Some(n);
    }
    text.split('|').try_fold(0, |all, word| {
        let known = names.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit);
        // A bit without a name stands in brackets.
        let bit = known.or_else(|| u128::from_str_radix(word.strip_prefix('[')?.strip_suffix(']')?, 16).ok())?;
        Some(all | bit)
    })
}
