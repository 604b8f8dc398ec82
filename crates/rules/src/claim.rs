//! Which local Interface is which switch port, and which bindings this chassis claims.
//!
//! Two hosts with one `iface-id` settle on the newer claim. An Interface that comes fresh claims its port with the generation
//! after the present one and remembers that generation in its row. A binding of another chassis with a higher generation
//! means that somebody claimed the port later: then this host lets go, and an Interface that lost stays so until its
//! `iface-id` changes or it is made again.

use crate::{
    change::LocalInterface,
    contest::contest,
    fact::{Binding, Child, InterfaceFact, Lsp},
};
use std::rc::Rc;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::name::Name;

/// A port that is hosted here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hosted {
    pub lsp: Child,
    /// 0 while the switch has given the Interface no number.
    pub ofport: u32,
}

/// A binding that should say: us, with this generation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    pub lsp: Child,
    pub generation: u64,
    pub interface: u128,
}

/// What this module derives.
pub struct Claims {
    /// Ports hosted here.
    pub hosted: Relation<Hosted>,
    /// Bindings to write.
    pub want: Relation<Want>,
    /// Bindings of ours that nothing stands behind any more.
    pub release: Relation<Binding>,
    /// What people should know, with the Interface's name.
    pub notices: Relation<String>,
}

/// An Interface and the one port that it names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    lsp: Child,
    id: u128,
    interface: Rc<LocalInterface>,
}

/// What becomes of a candidate, given the binding that the store has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    /// Ours, and the store and the Interface row say so.
    Settled,
    /// Ours; this generation is to be written.
    Want(u64),
    /// Another chassis claimed it later.
    Lost { chassis: Name, generation: u64, ours: u64 },
}

fn judge(me: &Name, candidate: &Candidate, binding: Option<&Binding>) -> Verdict {
    let (ls, lsp) = &candidate.lsp;
    let mark =
        candidate.interface.claim.as_ref().filter(|mark| mark.lsp == format!("{ls}/{lsp}")).map(|m| m.generation);
    match (binding, mark) {
        (Some(b), Some(mark)) if b.chassis == *me && b.generation == mark => Verdict::Settled,
        (Some(b), _) if b.chassis == *me => Verdict::Want(b.generation),
        (Some(b), Some(mark)) if b.generation > mark => {
            Verdict::Lost { chassis: b.chassis.clone(), generation: b.generation, ours: mark }
        }
        (Some(b), mark) => Verdict::Want(b.generation.max(mark.unwrap_or(0)).saturating_add(1)),
        (None, mark) => Verdict::Want(mark.unwrap_or(0).saturating_add(1)),
    }
}

/// Derives all of it.
pub fn derive(
    me: &Name,
    interface: &Relation<InterfaceFact>,
    lsp: &Relation<Lsp>,
    binding: &Relation<Binding>,
    binding_of: &Index<Child, Binding>,
) -> Claims {
    // named(Interface, LSP) <- interface(Interface, IfaceId), lsp(LSP), IfaceId = LSP or IfaceId = LS/LSP.
    // The end of a link is no place for an Interface, nor is a patch port. Two joins, so that an Interface that names the switch costs nothing for the ports of
    // that name in all other switches.
    let candidate = |interface: &InterfaceFact, lsp: &Lsp| {
        (lsp.value.peer.is_none() && lsp.value.patch.is_none()).then(|| Candidate {
            lsp: lsp.name.clone(),
            id: interface.id,
            interface: interface.interface.clone(),
        })
    };
    let short = interface
        .flat_map(|i| Some((i.interface.iface_id.parse().ok()?, i.clone())))
        .index(|(lsp, _): &(Name, InterfaceFact)| lsp.clone())
        .join_flat(&lsp.index(|lsp| lsp.name.1.clone()), move |_, (_, interface), lsp| candidate(interface, lsp));
    let full = interface
        .flat_map(|i| {
            let (ls, lsp) = i.interface.iface_id.split_once('/')?;
            let child: Child = (ls.parse().ok()?, lsp.parse().ok()?);
            Some((child, i.clone()))
        })
        .index(|(lsp, _)| lsp.clone())
        .join_flat(&lsp.index(|lsp| lsp.name.clone()), move |_, (_, interface), lsp| candidate(interface, lsp));
    let named = short.concat(&full);

    // An Interface that names several ports is none of them.
    let ambiguous = named.reduce(
        |c| c.id,
        |id, candidates| {
            if candidates.len() < 2 {
                return None;
            }
            let mut ports: Vec<_> = candidates.iter().map(|(c, _)| format!("{}/{}", c.lsp.0, c.lsp.1)).collect();
            ports.sort();
            candidates.first().map(|(c, _)| (*id, c.interface.clone(), ports))
        },
    );
    let clear = named.index(|c| c.id).antijoin(&ambiguous.index(|(id, _, _)| *id));

    // Of two Interfaces that name one port the first by name has it.
    let second = contest(&clear, |c| c.lsp.clone(), |c| (c.interface.name.clone(), c.id));
    let candidate = clear.index(|c| c.id).antijoin(&second.index(|(loser, _)| loser.id)).named("candidate");

    // verdict(Candidate) from the binding of its port, if there is one.
    let candidate_of = candidate.index(|c| c.lsp.clone());
    let chassis = me.clone();
    let bound = candidate_of.join(binding_of, move |_, c, b| (c.clone(), judge(&chassis, c, Some(b))));
    let chassis = me.clone();
    let unbound = candidate_of.antijoin(binding_of).map(move |c| (c.clone(), judge(&chassis, c, None)));
    let verdict = bound.concat(&unbound);

    // hosted(LSP, OfPort) <- candidate(Interface, LSP), not lost.
    let hosted = verdict
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Lost { .. }))
        .map(|(c, _)| Hosted { lsp: c.lsp.clone(), ofport: c.interface.ofport })
        .named("hosted");
    let want = verdict.flat_map(|(c, verdict)| match verdict {
        Verdict::Want(generation) => Some(Want { lsp: c.lsp.clone(), generation: *generation, interface: c.id }),
        _ => None,
    });
    // release(LSP) <- binding(LSP, us), no Interface here names LSP.
    let me = me.clone();
    let release = binding.filter(move |b| b.chassis == me).index(|b| b.lsp.clone()).antijoin(&candidate_of);

    // stray(Interface) <- interface(Interface, IfaceId), not named(Interface, _).
    let stray = interface.index(|i| i.id).antijoin(&named.index(|c| c.id)).map(|i| {
        format!(
            "interface {}: iface-id \"{}\" names no port (yet): add it with tpctl lsp add, or set the iface-id to LSP or LS/LSP of one that exists",
            i.interface.name, i.interface.iface_id
        )
    });
    let lost = verdict.flat_map(|(c, verdict)| match verdict {
        Verdict::Lost { chassis, generation, ours } => Some(format!(
            "interface {}: port {}/{} was claimed later by chassis {chassis} (generation {generation}, ours was {ours}): \
             leaving it there. To bring it here, set the interface's iface-id again",
            c.interface.name, c.lsp.0, c.lsp.1
        )),
        _ => None,
    });
    let ambiguous = ambiguous.map(|(_, interface, ports)| {
        format!(
            "interface {}: iface-id \"{}\" names several ports ({}): set it to one of these",
            interface.name,
            interface.iface_id,
            ports.join(", ")
        )
    });
    let second = second.map(|(loser, winner)| {
        format!(
            "interface {}: port {}/{} is interface {} already: give one of them another iface-id",
            loser.interface.name, loser.lsp.0, loser.lsp.1, winner.interface.name
        )
    });
    Claims { hosted, want, release, notices: lost.concat_all([&ambiguous, &second, &stray]) }
}
