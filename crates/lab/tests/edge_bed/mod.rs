//! Three compute hosts, three edges, and outside of them plain Linux: two routers, and a server behind both.
//!
//! ```text
//!   hv1 w1, d1   hv2 w2, d2   hv3 w3, d3     web: w1, w2, w3 behind LR-central     data: d1, d2, d3 behind LR-data
//!        \           |           /
//!    hv4 edge1, w4  hv5 edge2   hv6 edge3      203.0.113.4, .5, .6      2001:db8::4, ::5, ::6
//!        |           |           |           untagged
//!        +----- physical switch ----- r1 ---+
//!                    |                      | VLAN 30: 198.18.30.0/24, 2001:db8:30::/64 ---- server
//!   hv1, hv2 --------+--------------- r2 ---+
//!        VLAN 20: 198.18.20.0/24, 2001:db8:20::/64, where LR-data is on all hosts
//! ```
#![allow(dead_code)] // each test file uses its part

use crate::network::*;
use anyhow::{Context, Result, ensure};
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Physical, Vm, VmSpec};

const NETWORK: &str = "
switches:
  web: {ports: {w1: '10.1.0.1, fd00:1::1', w2: '10.1.0.2, fd00:1::2', w3: '10.1.0.3, fd00:1::3', w4: '10.1.0.4, fd00:1::4'}}
  data: {ports: {d1: '10.2.0.1, fd00:2::1', d2: '10.2.0.2, fd00:2::2', d3: '10.2.0.3, fd00:2::3'}}
  public: {ports: {public-hv1: {patch: {chassis: hv1, bridge: br-ex, vlan: 20}}, public-hv2: {patch: {chassis: hv2, bridge: br-ex, vlan: 20}}}}
routers:
  LR-central: {links: {web: '10.1.0.254/24, fd00:1::fe/64'}}
  LR-data:
    links: {data: '10.2.0.254/24, fd00:2::fe/64', public: '198.18.20.254/24, 2001:db8:20::fe/64'}
    routes:
      out4: {prefix: 0.0.0.0/0, next_hop: 198.18.20.1}
      out6: {prefix: '::/0', next_hop: '2001:db8:20::1'}
";

/// The server's addresses.
pub const SERVER: [&str; 2] = ["198.18.30.10", "2001:db8:30::10"];
/// The VLANs of the provider network and of the server.
const PUBLIC: u16 = 20;
const SERVERS: u16 = 30;

pub struct Bed {
    pub lab: Lab,
    pub physical: Physical,
    /// hv1 to hv6; the last three are the edges.
    pub hosts: Vec<Host>,
    pub agents: Vec<Agent>,
    /// Behind the edges, on hv1 to hv3.
    pub web: Vec<Vm>,
    /// Behind the edges, too, on the host of the first one.
    pub beside: Vm,
    /// On the hosts with cables of their own, and on one without.
    pub data: Vec<Vm>,
    pub r1: Vm,
    pub r2: Vm,
    pub server: Vm,
}

/// The addresses of the edge with this number, from 1: IPv4 and IPv6.
pub fn vips(edge: usize) -> [String; 2] {
    [format!("203.0.113.{}", 3 + edge), format!("2001:db8::{}", 3 + edge)]
}

impl Bed {
    /// `snat`: what is behind the edges leaves as the address of its edge; otherwise r1 needs routes back ([`Bed::way_back`]).
    /// `interval`: milliseconds between two packets of BFD. Where it does not matter how soon the dead are noticed, longer ones keep a busy machine from finding the
    /// living dead: the connections of such an edge go on by another one, and those that it translates end there.
    pub fn new(name: &str, snat: bool, interval: &str) -> Result<Bed> {
        let lab = Lab::new(name)?;
        lab.store()?;
        let (hosts, agents) = hosts_with(&lab, 6, &AgentSpec::new().arguments(&["--bfd-interval", interval]))?;
        let physical = lab.physical("phys")?;
        for host in hosts.iter().take(2).chain(hosts.iter().skip(3)) {
            physical.cable(host, "br-ex")?;
        }
        apply(&lab, NETWORK)?;
        for edge in 1..=3 {
            make_edge(&lab, edge, snat)?;
        }
        let guests = |prefix: &str, net: u8| -> Result<Vec<Vm>> {
            let all = hosts.iter().take(3).zip(1..);
            all.map(|(host, number)| host.vm(&spec(&format!("{prefix}{number}"), net, number))).collect()
        };
        let (web, data) = (guests("w", 1)?, guests("d", 2)?);
        let beside = hosts.get(3).context("no edges")?.vm(&spec("w4", 1, 4))?;

        let machine = |name: &str, addresses: [&str; 2], vlan| -> Result<Vm> {
            let [v4, v6] = addresses;
            physical.machine(&VmSpec::new(name).address(v4).address(v6), vlan)
        };
        let r1 = machine("r1", ["203.0.113.1/24", "2001:db8::1/64"], None)?;
        let r2 = machine("r2", ["198.18.20.1/24", "2001:db8:20::1/64"], Some(PUBLIC))?;
        for (router, number) in [(&r1, 1), (&r2, 2)] {
            physical.card(router, "eth1", Some(SERVERS))?;
            router.netns().ip(&format!(
                "address add 198.18.30.{number}/24 dev eth1\naddress add 2001:db8:30::{number}/64 dev eth1 nodad\n"
            ))?;
            // Redirects would teach the server a shorter way than the one that is meant.
            let switches = [
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
                ("net/ipv4/conf/all/send_redirects", "0"),
                ("net/ipv4/conf/eth0/send_redirects", "0"),
                ("net/ipv4/conf/eth1/send_redirects", "0"),
            ];
            for (variable, value) in switches {
                router.netns().sysctl(variable, value)?;
            }
        }
        let server = physical.machine(
            &VmSpec::new("server")
                .address("198.18.30.10/24")
                .address("2001:db8:30::10/64")
                .gateway("198.18.30.1")
                .gateway("2001:db8:30::1"),
            Some(SERVERS),
        )?;
        server
            .netns()
            .ip("route add 198.18.20.0/24 via 198.18.30.2\nroute add 2001:db8:20::/64 via 2001:db8:30::2\n")?;
        // An edge that is found alive takes its share of all connections, and those by `snat` do not survive that: all are to be there first.
        for (number, host) in hosts.iter().enumerate() {
            let edges = if number < 3 { 3 } else { 2 };
            lab.wait_until("all edges to be found alive", PATIENCE, || host.watches(edges))?;
        }
        Ok(Bed { lab, physical, hosts, agents, web, beside, data, r1, r2, server })
    }

    /// The host of the edge with this number, from 1.
    pub fn edge(&self, number: usize) -> Result<(&Host, &Agent)> {
        let at = 2 + number;
        Ok((self.hosts.get(at).context("no such edge")?, self.agents.get(at).context("no such edge")?))
    }

    /// Makes r1 send what is for the guests of web through the edge with this number.
    pub fn way_back(&self, edge: usize) -> Result<()> {
        let [v4, v6] = vips(edge);
        self.r1.netns().ip(&format!("route replace 10.1.0.0/16 via {v4}\nroute replace fd00:1::/32 via {v6}\n"))
    }
}

/// Makes the edge with this number, from 1, in both families.
pub fn make_edge(lab: &Lab, edge: usize, snat: bool) -> Result<String> {
    let [v4, v6] = vips(edge);
    let (chassis, vip, external) = (format!("hv{}", 3 + edge), format!("{v4}/24,{v6}/64"), format!("{v4},{v6}"));
    let mut words = vec!["-y", "edge", if edge == 1 { "init" } else { "add" }, "--chassis", &chassis];
    words.extend(["--bridge", "br-ex", "--vip", &vip, "--router", "LR-central"]);
    if edge == 1 {
        words.extend(["--virt", "10.1.0.0/16,fd00:1::/32", "--ext-gw", "203.0.113.1,2001:db8::1"]);
    }
    if snat {
        words.extend(["--snat", &external]);
    }
    // Refused as long as the store has not heard of the bridge.
    let said = lab.wait_until("the edge to be made", PATIENCE, || lab.tpctl(&words))?;
    ensure!(said.contains(&format!("edge edge{edge} made")), "{said}");
    Ok(said)
}
