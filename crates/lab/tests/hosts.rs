//! Two hosts with flows written by hand: what the lab gives, without an agent.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tuplenet_lab::{Host, Lab, PingSpec, Vm, VmSpec};

/// Our Geneve option: flows match it, so a packet without it is dropped.
const TLV: &str = "{class=0xffee,type=0x80,len=8}->tun_metadata0";

/// Joins one guest to the one of another host: VNI 7, and the ports' ids in the option.
fn cable(host: &Host, vm: &Vm, ids: (u16, u16), remote: &Host) -> Result<()> {
    host.vsctl(&[
        "add-port",
        "br-int",
        "gnv",
        "--",
        "set",
        "Interface",
        "gnv",
        "type=geneve",
        "options:remote_ip=flow",
        "options:key=flow",
    ])?;
    host.ofctl(&["add-tlv-map", "br-int", TLV])?;
    let (port, tunnel) = (vm.ofport()?, host.ofport("gnv")?);
    let option = |from: u16, to: u16| format!("0x{from:04x}{to:04x}00000000");
    let flows = format!(
        "in_port={port},actions=set_field:7->tun_id,set_field:{sent}->tun_metadata0,set_field:{remote}->tun_dst,output:{tunnel}\n\
         in_port={tunnel},tun_id=7,tun_metadata0={received},actions=output:{port}\n",
        sent = option(ids.0, ids.1),
        received = option(ids.1, ids.0),
        remote = remote.encap_ip(),
    );
    host.add_flows("br-int", &flows)
}

/// A lab with a guest on each of two hosts, joined by a Geneve tunnel.
fn pair(name: &str) -> Result<(Lab, Vm, Vm)> {
    let lab = Lab::new(name)?;
    let hosts = lab.hosts(&["hv1", "hv2"])?;
    let [one, two] = &hosts[..] else { anyhow::bail!("{} hosts instead of two", hosts.len()) };
    let a = one.vm(&VmSpec::new("a").address("10.20.1.1/24").address("fd00:20:1::1/64"))?;
    let b = two.vm(&VmSpec::new("b").address("10.20.1.2/24").address("fd00:20:1::2/64"))?;
    cable(one, &a, (1, 2), two)?;
    cable(two, &b, (2, 1), one)?;
    // What one sent before the other had its flows is remembered as dropped, and a question for a neighbour that ends so is asked again a second later only.
    hosts.iter().try_for_each(Host::wait_cache)?;
    Ok((lab, a, b))
}

#[test]
fn guests_talk_through_a_geneve_tunnel_with_an_option() -> Result<()> {
    let (lab, a, b) = pair("geneve")?;
    for address in [b.ipv4()?, b.ipv6()?] {
        let report = a.must_ping(&address)?;
        assert!(report.ttls.len() >= 3 && report.ttls.iter().all(|ttl| *ttl == 64), "{}", report.text);
        a.send_tcp(&b, &address, 10_000_000)?;
    }
    // A full-sized packet needs no fragment: the underlay has room for the tunnel's headers.
    let full = PingSpec { size: 1472, dont_fragment: true, ..PingSpec::default() };
    let report = a.ping(&b.ipv4()?, &full)?;
    assert!(report.all(), "{}", report.text);

    // The option is what lets it in: another one on the way, and nothing arrives.
    let (port, tunnel) = (a.ofport()?, a.host().ofport("gnv")?);
    let remote = b.host().encap_ip();
    a.host().add_flows(
        "br-int",
        &format!(
            "in_port={port},actions=set_field:7->tun_id,set_field:0x0001000300000000->tun_metadata0,\
             set_field:{remote}->tun_dst,output:{tunnel}"
        ),
    )?;
    a.host().wait_cache()?;
    a.must_not_ping(&b.ipv4()?)?;
    ensure!(lab.state().contains("tun_metadata0"), "a failure would not show the flows:\n{}", lab.state());
    Ok(())
}

#[test]
fn labs_run_side_by_side() -> Result<()> {
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let lab = || -> Result<()> {
            // The same names and addresses in both.
            let (_lab, a, b) = pair("twins")?;
            for _ in 0..3 {
                a.must_ping(&b.ipv4()?)?;
                b.must_ping(&a.ipv6()?)?;
            }
            Ok(())
        };
        let twins = [scope.spawn(lab), scope.spawn(lab)];
        twins.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    results.into_iter().collect()
}

/// Packets of a guest that its host's flow of [`cable`] has counted.
fn sent_by(vm: &Vm) -> Result<u64> {
    let flows = vm.host().ofctl(&["dump-flows", "br-int", &format!("in_port={}", vm.ofport()?)])?;
    let count = flows.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
    count.with_context(|| format!("no count in {flows}"))
}

#[test]
fn a_probe_counts_what_an_outage_loses() -> Result<()> {
    let (lab, a, b) = pair("probe")?;
    let interval = Duration::from_millis(10);
    // A neighbour that is not known yet loses nothing: what is for it waits in the kernel.
    for address in [b.ipv4()?, b.ipv6()?] {
        a.wait_ping(&address, Duration::from_secs(5))?;
    }
    let probes =
        [a.probe(&b.ipv4()?, interval)?, a.probe(&b.ipv6()?, interval)?, a.probe_udp(&b, &b.ipv4()?, interval)?];
    std::thread::sleep(Duration::from_millis(500));
    let now = || probes.each_ref().map(tuplenet_lab::Probe::elapsed);
    let begun = now();
    lab.underlay().ip("link set u2 down\n")?;
    // A switch that stands still loses nothing: what came it sends later. So the cable is out until it has sent enough of each probe into it.
    a.host().wait_cache()?;
    let before = sent_by(&a)?;
    lab.wait_until("packets to be sent into the cut", Duration::from_secs(20), || {
        let sent = sent_by(&a)? - before;
        ensure!(sent >= 100, "{sent} packets");
        Ok(())
    })?;
    lab.underlay().ip("link set u2 up\n")?;
    a.wait_ping(&b.ipv4()?, Duration::from_secs(5))?;
    let over = now();
    std::thread::sleep(Duration::from_millis(500));
    for (probe, (begun, over)) in probes.into_iter().zip(begun.into_iter().zip(over)) {
        let report = probe.stop()?;
        assert!(report.sent > 100, "{report}");
        // All of the outage, and nothing before it (but what was under way) and after it.
        assert!(report.lost.len() >= 10, "{report}");
        let outage = begun.saturating_sub(10 * interval)..=over;
        assert!(report.lost.iter().all(|lost| outage.contains(&lost.at)), "not within {outage:?}: {report}");
        assert_eq!(report.duplicates, 0, "{report}");
    }
    Ok(())
}

#[test]
fn frames_are_injected_and_captured() -> Result<()> {
    let (_lab, a, b) = pair("frames")?;
    let capture = b.capture()?;
    // To a stranger's MAC, with a type that no stack answers (IEEE 802: for experiments).
    let mut frame = [[0x02, 0, 0, 0, 0, 9], [0x02, 0, 0, 0, 0, 8]].concat();
    frame.extend([0x88, 0xb5]);
    frame.extend([0x5a; 50]);
    a.inject(&frame)?;
    let came = capture.wait_for("the injected frame", Duration::from_secs(5), |came| came[12..14] == [0x88, 0xb5])?;
    assert_eq!(came, frame);
    Ok(())
}

#[test]
fn a_restarted_vswitchd_is_wired_again() -> Result<()> {
    let (_lab, a, b) = pair("restart")?;
    a.must_ping(&b.ipv4()?)?;
    let host = a.host();
    let before = host.vswitchd()?.pid();
    host.restart_vswitchd()?;
    assert_ne!(host.vswitchd()?.pid(), before);
    a.must_not_ping(&b.ipv4()?)?; // secure, and the flows are gone
    host.vsctl(&["del-port", "br-int", "gnv"])?;
    cable(host, &a, (1, 2), b.host())?;
    a.wait_ping(&b.ipv4()?, Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn a_dummy_host_has_a_control_plane_and_no_network() -> Result<()> {
    let lab = Lab::new("dummy")?;
    let host = lab.dummy_host("hv1")?;
    host.ensure_br_int()?;
    host.vsctl(&[
        "add-port",
        "br-int",
        "p1",
        "--",
        "set",
        "Interface",
        "p1",
        "type=dummy",
        "external_ids:iface-id=p1",
    ])?;
    host.add_flows("br-int", "in_port=1,actions=IN_PORT")?;
    assert_eq!(host.ofport("p1")?, 1);
    assert!(host.trace("in_port=p1")?.contains("IN_PORT"), "{}", host.trace("in_port=p1")?);
    let error = host.vm(&VmSpec::new("a").address("10.0.0.1/24")).unwrap_err().to_string();
    assert!(error.contains("dummy"), "{error}");
    assert!(host.ofctl(&["add-flow", "br-int", "nonsense"]).is_err());
    Ok(())
}

#[test]
fn etcd_members_fail_over() -> Result<()> {
    let lab = Lab::new("etcd")?;
    let etcd = lab.etcd(3)?;
    etcd.etcdctl(&["put", "a", "1"])?;
    let leader = etcd.leader()?;
    etcd.member(leader)?.kill9()?;
    etcd.wait_healthy()?;
    assert_ne!(etcd.leader()?, leader);
    etcd.start(leader)?;
    lab.wait_until("the old leader to be back", Duration::from_secs(20), || {
        ensure!(etcd.etcdctl(&["endpoint", "health"]).is_ok());
        Ok(())
    })?;
    assert_eq!(etcd.etcdctl(&["get", "a", "--print-value-only"])?.trim(), "1");
    Ok(())
}
