//! What the path of a simulated packet shows: whom it passed, where it arrived, or why it did not.

use std::collections::BTreeMap;
use tuplenet_model::name::Name;
use tuplenet_rules::stage;
use tuplenet_sim::path::{Outcome, Path};

/// The hosts that a packet passed.
pub fn passed(path: &Path) -> Vec<Name> {
    let mut hosts: Vec<&str> = path.hops.iter().map(|hop| hop.chassis.as_str()).collect();
    hosts.dedup();
    hosts.into_iter().filter_map(|host| host.parse().ok()).collect()
}

/// The agent of a host on the way asks for the next hop outside.
pub fn asked_outside(path: &Path) -> bool {
    path.outcomes.iter().any(|outcome| {
        matches!(outcome, Outcome::Dropped { reason, .. } if reason.contains(" is not known as a neighbour outside: "))
    })
}

/// Whether a copy leaves by that port.
pub fn arrives(path: &Path, ls: &Name, lsp: &Name) -> bool {
    path.outcomes.iter().any(|outcome| {
        matches!(outcome, Outcome::Delivered { ls: to, lsp: port, .. } if to == ls.as_str() && port == lsp.as_str())
    })
}

/// The routers that a packet passed again and again, in words.
pub fn circle(path: &Path) -> Option<String> {
    /// A packet passes a router twice on an odd but honest way; more often it never gets away.
    const OFTEN: usize = 4;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for hop in path.hops.iter().filter(|hop| hop.stage == stage::LRP_TRACE_INGRESS_IN.name) {
        *times.entry(&hop.pipeline).or_default() += 1;
    }
    let often: Vec<&str> = times.iter().filter(|(_, times)| **times >= OFTEN).map(|(router, _)| *router).collect();
    if !often.is_empty() {
        return Some(format!("routers {}", often.join(" and ")));
    }
    // Within one host the switch ends it, and tells of no hop there.
    let given_up = |outcome: &Outcome| matches!(outcome, Outcome::Dropped { reason, .. } if reason.starts_with("the switch gave it up"));
    path.outcomes.iter().any(given_up).then(|| "routers".to_owned())
}

/// Where a packet arrived.
pub fn arrival(path: &Path) -> String {
    let said = path.outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Delivered { ls, lsp, chassis } => Some(format!("arrives at port {lsp} of switch {ls} on {chassis}")),
        Outcome::Answered { by, what, .. } => Some(format!("{by} answers, with an {what}")),
        Outcome::Untunnelled { lr, chassis } => Some(format!("leaves {lr} by the own IP stack of {chassis}")),
        _ => None,
    });
    said.unwrap_or_else(|| "arrives".to_owned())
}

/// Why a packet did not arrive, and where that was.
pub fn failure(path: &Path) -> Option<String> {
    path.outcomes
        .iter()
        .find_map(|outcome| match outcome {
            Outcome::Dropped { chassis, datapath, reason, .. } => {
                // Whom a router tells is no reason.
                let told = reason.rsplit_once("; ").filter(|(_, told)| told.ends_with(" tells the sender"));
                let reason = told.map_or(reason.as_str(), |(why, _)| why);
                let place = datapath.as_ref().map(|name| format!("{name} on ")).unwrap_or_default();
                Some(format!("{reason} ({place}{chassis})"))
            }
            Outcome::Lost { chassis, towards, reason } => Some(format!("{reason} (from {chassis} to {towards})")),
            Outcome::Delivered { .. } | Outcome::Answered { .. } | Outcome::Untunnelled { .. } => None,
        })
        .or_else(|| {
            path.outcomes.iter().find_map(|outcome| match outcome {
                Outcome::Delivered { ls, lsp, chassis } => {
                    Some(format!("it arrives at port {lsp} of switch {ls} on {chassis} instead"))
                }
                Outcome::Answered { by, what, .. } => Some(format!("{by} answers it with an {what} instead")),
                Outcome::Untunnelled { chassis, .. } => {
                    Some(format!("it leaves by the own IP stack of {chassis} instead"))
                }
                _ => None,
            })
        })
}
