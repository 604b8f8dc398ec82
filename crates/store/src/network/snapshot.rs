//! The whole network as the store has it, for what concerns all of it: apply, export, diff, doctor.

use super::{
    NetworkStore,
    io::{Claim, Stored},
};
use crate::{Kv, StoreError};
use std::collections::BTreeMap;
use tuplenet_model::{key::Key, network::Network};

/// Everything at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When.
    pub revision: i64,
    /// All objects, unreadable ones included.
    pub objects: BTreeMap<Key, Stored>,
    /// All claims, by path.
    pub claims: BTreeMap<String, Claim>,
}

impl NetworkStore {
    /// Reads everything.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let (kvs, revision) = self.list("").await?;
        Ok(self.snapshot_of(&kvs, revision))
    }

    /// Sorts what was listed.
    pub fn snapshot_of(&self, kvs: &[Kv], revision: i64) -> Snapshot {
        let mut snapshot = Snapshot { revision, ..Snapshot::default() };
        for kv in kvs {
            let path = self.path(&kv.key);
            if path.starts_with("claim/") {
                snapshot.claims.insert(path.to_owned(), Claim::new(kv));
                continue;
            }
            // Keys of no object are the doctor's affair.
            if let Ok(Some(key)) = Key::parse(path) {
                snapshot.objects.insert(key.clone(), Stored::new(&key, kv));
            }
        }
        snapshot
    }
}

impl Snapshot {
    /// The readable objects.
    pub fn network(&self) -> Network {
        let mut network = Network::default();
        for (key, stored) in &self.objects {
            if let Ok(object) = &stored.object {
                network.insert(key.clone(), object.clone());
            }
        }
        network
    }
}
