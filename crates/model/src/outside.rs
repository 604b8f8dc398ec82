//! Who answers for an address where networks are met, and that there is one at most.
//!
//! A router answers ARP and neighbour discovery for the external addresses of its NAT rules, on each switch where a network of its own holds the address;
//! everybody on the switch asks there, and everybody in the physical network that patch ports of the switch lead to. Two routers
//! with rules for one address would both be believed, in turn. Which segment a patch port leads to nobody tells; bridges of one name are taken for one
//! physical network on all hosts, in each VLAN of it another.
//!
//! *Not* rivals are rules of one router ([`crate::entity::NatRule::contradicts`] judges these), addresses in no network of a router, which others route to it
//! and nobody asks for, and rules that no host keeps, of a router that is everywhere and not distributed themselves.

use crate::{
    entity::{NatRule, Patch, SwitchPort},
    key::Key,
    name::Name,
    network::Network,
    object::{Invalid, Object},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// Where all hear who asks for an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A switch.
    Switch(Name),
    /// What a bridge leads to, on whatever host: untagged, or in a VLAN.
    Bridge(Name, Option<u16>),
}

impl Segment {
    /// Where a patch port leads.
    pub fn beyond(patch: &Patch) -> Self {
        Segment::Bridge(patch.bridge.clone(), patch.vlan)
    }
}

/// As in "taken by ... in switch out", "... on bridge br-ex".
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Switch(ls) => write!(f, "in switch {ls}"),
            Segment::Bridge(bridge, None) => write!(f, "on bridge {bridge}"),
            Segment::Bridge(bridge, Some(vlan)) => write!(f, "in VLAN {vlan} of bridge {bridge}"),
        }
    }
}

/// Whether any host keeps a rule: connections are known in one place, that of the router or that of the port.
pub fn is_kept(rule: &NatRule, pinned: bool) -> bool {
    pinned || rule.distributed
}

/// Whether a rule is translated at the hosts that have the ports. It has a MAC address of its own there, so its address cannot be the router's, too.
pub fn is_spread(rule: &NatRule, pinned: bool) -> bool {
    rule.distributed && !pinned
}

/// Who answers for an address already, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// A port of a switch, or a NAT rule.
    pub key: Key,
    /// Where it would be asked together with whom it keeps from answering.
    pub at: Segment,
    /// The router of the rule, or that the port leads to.
    router: Option<Name>,
}

/// Who answers for some addresses, by where these are asked for.
#[derive(Default)]
struct Holders(BTreeMap<(Segment, IpAddr), Vec<Holder>>);

/// Patch ports' segments, by switch.
type Beyond<'a> = BTreeMap<&'a Name, BTreeSet<Segment>>;

/// A switch as a segment, and those beyond it.
fn segments(beyond: &Beyond<'_>, ls: &Name) -> BTreeSet<Segment> {
    let mut all = beyond.get(ls).cloned().unwrap_or_default();
    all.insert(Segment::Switch(ls.clone()));
    all
}

impl Network {
    fn beyond(&self) -> Beyond<'_> {
        let mut all: Beyond<'_> = BTreeMap::new();
        for (key, object) in self.iter() {
            if let (Key::Lsp(ls, _), Object::Lsp(SwitchPort { patch: Some(patch), .. })) = (key, object) {
                all.entry(ls).or_default().insert(Segment::beyond(patch));
            }
        }
        all
    }

    /// All rules with their router and whether it is pinned.
    fn all_rules(&self) -> impl Iterator<Item = (&Name, bool, &Name, &NatRule)> {
        self.routers().flat_map(move |(lr, router)| {
            let pinned = router.chassis.is_some();
            self.nat_rules(lr).map(move |(name, rule)| (lr, pinned, name, rule))
        })
    }

    /// Where a router answers for the external address of a rule.
    fn exposed(&self, beyond: &Beyond<'_>, lr: &Name, pinned: bool, rule: &NatRule) -> BTreeSet<Segment> {
        if !is_kept(rule, pinned) {
            return BTreeSet::new();
        }
        let here = self.router_ports(lr).filter(|(_, port)| port.nets.iter().any(|net| net.contains(&rule.external())));
        let linked = here.filter_map(|(_, port)| port.peer.as_ref().filter(|peer| self.switch_port(peer).is_some()));
        linked.flat_map(|peer| segments(beyond, &peer.ls)).collect()
    }

    /// Who answers for these.
    fn holders(&self, beyond: &Beyond<'_>, wanted: &BTreeSet<(Segment, IpAddr)>) -> Holders {
        let mut held = Holders::default();
        let ips: BTreeSet<IpAddr> = wanted.iter().map(|(_, ip)| *ip).collect();
        let mut note = |key: Key, router: Option<&Name>, at: BTreeSet<Segment>, ip: IpAddr| {
            for at in at {
                let place = (at, ip);
                if wanted.contains(&place) {
                    let holder = Holder { key: key.clone(), at: place.0.clone(), router: router.cloned() };
                    held.0.entry(place).or_default().push(holder);
                }
            }
        };
        if ips.is_empty() {
            return held;
        }
        for (key, object) in self.iter() {
            if let (Key::Lsp(ls, _), Object::Lsp(port)) = (key, object) {
                for ip in port.ips.iter().filter(|ip| ips.contains(ip)) {
                    note(key.clone(), port.peer.as_ref().map(|peer| &peer.lr), segments(beyond, ls), *ip);
                }
            }
        }
        for (lr, pinned, name, rule) in self.all_rules().filter(|(.., rule)| ips.contains(&rule.external())) {
            let key = Key::Lnat(lr.clone(), name.clone());
            note(key, Some(lr), self.exposed(beyond, lr, pinned, rule), rule.external());
        }
        held
    }

    /// Who answers for an address where a patch port leads to.
    pub fn holder_beyond(&self, patch: &Patch, ip: IpAddr) -> Option<Holder> {
        let place = (Segment::beyond(patch), ip);
        let held = self.holders(&self.beyond(), &BTreeSet::from([place.clone()]));
        held.0.get(&place)?.first().cloned()
    }

    /// The NAT rule that answers for an address already, where a port of a switch would be asked for it.
    pub fn rule_near(&self, ls: &Name, ip: IpAddr) -> Option<Holder> {
        let beyond = self.beyond();
        let near = segments(&beyond, ls).into_iter().map(|at| (at, ip)).collect();
        let held = self.holders(&beyond, &near);
        held.0.into_values().flatten().find(|holder| matches!(holder.key, Key::Lnat(..)))
    }

    /// Who answers for the external address of a rule already, where the rule's router would. The rule need not be part of the network.
    pub fn rival(&self, lr: &Name, rule: &NatRule) -> Option<Holder> {
        let beyond = self.beyond();
        let pinned = self.is_pinned(lr);
        let at = self.exposed(&beyond, lr, pinned, rule);
        let held = self.holders(&beyond, &at.iter().map(|at| (at.clone(), rule.external())).collect());
        held.rival(lr, pinned, rule, &at, |_| true).cloned()
    }

    /// Routers that answer where this one does, whatever rules they have: of these nobody may add one while a rule of this one is judged.
    pub fn neighbours_outside(&self, lr: &Name) -> BTreeSet<Name> {
        let beyond = self.beyond();
        let of = |lr: &Name| -> BTreeSet<Segment> {
            let peers = self.router_ports(lr).filter_map(|(_, port)| port.peer.as_ref());
            peers.flat_map(|peer| segments(&beyond, &peer.ls)).collect()
        };
        let ours = of(lr);
        let others = self.routers().map(|(other, _)| other).filter(|other| *other != lr);
        others.filter(|other| !of(other).is_disjoint(&ours)).cloned().collect()
    }

    fn is_pinned(&self, lr: &Name) -> bool {
        matches!(self.get(&Key::Lr(lr.clone())), Some(Object::Lr(router)) if router.chassis.is_some())
    }

    /// Rules whose address somebody else answers for. Of two rules the one that is later by key; who is older the network does not say.
    pub(crate) fn check_outside(&self, found: &mut Vec<Invalid>) {
        let beyond = self.beyond();
        let rules: Vec<_> = self
            .all_rules()
            .map(|(lr, pinned, name, rule)| (lr, pinned, name, rule, self.exposed(&beyond, lr, pinned, rule)))
            .collect();
        let wanted =
            rules.iter().flat_map(|(.., rule, at)| at.iter().map(|at| (at.clone(), rule.external()))).collect();
        let held = self.holders(&beyond, &wanted);
        for (lr, pinned, name, rule, at) in &rules {
            let key = Key::Lnat((*lr).clone(), (*name).clone());
            let earlier = |holder: &Holder| !matches!(holder.key, Key::Lnat(..)) || holder.key < key;
            if let Some(holder) = held.rival(lr, *pinned, rule, at, earlier) {
                found.push(holder.refuses(&key, rule));
            }
        }
    }
}

impl Holders {
    fn rival(
        &self,
        lr: &Name,
        pinned: bool,
        rule: &NatRule,
        at: &BTreeSet<Segment>,
        counts: impl Fn(&Holder) -> bool,
    ) -> Option<&Holder> {
        let rivals = |holder: &&Holder| match (&holder.key, holder.router.as_ref() == Some(lr)) {
            (Key::Lnat(..), own) => !own,
            (_, own) => !own || is_spread(rule, pinned),
        };
        let ip = rule.external();
        at.iter()
            .filter_map(|at| self.0.get(&(at.clone(), ip)))
            .flatten()
            .find(|holder| rivals(holder) && counts(holder))
    }
}

impl Holder {
    /// What is wrong with a rule whose external address this one has.
    fn refuses(&self, key: &Key, rule: &NatRule) -> Invalid {
        let field = if rule.external() == rule.prefix.addr() { "prefix" } else { "xlate_ip" };
        let problem = format!("the external address {} is taken by {} {}", rule.external(), self.key, self.at);
        Invalid::new(key, field, problem, "choose another, or delete or change the other one")
    }
}
