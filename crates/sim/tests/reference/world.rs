//! The network as it is once contradictions are settled: what the store's objects mean, and nothing about how it is done.
//!
//! Reading an object and judging it alone is the model's (`Object::parse`). Here is what objects mean to each other:
//!
//! - Of two objects that claim the same thing the older stays: the one with the lower create revision, then switches before routers,
//!   then by name. It is enough that the older one is readable; it may be set aside itself for another reason.
//!   Claims are: a datapath's id; in a switch a port id, a MAC, an address; in a router a port id, a connected network.
//! - A port needs its switch or router, which must not be set aside.
//! - A link is a switch port and a router port that name each other and have the same MAC and the same addresses.
//! - A VM's port is where its binding says. The end of a link is where its router is: everywhere, or on the chassis that the router
//!   is pinned to; bindings of it mean nothing.
//! - A patch port is on the chassis that it names, one a chassis and switch. Of those whose chassis exists the first by name is *designated*: it speaks
//!   for ports of chassis without one, and for routers that are everywhere.
//! - A router that is everywhere has NAT rules that are distributed only, and these have no address of its own. Of the rules of a router those stay that
//!   contradict no older one of it; of those with one external address in the network of a switch that several routers are on, or of switches
//!   whose patch ports lead to bridges of one name and one VLAN, the oldest one's router has it.
//! - A host can send to another if it has a tunnel of a kind that the other has, too.

use crate::generate::{Network, Object as Stored};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{
        Binding, Chassis, LogicalRouter, LogicalSwitch, NatConflict, NatRule, RouterPort, StaticRoute, SwitchPort,
    },
    key::Key,
    mac::Mac,
    name::Name,
    object::Object,
    outside::Segment,
};

/// Which place among equals: older first.
type Age = (i64, Key);

/// All readable objects, with their keys and create revisions.
#[derive(Default)]
struct Read {
    ls: Vec<(Name, LogicalSwitch, Age)>,
    lr: Vec<(Name, LogicalRouter, Age)>,
    lsp: Vec<((Name, Name), SwitchPort, Age)>,
    lrp: Vec<((Name, Name), RouterPort, Age)>,
    lsr: Vec<((Name, Name), StaticRoute, Age)>,
    lnat: Vec<((Name, Name), NatRule, Age)>,
    chassis: BTreeMap<Name, Chassis>,
    binding: BTreeMap<(Name, Name), Binding>,
}

/// A network without contradictions.
#[derive(Default, Debug)]
pub struct World {
    pub switches: BTreeMap<Name, Switch>,
    pub routers: BTreeMap<Name, Router>,
    pub chassis: BTreeMap<Name, Chassis>,
    /// What each host learned of neighbours outside: by host, switch and address.
    pub neighbours: BTreeMap<(Name, Name, IpAddr), Mac>,
    /// Ports of VMs that are down, by switch: seen on their own hosts only.
    pub dead: BTreeSet<(Name, Name)>,
}

#[derive(Debug)]
pub struct Switch {
    pub flood: bool,
    pub ports: BTreeMap<Name, Port>,
}

/// A port of a switch.
#[derive(Debug)]
pub struct Port {
    pub is: SwitchPort,
    pub place: Place,
}

/// Where a switch port leads.
#[derive(Debug, PartialEq)]
pub enum Place {
    /// A VM on that chassis.
    Vm(Name),
    /// That router's port.
    Link { lr: Name, lrp: Name },
    /// A physical network, on that chassis.
    Patch(Name),
    /// Nowhere: not bound, or half a link.
    Nowhere,
}

#[derive(Debug)]
pub struct Router {
    /// Where it is, if not everywhere.
    pub pinned: Option<Name>,
    pub ports: BTreeMap<Name, Gate>,
    /// Oldest first.
    pub routes: Vec<StaticRoute>,
    pub rules: Vec<NatRule>,
}

/// A port of a router.
#[derive(Debug)]
pub struct Gate {
    pub is: RouterPort,
    /// The switch port at the other end, if there is a whole link.
    pub link: Option<(Name, Name)>,
}

fn read(objects: &[Stored]) -> Read {
    let mut all = Read::default();
    for stored in objects {
        let Ok(Some(key)) = Key::parse(&stored.path) else { continue };
        let Ok(object) = Object::parse(&key, stored.json.as_bytes()) else { continue };
        let age = (stored.created, key.clone());
        match (key, object) {
            (Key::Ls(name), Object::Ls(o)) => all.ls.push((name, o, age)),
            (Key::Lr(name), Object::Lr(o)) => all.lr.push((name, o, age)),
            (Key::Lsp(ls, name), Object::Lsp(o)) => all.lsp.push(((ls, name), o, age)),
            (Key::Lrp(lr, name), Object::Lrp(o)) => all.lrp.push(((lr, name), o, age)),
            (Key::Lsr(lr, name), Object::Lsr(o)) => all.lsr.push(((lr, name), o, age)),
            (Key::Lnat(lr, name), Object::Lnat(o)) => all.lnat.push(((lr, name), o, age)),
            (Key::Chassis(name), Object::Chassis(o)) => drop(all.chassis.insert(name, o)),
            (Key::Binding(ls, name), Object::Binding(o)) => drop(all.binding.insert((ls, name), o)),
            (key, _) => unreachable!("{key} holds an object of another kind"),
        }
    }
    all.lsr.sort_by(|(_, _, a), (_, _, b)| a.cmp(b));
    all.lnat.sort_by(|(_, _, a), (_, _, b)| a.cmp(b));
    all
}

impl Read {
    fn has_datapath(&self, id: u32, age: &Age) -> bool {
        let switches = self.ls.iter().map(|(_, o, age)| (o.id.get(), age));
        let mut all = switches.chain(self.lr.iter().map(|(_, o, age)| (o.id.get(), age)));
        all.all(|(other, other_age)| other != id || other_age >= age)
    }

    fn switch_port_stays(&self, ls: &Name, port: &SwitchPort, age: &Age) -> bool {
        self.lsp.iter().filter(|((other_ls, _), ..)| other_ls == ls).all(|(_, other, other_age)| {
            let same = other.port_id == port.port_id
                || other.mac.is_some() && other.mac == port.mac
                || other.patch.is_some()
                    && other.patch.as_ref().map(|patch| &patch.chassis)
                        == port.patch.as_ref().map(|patch| &patch.chassis)
                || other.ips.iter().any(|ip| port.ips.contains(ip));
            !same || other_age >= age
        })
    }

    fn router_port_stays(&self, lr: &Name, port: &RouterPort, age: &Age) -> bool {
        self.lrp.iter().filter(|((other_lr, _), ..)| other_lr == lr).all(|(_, other, other_age)| {
            let same_id = port.port_id.is_some() && other.port_id == port.port_id;
            let same_net = other.nets.iter().any(|a| port.nets.iter().any(|b| a.trunc() == b.trunc()));
            !(same_id || same_net) || other_age >= age
        })
    }

    /// The rules of a router that stay.
    fn rules_of(&self, lr: &Name) -> Vec<NatRule> {
        let sound = |lr: &Name| -> Vec<(&NatRule, &Age)> {
            let of: Vec<_> =
                self.lnat.iter().filter(|((of, _), ..)| of == lr).map(|(_, rule, age)| (rule, age)).collect();
            // Each of the two ways to contradict by itself: who lost in one still counts in the other.
            let loses = |(rule, _): &(&NatRule, &Age), external: bool| {
                let mut kept: Vec<&NatRule> = Vec::new();
                for (other, _) in &of {
                    let clash = kept.iter().any(|k| {
                        k.contradicts(other).is_some_and(|c| matches!(c, NatConflict::External(_)) == external)
                    });
                    if std::ptr::eq(*other, *rule) {
                        return clash;
                    }
                    if !clash {
                        kept.push(other);
                    }
                }
                false
            };
            of.iter().copied().filter(|rule| !loses(rule, true) && !loses(rule, false)).collect()
        };
        // Where an address is seen: switches with a link of the router whose network holds it, and what these lead to.
        let patches = |ls: &Name| -> Vec<Segment> {
            let ports = self.lsp.iter().filter(|((of, _), ..)| of == ls);
            ports.filter_map(|(_, port, _)| port.patch.as_ref()).map(Segment::beyond).collect()
        };
        let seen = |lr: &Name, ip: IpAddr| -> Vec<Segment> {
            let ports =
                self.lrp.iter().filter(|((of, _), port, _)| of == lr && port.nets.iter().any(|net| net.contains(&ip)));
            let linked = ports.filter_map(|(at, port, _)| {
                let peer = port.peer.as_ref()?;
                self.linked(&(peer.ls.clone(), peer.lsp.clone()), at).then(|| peer.ls.clone())
            });
            linked.flat_map(|ls| [vec![Segment::Switch(ls.clone())], patches(&ls)].concat()).collect()
        };
        let pinned = |lr: &Name| self.lr.iter().any(|(name, o, _)| name == lr && o.chassis.is_some());
        let own = |lr: &Name, ip: IpAddr| {
            self.lrp.iter().any(|(at, port, _)| {
                let peer = port.peer.as_ref().map(|peer| (peer.ls.clone(), peer.lsp.clone()));
                at.0 == *lr
                    && port.nets.iter().any(|net| net.addr() == ip)
                    && peer.is_some_and(|lsp| self.linked(&lsp, at))
            })
        };
        let answers = |lr: &Name, rule: &NatRule| pinned(lr) || rule.distributed && !own(lr, rule.external());
        let routers: BTreeSet<&Name> =
            self.lnat.iter().map(|((lr, _), ..)| lr).filter(|lr| self.router_stays(lr)).collect();
        let stays = |(rule, age): &(&NatRule, &Age)| {
            let ip = rule.external();
            let here = seen(lr, ip);
            answers(lr, rule)
                && routers.iter().filter(|other| **other != lr).all(|other| {
                    let there = seen(other, ip);
                    let rivals =
                        sound(other).into_iter().filter(|(rival, _)| rival.external() == ip && answers(other, rival));
                    let shared = here.iter().any(|at| there.contains(at));
                    // All rules of the router with the oldest stay.
                    let oldest = sound(lr)
                        .iter()
                        .filter(|(rule, _)| rule.external() == ip && answers(lr, rule))
                        .map(|(_, age)| *age)
                        .min()
                        .unwrap_or(age);
                    !shared || rivals.map(|(_, age)| age).min().is_none_or(|rival| rival > oldest)
                })
        };
        let all = sound(lr);
        all.into_iter().filter(stays).map(|(rule, _)| rule.clone()).collect()
    }

    fn router_stays(&self, lr: &Name) -> bool {
        self.lr.iter().any(|(name, o, age)| name == lr && self.has_datapath(o.id.get(), age))
    }

    /// The two are a link, whatever else is wrong with them.
    fn linked(&self, lsp: &(Name, Name), lrp: &(Name, Name)) -> bool {
        let Some((_, a, _)) = self.lsp.iter().find(|(name, ..)| name == lsp) else { return false };
        let Some((_, b, _)) = self.lrp.iter().find(|(name, ..)| name == lrp) else { return false };
        let named = a.peer.as_ref().is_some_and(|p| (&p.lr, &p.lrp) == (&lrp.0, &lrp.1))
            && b.peer.as_ref().is_some_and(|p| (&p.ls, &p.lsp) == (&lsp.0, &lsp.1));
        let sorted = |mut ips: Vec<IpAddr>| {
            ips.sort();
            ips
        };
        named && a.mac == Some(b.mac) && sorted(a.ips.clone()) == sorted(b.nets.iter().map(|net| net.addr()).collect())
    }
}

impl Switch {
    /// The patch port on a chassis.
    pub fn patch(&self, chassis: &Name) -> Option<(&Name, &Port)> {
        self.ports.iter().find(|(_, port)| port.place == Place::Patch(chassis.clone()))
    }
}

impl World {
    /// The chassis that speaks in a switch for those without a patch port.
    pub fn designated(&self, ls: &Name) -> Option<&Name> {
        let patched = self.switches.get(ls)?.ports.values().filter_map(|port| match &port.place {
            Place::Patch(chassis) if self.chassis.contains_key(chassis) => Some(chassis),
            _ => None,
        });
        patched.min()
    }

    /// What the objects mean.
    pub fn of(network: &Network) -> Self {
        let all = read(&network.objects);
        let mut world = World { chassis: all.chassis.clone(), ..World::default() };
        for (name, o, _) in all.ls.iter().filter(|(_, o, age)| all.has_datapath(o.id.get(), age)) {
            world.switches.insert(name.clone(), Switch { flood: o.flood, ports: BTreeMap::new() });
        }
        for (name, o, _) in all.lr.iter().filter(|(_, o, age)| all.has_datapath(o.id.get(), age)) {
            let router =
                Router { pinned: o.chassis.clone(), ports: BTreeMap::new(), routes: Vec::new(), rules: Vec::new() };
            world.routers.insert(name.clone(), router);
        }
        for ((lr, lrp), o, age) in &all.lrp {
            if let Some(router) = world.routers.get_mut(lr)
                && all.router_port_stays(lr, o, age)
            {
                router.ports.insert(lrp.clone(), Gate { is: o.clone(), link: None });
            }
        }
        for ((lr, _), o, _) in &all.lsr {
            if let Some(router) = world.routers.get_mut(lr) {
                router.routes.push(o.clone());
            }
        }
        for ((ls, lsp), o, age) in &all.lsp {
            if !world.switches.contains_key(ls) || !all.switch_port_stays(ls, o, age) {
                continue;
            }
            let at = (ls.clone(), lsp.clone());
            let place = match &o.peer {
                None if o.patch.is_some() => {
                    o.patch.as_ref().map_or(Place::Nowhere, |patch| Place::Patch(patch.chassis.clone()))
                }
                None => all.binding.get(&at).map_or(Place::Nowhere, |b| Place::Vm(b.chassis.clone())),
                Some(peer) => {
                    let there = (peer.lr.clone(), peer.lrp.clone());
                    let gate = world.routers.get_mut(&peer.lr).and_then(|router| router.ports.get_mut(&peer.lrp));
                    match gate.filter(|_| all.linked(&at, &there)) {
                        Some(gate) => {
                            gate.link = Some(at);
                            Place::Link { lr: there.0, lrp: there.1 }
                        }
                        None => Place::Nowhere,
                    }
                }
            };
            if let Some(switch) = world.switches.get_mut(ls) {
                switch.ports.insert(lsp.clone(), Port { is: o.clone(), place });
            }
        }
        for (lr, router) in &mut world.routers {
            router.rules = all.rules_of(lr);
        }
        for known in &network.neighbours {
            let host = (name(&known.chassis), name(&known.ls), known.ip);
            world.neighbours.insert(host, known.mac);
        }
        world
    }
}

fn name(s: &str) -> Name {
    s.parse().expect("the generator's names are names")
}
