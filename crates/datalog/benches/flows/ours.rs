//! The rules in this crate's runtime.

use tuplenet_datalog::{Builder, Input, Output, Program, reach};

use super::Engine;
use super::facts::{Fact, Flow, Port, ROUTER};

pub struct Ours {
    program: Program,
    chassis: Input<(u32, u32)>,
    ports: Input<Port>,
    bindings: Input<(u32, u32)>,
    links: Input<(u32, u32)>,
    routes: Input<(u32, u32, u32, u32)>,
    nats: Input<(u32, u32, u32)>,
    members: Input<(u32, u32)>,
    acls: Input<(u32, u32, u32)>,
    locals: Input<(u32, u32)>,
    flows: Output<Flow>,
}

impl Ours {
    /// The program; with `keep` it also holds the set of flows, each counted by how many facts derive it.
    pub fn new(keep: bool) -> Self {
        let b = Builder::new();
        let (chassis_in, chassis) = b.input::<(u32, u32)>("chassis");
        let (ports_in, ports) = b.input::<Port>("port");
        let (bindings_in, bindings) = b.input::<(u32, u32)>("binding");
        let (links_in, links) = b.input::<(u32, u32)>("link");
        let (routes_in, routes) = b.input::<(u32, u32, u32, u32)>("route");
        let (nats_in, nats) = b.input::<(u32, u32, u32)>("nat");
        let (members_in, members) = b.input::<(u32, u32)>("member");
        let (acls_in, acls) = b.input::<(u32, u32, u32)>("acl");
        let (locals_in, locals) = b.input::<(u32, u32)>("local");

        // present(N): the datapaths that local ports can reach.
        let local = locals.index(|l| l.0);
        let roots = local.join(&ports.index(|p| p.0), |_, _, port| port.1);
        let edges = links.flat_map(|&(a, b)| [(a, b), (b, a)]);
        let present = reach(&roots, &edges).named("present").index(|n| *n);

        // live(P) <- port(P), present(P.switch).
        let live = ports.index(|p| p.1).semijoin(&present).named("live");
        let live_by_id = live.index(|p| p.0);
        let arp = live.map(|p| (10, 1, u64::from(p.1), u64::from(p.2), p.0));
        let nd = live.map(|p| (11, 1, u64::from(p.1), p.3, p.0));
        let lookup = live.map(|p| (20, 1, u64::from(p.1), p.3, p.0));

        // remote(P, C) <- binding(P, C), !local(P).  tunnel(P, IP) <- remote(P, C), chassis(C, IP).
        let remote = bindings.index(|b| b.0).antijoin(&local).named("remote");
        let tunnel =
            remote.index(|b| b.1).join(&chassis.index(|c| c.0), |_, b, c| (b.0, c.1)).named("tunnel").index(|t| t.0);
        let out = live_by_id.join(&tunnel, |_, p, t| (30, 1, u64::from(p.1), u64::from(p.0), t.1));
        let out_local = live_by_id.join(&local, |_, p, l| (30, 2, u64::from(p.1), u64::from(p.0), l.1));

        // The router next to the port's switch knows its MAC.
        let router = links.filter(|l| l.1 >= ROUTER && l.0 < ROUTER).index(|l| l.0);
        let mac = live.index(|p| p.1).join(&router, |_, p, l| (40, 1, u64::from(l.1), u64::from(p.2), p.3 as u32));

        // address(G, IP) <- member(G, P), live(P, IP): one flow a member.
        let member = members.index(|m| m.1);
        let address = member.join(&live_by_id, |_, m, p| (m.0, p.2)).named("address");
        let set = address.map(|a| (50, 1, u64::from(a.0), u64::from(a.1), 0));
        // The rules of a local port's groups, for each address of the group.
        let acl = local
            .join(&member, |&port, _, m| (m.0, port))
            .index(|g| g.0)
            .join(&acls.index(|a| a.0), |_, g, a| (g.0, g.1, a.1, a.2))
            .index(|r| r.0)
            .join(&address.index(|a| a.0), |_, r, a| {
                (51, 1, u64::from(r.1) << 32 | u64::from(a.1), u64::from(r.2) << 32 | u64::from(r.3), r.0)
            });

        let route = routes.index(|r| r.0).semijoin(&present);
        let route = route.map(|r| (60, r.2 as u16, u64::from(r.0), u64::from(r.1), r.3));
        let nat = nats.index(|n| n.0).semijoin(&present);
        let nat = nat.map(|n| (70, 1, u64::from(n.0), u64::from(n.1), n.2));

        let all = [nd, lookup, out, out_local, mac, set, acl, route, nat];
        let flows = arp.concat_all(&all).named("flow");
        let flows = if keep { flows.distinct().output() } else { flows.output() };
        Ours {
            program: b.build(),
            chassis: chassis_in,
            ports: ports_in,
            bindings: bindings_in,
            links: links_in,
            routes: routes_in,
            nats: nats_in,
            members: members_in,
            acls: acls_in,
            locals: locals_in,
            flows,
        }
    }

    /// One line a store, for `--stores`.
    pub fn print_stores(&self) {
        for store in self.program.statistics() {
            let name = store.name.unwrap_or("-");
            println!("  {name:<10} {:>8} rows {:>10} bytes, groups {:?}", store.rows, store.bytes, store.groups);
        }
    }
}

impl Engine for Ours {
    fn change(&mut self, fact: Fact, weight: i64) {
        let p = &mut self.program;
        match fact {
            Fact::Chassis(id, ip) => p.add_weight(self.chassis, (id, ip), weight),
            Fact::Port(port) => p.add_weight(self.ports, port, weight),
            Fact::Binding(port, chassis) => p.add_weight(self.bindings, (port, chassis), weight),
            Fact::Link(a, b) => p.add_weight(self.links, (a, b), weight),
            Fact::Route(router, prefix, length, next) => {
                p.add_weight(self.routes, (router, prefix, length, next), weight);
            }
            Fact::Nat(router, outer, inner) => p.add_weight(self.nats, (router, outer, inner), weight),
            Fact::Member(group, port) => p.add_weight(self.members, (group, port), weight),
            Fact::Acl(group, number, to) => p.add_weight(self.acls, (group, number, to), weight),
            Fact::Local(port, ofport) => p.add_weight(self.locals, (port, ofport), weight),
        }
    }

    fn step(&mut self) -> Vec<(Flow, i64)> {
        self.program.step();
        self.program.drain(self.flows)
    }
}
