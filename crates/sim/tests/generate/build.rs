//! From a plan to the network.

use super::{
    network::{Draft, LOOPBACKS, Network, Port, v4, v6},
    plan::{Addresses, Hop, Link, NO_HOST, Plan, Route, Switch},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
};
use tuplenet_model::mac::Mac;

fn prefix(kind: u8, net: u8) -> String {
    match kind {
        0 => format!("{}/24", v4(net, 0)),
        1 => "0.0.0.0/0".into(),
        2 => format!("{}/64", v6(net, 0)),
        3 => "::/0".into(),
        4 => "10.0.0.0/8".into(),
        5 => format!("{}/32", v4(net, 1)),
        6 => "fd00::/16".into(),
        7 => format!("{}/16", v4(net, 0)),
        8 => format!("{}/128", v6(net, 1)),
        9 => format!("{}/25", v4(net, 0)),
        10 => format!("{}/23", v4(net, 0)),
        11 => format!("{}/63", v6(net, 0)),
        _ => "203.0.113.0/24".into(),
    }
}

impl Plan {
    pub fn net(&self, switch: usize) -> u8 {
        let switch = switch % self.switches.len();
        self.switches[switch].net.unwrap_or(switch as u8)
    }

    pub fn ls(&self, switch: usize) -> String {
        format!("LS-{}", switch % self.switches.len())
    }

    /// The links that there are: (number of the link, router, switch, link). A router seldom has two in one switch.
    pub fn real_links(&self) -> Vec<(usize, usize, usize, &Link)> {
        let mut links: Vec<(usize, usize, usize, &Link)> = Vec::new();
        for (i, link) in self.links.iter().enumerate() {
            let (router, switch) = link.ends.unwrap_or((i / 2, i.div_ceil(2)));
            let Some(router) = router.checked_rem(self.routers.len()) else { break };
            let switch = switch % self.switches.len();
            if link.second || links.iter().all(|(_, r, s, _)| (*r, *s) != (router, switch)) {
                links.push((i, router, switch, link));
            }
        }
        links
    }

    /// The network.
    pub fn build(&self) -> Network {
        let mut draft = Draft::default();
        for (i, host) in self.hosts.iter().enumerate() {
            let ip = if host.v6 { format!("2001:db8::{}", i + 1) } else { format!("192.0.2.{}", i + 1) };
            let encaps = host.encaps.unwrap_or(self.encaps).iter();
            let encaps: Vec<Value> = encaps.map(|kind| json!({"type": kind, "ip": ip})).collect();
            draft.put(format!("chassis/hv{i}"), json!({"encaps": encaps, "roles": []}));
        }
        for (i, switch) in self.switches.iter().enumerate() {
            self.build_switch(&mut draft, i, switch);
        }
        for (i, router) in self.routers.iter().enumerate() {
            let host = |c| if c == NO_HOST { c } else { c % self.hosts.len() };
            let chassis = router.pin.map(|c| format!("hv{}", host(c)));
            draft.put(format!("lr/LR-{i}"), json!({"id": self.ids.0 + 50 + i, "chassis": chassis}));
            if router.loopback {
                let (net, host) = (LOOPBACKS + i as u8, 250);
                let nets = [format!("{}/32", v4(net, host)), format!("{}/128", v6(net, host))];
                let json = json!({"mac": Mac::derived(v4(net, host)), "nets": nets});
                draft.put(format!("lr/LR-{i}/lrp/lo"), json);
            }
        }
        for (i, router, switch, link) in self.real_links() {
            self.build_link(&mut draft, i, router, switch, link);
        }
        if self.routed {
            self.build_routing(&mut draft);
        }
        for (i, route) in self.routes.iter().enumerate() {
            self.build_route(&mut draft, i, route);
        }
        self.edge.build(self, &mut draft);
        for oddity in &self.oddities {
            oddity.befall(&mut draft);
        }
        draft.finish(&self.ages)
    }

    fn build_switch(&self, draft: &mut Draft, number: usize, switch: &Switch) {
        let (ls, net) = (self.ls(number), self.net(number));
        draft.put(format!("ls/{ls}"), json!({"id": self.ids.0 + 10 + number, "flood": switch.flood}));
        for (i, (addresses, place)) in switch.ports.iter().enumerate() {
            let host = i as u8 + 1;
            let ips: Vec<IpAddr> = match addresses {
                Addresses::V4 => vec![v4(net, host).into()],
                Addresses::Both => vec![v4(net, host).into(), v6(net, host).into()],
                Addresses::V6 => vec![v6(net, host).into()],
                Addresses::Several => vec![v6(net, host).into(), v4(net, host).into(), v4(net, host + 150).into()],
                Addresses::Foreign => vec![v4((net + 1) % 4, host + 50).into(), v6((net + 1) % 4, host + 50).into()],
                Addresses::LinkLocal => {
                    vec![Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into()).into(), v4(net, host).into()]
                }
                Addresses::Nothing => Vec::new(),
            };
            let chassis = place.map(|c| format!("hv{}", c % self.hosts.len()));
            let port = Port {
                lsp: format!("p{i}"),
                ls: ls.clone(),
                mac: if switch.common_macs { Mac([2, 0, 0, 0, 0, host]) } else { Mac::derived(v4(net, host)) },
                ips,
                gateway: false,
                chassis,
                outside: false,
                vlan: None,
            };
            draft.put_port(port, self.ids.1 + i + 1);
        }
    }

    pub fn lrp(&self, router: usize, switch: usize, number: usize) -> String {
        format!("LR-{router}_to_{}.{number}", self.ls(switch))
    }

    /// The router's addresses in a switch, with prefix lengths.
    pub fn nets(&self, number: usize, switch: usize, link: &Link) -> Vec<(IpAddr, u8)> {
        let (net, host) = (self.net(switch), 254 - number as u8);
        let mut nets = Vec::new();
        nets.extend(link.v4.map(|len| (v4(net, host).into(), len)));
        nets.extend(link.v6.map(|len| (v6(net, host).into(), len)));
        nets.extend(link.second.then(|| (v4(net + 4, host).into(), 24)));
        nets
    }

    fn build_link(&self, draft: &mut Draft, number: usize, router: usize, switch: usize, link: &Link) {
        let (ls, lrp) = (self.ls(switch), self.lrp(router, switch, number));
        let lsp = format!("{ls}_to_LR-{router}.{number}");
        let mac = Mac::derived(v4(self.net(switch), 254 - number as u8));
        let nets = self.nets(number, switch, link);
        let ips: Vec<IpAddr> = nets.iter().map(|(ip, _)| *ip).collect();
        let text: Vec<String> = nets.iter().map(|(ip, len)| format!("{ip}/{len}")).collect();
        let mut object = json!({"mac": mac, "nets": text, "peer": {"ls": ls, "lsp": lsp}});
        if link.port_id {
            object["port_id"] = json!(self.ids.1 + number + 1);
        }
        draft.put(format!("lr/LR-{router}/lrp/{lrp}"), object);
        draft.put_port(
            Port {
                ls: ls.clone(),
                lsp: lsp.clone(),
                mac,
                ips,
                gateway: true,
                chassis: None,
                outside: false,
                vlan: None,
            },
            self.ids.1 + 100 + number,
        );
        draft.edit(&format!("ls/{ls}/lsp/{lsp}"), |port| {
            port["peer"] = json!({"lr": format!("LR-{router}"), "lrp": lrp});
        });
    }

    /// Routes to every switch by the shortest way.
    fn build_routing(&self, draft: &mut Draft) {
        let links = self.real_links();
        for router in 0..self.routers.len() {
            let direct: Vec<usize> = links.iter().filter(|l| l.1 == router).map(|l| l.2).collect();
            // (switch reached, our link, the link of the first router on the way)
            let mut found: Vec<usize> = direct.clone();
            let mut queue: VecDeque<_> = VecDeque::new();
            for ours in links.iter().filter(|l| l.1 == router) {
                for next in links.iter().filter(|l| l.2 == ours.2 && l.1 != router) {
                    queue.push_back((next.1, ours, next));
                }
            }
            let mut seen = vec![router];
            while let Some((at, ours, next)) = queue.pop_front() {
                if seen.contains(&at) {
                    continue;
                }
                seen.push(at);
                for reached in links.iter().filter(|l| l.1 == at) {
                    for beyond in links.iter().filter(|l| l.2 == reached.2) {
                        queue.push_back((beyond.1, ours, next));
                    }
                    if found.contains(&reached.2) {
                        continue;
                    }
                    found.push(reached.2);
                    let to = self.net(reached.2);
                    for (hop, _) in self.nets(next.0, next.2, next.3).iter().take(2) {
                        let (family, prefix) = if hop.is_ipv4() { (4, prefix(0, to)) } else { (6, prefix(2, to)) };
                        let name = format!("lr/LR-{router}/lsr/to-{}-v{family}", self.ls(reached.2));
                        let outport = self.lrp(ours.1, ours.2, ours.0);
                        draft.put(name, json!({"prefix": prefix, "next_hop": hop, "outport": outport}));
                    }
                }
            }
        }
    }

    fn build_route(&self, draft: &mut Draft, number: usize, route: &Route) {
        let links = self.real_links();
        let Some(&(ours, router, switch, link)) = links.get(route.link % links.len().max(1)) else { return };
        let prefix = prefix(route.prefix, route.net);
        let family = prefix.contains(':');
        let net = self.net(switch);
        let neighbour = |gateway: bool| {
            let own: Vec<IpAddr> = self.nets(ours, switch, link).iter().map(|(ip, _)| *ip).collect();
            let ports = draft.ports.iter().filter(|p| p.ls == self.ls(switch) && p.gateway == gateway);
            let ips = ports.flat_map(|p| p.ips.iter()).filter(|ip| ip.is_ipv6() == family && !own.contains(ip));
            let ips: Vec<IpAddr> = ips.copied().collect();
            ips.get(route.which % ips.len().max(1)).copied()
        };
        let address = |host| if family { v6(net, host).into() } else { v4(net, host).into() };
        let hop = match route.hop {
            Hop::Router => neighbour(true).or_else(|| neighbour(false)),
            Hop::Vm | Hop::NoPort => neighbour(false),
            Hop::Nobody => None,
            Hop::Outside if family => Some(v6(99, 1).into()),
            Hop::Outside => Some(v4(99, 1).into()),
            Hop::Own => Some(address(254 - ours as u8)),
        };
        let outport = match route.hop {
            Hop::NoPort => "gone".into(),
            _ => self.lrp(router, switch, ours),
        };
        let hop = hop.unwrap_or_else(|| address(77));
        draft.put(
            format!("lr/LR-{router}/lsr/r{number}"),
            json!({"prefix": prefix, "next_hop": hop, "outport": outport}),
        );
    }
}
