//! Which statements hold.

use crate::{
    common::ME,
    facts::{Plain, number_of},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{EncapKind, SwitchPort},
    name::Name,
};
use tuplenet_rules::{NO_PORT, UNWATCHED};

impl Plain {
    pub fn statements(&self) -> BTreeSet<String> {
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
                ends.extend((watch != Some(NO_PORT)).then_some((port, hop)));
            }
            if !watched.is_empty() {
                all.insert("last resort".to_owned());
                all.extend(ends.iter().map(|(port, hop)| format!("last choice {port} via {hop}")));
            }
        }
        all
    }

    /// The port to be watched for a next hop in a switch: its own, or that with BFD to the chassis that has it or its router.
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
        let by_bfd = |chassis: &Name| {
            let end = self.endpoint(chassis)?;
            let bfd = self.watched.iter().find(|(kind, ip, _)| *kind == EncapKind::Geneve && *ip == end);
            bfd.map(|(.., ofport)| *ofport)
        };
        let elsewhere = |chassis: &Name| by_bfd(chassis).or(Some(UNWATCHED));
        let away = |chassis: &Name| chassis.as_str() != ME && self.endpoint(chassis).is_some();
        if let Some((.., lr, lrp)) = links.iter().find(|(l, p, ..)| *l == ls && *p == lsp) {
            if self.router_port(present, lr, lrp).is_some() {
                return None;
            }
            let pinned = self.any_router_port(lr, lrp).and_then(|_| self.valid_lr(lr)?.chassis.as_ref());
            return pinned.filter(|chassis| away(chassis)).map_or(nobody, elsewhere);
        }
        let bound = self.binding.iter().find(|(l, p, _)| l == ls && p == lsp).map(|(_, _, b)| &b.chassis);
        bound.filter(|chassis| port.peer.is_none() && away(chassis)).map_or(nobody, elsewhere)
    }
}
