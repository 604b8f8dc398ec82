//! From what the store says to facts: reads each object once, and remembers what it said, so that a change takes the old fact
//! out and puts the new one in. What cannot be read is rejected and tells no fact.

use crate::{
    fact::{Fact, Identity},
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

/// The objects that the store has, as facts. A fact names the object that tells it, so that no path is kept for it.
#[derive(Default)]
pub struct Intake {
    facts: HashTable<Fact>,
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
            (effect.removed, effect.added) = self.replace(Identity::of_key(&key), fact);
        }
        let reject = |reason| Reject { key: path.into(), reason };
        let before = match &reason {
            Some(reason) => self.rejected.insert(path.into(), reason.clone()),
            None => self.rejected.remove(path),
        };
        if before != reason {
            effect.mended = before.map(reject);
            effect.rejected = reason.map(reject);
        }
        effect
    }

    /// Puts the fact, if there is one, in the place of the one that was there. Both are given back if they differ.
    fn replace(&mut self, identity: Identity<'_>, fact: Option<Fact>) -> (Option<Fact>, Option<Fact>) {
        let found = self.facts.find_entry(hash(identity), |known| known.identity() == identity);
        match (found, fact) {
            (Ok(known), Some(fact)) if *known.get() == fact => (None, None),
            (Ok(mut known), Some(fact)) => (Some(std::mem::replace(known.get_mut(), fact.clone())), Some(fact)),
            (Ok(known), None) => (Some(known.remove().0), None),
            (Err(_), Some(fact)) => {
                self.facts.insert_unique(hash(identity), fact.clone(), |known| hash(known.identity()));
                (None, Some(fact))
            }
            (Err(_), None) => (None, None),
        }
    }

    fn read(&mut self, key: &Key, value: &[u8], created: i64) -> Result<Fact, String> {
        let mut object = Object::parse(key, value).map_err(|invalid| invalid.reason())?;
        if self.names.len() > 1024 + self.facts.len() {
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
        match self.facts.find(hash(identity), |known| known.identity() == identity) {
            Some(Fact::Lsp(lsp)) => lsp.name.1.clone(),
            Some(Fact::Binding(binding)) => binding.lsp.1.clone(),
            _ => name.clone(),
        }
    }

    fn share(&mut self, name: &Name) -> Name {
        if let Some(shared) = self.names.get(name) {
            return shared.clone();
        }
        self.names.insert(name.clone());
        name.clone()
    }
}

fn hash(identity: Identity<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    identity.hash(&mut hasher);
    hasher.finish()
}
