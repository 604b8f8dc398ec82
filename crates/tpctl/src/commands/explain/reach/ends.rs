//! The two ends, and what the store must say of them before any packet makes sense.

use super::Missing;
use crate::commands::explain::world::World;
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::{
    entity::{EncapKind, SwitchPort},
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_store::network::words;

/// One end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A port of a switch.
    Port {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
        /// The address that was said, rather than the port.
        only: Option<IpAddr>,
    },
    /// An address that no port has.
    Address(IpAddr),
}

impl End {
    /// A port.
    pub fn port((ls, lsp): (Name, Name)) -> Self {
        Self::Port { ls, lsp, only: None }
    }

    /// An address: the port that has it, if one does. Of several the one in the other end's switch, or else one that is near it.
    pub fn address(world: &World, near: &End, ip: IpAddr) -> Self {
        let ports =
            world.network.switches().flat_map(|(ls, _)| world.network.switch_ports(ls).map(move |port| (ls, port)));
        let mut having: Vec<(Name, Name)> = ports
            .filter(|(_, (_, port))| port.ips.contains(&ip))
            .map(|(ls, (lsp, _))| (ls.clone(), lsp.clone()))
            .collect();
        let near = match near {
            End::Port { ls, .. } => around(world, ls),
            End::Address(_) => Vec::new(),
        };
        having.sort_by_key(|(ls, _)| near.iter().position(|other| other == ls).unwrap_or(usize::MAX));
        match having.into_iter().next() {
            Some((ls, lsp)) if near.contains(&ls) => Self::Port { ls, lsp, only: Some(ip) },
            _ => Self::Address(ip),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Port { ls, lsp, only } => {
                let address = only.map(|ip| format!("{ip}, ")).unwrap_or_default();
                format!("{address}port {lsp} of switch {ls}")
            }
            Self::Address(ip) => ip.to_string(),
        }
    }

    /// Its port.
    pub fn switch_port<'a>(&self, world: &'a World) -> Option<&'a SwitchPort> {
        match self {
            Self::Port { ls, lsp, .. } => world.switch_port(ls, lsp),
            Self::Address(_) => None,
        }
    }

    /// Whether it is a port that sends packets of its own.
    pub fn is_guest(&self, world: &World) -> bool {
        self.switch_port(world).is_some_and(|port| port.peer.is_none())
    }

    /// The chassis that has it.
    pub fn host<'a>(&self, world: &'a World) -> Option<&'a Name> {
        match self {
            Self::Port { ls, lsp, .. } => world.host(ls, lsp),
            Self::Address(_) => None,
        }
    }

    fn addresses(&self, world: &World) -> Vec<IpAddr> {
        match self {
            Self::Address(ip) | Self::Port { only: Some(ip), .. } => vec![*ip],
            Self::Port { .. } => self.switch_port(world).map(|port| port.ips.clone()).unwrap_or_default(),
        }
    }

    /// What is missing of it.
    pub fn missing(&self, world: &World) -> Option<Missing> {
        let Self::Port { ls, lsp, only } = self else { return None };
        let key = Key::Lsp(ls.clone(), lsp.clone());
        let port = words(&key);
        for key in [&key, &Key::Ls(ls.clone())] {
            if let Some(why) = world.why_aside(key) {
                return Some(Missing::new(
                    format!("{} is set aside: {why}", words(key)),
                    "mend it; \"tpctl doctor\" lists all such objects",
                ));
            }
        }
        if let Some(peer) = self.switch_port(world).and_then(|port| port.peer.as_ref()) {
            // A router's address answers ping; asked for as a port it is none that sends.
            return only.is_none().then(|| {
                Missing::new(
                    format!("{port} is the end of a link with router {}: no VM is behind it", peer.lr),
                    "name a port of a VM; to ask for the router's address, name that",
                )
            });
        }
        let Some(chassis) = world.host(ls, lsp) else {
            // The name alone does where no other switch has a port of that name.
            let alone = world.keys().filter(|key| matches!(key, Key::Lsp(_, name) if name == lsp)).count() == 1;
            let id = if alone { lsp.to_string() } else { format!("{ls}/{lsp}") };
            return Some(Missing::new(
                format!("{port} is bound to no chassis: no host has an interface for it"),
                format!(
                    "set the iface-id of the VM's interface on its host: ovs-vsctl set interface NAME external_ids:iface-id={id}"
                ),
            ));
        };
        of_chassis(world, chassis, &format!("which has {port}"))
    }

    /// Why it is not certain that its host does what the store says.
    pub fn doubt(&self, world: &World) -> Option<Missing> {
        let Self::Port { ls, lsp, .. } = self else { return None };
        silent(world, world.host(ls, lsp)?, &format!("which has {}", words(&Key::Lsp(ls.clone(), lsp.clone()))))
    }
}

/// What is missing of a chassis.
pub fn of_chassis(world: &World, chassis: &Name, why: &str) -> Option<Missing> {
    let key = Key::Chassis(chassis.clone());
    if let Some(aside) = world.why_aside(&key) {
        return Some(Missing::new(
            format!("chassis {chassis}, {why}, is set aside: {aside}"),
            "its agent writes it anew when it starts",
        ));
    }
    if world.network.get(&key).is_none() {
        return Some(Missing::new(
            format!("chassis {chassis}, {why}, is not in the store: nobody knows its tunnel address"),
            format!("start the agent on {chassis}: it registers its chassis; see \"tpctl ch show\""),
        ));
    }
    None
}

/// That the agent of a chassis is silent. Its switch goes on, so that this is a doubt, not a reason.
pub fn silent(world: &World, chassis: &Name, why: &str) -> Option<Missing> {
    (!world.alive.contains(chassis.as_str())).then(|| {
        Missing::new(
            format!("the agent of chassis {chassis}, {why}, is silent"),
            format!(
                "look at {chassis}: is the host up, does its agent run and reach the store? If only the agent is down, the host's switch goes on \
                 with the flows that it had"
            ),
        )
    })
}

/// The switches that a port of one can reach through routers, nearest first.
fn around(world: &World, ls: &Name) -> Vec<Name> {
    let mut switches = vec![ls.clone()];
    let mut next = 0;
    while let Some(ls) = switches.get(next).cloned() {
        next += 1;
        let routers = world.network.switch_ports(&ls).filter_map(|(_, port)| port.peer.as_ref().map(|peer| &peer.lr));
        for lr in routers {
            let peers = world.network.router_ports(lr).filter_map(|(_, port)| port.peer.as_ref().map(|peer| &peer.ls));
            for ls in peers {
                if !switches.contains(ls) {
                    switches.push(ls.clone());
                }
            }
        }
    }
    switches
}

/// What is missing between two ends of which nothing is missing.
pub fn between(world: &World, from: &End, to: &End) -> Option<Missing> {
    let hosts = from.host(world).zip(to.host(world)).filter(|(a, b)| a != b);
    if let Some(missing) = hosts.and_then(|(a, b)| no_tunnel(world, a, b)) {
        return Some(missing);
    }
    addresses(world, from, to).is_empty().then(|| {
        Missing::new(
            format!(
                "they have no address family in common: {} has {}, {} {}",
                from.words(),
                families(&from.addresses(world)),
                to.words(),
                families(&to.addresses(world))
            ),
            "give one of them an address of the other's family: tpctl lsp set LS LSP --ip IP,IP6",
        )
    })
}

fn families(ips: &[IpAddr]) -> &'static str {
    match (ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6)) {
        (true, true) => "both",
        (true, false) => "IPv4 only",
        (false, true) => "IPv6 only",
        (false, false) => "none",
    }
}

fn no_tunnel(world: &World, a: &Name, b: &Name) -> Option<Missing> {
    let kinds = |name: &Name| -> BTreeSet<EncapKind> {
        match world.network.get(&Key::Chassis(name.clone())) {
            Some(Object::Chassis(chassis)) => chassis.encaps.iter().map(|encap| encap.kind).collect(),
            _ => BTreeSet::new(),
        }
    };
    let (of_a, of_b) = (kinds(a), kinds(b));
    let said = |kinds: &BTreeSet<EncapKind>| {
        let names: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
        if names.is_empty() { "no tunnels".to_owned() } else { names.join(" and ") }
    };
    of_a.is_disjoint(&of_b).then(|| {
        Missing::new(
            format!(
                "chassis {a} and {b} have no tunnel protocol in common: {a} speaks {}, {b} {}",
                said(&of_a),
                said(&of_b)
            ),
            "start one of the two agents with an encap of the other's",
        )
    })
}

/// The addresses that they would use, one pair a family.
pub fn addresses(world: &World, from: &End, to: &End) -> Vec<(IpAddr, IpAddr)> {
    let (mine, others) = (from.addresses(world), to.addresses(world));
    let pair = |v4: bool| {
        let of = |ips: &[IpAddr]| ips.iter().copied().find(|ip| ip.is_ipv4() == v4);
        Some((of(&mine)?, of(&others)?))
    };
    [pair(true), pair(false)].into_iter().flatten().collect()
}
