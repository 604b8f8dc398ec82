//! The same rules in differential-dataflow, written as its users would: arrangements shared wherever one key serves
//! several joins, small timestamps and differences, one worker thread.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::iterate::Iterate;
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use super::Engine;
use super::facts::{Fact, Flow, Port, ROUTER};

type Session<T> = InputSession<u32, T, i32>;

pub struct Peer {
    worker: Worker,
    now: u32,
    probe: ProbeHandle<u32>,
    chassis: Session<(u32, u32)>,
    ports: Session<Port>,
    bindings: Session<(u32, u32)>,
    links: Session<(u32, u32)>,
    routes: Session<(u32, (u32, u32, u32))>,
    nats: Session<(u32, (u32, u32))>,
    members: Session<(u32, u32)>,
    acls: Session<(u32, (u32, u32))>,
    locals: Session<(u32, u32)>,
    changes: Rc<RefCell<Vec<(Flow, i64)>>>,
}

impl Peer {
    pub fn new(keep: bool) -> Self {
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), allocator, Some(std::time::Instant::now()));
        let changes = Rc::new(RefCell::new(Vec::new()));
        let sink = changes.clone();
        let probe = ProbeHandle::new();
        let sessions = worker.dataflow::<u32, _, _>(|scope| {
            let (chassis_in, chassis) = scope.new_collection::<(u32, u32), i32>();
            let (ports_in, ports) = scope.new_collection::<Port, i32>();
            let (bindings_in, bindings) = scope.new_collection::<(u32, u32), i32>();
            let (links_in, links) = scope.new_collection::<(u32, u32), i32>();
            let (routes_in, routes) = scope.new_collection::<(u32, (u32, u32, u32)), i32>();
            let (nats_in, nats) = scope.new_collection::<(u32, (u32, u32)), i32>();
            let (members_in, members) = scope.new_collection::<(u32, u32), i32>();
            let (acls_in, acls) = scope.new_collection::<(u32, (u32, u32)), i32>();
            let (locals_in, locals) = scope.new_collection::<(u32, u32), i32>();

            let local = locals.clone().arrange_by_key();
            let ports_by_id = ports.clone().map(|p| (p.0, p.1)).arrange_by_key();
            let roots = local.clone().join_core(ports_by_id, |_, _, switch| Some(*switch));
            let edges = links.clone().flat_map(|(a, b)| [(a, b), (b, a)]).arrange_by_key();
            let present = roots
                .clone()
                .iterate(|scope, inner| {
                    let edges = edges.enter(scope);
                    let roots = roots.enter(scope);
                    inner.arrange_by_self().join_core(edges, |_, _, to| Some(*to)).concat(roots).distinct_core::<i32>()
                })
                .arrange_by_self();

            let live = ports
                .map(|p| (p.1, (p.0, p.2, p.3)))
                .arrange_by_key()
                .join_core(present.clone(), |switch, p, _| Some((*switch, *p)));
            let live_by_id = live.clone().map(|(switch, p)| (p.0, (switch, p.1, p.2))).arrange_by_key();
            let live_by_switch = live.clone().arrange_by_key();
            let arp = live.clone().map(|(s, p)| (10, 1, u64::from(s), u64::from(p.1), p.0));
            let nd = live.clone().map(|(s, p)| (11, 1, u64::from(s), p.2, p.0));
            let lookup = live.map(|(s, p)| (20, 1, u64::from(s), p.2, p.0));

            let bound = bindings.clone().arrange_by_key();
            let local_ids = locals.map(|l| l.0).arrange_by_self();
            let hosted = bound.join_core(local_ids, |port, chassis, _| Some((*port, *chassis)));
            let tunnel = bindings
                .concat(hosted.negate())
                .map(|(port, chassis)| (chassis, port))
                .arrange_by_key()
                .join_core(chassis.arrange_by_key(), |_, port, ip| Some((*port, *ip)))
                .arrange_by_key();
            let out =
                live_by_id.clone().join_core(tunnel, |id, p, ip| Some((30, 1, u64::from(p.0), u64::from(*id), *ip)));
            let out_local = live_by_id
                .clone()
                .join_core(local.clone(), |id, p, ofport| Some((30, 2, u64::from(p.0), u64::from(*id), *ofport)));

            let router = links.filter(|l| l.1 >= ROUTER && l.0 < ROUTER).arrange_by_key();
            let mac = live_by_switch
                .join_core(router, |_, p, router| Some((40, 1, u64::from(*router), u64::from(p.1), p.2 as u32)));

            let member = members.map(|(group, port)| (port, group)).arrange_by_key();
            let address = member.clone().join_core(live_by_id, |_, group, p| Some((*group, p.1)));
            let set = address.clone().map(|a| (50, 1, u64::from(a.0), u64::from(a.1), 0));
            let acl = local
                .join_core(member, |port, _, group| Some((*group, *port)))
                .arrange_by_key()
                .join_core(acls.arrange_by_key(), |group, port, rule| Some((*group, (*port, rule.0, rule.1))))
                .arrange_by_key()
                .join_core(address.arrange_by_key(), |group, r, ip| {
                    let action = u64::from(r.1) << 32 | u64::from(r.2);
                    Some((51, 1, u64::from(r.0) << 32 | u64::from(*ip), action, *group))
                });

            let route = routes
                .arrange_by_key()
                .join_core(present.clone(), |n, r, _| Some((60, r.1 as u16, u64::from(*n), u64::from(r.0), r.2)));
            let nat = nats
                .arrange_by_key()
                .join_core(present, |router, n, _| Some((70, 1, u64::from(*router), u64::from(n.0), n.1)));

            let flows = arp.concatenate([nd, lookup, out, out_local, mac, set, acl, route, nat]);
            let flows = if keep { flows.distinct_core::<i32>() } else { flows };
            flows
                .inspect_batch(move |_, batch| {
                    sink.borrow_mut().extend(batch.iter().map(|(flow, _, weight)| (*flow, i64::from(*weight))));
                })
                .probe_with(&probe);
            (chassis_in, ports_in, bindings_in, links_in, routes_in, nats_in, members_in, acls_in, locals_in)
        });
        let (chassis, ports, bindings, links, routes, nats, members, acls, locals) = sessions;
        Peer { worker, now: 0, probe, chassis, ports, bindings, links, routes, nats, members, acls, locals, changes }
    }
}

impl Engine for Peer {
    fn change(&mut self, fact: Fact, weight: i64) {
        let weight = weight as i32;
        match fact {
            Fact::Chassis(id, ip) => self.chassis.update((id, ip), weight),
            Fact::Port(port) => self.ports.update(port, weight),
            Fact::Binding(port, chassis) => self.bindings.update((port, chassis), weight),
            Fact::Link(a, b) => self.links.update((a, b), weight),
            Fact::Route(router, prefix, length, next) => self.routes.update((router, (prefix, length, next)), weight),
            Fact::Nat(router, outer, inner) => self.nats.update((router, (outer, inner)), weight),
            Fact::Member(group, port) => self.members.update((group, port), weight),
            Fact::Acl(group, number, to) => self.acls.update((group, (number, to)), weight),
            Fact::Local(port, ofport) => self.locals.update((port, ofport), weight),
        }
    }

    fn step(&mut self) -> Vec<(Flow, i64)> {
        self.now += 1;
        macro_rules! advance {
            ($($input:ident)*) => {
                $(self.$input.advance_to(self.now); self.$input.flush();)*
            };
        }
        advance!(chassis ports bindings links routes nats members acls locals);
        while self.probe.less_than(&self.now) {
            self.worker.step();
        }
        let mut changes = self.changes.take();
        consolidate(&mut changes);
        changes
    }
}
