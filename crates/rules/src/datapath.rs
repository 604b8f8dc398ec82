//! Which datapaths are valid, how they are linked, and which of them matter on this host.

use crate::{
    change::{Config, Scope},
    contest::contest,
    fact::{Child, Lr, Lrp, Ls, Lsp},
    output::Reject,
};
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation, reach};
use tuplenet_model::{id::DatapathId, key::Key, name::Name};

/// A datapath by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A switch.
    Ls(Name),
    /// A router.
    Lr(Name),
}

/// A link by the names of its two ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkName {
    pub lsp: Child,
    pub lrp: Child,
}

/// What one end of a link says of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LinkEnd {
    link: LinkName,
    mac: [u8; 6],
    /// In order.
    ips: Box<[IpAddr]>,
}

impl LinkEnd {
    fn new(lsp: Child, lrp: Child, mac: [u8; 6], mut ips: Vec<IpAddr>) -> Self {
        ips.sort_unstable();
        Self { link: LinkName { lsp, lrp }, mac, ips: ips.into() }
    }
}

/// What this module derives.
pub struct Datapaths {
    /// Valid switches.
    pub ls_of: Index<Name, Ls>,
    /// Valid routers.
    pub lr: Relation<Lr>,
    /// The same, by name.
    pub lr_of: Index<Name, Lr>,
    /// Links whose two ends name each other and have the same addresses.
    pub link: Relation<LinkName>,
    /// Valid switches that matter here.
    pub ls_present: Relation<Ls>,
    /// Valid routers that matter here.
    pub lr_present: Relation<Lr>,
    /// Valid routers that are pinned to another chassis and have a link to a switch that matters here.
    pub lr_beyond: Relation<Lr>,
    /// What was set aside.
    pub rejects: Relation<Reject>,
}

/// A claim of a datapath id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct IdClaim {
    id: DatapathId,
    created: i64,
    key: Key,
}

/// Valid datapaths, whether they matter here or not.
pub struct Valid {
    ls: Relation<Ls>,
    lr: Relation<Lr>,
    ls_of: Index<Name, Ls>,
    lr_of: Index<Name, Lr>,
    rejects: Relation<Reject>,
}

/// Derives these. Before anything is derived of ports: operators run in the order in which they are built, and a port whose switch comes in the
/// same transaction then finds it there, instead of being an orphan for a moment, which says so in words.
pub fn valid(ls: &Relation<Ls>, lr: &Relation<Lr>) -> Valid {
    // ls_ok(LS) <- ls(LS, Id), not lost(LS, _).      One id for one datapath; the same for routers.
    let ls_claims = ls.map(|ls| IdClaim { id: ls.value.id, created: ls.created, key: Key::Ls(ls.name.clone()) });
    let lr_claims = lr.map(|lr| IdClaim { id: lr.value.id, created: lr.created, key: Key::Lr(lr.name.clone()) });
    let lost = contest(&ls_claims.concat(&lr_claims), |c| c.id, |c| (c.created, c.key.clone()));
    let lost_key = lost.index(|(loser, _)| loser.key.clone());
    let ls_ok = ls.index(|ls| Key::Ls(ls.name.clone())).antijoin(&lost_key).named("ls_ok");
    let lr_ok = lr.index(|lr| Key::Lr(lr.name.clone())).antijoin(&lost_key).named("lr_ok");
    let duplicate = lost.map(|(loser, winner)| Reject {
        key: loser.key.to_string(),
        reason: format!("id: {} is the id of {} already: give it another id, or delete one", loser.id, winner.key),
    });
    let (ls_of, lr_of) = (ls_ok.index(|ls| ls.name.clone()), lr_ok.index(|lr| lr.name.clone()));
    Valid { ls: ls_ok, lr: lr_ok, ls_of, lr_of, rejects: duplicate }
}

/// Derives all of it. `hosted_ls` are the switches of the local ports.
pub fn derive(
    config: &Config,
    valid: Valid,
    lsp: &Relation<Lsp>,
    lrp: &Relation<Lrp>,
    hosted_ls: &Relation<Name>,
) -> Datapaths {
    let Valid { ls: ls_ok, lr: lr_ok, ls_of, lr_of, rejects: duplicate } = valid;
    // link(LSP, LRP) <- lsp(LSP, peer: LRP, Mac, Ips), lrp(LRP, peer: LSP, Mac, Ips).
    let from_lsp = lsp.flat_map(|lsp| {
        let peer = lsp.value.peer.as_deref()?.clone();
        Some(LinkEnd::new(lsp.name.clone(), peer, lsp.value.mac, lsp.value.ips.to_vec()))
    });
    let from_lrp = lrp.flat_map(|lrp| {
        let peer = lrp.value.peer.clone()?;
        let ips = lrp.value.nets.iter().map(|net| net.addr()).collect();
        Some(LinkEnd::new(peer, lrp.name.clone(), lrp.value.mac, ips))
    });
    let by_lsp = from_lsp.index(|end| end.link.clone());
    let by_lrp = from_lrp.index(|end| end.link.clone());
    let pair = by_lsp.join(&by_lrp, |link, a, b| (link.clone(), a.mac == b.mac, a.ips == b.ips));
    let link = pair.flat_map(|(link, macs, ips)| (*macs && *ips).then(|| link.clone())).named("link");
    let unequal = pair.filter(|(_, macs, ips)| !(*macs && *ips)).map(|(LinkName { lsp, lrp }, macs, _)| Reject {
        key: Key::Lsp(lsp.0.clone(), lsp.1.clone()).to_string(),
        reason: format!(
            "{}: not those of the other end, lr/{}/lrp/{}: give both ends of a link the same",
            if *macs { "ips" } else { "mac" },
            lrp.0,
            lrp.1
        ),
    });
    let lone_lsp = by_lsp.antijoin(&by_lrp).map(|LinkEnd { link: LinkName { lsp, lrp }, .. }| Reject {
        key: Key::Lsp(lsp.0.clone(), lsp.1.clone()).to_string(),
        reason: format!(
            "peer: lr/{}/lrp/{} does not exist or does not name this port as its peer: link them again, or delete this port",
            lrp.0, lrp.1
        ),
    });
    let lone_lrp = by_lrp.antijoin(&by_lsp).map(|LinkEnd { link: LinkName { lsp, lrp }, .. }| Reject {
        key: Key::Lrp(lrp.0.clone(), lrp.1.clone()).to_string(),
        reason: format!(
            "peer: ls/{}/lsp/{} does not exist or does not name this port as its peer: link them again, or delete this port",
            lsp.0, lsp.1
        ),
    });

    // present(LS) <- hosted(LSP), LSP in LS.    present(LR) <- lr(LR, chassis: us).
    // present(B)  <- present(A), link(A, B), the router of the link is distributed or pinned to us.
    let me = config.chassis.clone();
    let here = lr_ok.filter(move |lr| lr.value.chassis.as_ref().is_none_or(|chassis| *chassis == me));
    let link_of = link.index(|link| link.lrp.0.clone());
    let edges = link_of
        .join_flat(&here.index(|lr| lr.name.clone()), |lr, link, _| {
            let (ls, lr) = (Node::Ls(link.lsp.0.clone()), Node::Lr(lr.clone()));
            [(ls.clone(), lr.clone()), (lr, ls)]
        })
        .named("edge");
    let me = config.chassis.clone();
    let pinned = lr_ok.filter(move |lr| lr.value.chassis.as_ref() == Some(&me)).map(|lr| Node::Lr(lr.name.clone()));
    let mut roots = hosted_ls.map(|ls| Node::Ls(ls.clone())).concat(&pinned);
    if config.scope == Scope::All {
        roots = roots.concat(&ls_ok.map(|ls| Node::Ls(ls.name.clone())));
        roots = roots.concat(&lr_ok.map(|lr| Node::Lr(lr.name.clone())));
    }
    let present = reach(&roots, &edges).named("present").index(Node::clone);
    let ls_present = ls_ok.index(|ls| Node::Ls(ls.name.clone())).semijoin(&present).named("ls_present");
    let lr_present = lr_ok.index(|lr| Node::Lr(lr.name.clone())).semijoin(&present).named("lr_present");
    // beyond(LR) <- lr(LR, chassis: not us), link(LS, LR), present(LS).
    let me = config.chassis.clone();
    let elsewhere = lr_ok.filter(move |lr| lr.value.chassis.as_ref().is_some_and(|chassis| *chassis != me));
    let lr_beyond = link_of
        .join(&elsewhere.index(|lr| lr.name.clone()), |_, link, lr| (Node::Ls(link.lsp.0.clone()), lr.clone()))
        .index(|(ls, _)| ls.clone())
        .semijoin(&present)
        .map(|(_, lr)| lr.clone())
        .distinct();

    let rejects = duplicate.concat(&lone_lsp).concat(&lone_lrp).concat(&unequal);
    Datapaths { ls_of, lr_of, lr: lr_ok, link, ls_present, lr_present, lr_beyond, rejects }
}
