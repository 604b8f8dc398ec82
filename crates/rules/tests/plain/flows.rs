//! What flows and groups state, in the words of [`crate::facts::Plain::statements`].

use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_openflow::{Action, Flow, Instruction, Match, field, field::Field};
use tuplenet_rules::{
    Bucket, Engine, GroupForm,
    cookie::{Cookie, Rule},
    is_ecmp_group, register, stage,
};

fn number(matching: &Match, f: &'static Field) -> u64 {
    matching.get(f).and_then(|m| m.value.to_u64()).unwrap_or_default()
}

fn shown(matching: &Match, fields: &[&'static Field]) -> IpAddr {
    let found = fields.iter().find_map(|f| matching.get(f)).expect("an address is matched");
    address(found.value.as_bytes())
}

/// The codec keeps a wide register as its parts, as a switch does.
fn next_hop(m: &Match) -> IpAddr {
    let part = |f| u32::try_from(number(m, f)).expect("32 bits");
    if number(m, field::ETH_TYPE) == 0x800 {
        return IpAddr::V4(part(field::REG0).into());
    }
    let words = [field::REG0, field::REG1, field::REG2, field::REG3].map(part);
    IpAddr::V6(words.iter().fold(0, |all: u128, word| all << 32 | u128::from(*word)).into())
}

fn address(bytes: &[u8]) -> IpAddr {
    match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).expect("4 bytes")),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("16 bytes")),
        n => panic!("an address of {n} bytes"),
    }
}

fn mac(bytes: &[u8]) -> tuplenet_model::mac::Mac {
    tuplenet_model::mac::Mac(bytes.try_into().expect("6 bytes"))
}

fn set_value(flow: &Flow, wanted: &'static Field) -> Option<Vec<u8>> {
    let Some(Instruction::ApplyActions(actions)) = flow.instructions.first() else { return None };
    actions.iter().find_map(|a| match a {
        Action::SetField(set) if set.field().name == wanted.name => Some(set.value().as_bytes().to_vec()),
        _ => None,
    })
}

fn set_number(flow: &Flow, wanted: &'static Field) -> u64 {
    let bytes = set_value(flow, wanted).expect("the field is set");
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// The destinations of a route.
fn prefix(m: &Match) -> String {
    match m.get(field::IPV4_DST).or_else(|| m.get(field::IPV6_DST)) {
        Some(found) => {
            let ip = address(found.value.as_bytes());
            let all = found.value.as_bytes().len() as u32 * 8;
            let len = found.mask.map_or(all, |mask| mask.as_bytes().iter().map(|b| b.count_ones()).sum());
            format!("{ip}/{len}")
        }
        None if number(m, field::ETH_TYPE) == 0x800 => "0.0.0.0/0".into(),
        None => "::/0".into(),
    }
}

/// What a flow states, in the words of [`Plain::statements`]. Flows that follow from others' facts (loopback, drops) state nothing.
fn statement(flow: &Flow) -> Option<String> {
    let m = &flow.matching;
    let dp = number(m, register::DATAPATH);
    Some(match Cookie::decode(flow.cookie)?.rule {
        Rule::LocalPort => {
            format!(
                "in {}: {} {}",
                number(m, field::IN_PORT),
                set_number(flow, register::DATAPATH),
                set_number(flow, register::SRC_PORT)
            )
        }
        Rule::Pushout => {
            let Some(Instruction::ApplyActions(actions)) = flow.instructions.first() else { return None };
            let port =
                actions.iter().find_map(|a| if let Action::Output { port, .. } = a { Some(*port) } else { None });
            format!("out {dp} {}: {}", number(m, register::DST_PORT), port.expect("an output"))
        }
        Rule::L2 => {
            let place = set_value(flow, register::REMOTE4).map_or("here".into(), |ip| format!("at {}", address(&ip)));
            let eth = mac(m.get(field::ETH_DST).expect("a MAC").value.as_bytes());
            format!("l2 {dp} {eth}: {} {place}", set_number(flow, register::DST_PORT))
        }
        Rule::Arp | Rule::Nd => {
            let eth = mac(&set_value(flow, field::ETH_SRC).expect("a MAC"));
            format!("neighbour {dp} {}: {eth}", shown(m, &[field::ARP_TPA, field::ND_TARGET]))
        }
        Rule::PatchIn => {
            let (ofport, vlan) = (number(m, field::IN_PORT), number(m, field::VLAN_VID) & 0xfff);
            let (ls, port) = (set_number(flow, register::DATAPATH), set_number(flow, register::SRC_PORT));
            format!("patch in {ofport} {vlan}: {ls} {port}")
        }
        Rule::PatchOut => {
            let Some(Instruction::ApplyActions(actions)) = flow.instructions.first() else { return None };
            let port =
                actions.iter().find_map(|a| if let Action::Output { port, .. } = a { Some(*port) } else { None });
            let vlan = set_value(flow, field::VLAN_VID).map_or(0, |_| set_number(flow, field::VLAN_VID) & 0xfff);
            format!("patch out {dp} {}: {} {vlan}", number(m, register::DST_PORT), port.expect("an output"))
        }
        Rule::PatchUnknown if flow.table == stage::LRP_EGRESS_UPDATE_ETH_DST.table => return None,
        Rule::PatchUnknown => {
            let port = set_number(flow, register::DST_PORT);
            let place = set_value(flow, register::REMOTE4).map_or(String::new(), |ip| format!(" at {}", address(&ip)));
            let mask = m.get(register::FLAGS).and_then(|f| f.mask.as_ref()?.to_u64()).unwrap_or(0);
            if let Some(dst) = m.get(field::ETH_DST) {
                return Some(format!("relay {dp} {}: {port}{place}", mac(dst.value.as_bytes())));
            }
            match m.get(field::ETH_SRC) {
                Some(src) => format!("router {dp} {}: {port}{place}", mac(src.value.as_bytes())),
                None if place.is_empty() && mask & u64::from(register::FROM_TUNNEL) != 0 => {
                    format!("unknown {dp}: {port} not from tunnels")
                }
                None => format!("unknown {dp}: {port}{place}"),
            }
        }
        Rule::PatchOwn => format!("own {dp} {}", mac(m.get(field::ETH_SRC).expect("a MAC").value.as_bytes())),
        Rule::PatchElsewhere => match m.get(field::ETH_DST) {
            Some(dst) => format!("elsewhere {dp} {}", mac(dst.value.as_bytes())),
            None if m.get(field::ARP_TPA).is_some() || m.get(field::ND_TARGET).is_some() => {
                format!("silent {dp} {}", shown(m, &[field::ARP_TPA, field::ND_TARGET]))
            }
            None => return None,
        },
        Rule::ToRouter => {
            let (lr, lrp) = (set_number(flow, register::DATAPATH), set_number(flow, register::SRC_PORT));
            format!("link {dp} {}: {lr} {lrp}", number(m, register::DST_PORT))
        }
        Rule::NextHop => {
            let hop = next_hop(m);
            let eth = mac(&set_value(flow, field::ETH_DST).expect("a MAC"));
            format!("hop {dp} {} {hop}: {eth}", number(m, register::DST_PORT))
        }
        Rule::Echo => format!("echo {dp} {}", shown(m, &[field::IPV4_DST, field::IPV6_DST])),
        rule @ (Rule::Connected | Rule::Static) => {
            let prefix = prefix(m);
            let port = set_number(flow, register::DST_PORT);
            let hop = set_value(flow, register::NEXT_HOP4).or_else(|| set_value(flow, register::NEXT_HOP6));
            match (rule, hop) {
                (Rule::Static, Some(hop)) => format!("route {dp} {prefix}: {port} via {}", address(&hop)),
                _ => format!("route {dp} {prefix}: {port} connected"),
            }
        }
        Rule::Ecmp if flow.table == stage::LRP_INGRESS_ECMP_HASH.table => return None,
        Rule::Ecmp => format!("routes {dp} {}", prefix(m)),
        Rule::EcmpMember => format!("member {dp} {} {}", number(m, register::DST_PORT), next_hop(m)),
        _ => return None,
    })
}

/// What a bucket of equal routes states.
fn bucket_statement(last: bool, bucket: Bucket) -> String {
    if bucket.weight == Some(1) {
        return "last resort".to_owned();
    }
    let flow = Flow { instructions: vec![Instruction::ApplyActions(bucket.actions)], ..Flow::default() };
    let hop = set_value(&flow, register::NEXT_HOP4).or_else(|| set_value(&flow, register::NEXT_HOP6));
    let (port, hop) = (set_number(&flow, register::DST_PORT), address(&hop.expect("a next hop")));
    match last {
        true => format!("last choice {port} via {hop}"),
        false => format!("choice {port} via {hop} if {:?}", bucket.watch_port),
    }
}

pub fn engine_statements(engine: &Engine) -> BTreeSet<String> {
    let chosen = engine.groups().filter(|group| matches!(group.form, GroupForm::Select(_)));
    let choices = chosen.flat_map(|group| {
        let last = !is_ecmp_group(group.id);
        group.buckets.into_iter().map(move |bucket| bucket_statement(last, bucket))
    });
    engine.flows().filter_map(|flow| statement(&flow)).chain(choices).collect()
}
