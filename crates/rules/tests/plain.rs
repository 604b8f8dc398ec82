//! The rules against an evaluator that is too simple to be wrong: nested loops over all facts, every time, in the words of
//! the rules' Datalog forms. Both are asked which statements hold; the engine's are read off its flows.

mod common;

use common::*;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{entity::*, key::Key, name::Name, object::Object};
use tuplenet_openflow::{Action, Flow, Instruction, Match, field, field::Field};
use tuplenet_rules::{
    Bucket, Change, Engine, GroupForm, LocalInterface, LocalPatch, NO_PORT,
    cookie::{Cookie, Rule, name_hash},
    is_ecmp_group, register, stage,
};

/// All facts of a network, and nothing clever.
#[derive(Default)]
struct Plain {
    ls: Vec<(Name, LogicalSwitch, i64)>,
    lr: Vec<(Name, LogicalRouter, i64)>,
    lsp: Vec<(Name, Name, SwitchPort, i64)>,
    lrp: Vec<(Name, Name, RouterPort, i64)>,
    lsr: Vec<(Name, Name, StaticRoute, i64)>,
    chassis: Vec<(Name, Chassis)>,
    binding: Vec<(Name, Name, Binding)>,
    interface: Vec<(u128, LocalInterface)>,
    tunnel: bool,
    watched: Vec<(EncapKind, IpAddr, u32)>,
    patch: Vec<(String, LocalPatch)>,
}

impl Plain {
    fn read<'a>(facts: impl Iterator<Item = &'a Change>) -> Self {
        let mut all = Plain::default();
        for fact in facts {
            match fact {
                Change::Interface { id, interface: Some(i) } => all.interface.push((*id, i.clone())),
                Change::Tunnel { ofport, remote: None, .. } => all.tunnel = ofport.is_some(),
                Change::Tunnel { kind, remote: Some(ip), ofport: Some(ofport) } => {
                    all.watched.push((*kind, *ip, *ofport))
                }
                Change::Patch { name, patch: Some(patch) } => all.patch.push((name.clone(), patch.clone())),
                Change::Object { path, value: Some(value), create_revision: made } => {
                    let Ok(Some(key)) = Key::parse(path) else { continue };
                    let Ok(object) = Object::parse(&key, value) else { continue };
                    match (key, object) {
                        (Key::Ls(n), Object::Ls(o)) => all.ls.push((n, o, *made)),
                        (Key::Lr(n), Object::Lr(o)) => all.lr.push((n, o, *made)),
                        (Key::Lsp(p, n), Object::Lsp(o)) => all.lsp.push((p, n, o, *made)),
                        (Key::Lrp(p, n), Object::Lrp(o)) => all.lrp.push((p, n, o, *made)),
                        (Key::Lsr(p, n), Object::Lsr(o)) => all.lsr.push((p, n, o, *made)),
                        (Key::Chassis(n), Object::Chassis(o)) => all.chassis.push((n, o)),
                        (Key::Binding(p, n), Object::Binding(o)) => all.binding.push((p, n, o)),
                        _ => unreachable!("an object of another kind than its key"),
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Nobody older has that datapath id.
    fn id_ok(&self, key: &Key, id: u32, made: i64) -> bool {
        let ls = self.ls.iter().map(|(n, o, m)| (Key::Ls(n.clone()), o.id.get(), *m));
        let lr = self.lr.iter().map(|(n, o, m)| (Key::Lr(n.clone()), o.id.get(), *m));
        ls.chain(lr).all(|(k, i, m)| i != id || (m, k) >= (made, key.clone()))
    }

    fn valid_ls(&self, name: &Name) -> Option<&LogicalSwitch> {
        let (_, ls, made) = self.ls.iter().find(|(n, ..)| n == name)?;
        self.id_ok(&Key::Ls(name.clone()), ls.id.get(), *made).then_some(ls)
    }

    fn valid_lr(&self, name: &Name) -> Option<&LogicalRouter> {
        let (_, lr, made) = self.lr.iter().find(|(n, ..)| n == name)?;
        self.id_ok(&Key::Lr(name.clone()), lr.id.get(), *made).then_some(lr)
    }

    /// (switch, switch port, router, router port) where each names the other and has the same addresses.
    fn links(&self) -> Vec<(&Name, &Name, &Name, &Name)> {
        let mut links = Vec::new();
        for (ls, lsp, port, _) in &self.lsp {
            for (lr, lrp, other, _) in &self.lrp {
                if port.peer.as_ref().is_some_and(|p| p.lr == *lr && p.lrp == *lrp)
                    && other.peer.as_ref().is_some_and(|p| p.ls == *ls && p.lsp == *lsp)
                    && port.mac == Some(other.mac)
                    && port.ips.iter().collect::<BTreeSet<_>>()
                        == other.nets.iter().map(|n| n.addr()).collect::<Vec<_>>().iter().collect()
                {
                    links.push((ls, lsp, lr, lrp));
                }
            }
        }
        links
    }

    fn is_here(&self, lr: &Name) -> bool {
        self.valid_lr(lr).is_some_and(|lr| lr.chassis.as_ref().is_none_or(|c| c.as_str() == ME))
    }

    /// Interfaces that name exactly one port, each port by its first interface: (switch, port, interface).
    fn candidates(&self) -> Vec<(&Name, &Name, &(u128, LocalInterface))> {
        let named = |i: &LocalInterface| -> Vec<_> {
            let ports = self.lsp.iter().filter(|(ls, lsp, port, _)| {
                port.peer.is_none()
                    && port.patch.is_none()
                    && (i.iface_id == lsp.as_str() || i.iface_id == format!("{ls}/{lsp}"))
            });
            ports.map(|(ls, lsp, ..)| (ls, lsp)).collect()
        };
        let mut all: Vec<_> = Vec::new();
        for entry in &self.interface {
            if let [(ls, lsp)] = named(&entry.1)[..] {
                all.push((ls, lsp, entry));
            }
        }
        let first = all.clone();
        all.retain(|(ls, lsp, (id, i))| {
            first.iter().all(|(l, p, (j, k))| (l, p) != (ls, lsp) || (&k.name, j) >= (&i.name, id))
        });
        all
    }

    /// (switch, port, ofport)
    fn hosted(&self) -> Vec<(&Name, &Name, u32)> {
        let mut hosted = Vec::new();
        for (ls, lsp, (_, interface)) in self.candidates() {
            let mark = interface.claim.as_ref().filter(|c| c.lsp == format!("{ls}/{lsp}"));
            let binding = self.binding.iter().find(|(l, p, _)| l == ls && p == lsp).map(|(_, _, b)| b);
            let lost = matches!((mark, binding), (Some(m), Some(b)) if b.chassis.as_str() != ME && b.generation > m.generation);
            if !lost {
                hosted.push((ls, lsp, interface.ofport));
            }
        }
        hosted
    }

    /// Names of the switches and routers that local ports can reach, as "ls x" and "lr x".
    fn present(&self) -> BTreeSet<String> {
        let mut present: BTreeSet<String> = self.hosted().iter().map(|(ls, ..)| format!("ls {ls}")).collect();
        let pinned =
            self.lr.iter().filter(|(n, o, _)| o.chassis.as_ref().is_some_and(|c| c.as_str() == ME) && self.is_here(n));
        present.extend(pinned.map(|(n, ..)| format!("lr {n}")));
        let patched =
            self.lsp.iter().filter(|(_, _, port, _)| port.patch.as_ref().is_some_and(|p| p.chassis.as_str() == ME));
        present.extend(patched.map(|(ls, ..)| format!("ls {ls}")));
        loop {
            let before = present.len();
            for (ls, _, lr, _) in self.links() {
                if self.is_here(lr) && (present.contains(&format!("ls {ls}")) || present.contains(&format!("lr {lr}")))
                {
                    present.insert(format!("ls {ls}"));
                    present.insert(format!("lr {lr}"));
                }
            }
            if present.len() == before {
                return present;
            }
        }
    }

    /// The port is of a present, valid switch, and nobody older in it has its id, MAC or one of its addresses.
    fn port(&self, present: &BTreeSet<String>, ls: &Name, lsp: &Name) -> Option<(u32, &SwitchPort)> {
        let id = self.valid_ls(ls).filter(|_| present.contains(&format!("ls {ls}")))?.id.get();
        let (_, _, port, made) = self.lsp.iter().find(|(l, p, ..)| l == ls && p == lsp)?;
        let rival = |(l, p, other, m): &&(Name, Name, SwitchPort, i64)| {
            let same = other.port_id == port.port_id
                || other.mac.is_some() && other.mac == port.mac
                || other.patch.is_some()
                    && other.patch.as_ref().map(|patch| &patch.chassis)
                        == port.patch.as_ref().map(|patch| &patch.chassis)
                || other.ips.iter().any(|ip| port.ips.contains(ip));
            l == ls && p != lsp && same && (*m, p) < (*made, lsp)
        };
        self.lsp.iter().find(rival).is_none().then_some((id, port))
    }

    fn router_port(&self, present: &BTreeSet<String>, lr: &Name, lrp: &Name) -> Option<(u32, &RouterPort)> {
        self.any_router_port(lr, lrp).filter(|_| present.contains(&format!("lr {lr}")))
    }

    fn any_router_port(&self, lr: &Name, lrp: &Name) -> Option<(u32, &RouterPort)> {
        let id = self.valid_lr(lr)?.id.get();
        let (_, _, port, made) = self.lrp.iter().find(|(l, p, ..)| l == lr && p == lrp)?;
        let rival = |(l, p, other, m): &&(Name, Name, RouterPort, i64)| {
            let same_net = other.nets.iter().any(|a| port.nets.iter().any(|b| a.trunc() == b.trunc()));
            l == lr && p != lrp && (number_of(p, other) == number_of(lrp, port) || same_net) && (*m, p) < (*made, lrp)
        };
        self.lrp.iter().find(rival).is_none().then_some((id, port))
    }

    fn endpoint(&self, chassis: &Name) -> Option<IpAddr> {
        let (_, chassis) = self.chassis.iter().find(|(n, _)| n == chassis)?;
        chassis.encaps.iter().find(|e| self.tunnel && e.kind == EncapKind::Geneve).map(|e| e.ip)
    }

    /// What is said of a port towards a physical network: it is at `remote` or here, and its router is on all hosts or not.
    fn outside(
        &self,
        present: &BTreeSet<String>,
        ls: &Name,
        remote: Option<IpAddr>,
        distributed: bool,
        port: &SwitchPort,
    ) -> Vec<String> {
        let patches: Vec<_> = self
            .lsp
            .iter()
            .filter(|(l, _, port, _)| l == ls && port.patch.is_some())
            .filter_map(|(l, p, ..)| Some((self.port(present, l, p)?.1, self.port(present, l, p)?.1.patch.clone()?)))
            .collect();
        if !patches.iter().any(|(_, patch)| patch.chassis.as_str() == ME) {
            return Vec::new();
        }
        let id = self.valid_ls(ls).expect("the switch of a valid port").id;
        let mac = port.mac_or_zero();
        let mut said = vec![format!("own {id} {mac}")];
        let designated = self.designated(&patches);
        let here = designated.is_some_and(|(_, patch)| patch.chassis.as_str() == ME);
        let theirs = |ip: IpAddr| {
            patches.iter().any(|(_, patch)| patch.chassis.as_str() != ME && self.endpoint(&patch.chassis) == Some(ip))
        };
        let elsewhere = match remote {
            Some(ip) => !here || theirs(ip),
            None => distributed && !here,
        };
        if elsewhere {
            said.push(format!("elsewhere {id} {mac}"));
            said.extend(port.ips.iter().map(|ip| format!("silent {id} {ip}")));
        }
        if let Some((way, patch)) = designated.filter(|_| remote.is_none() && distributed && !here)
            && let Some(ip) = self.endpoint(&patch.chassis)
        {
            said.push(format!("router {id} {mac}: {} at {ip}", way.port_id));
        }
        said
    }

    /// The first by name of those whose chassis exists.
    fn designated<'a>(&self, patches: &'a [(&'a SwitchPort, Patch)]) -> Option<&'a (&'a SwitchPort, Patch)> {
        let exist = patches.iter().filter(|(_, patch)| self.chassis.iter().any(|(n, _)| *n == patch.chassis));
        exist.min_by_key(|(_, patch)| patch.chassis.clone())
    }

    /// Where the designated chassis is, if this host has no patch port of the switch.
    fn speaker(&self, present: &BTreeSet<String>, ls: &Name) -> Option<IpAddr> {
        let ports = self.lsp.iter().filter(|(l, ..)| l == ls).filter_map(|(l, p, ..)| self.port(present, l, p));
        let patches: Vec<_> = ports.filter_map(|(_, port)| Some((port, port.patch.clone()?))).collect();
        let mine = patches.iter().any(|(_, patch)| patch.chassis.as_str() == ME);
        let (_, patch) = self.designated(&patches).filter(|_| !mine)?;
        self.endpoint(&patch.chassis)
    }

    /// What is said of a switch's patch ports.
    fn patch_ports(&self, present: &BTreeSet<String>, ls: &Name) -> Vec<String> {
        let ports = self.lsp.iter().filter(|(l, ..)| l == ls).filter_map(|(l, p, ..)| self.port(present, l, p));
        let patches: Vec<_> = ports.filter_map(|(_, port)| Some((port, port.patch.clone()?))).collect();
        let Some(id) = self.valid_ls(ls).map(|ls| ls.id) else { return Vec::new() };
        let designated = self.designated(&patches);
        let Some((port, patch)) = patches.iter().find(|(_, patch)| patch.chassis.as_str() == ME) else {
            let way = designated.and_then(|(port, patch)| Some((port.port_id, self.endpoint(&patch.chassis)?)));
            return way.map(|(port, ip)| format!("unknown {id}: {port} at {ip}")).into_iter().collect();
        };
        let here = designated.is_some_and(|(_, patch)| patch.chassis.as_str() == ME);
        let mut said = vec![format!("unknown {id}: {}{}", port.port_id, if here { "" } else { " not from tunnels" })];
        let name = format!("tp-{:x}-{:x}", id.get(), port.port_id.get());
        if let Some((_, found)) = self.patch.iter().find(|(n, found)| *n == name && found.bridge == *patch.bridge) {
            let (ofport, vlan) = (found.ofport, patch.vlan.unwrap_or(0));
            said.push(format!("patch in {ofport} {vlan}: {id} {}", port.port_id));
            said.push(format!("patch out {id} {}: {ofport} {vlan}", port.port_id));
        }
        said
    }

    fn statements(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let present = self.present();
        let hosted = self.hosted();
        let links = self.links();
        for (ls, ..) in self.ls.iter().filter(|(ls, ..)| present.contains(&format!("ls {ls}"))) {
            all.extend(self.patch_ports(&present, ls));
        }
        for (ls, lsp, ..) in &self.lsp {
            let Some((id, port)) = self.port(&present, ls, lsp) else { continue };
            let number = port.port_id.get();
            let local = hosted.iter().find(|(l, p, _)| l == &ls && p == &lsp);
            let link = links.iter().find(|(l, p, ..)| l == &ls && p == &lsp);
            let mut located = false;
            if let Some((.., ofport)) = local
                && *ofport > 0
            {
                all.insert(format!("in {ofport}: {id} {number}"));
                all.insert(format!("out {id} {number}: {ofport}"));
                all.insert(format!("l2 {id} {}: {number} here", port.mac_or_zero()));
                all.extend(self.outside(&present, ls, None, false, port));
                located = true;
            }
            if let Some((_, _, lr, lrp)) = link
                && let Some((lr_id, router)) = self.router_port(&present, lr, lrp)
            {
                all.insert(format!("link {id} {number}: {lr_id} {}", number_of(lrp, router)));
                all.insert(format!("l2 {id} {}: {number} here", port.mac_or_zero()));
                let distributed = self.valid_lr(lr).is_some_and(|lr| lr.chassis.is_none());
                all.extend(self.outside(&present, ls, None, distributed, port));
                if let Some(ip) = self.speaker(&present, ls).filter(|_| distributed) {
                    all.insert(format!("relay {id} {}: {number} at {ip}", port.mac_or_zero()));
                }
                located = true;
            }
            let bound = self.binding.iter().find(|(l, p, _)| l == ls && p == lsp).map(|(_, _, b)| &b.chassis);
            let bound = bound.filter(|_| local.is_none() && port.peer.is_none() && port.patch.is_none());
            let pinned = link.filter(|(_, _, lr, lrp)| self.any_router_port(lr, lrp).is_some());
            let pinned = pinned.and_then(|(_, _, lr, _)| self.valid_lr(lr)?.chassis.as_ref());
            for chassis in bound.into_iter().chain(pinned).filter(|c| c.as_str() != ME) {
                if let Some(ip) = self.endpoint(chassis) {
                    all.insert(format!("l2 {id} {}: {number} at {ip}", port.mac_or_zero()));
                    all.extend(self.outside(&present, ls, Some(ip), false, port));
                    located = true;
                }
            }
            if !located {
                continue;
            }
            for ip in &port.ips {
                all.insert(format!("neighbour {id} {ip}: {}", port.mac_or_zero()));
                for (_, _, lr, lrp) in links.iter().filter(|(l, s, ..)| l == &ls && self.port(&present, l, s).is_some())
                {
                    if let Some((lr_id, router)) = self.router_port(&present, lr, lrp)
                        && router.nets.iter().any(|net| net.contains(ip))
                    {
                        all.insert(format!("hop {lr_id} {} {ip}: {}", number_of(lrp, router), port.mac_or_zero()));
                    }
                }
            }
        }
        for (lr, lrp, ..) in &self.lrp {
            let Some((id, port)) = self.router_port(&present, lr, lrp) else { continue };
            for net in &port.nets {
                all.insert(format!("echo {id} {}", net.addr()));
            }
            let linked =
                links.iter().any(|(ls, lsp, r, p)| r == &lr && p == &lrp && self.port(&present, ls, lsp).is_some());
            if !linked {
                continue;
            }
            for net in &port.nets {
                all.insert(format!("route {id} {}: {} connected", net.trunc(), number_of(lrp, port)));
            }
        }
        // Of several routes to one prefix all that work, if they lead to different next hops, else the oldest.
        let mut routes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (lr, name, route, made) in &self.lsr {
            let Some((id, port)) = self.router_port(&present, lr, &route.outport) else { continue };
            let link = links
                .iter()
                .find(|(ls, lsp, r, p)| *r == lr && **p == route.outport && self.port(&present, ls, lsp).is_some());
            let own = port.nets.iter().any(|n| n.addr() == route.next_hop);
            let near = !own && port.nets.iter().any(|n| n.contains(&route.next_hop));
            if let Some((ls, ..)) = link.filter(|_| near) {
                let way = (number_of(&route.outport, port), route.next_hop);
                routes.entry((id, route.prefix)).or_default().push((*made, name, *ls, way));
            }
        }
        for ((id, prefix), mut ways) in routes {
            ways.sort();
            let (.., (port, hop)) = ways[0];
            if ways.iter().all(|(.., way)| *way == (port, hop)) {
                all.insert(format!("route {id} {prefix}: {port} via {hop}"));
                continue;
            }
            all.insert(format!("routes {id} {prefix}"));
            let (mut watched, mut ends) = (BTreeSet::new(), Vec::new());
            for (_, _, ls, (port, hop)) in ways {
                all.insert(format!("member {id} {port} {hop}"));
                let watch = self.watch(&present, &links, &hosted, ls, hop);
                watched.extend(watch.map(|_| (hop, port)));
                all.insert(format!("choice {port} via {hop} if {watch:?}"));
                ends.push((port, hop));
            }
            if !watched.is_empty() {
                all.insert("last resort".to_owned());
                all.extend(ends.iter().map(|(port, hop)| format!("last choice {port} via {hop}")));
            }
        }
        all
    }

    /// The port to be watched for a next hop in a switch: its own, or that with BFD to the chassis of its router.
    fn watch(
        &self,
        present: &BTreeSet<String>,
        links: &[(&Name, &Name, &Name, &Name)],
        hosted: &[(&Name, &Name, u32)],
        ls: &Name,
        hop: IpAddr,
    ) -> Option<u32> {
        let outside = self.lsp.iter().any(|(l, _, port, _)| l == ls && port.patch.is_some());
        let nobody = (!outside).then_some(NO_PORT);
        let has = |(l, p, port, _): &&(Name, Name, SwitchPort, i64)| {
            l == ls && port.ips.contains(&hop) && self.port(present, l, p).is_some()
        };
        let Some((_, lsp, port, _)) = self.lsp.iter().find(has) else { return nobody };
        if let Some((.., ofport)) = hosted.iter().find(|(l, p, _)| *l == ls && *p == lsp) {
            return if *ofport > 0 { Some(*ofport) } else { nobody };
        }
        let away = |chassis: &Name| chassis.as_str() != ME && self.endpoint(chassis).is_some();
        if let Some((.., lr, lrp)) = links.iter().find(|(l, p, ..)| *l == ls && *p == lsp) {
            if self.router_port(present, lr, lrp).is_some() {
                return None;
            }
            let pinned = self.any_router_port(lr, lrp).and_then(|_| self.valid_lr(lr)?.chassis.as_ref());
            let Some(chassis) = pinned.filter(|chassis| away(chassis)) else { return nobody };
            let end = self.endpoint(chassis)?;
            let bfd = self.watched.iter().find(|(kind, ip, _)| *kind == EncapKind::Geneve && *ip == end);
            return bfd.map(|(.., ofport)| *ofport);
        }
        let bound = self.binding.iter().find(|(l, p, _)| l == ls && p == lsp).map(|(_, _, b)| &b.chassis);
        match bound.filter(|chassis| port.peer.is_none() && away(chassis)) {
            Some(_) => None,
            None => nobody,
        }
    }
}

/// A router port's id, or what stands for one that has none.
fn number_of(name: &Name, port: &RouterPort) -> u32 {
    port.port_id.map_or_else(|| 0x0100_0000 + name_hash(name), |id| id.get().into())
}

fn number(matching: &Match, f: &'static Field) -> u64 {
    matching.get(f).and_then(|m| m.value.to_u64()).unwrap_or_default()
}

fn shown(matching: &Match, fields: &[&'static Field]) -> IpAddr {
    let found = fields.iter().find_map(|f| matching.get(f)).expect("an address is matched");
    address(found.value.as_bytes())
}

/// The codec keeps a wide register as its parts, as a switch does.
fn next_hop(m: &Match) -> IpAddr {
    let part = |f| u32::try_from(number(m, f)).expect("32 bits");
    if number(m, field::ETH_TYPE) == 0x800 {
        return IpAddr::V4(part(field::REG0).into());
    }
    let words = [field::REG0, field::REG1, field::REG2, field::REG3].map(part);
    IpAddr::V6(words.iter().fold(0, |all: u128, word| all << 32 | u128::from(*word)).into())
}

fn address(bytes: &[u8]) -> IpAddr {
    match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).expect("4 bytes")),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("16 bytes")),
        n => panic!("an address of {n} bytes"),
    }
}

fn mac(bytes: &[u8]) -> tuplenet_model::mac::Mac {
    tuplenet_model::mac::Mac(bytes.try_into().expect("6 bytes"))
}

fn set_value(flow: &Flow, wanted: &'static Field) -> Option<Vec<u8>> {
    let Some(Instruction::ApplyActions(actions)) = flow.instructions.first() else { return None };
    actions.iter().find_map(|a| match a {
        Action::SetField(set) if set.field().name == wanted.name => Some(set.value().as_bytes().to_vec()),
        _ => None,
    })
}

fn set_number(flow: &Flow, wanted: &'static Field) -> u64 {
    let bytes = set_value(flow, wanted).expect("the field is set");
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// The destinations of a route.
fn prefix(m: &Match) -> String {
    match m.get(field::IPV4_DST).or_else(|| m.get(field::IPV6_DST)) {
        Some(found) => {
            let ip = address(found.value.as_bytes());
            let all = found.value.as_bytes().len() as u32 * 8;
            let len = found.mask.map_or(all, |mask| mask.as_bytes().iter().map(|b| b.count_ones()).sum());
            format!("{ip}/{len}")
        }
        None if number(m, field::ETH_TYPE) == 0x800 => "0.0.0.0/0".into(),
        None => "::/0".into(),
    }
}

/// What a flow states, in the words of [`Plain::statements`]. Flows that follow from others' facts (loopback, drops) state nothing.
fn statement(flow: &Flow) -> Option<String> {
    let m = &flow.matching;
    let dp = number(m, register::DATAPATH);
    Some(match Cookie::decode(flow.cookie)?.rule {
        Rule::LocalPort => {
            format!(
                "in {}: {} {}",
                number(m, field::IN_PORT),
                set_number(flow, register::DATAPATH),
                set_number(flow, register::SRC_PORT)
            )
        }
        Rule::Pushout => {
            let Some(Instruction::ApplyActions(actions)) = flow.instructions.first() else { return None };
            let port =
                actions.iter().find_map(|a| if let Action::Output { port, .. } = a { Some(*port) } else { None });
            format!("out {dp} {}: {}", number(m, register::DST_PORT), port.expect("an output"))
        }
        Rule::L2 => {
            let place = set_value(flow, register::REMOTE4).map_or("here".into(), |ip| format!("at {}", address(&ip)));
            let eth = mac(m.get(field::ETH_DST).expect("a MAC").value.as_bytes());
            format!("l2 {dp} {eth}: {} {place}", set_number(flow, register::DST_PORT))
        }
        Rule::Arp | Rule::Nd => {
            let eth = mac(&set_value(flow, field::ETH_SRC).expect("a MAC"));
            format!("neighbour {dp} {}: {eth}", shown(m, &[field::ARP_TPA, field::ND_TARGET]))
        }
        Rule::PatchIn => {
            let (ofport, vlan) = (number(m, field::IN_PORT), number(m, field::VLAN_VID) & 0xfff);
            let (ls, port) = (set_number(flow, register::DATAPATH), set_number(flow, register::SRC_PORT));
            format!("patch in {ofport} {vlan}: {ls} {port}")
        }
        Rule::PatchOut => {
            let Some(Instruction::ApplyActions(actions)) = flow.instructions.first() else { return None };
            let port =
                actions.iter().find_map(|a| if let Action::Output { port, .. } = a { Some(*port) } else { None });
            let vlan = set_value(flow, field::VLAN_VID).map_or(0, |_| set_number(flow, field::VLAN_VID) & 0xfff);
            format!("patch out {dp} {}: {} {vlan}", number(m, register::DST_PORT), port.expect("an output"))
        }
        Rule::PatchUnknown if flow.table == stage::LRP_EGRESS_UPDATE_ETH_DST.table => return None,
        Rule::PatchUnknown => {
            let port = set_number(flow, register::DST_PORT);
            let place = set_value(flow, register::REMOTE4).map_or(String::new(), |ip| format!(" at {}", address(&ip)));
            let mask = m.get(register::FLAGS).and_then(|f| f.mask.as_ref()?.to_u64()).unwrap_or(0);
            if let Some(dst) = m.get(field::ETH_DST) {
                return Some(format!("relay {dp} {}: {port}{place}", mac(dst.value.as_bytes())));
            }
            match m.get(field::ETH_SRC) {
                Some(src) => format!("router {dp} {}: {port}{place}", mac(src.value.as_bytes())),
                None if place.is_empty() && mask & u64::from(register::FROM_TUNNEL) != 0 => {
                    format!("unknown {dp}: {port} not from tunnels")
                }
                None => format!("unknown {dp}: {port}{place}"),
            }
        }
        Rule::PatchOwn => format!("own {dp} {}", mac(m.get(field::ETH_SRC).expect("a MAC").value.as_bytes())),
        Rule::PatchElsewhere => match m.get(field::ETH_DST) {
            Some(dst) => format!("elsewhere {dp} {}", mac(dst.value.as_bytes())),
            None if m.get(field::ARP_TPA).is_some() || m.get(field::ND_TARGET).is_some() => {
                format!("silent {dp} {}", shown(m, &[field::ARP_TPA, field::ND_TARGET]))
            }
            None => return None,
        },
        Rule::ToRouter => {
            let (lr, lrp) = (set_number(flow, register::DATAPATH), set_number(flow, register::SRC_PORT));
            format!("link {dp} {}: {lr} {lrp}", number(m, register::DST_PORT))
        }
        Rule::NextHop => {
            let hop = next_hop(m);
            let eth = mac(&set_value(flow, field::ETH_DST).expect("a MAC"));
            format!("hop {dp} {} {hop}: {eth}", number(m, register::DST_PORT))
        }
        Rule::Echo => format!("echo {dp} {}", shown(m, &[field::IPV4_DST, field::IPV6_DST])),
        rule @ (Rule::Connected | Rule::Static) => {
            let prefix = prefix(m);
            let port = set_number(flow, register::DST_PORT);
            let hop = set_value(flow, register::NEXT_HOP4).or_else(|| set_value(flow, register::NEXT_HOP6));
            match (rule, hop) {
                (Rule::Static, Some(hop)) => format!("route {dp} {prefix}: {port} via {}", address(&hop)),
                _ => format!("route {dp} {prefix}: {port} connected"),
            }
        }
        Rule::Ecmp if flow.table == stage::LRP_INGRESS_ECMP_HASH.table => return None,
        Rule::Ecmp => format!("routes {dp} {}", prefix(m)),
        Rule::EcmpMember => format!("member {dp} {} {}", number(m, register::DST_PORT), next_hop(m)),
        _ => return None,
    })
}

/// What a bucket of equal routes states.
fn bucket_statement(last: bool, bucket: Bucket) -> String {
    if bucket.weight == Some(1) {
        return "last resort".to_owned();
    }
    let flow = Flow { instructions: vec![Instruction::ApplyActions(bucket.actions)], ..Flow::default() };
    let hop = set_value(&flow, register::NEXT_HOP4).or_else(|| set_value(&flow, register::NEXT_HOP6));
    let (port, hop) = (set_number(&flow, register::DST_PORT), address(&hop.expect("a next hop")));
    match last {
        true => format!("last choice {port} via {hop}"),
        false => format!("choice {port} via {hop} if {:?}", bucket.watch_port),
    }
}

fn engine_statements(engine: &Engine) -> BTreeSet<String> {
    let chosen = engine.groups().filter(|group| matches!(group.form, GroupForm::Select(_)));
    let choices = chosen.flat_map(|group| {
        let last = !is_ecmp_group(group.id);
        group.buckets.into_iter().map(move |bucket| bucket_statement(last, bucket))
    });
    engine.flows().filter_map(|flow| statement(&flow)).chain(choices).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_say_what_plain_loops_say(
        batches in proptest::collection::vec(proptest::collection::vec(change(), 1..12), 1..10)
    ) {
        let mut engine = engine();
        let mut facts: BTreeMap<String, Change> = BTreeMap::new();
        for batch in batches {
            let batch: Vec<Change> = batch.into_iter().flatten().collect();
            for change in &batch {
                facts.insert(subject(change), change.clone());
            }
            engine.apply(batch);
            prop_assert_eq!(engine_statements(&engine), Plain::read(facts.values()).statements());
        }
    }
}

#[test]
fn two_hosts_state_what_one_expects() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let said = engine_statements(&engine);
    for expected in [
        "in 11: 1 1",
        "out 1 1: 11",
        "l2 1 f2:01:0a:01:00:02: 2 at 192.0.2.2",
        "neighbour 2 10.2.0.2: f2:01:0a:02:00:02",
        "neighbour 1 fd00:1::fffe: f2:01:0a:01:00:fe",
        "hop 3 2 fd00:2::2: f2:01:0a:02:00:02",
        "echo 3 10.1.0.254",
        "route 3 10.2.0.0/16: 2 connected",
    ] {
        assert!(said.contains(expected), "{expected} is not among {said:#?}");
    }
    assert_eq!(said, Plain::read(two_hosts().iter()).statements());
}

#[test]
fn a_provider_network_states_what_one_expects() {
    let mut engine = engine();
    let mut facts = two_hosts();
    facts.extend([patch_port("A", 5, "hv1", "br-ex", 7), patch_port("A", 6, "hv2", "br-ex", 7)]);
    facts.extend([pair(1, 5, "br-ex", 30), patch_port("B", 5, "hv2", "br-ex", 0)]);
    engine.apply(facts.clone());
    let said = engine_statements(&engine);
    for expected in [
        "patch in 30 7: 1 5",
        "patch out 1 5: 30 7",
        "unknown 1: 5",
        "unknown 2: 5 at 192.0.2.2",
        "own 1 f2:01:0a:01:00:01",
        "own 1 f2:01:0a:01:00:fe",
        "elsewhere 1 f2:01:0a:01:00:02",
        "silent 1 10.1.0.2",
    ] {
        assert!(said.contains(expected), "{expected} is not among {said:#?}");
    }
    for wrong in ["elsewhere 1 f2:01:0a:01:00:01", "own 2 f2:01:0a:02:00:01", "elsewhere 1 f2:01:0a:01:00:fe"] {
        assert!(!said.contains(wrong), "{wrong} is said");
    }
    assert_eq!(said, Plain::read(facts.iter()).statements());
    let output = engine.apply([patch_port("A", 5, "hv1", "br-two", 7)]);
    let mut patches = output.patches.clone();
    patches.sort_by_key(|(_, wanted)| !wanted);
    let [(new, true), (old, false)] = &patches[..] else { panic!("{patches:?}") };
    assert_eq!((&*new.bridge, &*old.bridge, &*new.name, &*new.peer), ("br-two", "br-ex", "tp-1-5", "tpx-1-5"));
    assert!(!engine_statements(&engine).contains("patch in 30 7: 1 5"), "the pair is on the other bridge");
}

#[test]
fn equal_routes_state_what_one_expects() {
    let mut engine = engine();
    let mut facts = two_hosts();
    facts.extend([pinned_lr("S", 4, "hv2"), chassis("hv2", "192.0.2.2")]);
    let mut change = |path: &str, json: &str| facts.push(object(path, json));
    // The other end of S in A, in A's network.
    let mac = "f2:01:0a:01:00:09";
    change(
        "lr/S/lrp/S_to_A",
        &format!(r#"{{"port_id":1,"mac":"{mac}","nets":["10.1.0.9/16"],"peer":{{"ls":"A","lsp":"A_to_S"}}}}"#),
    );
    change(
        "ls/A/lsp/A_to_S",
        &format!(r#"{{"port_id":101,"mac":"{mac}","ips":["10.1.0.9"],"peer":{{"lr":"S","lrp":"S_to_A"}}}}"#),
    );
    for (n, hop) in [(1, "10.1.0.9"), (2, "10.1.0.1"), (3, "10.1.0.2")] {
        change(
            &format!("lr/R/lsr/way{n}"),
            &format!(r#"{{"prefix":"0.0.0.0/0","next_hop":"{hop}","outport":"R_to_A"}}"#),
        );
    }
    facts.push(Change::Tunnel { kind: EncapKind::Geneve, remote: Some([192, 0, 2, 2].into()), ofport: Some(21) });
    engine.apply(facts.clone());
    let said = engine_statements(&engine);
    for expected in [
        "routes 3 0.0.0.0/0",
        "choice 1 via 10.1.0.9 if Some(21)",
        "choice 1 via 10.1.0.1 if Some(11)",
        "choice 1 via 10.1.0.2 if None",
        "last resort",
        "last choice 1 via 10.1.0.2",
        "member 3 1 10.1.0.9",
    ] {
        assert!(said.contains(expected), "{expected} is not among {said:#?}");
    }
    assert_eq!(said, Plain::read(facts.iter()).statements());
}
