//! 200 switches with equal addresses in all of them: each port reaches its own peer and no other.

mod network;

use anyhow::{Result, ensure};
use network::*;
use std::{fmt::Write, net::UdpSocket, time::Duration};
use tuplenet_lab::{Lab, VmSpec};

const SWITCHES: usize = 200;

#[test]
fn two_hundred_switches_with_equal_addresses_do_not_meet() -> Result<()> {
    let lab = Lab::new("isolation")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    let mut document = String::from("switches:\n");
    for n in 0..SWITCHES {
        let _ = writeln!(document, "  S{n}: {{ports: {{left: '10.0.0.1, fd00::1', right: '10.0.0.2, fd00::2'}}}}");
    }
    apply(&lab, &document)?;
    // The ports have equal names too, so an iface-id names the switch as well.
    let specs = |side: &str, number: u8| -> Vec<VmSpec> {
        let spec = |n| {
            VmSpec::new(&format!("{}{n}", &side[..1]))
                .iface_id(&format!("S{n}/{side}"))
                .address(&format!("10.0.0.{number}/24"))
                .address(&format!("fd00::{number}/64"))
        };
        (0..SWITCHES).map(spec).collect()
    };
    let left = hosts[0].vms(&specs("left", 1))?;
    let right = hosts[1].vms(&specs("right", 2))?;
    for agent in &agents {
        agent.wait_settled(PATIENCE)?;
    }

    // Every guest on the right listens; every guest on the left says who it is. Each listener must hear its peer, once, and nobody else.
    for (from, to) in [("0.0.0.0", "10.0.0.2"), ("::", "fd00::2")] {
        let mut listeners = Vec::new();
        for vm in &right {
            let socket = vm.netns().inside(|| Ok(UdpSocket::bind((from, 5000))?))?;
            socket.set_nonblocking(true)?;
            listeners.push(socket);
        }
        for (vm, _) in left.iter().zip(0..) {
            vm.wait_ping(to, Duration::from_secs(10))?;
        }
        for (n, vm) in left.iter().enumerate() {
            let socket = vm.netns().inside(|| Ok(UdpSocket::bind((from, 0))?))?;
            socket.send_to(&(n as u32).to_be_bytes(), (to, 5000))?;
        }
        let mut heard: Vec<Vec<u32>> = vec![Vec::new(); SWITCHES];
        let mut hear = || {
            for (listener, heard) in listeners.iter().zip(&mut heard) {
                let mut word = [0; 4];
                while let Ok((4, _)) = listener.recv_from(&mut word) {
                    heard.push(u32::from_be_bytes(word));
                }
            }
            let silent = heard.iter().filter(|h| h.is_empty()).count();
            ensure!(silent == 0, "{silent} guests have heard nothing");
            Ok(())
        };
        lab.wait_until("all guests to hear their peers", PATIENCE, &mut hear)?;
        hear()?; // whatever else is there
        for (n, heard) in heard.iter().enumerate() {
            ensure!(heard == &[n as u32], "the right guest of S{n} heard {heard:?} by {to}");
        }
    }
    Ok(())
}
