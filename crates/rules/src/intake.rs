//! From what the store says to facts: reads each object once, and remembers what it said, so that a change takes the old fact
//! out and puts the new one in. What cannot be read is rejected and tells no fact.

use crate::{
    fact::{Binding, Fact, Identity, Lsp},
    output::Reject,
};
use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};
use tuplenet_model::{key::Key, name::Name, object::Object};

/// What one object's change means.
#[derive(Default)]
pub struct Effect {
    /// The fact that holds no more.
    pub removed: Option<Fact>,
    /// The fact that holds now.
    pub added: Option<Fact>,
    /// The reject that is mended or gone.
    pub mended: Option<Reject>,
    /// The reject that appeared.
    pub rejected: Option<Reject>,
}

/// The objects that the store has, as facts. A fact names the object that tells it, so that no path is kept for it. Ports and bindings, which are most
/// of all, have tables of their own, where each is a pointer and nothing more.
#[derive(Default)]
pub struct Intake {
    ports: HashTable<Lsp>,
    bindings: HashTable<Binding>,
    others: HashTable<Fact>,
    rejected: FxHashMap<Box<str>, String>,
    names: FxHashSet<Name>,
}

impl Intake {
    /// Takes what the store says about a path.
    pub fn object(&mut self, path: &str, value: Option<&[u8]>, created: i64) -> Effect {
        let (key, said) = match Key::parse(path) {
            Ok(None) => return Effect::default(),
            Ok(Some(key)) => {
                let said = value.map(|value| self.read(&key, value, created));
                (Some(key), said)
            }
            Err(reason) => (None, value.map(|_| Err(reason))),
        };
        let (fact, reason) = match said {
            Some(Ok(fact)) => (Some(fact), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let mut effect = Effect::default();
        if let Some(key) = key {
            (effect.removed, effect.added) = self.replace(&key, fact);
        }
        let reject = |reason| Reject { key: path.into(), reason };
        let before = match &reason {
            Some(reason) => self.rejected.insert(path.into(), reason.clone()),
            None if self.rejected.is_empty() => None,
            None => self.rejected.remove(path),
        };
        if before != reason {
            effect.mended = before.map(reject);
            effect.rejected = reason.map(reject);
        }
        effect
    }

    /// Puts the fact, if there is one, in the place of the one that was there. Both are given back if they differ.
    fn replace(&mut self, key: &Key, fact: Option<Fact>) -> (Option<Fact>, Option<Fact>) {
        let identity = Identity::of_key(key);
        match (key, fact) {
            (Key::Lsp(..), Some(Fact::Lsp(port))) => put(&mut self.ports, identity, Some(port)),
            (Key::Lsp(..), _) => put(&mut self.ports, identity, None),
            (Key::Binding(..), Some(Fact::Binding(binding))) => put(&mut self.bindings, identity, Some(binding)),
            (Key::Binding(..), _) => put(&mut self.bindings, identity, None),
            (_, fact) => put(&mut self.others, identity, fact),
        }
    }

    fn read(&mut self, key: &Key, value: &[u8], created: i64) -> Result<Fact, String> {
        let mut object = Object::parse(key, value).map_err(|invalid| invalid.reason())?;
        if self.names.len() > 1024 + self.ports.len() + self.bindings.len() + self.others.len() {
            self.names.clear(); // names of objects long gone: those in use are few to share again
        }
        if let Object::Binding(binding) = &mut object {
            binding.chassis = self.share(&binding.chassis);
        }
        // A switch's name stands in the key of each of its ports: keep it once.
        let key = match key {
            Key::Lsp(ls, lsp) => {
                Key::Lsp(self.share(ls), self.counterpart(&Key::Binding(ls.clone(), lsp.clone()), lsp))
            }
            Key::Lrp(lr, lrp) => Key::Lrp(self.share(lr), lrp.clone()),
            Key::Lsr(lr, lsr) => Key::Lsr(self.share(lr), lsr.clone()),
            Key::Lnat(lr, rule) => Key::Lnat(self.share(lr), rule.clone()),
            Key::Binding(ls, lsp) => {
                Key::Binding(self.share(ls), self.counterpart(&Key::Lsp(ls.clone(), lsp.clone()), lsp))
            }
            other => other.clone(),
        };
        Fact::new(key, object, created).ok_or_else(|| "it is of another kind than its key".into())
    }

    /// The name of a port or of its binding, as the other of the two has it already: kept once.
    fn counterpart(&self, other: &Key, name: &Name) -> Name {
        let identity = Identity::of_key(other);
        let known = match other {
            Key::Lsp(..) => find(&self.ports, identity).map(|port| &port.name.1),
            _ => find(&self.bindings, identity).map(|binding| &binding.lsp.1),
        };
        known.unwrap_or(name).clone()
    }

    fn share(&mut self, name: &Name) -> Name {
        if let Some(shared) = self.names.get(name) {
            return shared.clone();
        }
        self.names.insert(name.clone());
        name.clone()
    }
}

/// What is in a table of the intake.
trait Known: Clone + PartialEq + Into<Fact> {
    fn identity(&self) -> Identity<'_>;
}

impl Known for Lsp {
    fn identity(&self) -> Identity<'_> {
        Identity::of_port(self)
    }
}

impl Known for Binding {
    fn identity(&self) -> Identity<'_> {
        Identity::of_binding(self)
    }
}

impl Known for Fact {
    fn identity(&self) -> Identity<'_> {
        self.identity()
    }
}

fn find<'a, T: Known>(table: &'a HashTable<T>, identity: Identity<'_>) -> Option<&'a T> {
    table.find(hash(identity), |known| known.identity() == identity)
}

fn put<T: Known>(table: &mut HashTable<T>, identity: Identity<'_>, fact: Option<T>) -> (Option<Fact>, Option<Fact>) {
    let found = table.find_entry(hash(identity), |known| known.identity() == identity);
    match (found, fact) {
        (Ok(known), Some(fact)) if *known.get() == fact => (None, None),
        (Ok(mut known), Some(fact)) => {
            let before = std::mem::replace(known.get_mut(), fact.clone());
            (Some(before.into()), Some(fact.into()))
        }
        (Ok(known), None) => (Some(known.remove().0.into()), None),
        (Err(_), Some(fact)) => {
            table.insert_unique(hash(identity), fact.clone(), |known| hash(known.identity()));
            (None, Some(fact.into()))
        }
        (Err(_), None) => (None, None),
    }
}

fn hash(identity: Identity<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    identity.hash(&mut hasher);
    hasher.finish()
}
