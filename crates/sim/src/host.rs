//! One host: the rules at work for it, and the switch that they make.

use crate::switch::{Group, Switch};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{entity::EncapKind, mac::Mac, name::Name};
use tuplenet_rules::{
    Change, ClaimMark, Config, Engine, FlowChange, GroupChange, LocalInterface, LocalPatch, Output, PatchPair, Scope,
    UntunnelPort,
};

/// `switch, port`.
pub(crate) type Place = (Name, Name);

/// The tunnel protocols, in the order of their port numbers.
const KINDS: [EncapKind; 3] = [EncapKind::Geneve, EncapKind::Vxlan, EncapKind::Gre];
/// OpenFlow number of the first tunnel port.
const FIRST_TUNNEL: u32 = 1;
/// OpenFlow number of the port to the host's own IP stack.
const OWN_STACK: u32 = 15;
/// OpenFlow number of the first local port.
const FIRST_LOCAL: u32 = 16;

/// See the module. Ports have numbers of the simulator's own: those of a real switch nobody else knows.
pub struct Host {
    engine: Engine,
    switch: Switch,
    ports: BTreeMap<Place, u32>,
    places: BTreeMap<u32, Place>,
    next: u32,
    tunnels: BTreeSet<EncapKind>,
}

impl Host {
    pub(crate) fn new(
        chassis: &Name,
        objects: impl Iterator<Item = Change>,
        places: impl Iterator<Item = (Place, ClaimMark)>,
        tunnels: BTreeSet<EncapKind>,
    ) -> Host {
        let engine = Engine::new(Config { chassis: chassis.clone(), scope: Scope::Reachable });
        let mut host = Host {
            engine,
            switch: Switch::default(),
            ports: BTreeMap::new(),
            places: BTreeMap::new(),
            next: FIRST_LOCAL,
            tunnels: BTreeSet::new(),
        };
        let mut changes = host.tunnel_changes(tunnels);
        changes.extend(places.map(|(place, mark)| host.interface(place, Some(mark))));
        host.engine.preload(objects.chain(changes));
        let pairs = host.engine.open().patches;
        let changes = host.pairs(pairs);
        host.engine.apply(changes);
        host.switch = Switch::new(host.engine.flows(), host.engine.groups().map(Group::from));
        host
    }

    /// The rules at work for this host.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its switch.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The same, to run packets.
    pub fn switch_mut(&mut self) -> &mut Switch {
        &mut self.switch
    }

    /// The number of a local port.
    pub fn port(&self, ls: &Name, lsp: &Name) -> Option<u32> {
        self.ports.get(&(ls.clone(), lsp.clone())).copied()
    }

    /// The local port with a number: switch and port.
    pub fn port_at(&self, number: u32) -> Option<(&Name, &Name)> {
        self.places.get(&number).map(|(ls, lsp)| (ls, lsp))
    }

    /// Whether a number is that of the port to the host's own IP stack.
    pub fn is_own_stack(&self, number: u32) -> bool {
        number == OWN_STACK
    }

    /// The number of the tunnel port for a protocol.
    pub fn tunnel(&self, kind: EncapKind) -> Option<u32> {
        self.tunnels.contains(&kind).then(|| tunnel_number(kind))
    }

    /// The protocol of the tunnel port with a number.
    pub fn tunnel_at(&self, number: u32) -> Option<EncapKind> {
        self.tunnels.iter().copied().find(|kind| tunnel_number(*kind) == number)
    }

    pub(crate) fn apply(
        &mut self,
        mut changes: Vec<Change>,
        places: impl Iterator<Item = (Place, Option<ClaimMark>)>,
        tunnels: BTreeSet<EncapKind>,
    ) {
        changes.extend(self.tunnel_changes(tunnels));
        for (place, mark) in places {
            if mark.is_some() || self.ports.contains_key(&place) {
                changes.push(self.interface(place, mark));
            }
        }
        let mut output = self.engine.apply(changes);
        let changes = self.pairs(std::mem::take(&mut output.patches));
        self.follow(output);
        if !changes.is_empty() {
            let output = self.engine.apply(changes);
            self.follow(output);
        }
    }

    pub(crate) fn learn(&mut self, neighbours: impl IntoIterator<Item = Change>) {
        let output = self.engine.apply(neighbours);
        self.follow(output);
    }

    /// What is for the outside leaves by the host's own IP stack, of these families; of none: by tunnel.
    pub(crate) fn untunnel(&mut self, ipv4: bool, ipv6: bool) {
        let port = UntunnelPort { ofport: OWN_STACK, mac: Mac([0xf2, 0x04, 0, 0, 0, 1]), ipv4, ipv6 };
        let output = self.engine.apply([Change::Untunnel { port: (ipv4 || ipv6).then_some(port) }]);
        self.follow(output);
    }

    /// Makes the pairs of patch Interfaces that are wanted: the physical bridges are all there.
    fn pairs(&mut self, mut pairs: Vec<(PatchPair, bool)>) -> Vec<Change> {
        pairs.sort_by_key(|(_, wanted)| *wanted); // what goes, first
        let mut changes = Vec::new();
        for (PatchPair { name, bridge, ls, lsp, .. }, wanted) in pairs {
            let place = (ls, lsp);
            if !wanted {
                if let Some(number) = self.ports.remove(&place) {
                    self.places.remove(&number);
                }
                changes.push(Change::Patch { name, patch: None });
                continue;
            }
            let number = self.number(&place);
            self.places.insert(number, place);
            changes.push(Change::Patch { name, patch: Some(LocalPatch { bridge, ofport: number }) });
        }
        changes
    }

    /// The number of a port, now or once it is here.
    fn number(&mut self, place: &Place) -> u32 {
        *self.ports.entry(place.clone()).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn tunnel_changes(&mut self, now: BTreeSet<EncapKind>) -> Vec<Change> {
        let changed = self.tunnels.symmetric_difference(&now);
        let changes = changed
            .map(|kind| (*kind, now.contains(kind).then(|| tunnel_number(*kind))))
            .map(|(kind, ofport)| Change::Tunnel { kind, remote: None, ofport });
        let changes = changes.collect();
        self.tunnels = now;
        changes
    }

    /// An interface comes, settled with the binding as it is, or goes.
    fn interface(&mut self, place: Place, mark: Option<ClaimMark>) -> Change {
        let number = self.number(&place);
        let interface = mark.map(|mark| LocalInterface {
            name: format!("port{number}"),
            iface_id: format!("{}/{}", place.0, place.1),
            ofport: number,
            claim: Some(mark),
        });
        if interface.is_some() {
            self.places.insert(number, place);
        } else {
            self.ports.remove(&place);
            self.places.remove(&number);
        }
        Change::Interface { id: number.into(), interface }
    }

    /// Brings what changed into the switch.
    fn follow(&mut self, output: Output) {
        for change in output.flows {
            match change {
                FlowChange::Set(flow) => self.switch.insert(flow),
                FlowChange::Delete { table, priority, matching } => self.switch.remove(table, priority, &matching),
            }
        }
        for change in output.groups {
            match change {
                GroupChange::Add(id, form) => self.switch.insert_group(Group::new(id, &form)),
                GroupChange::Change(id, form) => {
                    if let Some(group) = self.switch.group_mut(id) {
                        (group.kind, group.selection) = (form.kind(), form.properties().selection);
                    }
                }
                GroupChange::InsertBucket(id, bucket) => {
                    if let Some(group) = self.switch.group_mut(id) {
                        group.insert(bucket);
                    }
                }
                GroupChange::RemoveBucket(id, bucket) => {
                    if let Some(group) = self.switch.group_mut(id) {
                        group.remove(&bucket);
                    }
                }
                GroupChange::Delete(id) => self.switch.remove_group(id),
            }
        }
    }
}

fn tunnel_number(kind: EncapKind) -> u32 {
    let place = KINDS.iter().position(|k| *k == kind).unwrap_or(0);
    FIRST_TUNNEL + place as u32
}
