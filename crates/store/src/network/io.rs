//! Reading objects and claims from the store, as they are needed for a transaction: value and revision together.

use super::NetworkError;
use crate::{
    Client, Kv, Op, Range, Reply, StoreError, Txn,
    client::{SortOrder, SortTarget},
};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};
use tuplenet_model::{
    key::Key,
    object::{Invalid, Object},
};

/// etcd refuses transactions of more operations than this (`--max-txn-ops`); the embedded store does as well.
pub const MAX_OPS: usize = 128;

/// A network in a store: its prefix, and the connection. Cheap to clone.
#[derive(Clone)]
pub struct NetworkStore {
    pub(super) client: Client,
    root: String,
}

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object, or why it cannot be read.
    pub object: Result<Object, Invalid>,
    /// The value as it stands in the store, with fields that we do not know.
    pub value: Vec<u8>,
    /// The store's revision that wrote it last.
    pub mod_revision: i64,
}

impl Stored {
    /// Judges a value that was read.
    pub fn new(key: &Key, kv: &Kv) -> Self {
        Self { object: Object::parse(key, &kv.value), value: kv.value.to_vec(), mod_revision: kv.mod_revision }
    }
}

/// A claim as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Path of the object that has the value.
    pub owner: String,
    /// The store's revision that wrote it last.
    pub mod_revision: i64,
}

impl Claim {
    /// Reads a claim's value.
    pub fn new(kv: &Kv) -> Self {
        Self { owner: String::from_utf8_lossy(&kv.value).into_owned(), mod_revision: kv.mod_revision }
    }
}

/// Judges under which key a network is to be kept; gives it without slashes at its end. Without one at its beginning it would be another network.
pub fn check_prefix(prefix: &str) -> Result<&str, String> {
    let name = prefix.trim_end_matches('/');
    match name.strip_prefix('/') {
        Some(_) => Ok(name),
        None => Err("it must begin with / and name something, like /tuplenet".to_owned()),
    }
}

impl NetworkStore {
    /// The network below `<prefix>/v1/`. A prefix is used as given, but for slashes at its end.
    pub fn new(client: Client, prefix: &str) -> Self {
        Self { client, root: format!("{}/v1/", prefix.trim_end_matches('/')) }
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What stands before every path: `<prefix>/v1/`.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The whole store key of a path or object.
    pub(super) fn at(&self, path: impl std::fmt::Display) -> String {
        format!("{}{path}", self.root)
    }

    /// The path of a whole store key.
    pub fn path<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(self.root.as_str()).unwrap_or(key)
    }

    /// The values at paths, in their order.
    pub(super) async fn get_paths(&self, paths: &[String]) -> Result<Vec<Option<Kv>>, StoreError> {
        let mut found = Vec::with_capacity(paths.len());
        for chunk in paths.chunks(MAX_OPS) {
            let txn = Txn::new().then_all(chunk.iter().map(|path| Op::get(&self.at(path))));
            let reply = self.client.txn(txn).await?;
            let mut replies = reply.replies.into_iter();
            for _ in chunk {
                found.push(match replies.next() {
                    Some(Reply::Range(mut range)) => range.kvs.pop(),
                    _ => return Err(StoreError::Refused("it left out an answer of a transaction".into())),
                });
            }
        }
        Ok(found)
    }

    /// Objects, in the order of their keys given.
    pub async fn get<const N: usize>(&self, keys: [&Key; N]) -> Result<[Option<Stored>; N], StoreError> {
        let found = self.get_paths(&keys.map(Key::to_string)).await?;
        let mut stored = keys.into_iter().zip(found).map(|(key, kv)| kv.map(|kv| Stored::new(key, &kv)));
        Ok(std::array::from_fn(|_| stored.next().flatten()))
    }

    /// One object; an error if it is missing or cannot be read.
    pub async fn object(&self, key: &Key) -> Result<Object, NetworkError> {
        let [stored] = self.get([key]).await?;
        Ok(stored.ok_or_else(|| NetworkError::missing(key))?.object?)
    }

    /// All below a path, with the revision at which it was so. Paged.
    pub async fn list(&self, path: &str) -> Result<(Vec<Kv>, i64), StoreError> {
        let listing = self.client.list(&self.at(path)).await?;
        Ok((listing.kvs, listing.revision))
    }

    /// All objects below a path, keys that are none of an object left out, with the revision at which it was so.
    pub async fn objects(&self, path: &str) -> Result<(Vec<(Key, Stored)>, i64), StoreError> {
        let (kvs, revision) = self.list(path).await?;
        let object = |kv: &Kv| match Key::parse(self.path(&kv.key)) {
            Ok(Some(key)) => {
                let stored = Stored::new(&key, kv);
                Some((key, stored))
            }
            _ => None,
        };
        Ok((kvs.iter().filter_map(object).collect(), revision))
    }

    /// The last path below another, in the order of keys.
    pub(super) async fn last_path(&self, path: &str) -> Result<Option<String>, StoreError> {
        let range = Range::prefix(&self.at(path)).keys_only().sort(SortTarget::Key, SortOrder::Descend).limit(1);
        let reply = self.client.range(range).await?;
        Ok(reply.kvs.first().map(|kv| self.path(&kv.key).to_owned()))
    }
}

/// A number below `bound` (which is not 0) that differs between processes that do the same at once.
pub(super) fn random(bound: u64) -> u64 {
    RandomState::new().hash_one(0u8) % bound
}

/// Waits before another attempt, a little longer and more randomly each time, so that many who collide spread out.
pub(super) async fn back_off(attempt: u32) {
    let most = u64::from(attempt.min(16)) * 4 + 1;
    tokio::time::sleep(Duration::from_millis(random(most))).await;
}
