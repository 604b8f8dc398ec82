//! From the network that is to the network that is wanted: which objects change, in transactions that fit the store, in an order that leaves a
//! valid network after each.
//!
//! Changes that only make sense together (the two ends of a link, an address that moves from one port to another, a route and the port
//! that it leaves) form a group; a group is never split. Groups are made in phases:
//!
//! ```text
//! 0 switches and routers come or change      4 ports come, change, change places
//! 1 routes, NAT rules go                     5 routes, NAT rules come or change
//! 2 ports go                                 6 switches and routers go
//! 3 switches and routers exchange ids
//! ```

use super::{NetworkError, claims, edit::Change, error::words, io::MAX_OPS, snapshot::Snapshot};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{key::Key, network::Network, object::Object};

/// What `apply` will do.
#[derive(Debug)]
pub struct Plan {
    /// All changes, ordered by key. Those that only mend claims have a `new` equal to their `old`.
    pub changes: Vec<Change>,
    /// Indexes of `changes`, a list for each transaction.
    pub(super) steps: Vec<Step>,
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Step {
    pub changes: Vec<usize>,
    pub phase: u8,
}

impl Plan {
    /// Compares. Chassis and bindings are their agents' and stay as they are.
    pub fn new(snapshot: &Snapshot, wanted: &Network) -> Result<Self, NetworkError> {
        Self::within(MAX_OPS, snapshot, wanted)
    }

    /// As [`Plan::new`], for a store that takes so many operations a transaction.
    fn within(max_ops: usize, snapshot: &Snapshot, wanted: &Network) -> Result<Self, NetworkError> {
        let changes = changes(snapshot, wanted);
        let mut steps = Vec::new();
        let groups = groups(&changes);
        let whole = groups.iter().flatten().map(|i| weight(changes.get(*i), snapshot)).sum::<usize>();
        if whole <= max_ops {
            // All at once is the best order.
            let all: Vec<usize> = (0..changes.len()).collect();
            steps.extend((!all.is_empty()).then_some(Step { changes: all, phase: 0 }));
            return Ok(Self { changes, steps });
        }
        let mut phased: Vec<(u8, Vec<usize>)> =
            groups.into_iter().map(|group| (phase(&changes, &group), group)).collect();
        phased.sort();
        let mut room = 0;
        for (phase, group) in phased {
            let needs: usize = group.iter().map(|i| weight(changes.get(*i), snapshot)).sum();
            if needs > max_ops {
                let names: Vec<String> =
                    group.iter().filter_map(|i| changes.get(*i)).take(3).map(|c| words(&c.key)).collect();
                return Err(NetworkError::Refused(format!(
                    "{} objects ({}, ...) change places with each other, which does not fit into one transaction of the store: apply it in two \
                     steps, through a document without them",
                    group.len(),
                    names.join(", ")
                )));
            }
            match steps.last_mut() {
                Some(step) if step.phase == phase && needs <= room => step.changes.extend(group),
                _ => {
                    steps.push(Step { changes: group, phase });
                    room = max_ops;
                }
            }
            room -= needs;
        }
        Ok(Self { changes, steps })
    }

    /// Whether the network is as wanted.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

fn changes(snapshot: &Snapshot, wanted: &Network) -> Vec<Change> {
    let ours = |key: &Key| !matches!(key, Key::Chassis(_) | Key::Binding(..));
    let old = snapshot.objects.keys().filter(|key| ours(key));
    let new = wanted.iter().map(|(key, _)| key).filter(|key| ours(key));
    let keys: BTreeSet<&Key> = old.chain(new).collect();
    let change = |key: &Key| {
        let (old, new) = (snapshot.objects.get(key), wanted.get(key));
        let same = matches!((old, new), (Some(old), Some(new)) if old.object.as_ref() == Ok(new));
        let change = Change { key: key.clone(), old: old.cloned(), new: new.cloned() };
        let claimed = || {
            let owner = key.to_string();
            change.claims().iter().all(|claim| snapshot.claims.get(claim).is_some_and(|held| held.owner == owner))
        };
        if same && claimed() { None } else { Some(change) }
    };
    keys.into_iter().filter_map(change).collect()
}

/// An upper bound of what a change adds to a transaction: itself, its claims, its parent, its binding; and for a claim that another holds the proof
/// that the other is gone.
fn weight(change: Option<&Change>, snapshot: &Snapshot) -> usize {
    let Some(change) = change else { return 0 };
    let (claims, owner) = (change.claims(), change.key.to_string());
    let foreign = |claim: &&String| snapshot.claims.get(*claim).is_some_and(|held| held.owner != owner);
    claims.len() + claims.iter().filter(foreign).count() + 4
}

/// Changes that must be made together, as lists of indexes: connected components.
fn groups(changes: &[Change]) -> Vec<Vec<usize>> {
    let index: BTreeMap<&Key, usize> = changes.iter().enumerate().map(|(i, change)| (&change.key, i)).collect();
    let mut sets = Sets((0..changes.len()).collect());
    let mut released: BTreeMap<String, usize> = BTreeMap::new();
    for (i, change) in changes.iter().enumerate() {
        let old = change.old.as_ref().and_then(|old| old.object.as_ref().ok());
        for object in [old, change.new.as_ref()].into_iter().flatten() {
            let partner = match (&change.key, object) {
                (_, Object::Lsp(port)) => port.peer.as_ref().map(|p| Key::Lrp(p.lr.clone(), p.lrp.clone())),
                (_, Object::Lrp(port)) => port.peer.as_ref().map(|p| Key::Lsp(p.ls.clone(), p.lsp.clone())),
                // A route that changes; one that comes or goes has its phase.
                (Key::Lsr(lr, _), Object::Lsr(route)) if change.old.is_some() && change.new.is_some() => {
                    Some(Key::Lrp(lr.clone(), route.outport.clone()))
                }
                _ => None,
            };
            if let Some(j) = partner.and_then(|partner| index.get(&partner)) {
                sets.join(i, *j);
            }
        }
        released.extend(old.into_iter().flat_map(|old| claims::of(&change.key, old)).map(|claim| (claim, i)));
    }
    for (i, change) in changes.iter().enumerate() {
        for claim in change.new.iter().flat_map(|new| claims::of(&change.key, new)) {
            if let Some(j) = released.get(&claim) {
                sets.join(i, *j);
            }
        }
    }
    for (i, j) in handed_over(changes) {
        sets.join(i, j);
    }
    // Ports that change places out of datapaths that exchange ids: the datapath cannot go before them, nor they before the others come.
    let collect = |sets: &mut Sets| {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for i in 0..changes.len() {
            groups.entry(sets.root(i)).or_default().push(i);
        }
        groups.into_values().collect::<Vec<_>>()
    };
    let found = collect(&mut sets);
    let mut joined = false;
    let phase_of: Vec<(u8, &Vec<usize>)> = found.iter().map(|group| (phase(changes, group), group)).collect();
    let exchanged: BTreeSet<usize> =
        phase_of.iter().filter(|(p, _)| *p == 3).flat_map(|(_, g)| g.iter().copied()).collect();
    let exchanged_parent = |i: usize, change: &Change| {
        parent(&change.key).and_then(|parent| index.get(&parent)).filter(|j| exchanged.contains(j)).map(|j| (i, *j))
    };
    for (_, group) in phase_of.iter().filter(|(p, _)| *p == 4) {
        let members = || group.iter().filter_map(|i| Some((*i, changes.get(*i)?)));
        if members().any(|(i, change)| change.new.is_none() && exchanged_parent(i, change).is_some()) {
            // Those that come with them need their datapaths by then, too.
            for (i, j) in members().filter_map(|(i, change)| exchanged_parent(i, change)) {
                sets.join(i, j);
                joined = true;
            }
        }
    }
    if joined { collect(&mut sets) } else { found }
}

/// Changes of NAT rules by which an external address goes from one router to another. Where they meet outside, both may not have it.
fn handed_over(changes: &[Change]) -> Vec<(usize, usize)> {
    let external = |object: Option<&Object>| match object {
        Some(Object::Lnat(rule)) => Some(rule.external()),
        _ => None,
    };
    let mut given: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    let mut taken: Vec<(IpAddr, usize)> = Vec::new();
    for (i, change) in changes.iter().enumerate() {
        let old = external(change.old.as_ref().and_then(|old| old.object.as_ref().ok()));
        let new = external(change.new.as_ref());
        if old != new {
            // A rule that goes does so before others come.
            old.filter(|_| new.is_some()).into_iter().for_each(|ip| given.entry(ip).or_default().push(i));
            taken.extend(new.map(|ip| (ip, i)));
        }
    }
    let parent_of = |i: usize| changes.get(i).and_then(|change| parent(&change.key));
    let from = |(ip, i): (IpAddr, usize)| {
        let givers = given.get(&ip).into_iter().flatten().copied();
        givers.filter(move |j| parent_of(*j) != parent_of(i)).map(move |j| (i, j))
    };
    taken.into_iter().flat_map(from).collect()
}

/// The switch or router that an object is part of.
pub(super) fn parent(key: &Key) -> Option<Key> {
    match key {
        Key::Lsp(ls, _) => Some(Key::Ls(ls.clone())),
        Key::Lrp(lr, _) | Key::Lsr(lr, _) | Key::Lnat(lr, _) => Some(Key::Lr(lr.clone())),
        _ => None,
    }
}

fn phase(changes: &[Change], group: &[usize]) -> u8 {
    let members = || group.iter().filter_map(|i| changes.get(*i));
    let any = |test: fn(&Key) -> bool| members().any(|change| test(&change.key));
    let all_go = members().all(|change| change.new.is_none());
    let none_goes = members().all(|change| change.new.is_some());
    let datapaths = any(|key| matches!(key, Key::Ls(_) | Key::Lr(_)));
    let ports = any(|key| matches!(key, Key::Lsp(..) | Key::Lrp(..)));
    match (datapaths, ports) {
        (true, true) => 3,
        (true, false) if none_goes => 0,
        (true, false) if all_go => 6,
        (true, false) => 3,
        (false, true) if all_go => 2,
        (false, true) => 4,
        (false, false) if all_go => 1,
        (false, false) => 5,
    }
}

/// Disjoint sets of indexes (union-find with path halving).
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut i: usize) -> usize {
        while let Some(up) = self.0.get(i).copied().filter(|up| *up != i) {
            let next = self.0.get(up).copied().unwrap_or(up);
            if let Some(slot) = self.0.get_mut(i) {
                *slot = next;
            }
            i = next;
        }
        i
    }
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.0.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}

#[cfg(test)]
mod tests;
