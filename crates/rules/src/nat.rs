//! Which NAT rules are valid. What they do to packets: `flows/nat`.

use crate::{
    datapath::Datapaths,
    fact::{Child, Lnat, Lrp},
    output::Reject,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{entity::NatConflict, key::Key, name::Name};

/// What this module derives.
pub struct Nat {
    /// Valid rules of valid routers, present here or not.
    pub rule: Relation<Lnat>,
    /// What was set aside.
    pub rejects: Relation<Reject>,
}

/// A rule that is set aside for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lost {
    loser: Lnat,
    winner: Child,
    conflict: NatConflict,
}

/// A rule whose external address is in a network of its router, on this switch: whoever answers for the address there is that router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Exposed {
    ls: Name,
    ip: IpAddr,
    rule: Lnat,
}

/// ```text
/// lost(Rule, Other)    <- lnat(LR, Rule), lnat(LR, Other), Other is older, they contradict each other.
/// exposed(LS, Ip, R)   <- lnat(LR, R, external: Ip), link(LS, LRP), LRP in LR, lrp(LRP, Net), Ip in Net, not lost(R).
/// lost(Rule, Other)    <- exposed(LS, Ip, Rule), exposed(LS, Ip, Other) of another router, which has the oldest of those there.
/// nat_rule(Rule)       <- lnat(LR, Rule), lr(LR), not lost(Rule, _).
/// ```
/// Cost: the rules of the router that changed, and those that share an external address with what changed.
pub fn derive(lnat: &Relation<Lnat>, lrp: &Relation<Lrp>, datapaths: &Datapaths) -> Nat {
    let by_lr = lnat.index(|rule| rule.name.0.clone());
    let lr_ok = &datapaths.lr_of;
    let orphan = by_lr.antijoin(lr_ok).map(|rule| Reject {
        key: key(rule),
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
                    Some(other) => lost.push(Lost { loser: rule.clone(), winner: other.name.clone(), conflict: *part }),
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

    // Two routers on one switch cannot both answer for an address.
    let uplinks = datapaths
        .link
        .index(|link| link.lrp.clone())
        .join(&lrp.index(|lrp| lrp.name.clone()), |_, link, lrp| (link.lsp.0.clone(), lrp.clone()));
    let exposed = sound
        .index(|rule| rule.name.0.clone())
        .join_flat(&uplinks.index(|(_, lrp)| lrp.name.0.clone()), |_, rule, (ls, lrp)| {
            let ip = rule.value.external();
            let here = lrp.value.nets.iter().any(|net| net.contains(&ip));
            here.then(|| Exposed { ls: ls.clone(), ip, rule: rule.clone() })
        })
        .distinct();
    let lost_outside = exposed.reduce(
        |exposed| (exposed.ls.clone(), exposed.ip),
        |(_, ip), rules| {
            let oldest = rules.iter().map(|(e, _)| &e.rule).min_by_key(|rule| (rule.created, rule.name.clone()));
            let Some(oldest) = oldest else { return Vec::new() };
            let others = rules.iter().map(|(e, _)| &e.rule).filter(|rule| rule.name.0 != oldest.name.0);
            let conflict = NatConflict::External(*ip);
            others.map(|rule| Lost { loser: rule.clone(), winner: oldest.name.clone(), conflict }).collect()
        },
    );
    let rule = sound
        .index(|rule| rule.name.clone())
        .antijoin(&lost_outside.index(|lost| lost.loser.name.clone()))
        .map(Lnat::clone)
        .named("nat_rule");
    let lost = lost_inside.concat(&lost_outside).map(|lost| {
        let Lost { loser, winner, conflict } = lost;
        let what = match conflict {
            NatConflict::External(ip) => format!("the external address {ip} is taken by"),
            NatConflict::Inner(net) => format!("{net} is translated already by"),
        };
        Reject {
            key: key(loser),
            reason: format!("{what} lr/{}/lnat/{}: change or delete one of the two", winner.0, winner.1),
        }
    });
    Nat { rule, rejects: orphan.concat(&lost) }
}

fn key(rule: &Lnat) -> String {
    Key::Lnat(rule.name.0.clone(), rule.name.1.clone()).to_string()
}
