//! The engine: one transaction of facts in, the change of the results out.

use crate::{
    change::{Change, Config, UntunnelPort},
    fact::{BridgeFact, Child, Fact, InterfaceFact, NeighbourFact, SessionFact, TunnelFact, UntunnelFact},
    flow::FlowRow,
    flow_table::FlowTable,
    group_table::GroupTable,
    intake::Intake,
    output::{ClaimChange, FlowChange, Group, GroupChange, Output, Reject},
    patch::PatchFact,
    program::{self, Inputs, Outputs},
};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    rc::Rc,
};
use tuplenet_datalog::{Counters, Program};
use tuplenet_model::{entity::EncapKind, id::DatapathId, name::Name};
use tuplenet_openflow::Flow;

/// How many changes of a full state go in at a time.
const LOAD_PIECE: usize = 4_096;

/// The rules at work for one chassis: deterministic, without I/O.
pub struct Engine {
    program: Program,
    inputs: Inputs,
    outputs: Outputs,
    intake: Intake,
    interfaces: FxHashMap<u128, InterfaceFact>,
    tunnels: FxHashMap<(EncapKind, Option<IpAddr>), TunnelFact>,
    patches: FxHashMap<String, PatchFact>,
    bridges: FxHashMap<String, BridgeFact>,
    sessions: FxHashMap<(EncapKind, IpAddr), SessionFact>,
    withdrawn: bool,
    neighbours: FxHashMap<(Name, IpAddr), NeighbourFact>,
    probes: FxHashMap<IpAddr, IpAddr>,
    drawing: bool,
    is_way: bool,
    edges: BTreeSet<Name>,
    untunnel: FxHashMap<(), UntunnelFact>,
    flows: FlowTable,
    groups: GroupTable,
    /// Ports of this host and their numbers in the switch: few.
    local: FxHashMap<Child, u32>,
    /// Networks of routers' ports, by router and number.
    router_ports: FxHashMap<(DatapathId, u32), Box<[IpNet]>>,
    rejects: BTreeMap<Reject, i64>,
    /// Whether the flows that need no fact were given out.
    started: bool,
}

impl Engine {
    /// Rules for a chassis, with no facts yet.
    pub fn new(config: Config) -> Self {
        let (program, inputs, outputs) = program::build(&config);
        Self {
            program,
            inputs,
            outputs,
            intake: Intake::default(),
            interfaces: FxHashMap::default(),
            tunnels: FxHashMap::default(),
            patches: FxHashMap::default(),
            bridges: FxHashMap::default(),
            sessions: FxHashMap::default(),
            withdrawn: false,
            neighbours: FxHashMap::default(),
            probes: FxHashMap::default(),
            drawing: false,
            is_way: false,
            edges: BTreeSet::new(),
            untunnel: FxHashMap::default(),
            flows: FlowTable::default(),
            groups: GroupTable::default(),
            local: FxHashMap::default(),
            router_ports: FxHashMap::default(),
            rejects: BTreeMap::new(),
            started: false,
        }
    }

    /// One transaction: all changes take effect together. Costs work in proportion to what they change.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Output {
        let mut rejects = Vec::new();
        for change in changes {
            self.take(change, &mut rejects);
        }
        self.program.step();
        let (flows, groups) = self.collect_switch();
        let rejects = self.collect_rejects(rejects);
        Output { flows, groups, rejects, ..self.collect_rest() }
    }

    /// Takes a part of the first and full state, which may be large: nothing is told before [`Engine::open`]. In pieces, so that never all
    /// flows are in hand beside the table of them, and as the parts arrive, so that nobody has to keep them.
    pub fn preload(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut rejects = Vec::new();
            for change in changes.by_ref().take(LOAD_PIECE) {
                self.take(change, &mut rejects);
            }
            self.program.step();
            self.load_switch();
            // Much is set aside for a moment only, until the part comes that it needs: these words must not wait for the end.
            self.collect_rejects(rejects);
        }
    }

    /// The state is complete. Of flows and groups no changes are told: ask [`Engine::flows`] and [`Engine::groups`].
    pub fn open(&mut self) -> Output {
        self.load_switch();
        self.collect_rejects(Vec::new());
        let rejects = self.rejected().map(|reject| (reject.clone(), true)).collect();
        Output { rejects, ..self.collect_rest() }
    }

    /// All flows that the switch should have now.
    pub fn flows(&self) -> impl Iterator<Item = Flow> + '_ {
        self.flows.iter()
    }

    /// How many flows the switch should have now.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// All groups that the switch should have now.
    pub fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.groups.iter()
    }

    /// The number in the switch of a port that is on this host.
    pub fn local_port(&self, ls: &Name, lsp: &Name) -> Option<u32> {
        self.local.get(&(ls.clone(), lsp.clone())).copied()
    }

    /// Addresses of a router's port, each with its network.
    pub fn router_port(&self, router: DatapathId, number: u32) -> Option<&[IpNet]> {
        self.router_ports.get(&(router, number)).map(|nets| &**nets)
    }

    /// Whether other chassis follow routes to a router that is pinned to this one, as of the last [`Output`].
    pub fn is_drawing(&self) -> bool {
        self.drawing
    }

    /// Whether guests of this chassis are among several ways that other chassis choose from, as of the last [`Output`].
    pub fn is_way(&self) -> bool {
        self.is_way
    }

    /// The other chassis with pinned routers that routes lead to which this one follows, as of the last [`Output`].
    pub fn edges(&self) -> &BTreeSet<Name> {
        &self.edges
    }

    /// All objects that are set aside now.
    pub fn rejected(&self) -> impl Iterator<Item = &Reject> {
        self.rejects.keys()
    }

    /// How much work was done so far.
    pub fn counters(&self) -> Counters {
        self.program.counters()
    }

    /// What each store of the rules holds: rows, groups, bytes.
    pub fn statistics(&self) -> Vec<tuplenet_datalog::Statistics> {
        self.program.statistics()
    }

    /// Puts a change into the program's inputs.
    fn take(&mut self, change: Change, rejects: &mut Vec<(Reject, i64)>) {
        match change {
            Change::Object { path, value, create_revision } => {
                let effect = self.intake.object(&path, value.as_deref(), create_revision);
                rejects.extend(effect.mended.map(|r| (r, -1)));
                rejects.extend(effect.rejected.map(|r| (r, 1)));
                if let Some(fact) = effect.removed {
                    self.weigh(fact, -1);
                }
                if let Some(fact) = effect.added {
                    self.weigh(fact, 1);
                }
            }
            Change::Interface { id, interface } => {
                let next = interface.map(|i| InterfaceFact { id, interface: Rc::new(i) });
                replace(&mut self.program, self.inputs.interface, &mut self.interfaces, id, next);
            }
            Change::Tunnel { kind, remote, ofport } => {
                let next = ofport.map(|ofport| TunnelFact { kind, remote, ofport });
                replace(&mut self.program, self.inputs.tunnel, &mut self.tunnels, (kind, remote), next);
            }
            Change::Patch { name, patch } => {
                let next = patch.map(|patch| PatchFact { name: name.clone(), patch });
                replace(&mut self.program, self.inputs.patch, &mut self.patches, name, next);
            }
            Change::Withdrawn(now) => {
                if std::mem::replace(&mut self.withdrawn, now) != now {
                    self.program.add_weight(self.inputs.withdrawn, (), if now { 1 } else { -1 });
                }
            }
            Change::Session { kind, remote, proven } => {
                let next = proven.then_some(SessionFact { kind, remote });
                replace(&mut self.program, self.inputs.session, &mut self.sessions, (kind, remote), next);
            }
            Change::Bridge { name, mtu } => {
                let next = mtu.map(|mtu| BridgeFact { name: name.clone(), mtu });
                replace(&mut self.program, self.inputs.bridge, &mut self.bridges, name, next);
            }
            Change::Probe { target, wanted } => {
                replace(&mut self.program, self.inputs.probe, &mut self.probes, target, wanted.then_some(target));
            }
            Change::Untunnel { port } => {
                let next = port.map(|UntunnelPort { ofport, mac, ipv4, ipv6 }| UntunnelFact {
                    ofport,
                    mac: mac.0,
                    ipv4,
                    ipv6,
                });
                replace(&mut self.program, self.inputs.untunnel, &mut self.untunnel, (), next);
            }
            Change::Neighbour { ls, ip, mac } => {
                let next = mac.map(|mac| NeighbourFact { ls: ls.clone(), ip, mac: mac.0 });
                replace(&mut self.program, self.inputs.neighbour, &mut self.neighbours, (ls, ip), next);
            }
        }
    }

    fn weigh(&mut self, fact: Fact, weight: i64) {
        let (program, inputs) = (&mut self.program, &self.inputs);
        match fact {
            Fact::Ls(row) => program.add_weight(inputs.ls, row, weight),
            Fact::Lr(row) => program.add_weight(inputs.lr, row, weight),
            Fact::Lsp(row) => program.add_weight(inputs.lsp, row, weight),
            Fact::Lrp(row) => program.add_weight(inputs.lrp, row, weight),
            Fact::Lsr(row) => program.add_weight(inputs.lsr, row, weight),
            Fact::Lnat(row) => program.add_weight(inputs.lnat, row, weight),
            Fact::Chassis(row) => program.add_weight(inputs.chassis, row, weight),
            Fact::Binding(row) => program.add_weight(inputs.binding, row, weight),
        }
    }

    /// What the steps since the last time changed in the switch.
    fn collect_switch(&mut self) -> (Vec<FlowChange>, Vec<GroupChange>) {
        let mut flows = self.program.drain(self.outputs.flows);
        flows.extend(self.fixed_flows());
        (self.flows.apply(flows), self.collect_groups())
    }

    /// The same while the network is loaded, when nobody asks what changes.
    fn load_switch(&mut self) {
        // The table counts derivations itself.
        let mut flows = self.program.drain_as_it_came(self.outputs.flows);
        flows.extend(self.fixed_flows());
        self.flows.load(flows);
        self.collect_groups();
    }

    /// The flows that are there without any fact, the first time.
    fn fixed_flows(&mut self) -> Vec<(FlowRow, i64)> {
        let first = !std::mem::replace(&mut self.started, true);
        let flows = if first { program::fixed_flows() } else { Vec::new() };
        flows.into_iter().map(|flow| (flow, 1)).collect()
    }

    /// The groups, and what is remembered of ports here.
    fn collect_groups(&mut self) -> Vec<GroupChange> {
        // What goes first, so that a port that got another number is not forgotten.
        let mut local = self.program.drain(self.outputs.local);
        local.sort_by_key(|(_, weight)| *weight);
        for ((port, number), weight) in local {
            if weight > 0 {
                self.local.insert(port, number);
            } else {
                self.local.remove(&port);
            }
        }
        let mut router_ports = self.program.drain(self.outputs.router_ports);
        router_ports.sort_by_key(|(_, weight)| *weight);
        for ((router, number, nets), weight) in router_ports {
            if weight > 0 {
                self.router_ports.insert((router, number), nets);
            } else {
                self.router_ports.remove(&(router, number));
            }
        }
        let groups = self.program.drain(self.outputs.groups);
        self.groups.apply(groups, self.program.drain(self.outputs.buckets))
    }

    /// What the steps since the last time changed elsewhere, but for what is set aside.
    fn collect_rest(&mut self) -> Output {
        let mut output = Output::default();
        for (want, weight) in self.program.drain(self.outputs.want) {
            if weight > 0 {
                let ((ls, lsp), generation, interface) = (want.lsp, want.generation, want.interface);
                output.claims.push(ClaimChange::Want { ls, lsp, generation, interface });
            }
        }
        for (binding, weight) in self.program.drain(self.outputs.release) {
            if weight > 0 {
                let ((ls, lsp), generation) = (binding.lsp.clone(), binding.generation);
                output.claims.push(ClaimChange::Release { ls, lsp, generation });
            }
        }
        for (pair, weight) in self.program.drain(self.outputs.pairs) {
            output.patches.push((pair, weight > 0));
        }
        for (at, weight) in self.program.drain(self.outputs.outside) {
            output.outside.push((at, weight > 0));
        }
        for (own, weight) in self.program.drain(self.outputs.own) {
            output.own.push((own, weight > 0));
        }
        for (translated, weight) in self.program.drain(self.outputs.translated) {
            output.translated.push((translated, weight > 0));
        }
        for (edge, weight) in self.program.drain(self.outputs.drawing) {
            *(if edge { &mut self.drawing } else { &mut self.is_way }) = weight > 0;
        }
        for (edge, weight) in self.program.drain(self.outputs.edges) {
            match weight > 0 {
                true => self.edges.insert(edge),
                false => self.edges.remove(&edge),
            };
        }
        for (watch, weight) in self.program.drain(self.outputs.watches) {
            output.watches.push((watch, weight > 0));
        }
        let notices = self.program.drain(self.outputs.notices);
        output.notices = notices.into_iter().filter(|(_, weight)| *weight > 0).map(|(text, _)| text).collect();
        output
    }

    /// What appeared (`true`) or was mended by the steps since the last time, with what the intake found.
    fn collect_rejects(&mut self, mut rejects: Vec<(Reject, i64)>) -> Vec<(Reject, bool)> {
        rejects.extend(self.program.drain(self.outputs.rejects));
        let mut changes = Vec::new();
        for (reject, weight) in rejects {
            let count = self.rejects.entry(reject.clone()).or_insert(0);
            let before = *count > 0;
            *count += weight;
            let after = *count > 0;
            if *count == 0 {
                self.rejects.remove(&reject);
            }
            if before != after {
                changes.push((reject, after));
            }
        }
        changes
    }
}

/// Takes the old row of a key out of an input and puts the new one in; nothing happens if they are equal.
fn replace<K, T>(
    program: &mut Program,
    input: tuplenet_datalog::Input<T>,
    known: &mut FxHashMap<K, T>,
    key: K,
    next: Option<T>,
) where
    K: Eq + std::hash::Hash,
    T: Clone + Eq + std::hash::Hash + std::fmt::Debug + 'static,
{
    if known.get(&key) == next.as_ref() {
        return;
    }
    let old = match next {
        Some(next) => {
            program.add_weight(input, next.clone(), 1);
            known.insert(key, next)
        }
        None => known.remove(&key),
    };
    if let Some(old) = old {
        program.add_weight(input, old, -1);
    }
}
