//! What meets the physical network: patch ports and NAT rules, added.

use super::{
    NetworkError, NetworkStore, claims,
    edit::{Change, Outcome},
    error::{path_words, words},
    io::Stored,
    removal::not_newer,
};
use crate::{Compare, Kv, Range, StoreError};
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::{
    entity::{Meta, NatKind, NatRule, Patch, SwitchPort},
    key::Key,
    name::Name,
    network::{Network, check_place, nat_conflict},
    object::{Invalid, Object},
    outside::Holder,
};

/// Of how many routers a rule's addition guards the rules one by one; with more it is all that routers have.
const GUARDED: usize = 32;

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
            self.keeps_rules(std::slice::from_ref(&add)).await?;
            let outcome = self.commit(&[add], vec![Compare::exists(&self.at(&switch))]).await?;
            Ok((outcome == Outcome::Done).then_some(port))
        })
        .await
    }

    /// Adds a NAT rule to a router. A floating rule whose addresses were given the wrong way round is turned, if exactly one of them is a guest's.
    pub async fn add_nat_rule(&self, lr: &Name, name: &Name, rule: &NatRule) -> Result<AddedRule, NetworkError> {
        let (router, key) = (Key::Lr(lr.clone()), Key::Lnat(lr.clone(), name.clone()));
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
            // Below it is guarded that nobody has added a rule since.
            let (network, revision) = self.switches_and_routers().await?;
            let added = right_way_round(&network, rule);
            Object::Lnat(added.rule.clone()).validate(&key)?;
            for (other, theirs) in network.nat_rules(lr) {
                if let Some(conflict) = added.rule.contradicts(theirs) {
                    return Err(nat_conflict(&key, &added.rule, other, conflict).into());
                }
            }
            if let Some(holder) = network.rival(lr, &added.rule) {
                return Err(taken(added.rule.external(), &holder));
            }
            // Not all that contradicts has a claim of the same name.
            let others = network.neighbours_outside(lr);
            let rules: Vec<String> = match others.len() {
                0..GUARDED => others.iter().chain([lr]).map(|lr| format!("lr/{lr}/lnat/")).collect(),
                _ => vec!["lr/".to_owned()],
            };
            let mut guards = vec![Compare::exists(&self.at(&router))];
            guards.extend(rules.iter().map(|rules| not_newer(&self.at(rules), revision)));
            let add = Change::add(key.clone(), Object::Lnat(added.rule.clone()));
            let outcome = self.commit(&[add], guards).await?;
            Ok((outcome == Outcome::Done).then_some(added))
        })
        .await
    }

    /// Refuses changes of ports and routers by which a NAT rule that is in force would be so no more: another answers for its address then, or no host
    /// keeps it. (What happens at the same moment agents settle, for the older rule.)
    pub(super) async fn keeps_rules(&self, changes: &[Change]) -> Result<(), NetworkError> {
        let rules = self.rules().await?;
        let has_rules = |lr: &Name| rules.iter().any(|(of, _)| of == lr);
        let concerns = |change: &Change| match (&change.key, &change.new) {
            (Key::Lr(lr), _) | (Key::Lrp(lr, _), _) => has_rules(lr),
            (_, Some(Object::Lsp(port))) => {
                let taken = || rules.iter().any(|(_, ip)| port.ips.contains(ip));
                port.patch.is_some() && !rules.is_empty() || taken()
            }
            _ => false,
        };
        if !changes.iter().any(concerns) {
            return Ok(());
        }
        let (mut network, _) = self.switches_and_routers().await?;
        let patched = |network: &Network, ls: &Name| network.switch_ports(ls).any(|(_, port)| port.patch.is_some());
        let met: Vec<&Name> = changes
            .iter()
            .filter_map(|change| match (&change.key, &change.new) {
                (Key::Lsp(ls, _), Some(Object::Lsp(port))) if port.patch.is_some() => Some(ls),
                _ => None,
            })
            .filter(|ls| !patched(&network, ls))
            .collect();
        let faults = |network: &Network| -> Vec<Invalid> {
            let of_rule = |fault: &Invalid| matches!(Key::parse(&fault.object), Ok(Some(Key::Lnat(..))));
            network.check().into_iter().filter(of_rule).collect()
        };
        let before: BTreeSet<String> = faults(&network).into_iter().map(|fault| fault.object).collect();
        for change in changes {
            match &change.new {
                Some(new) => drop(network.insert(change.key.clone(), new.clone())),
                None => drop(network.remove(&change.key)),
            }
        }
        // In a switch that met nothing outside nobody was asked whether a port may have what a rule has.
        for ls in met {
            let guests = network.switch_ports(ls).filter(|(_, port)| port.peer.is_none());
            for ip in guests.flat_map(|(_, port)| &port.ips).filter(|ip| rules.iter().any(|(_, of)| of == *ip)) {
                if let Some(holder) = network.rule_near(ls, *ip) {
                    return Err(taken(*ip, &holder));
                }
            }
        }
        match faults(&network).into_iter().find(|fault| !before.contains(&fault.object)) {
            None => Ok(()),
            Some(Invalid { object, problem, remedy, .. }) => {
                let rule = path_words(&object);
                Err(NetworkError::Refused(format!("this would put {rule} out of force: {problem}: {remedy}")))
            }
        }
    }

    /// Refuses addresses of a guest's port for which a NAT rule answers where the port would be asked for them: in a switch with patch ports, as rules
    /// are in force there only. (The same moment is as above.)
    pub(super) async fn no_rule_has(&self, ls: &Name, ips: &[IpAddr]) -> Result<(), NetworkError> {
        if ips.is_empty() || self.count([&claims::patches(ls)]).await? == [0] {
            return Ok(());
        }
        let rules = self.rules().await?;
        let ruled: Vec<IpAddr> = ips.iter().filter(|ip| rules.iter().any(|(_, of)| of == *ip)).copied().collect();
        if ruled.is_empty() {
            return Ok(());
        }
        let (network, _) = self.switches_and_routers().await?;
        match ruled.into_iter().find_map(|ip| Some((ip, network.rule_near(ls, ip)?))) {
            None => Ok(()),
            Some((ip, holder)) => Err(taken(ip, &holder)),
        }
    }

    /// Routers and the external addresses of their NAT rules. Where there is none, names of routers and of what is in them are all that is read.
    async fn rules(&self) -> Result<Vec<(Name, IpAddr)>, StoreError> {
        let named = self.client.list_range(Range::prefix(&self.at("lr/")).keys_only()).await?.kvs;
        let rules = named.iter().filter_map(|kv| Key::parse(self.path(&kv.key)).ok().flatten());
        let rules: Vec<Key> = rules.filter(|key| matches!(key, Key::Lnat(..))).collect();
        let paths: Vec<String> = rules.iter().map(Key::to_string).collect();
        let found = self.get_paths(&paths).await?;
        let external = |(key, kv): (Key, Option<Kv>)| match (Stored::new(&key, &kv?).object, key) {
            (Ok(Object::Lnat(rule)), Key::Lnat(lr, _)) => Some((lr, rule.external())),
            _ => None,
        };
        Ok(rules.into_iter().zip(found).filter_map(external).collect())
    }

    /// All switches and routers with what is in them, as far as it can be read, and a revision since which routers may have changed.
    async fn switches_and_routers(&self) -> Result<(Network, i64), StoreError> {
        let (routers, revision) = self.objects("lr/").await?;
        let mut network = Network::default();
        for (key, stored) in routers.into_iter().chain(self.objects("ls/").await?.0) {
            if let Ok(object) = stored.object {
                network.insert(key, object);
            }
        }
        Ok((network, revision))
    }
}

/// That another answers for an address.
fn taken(ip: IpAddr, holder: &Holder) -> NetworkError {
    NetworkError::Taken { value: format!("the address {ip} {}", holder.at), holder: words(&holder.key) }
}

/// A floating rule with the guest's address inside, as far as that can be told.
fn right_way_round(network: &Network, rule: &NatRule) -> AddedRule {
    let mut added = AddedRule { rule: rule.clone(), turned: false, inner_known: true };
    if rule.kind != NatKind::Floating {
        return added;
    }
    let (mut inner, mut external) = (false, false);
    for (_, object) in network.iter() {
        if let Object::Lsp(port) = object
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
    added
}
