//! Which ports are valid: those whose switch or router is, and that contradict no older port of it.

use crate::{
    contest::contest,
    datapath::Datapaths,
    fact::{Child, Lr, Lrp, Ls, Lsp},
    output::Reject,
};
use rustc_hash::FxHasher;
use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{id::DatapathId, key::Key, name::Name};

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

/// The valid ports of the switches that matter here, and the others with the reason.
pub fn of_switches(lsp: &Relation<Lsp>, datapaths: &Datapaths) -> (Relation<SwitchPort>, Relation<Reject>) {
    // port(LS, LSP) <- lsp(LSP), ls_present(LS), LSP in LS, LSP lost no claim of its id, MAC, addresses or patch.
    let by_ls = lsp.index(|lsp| lsp.name.0.clone());
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
fn of_these(by_lr: &Index<Name, Lrp>, routers: &Relation<Lr>) -> (Relation<RouterPort>, Relation<Reject>) {
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

/// The valid ports of the routers that matter here; those of routers pinned to other chassis; and all others with the reason.
pub fn of_routers(
    lrp: &Relation<Lrp>,
    datapaths: &Datapaths,
) -> (Relation<RouterPort>, Relation<RouterPort>, Relation<Reject>) {
    let by_lr = lrp.index(|lrp| lrp.name.0.clone());
    let (ok, duplicate) = of_these(&by_lr, &datapaths.lr_present);
    let ok = ok.named("router_port");
    let (beyond, _) = of_these(&by_lr, &datapaths.lr_beyond);
    let orphan = by_lr.antijoin(&datapaths.lr_of).map(|lrp| Reject {
        key: Key::Lrp(lrp.name.0.clone(), lrp.name.1.clone()).to_string(),
        reason: format!(
            "the router lr/{0} does not exist or is set aside itself: mend or add it, or delete this port",
            lrp.name.0
        ),
    });
    (ok, beyond, orphan.concat(&duplicate))
}
