//! What objects have without having claimed it, since another tool wrote them: as good as claimed, so that no command gives
//! it to a second one.
//!
//! Whether there are any is found by counting in the store, which costs little whatever the number of ports: every port of a
//! datapath claims one port id. (Who deletes a claimed port by hand and writes another one with other values escapes the
//! count, until `apply` claims for it.) Switches and routers are few and are compared by name.

use super::{
    NetworkStore, claims,
    io::{Claim, Stored},
};
use crate::{Op, Range, Reply, StoreError, Txn};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::key::Key;

/// Among which objects something is unique.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The ids of all switches and routers.
    Datapaths,
    /// What ports have: where these are, and where they claim their port ids.
    Ports { objects: String, ids: String },
    /// What the NAT rules of a router have, which are below this path.
    Rules { of: String },
}

impl Scope {
    /// The scope of a claim; `None` for what is no claim.
    pub(super) fn of(claim: &str) -> Option<Self> {
        match claim.split('/').collect::<Vec<_>>()[..] {
            ["claim", "id", _] => Some(Scope::Datapaths),
            ["claim", "lr", name, "nat" | "snat" | "floating", ..] => {
                Some(Scope::Rules { of: format!("lr/{name}/lnat/") })
            }
            ["claim", kind @ ("ls" | "lr"), name, _, ..] => Some(Scope::Ports {
                objects: format!("{kind}/{name}/{}/", if kind == "ls" { "lsp" } else { "lrp" }),
                ids: claims::ports(&format!("claim/{kind}/{name}/")),
            }),
            _ => None,
        }
    }
}

impl NetworkStore {
    /// The claims that objects of a scope should have and have not, each as if its owner had it. Those of revision 0 are not in the store.
    pub(super) async fn unclaimed(&self, scope: &Scope) -> Result<BTreeMap<String, Claim>, StoreError> {
        match scope {
            Scope::Datapaths => self.unclaimed_datapaths().await,
            Scope::Rules { of } => self.unclaimed_below(of).await,
            Scope::Ports { objects, ids } => {
                if self.count([objects, ids]).await?.is_sorted() {
                    return Ok(BTreeMap::new());
                }
                self.unclaimed_below(objects).await
            }
        }
    }

    /// Who has the value of a claim that another left behind.
    pub(super) async fn unclaimed_anywhere(&self, claim: &str) -> Result<Option<Claim>, StoreError> {
        let mut all = match Scope::of(claim) {
            Some(Scope::Datapaths) => self.unclaimed_datapaths().await?,
            Some(Scope::Ports { objects: below, .. } | Scope::Rules { of: below }) => {
                self.unclaimed_below(&below).await?
            }
            None => BTreeMap::new(),
        };
        Ok(all.remove(claim))
    }

    async fn unclaimed_datapaths(&self) -> Result<BTreeMap<String, Claim>, StoreError> {
        let mut datapaths: BTreeSet<String> = BTreeSet::new();
        for below in ["ls/", "lr/"] {
            let keys = self.client.list_range(Range::prefix(&self.at(below)).keys_only()).await?.kvs;
            let path = |key: &str| match Key::parse(self.path(key)) {
                Ok(Some(key @ (Key::Ls(_) | Key::Lr(_)))) => Some(key.to_string()),
                _ => None,
            };
            datapaths.extend(keys.iter().filter_map(|kv| path(&kv.key)));
        }
        for claim in self.list(claims::IDS).await?.0.iter().map(Claim::new) {
            datapaths.remove(&claim.owner);
        }
        let paths: Vec<String> = datapaths.into_iter().collect();
        let found = self.get_paths(&paths).await?;
        let objects = paths.iter().zip(found).filter_map(|(path, kv)| {
            let key = Key::parse(path).ok().flatten()?;
            let stored = Stored::new(&key, &kv?);
            Some((key, stored))
        });
        Ok(should_have(objects))
    }

    /// All that the parts of a datapath have; those that claimed it have it twice, which does no harm.
    async fn unclaimed_below(&self, objects: &str) -> Result<BTreeMap<String, Claim>, StoreError> {
        Ok(should_have(self.objects(objects).await?.0.into_iter()))
    }

    /// How many keys there are below paths.
    pub(super) async fn count<const N: usize>(&self, paths: [&String; N]) -> Result<[i64; N], StoreError> {
        let range = |path: &String| Op::range(Range::prefix(&self.at(path)).count_only());
        let reply = self.client.txn(Txn::new().then_all(paths.map(range))).await?;
        let mut counts = reply.replies.iter().map(|reply| match reply {
            Reply::Range(range) => range.count,
            _ => 0,
        });
        Ok(std::array::from_fn(|_| counts.next().unwrap_or(0)))
    }
}

fn should_have(objects: impl Iterator<Item = (Key, Stored)>) -> BTreeMap<String, Claim> {
    let mut all = BTreeMap::new();
    for (key, stored) in objects {
        let Ok(object) = &stored.object else { continue };
        for claim in claims::of(&key, object) {
            all.entry(claim).or_insert_with(|| Claim { owner: key.to_string(), mod_revision: 0 });
        }
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_tells_where_it_is_unique() {
        assert_eq!(Scope::of("claim/id/00000007"), Some(Scope::Datapaths));
        let ports = |objects: &str, ids: &str| Some(Scope::Ports { objects: objects.into(), ids: ids.into() });
        for claim in ["claim/ls/A/ip/fd00::1", "claim/ls/A/port/00001", "claim/ls/A/mac/f2:01:00:00:00:01"] {
            assert_eq!(Scope::of(claim), ports("ls/A/lsp/", "claim/ls/A/port/"));
        }
        assert_eq!(Scope::of("claim/lr/R/net/10.0.0.0/24"), ports("lr/R/lrp/", "claim/lr/R/port/"));
        assert_eq!(Scope::of("ls/A"), None);
    }
}
