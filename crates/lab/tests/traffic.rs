//! Real packets between guests: one switch, a router, a chain of routers, a guest that routes; same host and across hosts; both families.

mod network;

use anyhow::{Result, ensure};
use network::*;
use tuplenet_lab::{Lab, PingSpec, VmSpec};

/// A and B hang on R1, C on R3, with two joining switches between; X hangs on nothing.
const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2', a3: '10.1.0.3, fd00:1::3'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1', b2: '10.2.0.2, fd00:2::2'}}
  C: {ports: {c1: '10.3.0.1, fd00:3::1', c2: '10.3.0.2, fd00:3::2'}}
  X: {ports: {x1: '10.9.0.1, fd00:9::1', x2: '10.9.0.2, fd00:9::2'}}
  J1: {}
  J2: {}
routers:
  R1:
    links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64', J1: '100.64.1.1/24, fd64:1::1/64'}
    routes:
      c4: {prefix: 10.3.0.0/24, next_hop: 100.64.1.2}
      c6: {prefix: 'fd00:3::/64', next_hop: 'fd64:1::2'}
      behind-b2: {prefix: 192.0.2.0/28, next_hop: 10.2.0.2}
      behind-b2-v6: {prefix: '2001:db8:b2::/64', next_hop: 'fd00:2::2'}
  R2:
    links: {J1: '100.64.1.2/24, fd64:1::2/64', J2: '100.64.2.1/24, fd64:2::1/64'}
    routes:
      c4: {prefix: 10.3.0.0/24, next_hop: 100.64.2.2}
      c6: {prefix: 'fd00:3::/64', next_hop: 'fd64:2::2'}
      back4: {prefix: 10.0.0.0/8, next_hop: 100.64.1.1}
      back6: {prefix: 'fd00::/16', next_hop: 'fd64:1::1'}
  R3:
    links: {C: '10.3.0.254/24, fd00:3::fe/64', J2: '100.64.2.2/24, fd64:2::2/64'}
    routes:
      all4: {prefix: 0.0.0.0/0, next_hop: 100.64.2.1}
      all6: {prefix: '::/0', next_hop: 'fd64:2::1'}
";
const MB: u64 = 1_000_000;

#[test]
fn guests_reach_whom_the_network_says() -> Result<()> {
    let lab = Lab::new("traffic")?;
    lab.store()?;
    let (hosts, _agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let (a1, a3, b1, c1) = (
        hv1.vm(&spec("a1", 1, 1))?,
        hv1.vm(&spec("a3", 1, 3))?,
        hv1.vm(&spec("b1", 2, 1))?,
        hv1.vm(&spec("c1", 3, 1))?,
    );
    let (a2, b2, c2) = (hv2.vm(&spec("a2", 1, 2))?, hv2.vm(&spec("b2", 2, 2))?, hv2.vm(&spec("c2", 3, 2))?);
    let (x1, x2) = (hv1.vm(&spec("x1", 9, 1))?, hv2.vm(&spec("x2", 9, 2))?);

    // Same switch, one router, three routers; each on the same host and across hosts.
    let paths = [
        (&a1, &a3, 64),
        (&a1, &a2, 64),
        (&a1, &b1, 63),
        (&a1, &b2, 63),
        (&a2, &b1, 63),
        (&a1, &c1, 61),
        (&a1, &c2, 61),
    ];
    for (from, to, ttl) in paths {
        reaches(from, to, ttl)?;
        reaches(to, from, ttl)?;
    }
    reaches(&x1, &x2, 64)?;

    // Router addresses: the near one, the far ones of the same router, and those down the chain, where each router takes one.
    for (address, ttl) in [
        ("10.1.0.254", 254),
        ("fd00:1::fe", 254),
        ("10.2.0.254", 254),
        ("fd00:2::fe", 254),
        ("100.64.1.1", 254),
        ("fd64:1::1", 254),
        ("10.3.0.254", 252),
        ("fd00:3::fe", 252),
    ] {
        let report = a1.must_ping(address)?;
        ensure!(report.ttls.iter().all(|t| *t == ttl), "{address}: {report:?}, not TTL {ttl}");
    }
    for (vm, address) in [(&b1, "10.2.0.254"), (&b1, "fd00:2::fe"), (&c2, "10.3.0.254"), (&c2, "fd00:3::fe")] {
        let report = vm.must_ping(address)?;
        ensure!(report.ttls.iter().all(|t| *t == 254), "{address}: {report:?}");
    }

    // A guest that routes: an address behind b2, reached through R1 and b2.
    b2.run(&["ip", "address", "add", "192.0.2.1/32", "dev", "lo"])?;
    b2.run(&["ip", "address", "add", "2001:db8:b2::1/128", "dev", "lo"])?;
    a1.must_ping("192.0.2.1")?;
    a1.must_ping("2001:db8:b2::1")?;
    c2.must_not_ping("192.0.2.1")?; // R2 has no route there

    // TTL 1 ends at the first router, TTL 2 at the second.
    let seen = b2.capture()?;
    let spent = a1.ping(&b2.ipv4()?, &PingSpec::ttl(1))?;
    let spent6 = a1.ping(&b2.ipv6()?, &PingSpec::ttl(1))?;
    ensure!(spent.received == 0 && spent6.received == 0, "TTL 1 crossed a router: {spent:?} {spent6:?}");
    let (crossed, crossed6) = (a1.ping(&b2.ipv4()?, &PingSpec::ttl(2))?, a1.ping(&b2.ipv6()?, &PingSpec::ttl(2))?);
    ensure!(crossed.all() && crossed6.all(), "TTL 2 is enough for one router: {crossed:?} {crossed6:?}");
    // One of each, or more where the answer was slow.
    let sent = (crossed.transmitted as usize, crossed6.transmitted as usize);
    // What a capture reads may lag behind what the guest has answered.
    let requests = || (echo_requests(&seen.frames(), false), echo_requests(&seen.frames(), true));
    lab.wait_until("the capture to show both requests", PATIENCE, || {
        ensure!(requests().0 >= sent.0 && requests().1 >= sent.1, "{:?} of {sent:?}", requests());
        Ok(())
    })?;
    ensure!(requests() == sent, "b2 saw {:?} requests, not only the {sent:?} that had a TTL of 2", requests());
    ensure!(a1.ping(&c2.ipv4()?, &PingSpec::ttl(3))?.received == 0 && a1.ping(&c2.ipv4()?, &PingSpec::ttl(4))?.all());

    // No router joins X: neither by address nor by a frame that names its MAC.
    let seen = x1.capture()?;
    a1.must_not_ping(&x1.ipv4()?)?;
    a1.must_not_ping(&x1.ipv6()?)?;
    a1.inject(&frame(x1.mac(), a1.mac()))?;
    a3.inject(&frame("ff:ff:ff:ff:ff:ff", a3.mac()))?;
    a1.must_ping(&a3.ipv4()?)?; // sent after the frames, so these have been dealt with
    let strays = seen.frames().into_iter().filter(|f| f.get(6..12) != Some(&mac(x1.mac())[..])).count();
    ensure!(strays == 0, "{strays} frames of another switch reached x1");

    // 100 MB of TCP each way of going, and 20 MB by IPv6.
    for (from, to) in [(&a1, &a3), (&a1, &a2), (&a1, &b1), (&a1, &b2), (&c2, &a1), (&c1, &a1)] {
        let v4 = from.send_tcp(to, &to.ipv4()?, 100 * MB)?;
        let v6 = from.send_tcp(to, &to.ipv6()?, 20 * MB)?;
        println!(
            "{} -> {}: 100 MB at {:.0} Mbit/s by IPv4; 20 MB at {:.0} by IPv6",
            from.name(),
            to.name(),
            v4.rate(),
            v6.rate()
        );
    }
    Ok(())
}

#[test]
fn a_flooding_switch_copies_broadcast_once_to_each_port() -> Result<()> {
    let lab = Lab::new("flood")?;
    lab.store()?;
    let (hosts, _agents) = hosts(&lab, 2)?;
    apply(
        &lab,
        "switches: {F: {flood: true, ports: {f1: 10.5.0.1, f2: 10.5.0.2, f3: 10.5.0.3, f4: 10.5.0.4}}, Q: {ports: {q1: 10.5.0.1, q2: 10.5.0.2}}}",
    )?;
    let guest = |host: usize, name: &str, number: u8| {
        hosts[host].vm(&VmSpec::new(name).address(&format!("10.5.0.{number}/24")))
    };
    let (f1, f2, f3, f4) = (guest(0, "f1", 1)?, guest(0, "f2", 2)?, guest(1, "f3", 3)?, guest(1, "f4", 4)?);
    let (q1, q2) = (guest(0, "q1", 1)?, guest(1, "q2", 2)?);
    for to in [&f2, &f3, &f4] {
        f1.wait_ping(&to.ipv4()?, PATIENCE)?;
    }
    q1.wait_ping(&q2.ipv4()?, PATIENCE)?;

    let watched = [&f1, &f2, &f3, &f4, &q2];
    let captures = watched.iter().map(|vm| vm.capture()).collect::<Result<Vec<_>>>()?;
    f1.inject(&frame("ff:ff:ff:ff:ff:ff", f1.mac()))?;
    q1.inject(&frame("ff:ff:ff:ff:ff:ff", q1.mac()))?;
    for to in [&f2, &f3, &f4] {
        f1.must_ping(&to.ipv4()?)?; // after the broadcast, so it has been dealt with
    }
    let copies = || -> Vec<usize> {
        captures.iter().map(|c| c.frames().iter().filter(|f| f.get(..6) == Some(&[0xff; 6])).count()).collect()
    };
    lab.wait_until("the captures to show the broadcast", PATIENCE, || {
        ensure!(copies()[1..4].iter().all(|n| *n > 0), "{:?}", copies());
        Ok(())
    })?;
    let copies = copies();
    // It does not come back to f1, nobody gets it twice, and Q does not flood.
    ensure!(copies == [0, 1, 1, 1, 0], "copies at f1, f2, f3, f4, q2: {copies:?}");
    Ok(())
}

fn mac(text: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (byte, part) in bytes.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(part, 16).expect("a MAC of the lab");
    }
    bytes
}

/// A frame of an experimental EtherType (IEEE 802, 0x88b5), so that nothing answers it.
fn frame(to: &str, from: &str) -> Vec<u8> {
    let mut frame = Vec::from(mac(to));
    frame.extend(mac(from));
    frame.extend([0x88, 0xb5]);
    frame.resize(64, 0x5a);
    frame
}

/// Echo requests among frames without VLAN tags or IP options.
fn echo_requests(frames: &[Vec<u8>], v6: bool) -> usize {
    let is = |f: &&Vec<u8>| match v6 {
        false => f.get(12..14) == Some(&[0x08, 0x00]) && f.get(23) == Some(&1) && f.get(34) == Some(&8),
        true => f.get(12..14) == Some(&[0x86, 0xdd]) && f.get(20) == Some(&58) && f.get(54) == Some(&128),
    };
    frames.iter().filter(is).count()
}
