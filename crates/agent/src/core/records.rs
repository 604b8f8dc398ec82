//! What we write to the store: our chassis, and the bindings of the ports that we host. Each write compares the revision that the mirror knows of its
//! key, so that a lost race is nothing but another event; each is tried again until the store shows it or the rules want something else.

use super::{Effect, Level, ovs::fits, stats::Stats};
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    time::{Duration, Instant},
};
use tuplenet_model::{
    entity::{Binding, Encap},
    key::Key,
    name::Name,
};
use tuplenet_rules::ClaimChange;

/// Pause before a write that failed, or that the store did not show, is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Pause before we put our chassis right when somebody else, maybe a host of the same name, wrote it.
const CONTEST_PAUSE: Duration = Duration::from_secs(60);

/// One write to the store: put, or delete if there is no value, provided that the key's last revision is `expected` (0: there is no such key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Below `<prefix>/v1/`.
    pub path: String,
    /// Revision to compare with.
    pub expected: i64,
    /// JSON.
    pub value: Option<Vec<u8>>,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, at that revision.
    Done(i64),
    /// The key had changed.
    Conflict,
    /// The store could not be asked, or refused.
    Failed(String),
}

#[derive(Clone, Debug)]
struct Pending {
    /// Binding to write and the Interface to mark then; `None`: binding to delete.
    want: Option<u128>,
    ls: Name,
    lsp: Name,
    generation: u64,
    in_flight: bool,
    /// Nobody asks for it any more; only the answer to the write that is on its way is awaited.
    dropped: bool,
    retry_at: Option<Instant>,
}

/// An Interface that may be marked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The Interface.
    pub interface: u128,
    /// `switch/port`.
    pub lsp: String,
    /// The generation that the store has.
    pub generation: u64,
}

/// Our records in the store. See the module.
#[derive(Debug)]
pub struct Records {
    me: Name,
    encaps: Vec<Encap>,
    /// MTU of the underlay, as far as known.
    mtu: Option<u32>,
    /// Hash of the path of each binding -> the revision that changed it last.
    revisions: FxHashMap<u64, i64>,
    /// Those that name us -> their generation.
    ours: FxHashMap<u64, u64>,
    pending: BTreeMap<String, Pending>,
    /// Our chassis as the store has it, and its revision.
    chassis: (Option<Value>, i64),
    chassis_in_flight: bool,
    chassis_retry_at: Option<Instant>,
    /// The store has shown our chassis as we wrote it.
    registered: bool,
    /// Then somebody else wrote other encaps: most likely another host with our name.
    contested: bool,
    /// Until the chassis in the store is ours again, bindings in our name are not ours to write or to delete.
    yields: bool,
    /// The store is known in full, so that what we do not see is not there.
    open: bool,
    /// Whether the last write failed: said once.
    failing: bool,
}

impl Records {
    /// For a chassis that is reached by these.
    pub fn new(me: Name, encaps: Vec<Encap>) -> Self {
        Self {
            me,
            encaps,
            mtu: None,
            revisions: FxHashMap::default(),
            ours: FxHashMap::default(),
            pending: BTreeMap::new(),
            chassis: (None, 0),
            chassis_in_flight: false,
            chassis_retry_at: None,
            registered: false,
            contested: false,
            yields: false,
            open: false,
            failing: false,
        }
    }

    /// The MTU of the underlay is that now; `None`: it is not known.
    pub fn underlay(&mut self, mtu: Option<u32>) {
        self.mtu = mtu;
    }

    /// What the store says now of a path.
    pub fn see(&mut self, path: &str, value: Option<&[u8]>, mod_revision: i64) {
        if let Some(name) = path.strip_prefix("chassis/") {
            if *name == *self.me {
                let object = value.map(|v| serde_json::from_slice(v).unwrap_or(Value::Null));
                // Not to be answered at once: two agents of one name would overwrite each other for ever.
                let foreign = object
                    .as_ref()
                    .is_some_and(|o| o.get("encaps") != serde_json::to_value(&self.encaps).ok().as_ref());
                self.yields = self.registered && foreign;
                self.contested |= self.yields;
                self.chassis = (object, if value.is_some() { mod_revision } else { 0 });
                self.chassis_retry_at = None;
            }
            return;
        }
        if !path.starts_with("binding/") {
            return;
        }
        let hash = hash(path);
        match value {
            Some(_) => drop(self.revisions.insert(hash, mod_revision)),
            None => drop(self.revisions.remove(&hash)),
        }
        let binding = value.and_then(|v| serde_json::from_slice::<Binding>(v).ok());
        match &binding {
            Some(b) if b.chassis == self.me => drop(self.ours.insert(hash, b.generation)),
            _ => drop(self.ours.remove(&hash)),
        }
        if let Some(pending) = self.pending.get_mut(path) {
            let ours = binding.as_ref().is_some_and(|b| b.chassis == self.me && b.generation == pending.generation);
            let still = match pending.want {
                // Of a binding that is as new as what we would write the rules think again; if it is ours, only the mark is missing.
                Some(_) => ours || binding.as_ref().is_none_or(|b| b.generation < pending.generation),
                None => ours,
            };
            if still {
                pending.retry_at = None;
            } else {
                self.pending.remove(path);
            }
        }
    }

    /// The store is known in full: from here on we write.
    pub fn open(&mut self) {
        self.open = true;
    }

    /// What the rules want of our bindings.
    pub fn change(&mut self, claims: Vec<ClaimChange>) {
        for claim in claims {
            let (ls, lsp, generation, want) = match claim {
                ClaimChange::Want { ls, lsp, generation, interface } => (ls, lsp, generation, Some(interface)),
                ClaimChange::Release { ls, lsp, generation } => (ls, lsp, generation, None),
            };
            let path = Key::Binding(ls.clone(), lsp.clone()).to_string();
            // An answer that is on its way is about the earlier wish: whatever it says, this one is tried then.
            let in_flight = self.pending.get(&path).is_some_and(|p| p.in_flight);
            self.pending.insert(path, Pending { want, ls, lsp, generation, in_flight, dropped: false, retry_at: None });
        }
    }

    /// What an Interface asks for now, if anything: it claims nothing else any more.
    pub fn asks(&mut self, interface: u128, iface_id: Option<&str>) {
        self.pending.retain(|_, p| {
            let wish = p.want == Some(interface);
            if wish && !iface_id.is_some_and(|id| fits(&format!("{}/{}", p.ls, p.lsp), id)) {
                p.dropped = true;
            }
            !p.dropped || p.in_flight
        });
    }

    /// Sends what is to be sent; gives the Interfaces that can be marked, since the store has their claims.
    pub fn act(&mut self, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) -> Vec<Marked> {
        if !self.open {
            return Vec::new();
        }
        self.register(now, effects, stats);
        let (mut marked, mut done) = (Vec::new(), Vec::new());
        for (path, pending) in &mut self.pending {
            let hash = hash(path);
            let has = self.ours.get(&hash) == Some(&pending.generation);
            if pending.dropped {
                continue;
            }
            // What the store shows counts, also before the answer to our write came.
            if has == pending.want.is_some() {
                if let Some(interface) = pending.want {
                    let lsp = format!("{}/{}", pending.ls, pending.lsp);
                    marked.push(Marked { interface, lsp, generation: pending.generation });
                }
                done.push(path.clone());
                continue;
            }
            if self.yields || pending.in_flight || pending.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            let binding = Binding { chassis: self.me.clone(), generation: pending.generation };
            let value = pending.want.and_then(|_| serde_json::to_vec(&binding).ok());
            pending.in_flight = true;
            pending.retry_at = None;
            stats.store_writes += 1;
            let expected = self.revisions.get(&hash).copied().unwrap_or(0);
            effects.push(Effect::Store(Write { path: path.clone(), expected, value }));
        }
        for path in done {
            self.pending.remove(&path);
        }
        stats.claims_pending = self.pending.len() as u64;
        marked
    }

    fn register(&mut self, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        if self.chassis_in_flight {
            return;
        }
        let (Ok(encaps), roles) = (serde_json::to_value(&self.encaps), Value::Array(Vec::new())) else { return };
        // What others wrote into our record (a description, fields of a later version) stays.
        let mut object = match &self.chassis.0 {
            Some(Value::Object(object)) => object.clone(),
            _ => serde_json::Map::new(),
        };
        object.insert("encaps".into(), encaps);
        object.insert("roles".into(), roles);
        match self.mtu {
            Some(mtu) => object.insert("mtu".into(), mtu.into()),
            None => object.remove("mtu"),
        };
        let object = Value::Object(object);
        if self.chassis.0.as_ref() == Some(&object) {
            self.chassis_retry_at = None;
            self.registered = true;
            return;
        }
        if std::mem::take(&mut self.contested) {
            let text = format!(
                "somebody else wrote the chassis {} with other encaps ({}): if another host has this name, give one of them another; no port is claimed or released here until this chassis is as it should be",
                self.me,
                self.chassis.0.as_ref().and_then(|o| o.get("encaps")).map(Value::to_string).unwrap_or_default()
            );
            effects.push(Effect::Say(Level::Error, text));
            self.chassis_retry_at = Some(now + CONTEST_PAUSE);
        }
        if self.chassis_retry_at.is_some_and(|at| at > now) {
            return;
        }
        self.chassis_in_flight = true;
        stats.store_writes += 1;
        let value = serde_json::to_vec(&object).ok();
        effects.push(Effect::Store(Write { path: self.chassis_path(), expected: self.chassis.1, value }));
    }

    fn chassis_path(&self) -> String {
        Key::Chassis(self.me.clone()).to_string()
    }

    /// How a write ended.
    pub fn done(&mut self, path: &str, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        // The mirror shows the write; until it does, or a while later, nothing is sent again.
        let retry_at = Some(now + RETRY_PAUSE);
        match outcome {
            Outcome::Done(_) => self.failing = false,
            Outcome::Conflict => stats.store_conflicts += 1,
            Outcome::Failed(why) => {
                if !std::mem::replace(&mut self.failing, true) {
                    effects.push(Effect::Say(
                        Level::Warn,
                        format!("cannot write {path} to the store: {why}; trying again"),
                    ));
                }
            }
        }
        if path == self.chassis_path() {
            self.chassis_in_flight = false;
            self.chassis_retry_at = retry_at;
        } else if let Some(pending) = self.pending.get_mut(path) {
            pending.in_flight = false;
            pending.retry_at = retry_at;
            if pending.dropped {
                self.pending.remove(path);
            }
        }
    }

    /// When [`Records::act`] has something to try again.
    pub fn wakeup(&self) -> Option<Instant> {
        if !self.open {
            return None;
        }
        let chassis = self.chassis_retry_at.filter(|_| !self.chassis_in_flight);
        if self.yields {
            return chassis;
        }
        self.pending.values().filter(|p| !p.in_flight).filter_map(|p| p.retry_at).chain(chassis).min()
    }
}

/// Paths are remembered by hash: a collision would make one write fail its comparison for ever, at a chance of one in a thousand million at
/// 100,000 ports.
fn hash(path: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
