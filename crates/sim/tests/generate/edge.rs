//! What joins a network to a physical one: patch ports, the stations behind them, ways out, and NAT rules.

use super::{
    network::{Draft, Neighbour, Port, v4, v6},
    plan::Plan,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::json;
use std::net::IpAddr;
use tuplenet_model::mac::Mac;

/// Numbers in the addresses of a switch' stations.
pub const STATIONS: [u8; 2] = [101, 102];
/// Numbers in the addresses that NAT rules give, in the network of a switch.
const EXTERNAL: u8 = 111;

/// All of that, as numbers; indices wrap around.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    pub patches: Vec<Patch>,
    /// Routers have default routes to a station, or to who has one.
    pub ways_out: bool,
    pub rules: Vec<Rule>,
    /// Routers with several ways to one prefix.
    pub equals: Vec<Equal>,
    /// Hosts that know no neighbour outside.
    pub ignorant: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Patch {
    /// Of those with a router, counted from the last.
    pub switch: usize,
    pub host: usize,
    pub vlan: Option<u16>,
}

/// Several next hops to what is outside of all networks, in both families.
#[derive(Clone, Debug)]
pub struct Equal {
    pub router: usize,
    /// By which of the router's links, and to which port there.
    pub hops: Vec<(usize, usize)>,
}

pub fn equals() -> impl Strategy<Value = Equal> {
    (0..3_usize, vec((0..3_usize, 0..9_usize), 2..=4)).prop_map(|(router, hops)| Equal { router, hops })
}

/// A rule of each family.
#[derive(Clone, Debug)]
pub struct Rule {
    pub router: usize,
    pub kind: &'static str,
    pub inner: usize,
    pub outer: usize,
    pub distributed: bool,
    /// Pin the router to a host with a patch port.
    pub pin: bool,
}

pub fn edge(rules: usize) -> impl Strategy<Value = Edge> {
    let vlan = option::weighted(0.3, prop_oneof![Just(100_u16), Just(1), Just(4094)]);
    let switch = prop_oneof![4 => Just(0_usize), 1 => 0..4_usize];
    let patch = (switch, 0..4_usize, vlan).prop_map(|(switch, host, vlan)| Patch { switch, host, vlan });
    let kind = proptest::sample::select(vec!["snat", "snat", "snat", "floating", "floating", "dnat"]);
    let router = prop_oneof![3 => Just(0_usize), 1 => 0..3_usize];
    let unlikely = || proptest::bool::weighted(0.2);
    let rule = (router, kind, 0..12_usize, 0..9_usize, unlikely(), unlikely()).prop_map(
        |(router, kind, inner, outer, distributed, free)| Rule {
            router,
            kind,
            inner,
            outer,
            distributed: distributed && kind == "floating",
            pin: !distributed && !free,
        },
    );
    let ignorant = vec(0..4_usize, 0..=1);
    let equals = vec(equals(), 0..=1);
    (vec(patch, 1..=4), proptest::bool::weighted(0.85), vec(rule, rules.min(2)..=rules), equals, ignorant)
        .prop_map(|(patches, ways_out, rules, equals, ignorant)| Edge { patches, ways_out, rules, equals, ignorant })
}

/// The MAC of a station.
pub fn station(net: u8, host: u8) -> Mac {
    Mac([2, 0xee, 0, 0, net, host])
}

impl Edge {
    /// Before the routers are made: those with rules have their place.
    pub fn pin(&self, plan: &mut Plan) {
        let (hosts, Some(patch)) = (plan.hosts.len(), self.patches.first()) else { return };
        for rule in &self.rules {
            let uplinks = self.uplinks(plan);
            let router = match uplinks.get(rule.router % uplinks.len().max(1)) {
                Some((router, ..)) => *router,
                None => continue,
            };
            let there = patch.host % hosts;
            match rule.pin {
                true => plan.routers[router].pin = plan.routers[router].pin.or(Some(there)),
                false if rule.distributed => plan.routers[router].pin = None,
                false => {}
            }
        }
    }

    fn patched(&self, plan: &Plan) -> Vec<usize> {
        let mut linked: Vec<usize> = plan.real_links().iter().map(|(_, _, switch, _)| *switch).collect();
        linked.sort_unstable();
        linked.dedup();
        let place = |patch: &Patch| match linked.len() {
            0 => 0,
            n => linked[n - 1 - patch.switch % n],
        };
        self.patches.iter().map(place).collect()
    }

    /// Router, its link, the switch: where routers meet a physical network.
    fn uplinks(&self, plan: &Plan) -> Vec<(usize, usize, usize)> {
        let patched = self.patched(plan);
        let links = plan.real_links();
        let found = links.iter().filter(|(_, _, switch, _)| patched.contains(switch));
        found.map(|(number, router, switch, _)| (*router, *number, *switch)).collect()
    }

    pub fn build(&self, plan: &Plan, draft: &mut Draft) {
        let hosts = plan.hosts.len();
        for (i, (patch, switch)) in self.patches.iter().zip(self.patched(plan)).enumerate() {
            let (ls, net, chassis) = (plan.ls(switch), plan.net(switch), format!("hv{}", patch.host % hosts));
            let lsp = format!("phys{i}");
            let mut value = json!({"chassis": chassis, "bridge": "br-ex"});
            if let Some(vlan) = patch.vlan {
                value["vlan"] = json!(vlan);
            }
            let id = plan.ids.1 + 120 + i;
            draft.put(format!("ls/{ls}/lsp/{lsp}"), json!({"port_id": id, "patch": value}));
            for host in STATIONS {
                let (mac, ips) = (station(net, host), vec![v4(net, host).into(), v6(net, host).into()]);
                let chassis = Some(chassis.clone());
                draft.ports.push(Port {
                    ls: ls.clone(),
                    lsp: lsp.clone(),
                    mac,
                    ips,
                    gateway: false,
                    chassis,
                    outside: true,
                    vlan: patch.vlan,
                });
            }
            for host in (0..hosts).filter(|host| !self.ignorant.contains(host)) {
                for (station_host, ip) in STATIONS.iter().flat_map(|host| {
                    let both: [IpAddr; 2] = [v4(net, *host).into(), v6(net, *host).into()];
                    both.map(|ip| (*host, ip))
                }) {
                    let known =
                        Neighbour { chassis: format!("hv{host}"), ls: ls.clone(), ip, mac: station(net, station_host) };
                    if !draft.neighbours.contains(&known) {
                        draft.neighbours.push(known);
                    }
                }
            }
        }
        if self.ways_out {
            self.build_ways_out(plan, draft);
        }
        for equal in &self.equals {
            build_equal(plan, draft, equal);
        }
        for (i, rule) in self.rules.iter().enumerate() {
            self.build_rule(plan, draft, i, rule, false);
            self.build_rule(plan, draft, i, rule, true);
        }
    }

    /// Default routes by the shortest way.
    fn build_ways_out(&self, plan: &Plan, draft: &mut Draft) {
        let (uplinks, links) = (self.uplinks(plan), plan.real_links());
        // Routers that have one, with the hops that lead there; next the neighbours of those.
        let mut done: Vec<usize> = Vec::new();
        for (router, link, switch) in &uplinks {
            if done.contains(router) {
                continue;
            }
            done.push(*router);
            let (net, host) = (plan.net(*switch), STATIONS[router % STATIONS.len()]);
            let lrp = plan.lrp(*router, *switch, *link);
            put_way(draft, *router, "v4", v4(net, host).into(), &lrp);
            put_way(draft, *router, "v6", v6(net, host).into(), &lrp);
        }
        let mut at = 0;
        while let Some(next) = done.get(at).copied() {
            at += 1;
            for theirs in links.iter().filter(|link| link.1 == next) {
                for ours in links.iter().filter(|link| link.2 == theirs.2 && link.1 != next) {
                    if done.contains(&ours.1) {
                        continue;
                    }
                    done.push(ours.1);
                    for (hop, _) in plan.nets(theirs.0, theirs.2, theirs.3).iter().take(2) {
                        let family = if hop.is_ipv4() { "v4" } else { "v6" };
                        put_way(draft, ours.1, family, *hop, &plan.lrp(ours.1, ours.2, ours.0));
                    }
                }
            }
        }
    }

    fn build_rule(&self, plan: &Plan, draft: &mut Draft, number: usize, rule: &Rule, is_v6: bool) {
        let uplinks = self.uplinks(plan);
        let Some((router, link, switch)) = uplinks.get(rule.router % uplinks.len().max(1)).copied() else { return };
        let net = plan.net(switch);
        // Of VMs behind the router, and of any.
        let near: Vec<String> =
            plan.real_links().iter().filter(|link| link.1 == router).map(|link| plan.ls(link.2)).collect();
        let vms = |near_only: bool| -> Vec<(IpAddr, u8)> {
            let ports = draft.ports.iter().filter(|p| !p.gateway && !p.outside && p.ls != plan.ls(switch));
            let ports = ports.filter(|p| !near_only || near.contains(&p.ls));
            let ips = ports.flat_map(|p| p.ips.iter().map(|ip| (*ip, p.ls.clone())));
            let of_net = |ls: &str| ls.strip_prefix("LS-").and_then(|n| n.parse().ok()).map_or(0, |n| plan.net(n));
            ips.filter(|(ip, _)| ip.is_ipv6() == is_v6).map(|(ip, ls)| (ip, of_net(&ls))).collect()
        };
        let inner = Some(vms(true)).filter(|all| !all.is_empty()).unwrap_or_else(|| vms(false));
        let Some((vm, vm_net)) = inner.get(rule.inner % inner.len().max(1)).copied() else { return };
        let long = if is_v6 { 128 } else { 32 };
        let outer: IpAddr = match (rule.outer, is_v6) {
            (0..=1, v6_) => {
                let own = plan.real_links().iter().find(|l| l.0 == link).map(|l| plan.nets(link, switch, l.3));
                let own = own.unwrap_or_default().into_iter().find(|(ip, _)| ip.is_ipv6() == v6_);
                let Some((ip, _)) = own else { return };
                ip
            }
            (n @ 2..=6, false) => v4(net, EXTERNAL + n as u8).into(),
            (n @ 2..=6, true) => v6(net, EXTERNAL + n as u8).into(),
            // Beyond the switch' network: of two routers there nobody could tell whose it is.
            (n, false) => IpAddr::from([203, 0, 113, (10 * router + n) as u8]),
            (n, true) => IpAddr::from((0x2001_0db8_0009_u128 << 80 | (10 * router + n) as u128).to_be_bytes()),
        };
        let wide = match (rule.inner % 6, is_v6) {
            (0 | 1, false) => format!("{}/24", v4(vm_net, 0)),
            (0 | 1, true) => format!("{}/64", v6(vm_net, 0)),
            (2 | 5, false) => "10.0.0.0/8".into(),
            (2 | 5, true) => "fd00::/16".into(),
            (3, false) => "0.0.0.0/0".into(),
            (3, true) => "::/0".into(),
            _ => format!("{vm}/{long}"),
        };
        let (prefix, xlate_ip) = match rule.kind {
            "snat" => (wide, outer),
            "floating" => (format!("{vm}/{long}"), outer),
            _ => (format!("{outer}/{long}"), vm),
        };
        let mut value = json!({"type": rule.kind, "prefix": prefix, "xlate_ip": xlate_ip});
        if rule.distributed {
            value["distributed"] = json!(true);
        }
        draft.put(format!("lr/LR-{router}/lnat/n{number}v{}", if is_v6 { 6 } else { 4 }), value);
        draft.externals.push(outer);
    }
}

fn build_equal(plan: &Plan, draft: &mut Draft, equal: &Equal) {
    let links = plan.real_links();
    let routers: Vec<usize> = links.iter().map(|link| link.1).collect();
    let Some(router) = equal.router.checked_rem(routers.len()).map(|n| routers[n]) else { return };
    let ours: Vec<_> = links.iter().filter(|link| link.1 == router).collect();
    for (i, (link, which)) in equal.hops.iter().enumerate() {
        let (number, _, switch, link) = ours[link % ours.len()];
        let own = plan.nets(*number, *switch, link);
        let others = draft.ports.iter().filter(|port| port.ls == plan.ls(*switch) && !port.outside);
        let ips: Vec<IpAddr> = others.flat_map(|port| port.ips.iter().copied()).collect();
        for (family, prefix, is_v6) in [("v4", "203.0.113.0/24", false), ("v6", "2001:db8:9::/64", true)] {
            let fits = |ip: &IpAddr| ip.is_ipv6() == is_v6 && own.iter().all(|(own, _)| own != ip);
            let ips: Vec<IpAddr> = ips.iter().copied().filter(fits).collect();
            let Some(hop) = which.checked_rem(ips.len()).map(|n| ips[n]) else { continue };
            let outport = plan.lrp(router, *switch, *number);
            let path = format!("lr/LR-{router}/lsr/equal{i}-{family}");
            draft.put(path, json!({"prefix": prefix, "next_hop": hop, "outport": outport}));
        }
    }
}

fn put_way(draft: &mut Draft, router: usize, family: &str, hop: IpAddr, outport: &str) {
    let prefix = if hop.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    let path = format!("lr/LR-{router}/lsr/out-{family}");
    draft.put(path, json!({"prefix": prefix, "next_hop": hop, "outport": outport}));
}
