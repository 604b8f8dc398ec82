//! The path of one packet, put into words: what `ofproto/trace` tells of the two hosts' tables, by the stages' names.

use anyhow::{Context, Result};
use tuplenet_lab::{Host, Vm};
use tuplenet_rules::stage;

/// Tells the way of an echo request from a guest to another one behind the router, on both hosts.
pub fn words(from: &Vm, router_mac: &str, to: &Vm) -> Result<Vec<String>> {
    let packet = format!(
        "in_port={},icmp,icmp_type=8,dl_src={},dl_dst={router_mac},nw_src={},nw_dst={},nw_ttl=64",
        from.device(),
        from.mac(),
        from.ipv4()?,
        to.ipv4()?
    );
    let mut lines =
        vec![format!("{} enters br-int of {} by the port {}:", from.name(), from.host().name(), from.device())];
    let trace = from.host().trace(&packet)?;
    lines.extend(stages(&trace));
    let Some(tunnel) = Tunnel::read(&trace) else { return Ok(lines) };
    lines.push(format!(
        "and leaves {} in a Geneve packet to {}, VNI {}, option {}; then on {}:",
        from.host().name(),
        tunnel.to,
        tunnel.vni,
        tunnel.option,
        to.host().name()
    ));
    let final_flow = trace.lines().find_map(|line| line.strip_prefix("Final flow: ")).unwrap_or_default();
    let field = |name: &str| {
        let found = final_flow.split(',').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.with_context(|| format!("the trace's final flow has no {name}: {final_flow}"))
    };
    let packet = format!(
        "in_port={},tun_id={},tun_src={},tun_metadata0={},icmp,icmp_type=8,dl_src={},dl_dst={},nw_src={},nw_dst={},nw_ttl={}",
        tunnel_port(to.host())?,
        tunnel.vni,
        from.host().encap_ip(),
        tunnel.option,
        field("dl_src")?,
        field("dl_dst")?,
        from.ipv4()?,
        to.ipv4()?,
        field("nw_ttl")?,
    );
    lines.extend(stages(&to.host().trace(&packet)?));
    lines.push(format!("and arrives at {}, with a TTL of {}.", to.name(), field("nw_ttl")?));
    Ok(lines)
}

/// The number of the host's Geneve port.
fn tunnel_port(host: &Host) -> Result<String> {
    let text = host.vsctl(&["--bare", "--no-headings", "--columns=ofport", "find", "Interface", "type=geneve"])?;
    let port = text.lines().find(|line| !line.is_empty());
    port.map(str::to_owned).with_context(|| format!("{} has no Geneve port", host.name()))
}

/// For each table in which a flow of ours matched: its number, the stage's name, what it is for, and the match.
/// Stages that had nothing to say about this packet are left out: their flow matches everything and leads on.
fn stages(trace: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, matched) in tables(trace).into_iter().filter(|(_, matched)| !matched.is_empty()) {
        let stage = stage::ALL.iter().find(|stage| stage.table == table);
        let (name, about) = stage.map_or(("", ""), |stage| (stage.name, stage.about.trim()));
        let about = about.split_once(['.', ':', ';']).map_or(about, |(first, _)| first);
        lines.push(format!("  {table:>3} {name:<28} {about}"));
        lines.push(format!("      {:<28} by {}", "", short(&matched)));
    }
    lines
}

/// A match, cut to what fits on a line.
fn short(matched: &str) -> String {
    const WIDTH: usize = 70;
    match matched.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &matched[..end]),
        None => matched.to_owned(),
    }
}

/// The tables in which a flow matched, and its match, in the order in which the packet meets them.
fn tables(trace: &str) -> Vec<(u8, String)> {
    let of_line = |line: &str| {
        let (number, rest) = line.trim_start().split_once(". ")?;
        let table: u8 = number.parse().ok()?;
        let (matched, _) = rest.split_once(", priority ").or_else(|| rest.split_once("priority "))?;
        Some((table, matched.to_owned()))
    };
    // Behind br-int stands br-phy, with tables of its own.
    let (_, of_br_int) = trace.split_once("bridge(\"br-int\")").unwrap_or(("", trace));
    let (of_br_int, _) = of_br_int.split_once("bridge(").unwrap_or((of_br_int, ""));
    of_br_int.lines().filter_map(of_line).collect()
}

/// The outer header that a packet gets.
#[derive(Debug, PartialEq, Eq)]
struct Tunnel {
    to: String,
    vni: String,
    option: String,
}

impl Tunnel {
    /// Reads the userspace datapath's `tnl_push` of a trace.
    fn read(trace: &str) -> Option<Tunnel> {
        // After it, because what stands before it changes the packet itself, by the same words.
        let actions = trace.lines().find_map(|line| line.strip_prefix("Datapath actions:"))?;
        let (_, push) = actions.split_once("tnl_push(")?;
        let between = |start: &str, ends: &[char]| {
            let (_, rest) = push.split_once(start)?;
            rest.split(ends).next().map(str::to_owned)
        };
        let options = between("options({", &['}'])?;
        Some(Tunnel {
            to: between("ipv4(", &[')'])?.split(',').find_map(|word| word.strip_prefix("dst="))?.to_owned(),
            vni: between("vni=", &[',', ')'])?,
            option: options.rsplit(',').next()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "Flow: icmp,in_port=1,dl_vlan=0\n\
        \n\
        bridge(\"br-int\")\n\
        ----------------\n \
        0. in_port=1, priority 100, cookie 0x1\n    \
            load:0x1->OXM_OF_METADATA[]\n    \
            resubmit(,57)\n    \
            57. ip,metadata=0x1,nw_dst=10.20.2.0/24, priority 1, cookie 0x2\n            \
                goto_table:201\n        \
                201. No match.\n            \
                77. priority 0\n\
        \n\
        bridge(\"br-phy\")\n\
        -----------------\n \
        0. priority 0\n    \
            NORMAL\n\
        \n\
        Final flow: icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_ttl=63\n\
        Datapath actions: set(ipv4(ttl=63)),clone(tnl_push(tnl_port(6081),header(size=70,type=5,eth(dst=02:a0:00:00:00:02,\
        src=02:a0:00:00:00:01,dl_type=0x0800),ipv4(src=198.51.100.1,dst=198.51.100.2,proto=17,tos=0,ttl=64,frag=0x4000),\
        udp(src=0,dst=6081,csum=0x0),geneve(vni=0x7,options({class=0xffee,type=0x80,len=8,0x0001000200000000}))),\
        out_port(2)),3)\n";

    #[test]
    fn the_tables_of_a_trace_are_read_in_order() {
        let met = tables(TRACE);
        assert_eq!(
            met,
            [(0, "in_port=1".to_owned()), (57, "ip,metadata=0x1,nw_dst=10.20.2.0/24".to_owned()), (77, String::new())]
        );
    }

    #[test]
    fn the_outer_header_of_a_trace_is_read() {
        let tunnel = Tunnel { to: "198.51.100.2".into(), vni: "0x7".into(), option: "0x0001000200000000".into() };
        assert_eq!(Tunnel::read(TRACE), Some(tunnel));
    }
}
