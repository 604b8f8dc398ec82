//! A set of changes of objects, made in one transaction with the claims that they need: all or nothing.

use super::{
    NetworkError, NetworkStore, claims,
    error::{path_words, words},
    io::{Claim, MAX_OPS, Stored},
    unclaimed::Scope,
};
use crate::{Compare, Op, StoreError, Txn};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{key::Key, object::Object};

/// An object that comes, changes or goes.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// As it was read; `None`: it did not exist.
    pub old: Option<Stored>,
    /// As it will be; `None`: it goes.
    pub new: Option<Object>,
}

/// How a transaction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Made.
    Done,
    /// Nothing was written: somebody changed what was read. Read again.
    Raced,
}

impl Change {
    /// A new object.
    pub(super) fn add(key: Key, new: Object) -> Self {
        Self { key, old: None, new: Some(new) }
    }
    /// An object that goes.
    pub(super) fn remove(key: Key, old: Stored) -> Self {
        Self { key, old: Some(old), new: None }
    }
    fn released(&self) -> Vec<String> {
        let old = self.old.as_ref().and_then(|old| old.object.as_ref().ok());
        old.map(|object| claims::of(&self.key, object)).unwrap_or_default()
    }
    fn wanted(&self) -> Vec<String> {
        self.new.as_ref().map(|object| claims::of(&self.key, object)).unwrap_or_default()
    }
    /// Every claim that the change may touch.
    pub(super) fn claims(&self) -> BTreeSet<String> {
        self.released().into_iter().chain(self.wanted()).collect()
    }
    /// The value to write: ours laid over what is there. `None` if that says the same already.
    fn value(&self, new: &Object) -> Result<Option<Vec<u8>>, NetworkError> {
        let present = self.old.as_ref().map(|old| old.value.as_slice()).unwrap_or_default();
        let merged = Value::Object(new.merged_into(present));
        if serde_json::from_slice(present).is_ok_and(|present: Value| present == merged) {
            return Ok(None);
        }
        let value = merged.to_string().into_bytes();
        Object::parse(&self.key, &value)?; // with the fields that we do not know it may be too large
        Ok(Some(value))
    }
}

impl NetworkStore {
    /// Validates, claims and writes. `guards` are conditions beyond those that follow from the changes themselves.
    pub(super) async fn commit(&self, changes: &[Change], guards: Vec<Compare>) -> Result<Outcome, NetworkError> {
        self.commit_with(changes, guards, Vec::new()).await
    }

    /// As [`NetworkStore::commit`], with more to write.
    pub(super) async fn commit_with(
        &self,
        changes: &[Change],
        guards: Vec<Compare>,
        more: Vec<Op>,
    ) -> Result<Outcome, NetworkError> {
        let held = self.held(changes).await?;
        match self.transaction(changes, guards, &held).await? {
            Some(txn) => self.make(changes, txn.then_all(more)).await,
            None => Ok(Outcome::Raced),
        }
    }

    /// The transaction that [`NetworkStore::commit`] would make, for changes that only delete.
    pub(super) async fn plan_commit(&self, changes: &[Change], guards: Vec<Compare>) -> Result<Txn, NetworkError> {
        let held = self.held(changes).await?;
        let txn = self.transaction(changes, guards, &held).await?;
        txn.ok_or_else(|| NetworkError::Conflict(changes.first().map(|change| words(&change.key)).unwrap_or_default()))
    }

    /// Who holds the claims that changes touch, those included who have the value and did not claim it.
    async fn held(&self, changes: &[Change]) -> Result<BTreeMap<String, Claim>, NetworkError> {
        let paths: BTreeSet<String> = changes.iter().flat_map(Change::claims).collect();
        let paths: Vec<String> = paths.into_iter().collect();
        let (found, unclaimed) = tokio::try_join!(self.get_paths(&paths), self.unclaimed_of_others(changes))?;
        let mut held: BTreeMap<String, Claim> =
            paths.iter().cloned().zip(found).filter_map(|(path, kv)| Some((path, Claim::new(&kv?)))).collect();
        for path in paths {
            if let Some(claim) = unclaimed.get(&path) {
                held.entry(path).or_insert_with(|| claim.clone());
            }
        }
        Ok(held)
    }

    /// What objects that do not change have without a claim, among those for which it matters.
    async fn unclaimed_of_others(&self, changes: &[Change]) -> Result<BTreeMap<String, Claim>, StoreError> {
        let gained = |change: &Change| {
            let released = change.released();
            change.wanted().into_iter().filter(move |claim| !released.contains(claim))
        };
        let scopes: BTreeSet<Scope> = changes.iter().flat_map(gained).filter_map(|claim| Scope::of(&claim)).collect();
        let mut all = BTreeMap::new();
        for scope in &scopes {
            all.append(&mut self.unclaimed(scope).await?);
        }
        let changing: BTreeSet<String> = changes.iter().map(|change| change.key.to_string()).collect();
        all.retain(|_, claim| !changing.contains(&claim.owner));
        Ok(all)
    }

    /// Like [`NetworkStore::commit`], with the claims already read.
    pub(super) async fn commit_knowing(
        &self,
        changes: &[Change],
        guards: Vec<Compare>,
        held: &BTreeMap<String, Claim>,
    ) -> Result<Outcome, NetworkError> {
        match self.transaction(changes, guards, held).await? {
            Some(txn) => self.make(changes, txn).await,
            None => Ok(Outcome::Raced),
        }
    }

    async fn make(&self, changes: &[Change], txn: Txn) -> Result<Outcome, NetworkError> {
        if txn.weight() > MAX_OPS {
            let what = changes.first().map(|change| words(&change.key)).unwrap_or_default();
            let weight = txn.weight();
            return Err(NetworkError::Refused(format!(
                "changing {what} and what must change with it needs a transaction of {weight} operations, the store takes {MAX_OPS}: \
                 make the change in several steps"
            )));
        }
        let reply = self.client.txn(txn).await?;
        Ok(if reply.succeeded { Outcome::Done } else { Outcome::Raced })
    }

    /// `None`: an allocated number was taken meanwhile.
    async fn transaction(
        &self,
        changes: &[Change],
        guards: Vec<Compare>,
        held: &BTreeMap<String, Claim>,
    ) -> Result<Option<Txn>, NetworkError> {
        let mut txn = Txn::new().when_all(guards);
        let mut wanted: BTreeMap<String, &Key> = BTreeMap::new();
        for change in changes {
            let at = self.at(&change.key);
            txn = txn.when(Compare::unchanged(&at, change.old.as_ref().map_or(0, |old| old.mod_revision)));
            match &change.new {
                Some(new) => {
                    new.validate(&change.key)?;
                    let value = change.value(new)?;
                    // None: only its claims are to be mended, and nobody needs to be told of a change.
                    if let Some(value) = value {
                        txn = txn.then(Op::put(&at, value));
                    }
                }
                None => {
                    txn = txn.then(Op::delete(&at));
                    let along = match &change.key {
                        Key::Lsp(ls, lsp) => Key::Binding(ls.clone(), lsp.clone()).to_string(),
                        Key::Ls(ls) => claims::last_port(&claims::of_switch(ls)),
                        Key::Lr(lr) => claims::last_port(&claims::of_router(lr)),
                        _ => continue,
                    };
                    txn = txn.then(Op::delete(&self.at(along)));
                }
            }
            for claim in change.wanted() {
                if let Some(other) = wanted.insert(claim.clone(), &change.key) {
                    return Err(NetworkError::Taken { value: claims::words(&claim), holder: words(other) });
                }
            }
        }
        let changing: BTreeSet<String> = changes.iter().map(|change| change.key.to_string()).collect();
        for (claim, owner) in &wanted {
            let (at, owner) = (self.at(claim), owner.to_string());
            let Some(holder) = held.get(claim) else {
                txn = txn.when(Compare::absent(&at)).then(Op::put(&at, owner));
                continue;
            };
            txn = txn.when(Compare::unchanged(&at, holder.mod_revision));
            if holder.owner == owner {
                continue;
            }
            // One of ours that gives it up in this very transaction needs no asking.
            if !changing.contains(&holder.owner) {
                let has = match self.is_stale(claim, &holder.owner).await? {
                    Some(proof) => {
                        txn = txn.when(proof);
                        // Who took it from its claimant by hand may have given it to another.
                        let unclaimed = self.unclaimed_anywhere(claim).await?;
                        unclaimed.map(|claim| claim.owner).filter(|heir| *heir != owner && !changing.contains(heir))
                    }
                    None => Some(holder.owner.clone()),
                };
                match has {
                    None => {}
                    Some(_) if claims::is_allocated(claim) => return Ok(None),
                    Some(path) => {
                        return Err(NetworkError::Taken { value: claims::words(claim), holder: path_words(&path) });
                    }
                }
            }
            txn = txn.then(Op::put(&at, owner));
        }
        for change in changes {
            let owner = change.key.to_string();
            for claim in change.released() {
                let Some(holder) = held.get(&claim).filter(|c| c.owner == owner && !wanted.contains_key(&claim)) else {
                    continue;
                };
                let at = self.at(&claim);
                txn = txn.when(Compare::unchanged(&at, holder.mod_revision)).then(Op::delete(&at));
            }
        }
        Ok(Some(txn))
    }

    /// If the holder of a claim is gone or no longer has the value: the condition under which that stays so.
    async fn is_stale(&self, claim: &str, owner: &str) -> Result<Option<Compare>, NetworkError> {
        let Ok(Some(key)) = Key::parse(owner) else {
            // Perhaps an object of a later version: it has what it claims as long as it is there.
            let there = self.get_paths(&[owner.to_owned()]).await?.pop().flatten();
            return Ok(there.is_none().then(|| Compare::absent(&self.at(owner))));
        };
        let at = self.at(&key);
        let [stored] = self.get([&key]).await?;
        Ok(match stored {
            None => Some(Compare::absent(&at)),
            Some(Stored { object: Ok(object), mod_revision, .. }) => {
                let has = claims::of(&key, &object).iter().any(|c| c == claim);
                (!has).then(|| Compare::unchanged(&at, mod_revision))
            }
            Some(_) => None, // unreadable now: it may come to life when mended, with what it had
        })
    }
}
