//! The whole program: which rule module reads what, from the facts down to the results.

use crate::{
    change::Config,
    claim::{self, Want},
    datapath,
    fact::{
        Binding, BridgeFact, Chassis, Child, InterfaceFact, Lnat, Lr, Lrp, Ls, Lsp, Lsr, NeighbourFact, SessionFact,
        TunnelFact, UntunnelFact,
    },
    flow::FlowRow,
    flows::nat as nat_flows,
    flows::outside as outside_flows,
    flows::probe as probe_flows,
    flows::{
        drop, echo, ecmp, flood, l2, mtu, neighbour, next_hop, patch as patch_flows, physical, pipeline, redirect,
        route, router, steer, trace, tunnel, untunnel,
    },
    group_table::{BucketRow, GroupRow},
    hop, nat,
    output::{PatchPair, Reject, Translated, Watch},
    outside::{Outside, Own},
    patch::PatchFact,
    port, watch,
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::{Builder, Input, Output, Program};
use tuplenet_model::{id::DatapathId, name::Name};

/// Where facts go in.
pub struct Inputs {
    pub ls: Input<Ls>,
    pub lr: Input<Lr>,
    pub lsp: Input<Lsp>,
    pub lrp: Input<Lrp>,
    pub lsr: Input<Lsr>,
    pub lnat: Input<Lnat>,
    pub chassis: Input<Chassis>,
    pub binding: Input<Binding>,
    pub interface: Input<InterfaceFact>,
    pub tunnel: Input<TunnelFact>,
    pub patch: Input<PatchFact>,
    pub bridge: Input<BridgeFact>,
    pub neighbour: Input<NeighbourFact>,
    pub withdrawn: Input<()>,
    pub session: Input<SessionFact>,
    /// Addresses outside that are probed.
    pub probe: Input<IpAddr>,
    pub untunnel: Input<UntunnelFact>,
}

/// Where results come out.
pub struct Outputs {
    pub flows: Output<FlowRow>,
    pub groups: Output<GroupRow>,
    pub buckets: Output<BucketRow>,
    pub want: Output<Want>,
    pub release: Output<Binding>,
    /// Ports that are here, with their number in the switch.
    pub local: Output<(Child, u32)>,
    /// Pairs of patch Interfaces that there should be.
    pub pairs: Output<PatchPair>,
    /// Routers' ports that meet a physical network here.
    pub outside: Output<Outside>,
    /// Addresses of ours that are reached by a patch port.
    pub own: Output<Own>,
    /// External addresses that connections are translated by here.
    pub translated: Output<Translated>,
    /// Routers' ports that matter here, with their networks.
    pub router_ports: Output<(DatapathId, u32, Box<[IpNet]>)>,
    /// End points that are to be watched.
    pub watches: Output<Watch>,
    /// Others follow routes to this chassis: as to an edge, or to guests here.
    pub drawing: Output<bool>,
    /// This chassis follows routes to edges on these others.
    pub edges: Output<Name>,
    pub rejects: Output<Reject>,
    pub notices: Output<String>,
}

/// Flows that are there without any fact.
pub fn fixed_flows() -> Vec<FlowRow> {
    let mut flows = pipeline::pipeline();
    flows.extend(neighbour::fixed());
    flows.extend(router::fixed());
    flows.extend(flood::fixed());
    flows.extend(drop::fixed());
    flows.extend(ecmp::fixed());
    flows.extend(redirect::fixed());
    flows.extend(trace::fixed());
    flows.extend(patch_flows::fixed());
    flows.extend(mtu::fixed());
    flows
}

/// Builds it for a chassis.
pub fn build(config: &Config) -> (Program, Inputs, Outputs) {
    let b = Builder::new();
    let (in_ls, ls) = b.input::<Ls>("ls");
    let (in_lr, lr) = b.input::<Lr>("lr");
    let (in_lsp, lsp) = b.input::<Lsp>("lsp");
    let (in_lrp, lrp) = b.input::<Lrp>("lrp");
    let (in_lsr, lsr) = b.input::<Lsr>("lsr");
    let (in_lnat, lnat) = b.input::<Lnat>("lnat");
    let (in_chassis, chassis) = b.input::<Chassis>("chassis");
    let (in_binding, binding) = b.input::<Binding>("binding");
    let (in_interface, interface) = b.input::<InterfaceFact>("interface");
    let (in_tunnel, tunnel_ports) = b.input::<TunnelFact>("tunnel_port");
    let tunnel = tunnel_ports.filter(|tunnel| tunnel.remote.is_none()).named("tunnel");
    let (in_patch, patch) = b.input::<PatchFact>("patch_interface");
    let (in_bridge, bridge) = b.input::<BridgeFact>("bridge");
    let (in_untunnel, untunnel_port) = b.input::<UntunnelFact>("untunnel");
    let (in_withdrawn, withdrawn) = b.input::<()>("withdrawn");
    let (in_session, session) = b.input::<SessionFact>("session");
    let (in_neighbour, neighbour) = b.input::<NeighbourFact>("neighbour_fact");
    let (in_probe, probe) = b.input::<IpAddr>("probe");

    let valid = datapath::valid(&ls, &lr);
    let binding_of = binding.index(|b| b.lsp.clone());
    let claims = claim::derive(&config.chassis, &interface, &lsp, &binding, &binding_of);
    // A switch matters where it has a port or meets a physical network.
    let me = config.chassis.clone();
    let patched_ls =
        lsp.flat_map(move |lsp| lsp.value.patch.as_ref().filter(|p| p.chassis == me).map(|_| lsp.name.0.clone()));
    let hosted_ls = claims.hosted.map(|hosted| hosted.lsp.0.clone()).concat(&patched_ls).distinct();
    let datapaths = datapath::derive(config, valid, &lsp, &lrp, &hosted_ls);
    let sources = port::Sources {
        me: &config.chassis,
        lsp: &lsp,
        lrp: &lrp,
        chassis: &chassis,
        binding_of: &binding_of,
        tunnel: &tunnel,
        hosted: &claims.hosted,
        patch: &patch,
    };
    let ports = port::derive(&sources, &datapaths);

    let nat = nat::derive(&lnat, &lrp, &lsp, &datapaths);
    let (groups, flood_flows) = flood::flows(&datapaths.ls_present);
    let buckets = flood::buckets(&ports.local, &ports.remote, &ports.patches, &datapaths.ls_present);
    let located_in = ports.located.index(|port| port.ls);
    let (patch_flows, elsewhere, spread) = patch_flows::flows(&ports, &located_in, &tunnel);
    let mtu_flows = mtu::flows(&mtu::Sources {
        me: &config.chassis,
        chassis: &chassis,
        endpoint: &ports.endpoint,
        link: &ports.link,
        ls_present: &datapaths.ls_present,
        mine: &ports.patches.mine,
        spread: &spread,
        bridge: &bridge,
    });
    let patched = lsp.filter(|lsp| lsp.value.patch.is_some()).map(|lsp| lsp.name.0.clone()).distinct();
    let translation = nat_flows::derive(&nat_flows::Sources {
        me: &config.chassis,
        rule: &nat.rule,
        patched: &patched,
        datapaths: &datapaths,
        ports: &ports,
        elsewhere: &elsewhere,
    });
    let (outside_flows, outside, own) =
        outside_flows::flows(&config.chassis, &ports.link, &ports.patches, &neighbour, &translation.external);
    let (routes, stray_routes) = route::routes(&ports.link, &ports.router, &lsr);
    let outside_ls =
        datapaths.ls_present.index(|ls| ls.name.clone()).semijoin(&patched.index(Name::clone)).map(|ls| ls.value.id);
    let own_ends = ports.link.filter(|link| !link.router.distributed).map(|link| link.port.clone());
    let lsr_by_lr = lsr.index(|lsr| lsr.name.0.clone());
    let routers_near = datapaths.lr_present.concat(&datapaths.lr_beyond);
    let hops = hop::derive(&hop::Sources {
        me: &config.chassis,
        routes: &lsr_by_lr.semijoin(&routers_near.index(|lr| lr.name.clone())),
        link: &ports.link,
        pinned: &ports.pinned,
        hosted: &ports.hosted,
        at_in: &ports.at_in,
    });
    let ecmp = ecmp::derive(&ecmp::Sources {
        routers: &datapaths.lr_present,
        located_in: &located_in,
        outside: &outside_ls,
        own: &own_ends,
        withdrawn: &withdrawn,
        routes: &routes,
        local: &ports.local,
        pinned: &ports.pinned,
        guests: &hops.guests,
        endpoint_of: &ports.endpoint_of,
        tunnel: &tunnel_ports,
    });
    let (steer_flows, steer_groups, steer_buckets) = steer::flows(&steer::Sources {
        members: &ecmp.members,
        link: &ports.link,
        pinned: &ports.pinned,
        nat: &nat.rule,
    });
    let lsr_present = lsr_by_lr.semijoin(&datapaths.lr_present.index(|lr| lr.name.clone()));
    let no_router = lsr_by_lr.antijoin(&datapaths.lr_of).map(route::without_router);
    let watch = watch::watches(&watch::Sources {
        me: &config.chassis,
        routers: &routers_near,
        hop: &hops.hop,
        link: &ports.link,
        at_in: &ports.at_in,
        patched_by: &ports.patches.patched_by,
        chassis: &chassis,
        endpoint_of: &ports.endpoint_of,
        tunnel: &tunnel,
    });
    let untunnel_flows = untunnel::flows(&untunnel::Sources {
        port: &untunnel_port,
        pinned: &ports.pinned,
        link: &ports.link,
        patched: &patched,
        lrp: &lrp,
        lsr_by_lr: &lsr_by_lr,
        lnat: &lnat,
    });
    let redirect = redirect::derive(&redirect::Sources {
        endpoint: &ports.endpoint,
        tunnel: &tunnel,
        ports: &tunnel_ports,
        session: &session,
        pinned: &ports.pinned,
        link: &ports.link,
        switches: &datapaths.ls_present,
    });
    let flows = physical::flows(&ports.local, &ports.link).concat_all([
        &tunnel::flows(&tunnel_ports, &tunnel, &ports.endpoint),
        &l2::flows(&ports.local, &ports.remote, &ports.link),
        &neighbour::flows(&ports.located, &ports.local),
        &flood_flows,
        &router::flows(&ports.link, &ports.router),
        &echo::flows(&ports.router),
        &route::flows(&ports.link, &ecmp.plain),
        &ecmp.flows,
        &steer_flows,
        &next_hop::flows(&ports.link, &located_in),
        &trace::flows(&ports.local),
        &translation.flows,
        &outside_flows,
        &probe_flows::flows(&outside, &probe),
        &patch_flows,
        &mtu_flows,
        &untunnel_flows,
        &redirect.flows,
    ]);
    let rejects = datapaths.rejects.concat_all([
        &ports.rejects,
        &stray_routes,
        &route::without_port(&lsr_present, &ports.router),
        &no_router,
        &nat.rejects,
        &translation.rejects,
    ]);

    let inputs = Inputs {
        ls: in_ls,
        lr: in_lr,
        lsp: in_lsp,
        lrp: in_lrp,
        lsr: in_lsr,
        lnat: in_lnat,
        chassis: in_chassis,
        binding: in_binding,
        interface: in_interface,
        tunnel: in_tunnel,
        patch: in_patch,
        bridge: in_bridge,
        neighbour: in_neighbour,
        withdrawn: in_withdrawn,
        session: in_session,
        probe: in_probe,
        untunnel: in_untunnel,
    };
    let outputs = Outputs {
        flows: flows.output(),
        groups: groups.concat_all([&ecmp.groups, &steer_groups, &redirect.groups]).output(),
        buckets: buckets.concat_all([&ecmp.buckets, &steer_buckets, &redirect.buckets]).output(),
        want: claims.want.output(),
        release: claims.release.output(),
        local: ports.local.map(|l| (l.port.lsp.name.clone(), l.ofport)).output(),
        pairs: ports.patches.pairs.output(),
        outside: outside.output(),
        own: own.output(),
        translated: translation.translated.output(),
        router_ports: ports.router.map(|port| (port.lr, port.lrp.value.number, port.lrp.value.nets.clone())).output(),
        watches: watch.watches.output(),
        drawing: watch.drawing.output(),
        edges: watch.edges.output(),
        rejects: rejects.output(),
        notices: claims.notices.output(),
    };
    (b.build(), inputs, outputs)
}
