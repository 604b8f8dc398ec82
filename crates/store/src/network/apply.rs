//! Makes a [`Plan`]: its transactions, one after another.

use super::{
    NetworkError, NetworkStore,
    edit::{Change, Outcome},
    error::words,
    plan::{Plan, Step, parent},
    removal::not_newer,
    snapshot::Snapshot,
};
use crate::Compare;
use std::collections::BTreeSet;
use tuplenet_model::{key::Key, object::Object};

impl NetworkStore {
    /// Makes the changes that were planned from a snapshot. Stops where somebody else has changed an object since.
    pub async fn apply(&self, plan: &Plan, snapshot: &Snapshot) -> Result<(), NetworkError> {
        let all = plan.steps.len();
        for (done, step) in plan.steps.iter().enumerate() {
            let changes: Vec<Change> = step.changes.iter().filter_map(|i| plan.changes.get(*i)).cloned().collect();
            let guards = self.guards(step, &changes, snapshot);
            let failed = match self.commit_knowing(&changes, guards, &snapshot.claims).await {
                Ok(Outcome::Done) => continue,
                Ok(Outcome::Raced) => NetworkError::Conflict(match &changes[..] {
                    [only] => words(&only.key),
                    [first, rest @ ..] => format!("{} or one of {} others", words(&first.key), rest.len()),
                    [] => "the network".to_owned(),
                }),
                Err(error) => error,
            };
            return Err(match done {
                0 => failed,
                _ => NetworkError::Partial { done, all, cause: Box::new(failed) },
            });
        }
        Ok(())
    }

    /// What must hold of objects that the transaction does not change: parents exist, nobody added to what goes.
    fn guards(&self, step: &Step, changes: &[Change], snapshot: &Snapshot) -> Vec<Compare> {
        let changing: BTreeSet<&Key> = changes.iter().map(|change| &change.key).collect();
        let mut needed: BTreeSet<Key> = BTreeSet::new();
        let mut guards = Vec::new();
        let mut routers: BTreeSet<String> = BTreeSet::new();
        for change in changes {
            match (&change.key, &change.new) {
                (key, Some(new)) => {
                    needed.extend(parent(key));
                    if let (Key::Lsr(lr, _), Object::Lsr(route)) = (key, new) {
                        needed.insert(Key::Lrp(lr.clone(), route.outport.clone()));
                    }
                }
                (key @ (Key::Ls(_) | Key::Lr(_)), None) => {
                    guards.push(not_newer(&self.at(format!("{key}/")), snapshot.revision));
                }
                (Key::Lrp(lr, _), None) if step.phase <= 2 => drop(routers.insert(format!("lr/{lr}/lsr/"))),
                _ => {}
            }
        }
        guards.extend(routers.iter().map(|routes| not_newer(&self.at(routes), snapshot.revision)));
        guards.extend(needed.iter().filter(|key| !changing.contains(key)).map(|key| Compare::exists(&self.at(key))));
        guards
    }
}
