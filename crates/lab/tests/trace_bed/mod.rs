//! Three hosts with a network for traces, and what `tpctl trace` says of it.
#![allow(dead_code)] // each test file uses its part

use crate::network::*;
use anyhow::{Context, Result, ensure};
use std::process::Output;
use tuplenet_lab::{Agent, Host, Lab, Vm, VmSpec};

/// R1 is on every host, RP on hv2 alone: what goes from A to D crosses three hosts. `lone` hangs on nothing, nobody has `off`.
pub const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2', off: '10.1.0.9, fd00:1::9'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1', b2: '10.2.0.2, fd00:2::2'}}
  D: {ports: {d3: '10.4.0.3, fd00:4::3'}}
  F: {flood: true, ports: {f1: '10.6.0.1', f2: '10.6.0.2', f3: '10.6.0.3'}}
  X: {ports: {lone: '10.9.0.1, fd00:9::1'}}
routers:
  R1: {links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64'},
       routes: {d4: {prefix: 10.4.0.0/24, next_hop: 10.1.0.253}, d6: {prefix: 'fd00:4::/64', next_hop: 'fd00:1::fd'},
                hole: {prefix: 10.7.0.0/24, next_hop: 10.2.0.77}}}
  RP: {chassis: hv2, links: {A: '10.1.0.253/24, fd00:1::fd/64', D: '10.4.0.254/24, fd00:4::fe/64'}}
";

/// The gateway to D, since two routers lead there.
pub const RP_MAC: &str = "--dst-mac f2:01:0a:01:00:fd";

/// The network on its hosts.
pub struct Bed {
    pub lab: Lab,
    pub hosts: Vec<Host>,
    pub agents: Vec<Agent>,
    pub vms: Vec<Vm>,
}

impl Bed {
    pub fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        lab.store()?;
        let (hosts, agents) = hosts(&lab, 3)?;
        apply(&lab, NETWORK)?;
        let flat = |name: &str, number: u8| VmSpec::new(name).address(&format!("10.6.0.{number}/24"));
        let of = [
            (0, spec("a1", 1, 1)),
            (1, spec("a2", 1, 2)),
            (0, spec("b1", 2, 1)),
            (1, spec("b2", 2, 2)),
            (2, spec("d3", 4, 3)),
            (0, spec("lone", 9, 1)),
            (0, flat("f1", 1)),
            (1, flat("f2", 2)),
            (2, flat("f3", 3)),
        ];
        let vms = of.iter().map(|(host, spec)| hosts[*host].vm(spec)).collect::<Result<Vec<_>>>()?;
        let bed = Self { lab, hosts, agents, vms };
        // Every host's flows are there, and no tunnel loses its first packet any more.
        for (from, to) in [("a1", "a2"), ("a1", "b2"), ("a2", "b1"), ("f1", "f2"), ("f2", "f3"), ("f3", "f1")] {
            bed.vm(from)?.wait_ping(&bed.vm(to)?.ipv4()?, PATIENCE)?;
        }
        bed.lab.wait_until("a1 to reach d3 through RP", PATIENCE, || {
            let (code, _, verdict) = bed.trace(&format!("a1 --to 10.4.0.3 {RP_MAC}"))?;
            ensure!(code == 0, "{verdict}");
            Ok(())
        })?;
        Ok(bed)
    }

    pub fn vm(&self, name: &str) -> Result<&Vm> {
        self.vms.iter().find(|vm| vm.name() == name).with_context(|| format!("no guest {name}"))
    }

    /// Exit code, hop lines, verdict. Hosts are waited for longer than people would, unless the line says how long.
    pub fn trace(&self, line: &str) -> Result<(i32, Vec<String>, String)> {
        let patience = if line.contains("--timeout") || line.contains("--simulate") { "" } else { " --timeout 20" };
        let line = format!("trace {line}{patience}");
        read(&self.lab.tpctl_output(&line.split_whitespace().collect::<Vec<_>>())?)
    }

    /// Nothing of any trace is in the store.
    pub fn is_clean(&self) -> Result<()> {
        let everything = self.raw_keys()?;
        let left: Vec<&String> =
            everything.iter().filter(|key| key.contains("/v1/trace/") || key.contains("/v1/inject/")).collect();
        ensure!(left.is_empty(), "left in the store: {left:?}");
        Ok(())
    }

    pub fn raw_keys(&self) -> Result<Vec<String>> {
        let endpoint = self.lab.endpoints()?;
        self.lab.management().inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let client = tuplenet_store::Client::new(tuplenet_store::Config::new(&endpoint)?)?;
                Ok(client.list("/tuplenet/").await?.kvs.into_iter().map(|kv| kv.key).collect())
            })
        })
    }
}

/// Exit code, lines of standard output, standard error.
pub fn read(output: &Output) -> Result<(i32, Vec<String>, String)> {
    let out = String::from_utf8(output.stdout.clone())?;
    let err = String::from_utf8(output.stderr.clone())?;
    Ok((output.status.code().unwrap_or(-1), out.lines().map(str::to_owned).collect(), err.trim_end().to_owned()))
}

/// A hop line from `LS A a1 ? STAGE hv1`.
pub fn line(text: &str) -> String {
    let [kind, pipeline, from, to, stage, chassis] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let to = if to == "?" { "<UNKNOWN>" } else { to };
    format!("type:{kind},pipeline:{pipeline},from:{from},to:{to},stage:TABLE_{stage},chassis:{chassis}")
}

/// The bytes of a MAC.
pub fn mac(text: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (byte, part) in bytes.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(part, 16).expect("a MAC of the lab");
    }
    bytes
}
