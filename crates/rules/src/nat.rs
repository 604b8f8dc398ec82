//! Which NAT rules are valid. What they do to packets: `flows/nat`.

use crate::{
    datapath::Datapaths,
    fact::{Lnat, Lrp, Lsp},
    output::Reject,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{
    entity::NatConflict,
    key::Key,
    outside::{Segment, is_kept, is_spread},
};

/// What this module derives.
pub struct Nat {
    /// Valid rules of valid routers, present here or not.
    pub rule: Relation<Lnat>,
    /// What was set aside.
    pub rejects: Relation<Reject>,
}

/// A rule that is set aside for another object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lost {
    loser: Lnat,
    winner: Key,
    conflict: NatConflict,
    /// Where the two meet, if they are of two routers.
    at: Option<Segment>,
}

/// A rule whose external address is in a network of its router, on a switch there: whoever answers for the address in this segment is that router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Exposed {
    at: Segment,
    ip: IpAddr,
    rule: Lnat,
}

/// ```text
/// lost(Rule, Other)     <- lnat(LR, Rule), lnat(LR, Other), Other is older, they contradict each other.
/// lost(Rule, LRP)       <- lnat(LR, Rule, external: Ip), Rule is distributed, lr(LR, no chassis), link(_, LRP), LRP in LR, lrp(LRP, Ip).
/// on(LS, Rule)          <- lnat(LR, Rule, external: Ip), a host keeps Rule, link(LS, LRP), LRP in LR, lrp(LRP, Net), Ip in Net, not lost(Rule).
/// exposed(LS, Rule)     <- on(LS, Rule).
/// exposed(Bridge, Vlan, Rule) <- on(LS, Rule), lsp(LS, patch: (Bridge, Vlan)).
/// lost(Rule, Other)     <- exposed(At, Rule), exposed(At, Other) of another router and with the same address, which has the oldest of those there.
/// nat_rule(Rule)        <- lnat(LR, Rule), lr(LR), not lost(Rule, _).
/// ```
/// Cost: the rules of the router that changed, and those that share an external address with what changed.
pub fn derive(lnat: &Relation<Lnat>, lrp: &Relation<Lrp>, lsp: &Relation<Lsp>, datapaths: &Datapaths) -> Nat {
    let by_lr = lnat.index(|rule| rule.name.0.clone());
    let lr_ok = &datapaths.lr_of;
    let orphan = by_lr.antijoin(lr_ok).map(|rule| Reject {
        key: key(rule).to_string(),
        reason: format!(
            "the router lr/{0} does not exist or is set aside itself: mend or add it, or delete this rule",
            rule.name.0
        ),
    });
    let known = by_lr.semijoin(lr_ok);

    // Rules can contradict each other only where they have something in common: their external address, or what is inside.
    let parts = known.flat_map(|rule| {
        let parts = [NatConflict::External(rule.value.external()), NatConflict::Inner(rule.value.inner())];
        let rule = rule.clone();
        parts.into_iter().map(move |part| (part, rule.clone()))
    });
    let lost_inside = parts.reduce(
        |(part, rule): &(NatConflict, Lnat)| (rule.name.0.clone(), *part),
        |(_, part), rules| {
            if rules.len() < 2 {
                return Vec::new();
            }
            let mut rules: Vec<&Lnat> = rules.iter().map(|((_, rule), _)| rule).collect();
            rules.sort_by_key(|rule| (rule.created, rule.name.clone()));
            let mut lost = Vec::new();
            let mut kept: Vec<&Lnat> = Vec::new();
            for rule in rules {
                match kept.iter().find(|other| rule.value.contradicts(&other.value) == Some(*part)) {
                    Some(other) => {
                        lost.push(Lost { loser: rule.clone(), winner: key(other), conflict: *part, at: None });
                    }
                    None => kept.push(rule),
                }
            }
            lost
        },
    );
    let sound = known
        .index(|rule| rule.name.clone())
        .antijoin(&lost_inside.index(|lost| lost.loser.name.clone()))
        .map(Lnat::clone);

    let uplinks = datapaths
        .link
        .index(|link| link.lrp.clone())
        .join(&lrp.index(|lrp| lrp.name.clone()), |_, link, lrp| (link.lsp.0.clone(), lrp.clone()))
        .index(|(_, lrp)| lrp.name.0.clone());
    // A rule that no host keeps keeps nobody from anything.
    let kept = sound.index(|rule| rule.name.0.clone()).join_flat(lr_ok, |_, rule, lr| {
        let pinned = lr.value.chassis.is_some();
        is_kept(&rule.value, pinned).then(|| (rule.clone(), is_spread(&rule.value, pinned)))
    });

    // What is translated at the ports' hosts has a MAC address of its own, and its router another.
    let lost_own = kept
        .filter(|(_, spread)| *spread)
        .index(|(rule, _)| rule.name.0.clone())
        .join_flat(&uplinks, |_, (rule, _), (_, lrp)| {
            let ip = rule.value.external();
            lrp.value.nets.iter().any(|net| net.addr() == ip).then(|| Lost {
                loser: rule.clone(),
                winner: Key::Lrp(lrp.name.0.clone(), lrp.name.1.clone()),
                conflict: NatConflict::External(ip),
                at: None,
            })
        })
        .min_by(|lost| lost.loser.name.clone(), |lost| lost.winner.clone());

    // Two routers in one segment cannot both answer for an address.
    let on = kept
        .index(|(rule, _)| rule.name.clone())
        .antijoin(&lost_own.index(|lost| lost.loser.name.clone()))
        .index(|(rule, _)| rule.name.0.clone())
        .join_flat(&uplinks, |_, (rule, _), (ls, lrp)| {
            let ip = rule.value.external();
            lrp.value.nets.iter().any(|net| net.contains(&ip)).then(|| (ls.clone(), rule.clone()))
        })
        .distinct();
    let beyond = lsp
        .flat_map(|lsp| lsp.value.patch.as_deref().map(|patch| (lsp.name.0.clone(), Segment::beyond(patch))))
        .distinct();
    let exposed = |at: Segment, rule: &Lnat| Exposed { at, ip: rule.value.external(), rule: rule.clone() };
    let on_bridges = on
        .index(|(ls, _)| ls.clone())
        .join(&beyond.index(|(ls, _)| ls.clone()), move |_, (_, rule), (_, at)| exposed(at.clone(), rule));
    let exposed = on.map(move |(ls, rule)| exposed(Segment::Switch(ls.clone()), rule)).concat(&on_bridges).distinct();
    let lost_outside = exposed
        .reduce(
            |exposed| (exposed.at.clone(), exposed.ip),
            |(at, ip), rules| {
                let oldest = rules.iter().map(|(e, _)| &e.rule).min_by_key(|rule| (rule.created, rule.name.clone()));
                let Some(oldest) = oldest else { return Vec::new() };
                let others = rules.iter().map(|(e, _)| &e.rule).filter(|rule| rule.name.0 != oldest.name.0);
                let lost = |rule: &Lnat| Lost {
                    loser: rule.clone(),
                    winner: key(oldest),
                    conflict: NatConflict::External(*ip),
                    at: Some(at.clone()),
                };
                others.map(lost).collect()
            },
        )
        // In several segments it is lost once.
        .min_by(|lost| lost.loser.name.clone(), |lost| (lost.winner.clone(), lost.at.clone()));
    let lost_to_others = lost_own.concat(&lost_outside);
    let rule = sound
        .index(|rule| rule.name.clone())
        .antijoin(&lost_to_others.index(|lost| lost.loser.name.clone()))
        .map(Lnat::clone)
        .named("nat_rule");
    let lost = lost_inside.concat(&lost_to_others).map(|lost| {
        let Lost { loser, winner, conflict, at } = lost;
        let what = match conflict {
            NatConflict::External(ip) => format!("the external address {ip} is taken by"),
            NatConflict::Inner(net) => format!("{net} is translated already by"),
        };
        let at = at.as_ref().map(|at| format!(" {at}")).unwrap_or_default();
        Reject { key: key(loser).to_string(), reason: format!("{what} {winner}{at}: change or delete one of the two") }
    });
    Nat { rule, rejects: orphan.concat(&lost) }
}

fn key(rule: &Lnat) -> Key {
    Key::Lnat(rule.name.0.clone(), rule.name.1.clone())
}
