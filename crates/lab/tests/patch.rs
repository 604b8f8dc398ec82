//! Provider networks: two hosts with a cable to a physical switch, and one without. Machines outside and guests inside reach each other in both directions
//! and both families; every frame arrives once; each MAC shows up at one port of the physical switch; what is deleted by hand comes back.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::Duration;
use tuplenet_lab::{Agent, Capture, Host, Lab, Physical, Vm, program};

/// F goes out untagged, V in VLAN 100.
const NETWORK: &str = "
switches:
  F: {ports: {f1: '10.21.0.1, fd00:15::1', f2: '10.21.0.2, fd00:15::2', f3: '10.21.0.3, fd00:15::3'}}
  V: {flood: true, ports: {v1: '10.22.0.1, fd00:16::1', v2: '10.22.0.2, fd00:16::2', v3: '10.22.0.3, fd00:16::3'}}
";
const VLAN: u16 = 100;

struct Bed {
    lab: Lab,
    physical: Physical,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    /// Guests of F and of V, on hv1, hv2 and hv3.
    flat: Vec<Vm>,
    tagged: Vec<Vm>,
    /// Machines outside.
    out_flat: Vm,
    out_tagged: Vm,
}

fn bed(name: &str) -> Result<Bed> {
    let lab = Lab::new(name)?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 3)?;
    let physical = lab.physical("phys")?;
    apply(&lab, NETWORK)?;
    physical.cable(&hosts[0], "br-ex")?;
    for chassis in ["hv1", "hv2"] {
        lab.tpctl(&["patchport", "add", "F", &format!("f-{chassis}"), chassis, "br-ex"])?;
        lab.tpctl(&["patchport", "add", "V", &format!("v-{chassis}"), chassis, "br-ex", "--vlan", "100"])?;
    }
    let guests = |prefix: &str, net: u8| -> Result<Vec<Vm>> {
        let all = hosts.iter().zip(1..);
        all.map(|(host, number)| host.vm(&spec(&format!("{prefix}{number}"), net, number))).collect()
    };
    let (flat, tagged) = (guests("f", 21)?, guests("v", 22)?);
    let out_flat = physical.machine(&spec("out-f", 21, 100), None)?;
    let out_tagged = physical.machine(&spec("out-v", 22, 100), Some(VLAN))?;
    // The second host's bridge comes last: its patch ports wait for it, and say so once each.
    lab.wait_until("hv2 to miss its bridge", PATIENCE, || {
        let log = agents[1].log_text();
        for port in ["F/f-hv2", "V/v-hv2"] {
            let said = log.matches(&format!("patch port {port}: this host has no bridge br-ex")).count();
            ensure!(said == 1, "{port}: said {said} times");
        }
        Ok(())
    })?;
    physical.cable(&hosts[1], "br-ex")?;
    Ok(Bed { lab, physical, hosts, agents, flat, tagged, out_flat, out_tagged })
}

/// Both ways, both families, and each answer comes once.
fn meet(one: &Vm, other: &Vm) -> Result<()> {
    reaches(one, other, 64)?;
    reaches(other, one, 64)
}

/// A frame with a payload of its own.
fn frame(to: &str, from: &str, mark: &str) -> Result<Vec<u8>> {
    let mac = |text: &str| -> Result<Vec<u8>> {
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).context("no MAC")).collect()
    };
    // An ethertype for experiments (IEEE 802, 88b5).
    let mut frame = [mac(to)?, mac(from)?, vec![0x88, 0xb5]].concat();
    frame.extend(mark.bytes());
    frame.resize(60, 0);
    Ok(frame)
}

fn count(capture: &Capture, mark: &str) -> usize {
    capture.frames().iter().filter(|frame| frame.windows(mark.len()).any(|part| part == mark.as_bytes())).count()
}

const ALL: &str = "ff:ff:ff:ff:ff:ff";
const UNKNOWN: &str = "02:ee:ee:ee:ee:ee";

#[test]
fn guests_and_machines_outside_meet_and_every_frame_arrives_once() -> Result<()> {
    let bed = bed("patch")?;
    for guest in &bed.flat {
        meet(guest, &bed.out_flat)?;
    }
    for guest in &bed.tagged {
        meet(guest, &bed.out_tagged)?;
    }
    meet(&bed.flat[0], &bed.flat[1])?;
    meet(&bed.flat[1], &bed.flat[2])?;
    meet(&bed.tagged[2], &bed.tagged[0])?;

    // hv3 has no cable: hv1, the first by name, speaks for its guests.
    for (number, speaks) in [(0, 0), (1, 1), (2, 0)] {
        let port = Physical::port(&bed.hosts[speaks]);
        for guest in [&bed.flat[number], &bed.tagged[number]] {
            let learned = bed.physical.learned(guest.mac())?;
            ensure!(learned.as_deref() == Some(&*port), "{} was learned at {learned:?}, not at {port}", guest.name());
        }
    }

    // Numbered frames: a broadcast and one for a MAC that nobody has, from each side, counted at all others.
    let everybody: Vec<&Vm> = bed.flat.iter().chain(&bed.tagged).chain([&bed.out_flat, &bed.out_tagged]).collect();
    let captures = everybody.iter().map(|vm| vm.capture()).collect::<Result<Vec<_>>>()?;
    let check = |sender: &Vm, to: &str, mark: &str, wanted: &[&str]| -> Result<()> {
        sender.inject(&frame(to, sender.mac(), mark)?)?;
        for (vm, capture) in everybody.iter().zip(&captures).filter(|(vm, _)| wanted.contains(&vm.name())) {
            capture.wait_for(&format!("{mark} at {}", vm.name()), PATIENCE, |frame| {
                frame.windows(mark.len()).any(|part| part == mark.as_bytes())
            })?;
        }
        // A second copy comes by a longer way, but not by one that takes this long.
        std::thread::sleep(Duration::from_millis(300));
        for (vm, capture) in everybody.iter().zip(&captures).filter(|(vm, _)| vm.name() != sender.name()) {
            let (found, expected) = (count(capture, mark), usize::from(wanted.contains(&vm.name())));
            ensure!(
                found == expected,
                "{mark} from {} came {found} times at {}, not {expected}",
                sender.name(),
                vm.name()
            );
        }
        Ok(())
    };
    for (number, guest) in bed.flat.iter().enumerate() {
        // F does not flood: a broadcast is for the outside only.
        check(guest, ALL, &format!("flat-broadcast-{number}"), &["out-f"])?;
        check(guest, UNKNOWN, &format!("flat-unknown-{number}"), &["out-f"])?;
    }
    for (number, guest) in bed.tagged.iter().enumerate() {
        let others: Vec<&str> = ["v1", "v2", "v3"].into_iter().filter(|name| *name != guest.name()).collect();
        check(guest, ALL, &format!("tagged-broadcast-{number}"), &[&others[..], &["out-v"]].concat())?;
        check(guest, UNKNOWN, &format!("tagged-unknown-{number}"), &["out-v"])?;
    }
    check(&bed.out_flat, ALL, "from-outside-flat", &[])?;
    check(&bed.out_tagged, ALL, "from-outside-tagged", &["v1", "v2", "v3"])?;
    check(&bed.out_tagged, UNKNOWN, "from-outside-unknown", &[])?;
    // Before the physical switch knows where a guest is, it sends to both hosts: one delivers.
    for (number, guest) in bed.flat.iter().enumerate() {
        bed.physical.forget()?;
        check(&bed.out_flat, guest.mac(), &format!("flat-flooded-{number}"), &[guest.name()])?;
    }
    for (number, guest) in bed.tagged.iter().enumerate() {
        bed.physical.forget()?;
        check(&bed.out_tagged, guest.mac(), &format!("tagged-flooded-{number}"), &[guest.name()])?;
    }
    // A question from outside has one answer.
    for guest in &bed.flat {
        bed.physical.forget()?;
        captures[6].take();
        bed.out_flat.run(&["ip", "neigh", "flush", "dev", "eth0"])?;
        bed.out_flat.must_ping(&guest.ipv4()?)?;
        let is_answer = |frame: &[u8]| frame.get(12..14) == Some(&[8, 6]) && frame.get(21) == Some(&2);
        // What a capture reads may lag behind what the machine has got.
        captures[6].wait_for("the answer to who has that address", PATIENCE, is_answer)?;
        let replies = captures[6].frames().iter().filter(|frame| is_answer(frame)).count();
        ensure!(replies == 1, "{replies} answers to who has the address of {}", guest.name());
    }
    // A trace ends where the packet leaves.
    let trace =
        bed.lab.tpctl(&["-o", "text", "trace", "f3", "--to", "10.21.0.100", "--dst-mac", bed.out_flat.mac()])?;
    ensure!(trace.contains("f-hv1"), "the trace does not tell of the patch port:\n{trace}");
    Ok(())
}

fn names(host: &Host, bridge: &str) -> Result<Vec<String>> {
    Ok(host.vsctl(&["list-ports", bridge])?.split_whitespace().map(str::to_owned).collect())
}

fn ours(host: &Host, bridge: &str) -> Result<Vec<String>> {
    Ok(names(host, bridge)?.into_iter().filter(|name| name.starts_with("tp")).collect())
}

#[test]
fn what_is_deleted_by_hand_comes_back_and_what_is_not_wanted_goes() -> Result<()> {
    let bed = bed("patch-mend")?;
    let (hv1, guest, out) = (&bed.hosts[0], &bed.flat[0], &bed.out_flat);
    meet(guest, out)?;
    meet(&bed.tagged[0], &bed.out_tagged)?;
    let (inner, outer) = (ours(hv1, "br-int")?, ours(hv1, "br-ex")?);
    ensure!(inner.len() == 2 && outer.len() == 2, "{inner:?} {outer:?}");
    ensure!(inner.iter().chain(&outer).all(|name| name.len() <= 15), "{inner:?} {outer:?}");
    let flows = flow_set(hv1)?;
    let whole = |what: &str| -> Result<()> {
        bed.lab.wait_until(what, PATIENCE, || {
            let now = (ours(hv1, "br-int")?, ours(hv1, "br-ex")?);
            ensure!(now == (inner.clone(), outer.clone()), "{now:?}");
            Ok(())
        })?;
        meet(guest, out)?;
        meet(&bed.tagged[0], &bed.out_tagged)
    };
    for name in &inner {
        hv1.vsctl(&["del-port", "br-int", name])?;
    }
    whole("the ends on br-int")?;
    for name in &outer {
        hv1.vsctl(&["del-port", "br-ex", name])?;
    }
    whole("the ends on br-ex")?;
    hv1.vsctl(&["set", "Interface", &inner[0], "options:peer=nobody"])?;
    whole("an end that was altered")?;
    hv1.vsctl(&["del-br", "br-ex"])?;
    bed.lab.wait_until("the bridge to be missed", PATIENCE, || {
        let said = bed.agents[0].log_text().matches("this host has no bridge br-ex").count();
        // Twice at the start or now: each patch port says so once each time.
        ensure!(said == 2, "said {said} times");
        Ok(())
    })?;
    let log = bed.agents[0].log_text();
    ensure!(!log.contains("has no port in the switch"), "said in other words as well:\n{log}");
    guest.must_not_ping(&out.ipv4()?)?;
    bed.physical.bridge(hv1, "br-ex")?;
    whole("the bridge made again")?;
    // As it was: what was mended by hand's undoing got new numbers at most.
    let now = flow_set(hv1)?;
    ensure!(flows.len() == now.len(), "{:#?}", flow_changes(&flows, &now));

    // A restart of the agent changes nothing, and loses nothing.
    let before = flow_set(hv1)?;
    let probe = guest.probe(&out.ipv4()?, Duration::from_millis(10))?;
    bed.agents[0].kill9()?;
    bed.agents[0].start()?;
    bed.agents[0].wait_settled(PATIENCE)?;
    let report = probe.stop()?;
    ensure!(report.lost.is_empty() && report.duplicates == 0, "{report}");
    ensure!(flow_changes(&before, &flow_set(hv1)?).is_empty());

    // Another VLAN, another bridge, no patch port: the pair follows.
    bed.lab.tpctl(&["-y", "patchport", "del", "V", "v-hv1"])?;
    bed.lab.wait_until("the pair to go", PATIENCE, || {
        let now = (ours(hv1, "br-int")?.len(), ours(hv1, "br-ex")?.len());
        ensure!(now == (1, 1), "{now:?}");
        Ok(())
    })?;
    // hv2 speaks for v1 now.
    meet(&bed.tagged[0], &bed.out_tagged)?;
    bed.lab.wait_until("v1 to be learned at hv2's port", PATIENCE, || {
        // What the switch counted of frames before the change it may learn from after it.
        bed.physical.forget()?;
        bed.tagged[0].must_ping(&bed.out_tagged.ipv4()?)?;
        let learned = bed.physical.learned(bed.tagged[0].mac())?;
        ensure!(learned == Some(Physical::port(&bed.hosts[1])), "learned at {learned:?}");
        Ok(())
    })?;
    bed.lab.tpctl(&["patchport", "add", "V", "v-hv1", "hv1", "br-ex", "--vlan", "100"])?;
    bed.lab.wait_until("the pair to come", PATIENCE, || {
        let now = (ours(hv1, "br-int")?.len(), ours(hv1, "br-ex")?.len());
        ensure!(now == (2, 2), "{now:?}");
        Ok(())
    })?;
    meet(&bed.tagged[0], &bed.out_tagged)?;

    // Cleaned up: the other bridge is left as it was before us.
    bed.agents[0].term()?;
    let tuplenet = program("tuplenet")?.to_string_lossy().into_owned();
    let (ovsdb, of) = (hv1.ovsdb_socket(), hv1.of_socket());
    let (ovsdb, of) = (format!("unix:{}", ovsdb.display()), format!("unix:{}", of.display()));
    let (store, ip) = (bed.lab.endpoints()?, hv1.encap_ip().to_string());
    hv1.netns()?.run(&[
        &tuplenet,
        "agent",
        "--cleanup",
        "--store",
        &store,
        "--encap-ip",
        &ip,
        "--ovsdb",
        &ovsdb,
        "--of",
        &of,
    ])?;
    ensure!(ours(hv1, "br-ex")?.is_empty() && names(hv1, "br-ex")? == ["eth-ext"]);
    Ok(())
}
