//! From what the store says to facts: reads each object once, and remembers what it said, so that a change takes the old fact
//! out and puts the new one in. What cannot be read is rejected and tells no fact.

use crate::{fact::Fact, output::Reject};
use rustc_hash::{FxHashMap, FxHashSet};
use tuplenet_model::{key::Key, name::Name, object::Object};

/// What is known under one path.
enum Known {
    Fact(Fact),
    Rejected(String),
}

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

/// The objects that the store has, as facts.
#[derive(Default)]
pub struct Intake {
    known: FxHashMap<Box<str>, Known>,
    names: FxHashSet<Name>,
}

impl Intake {
    /// Takes what the store says about a path.
    pub fn object(&mut self, path: &str, value: Option<&[u8]>, created: i64) -> Effect {
        let next = value.and_then(|value| self.read(path, value, created));
        if let (Some(Known::Fact(old)), Some(Known::Fact(new))) = (self.known.get(path), &next)
            && old == new
        {
            return Effect::default();
        }
        let mut effect = Effect::default();
        let reject = |reason: &String| Reject { key: path.into(), reason: reason.clone() };
        match &next {
            Some(Known::Fact(fact)) => effect.added = Some(fact.clone()),
            Some(Known::Rejected(reason)) => effect.rejected = Some(reject(reason)),
            None => {}
        }
        let old = match next {
            Some(next) => self.known.insert(path.into(), next),
            None => self.known.remove(path),
        };
        match old {
            Some(Known::Fact(fact)) => effect.removed = Some(fact),
            Some(Known::Rejected(reason)) => effect.mended = Some(reject(&reason)),
            None => {}
        }
        effect
    }

    fn read(&mut self, path: &str, value: &[u8], created: i64) -> Option<Known> {
        let key = match Key::parse(path) {
            Ok(Some(key)) => key,
            Ok(None) => return None,
            Err(reason) => return Some(Known::Rejected(reason)),
        };
        let object = match Object::parse(&key, value) {
            Ok(object) => object,
            Err(invalid) => return Some(Known::Rejected(invalid.reason())),
        };
        let fact = Fact::new(self.share(key), object, created)?;
        Some(Known::Fact(fact))
    }

    /// A switch's name stands in the key of each of its ports: keep it once.
    fn share(&mut self, key: Key) -> Key {
        if self.names.len() > 1024 + self.known.len() {
            self.names.clear(); // names of objects long gone: those in use are few to share again
        }
        let mut name = |name: Name| match self.names.get(&name) {
            Some(shared) => shared.clone(),
            None => {
                self.names.insert(name.clone());
                name
            }
        };
        match key {
            Key::Lsp(ls, lsp) => Key::Lsp(name(ls), lsp),
            Key::Lrp(lr, lrp) => Key::Lrp(name(lr), lrp),
            Key::Lsr(lr, lsr) => Key::Lsr(name(lr), lsr),
            Key::Binding(ls, lsp) => Key::Binding(name(ls), lsp),
            other => other,
        }
    }
}
