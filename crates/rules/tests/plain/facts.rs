//! All facts of a network, and what each of them is worth, by looking at all others.

use crate::common::ME;
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::{entity::*, key::Key, name::Name, object::Object};
use tuplenet_rules::{Change, LocalInterface, LocalPatch, cookie::name_hash};

/// All facts of a network, and nothing clever.
#[derive(Default)]
pub struct Plain {
    pub ls: Vec<(Name, LogicalSwitch, i64)>,
    pub lr: Vec<(Name, LogicalRouter, i64)>,
    pub lsp: Vec<(Name, Name, SwitchPort, i64)>,
    pub lrp: Vec<(Name, Name, RouterPort, i64)>,
    pub lsr: Vec<(Name, Name, StaticRoute, i64)>,
    pub chassis: Vec<(Name, Chassis)>,
    pub binding: Vec<(Name, Name, Binding)>,
    pub interface: Vec<(u128, LocalInterface)>,
    pub tunnel: bool,
    pub watched: Vec<(EncapKind, IpAddr, u32)>,
    pub patch: Vec<(String, LocalPatch)>,
}

impl Plain {
    pub fn read<'a>(facts: impl Iterator<Item = &'a Change>) -> Self {
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

    pub fn valid_ls(&self, name: &Name) -> Option<&LogicalSwitch> {
        let (_, ls, made) = self.ls.iter().find(|(n, ..)| n == name)?;
        self.id_ok(&Key::Ls(name.clone()), ls.id.get(), *made).then_some(ls)
    }

    pub fn valid_lr(&self, name: &Name) -> Option<&LogicalRouter> {
        let (_, lr, made) = self.lr.iter().find(|(n, ..)| n == name)?;
        self.id_ok(&Key::Lr(name.clone()), lr.id.get(), *made).then_some(lr)
    }

    /// (switch, switch port, router, router port) where each names the other and has the same addresses.
    pub fn links(&self) -> Vec<(&Name, &Name, &Name, &Name)> {
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

    pub fn is_here(&self, lr: &Name) -> bool {
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
    pub fn hosted(&self) -> Vec<(&Name, &Name, u32)> {
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
    pub fn present(&self) -> BTreeSet<String> {
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
    pub fn port(&self, present: &BTreeSet<String>, ls: &Name, lsp: &Name) -> Option<(u32, &SwitchPort)> {
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

    pub fn router_port(&self, present: &BTreeSet<String>, lr: &Name, lrp: &Name) -> Option<(u32, &RouterPort)> {
        self.any_router_port(lr, lrp).filter(|_| present.contains(&format!("lr {lr}")))
    }

    pub fn any_router_port(&self, lr: &Name, lrp: &Name) -> Option<(u32, &RouterPort)> {
        let id = self.valid_lr(lr)?.id.get();
        let (_, _, port, made) = self.lrp.iter().find(|(l, p, ..)| l == lr && p == lrp)?;
        let rival = |(l, p, other, m): &&(Name, Name, RouterPort, i64)| {
            let same_net = other.nets.iter().any(|a| port.nets.iter().any(|b| a.trunc() == b.trunc()));
            l == lr && p != lrp && (number_of(p, other) == number_of(lrp, port) || same_net) && (*m, p) < (*made, lrp)
        };
        self.lrp.iter().find(rival).is_none().then_some((id, port))
    }

    pub fn endpoint(&self, chassis: &Name) -> Option<IpAddr> {
        let (_, chassis) = self.chassis.iter().find(|(n, _)| n == chassis)?;
        chassis.encaps.iter().find(|e| self.tunnel && e.kind == EncapKind::Geneve).map(|e| e.ip)
    }
}

/// A router port's id, or what stands for one that has none.
pub fn number_of(name: &Name, port: &RouterPort) -> u32 {
    port.port_id.map_or_else(|| 0x0100_0000 + name_hash(name), |id| id.get().into())
}
