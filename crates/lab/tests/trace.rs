//! `tpctl trace` through real hosts: the hops, to the letter; many at once; a host that dies; and that a simulation says the same.

mod network;
mod trace_bed;

use anyhow::{Context, Result, bail, ensure};
use network::*;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};
use trace_bed::{Bed, RP_MAC, line, mac, read};
use tuplenet_lab::{AgentSpec, Lab};

/// Within a switch, to a port on the same host and on another.
const LOCAL: &[&str] = &["LS A a1 ? LSP_TRACE_INGRESS_IN hv1"];
const SAME: &[&str] = &[
    "LS A a1 ? LSP_TRACE_INGRESS_IN hv1",
    "LS A a1 a2 LSP_TRACE_INGRESS_OUT hv1",
    "LS A a1 a2 LSP_TRACE_EGRESS_IN hv2",
];
/// From A into R1, on the host of the source.
const ENTER: &[&str] = &[
    "LS A a1 ? LSP_TRACE_INGRESS_IN hv1",
    "LS A a1 A_to_R1 LSP_TRACE_INGRESS_OUT hv1",
    "LS A a1 A_to_R1 LSP_TRACE_EGRESS_IN hv1",
    "LR R1 R1_to_A ? LRP_TRACE_INGRESS_IN hv1",
];
/// On through R1.
const ROUTED: &[&str] =
    &["LR R1 R1_to_A R1_to_B LRP_TRACE_INGRESS_OUT hv1", "LR R1 R1_to_A R1_to_B LRP_TRACE_EGRESS_IN hv1"];
const INTO_B: &[&str] = &["LR R1 R1_to_A R1_to_B LRP_TRACE_EGRESS_OUT hv1", "LS B B_to_R1 ? LSP_TRACE_INGRESS_IN hv1"];
const TO_B1: &[&str] = &["LS B B_to_R1 b1 LSP_TRACE_INGRESS_OUT hv1", "LS B B_to_R1 b1 LSP_TRACE_EGRESS_IN hv1"];
const TO_B2: &[&str] = &["LS B B_to_R1 b2 LSP_TRACE_INGRESS_OUT hv1", "LS B B_to_R1 b2 LSP_TRACE_EGRESS_IN hv2"];
/// From A through RP, which is on hv2, to D on hv3.
const THREE: &[&str] = &[
    "LS A a1 ? LSP_TRACE_INGRESS_IN hv1",
    "LS A a1 A_to_RP LSP_TRACE_INGRESS_OUT hv1",
    "LS A a1 A_to_RP LSP_TRACE_EGRESS_IN hv2",
    "LR RP RP_to_A ? LRP_TRACE_INGRESS_IN hv2",
    "LR RP RP_to_A RP_to_D LRP_TRACE_INGRESS_OUT hv2",
    "LR RP RP_to_A RP_to_D LRP_TRACE_EGRESS_IN hv2",
    "LR RP RP_to_A RP_to_D LRP_TRACE_EGRESS_OUT hv2",
    "LS D D_to_RP ? LSP_TRACE_INGRESS_IN hv2",
    "LS D D_to_RP d3 LSP_TRACE_INGRESS_OUT hv2",
    "LS D D_to_RP d3 LSP_TRACE_EGRESS_IN hv3",
];
const R1_MAC: &str = "--dst-mac f2:01:0a:01:00:fe";

/// From a1 to b1 with a VLAN tag, which a router does not take: MACs, tag 7, IPv4, the beginning of a datagram to port 9.
const TAGGED: &str =
    "a1 --hex f2010a0100fef2010a01000181000007080045000020000040004011256b0a0100010a020001c0000009000c0000746f6c64";

#[test]
fn real_packets_take_the_expected_hops_and_simulated_ones_the_same() -> Result<()> {
    let bed = Bed::new("trace")?;
    let to_b1 = [ENTER, ROUTED, INTO_B, TO_B1].concat();
    let to_b2 = [ENTER, ROUTED, INTO_B, TO_B2].concat();
    let no_neighbour = [ENTER, ROUTED].concat();
    let r1 = |v4: &str| format!("{v4} {R1_MAC}");
    let cases: Vec<(String, i32, Vec<&str>, &str)> = vec![
        // Delivered, across one, two and three hosts.
        ("a1 --to 10.1.0.2".into(), 0, SAME.into(), "delivered to a2 on hv2, 3 hops"),
        ("A/a1 --to fd00:1::2 --udp 53".into(), 0, SAME.into(), "delivered to a2 on hv2, 3 hops"),
        ("a1 --to 10.2.0.1".into(), 0, to_b1.clone(), "delivered to b1 on hv1, 10 hops"),
        ("a1 --to fd00:2::1".into(), 0, to_b1, "delivered to b1 on hv1, 10 hops"),
        ("a1 --to 10.2.0.2 --tcp 443".into(), 0, to_b2.clone(), "delivered to b2 on hv2, 10 hops"),
        ("a1 --to fd00:2::2 --tcp 443".into(), 0, to_b2.clone(), "delivered to b2 on hv2, 10 hops"),
        ("a1 --to 10.2.0.2 --ttl 2".into(), 0, to_b2, "delivered to b2 on hv2, 10 hops"),
        (format!("a1 --to 10.4.0.3 {RP_MAC}"), 0, THREE.into(), "delivered to d3 on hv3, 10 hops"),
        (format!("a1 --to fd00:4::3 {RP_MAC}"), 0, THREE.into(), "delivered to d3 on hv3, 10 hops"),
        // Dropped, each for its own reason.
        (r1("a1 --to 10.8.8.8"), 1, ENTER.into(), "dropped at R1 on hv1: no route to 10.8.8.8; R1 tells the sender"),
        (
            r1("a1 --to 2001:db8::1"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: no route to 2001:db8::1; R1 tells the sender",
        ),
        (
            "a1 --to 10.2.0.1 --ttl 1".into(),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: its TTL is spent; R1 tells the sender",
        ),
        (
            "a1 --to fd00:2::1 --ttl 1".into(),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: its hop limit is spent; R1 tells the sender",
        ),
        (
            "a1 --to 10.2.0.99".into(),
            1,
            no_neighbour.clone(),
            "dropped at R1 on hv1: 10.2.0.99 is nobody's address on B; R1 tells the sender",
        ),
        (
            r1("a1 --to 10.7.0.1"),
            1,
            no_neighbour,
            "dropped at R1 on hv1: the next hop 10.2.0.77 is nobody's address on B; R1 tells the sender",
        ),
        (
            "a1 --to 10.1.0.2 --dst-mac 02:00:00:00:00:99".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: no port of A has the MAC address 02:00:00:00:00:99",
        ),
        (
            "a1 --to 10.1.0.9".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: off is not bound to any chassis: no host has an interface with iface-id off",
        ),
        (
            "a1 --to fd00:1::9".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: off is not bound to any chassis: no host has an interface with iface-id off",
        ),
        (
            "lone --to 10.1.0.1 --dst-mac f2:01:0a:01:00:01".into(),
            1,
            vec!["LS X lone ? LSP_TRACE_INGRESS_IN hv1"],
            "dropped at X on hv1: no port of X has the MAC address f2:01:0a:01:00:01",
        ),
        (
            "a1 --to 10.1.0.2 --dst-mac f2:01:0a:01:00:01".into(),
            1,
            vec![
                "LS A a1 ? LSP_TRACE_INGRESS_IN hv1",
                "LS A a1 a1 LSP_TRACE_INGRESS_OUT hv1",
                "LS A a1 a1 LSP_TRACE_EGRESS_IN hv1",
            ],
            "dropped at A on hv1: a1 is where it came from, and a switch returns nothing to its sender",
        ),
        (
            r1("a1 --to 10.1.0.1 --src 224.0.0.1"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: its source 224.0.0.1 is nobody's address: R1 forwards nothing from there",
        ),
        (
            r1("a1 --to 10.1.0.254 --udp 9"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: 10.1.0.254 is an address of R1 itself, which answers nothing but echo requests (ping); R1 tells the sender",
        ),
        (
            r1("a1 --to fd00:2::fe --tcp 22"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: fd00:2::fe is an address of R1 itself, which answers nothing but echo requests (ping); R1 tells the sender",
        ),
        (
            r1("a1 --to fe80::1"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: fe80::1 is a link-local address, which R1 does not route",
        ),
        (
            r1("a1 --to 127.0.0.1"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: 127.0.0.1 is a loopback address, which R1 does not route",
        ),
        (
            "a1 --to 10.1.0.255 --dst-mac ff:ff:ff:ff:ff:ff".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: A does not flood: what is sent to all (ff:ff:ff:ff:ff:ff) reaches nobody",
        ),
        (
            "a1 --to 10.1.0.2 --dst-mac 01:80:c2:00:00:00".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: 01:80:c2:00:00:00 is reserved for the protocols of bridges: no switch passes it on (IEEE 802.1Q)",
        ),
        (
            "f1 --to 10.6.0.2 --dst-mac 01:80:c2:00:00:0e".into(),
            1,
            vec!["LS F f1 ? LSP_TRACE_INGRESS_IN hv1"],
            "dropped at F on hv1: 01:80:c2:00:00:0e is reserved for the protocols of bridges: no switch passes it on (IEEE 802.1Q)",
        ),
        (
            "a1 --to 10.1.0.1 --arp".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: 10.1.0.1 is the sender's own address: nobody else on A has it",
        ),
        (
            "a1 --to fd00:1::1 --nd".into(),
            1,
            LOCAL.into(),
            "dropped at A on hv1: fd00:1::1 is the sender's own address: nobody else on A has it",
        ),
        ("a1 --to 10.1.0.99 --arp".into(), 1, LOCAL.into(), "dropped at A on hv1: 10.1.0.99 is nobody's address on A"),
        ("a1 --to fd00:1::99 --nd".into(), 1, LOCAL.into(), "dropped at A on hv1: fd00:1::99 is nobody's address on A"),
        (TAGGED.into(), 1, ENTER.into(), "dropped at R1 on hv1: it has a VLAN tag, and no router takes tagged frames"),
        (
            r1("a1 --to 224.0.0.251"),
            1,
            ENTER.into(),
            "dropped at R1 on hv1: 224.0.0.251 is a multicast address, which R1 does not route",
        ),
    ];
    for (arguments, code, hops, verdict) in &cases {
        let expected: Vec<String> = hops.iter().map(|text| line(text)).collect();
        let real = bed.trace(arguments)?;
        ensure!(real.0 == *code && real.1 == expected, "{arguments}\n{real:#?}\nexpected {expected:#?}");
        let said = if *code == 0 { real.2.rsplit_once(", ").map_or("", |(said, _time)| said) } else { &real.2 };
        ensure!(said == format!("tpctl: {verdict}"), "{arguments}: {}", real.2);
        println!("{arguments}: {}", real.2);
    }
    // What is answered by the switch itself, to addresses of the near and the far port, ARP and ND; a copy for each port of a flooding switch.
    let answered = [
        "10.1.0.254",
        "fd00:1::fe",
        "10.2.0.254",
        "fd00:2::fe",
        "10.1.0.2 --arp",
        "10.1.0.254 --arp",
        "fd00:1::2 --nd",
    ];
    let mut same: Vec<String> = cases.iter().map(|case| case.0.clone()).collect();
    same.extend(answered.map(|to| format!("a1 --to {to}")));
    for arguments in same.iter().skip(cases.len()) {
        let (code, hops, verdict) = bed.trace(arguments)?;
        ensure!(
            code == 0
                && !hops.is_empty()
                && verdict.starts_with("tpctl: answered by ")
                && verdict.contains(" to a1 on hv1, "),
            "{arguments}: {verdict}"
        );
    }
    same.push("f1 --to 255.255.255.255 --udp 67".to_owned());
    let (code, _, verdict) = bed.trace("f1 --to 255.255.255.255 --udp 67")?;
    ensure!(
        code == 0
            && verdict.contains("delivered to 2 ports")
            && verdict.contains("f2 on hv2")
            && verdict.contains("f3 on hv3"),
        "{verdict}"
    );

    // A simulation says the same of all of them, hop for hop, and gives the same reason.
    for arguments in &same {
        let real = bed.trace(arguments)?;
        let simulated = bed.trace(&format!("{arguments} --simulate"))?;
        ensure!(real.0 == simulated.0, "{arguments}\n{real:#?}\n{simulated:#?}");
        let (mut a, mut b) = (real.1.clone(), simulated.1.clone());
        if arguments.starts_with("f1") {
            a.sort(); // members of a group have no order
            b.sort();
        }
        ensure!(a == b, "{arguments}\nreal {a:#?}\nsimulated {b:#?}");
        if real.0 == 1 {
            ensure!(
                real.2.replace("tpctl: ", "tpctl: simulated: ") == simulated.2,
                "{} is not {}",
                real.2,
                simulated.2
            );
        }
    }
    // Of a long packet only the beginning is reported; the reason is right all the same, and it arrives whole.
    let echo = bed.trace("-o json a1 --to 10.8.8.8 --dst-mac f2:01:0a:01:00:fe")?;
    let packet = serde_json::from_str::<Value>(&echo.1.join(""))?;
    let packet = packet["packet"].as_str().context("no packet")?;
    let (header, rest) = (&packet[..68], "5a".repeat(1400));
    // 20 and 1400 bytes long; the checksum is wrong by now, which only a host at the end would mind.
    let long = format!("{}{}{}{rest}", &header[..32], "058c", &header[36..]);
    let (code, hops, verdict) = bed.trace(&format!("a1 --hex {long}"))?;
    ensure!(code == 1 && hops.len() == ENTER.len() && verdict.contains("no route to 10.8.8.8"), "{verdict}");

    // All pairs: within and between A and B each reaches each, in both families; F hangs on nothing.
    let output = bed.lab.tpctl_output(&["trace", "--all-pairs", "A", "B"])?;
    let (code, out, err) = read(&output)?;
    ensure!((code, &out[..]) == (0, &["24 of 24 packets arrived".to_owned()]), "{out:#?} {err}");
    ensure!(err == "tpctl: note: left out, since no chassis has them: A/off", "{err}");
    let (code, out, err) = read(&bed.lab.tpctl_output(&["trace", "--all-pairs", "A", "B", "F"])?)?;
    ensure!(
        code == 1 && out.len() == 31 && out.last().is_some_and(|last| last == "30 of 60 packets arrived"),
        "{out:#?} {err}"
    );
    let lost = "B/b1 -> F/f1 (10.6.0.1 by R1): dropped at R1 on hv1: no route to 10.6.0.1; R1 tells the sender";
    ensure!(out.iter().any(|line| line == lost), "{out:#?}");
    bed.is_clean()
}

#[test]
fn a_hundred_traces_at_once_do_not_mix_and_packets_arrive_unchanged() -> Result<()> {
    let bed = Bed::new("traces")?;
    let (a1, b2) = (bed.vm("a1")?, bed.vm("b2")?);
    let seen = b2.capture()?;
    // Each has a port of its own in the packet, by which it can be told from all others.
    let begun = Instant::now();
    let traced: Vec<Result<(u16, Value)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100_u16)
            .map(|n| {
                let bed = &bed;
                scope.spawn(move || {
                    let port = 2000 + n;
                    let (from, to) = [("a1", "10.2.0.2"), ("a1", "10.1.0.2"), ("a2", "10.2.0.1"), ("b2", "10.1.0.1")]
                        [usize::from(n % 4)];
                    let arguments = format!("-o json trace {from} --to {to} --udp {port} --timeout 20");
                    let output = bed.lab.tpctl_output(&arguments.split_whitespace().collect::<Vec<_>>())?;
                    let text = String::from_utf8(output.stdout)?;
                    let data = serde_json::from_str(&text)
                        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
                    Ok((n, data))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    println!("100 traces at once took {:?}", begun.elapsed());
    let single: Vec<Value> = ["a1 --to 10.2.0.2", "a1 --to 10.1.0.2", "a2 --to 10.2.0.1", "b2 --to 10.1.0.1"]
        .iter()
        .map(|arguments| {
            let arguments = format!("-o json trace {arguments} --udp 1999");
            Ok(serde_json::from_str(&bed.lab.tpctl(&arguments.split_whitespace().collect::<Vec<_>>())?)?)
        })
        .collect::<Result<_>>()?;
    let places = |data: &Value| -> Vec<String> {
        let hops = data["hops"].as_array().cloned().unwrap_or_default();
        hops.iter()
            .map(|hop| format!("{} {} {} {} {}", hop["pipeline"], hop["from"], hop["to"], hop["stage"], hop["chassis"]))
            .collect()
    };
    let mut frames = Vec::new();
    for one in traced {
        let (n, data) = one?;
        let expected = &single[usize::from(n % 4)];
        ensure!(places(&data) == places(expected), "{n}: {data:#}\nexpected {expected:#}");
        ensure!(data["outcomes"] == expected["outcomes"], "{n}: {}", data["outcomes"]);
        let times: Vec<f64> =
            data["hops"].as_array().into_iter().flatten().filter_map(|hop| hop["at_us"].as_f64()).collect();
        ensure!(times.is_sorted() && times.first() == Some(&0.0), "{n}: {times:?}");
        if n % 4 == 0 {
            frames.push(data["packet"].as_str().unwrap_or_default().to_owned());
        }
    }
    // The frame that arrives is the one that was sent, but for what a router changes: both MACs, TTL, its checksum.
    for sent in frames {
        let sent: Vec<u8> =
            (0..sent.len() / 2).map(|i| u8::from_str_radix(&sent[2 * i..2 * i + 2], 16)).collect::<Result<_, _>>()?;
        let arrived = seen.wait_for("a traced packet", PATIENCE, |frame| {
            frame.get(34..) == sent.get(34..) && frame.get(26..34) == sent.get(26..34)
        })?;
        let mut expected = sent.clone();
        expected[0..6].copy_from_slice(&mac(b2.mac()));
        expected[6..12].copy_from_slice(&mac("f2:01:0a:02:00:fe"));
        expected[22] -= 1;
        // One less in the TTL's byte is 0x0100 more in the complement of the sum (RFC 1624).
        let sum = u32::from(u16::from_be_bytes([expected[24], expected[25]])) + 0x0100;
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16))?;
        expected[24..26].copy_from_slice(&sum.to_be_bytes());
        ensure!(arrived == expected, "sent    {sent:02x?}\narrived {arrived:02x?}");
    }
    // Within a switch nothing changes at all, and no tag or option of ours is left in it.
    let seen = bed.vm("a2")?.capture()?;
    let frame: String = [mac(bed.vm("a2")?.mac()).as_slice(), &mac(a1.mac()), &[0x88, 0xb5], &[0x5a; 50]]
        .concat()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let (code, hops, verdict) = bed.trace(&format!("a1 --hex {frame}"))?;
    ensure!(code == 0 && hops.len() == 3, "{verdict}");
    let arrived = seen.wait_for("the frame", PATIENCE, |frame| frame.get(12..14) == Some(&[0x88, 0xb5]))?;
    ensure!(arrived.iter().map(|b| format!("{b:02x}")).collect::<String>() == frame, "{arrived:02x?}");
    bed.is_clean()
}

#[test]
fn who_was_last_heard_of_is_said_when_a_host_or_an_agent_is_gone() -> Result<()> {
    let bed = Bed::new("trace-dead")?;
    // The agent of the destination's host is killed: the packet arrives, and nobody tells.
    let Some(agent) = bed.agents.get(1) else { bail!("no second agent") };
    agent.process().kill9()?;
    bed.lab.wait_until("its heartbeat to be gone", PATIENCE, || {
        let keys = bed.raw_keys()?;
        ensure!(!keys.iter().any(|key| key.ends_with("status/hv2/alive")), "hv2 has a heartbeat");
        Ok(())
    })?;
    let begun = Instant::now();
    let (code, hops, verdict) = bed.trace("a1 --to 10.1.0.2 --timeout 3")?;
    ensure!(code == 1 && hops == SAME[..2].iter().map(|text| line(text)).collect::<Vec<_>>(), "{hops:?}");
    ensure!(
        verdict.starts_with("tpctl: lost, last heard of hv1, which sent it to hv2: the agent on hv2 is not alive"),
        "{verdict}"
    );
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let (code, hops, verdict) = bed.trace("a2 --to 10.1.0.1")?;
    ensure!(
        code == 1 && hops.is_empty() && verdict.contains("the agent on hv2, which has port a2, is not alive"),
        "{verdict}"
    );

    // Stopped, not dead: alive for a while by its heartbeat.
    let Some(agent) = bed.agents.first() else { bail!("no first agent") };
    agent.process().signal(Signal::SIGSTOP)?;
    let (code, hops, verdict) = bed.trace("a1 --to 10.2.0.1 --timeout 3")?;
    agent.process().signal(Signal::SIGCONT)?;
    ensure!(
        code == 1 && hops.is_empty() && verdict.contains("no host was heard of: hv1 did not answer within 3 s"),
        "{verdict}"
    );
    bed.lab.wait_until("hv1 to answer again", PATIENCE, || {
        let (code, _, verdict) = bed.trace("a1 --to 10.2.0.1")?;
        ensure!(code == 0, "{verdict}");
        Ok(())
    })?;

    // The underlay does not pass the packet.
    let Some(hv3) = bed.hosts.get(2) else { bail!("no third host") };
    hv3.netns()?.ip("link set eth-under down\n")?;
    let (code, _, verdict) = bed.trace("f1 --to 10.6.0.3 --timeout 3")?;
    ensure!(
        code == 1 && verdict.contains("lost, last heard of hv1, which sent it to hv3: hv3 reported nothing within 3 s"),
        "{verdict}"
    );

    // Other software's flow takes it in the hook: the network in the store does not know that.
    let Some(hv1) = bed.hosts.first() else { bail!("no host") };
    hv1.add_flows("br-int", "table=201,priority=100,udp,tp_dst=7 actions=drop")?;
    let (code, hops, verdict) = bed.trace("a1 --to 10.2.0.1 --udp 7")?;
    ensure!(code == 1 && hops == [line(LOCAL[0])], "{hops:?}");
    let expected = "tpctl: dropped at A on hv1: by the network in the store it should have passed LSP_TRACE_INGRESS_OUT of A next, so the flows of hv1 are not what \
                    they should be, or other software's flows in table 201 took it";
    ensure!(verdict.starts_with(expected), "{verdict}");
    ensure!(bed.trace("a1 --to 10.2.0.1 --udp 8")?.0 == 0);
    bed.is_clean()
}

#[test]
fn where_a_tunnel_carries_no_colour_it_is_said() -> Result<()> {
    let lab = Lab::new("trace-vxlan")?;
    lab.store()?;
    let hosts = lab.hosts(&["hv1", "hv2"])?;
    let _agents = hosts
        .iter()
        .map(|host| host.agent(&AgentSpec::new().arguments(&["--encap-type", "vxlan"])))
        .collect::<Result<Vec<_>>>()?;
    apply(&lab, "switches: {A: {ports: {a1: 10.1.0.1, a2: 10.1.0.2}}}")?;
    let (a1, _a2) = (hosts[0].vm(&spec("a1", 1, 1))?, hosts[1].vm(&spec("a2", 1, 2))?);
    a1.wait_ping("10.1.0.2", PATIENCE)?;
    let (code, hops, verdict) = read(&lab.tpctl_output(&["trace", "a1", "--to", "10.1.0.2", "--timeout", "3"])?)?;
    ensure!(code == 1 && hops == SAME[..2].iter().map(|text| line(text)).collect::<Vec<_>>(), "{hops:?}");
    let expected = "tpctl: lost, last heard of hv1, which sent it to hv2: the tunnel from hv1 to hv2 is not Geneve";
    ensure!(verdict.starts_with(expected), "{verdict}");
    let (code, _, verdict) = read(&lab.tpctl_output(&["trace", "a1", "--to", "10.1.0.2", "--simulate"])?)?;
    ensure!(code == 0 && verdict.contains("delivered to a2 on hv2"), "{verdict}");
    Ok(())
}
