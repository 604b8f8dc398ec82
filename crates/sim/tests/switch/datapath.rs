//! Datapath actions, done: what leaves the switch, and how it looks then.
//!
//! A switch says what a packet becomes as a list of changes of the datapath's own (`set(eth(dst=...))`, see ovs-dpctl(8)). Done in order on the packet's
//! fields, they tell what each output carries. That is all that the real datapath does, written down a second time and independently of
//! the simulator.

use super::fields::{Fields, number, transport};
use std::collections::BTreeMap;

/// What leaves the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// By a port (OpenFlow number), with the packet's headers, and those of the tunnel if it is one.
    Output { port: u32, fields: Fields },
    /// To the controller: why (`OFPR_*`), to which one, by the flow with which cookie.
    Controller { reason: u8, controller: u16, cookie: u64, fields: Fields },
}

/// Datapath ports to OpenFlow ports.
pub type Ports = BTreeMap<u32, u32>;

/// Does datapath actions to a packet.
pub fn execute(actions: &str, fields: &Fields, ports: &Ports) -> Result<Vec<Seen>, String> {
    let mut seen = Vec::new();
    run(actions, &mut fields.clone(), ports, &mut seen).map_err(|why| format!("{why}, in: {actions}"))?;
    Ok(seen)
}

fn run(actions: &str, fields: &mut Fields, ports: &Ports, seen: &mut Vec<Seen>) -> Result<(), String> {
    for item in split(actions) {
        if let Ok(port) = item.parse::<u32>() {
            let port = *ports.get(&port).ok_or_else(|| format!("no port {port}"))?;
            seen.push(Seen::Output { port, fields: fields.clone() });
            continue;
        }
        let (name, inner) = call(item);
        match name {
            "drop" => {}
            "set" => set(inner, fields)?,
            "push_vlan" => push_vlan(inner, fields)?,
            "pop_vlan" => {
                let next = fields.get("vlan_tci1");
                fields.set("vlan_tci", next);
                fields.set("vlan_tci1", 0);
            }
            "clone" => run(inner, &mut fields.clone(), ports, seen)?,
            "meter" => {}
            "userspace" => seen.push(packet_in(inner, fields)?),
            // Of all packets: a copy, like a clone.
            "sample" => {
                let actions = inner.strip_prefix("sample=100.0%,actions(").and_then(|rest| rest.strip_suffix(')'));
                run(actions.ok_or("a sample of some packets")?, &mut fields.clone(), ports, seen)?;
            }
            "tnl_push" => {
                seen.push(tunnel(inner, fields, ports)?);
                // What is left is about the outer packet, on its way through the underlay's bridge.
                return Ok(());
            }
            _ => return Err(format!("what is {item}?")),
        }
    }
    Ok(())
}

/// Splits at commas that stand in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items.retain(|item| !item.is_empty());
    items
}

/// `name(inner)`.
fn call(item: &str) -> (&str, &str) {
    match item.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
        None => (item, ""),
    }
}

/// `key=value` pairs, each perhaps with a mask.
fn pairs(inner: &str) -> Result<Vec<(&str, u128, u128)>, String> {
    let pair = |item| {
        let (key, value) = str::split_once(item, '=').ok_or_else(|| format!("no value: {item}"))?;
        let (value, mask) = value.split_once('/').map_or((value, None), |(value, mask)| (value, Some(mask)));
        let bad = || format!("no number: {item}");
        let mask = mask.map_or(Some(u128::MAX), number).ok_or_else(bad)?;
        Ok((key, number(value).ok_or_else(bad)?, mask))
    };
    split(inner).into_iter().map(pair).collect()
}

/// `pid=0,controller(reason=1,...,rule_cookie=0x54,controller_id=0,max_len=65535)`
fn packet_in(inner: &str, fields: &Fields) -> Result<Seen, String> {
    let controller = split(inner).into_iter().map(call).find(|(name, _)| *name == "controller");
    let (_, inner) = controller.ok_or("an upcall that is no packet-in")?;
    let all = pairs(inner)?;
    let value = |name| all.iter().find(|(key, ..)| *key == name).map(|(_, value, _)| *value);
    let (Some(reason), Some(controller), Some(cookie)) =
        (value("reason"), value("controller_id"), value("rule_cookie"))
    else {
        return Err(format!("a packet-in without reason, controller or cookie: {inner}"));
    };
    let (reason, controller, cookie) = (reason as u8, controller as u16, cookie as u64);
    Ok(Seen::Controller { reason, controller, cookie, fields: fields.clone() })
}

fn set(inner: &str, fields: &mut Fields) -> Result<(), String> {
    let (header, inner) = call(inner);
    if header == "skb_mark" {
        let (value, mask) = inner.split_once('/').map_or((inner, None), |(value, mask)| (value, Some(mask)));
        let mask = mask.map_or(Some(u128::MAX), number);
        let (Some(value), Some(mask)) = (number(value), mask) else { return Err(format!("no mark: {inner}")) };
        fields.set_masked("pkt_mark", value, mask);
        return Ok(());
    }
    let proto = fields.get("nw_proto");
    for (key, value, mask) in pairs(inner)? {
        let name = match (header, key) {
            ("eth", "src") => "eth_src",
            ("eth", "dst") => "eth_dst",
            ("ipv4", "src") => "ip_src",
            ("ipv4", "dst") => "ip_dst",
            ("ipv6", "src") => "ipv6_src",
            ("ipv6", "dst") => "ipv6_dst",
            ("ipv6", "label") => "ipv6_label",
            ("ipv4", "ttl") | ("ipv6", "hlimit") => "nw_ttl",
            ("ipv4", "tos") | ("ipv6", "tclass") => {
                fields.set_masked("nw_tos", value & 0xfc, mask & 0xfc);
                fields.set_masked("nw_ecn", value & 3, mask & 3);
                continue;
            }
            ("tcp" | "udp" | "sctp", "src") => transport(proto, true).ok_or("ports of no protocol")?,
            ("tcp" | "udp" | "sctp", "dst") => transport(proto, false).ok_or("ports of no protocol")?,
            ("icmp", "type") => "icmp_type",
            ("icmp", "code") => "icmp_code",
            ("icmpv6", "type") => "icmpv6_type",
            ("icmpv6", "code") => "icmpv6_code",
            ("arp", "sip") => "arp_spa",
            ("arp", "tip") => "arp_tpa",
            ("arp", "op") => "arp_op",
            ("arp", "sha") => "arp_sha",
            ("arp", "tha") => "arp_tha",
            ("nd", "target") => "nd_target",
            ("nd", "sll") => "nd_sll",
            ("nd", "tll") => "nd_tll",
            ("nd_ext", "nd_reserved") => "nd_reserved",
            ("nd_ext", "nd_options_type") => "nd_options_type",
            _ => return Err(format!("what is {key} of {header}?")),
        };
        fields.set_masked(name, value, mask);
    }
    Ok(())
}

fn push_vlan(inner: &str, fields: &mut Fields) -> Result<(), String> {
    let mut tci = 0x1000;
    for (key, value, _) in pairs(inner)? {
        match key {
            "vid" => tci |= value,
            "pcp" => tci |= value << 13,
            // With a tag, the type that a flow matches is that of what is inside.
            "tpid" => {}
            _ => return Err(format!("what is {key} of a tag?")),
        }
    }
    fields.set("vlan_tci1", fields.get("vlan_tci"));
    fields.set("vlan_tci", tci);
    Ok(())
}

/// `tnl_port(6081),header(...,ipv4(...,dst=192.0.2.2,...),...,geneve(crit,vni=0x9,options({...,len=8,0x11}))),out_port(100)`
fn tunnel(inner: &str, fields: &Fields, ports: &Ports) -> Result<Seen, String> {
    let items: BTreeMap<&str, &str> = split(inner).into_iter().map(call).collect();
    let port = items.get("tnl_port").and_then(|port| port.parse().ok()).and_then(|port: u32| ports.get(&port));
    let port = *port.ok_or("a tunnel without a port")?;
    let mut fields = fields.clone().without(&["tun_id", "tun_dst", "tun_ipv6_dst", "tun_metadata0"]);
    let header = split(items.get("header").ok_or("a tunnel without a header")?);
    let value = |text: &str, key: &str| {
        let found = split(text).into_iter().filter_map(|item| item.split_once('=')).find(|(k, _)| *k == key);
        found.and_then(|(_, value)| number(value))
    };
    for (name, inner) in header.into_iter().map(call) {
        match name {
            "ipv4" => fields.set("tun_dst", value(inner, "dst").ok_or("no outer address")?),
            "ipv6" => fields.set("tun_ipv6_dst", value(inner, "dst").ok_or("no outer address")?),
            "vxlan" => fields.set("tun_id", value(inner, "vni").ok_or("no VNI")?),
            "gre" => fields.set("tun_id", value(inner, "key").ok_or("no key")?),
            "geneve" => {
                fields.set("tun_id", value(inner, "vni").ok_or("no VNI")?);
                if let Some((_, options)) = split(inner).into_iter().map(call).find(|(name, _)| *name == "options") {
                    let option = options.trim_start_matches('{').trim_end_matches('}');
                    let last = option.rsplit(',').next().and_then(number).ok_or("no option's value")?;
                    fields.set("tun_metadata0", last);
                }
            }
            _ => {}
        }
    }
    Ok(Seen::Output { port, fields })
}
