//! The simulator's answer laid beside the real switch's.

use super::{
    datapath::{Seen, execute},
    fields::Fields,
    real::{Question, Real, TUNNELS, Traced},
    trace::Visit,
};
use std::{collections::HashMap, net::IpAddr, sync::LazyLock};
use tuplenet_openflow::{Field, field, port};
use tuplenet_sim::{Effect, Packet, Run, Switch, Unsupported};

/// Headers, that is what leaves the switch.
const HEADERS: &[&str] = &[
    "eth_src",
    "eth_dst",
    "eth_type",
    "vlan_tci",
    "ip_src",
    "ip_dst",
    "ipv6_src",
    "ipv6_dst",
    "ipv6_label",
    "nw_proto",
    "nw_tos",
    "nw_ecn",
    "nw_ttl",
    "ip_frag",
    "arp_op",
    "arp_spa",
    "arp_tpa",
    "arp_sha",
    "arp_tha",
    "tcp_src",
    "tcp_dst",
    "tcp_flags",
    "udp_src",
    "udp_dst",
    "sctp_src",
    "sctp_dst",
    "icmp_type",
    "icmp_code",
    "icmpv6_type",
    "icmpv6_code",
    "nd_target",
    "nd_sll",
    "nd_tll",
    "mpls_label",
    "mpls_tc",
    "mpls_ttl",
    "mpls_bos",
    "pkt_mark",
];

/// Headers that a flow has and a trace does not print: read where the datapath sets them.
const UNPRINTED: &[&str] = &["nd_reserved", "nd_options_type"];

/// What the pipeline keeps.
const PIPELINE: &[&str] = &[
    "in_port",
    "metadata",
    "tun_dst",
    "tun_ipv6_dst",
    "ct_state",
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
];

/// What a tunnel carries beside the packet.
const TUNNEL: &[&str] = &["tun_id", "tun_dst", "tun_ipv6_dst", "tun_metadata0"];

/// Fields by the names above.
static KNOWN: LazyLock<HashMap<&str, &Field>> = LazyLock::new(|| {
    let names = [HEADERS, UNPRINTED, PIPELINE, TUNNEL].concat().into_iter();
    let known = names.map(|name| match name {
        "in_port" => (name, field::IN_PORT),
        name => (name, Field::by_name(name).unwrap_or_else(|| panic!("no field {name}"))),
    });
    known.collect()
});

/// The named fields of the simulator's packet.
pub fn fields_of(packet: &Packet, names: &[&[&'static str]]) -> Fields {
    let mut fields = Fields::default();
    for name in names.iter().copied().flatten().copied() {
        let value = packet.get(KNOWN[name]).and_then(|value| value.to_u128());
        fields.set(name, value.unwrap_or_default());
    }
    fields
}

/// Why a comparison found nothing wrong, or what is.
pub enum Verdict {
    /// They agree.
    Same(Run),
    /// The simulator does not claim to know.
    Unsupported(Unsupported),
}

/// Asks the simulator what the real switch was asked, and compares all that both tell.
///
/// # Errors
/// What differs, for people.
pub fn compare(real: &Real, switch: &mut Switch, question: &Question, answer: &Traced) -> Result<Verdict, String> {
    let told =
        |what: String| format!("{what}\nthe question: ovs-appctl {}\n{}", question.words().join(" "), answer.text);
    let mut packet = Packet::parse(&question.bytes).map_err(|error| told(error.to_string()))?;
    for (field, value) in question.fields() {
        packet.set(field, value);
    }
    let mut run = |packet| match &question.injected {
        None => switch.run(packet, 0),
        Some(actions) => switch.execute(packet, question.in_port, actions),
    };
    // A trace only guesses what the connection tracker says: that is compared with real packets.
    let [pass] = &answer.passes[..] else { return Err(told("the packet goes round".to_owned())) };
    let first = fields_of(&packet, &[HEADERS, PIPELINE]);
    differ("the packet as it comes", &first, &pass.first.clone().without(TUNNEL_KEYS)).map_err(told)?;
    let unprinted = fields_of(&packet, &[UNPRINTED]);
    let run = match run(packet) {
        Ok(run) => run,
        Err(unsupported) => return Ok(Verdict::Unsupported(unsupported)),
    };
    let visits: Vec<Visit> = run.steps.iter().map(|step| Visit { table: step.table, flow: step.flow }).collect();
    if visits != pass.visits {
        return Err(told(format!("the tables:\n  simulator {visits:?}\n  switch    {:?}", pass.visits)));
    }
    match (&run.abort, &pass.failed) {
        (None, None) => {}
        // It drops all that it had gathered.
        (Some(_), Some(_)) if pass.actions == "drop" && run.effects.is_empty() => return Ok(Verdict::Same(run)),
        (ours, theirs) => return Err(told(format!("giving up: simulator {ours:?}, switch {theirs:?}"))),
    }
    // A packet that leaves for nowhere leaves no trace in the datapath's actions.
    let ours: Vec<Seen> = run.effects.iter().filter_map(|effect| seen(&run, effect, real)).collect();
    let mut before = pass.first.clone();
    for name in UNPRINTED {
        before.set(name, unprinted.get(name));
    }
    let theirs = execute(&pass.actions, &before, &real.ports).map_err(told)?;
    let theirs: Vec<Seen> = theirs.into_iter().map(only_compared).collect();
    for (n, pair) in ours.iter().zip(&theirs).enumerate() {
        same_effect(n, pair).map_err(told)?;
    }
    if ours.len() != theirs.len() {
        return Err(told(format!("what leaves:\n  simulator {ours:?}\n  switch    {theirs:?}")));
    }
    let last = fields_of(&run.last, &[HEADERS, PIPELINE]);
    differ("the packet in the end", &last, &pass.last.clone().without(TUNNEL_KEYS)).map_err(told)?;
    Ok(Verdict::Same(run))
}

/// Not printed in every flow that has them.
const TUNNEL_KEYS: &[&str] = &["tun_id", "tun_metadata0", "vlan_tci1"];

fn same_effect(n: usize, pair: (&Seen, &Seen)) -> Result<(), String> {
    match pair {
        (Seen::Output { port: a, fields: x }, Seen::Output { port: b, fields: y }) if a == b => {
            differ(&format!("output {n} (to port {a})"), x, y)
        }
        (
            Seen::Controller { reason: a, controller: c, cookie: e, fields: x },
            Seen::Controller { reason: b, controller: d, cookie: f, fields: y },
        ) if (a, c, e) == (b, d, f) => differ(&format!("packet-in {n}"), x, y),
        (ours, theirs) => Err(format!("effect {n}:\n  simulator {ours:?}\n  switch    {theirs:?}")),
    }
}

/// Without fields that a packet of its kind does not have: a trace goes on printing what an action on the type made void.
fn meaningful(fields: &Fields) -> Fields {
    let neighbour = fields.get("nw_proto") == 58 && fields.get("icmpv6_code") == 0;
    let void: &[&str] = match fields.get("icmpv6_type") {
        135 if neighbour => &["nd_tll"],
        136 if neighbour => &["nd_sll"],
        _ => &["nd_target", "nd_sll", "nd_tll", "nd_reserved", "nd_options_type"],
    };
    fields.clone().without(void)
}

fn differ(what: &str, ours: &Fields, theirs: &Fields) -> Result<(), String> {
    let differences = meaningful(ours).differences(&meaningful(theirs));
    if differences.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        differences.iter().map(|(name, a, b)| format!("  {name}: simulator {a:#x}, switch {b:#x}")).collect();
    Err(format!("{what} differs:\n{}", list.join("\n")))
}

fn is_tunnel(port: u32) -> bool {
    TUNNELS.iter().any(|(.., tunnel)| *tunnel == port)
}

/// An effect of the simulator as the real datapath would show it, if it would.
fn seen(run: &Run, effect: &Effect, real: &Real) -> Option<Seen> {
    match effect {
        Effect::Refused { .. } => None,
        Effect::Controller { reason, controller_id, packet, step, .. } => {
            // A packet-out has no flow.
            let flow = step.map(|step| run.steps.get(step).and_then(|step| step.flow));
            let cookie = flow.map_or(u64::MAX, |flow| flow.map_or(0, |(_, cookie)| cookie));
            let fields = fields_of(packet, &[HEADERS, UNPRINTED]);
            Some(Seen::Controller { reason: *reason, controller: *controller_id, cookie, fields })
        }
        Effect::Output { port: port::LOCAL, .. } => None,
        Effect::Output { port, packet, .. } => {
            let mut fields = fields_of(packet, &[HEADERS, UNPRINTED]);
            if is_tunnel(*port) {
                let tunnel = fields_of(packet, &[TUNNEL]);
                match real.leads(packet)? {
                    IpAddr::V4(_) => fields.set("tun_dst", tunnel.get("tun_dst")),
                    IpAddr::V6(_) => fields.set("tun_ipv6_dst", tunnel.get("tun_ipv6_dst")),
                }
                let gre = TUNNELS.iter().any(|(_, kind, tunnel)| tunnel == port && *kind == "gre");
                fields.set("tun_id", tunnel.get("tun_id") & if gre { 0xffff_ffff } else { 0xff_ffff });
                if TUNNELS.iter().any(|(_, kind, tunnel)| tunnel == port && *kind == "geneve") {
                    fields.set("tun_metadata0", tunnel.get("tun_metadata0"));
                }
            }
            real.ports.values().any(|known| known == port).then_some(Seen::Output { port: *port, fields })
        }
    }
}

/// Leaves what is not compared out of what the real switch did.
fn only_compared(seen: Seen) -> Seen {
    let only = |fields: Fields, tunnel: bool| {
        let known = HEADERS.iter().chain(UNPRINTED).chain(if tunnel { TUNNEL } else { &[] });
        let mut kept = Fields::default();
        known.for_each(|name| kept.set(name, fields.get(name)));
        kept
    };
    match seen {
        Seen::Output { port, fields } => Seen::Output { port, fields: only(fields, is_tunnel(port)) },
        Seen::Controller { reason, controller, cookie, fields } => {
            Seen::Controller { reason, controller, cookie, fields: only(fields, false) }
        }
    }
}
