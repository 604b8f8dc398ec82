//! Which ports are valid, where each of them is, and what is at the other end of a link.

use crate::{
    claim::Hosted,
    contest::contest,
    datapath::{Datapaths, LinkName},
    fact::{Binding, Chassis, Child, Lr, Lrp, Ls, Lsp, TunnelFact},
    output::Reject,
    patch::{self, PatchFact, Patches},
};
use rustc_hash::FxHasher;
use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{entity::EncapKind, id::DatapathId, key::Key, name::Name};

/// A valid port of a switch that matters here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SwitchPort {
    pub ls: DatapathId,
    pub flood: bool,
    pub lsp: Lsp,
}

impl SwitchPort {
    fn new(ls: &Ls, lsp: &Lsp) -> Self {
        Self { ls: ls.value.id, flood: ls.value.flood, lsp: lsp.clone() }
    }
}

/// A valid port of a router that matters here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouterPort {
    pub lr: DatapathId,
    /// Whether its router is on every host that needs it.
    pub distributed: bool,
    pub lrp: Lrp,
}

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

/// How to reach a chassis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub chassis: Name,
    pub kind: EncapKind,
    pub ip: IpAddr,
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

/// Something that one port alone may have in its datapath.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Claim {
    Port(u32),
    Mac([u8; 6]),
    Ip(IpAddr),
    Net(ipnet::IpNet),
    Patch(Name),
}

impl Claim {
    /// The same for what is equal, and rarely for anything else.
    fn hash(&self) -> u32 {
        let mut hasher = FxHasher::default();
        Hash::hash(self, &mut hasher);
        let hash = hasher.finish();
        // Both halves: of small numbers one alone says little.
        (hash ^ (hash >> 32)) as u32
    }

    fn lost(&self, winner: &Child, kind: &str) -> String {
        let (field, value) = match self {
            Claim::Port(id) => ("port_id", id.to_string()),
            Claim::Mac(mac) => ("mac", tuplenet_model::mac::Mac(*mac).to_string()),
            Claim::Ip(ip) => ("ips", ip.to_string()),
            Claim::Net(net) => ("nets", net.to_string()),
            Claim::Patch(chassis) => {
                return format!(
                    "patch: on {chassis} {kind} {}/{} is a patch port of this switch already, and a second one would bring frames twice: \
                     delete one of the two",
                    winner.0, winner.1
                );
            }
        };
        format!("{field}: {value} belongs to {kind} {}/{} already: change or delete one of the two", winner.0, winner.1)
    }
}

/// What a switch's port claims.
fn claims(port: &SwitchPort) -> impl Iterator<Item = Claim> + use<> {
    let lsp = port.lsp.clone();
    (0..2 + lsp.value.ips.len()).filter_map(move |i| match i.checked_sub(2) {
        Some(i) => lsp.value.ips.get(i).map(|ip| Claim::Ip(*ip)),
        None if i == 0 => Some(Claim::Port(lsp.value.port.get().into())),
        None => Some(match lsp.value.patch.as_deref() {
            Some(patch) => Claim::Patch(patch.chassis.clone()),
            None => Claim::Mac(lsp.value.mac),
        }),
    })
}

fn switch_ports(sources: &Sources<'_>, datapaths: &Datapaths) -> (Relation<SwitchPort>, Relation<Reject>) {
    // port(LS, LSP) <- lsp(LSP), ls_present(LS), LSP in LS, LSP lost no claim of its id, MAC, addresses or patch.
    let by_ls = sources.lsp.index(|lsp| lsp.name.0.clone());
    let here = by_ls.join(&datapaths.ls_present.index(|ls| ls.name.clone()), |_, lsp, ls| SwitchPort::new(ls, lsp));
    // A row for each claim of each port would be most of what is kept here, and next to none is contested. So the claims are only counted, by a hash, and
    // those of a switch are compared where two have one. Such a switch costs a row for each claim of its ports.
    let hashes = here.flat_map(|port| {
        let ls = port.ls;
        claims(port).map(move |claim| (ls, claim.hash()))
    });
    let suspect = hashes.count_by(|hash| *hash).flat_map(|((ls, _), count)| (*count > 1).then_some(*ls)).distinct();
    let suspect = datapaths.ls_present.index(|ls| ls.value.id).semijoin(&suspect.index(|ls| *ls));
    let claims = by_ls.join_flat(&suspect.index(|ls| ls.name.clone()), |_, lsp, ls| {
        let port = SwitchPort::new(ls, lsp);
        claims(&port).map(move |claim| (claim, port.clone()))
    });
    let age = |port: &SwitchPort| (port.lsp.created, port.lsp.name.clone());
    let lost = contest(&claims, |(claim, port)| (port.ls, claim.clone()), move |(_, port)| age(port));
    // One port may have lost several claims.
    let ok = here.minus(&lost.map(|((_, loser), _)| loser.clone()).distinct()).named("switch_port");

    let orphan = by_ls.antijoin(&datapaths.ls_of).map(|lsp| Reject {
        key: Key::Lsp(lsp.name.0.clone(), lsp.name.1.clone()).to_string(),
        reason: format!(
            "the switch ls/{0} does not exist or is set aside itself: mend or add it, or delete this port",
            lsp.name.0
        ),
    });
    let duplicate = lost.map(|((claim, loser), (_, winner))| Reject {
        key: Key::Lsp(loser.lsp.name.0.clone(), loser.lsp.name.1.clone()).to_string(),
        reason: claim.lost(&winner.lsp.name, "port"),
    });
    (ok, orphan.concat(&duplicate))
}

/// The valid ports of these routers, and the others with the reason.
fn router_ports(by_lr: &Index<Name, Lrp>, routers: &Relation<Lr>) -> (Relation<RouterPort>, Relation<Reject>) {
    // The same for routers, where a network rather than an address must be unique.
    let here = by_lr.join(&routers.index(|lr| lr.name.clone()), |_, lrp, lr| RouterPort {
        lr: lr.value.id,
        distributed: lr.value.chassis.is_none(),
        lrp: lrp.clone(),
    });
    let claims = here.flat_map(|port| {
        let value = &port.lrp.value;
        let nets = value.nets.iter().map(|net| Claim::Net(net.trunc()));
        let claims: Vec<_> = std::iter::once(Claim::Port(value.number)).chain(nets).collect();
        let (lr, lrp) = (port.lr, port.lrp.clone());
        claims.into_iter().map(move |claim| (lr, claim, lrp.clone()))
    });
    let lost = contest(&claims, |(lr, claim, _)| (*lr, claim.clone()), |(_, _, lrp)| (lrp.created, lrp.name.clone()));
    let ok = here.index(|port| port.lrp.name.clone()).antijoin(&lost.index(|((_, _, loser), _)| loser.name.clone()));
    let duplicate = lost.map(|((_, claim, loser), (_, _, winner))| Reject {
        key: Key::Lrp(loser.name.0.clone(), loser.name.1.clone()).to_string(),
        reason: claim.lost(&winner.name, "router port"),
    });
    (ok, duplicate)
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
    let (switch_port, switch_rejects) = switch_ports(sources, datapaths);
    let by_lr = sources.lrp.index(|lrp| lrp.name.0.clone());
    let (router, duplicate) = router_ports(&by_lr, &datapaths.lr_present);
    let router = router.named("router_port");
    let orphan = by_lr.antijoin(&datapaths.lr_of).map(|lrp| Reject {
        key: Key::Lrp(lrp.name.0.clone(), lrp.name.1.clone()).to_string(),
        reason: format!(
            "the router lr/{0} does not exist or is set aside itself: mend or add it, or delete this port",
            lrp.name.0
        ),
    });
    let router_rejects = orphan.concat(&duplicate);
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
    let (beyond, _) = router_ports(&by_lr, &datapaths.lr_beyond);
    let pinned_at = linked
        .join(&beyond.index(|router| router.lrp.name.clone()), |(lr, _), (_, port), _| (lr.clone(), port.clone()))
        .index(|(lr, _)| lr.clone())
        .join_flat(&datapaths.lr_beyond.index(|lr| lr.name.clone()), |_, (_, port), lr| {
            lr.value.chassis.clone().map(|chassis| (port.clone(), chassis))
        });
    let at = bound.concat(&pinned_at).named("at");

    // endpoint(Chassis, Kind, Ip) <- chassis(Chassis, encap: (Kind, Ip)), tunnel(Kind); the first in the chassis' order.
    let encaps = sources.chassis.flat_map(|c| {
        let name = c.name.clone();
        let encaps: Vec<_> = c.encaps.iter().copied().enumerate().collect();
        encaps.into_iter().map(move |(rank, encap)| (name.clone(), rank, encap))
    });
    let endpoint = encaps
        .index(|(_, _, encap)| encap.kind)
        .semijoin(&sources.tunnel.index(|t| t.kind))
        .min_by(|(chassis, _, _)| chassis.clone(), |(_, rank, _)| *rank)
        .map(|(chassis, _, encap)| Endpoint { chassis: chassis.clone(), kind: encap.kind, ip: encap.ip })
        .named("endpoint");

    // remote(Port, Ip) <- at(Port, Chassis), endpoint(Chassis, _, Ip).
    let endpoint_of = endpoint.index(|e| e.chassis.clone());
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
