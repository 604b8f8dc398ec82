//! Several ways to one prefix: among which next hops a router chooses, which one a packet took, and what hosts say of each.
//!
//! Switches choose by what they know at that moment. What is told here are the store's routes and the last that hosts said of their BFD sessions: it
//! explains a choice, and makes none.

use super::bfd::Sessions;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{RouterPortRef, StaticRoute},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};
use tuplenet_openflow::{Value as Bits, field};
use tuplenet_rules::stage;
use tuplenet_sim::{
    packet::Packet,
    path::{Hop, Kind},
};

/// How many of the other next hops are named.
const NAMED: usize = 8;

/// A next hop of one of several equal routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ip: IpAddr,
    /// The router's port that leads there.
    pub outport: Name,
    /// The switch's port that has the address, if one has.
    pub port: Option<Name>,
    /// Whose that is: a router's name, or the port's own.
    owner: Option<Name>,
    /// Where it is, if that is one place.
    chassis: Option<Name>,
    /// Whether it is a guest, not a router.
    guest: bool,
    /// The last that was said of it, in words.
    pub state: Option<String>,
}

impl NextHop {
    fn of(network: &Network, lr: &Name, route: &StaticRoute) -> Self {
        let out = RouterPortRef { lr: lr.clone(), lrp: route.outport.clone() };
        let ls = network.router_port(&out).and_then(|port| port.peer.as_ref()).map(|peer| &peer.ls);
        let has = ls.and_then(|ls| {
            network.switch_ports(ls).find(|(_, port)| port.ips.contains(&route.next_hop)).map(|found| (ls, found))
        });
        let mut hop = NextHop {
            ip: route.next_hop,
            outport: route.outport.clone(),
            port: has.map(|(_, (lsp, _))| lsp.clone()),
            owner: None,
            chassis: None,
            guest: false,
            state: None,
        };
        let Some((ls, (lsp, port))) = has else { return hop };
        if let Some(peer) = &port.peer {
            hop.owner = Some(peer.lr.clone());
            if let Some(Object::Lr(router)) = network.get(&Key::Lr(peer.lr.clone())) {
                hop.chassis = router.chassis.clone();
            }
            return hop;
        }
        (hop.owner, hop.guest) = (Some(lsp.clone()), true);
        if let Some(Object::Binding(binding)) = network.get(&Key::Binding(ls.clone(), lsp.clone())) {
            hop.chassis = Some(binding.chassis.clone());
        }
        hop
    }

    /// Notes what is said of it: by one host, or by all.
    fn ask(&mut self, sessions: &Sessions, by: Option<&str>) {
        let Some(chassis) = self.chassis.as_deref() else { return };
        self.state = match by {
            // Of its own guests a host knows by their ports, withdrawn or not.
            Some(by) if self.guest && by == chassis => None,
            _ if sessions.withdrawn(chassis).is_some() => Some("withdrawn".to_owned()),
            Some(by) => sessions.of(chassis).find(|session| session.by == by).map(|said| format!("BFD {}", said.state)),
            None => Some(sessions.seen(chassis)).filter(|said| !said.is_empty()).map(|said| format!("BFD {said}")),
        };
    }

    /// `edge1 on hv2, BFD up`; empty if nothing is known.
    pub fn known(&self) -> String {
        let place = match (&self.owner, &self.chassis) {
            (Some(owner), Some(chassis)) => Some(format!("{owner} on {chassis}")),
            (Some(owner), None) if self.guest => Some(format!("{owner} on no chassis")),
            (owner, _) => owner.as_ref().map(Name::to_string),
        };
        place.into_iter().chain(self.state.clone()).collect::<Vec<_>>().join(", ")
    }

    /// `100.64.88.2 (edge1 on hv2, BFD up)`
    fn words(&self) -> String {
        match self.known() {
            known if known.is_empty() => self.ip.to_string(),
            known => format!("{} ({known})", self.ip),
        }
    }

    fn data(&self) -> Value {
        json!({"next_hop": self.ip, "outport": self.outport, "port": self.port, "of": self.owner, "chassis": self.chassis, "state": self.state})
    }
}

/// The prefixes of a router that have several next hops, with these in the order of their addresses.
pub fn several(network: &Network, lr: &Name, sessions: Option<&Sessions>) -> BTreeMap<IpNet, Vec<NextHop>> {
    let mut all: BTreeMap<IpNet, BTreeMap<(IpAddr, &Name), &StaticRoute>> = BTreeMap::new();
    for (_, route) in network.routes(lr) {
        all.entry(route.prefix).or_default().insert((route.next_hop, &route.outport), route);
    }
    all.retain(|_, routes| routes.len() > 1);
    let hop = |route: &StaticRoute| {
        let mut hop = NextHop::of(network, lr, route);
        if let Some(sessions) = sessions {
            hop.ask(sessions, None);
        }
        hop
    };
    all.into_iter().map(|(prefix, routes)| (prefix, routes.into_values().map(hop).collect())).collect()
}

/// A router had a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which of the path's hops tells of the decision.
    pub at: usize,
    lr: Name,
    chassis: String,
    prefix: IpNet,
    hops: Vec<NextHop>,
    /// Which of them, if the path tells.
    taken: Option<usize>,
}

/// Where a packet's way was one of several.
pub fn choices(network: &Network, hops: &[Hop], dst: IpAddr) -> Vec<Choice> {
    let decided = hops.iter().enumerate().filter(|(_, hop)| hop.stage == stage::LRP_TRACE_INGRESS_OUT.name);
    decided.filter_map(|(at, hop)| choice(network, hops, dst, at, hop)).collect()
}

fn choice(network: &Network, path: &[Hop], dst: IpAddr, at: usize, decided: &Hop) -> Option<Choice> {
    let lr: Name = decided.pipeline.parse().ok()?;
    let out: Name = decided.to.as_deref()?.parse().ok()?;
    let prefix = network.routes(&lr).map(|(_, route)| route.prefix).filter(|net| net.contains(&dst));
    let prefix = prefix.max_by_key(IpNet::prefix_len)?;
    let connected = network.router_ports(&lr).flat_map(|(_, port)| &port.nets);
    if connected.filter(|net| net.contains(&dst)).any(|net| net.prefix_len() > prefix.prefix_len()) {
        return None;
    }
    let hops = several(network, &lr, None).remove(&prefix)?;
    // NAT on the way may have changed the destination: then another route was meant.
    let by_port = || hops.iter().enumerate().filter(|(_, hop)| hop.outport == out);
    by_port().next()?;
    // To which port of the switch the packet went next.
    let peer = network.router_port(&RouterPortRef { lr: lr.clone(), lrp: out.clone() })?.peer.as_ref()?;
    let next = path.iter().skip(at).find(|hop| {
        hop.kind == Kind::Ls && hop.pipeline == peer.ls.as_str() && hop.stage == stage::LSP_TRACE_INGRESS_OUT.name
    });
    let to = next.and_then(|hop| hop.to.as_deref());
    let taken = match by_port().collect::<Vec<_>>()[..] {
        [(only, _)] => Some(only),
        // Two addresses of one port cannot be told apart.
        _ => match by_port().filter(|(_, hop)| to.is_some() && hop.port.as_deref() == to).collect::<Vec<_>>()[..] {
            [(only, _)] => Some(only),
            _ => None,
        },
    };
    Some(Choice { at, lr, chassis: decided.chassis.clone(), prefix, hops, taken })
}

/// Where a frame is for.
pub fn destination(frame: &[u8]) -> Option<IpAddr> {
    let packet = Packet::parse(frame).ok()?;
    let bytes = |value: Bits| value.as_bytes().to_vec();
    if let Some(v4) = packet.get(field::IPV4_DST).map(bytes).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) {
        return Some(v4.into());
    }
    packet.get(field::IPV6_DST).map(bytes).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).map(IpAddr::from)
}

impl Choice {
    /// The hosts whose word is needed: who chose, and who can be chosen.
    pub fn hosts(&self) -> (&str, BTreeSet<&Name>) {
        (&self.chassis, self.hops.iter().filter_map(|hop| hop.chassis.as_ref()).collect())
    }

    /// Notes what is said of the next hops: by who chose.
    pub fn ask(&mut self, sessions: &Sessions) {
        for hop in &mut self.hops {
            hop.ask(sessions, Some(&self.chassis));
        }
    }

    /// `one of 2 next hops for 0.0.0.0/0: 100.64.88.2 (edge1 on hv2, BFD up); the other is 100.64.88.6 (edge2 on hv3, BFD down)`
    pub fn words(&self) -> String {
        let taken = self.taken.and_then(|taken| self.hops.get(taken));
        let others: Vec<String> =
            self.hops.iter().enumerate().filter(|(i, _)| Some(*i) != self.taken).map(|(_, hop)| hop.words()).collect();
        let more = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let listed = others.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ") + &more;
        let which = match (taken, others.len()) {
            (Some(taken), 1) => format!("{}; the other is {listed}", taken.words()),
            (Some(taken), _) => format!("{}; the others are {listed}", taken.words()),
            (None, _) => listed,
        };
        format!("one of {} next hops for {}: {which}", self.hops.len(), self.prefix)
    }

    /// With where that was.
    pub fn sentence(&self) -> String {
        format!("{} on {} took {}", self.lr, self.chassis, self.words())
    }

    /// For programs.
    pub fn data(&self) -> Value {
        json!({
            "lr": self.lr, "chassis": self.chassis, "prefix": self.prefix,
            "taken": self.taken.and_then(|taken| self.hops.get(taken)).map(|hop| hop.ip),
            "next_hops": self.hops.iter().map(NextHop::data).collect::<Vec<_>>(),
        })
    }
}
