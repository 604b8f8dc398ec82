//! `docs/pipeline.md` is made from the tables in the code. This test fails when they differ; to write it anew:
//! `UPDATE_DOCS=1 cargo test -p tuplenet-rules --test docs`.

use std::{fmt::Write, path::Path};
use tuplenet_rules::{
    cookie::Rule,
    icmp, outside, probe, register, stage,
    trace::{Event, METER},
    userdata::Userdata,
};

fn pipeline() -> String {
    let mut page = String::from(
        "# The pipeline\n\n\
         <!-- Made from crates/rules/src/{stage,register,cookie,userdata,trace}.rs by the test `docs`; change it there. -->\n\n\
         What `ovs-ofctl -O OpenFlow15 dump-flows br-int` shows, explained: the tables, the registers, the cookies.\n\n\
         ## Tables\n\n\
         A packet enters at table 0. *Else* is where it goes when a table has nothing to say about it; without an entry \
         it is dropped, or the table's own flows say where it goes.\n\n\
         | table | stage | what happens | else |\n|---|---|---|---|\n",
    );
    for stage in stage::ALL {
        let next = stage.next.map_or(String::new(), |next| next.to_string());
        let _ = writeln!(page, "| {} | `{}` | {} | {next} |", stage.table, stage.name, stage.about.trim());
    }
    page.push_str(
        "\n### Table 201, for other software\n\n\
         Every packet of a switch passes table 201 right after it entered. The one flow there that is ours has priority 0 and sends it on. \
         Flows of other software with a higher priority are left alone; they return a packet with `resubmit(,11)`.\n\n\
         ## Registers\n\n| field | meaning |\n|---|---|\n",
    );
    let registers = [
        (register::DATAPATH, "id of the datapath that the packet is in; the tunnel's VNI"),
        (register::NEXT_HOP6, "next hop of an IPv6 packet, once routed (IPv4: `reg0`)"),
        (register::SRC_PORT, "source port id, in this datapath"),
        (register::DST_PORT, "destination port id, in this datapath; 0xffff for all"),
        (register::FLAGS, "flags, below"),
        (register::COMMAND, "command id: the colour of a traced packet"),
        (
            register::REMOTE6,
            "tunnel end point of the chassis that has the destination port (IPv4: `reg8`); 0: it is here",
        ),
        (
            register::MTU,
            "the most bytes that an IP packet may have that a router sends into a switch; the highest bit: it has more",
        ),
    ];
    for (field, meaning) in registers {
        let _ = writeln!(page, "| `{}` | {meaning} |", field.name);
    }
    page.push_str("\n| flag | meaning |\n|---|---|\n");
    let flags = [
        (register::LOOPBACK, "an answer made here, which may leave by the port that it came from"),
        (register::FROM_TUNNEL, "came by a tunnel, so it does not leave by one before a router took it"),
        (register::FLOOD_COPY, "a copy for another chassis' members of a flood group"),
        (register::TRACED, "coloured: its path is reported"),
        (
            register::ENTERED,
            "coloured, came by a tunnel, and its end here is going to be reported: of its copies none is",
        ),
        (register::UNTUNNELLED, "leaves by this host's own IP stack"),
        (register::FROM_PATCH, "came in by a patch port, so it does not leave by one before a router took it"),
        (register::NATTED, "turned back at an uplink for an external address of its own router"),
        (register::PENDING, "coloured, and conntrack has a copy to go on with: one more end is going to be reported"),
        (register::ANSWER, "a router's answer to an echo request"),
        (register::ERROR, "a router's own ICMP error"),
        (register::DESIGNATED, "a copy between a chassis without a patch port and the one that is designated for it"),
        (register::REDIRECTED, "on a detour: its chassis could not be reached by the host that sent it"),
        (register::RELAYED, "sent on by the host that the detour went by"),
        (register::DIRECT_ONLY, "takes no detour, as an edge does not have its switch; does not leave the host"),
    ];
    for (flag, meaning) in flags {
        let _ = writeln!(page, "| `{flag:#x}` | {meaning} |");
    }
    let _ = write!(
        page,
        "\n## Geneve option\n\n\
         Class `{:#06x}`, type `{:#04x}`, {} bytes, in `tun_metadata0`: source port, destination port, flags, command id, 16 bits each. \
         The VNI is the datapath's id.\n\n\
         ## Packet-ins\n\n\
         A flow with `controller(userdata=...)` tells the agent of a packet. The first byte says what for.\n\n\
         | userdata | what the packet is reported for |\n|---|---|\n",
        register::option::CLASS,
        register::option::TYPE,
        register::option::LEN
    );
    for (event, meaning) in [
        (Event::Hop, "a coloured packet passes a stage that a trace prints"),
        (Event::Delivered, "it leaves by the destination port"),
        (Event::End, "this host has done all that it does with it"),
    ] {
        let bytes = Userdata::Trace(event).encode().iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
        let _ = writeln!(page, "| `{}` | {meaning} |", bytes.join("."));
    }
    for (event, meaning) in [
        (outside::Event::Ask, "its next hop is a neighbour in a physical network that is not known; the whole packet"),
        (outside::Event::Learn, "somebody in a physical network says who has an address"),
    ] {
        let bytes = Userdata::Neighbour(event).encode().iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
        let _ = writeln!(page, "| `{}` | {meaning} |", bytes.join("."));
    }
    for (event, meaning) in [
        (icmp::Event::Spent, "its TTL or hop limit is used up"),
        (icmp::Event::NoRoute, "its router has no route for it"),
        (icmp::Event::NoHost, "its next hop is nobody's address"),
        (icmp::Event::Itself, "it is for a router itself, and no echo request"),
    ] {
        let bytes = Userdata::IcmpError(event).encode().iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
        let _ = writeln!(page, "| `{}` | {meaning}; it ends there, and its sender is told |", bytes.join("."));
    }
    let bytes =
        Userdata::IcmpError(icmp::Event::TooBig).encode().iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
    let _ = writeln!(
        page,
        "| `{}` | it is too long for the switch that a router sends it into; its sender is told, or the agent cuts it; the whole packet |",
        bytes.join(".")
    );
    let bytes = Userdata::Probe(probe::Event::Answer).encode().iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
    let _ = writeln!(page, "| `{}` | an address outside that the agent probes answers |", bytes.join("."));
    page.push_str("\n| meter | limits | packets a second | at once |\n|---|---|---|---|\n");
    for (meter, limits) in [
        (METER, "reports of coloured packets"),
        (outside::ASK_METER, "packets whose neighbour is not known"),
        (icmp::METER, "packets that routers ended"),
        (icmp::TOO_BIG_METER, "packets that are too long"),
        (outside::LEARN_METER, "what neighbours say"),
        (probe::METER, "answers to probes"),
    ] {
        let _ = writeln!(page, "| {} | {limits} | {} | {} |", meter.id, meter.rate, meter.burst);
    }
    page.push_str(
        "\n## Cookies\n\n\
         `0x54`, then the rule (8 bits), the datapath's id (24 bits), and the object (24 bits): a port's id, the table of a stage's own flow, or a hash of a name.\n\n\
         | rule | name | what its flows do |\n|---|---|---|\n",
    );
    for rule in Rule::ALL {
        let _ = writeln!(page, "| {} | `{}` | {} |", *rule as u8, rule.name(), rule.about().trim());
    }
    page
}

#[test]
fn the_page_about_the_pipeline_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipeline.md");
    let page = pipeline();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/ can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, page,
        "docs/pipeline.md is out of date: UPDATE_DOCS=1 cargo test -p tuplenet-rules --test docs"
    );
}
