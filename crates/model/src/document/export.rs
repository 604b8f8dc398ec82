//! From a network to a document that holds all of it.

use super::{Document, Link, Nat, PlainPort, Port, Route, Router, Short, Switch};
use crate::{
    entity::{RouterPort, RouterPortRef, SwitchPort, SwitchPortRef},
    key::Key,
    name::Name,
    network::{Network, link_names},
    object::Object,
};

impl Document {
    /// Everything of a network but chassis and bindings, which agents write. Parts whose switch or router is missing cannot be said and are
    /// left out ([`Network::check`] finds them).
    pub fn of(network: &Network) -> Self {
        let mut document = Document::default();
        for (name, ls) in network.switches() {
            let switch = Switch {
                id: Some(ls.id),
                flood: ls.flood,
                mtu: ls.mtu,
                description: ls.meta.description.clone(),
                labels: ls.meta.labels.clone(),
                ..Switch::default()
            };
            document.switches.insert(name.clone(), Some(switch));
        }
        for (name, lr) in network.routers() {
            let router = Router {
                id: Some(lr.id),
                chassis: lr.chassis.clone(),
                ecmp_hash: lr.ecmp_hash.clone(),
                description: lr.meta.description.clone(),
                labels: lr.meta.labels.clone(),
                ..Router::default()
            };
            document.routers.insert(name.clone(), Some(router));
        }
        for (key, object) in network.iter() {
            document.add(network, key, object);
        }
        document
    }

    fn add(&mut self, network: &Network, key: &Key, object: &Object) {
        match (key, object) {
            (Key::Lsp(ls, lsp), Object::Lsp(port)) => {
                let Some(Some(switch)) = self.switches.get_mut(ls) else { return };
                let here = SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() };
                let link = port.peer.as_ref().and_then(|peer| plain_link(network, peer, &here));
                if link.is_none() {
                    switch.ports.insert(lsp.clone(), Short(switch_port(port)));
                }
            }
            (Key::Lrp(lr, lrp), Object::Lrp(port)) => {
                let Some(Some(router)) = self.routers.get_mut(lr) else { return };
                let here = RouterPortRef { lr: lr.clone(), lrp: lrp.clone() };
                match port.peer.as_ref().and_then(|peer| Some((&peer.ls, plain_link(network, &here, peer)?))) {
                    Some((ls, link)) => drop(router.links.insert(ls.clone(), Short(link))),
                    None => drop(router.ports.insert(lrp.clone(), Short(plain_port(port)))),
                }
            }
            (Key::Lsr(lr, name), Object::Lsr(route)) => {
                let Some(Some(router)) = self.routers.get_mut(lr) else { return };
                let route = Route {
                    prefix: route.prefix,
                    next_hop: route.next_hop,
                    outport: Some(route.outport.clone()),
                    description: route.meta.description.clone(),
                    labels: route.meta.labels.clone(),
                };
                router.routes.insert(name.clone(), route);
            }
            (Key::Lnat(lr, name), Object::Lnat(rule)) => {
                let Some(Some(router)) = self.routers.get_mut(lr) else { return };
                let rule = Nat {
                    kind: rule.kind,
                    prefix: rule.prefix,
                    xlate_ip: rule.xlate_ip,
                    distributed: rule.distributed,
                    description: rule.meta.description.clone(),
                    labels: rule.meta.labels.clone(),
                };
                router.nat.insert(name.clone(), rule);
            }
            _ => {}
        }
    }
}

/// The link between two ports, if they are just what `links` makes of it.
fn plain_link(network: &Network, lrp: &RouterPortRef, lsp: &SwitchPortRef) -> Option<Link> {
    let names = link_names(&lrp.lr, &lsp.ls).ok()?;
    let (router_port, switch_port) = (network.router_port(lrp)?, network.switch_port(lsp)?);
    let exist = |name: &Name, router: bool| {
        let key = if router { Key::Lr(name.clone()) } else { Key::Ls(name.clone()) };
        network.get(&key).is_some()
    };
    let plain = names == (lrp.clone(), lsp.clone())
        && router_port.peer.as_ref() == Some(lsp)
        && switch_port.peer.as_ref() == Some(lrp)
        && Some(router_port.mac) == switch_port.mac
        && router_port.meta == switch_port.meta
        && switch_port.ips.iter().copied().eq(router_port.nets.iter().map(|net| net.addr()))
        && exist(&lrp.lr, true)
        && exist(&lsp.ls, false);
    plain.then(|| Link {
        nets: router_port.nets.clone(),
        mac: Some(router_port.mac),
        router_port_id: router_port.port_id,
        switch_port_id: Some(switch_port.port_id),
        description: router_port.meta.description.clone(),
        labels: router_port.meta.labels.clone(),
    })
}

fn switch_port(port: &SwitchPort) -> Port {
    Port {
        port_id: Some(port.port_id),
        mac: port.mac,
        ips: port.ips.clone(),
        peer: port.peer.clone(),
        patch: port.patch.clone(),
        description: port.meta.description.clone(),
        labels: port.meta.labels.clone(),
    }
}

fn plain_port(port: &RouterPort) -> PlainPort {
    PlainPort {
        port_id: port.port_id,
        mac: Some(port.mac),
        nets: port.nets.clone(),
        peer: port.peer.clone(),
        description: port.meta.description.clone(),
        labels: port.meta.labels.clone(),
    }
}
