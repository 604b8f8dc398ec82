//! A whole network in memory, and the plain judgement of how its objects fit together.
//!
//! `tpctl` judges a network before it writes it. Agents judge incrementally, in the rules crate; what is refused here is at
//! least what is set aside there.

use crate::{
    entity::{
        LogicalRouter, LogicalSwitch, NatConflict, NatRule, RouterPort, RouterPortRef, StaticRoute, SwitchPort,
        SwitchPortRef,
    },
    key::Key,
    name::Name,
    object::{Invalid, Object},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::{self, Display},
    net::IpAddr,
};

/// Every object of a network, by key. A key always holds an object of its own kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network(BTreeMap<Key, Object>);

/// The two ends of the link between a router and a switch, named as `tpctl lr link` names them.
pub fn link_names(lr: &Name, ls: &Name) -> Result<(RouterPortRef, SwitchPortRef), Invalid> {
    let name = |text: String| {
        let too_long =
            |problem| Invalid::new(format!("lr/{lr}"), "", problem, "shorten the router's or the switch's name");
        text.parse::<Name>().map_err(too_long)
    };
    let lrp = RouterPortRef { lr: lr.clone(), lrp: name(format!("{lr}_to_{ls}"))? };
    let lsp = SwitchPortRef { ls: ls.clone(), lsp: name(format!("{ls}_to_{lr}"))? };
    Ok((lrp, lsp))
}

impl Network {
    /// Adds or replaces. Ignores (and returns false for) an object that a key of this kind cannot hold.
    pub fn insert(&mut self, key: Key, object: Object) -> bool {
        let fits = object.fits(&key);
        if fits {
            self.0.insert(key, object);
        }
        fits
    }
    /// Takes an object out.
    pub fn remove(&mut self, key: &Key) -> Option<Object> {
        self.0.remove(key)
    }
    /// The object under a key.
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.0.get(key)
    }
    /// All objects, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Object)> {
        self.0.iter()
    }
    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is no object at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The switches.
    pub fn switches(&self) -> impl Iterator<Item = (&Name, &LogicalSwitch)> {
        self.0.iter().filter_map(|pair| if let (Key::Ls(ls), Object::Ls(o)) = pair { Some((ls, o)) } else { None })
    }
    /// The routers.
    pub fn routers(&self) -> impl Iterator<Item = (&Name, &LogicalRouter)> {
        self.0.iter().filter_map(|pair| if let (Key::Lr(lr), Object::Lr(o)) = pair { Some((lr, o)) } else { None })
    }
    /// The ports of a switch.
    pub fn switch_ports<'a>(&'a self, ls: &'a Name) -> impl Iterator<Item = (&'a Name, &'a SwitchPort)> {
        let from = Key::Lsp(ls.clone(), smallest());
        self.0.range(from..).map_while(move |pair| match pair {
            (Key::Lsp(of, lsp), Object::Lsp(port)) if of == ls => Some((lsp, port)),
            _ => None,
        })
    }
    /// The ports of a router.
    pub fn router_ports<'a>(&'a self, lr: &'a Name) -> impl Iterator<Item = (&'a Name, &'a RouterPort)> {
        let from = Key::Lrp(lr.clone(), smallest());
        self.0.range(from..).map_while(move |pair| match pair {
            (Key::Lrp(of, lrp), Object::Lrp(port)) if of == lr => Some((lrp, port)),
            _ => None,
        })
    }
    /// The static routes of a router.
    pub fn routes<'a>(&'a self, lr: &'a Name) -> impl Iterator<Item = (&'a Name, &'a StaticRoute)> {
        let from = Key::Lsr(lr.clone(), smallest());
        self.0.range(from..).map_while(move |pair| match pair {
            (Key::Lsr(of, lsr), Object::Lsr(route)) if of == lr => Some((lsr, route)),
            _ => None,
        })
    }
    /// The NAT rules of a router.
    pub fn nat_rules<'a>(&'a self, lr: &'a Name) -> impl Iterator<Item = (&'a Name, &'a NatRule)> {
        let from = Key::Lnat(lr.clone(), smallest());
        self.0.range(from..).map_while(move |pair| match pair {
            (Key::Lnat(of, name), Object::Lnat(rule)) if of == lr => Some((name, rule)),
            _ => None,
        })
    }
    /// A switch port by reference.
    pub fn switch_port(&self, port: &SwitchPortRef) -> Option<&SwitchPort> {
        match self.0.get(&Key::Lsp(port.ls.clone(), port.lsp.clone())) {
            Some(Object::Lsp(port)) => Some(port),
            _ => None,
        }
    }
    /// A router port by reference.
    pub fn router_port(&self, port: &RouterPortRef) -> Option<&RouterPort> {
        match self.0.get(&Key::Lrp(port.lr.clone(), port.lrp.clone())) {
            Some(Object::Lrp(port)) => Some(port),
            _ => None,
        }
    }

    /// Everything that is wrong, of single objects and between them, ordered by object. Empty: the network may be written.
    /// Linear in the number of objects.
    pub fn check(&self) -> Vec<Invalid> {
        let mut found: Vec<Invalid> = self.0.iter().filter_map(|(key, o)| o.validate(key).err()).collect();
        self.check_unique(&mut found);
        for (lr, _) in self.routers() {
            self.check_nat(lr, &mut found);
        }
        self.check_outside(&mut found);
        for (key, object) in &self.0 {
            let fault = match (key, object) {
                (Key::Lsp(ls, lsp), Object::Lsp(port)) => self.check_switch_port(key, ls, lsp, port),
                (Key::Lrp(lr, lrp), Object::Lrp(port)) => self.check_router_port(key, lr, lrp, port),
                (Key::Lsr(lr, _), Object::Lsr(route)) => self.check_route(key, lr, route),
                (Key::Lnat(lr, _), Object::Lnat(_)) if !self.0.contains_key(&Key::Lr(lr.clone())) => {
                    let problem = format!("there is no router {lr}");
                    Err(Invalid::new(key, "", problem, format!("add it: tpctl lr add {lr}")))
                }
                (Key::Binding(ls, lsp), _) if !self.0.contains_key(&Key::Lsp(ls.clone(), lsp.clone())) => {
                    Err(Invalid::new(key, "", "its port does not exist", "delete the binding, or add the port"))
                }
                _ => Ok(()),
            };
            found.extend(fault.err());
        }
        found.sort();
        found.dedup();
        found
    }

    /// Ids of datapaths; port ids, MACs and addresses within a datapath.
    fn check_unique(&self, found: &mut Vec<Invalid>) {
        let mut seen: BTreeMap<Unique, &Key> = BTreeMap::new();
        for (key, object) in &self.0 {
            for (field, value) in unique_values(key, object) {
                match seen.entry(value) {
                    Entry::Vacant(slot) => {
                        slot.insert(key);
                    }
                    Entry::Occupied(slot) if *slot.get() == key => {} // within one object: Object::validate says it
                    Entry::Occupied(slot) => {
                        let problem = format!("{} is taken by {}", slot.key(), slot.get());
                        found.push(Invalid::new(
                            key,
                            field,
                            problem,
                            "choose another, or delete or change the other one",
                        ));
                    }
                }
            }
        }
    }

    /// Rules of one router that contradict each other.
    fn check_nat(&self, lr: &Name, found: &mut Vec<Invalid>) {
        let pinned = matches!(self.0.get(&Key::Lr(lr.clone())), Some(Object::Lr(router)) if router.chassis.is_some());
        let mut seen: BTreeMap<NatConflict, Vec<(&Name, &NatRule)>> = BTreeMap::new();
        for (name, rule) in self.nat_rules(lr) {
            if !pinned {
                found.extend(check_place(&Key::Lnat(lr.clone(), name.clone()), rule).err());
            }
            let parts = [NatConflict::External(rule.external()), NatConflict::Inner(rule.inner())];
            for part in parts {
                let others = seen.entry(part).or_default();
                if let Some((other, _)) = others.iter().find(|(_, theirs)| rule.contradicts(theirs) == Some(part)) {
                    found.push(nat_conflict(&Key::Lnat(lr.clone(), name.clone()), rule, other, part));
                }
                others.push((name, rule));
            }
        }
    }

    fn check_switch_port(&self, key: &Key, ls: &Name, lsp: &Name, port: &SwitchPort) -> Result<(), Invalid> {
        if !self.0.contains_key(&Key::Ls(ls.clone())) {
            return Err(Invalid::new(
                key,
                "",
                format!("there is no switch {ls}"),
                format!("add it: tpctl ls add {ls}"),
            ));
        }
        let Some(peer) = &port.peer else { return Ok(()) };
        let other = Key::Lrp(peer.lr.clone(), peer.lrp.clone());
        let Some(end) = self.router_port(peer) else { return Err(missing_peer(key, &other)) };
        let back = end.peer.as_ref().is_some_and(|back| back.ls == *ls && back.lsp == *lsp);
        if !back {
            return Err(one_sided_peer(key, &other));
        }
        if let Some(mac) = port.mac.filter(|mac| *mac != end.mac) {
            let problem = format!("{mac} differs from that of the other end, {other}: {}", end.mac);
            return Err(Invalid::new(key, "mac", problem, "give both ends of a link the same"));
        }
        let (mut ours, mut theirs) = (port.ips.clone(), end.nets.iter().map(|net| net.addr()).collect::<Vec<_>>());
        ours.sort();
        theirs.sort();
        if ours != theirs {
            let problem = format!("they differ from those of the other end, {other}");
            return Err(Invalid::new(key, "ips", problem, "give both ends of a link the same"));
        }
        Ok(())
    }

    fn check_router_port(&self, key: &Key, lr: &Name, lrp: &Name, port: &RouterPort) -> Result<(), Invalid> {
        if !self.0.contains_key(&Key::Lr(lr.clone())) {
            return Err(Invalid::new(
                key,
                "",
                format!("there is no router {lr}"),
                format!("add it: tpctl lr add {lr}"),
            ));
        }
        let Some(peer) = &port.peer else { return Ok(()) };
        let other = Key::Lsp(peer.ls.clone(), peer.lsp.clone());
        let Some(end) = self.switch_port(peer) else { return Err(missing_peer(key, &other)) };
        match &end.peer {
            Some(back) if back.lr == *lr && back.lrp == *lrp => Ok(()), // the rest is said of the switch's end
            _ => Err(one_sided_peer(key, &other)),
        }
    }

    fn check_route(&self, key: &Key, lr: &Name, route: &StaticRoute) -> Result<(), Invalid> {
        if !self.0.contains_key(&Key::Lr(lr.clone())) {
            return Err(Invalid::new(
                key,
                "",
                format!("there is no router {lr}"),
                format!("add it: tpctl lr add {lr}"),
            ));
        }
        let port = self.router_port(&RouterPortRef { lr: lr.clone(), lrp: route.outport.clone() });
        let Some(port) = port else {
            let problem = format!("{lr} has no port {}", route.outport);
            return Err(Invalid::new(key, "outport", problem, format!("see: tpctl lrp show {lr}")));
        };
        check_next_hop(key, route, port)
    }
}

/// A next hop is a neighbour: in a network of the port that leads to it, and not the port itself.
pub fn check_next_hop(key: &Key, route: &StaticRoute, outport: &RouterPort) -> Result<(), Invalid> {
    let (hop, name) = (route.next_hop, &route.outport);
    if outport.nets.iter().any(|net| net.addr() == hop) {
        let problem = format!("{hop} is the address of {name} itself");
        return Err(Invalid::new(key, "next_hop", problem, "give the address of the neighbour that forwards"));
    }
    if !outport.nets.iter().any(|net| net.contains(&hop)) {
        let nets = outport.nets.iter().map(|net| net.trunc().to_string()).collect::<Vec<_>>().join(", ");
        let problem = format!("{hop} is in no network of {name} ({nets})");
        return Err(Invalid::new(key, "next_hop", problem, "give an address in one of them, or another outport"));
    }
    Ok(())
}

/// What a distributed router cannot do: state is in one place.
pub fn check_place(key: &Key, rule: &NatRule) -> Result<(), Invalid> {
    if rule.distributed {
        return Ok(());
    }
    let problem = "its router is distributed, and translation needs one place";
    let remedy = "pin the router to a chassis, or make the rule floating and distributed";
    Err(Invalid::new(key, "type", problem, remedy))
}

/// What is wrong with a rule that contradicts another of its router.
pub fn nat_conflict(key: &Key, rule: &NatRule, other: &Name, conflict: NatConflict) -> Invalid {
    let in_prefix = match conflict {
        NatConflict::External(ip) => ip == rule.prefix.addr() && ip != rule.xlate_ip,
        NatConflict::Inner(net) => net == rule.prefix,
    };
    let problem = match conflict {
        NatConflict::External(ip) => format!("the external address {ip} is taken by the rule {other}"),
        NatConflict::Inner(net) => format!("{net} is translated by the rule {other} already"),
    };
    let field = if in_prefix { "prefix" } else { "xlate_ip" };
    Invalid::new(key, field, problem, "choose another, or delete or change the other one")
}

/// What may exist once only.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Unique {
    DatapathId(u32),
    Of(Datapath, Value),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Datapath {
    Ls(Name),
    Lr(Name),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Port(u16),
    Mac([u8; 6]),
    Ip(IpAddr),
    Net(IpNet),
    Patch(Name),
}

impl Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unique::DatapathId(id) => write!(f, "id {id}"),
            Unique::Of(_, Value::Port(id)) => write!(f, "port id {id}"),
            Unique::Of(_, Value::Mac(mac)) => crate::mac::Mac(*mac).fmt(f),
            Unique::Of(_, Value::Ip(ip)) => ip.fmt(f),
            Unique::Of(_, Value::Net(net)) => write!(f, "the network {net}"),
            Unique::Of(_, Value::Patch(chassis)) => write!(f, "the patch to {chassis}"),
        }
    }
}

fn unique_values(key: &Key, object: &Object) -> Vec<(&'static str, Unique)> {
    match (key, object) {
        (Key::Ls(_), Object::Ls(ls)) => vec![("id", Unique::DatapathId(ls.id.get()))],
        (Key::Lr(_), Object::Lr(lr)) => vec![("id", Unique::DatapathId(lr.id.get()))],
        (Key::Lsp(ls, _), Object::Lsp(port)) => {
            let of = |value| Unique::Of(Datapath::Ls(ls.clone()), value);
            let mut all = vec![("port_id", of(Value::Port(port.port_id.get())))];
            all.extend(port.mac.map(|mac| ("mac", of(Value::Mac(mac.0)))));
            all.extend(port.patch.as_ref().map(|patch| ("patch.chassis", of(Value::Patch(patch.chassis.clone())))));
            all.extend(port.ips.iter().map(|ip| ("ips", of(Value::Ip(*ip)))));
            all
        }
        (Key::Lrp(lr, _), Object::Lrp(port)) => {
            let of = |value| Unique::Of(Datapath::Lr(lr.clone()), value);
            let mut all = Vec::from_iter(port.port_id.map(|id| ("port_id", of(Value::Port(id.get())))));
            all.extend(port.nets.iter().map(|net| ("nets", of(Value::Net(net.trunc())))));
            all
        }
        _ => Vec::new(),
    }
}

fn missing_peer(key: &Key, other: &Key) -> Invalid {
    Invalid::new(key, "peer", format!("there is no {other}"), "unlink and link again: tpctl lr unlink, tpctl lr link")
}

fn one_sided_peer(key: &Key, other: &Key) -> Invalid {
    let remedy = "a link's two ports name each other: delete this port, or unlink and link again";
    Invalid::new(key, "peer", format!("{other} does not name it back"), remedy)
}

/// Sorts before (or is) every name: `-` and `.` begin none, `0` is the smallest character that does.
fn smallest() -> Name {
    "0".parse().expect("\"0\" is a legal name")
}
