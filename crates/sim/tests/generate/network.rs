//! Networks, from a plan of small numbers.

use super::odd::Oddity;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tuplenet_model::mac::Mac;

/// An object as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its path below `<prefix>/v1/`; unique in a network.
    pub path: String,
    /// Its value, perhaps no valid JSON.
    pub json: String,
    /// The revision that made it; several may have one.
    pub created: i64,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @{} {}", self.path, self.created, self.json)
    }
}

/// A switch port that was planned, whatever became of it: something to send packets from and to.
#[derive(Clone, Debug)]
pub struct Port {
    pub ls: String,
    pub lsp: String,
    pub mac: Mac,
    pub ips: Vec<IpAddr>,
    /// The end of a link.
    pub gateway: bool,
    /// What its binding says, if it has one.
    pub chassis: Option<String>,
}

/// A network.
#[derive(Clone)]
pub struct Network {
    pub objects: Vec<Object>,
    pub ports: Vec<Port>,
}

/// Everything that makes a network, as numbers; indices wrap around.
#[derive(Clone, Debug)]
pub struct Plan {
    hosts: Vec<Host>,
    encaps: &'static [&'static str],
    switches: Vec<Switch>,
    routers: Vec<Router>,
    links: Vec<Link>,
    routes: Vec<Route>,
    /// Give every router routes to all switches.
    routed: bool,
    oddities: Vec<Oddity>,
    /// What is added to the ids of datapaths and of ports.
    ids: (usize, usize),
    /// Create revisions, in turn.
    ages: Vec<i64>,
}

#[derive(Clone, Debug)]
struct Host {
    /// Others than most hosts have.
    encaps: Option<&'static [&'static str]>,
    v6: bool,
}

#[derive(Clone, Debug)]
struct Switch {
    flood: bool,
    /// The number in its addresses; its own if there is none.
    net: Option<u8>,
    /// VMs have MACs that VMs of other switches have, too.
    common_macs: bool,
    ports: Vec<(Addresses, Option<usize>)>,
}

#[derive(Clone, Copy, Debug)]
enum Addresses {
    V4,
    Both,
    V6,
    Several,
    Foreign,
    LinkLocal,
    Nothing,
}

#[derive(Clone, Debug)]
struct Router {
    /// The chassis that it is pinned to, if it is; [`NO_HOST`] is none.
    pin: Option<usize>,
    /// It has a port that leads nowhere, too.
    loopback: bool,
}

#[derive(Clone, Debug)]
struct Link {
    /// Router and switch; else it is the next of a chain: switch 0, router 0, switch 1, router 1, ...
    ends: Option<(usize, usize)>,
    v4: Option<u8>,
    v6: Option<u8>,
    second: bool,
    port_id: bool,
}

#[derive(Clone, Debug)]
struct Route {
    link: usize,
    prefix: u8,
    net: u8,
    hop: Hop,
    which: usize,
}

#[derive(Clone, Copy, Debug)]
enum Hop {
    Router,
    Vm,
    Nobody,
    Outside,
    Own,
    NoPort,
}

fn encaps(geneve: u32) -> impl Strategy<Value = &'static [&'static str]> {
    prop_oneof![
        geneve => Just(&["geneve"][..]),
        2 => Just(&["vxlan"][..]),
        2 => Just(&["gre"][..]),
        1 => Just(&["geneve", "vxlan"][..]),
        1 => Just(&["vxlan", "geneve"][..]),
        1 => Just(&["gre", "vxlan", "geneve"][..]),
    ]
}

fn host() -> impl Strategy<Value = Host> {
    (option::weighted(0.15, encaps(1)), proptest::bool::weighted(0.2)).prop_map(|(encaps, v6)| Host { encaps, v6 })
}

fn switch() -> impl Strategy<Value = Switch> {
    let addresses = prop_oneof![
        4 => Just(Addresses::V4),
        10 => Just(Addresses::Both),
        2 => Just(Addresses::V6),
        1 => Just(Addresses::Several),
        1 => Just(Addresses::Foreign),
        1 => Just(Addresses::LinkLocal),
        1 => Just(Addresses::Nothing),
    ];
    let place = option::weighted(0.9, 0..5_usize);
    let common_macs = proptest::bool::weighted(0.2);
    (any::<bool>(), option::weighted(0.1, 0..4_u8), common_macs, vec((addresses, place), 1..=4))
        .prop_map(|(flood, net, common_macs, ports)| Switch { flood, net, common_macs, ports })
}

fn link() -> impl Strategy<Value = Link> {
    let v4 = prop_oneof![16 => Just(Some(24)), 1 => Just(None), 1 => Just(Some(16)), 1 => Just(Some(8)), 1 => Just(Some(32)), 2 => Just(Some(25)), 1 => Just(Some(1))];
    let v6 = prop_oneof![12 => Just(Some(64)), 2 => Just(None), 1 => Just(Some(16)), 1 => Just(Some(128)), 1 => Just(Some(1))];
    let (second, port_id) = (proptest::bool::weighted(0.1), proptest::bool::weighted(0.8));
    let ends = option::weighted(0.25, (0..4_usize, 0..4_usize));
    (ends, v4, v6, second, port_id).prop_map(|(ends, v4, v6, second, port_id)| Link { ends, v4, v6, second, port_id })
}

fn route() -> impl Strategy<Value = Route> {
    let hop = prop_oneof![
        6 => Just(Hop::Router),
        4 => Just(Hop::Vm),
        1 => Just(Hop::Nobody),
        1 => Just(Hop::Outside),
        1 => Just(Hop::Own),
        1 => Just(Hop::NoPort)
    ];
    let prefix = prop_oneof![2 => 0..PREFIXES, 1 => Just(1), 1 => Just(3)];
    (0..6_usize, prefix, 0..4_u8, hop, 0..4_usize).prop_map(|(link, prefix, net, hop, which)| Route {
        link,
        prefix,
        net,
        hop,
        which,
    })
}

/// The number of a chassis that is in no network.
const NO_HOST: usize = 12;

fn router() -> impl Strategy<Value = Router> {
    (option::weighted(0.3, 0..=NO_HOST), proptest::bool::weighted(0.3))
        .prop_map(|(pin, loopback)| Router { pin, loopback })
}

/// Any network of up to 4 hosts, 4 switches and 3 routers.
pub fn plan(oddities: impl Strategy<Value = Vec<Oddity>>) -> impl Strategy<Value = Plan> {
    (
        (vec(host(), 1..=4), encaps(14)),
        prop_oneof![1 => vec(switch(), 1..=2), 2 => vec(switch(), 3..=4)],
        prop_oneof![1 => vec(router(), 0..=3), 3 => vec(router(), 1..=3)],
        prop_oneof![1 => vec(link(), 0..=6), 4 => vec(link(), 4..=9)],
        vec(route(), 0..=5),
        proptest::bool::weighted(0.6),
        oddities,
        // Up to the largest: 24 bits in a VNI, 16 in our option, of which the last 256 are ours.
        (
            prop_oneof![3 => Just((0, 0)), 1 => Just((0xff_ff00, 0xfe00)), 1 => Just((0xff_00, 0xe0))],
            vec(1..6_i64, 1..=7),
        ),
    )
        .prop_map(|((hosts, encaps), switches, routers, links, routes, routed, oddities, (ids, ages))| Plan {
            hosts,
            encaps,
            switches,
            routers,
            links,
            routes,
            routed,
            oddities,
            ids,
            ages,
        })
}

pub fn v4(net: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, net, 0, host)
}

pub fn v6(net: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into())
}

/// The number in the addresses of the first router's port that leads nowhere.
pub const LOOPBACKS: u8 = 8;

/// How many kinds of prefixes there are.
const PREFIXES: u8 = 13;

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
    fn net(&self, switch: usize) -> u8 {
        let switch = switch % self.switches.len();
        self.switches[switch].net.unwrap_or(switch as u8)
    }

    fn ls(&self, switch: usize) -> String {
        format!("LS-{}", switch % self.switches.len())
    }

    /// The links that there are: (number of the link, router, switch, link). A router seldom has two in one switch.
    fn real_links(&self) -> Vec<(usize, usize, usize, &Link)> {
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
            };
            draft.put_port(port, self.ids.1 + i + 1);
        }
    }

    fn lrp(&self, router: usize, switch: usize, number: usize) -> String {
        format!("LR-{router}_to_{}.{number}", self.ls(switch))
    }

    /// The router's addresses in a switch, with prefix lengths.
    fn nets(&self, number: usize, switch: usize, link: &Link) -> Vec<(IpAddr, u8)> {
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
            Port { ls: ls.clone(), lsp: lsp.clone(), mac, ips, gateway: true, chassis: None },
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

/// A network that is being made.
#[derive(Default)]
pub struct Draft {
    /// Path, value, and the revision if that matters.
    pub objects: Vec<(String, Value, Option<i64>)>,
    /// Paths whose value is to be this text.
    pub broken: Vec<(String, &'static str)>,
    pub ports: Vec<Port>,
}

impl Draft {
    /// Puts an object in place of the one that is there.
    pub fn put(&mut self, path: String, value: Value) {
        self.put_aged(path, value, None);
    }

    /// The same, with a create revision.
    pub fn put_aged(&mut self, path: String, value: Value, created: Option<i64>) {
        match self.objects.iter_mut().find(|(known, ..)| *known == path) {
            Some(known) => *known = (path, value, created),
            None => self.objects.push((path, value, created)),
        }
    }

    /// A switch port and, if it has a chassis, its binding.
    pub fn put_port(&mut self, port: Port, port_id: usize) {
        let Port { ls, lsp, mac, ips, chassis, .. } = &port;
        self.put(format!("ls/{ls}/lsp/{lsp}"), json!({"port_id": port_id, "mac": mac, "ips": ips}));
        if let Some(chassis) = chassis {
            self.put(format!("binding/{ls}/{lsp}"), json!({"chassis": chassis, "generation": 1}));
        }
        self.ports.push(port);
    }

    /// Changes an object, if it is there.
    pub fn edit(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        if let Some((_, value, _)) = self.objects.iter_mut().find(|(known, ..)| known == path) {
            change(value);
        }
    }

    fn finish(self, ages: &[i64]) -> Network {
        let objects = self.objects.into_iter().enumerate().map(|(i, (path, value, created))| {
            let broken = self.broken.iter().find(|(known, _)| *known == path);
            let json = broken.map_or_else(|| value.to_string(), |(_, text)| (*text).to_owned());
            Object { path, json, created: created.unwrap_or_else(|| ages[i % ages.len()]) }
        });
        Network { objects: objects.collect(), ports: self.ports }
    }
}
