//! Where each valid port is, and what is at the other end of a link.

use crate::{
    claim::Hosted,
    datapath::{Datapaths, LinkName},
    endpoint::{self, Endpoint},
    fact::{Binding, Chassis, Child, Lrp, Lsp, TunnelFact},
    output::Reject,
    patch::{self, PatchFact, Patches},
    valid_port::{self, RouterPort, SwitchPort},
};
use std::{hash::Hash, net::IpAddr};
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{id::DatapathId, name::Name};

/// A port whose Interface is on our bridge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPort {
    pub port: SwitchPort,
    pub ofport: u32,
}

/// A port that another chassis has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemotePort {
    pub port: SwitchPort,
    pub endpoint: IpAddr,
}

/// Both ends of a link whose router is on this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    pub port: SwitchPort,
    pub router: RouterPort,
}

/// What this module derives.
pub struct Ports {
    pub local: Relation<LocalPort>,
    /// Those and the ones whose Interfaces have no port in the switch.
    pub hosted: Relation<SwitchPort>,
    pub remote: Relation<RemotePort>,
    /// The same by switch and with the chassis: for what concerns few switches and would otherwise keep a row for each port of all: see [`Ports::remote_in`].
    pub at_in: Index<DatapathId, (SwitchPort, Name)>,
    pub link: Relation<Link>,
    pub router: Relation<RouterPort>,
    /// Ports that can be reached from here, wherever they are: the ones that ARP and routing know.
    pub located: Relation<SwitchPort>,
    /// Chassis that have a port which matters here.
    pub endpoint: Relation<Endpoint>,
    /// How to reach any chassis.
    pub endpoint_of: Index<Name, Endpoint>,
    /// Ports that lead to routers pinned to other chassis, which these are.
    pub pinned: Relation<(SwitchPort, Name)>,
    /// Where switches meet a physical network.
    pub patches: Patches,
    pub rejects: Relation<Reject>,
}

/// The facts that this module reads.
pub struct Sources<'a> {
    pub me: &'a Name,
    pub lsp: &'a Relation<Lsp>,
    pub lrp: &'a Relation<Lrp>,
    pub chassis: &'a Relation<Chassis>,
    pub binding_of: &'a Index<Child, Binding>,
    pub tunnel: &'a Relation<TunnelFact>,
    pub hosted: &'a Relation<Hosted>,
    pub patch: &'a Relation<PatchFact>,
}

fn with_endpoint(at: &Relation<(SwitchPort, Name)>, endpoint_of: &Index<Name, Endpoint>) -> Relation<RemotePort> {
    at.index(|(_, chassis)| chassis.clone())
        .join(endpoint_of, |_, (port, _), endpoint| RemotePort { port: port.clone(), endpoint: endpoint.ip })
}

impl Ports {
    /// The remote ports of some switches. Costs a row for each of these, and none for all the others.
    pub fn remote_in<T: Clone + Eq + Hash + std::fmt::Debug + 'static>(
        &self,
        switches: &Index<DatapathId, T>,
    ) -> Relation<RemotePort> {
        with_endpoint(&self.at_in.semijoin(switches), &self.endpoint_of)
    }
}

/// Derives all of it.
pub fn derive(sources: &Sources<'_>, datapaths: &Datapaths) -> Ports {
    let (switch_port, switch_rejects) = valid_port::of_switches(sources.lsp, datapaths);
    let (router, beyond, router_rejects) = valid_port::of_routers(sources.lrp, datapaths);
    let by_name = switch_port.index(|port| port.lsp.name.clone());

    // local(Port, OfPort) <- port(Port), hosted(Port, OfPort), OfPort > 0.
    let hosted = sources.hosted.index(|h| h.lsp.clone());
    let hosted_port = by_name.join(&hosted, |_, port, hosted| LocalPort { port: port.clone(), ofport: hosted.ofport });
    let local = hosted_port.filter(|port| port.ofport > 0).named("local");

    // at(Port, Chassis) <- port(Port), binding(Port, Chassis), Chassis != us, not hosted(Port).
    let bound = |ports: &Index<Child, SwitchPort>| {
        let me = sources.me.clone();
        ports.join_flat(sources.binding_of, move |_, port, binding| {
            let value = &port.lsp.value;
            let elsewhere = value.peer.is_none() && value.patch.is_none() && binding.chassis != me;
            elsewhere.then(|| (port.clone(), binding.chassis.clone()))
        })
    };
    // Few ports are hosted here, and all others may be bound elsewhere: of these two sets the small one is kept.
    let bound = bound(&by_name).minus(&bound(&by_name.semijoin(&hosted).index(|port| port.lsp.name.clone())));
    // linked(LRP, Port) <- link(LSP, LRP), port(LSP).
    let linked = datapaths
        .link
        .index(|link: &LinkName| link.lsp.clone())
        .join(&by_name, |_, link, port| (link.lrp.clone(), port.clone()))
        .index(|(lrp, _)| lrp.clone());
    // at(Port, Chassis) <- linked(LRP, Port), router_port(LRP), LRP in LR, lr(LR, chassis: Chassis), Chassis != us.
    let pinned_at = linked
        .join(&beyond.index(|router| router.lrp.name.clone()), |(lr, _), (_, port), _| (lr.clone(), port.clone()))
        .index(|(lr, _)| lr.clone())
        .join_flat(&datapaths.lr_beyond.index(|lr| lr.name.clone()), |_, (_, port), lr| {
            lr.value.chassis.clone().map(|chassis| (port.clone(), chassis))
        });
    let at = bound.concat(&pinned_at).named("at");

    // remote(Port, Ip) <- at(Port, Chassis), endpoint(Chassis, _, Ip).
    let endpoint_of = endpoint::derive(sources.chassis, sources.tunnel).index(|e| e.chassis.clone());
    let remote = with_endpoint(&at, &endpoint_of).named("remote");
    let patches = patch::derive(sources.me, &switch_port, sources.chassis, sources.patch, &endpoint_of);
    let used = at.map(|(_, chassis)| chassis.clone()).concat(&patches.used).distinct();
    let endpoint = endpoint_of.semijoin(&used.index(Name::clone));

    // link(Port, RouterPort) <- linked(LRP, Port), router_port(LRP).
    let link = linked
        .join(&router.index(|r| r.lrp.name.clone()), |_, (_, port), router| Link {
            port: port.clone(),
            router: router.clone(),
        })
        .named("router_link");

    let located = local
        .map(|l| l.port.clone())
        .concat(&remote.map(|r| r.port.clone()))
        .concat(&link.map(|l| l.port.clone()))
        .named("located");
    let at_in = at.index(|(port, _)| port.ls);
    let rejects = switch_rejects.concat(&router_rejects);
    let pinned = pinned_at;
    let hosted = hosted_port.map(|hosted| hosted.port.clone());
    Ports { local, hosted, remote, at_in, link, router, located, endpoint, endpoint_of, pinned, patches, rejects }
}
