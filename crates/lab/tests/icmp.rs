//! What routers tell senders of packets that they end: the way to a guest three routers away, hop by hop, and what is not reached; both families, and across
//! hosts. And a flood of such packets costs the agent little, and others nothing.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};
use tuplenet_lab::{Lab, PingSpec, Vm};

/// A hangs on R1, C on R3, with R2 between. Of B nobody has an interface.
const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1'}}
  C: {ports: {c1: '10.3.0.1, fd00:3::1'}}
  J1: {}
  J2: {}
routers:
  R1:
    links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64', J1: '100.64.1.1/24, fd64:1::1/64'}
    routes:
      c4: {prefix: 10.3.0.0/24, next_hop: 100.64.1.2}
      c6: {prefix: 'fd00:3::/64', next_hop: 'fd64:1::2'}
  R2:
    links: {J1: '100.64.1.2/24, fd64:1::2/64', J2: '100.64.2.1/24, fd64:2::1/64'}
    routes:
      c4: {prefix: 10.3.0.0/24, next_hop: 100.64.2.2}
      c6: {prefix: 'fd00:3::/64', next_hop: 'fd64:2::2'}
      back4: {prefix: 10.1.0.0/24, next_hop: 100.64.1.1}
      back6: {prefix: 'fd00:1::/64', next_hop: 'fd64:1::1'}
  R3:
    links: {C: '10.3.0.254/24, fd00:3::fe/64', J2: '100.64.2.2/24, fd64:2::2/64'}
    routes:
      all4: {prefix: 0.0.0.0/0, next_hop: 100.64.2.1}
      all6: {prefix: '::/0', next_hop: 'fd64:2::1'}
";

#[test]
fn senders_are_told_why_a_router_ended_their_packets() -> Result<()> {
    let lab = Lab::new("icmp")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let (a1, a2, c1) = (hv1.vm(&spec("a1", 1, 1))?, hv2.vm(&spec("a2", 1, 2))?, hv2.vm(&spec("c1", 3, 1))?);
    reaches(&a1, &c1, 61)?;
    reaches(&a1, &a2, 64)?;

    // Each hop of the way, there and back.
    for (from, to, hops) in [
        (&a1, c1.ipv4()?, ["10.1.0.254", "100.64.1.2", "100.64.2.2"]),
        (&a1, c1.ipv6()?, ["fd00:1::fe", "fd64:1::2", "fd64:2::2"]),
        (&c1, a1.ipv4()?, ["10.3.0.254", "100.64.2.1", "100.64.1.1"]),
        (&c1, a1.ipv6()?, ["fd00:3::fe", "fd64:2::1", "fd64:1::1"]),
    ] {
        for (ttl, hop) in (1..).zip(hops) {
            told(from, &to, &PingSpec::ttl(ttl), hop, "Time to live exceeded", "Time exceeded: Hop limit")?;
        }
        ensure!(from.ping(&to, &PingSpec::ttl(4))?.all());
    }

    // No route at the first router, and at the last but one; an address that nobody has, and one that no host has.
    for (to, hop) in [("10.9.9.9", "10.1.0.254"), ("fd00:9::9", "fd00:1::fe")] {
        told(&a1, to, &PingSpec::count(1), hop, "Destination Net Unreachable", "Destination unreachable: No route")?;
    }
    told(&c1, "192.0.2.1", &PingSpec::count(1), "100.64.2.1", "Destination Net Unreachable", "")?;
    for (to, hop) in [
        ("10.1.0.77", "10.3.0.254"),
        ("10.2.0.1", "10.1.0.254"),
        ("fd00:2::1", "fd00:1::fe"),
        ("10.3.0.77", "100.64.2.2"),
        ("fd00:3::77", "fd64:2::2"),
    ] {
        let (from, hop) = if to == "10.1.0.77" { (&c1, "100.64.1.1") } else { (&a1, hop) };
        told(
            from,
            to,
            &PingSpec::count(1),
            hop,
            "Destination Host Unreachable",
            "Destination unreachable: Address unreachable",
        )?;
    }

    // A router listens to nobody: UDP and TCP are refused at once, near and far.
    for address in ["10.1.0.254", "fd00:1::fe", "100.64.1.1", "10.3.0.254", "fd00:3::fe"] {
        let to = SocketAddr::new(address.parse()?, 7);
        let refused = a1.netns().inside(|| refused_udp(to))?;
        ensure!(refused == std::io::ErrorKind::ConnectionRefused, "UDP to {address}: {refused}");
        let begun = Instant::now();
        let tcp = a1.netns().inside(|| Ok(TcpStream::connect_timeout(&to, Duration::from_secs(5)).map(drop)))?;
        let kind = tcp.err().map(|error| error.kind());
        ensure!(
            kind == Some(std::io::ErrorKind::ConnectionRefused),
            "TCP to {address}: {kind:?} after {:?}",
            begun.elapsed()
        );
    }

    // Nobody answers an error with an error, so a circle of them is none; and a flood is answered in part only.
    let agent = agents.first().context("an agent")?;
    let sent = || agent.metric("icmp_errors_total");
    let before = sent()?;
    let begun = Instant::now();
    let packets = a1.netns().inside(|| flood("10.9.9.9:9".parse()?, 1_000))?;
    let errors = tuplenet_lab::wait_until("60 errors", Duration::from_secs(10), || {
        let errors = sent()? - before;
        ensure!(errors >= 60.0, "{errors} so far");
        Ok(errors)
    })?;
    // 60 at once, and 20 a second.
    let most = 60.0 + 20.0 * (begun.elapsed().as_secs_f64() + 1.0);
    ensure!(errors <= most, "{errors} errors for {packets} packets, at most {most}");
    let begun = Instant::now();
    told(&c1, "10.1.0.77", &PingSpec::count(1), "100.64.1.1", "Destination Host Unreachable", "")?;
    ensure!(begun.elapsed() < Duration::from_secs(5));
    reaches(&a1, &c1, 61)
}

/// A ping has no answer but that error of that router.
fn told(from: &Vm, to: &str, spec: &PingSpec, router: &str, v4: &str, v6: &str) -> Result<()> {
    let report = from.ping(to, spec)?;
    let words = if to.parse::<IpAddr>()?.is_ipv4() { v4 } else { v6 };
    let line = report.text.lines().find(|line| line.starts_with(&format!("From {router} ")));
    ensure!(
        report.received == 0 && line.is_some_and(|line| line.contains(words)),
        "{} -> {to}, TTL {:?}: no \"{words}\" from {router}:\n{}",
        from.name(),
        spec.ttl,
        report.text
    );
    Ok(())
}

/// How a UDP socket fares that sends to a port where nobody listens.
fn refused_udp(to: SocketAddr) -> Result<std::io::ErrorKind> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.connect(to)?;
    socket.send(b"anybody?")?;
    match socket.recv(&mut [0; 16]) {
        Err(error) => Ok(error.kind()),
        Ok(_) => anyhow::bail!("{to} answers"),
    }
}

/// Sends packets as fast as 500 a second; how many went.
fn flood(to: SocketAddr, packets: usize) -> Result<usize> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let send = |_: &usize| {
        std::thread::sleep(Duration::from_millis(2));
        socket.send_to(b"anybody?", to).is_ok()
    };
    Ok((0..packets).filter(send).count())
}
