//! What meets the physical network: patch ports and NAT rules, added.

use super::{
    NetworkError, NetworkStore, claims,
    edit::{Change, Outcome},
    error::words,
    removal::not_newer,
};
use crate::Compare;
use std::net::IpAddr;
use tuplenet_model::{
    entity::{Meta, NatKind, NatRule, Patch, SwitchPort},
    key::Key,
    name::Name,
    network::{check_place, nat_conflict},
    object::Object,
};

/// A NAT rule as it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedRule {
    /// What the store has now.
    pub rule: NatRule,
    /// Whether the two addresses were given the wrong way round.
    pub turned: bool,
    /// Of a floating rule: whether a guest's port has the inner address.
    pub inner_known: bool,
}

impl NetworkStore {
    /// Joins a switch to a physical bridge of a chassis: adds a patch port, with a port id of its own.
    pub async fn add_patch_port(
        &self,
        ls: &Name,
        lsp: &Name,
        patch: &Patch,
        meta: Meta,
    ) -> Result<SwitchPort, NetworkError> {
        let (switch, key) = (Key::Ls(ls.clone()), Key::Lsp(ls.clone(), lsp.clone()));
        self.retry(&words(&key), async |attempt| {
            let [exists, taken] = self.get([&switch, &key]).await?;
            if exists.is_none() {
                return Err(NetworkError::missing(&switch));
            }
            if taken.is_some() {
                return Err(NetworkError::Exists(words(&key)));
            }
            let port_id = self.first_free_port(&claims::of_switch(ls), attempt).await?;
            let (patch, meta) = (Some(patch.clone()), meta.clone());
            let port = SwitchPort { port_id, mac: None, ips: Vec::new(), peer: None, patch, meta };
            let add = Change::add(key.clone(), Object::Lsp(port.clone()));
            let outcome = self.commit(&[add], vec![Compare::exists(&self.at(&switch))]).await?;
            Ok((outcome == Outcome::Done).then_some(port))
        })
        .await
    }

    /// Adds a NAT rule to a router. A floating rule whose addresses were given the wrong way round is turned, if exactly one of them is a guest's.
    pub async fn add_nat_rule(&self, lr: &Name, name: &Name, rule: &NatRule) -> Result<AddedRule, NetworkError> {
        let (router, key, below) = (Key::Lr(lr.clone()), Key::Lnat(lr.clone(), name.clone()), format!("lr/{lr}/lnat/"));
        self.retry(&words(&key), async |_| {
            let [has_lr, has_rule] = self.get([&router, &key]).await?;
            let Some(has_lr) = has_lr else { return Err(NetworkError::missing(&router)) };
            if has_rule.is_some() {
                return Err(NetworkError::Exists(words(&key)));
            }
            Object::Lnat(rule.clone()).validate(&key)?;
            if !matches!(&has_lr.object, Ok(Object::Lr(router)) if router.chassis.is_some()) {
                check_place(&key, rule)?;
            }
            let added = self.right_way_round(rule).await?;
            Object::Lnat(added.rule.clone()).validate(&key)?;
            let (others, revision) = self.objects(&below).await?;
            for (other, stored) in &others {
                if let (Key::Lnat(_, name), Ok(Object::Lnat(theirs))) = (other, &stored.object)
                    && let Some(conflict) = added.rule.contradicts(theirs)
                {
                    return Err(nat_conflict(&key, &added.rule, name, conflict).into());
                }
            }
            self.external_is_free(lr, added.rule.external()).await?;
            // Not all that contradicts has a claim of the same name: nobody may have added a rule meanwhile.
            let guards = vec![Compare::exists(&self.at(&router)), not_newer(&self.at(&below), revision)];
            let add = Change::add(key.clone(), Object::Lnat(added.rule.clone()));
            let outcome = self.commit(&[add], guards).await?;
            Ok((outcome == Outcome::Done).then_some(added))
        })
        .await
    }

    /// A floating rule with the guest's address inside, as far as that can be told.
    async fn right_way_round(&self, rule: &NatRule) -> Result<AddedRule, NetworkError> {
        let mut added = AddedRule { rule: rule.clone(), turned: false, inner_known: true };
        if rule.kind != NatKind::Floating {
            return Ok(added);
        }
        let (mut inner, mut external) = (false, false);
        for (_, stored) in self.objects("ls/").await?.0 {
            if let Ok(Object::Lsp(port)) = &stored.object
                && port.peer.is_none()
            {
                inner |= port.ips.contains(&rule.prefix.addr());
                external |= port.ips.contains(&rule.xlate_ip);
            }
        }
        added.turned = external && !inner;
        added.inner_known = inner || external;
        if added.turned {
            (added.rule.prefix, added.rule.xlate_ip) = (rule.xlate_ip.into(), rule.prefix.addr());
        }
        Ok(added)
    }

    /// Nobody else answers for an address on the switches where a router would: no port but its own, and no other router for a rule of its own.
    async fn external_is_free(&self, lr: &Name, external: IpAddr) -> Result<(), NetworkError> {
        let taken = |ls: &Name, holder: String| {
            Err(NetworkError::Taken { value: format!("the address {external} in switch {ls}"), holder })
        };
        for (_, stored) in self.objects(&format!("lr/{lr}/lrp/")).await?.0 {
            let Ok(Object::Lrp(port)) = &stored.object else { continue };
            let Some(peer) = port.peer.as_ref().filter(|_| port.nets.iter().any(|net| net.contains(&external))) else {
                continue;
            };
            for (key, stored) in self.objects(&format!("ls/{}/lsp/", peer.ls)).await?.0 {
                let Ok(Object::Lsp(other)) = &stored.object else { continue };
                let router = other.peer.as_ref().map(|peer| &peer.lr);
                if router == Some(lr) {
                    continue;
                }
                if other.ips.contains(&external) {
                    return taken(&peer.ls, words(&key));
                }
                let Some(router) = router else { continue };
                for (key, stored) in self.objects(&format!("lr/{router}/lnat/")).await?.0 {
                    if let Ok(Object::Lnat(theirs)) = &stored.object
                        && theirs.external() == external
                    {
                        return taken(&peer.ls, words(&key));
                    }
                }
            }
        }
        Ok(())
    }
}
