//! Which datapaths each chassis has: those that its ports and its pinned routers reach. It is the rule `present` of the rules, for all hosts
//! at once: switches and distributed routers that are linked form *groups*; whoever has a port in one has all of it.

use super::{order::natural, source::Source};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{
    entity::{RouterPortRef, SwitchPortRef},
    key::Key,
    name::Name,
    object::Object,
};

/// The groups, and who has which.
pub struct Presence {
    /// The group of each switch and of each distributed router.
    group: BTreeMap<Key, usize>,
    /// The datapaths of each group, switches first.
    datapaths: BTreeMap<usize, Vec<Name>>,
    /// The groups of each chassis.
    of: BTreeMap<Name, BTreeSet<usize>>,
    /// Chassis and groups of each pinned router.
    pinned: BTreeMap<Key, (Name, BTreeSet<usize>)>,
}

impl Presence {
    /// Finds them all: linear in the number of objects, but for trees and sets.
    pub fn of(source: &Source) -> Self {
        let network = &source.network;
        let aside: BTreeSet<&str> = source.rejected.iter().map(|fault| fault.key.as_str()).collect();
        let valid = |key: &Key| !aside.contains(key.to_string().as_str());
        let (mut keys, mut pinned) = (Vec::new(), BTreeMap::new());
        for (key, object) in network.iter().filter(|(key, _)| valid(key)) {
            match object {
                Object::Ls(_) => keys.push(key.clone()),
                Object::Lr(router) => match &router.chassis {
                    None => keys.push(key.clone()),
                    Some(chassis) => {
                        pinned.insert(key.clone(), (chassis.clone(), BTreeSet::new()));
                    }
                },
                _ => {}
            }
        }
        let is_router = |key: &Key| matches!(key, Key::Lr(_));
        keys.sort_by(|a, b| is_router(a).cmp(&is_router(b)).then_with(|| natural(&a.to_string(), &b.to_string())));
        let place: BTreeMap<&Key, usize> = keys.iter().enumerate().map(|(i, key)| (key, i)).collect();
        let mut sets: Vec<usize> = (0..keys.len()).collect();
        let mut ends: Vec<(Key, usize)> = Vec::new();
        for (key, object) in network.iter() {
            let (Key::Lrp(lr, lrp), Object::Lrp(port)) = (key, object) else { continue };
            let Some(peer) = &port.peer else { continue };
            let lsp = Key::Lsp(peer.ls.clone(), peer.lsp.clone());
            let back = network.switch_port(&SwitchPortRef { ls: peer.ls.clone(), lsp: peer.lsp.clone() });
            let named = RouterPortRef { lr: lr.clone(), lrp: lrp.clone() };
            let joined = back.is_some_and(|back| back.peer.as_ref() == Some(&named)) && valid(key) && valid(&lsp);
            let (lr, Some(ls)) = (Key::Lr(lr.clone()), place.get(&Key::Ls(peer.ls.clone()))) else { continue };
            match place.get(&lr) {
                Some(router) if joined => join(&mut sets, *router, *ls),
                None if joined => ends.push((lr, *ls)),
                _ => {}
            }
        }
        for (router, ls) in ends {
            if let Some((_, groups)) = pinned.get_mut(&router) {
                groups.insert(root(&mut sets, ls));
            }
        }
        let mut presence = Self { group: BTreeMap::new(), datapaths: BTreeMap::new(), of: BTreeMap::new(), pinned };
        for (i, key) in keys.iter().enumerate() {
            let group = root(&mut sets, i);
            let (Key::Ls(name) | Key::Lr(name)) = key else { continue };
            presence.datapaths.entry(group).or_default().push(name.clone());
            presence.group.insert(key.clone(), group);
        }
        for (chassis, groups) in presence.pinned.values() {
            presence.of.entry(chassis.clone()).or_default().extend(groups);
        }
        for (key, object) in network.iter() {
            let (Key::Binding(ls, _), Object::Binding(binding)) = (key, object) else { continue };
            let group = presence.group.get(&Key::Ls(ls.clone()));
            presence.of.entry(binding.chassis.clone()).or_default().extend(group);
        }
        presence
    }

    /// Whether a chassis has a datapath.
    pub fn has(&self, chassis: &Name, datapath: &Key) -> bool {
        let Some(groups) = self.of.get(chassis) else { return false };
        match (self.group.get(datapath), self.pinned.get(datapath)) {
            (Some(group), _) => groups.contains(group),
            (None, Some((host, around))) => host == chassis || !around.is_disjoint(groups),
            (None, None) => false,
        }
    }

    /// How many datapaths two chassis share.
    pub fn shared(&self, a: &Name, b: &Name) -> usize {
        let (Some(a), Some(b)) = (self.of.get(a), self.of.get(b)) else { return 0 };
        a.intersection(b).filter_map(|group| self.datapaths.get(group)).map(Vec::len).sum()
    }

    /// Which of the chassis, as indexes, have each group.
    pub fn members(&self, names: &[&Name]) -> BTreeMap<usize, Vec<usize>> {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, name) in names.iter().enumerate() {
            for group in self.of.get(*name).into_iter().flatten() {
                members.entry(*group).or_default().push(i);
            }
        }
        members
    }

    /// The datapaths of a group.
    pub fn datapaths(&self, group: usize) -> impl Iterator<Item = Name> + '_ {
        self.datapaths.get(&group).into_iter().flatten().cloned()
    }
}

/// The set that an element is in (union-find with path halving).
fn root(sets: &mut [usize], mut i: usize) -> usize {
    while let Some(up) = sets.get(i).copied().filter(|up| *up != i) {
        let next = sets.get(up).copied().unwrap_or(up);
        if let Some(slot) = sets.get_mut(i) {
            *slot = next;
        }
        i = next;
    }
    i
}

fn join(sets: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(sets, a), root(sets, b));
    if let Some(slot) = sets.get_mut(a.max(b)) {
        *slot = a.min(b);
    }
}
