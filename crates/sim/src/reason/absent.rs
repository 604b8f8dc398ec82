//! Why a packet does not get to a port that exists, as far as the facts tell.

use crate::{host::Host, names::Names};
use tuplenet_model::{key::Key, name::Name};

/// In words, from the point of view of a chassis.
pub(super) fn absent(names: &Names, host: Option<&Host>, chassis: &Name, ls: &Name, lsp: &Name) -> String {
    let keys = [Key::Lsp(ls.clone(), lsp.clone()).to_string(), Key::Ls(ls.clone()).to_string()];
    if let Some(reject) = host.and_then(|host| host.engine().rejected().find(|reject| keys.contains(&reject.key))) {
        return format!("{} is set aside: {}", reject.key, reject.reason);
    }
    if let Some(peer) = names.switch_port(ls, lsp).and_then(|port| port.peer.as_ref()) {
        let Some(router) = names.router(&peer.lr) else {
            return format!("{lsp} leads to router {}, which does not exist", peer.lr);
        };
        return match &router.chassis {
            Some(at) if at != chassis => {
                unreachable(names, chassis, at, &format!("{lsp} leads to router {}, which", peer.lr))
            }
            _ => format!("{lsp} leads to {} of router {}, which is not in force", peer.lrp, peer.lr),
        };
    }
    match names.binding(ls, lsp) {
        None => format!("{lsp} is not bound to any chassis: no host has an interface with iface-id {lsp}"),
        Some(binding) if binding.chassis == *chassis => {
            format!("{lsp} is bound to {chassis}, but has no port in its switch")
        }
        Some(binding) => unreachable(names, chassis, &binding.chassis, lsp),
    }
}

/// It is on another chassis; can that be reached?
fn unreachable(names: &Names, from: &Name, at: &Name, what: &str) -> String {
    let Some(there) = names.chassis(at) else {
        return format!(
            "{what} is on {at}, whose agent has told no tunnel end point: it never ran, or its chassis was deleted"
        );
    };
    let speaks = |kind| names.chassis(from).is_some_and(|here| here.encaps.iter().any(|e| e.kind == kind));
    if there.encaps.iter().any(|encap| speaks(encap.kind)) {
        format!("{what} is on {at}")
    } else {
        format!("{what} is on {at}, with which {from} has no tunnel protocol in common")
    }
}
