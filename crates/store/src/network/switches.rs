//! Switches and their ports: added, changed. Each command reads only what it needs, whatever the size of the network.

use super::{NetworkError, NetworkStore, claims, edit::Change, edit::Outcome, error::words};
use crate::Compare;
use std::net::IpAddr;
use tuplenet_model::{
    entity::{LogicalSwitch, Meta, SwitchPort},
    key::Key,
    mac::Mac,
    name::Name,
    object::{Invalid, Object},
};

/// What `tpctl lsp add` says of a port; the rest is allocated.
#[derive(Clone, Debug)]
pub struct NewPort {
    /// At least one.
    pub ips: Vec<IpAddr>,
    /// Derived from the addresses if left out, see [`Mac::derived_from`].
    pub mac: Option<Mac>,
    /// For people.
    pub meta: Meta,
}

impl NetworkStore {
    /// Adds a switch, with an id of its own.
    pub async fn add_switch(
        &self,
        name: &Name,
        flood: bool,
        mtu: Option<u16>,
        meta: Meta,
    ) -> Result<LogicalSwitch, NetworkError> {
        let key = Key::Ls(name.clone());
        self.retry(&words(&key), async |attempt| {
            if let [Some(_)] = self.get([&key]).await? {
                return Err(NetworkError::Exists(words(&key)));
            }
            let ls = LogicalSwitch { id: self.free_id(attempt).await?, flood, mtu, meta: meta.clone() };
            let add = Change::add(key.clone(), Object::Ls(ls.clone()));
            let outcome = self.commit(&[add], Vec::new()).await?;
            Ok((outcome == Outcome::Done).then_some(ls))
        })
        .await
    }

    /// Adds a port to a switch, with a port id of its own.
    pub async fn add_switch_port(&self, ls: &Name, lsp: &Name, new: &NewPort) -> Result<SwitchPort, NetworkError> {
        let (switch, key) = (Key::Ls(ls.clone()), Key::Lsp(ls.clone(), lsp.clone()));
        let mac = new.mac.or_else(|| Mac::derived_from(&new.ips));
        let Some(mac) = mac else {
            return Err(Invalid::new(&key, "ips", "there is none", "give at least one").into());
        };
        self.retry(&words(&key), async |attempt| {
            let [exists, taken] = self.get([&switch, &key]).await?;
            if exists.is_none() {
                return Err(NetworkError::missing(&switch));
            }
            if taken.is_some() {
                return Err(NetworkError::Exists(words(&key)));
            }
            self.no_rule_has(ls, &new.ips).await?;
            let (port_id, note) = self.free_port(&claims::of_switch(ls), attempt).await?;
            let port = SwitchPort {
                port_id,
                mac: Some(mac),
                ips: new.ips.clone(),
                peer: None,
                patch: None,
                meta: new.meta.clone(),
            };
            let add = Change::add(key.clone(), Object::Lsp(port.clone()));
            let outcome = self.commit_with(&[add], vec![Compare::exists(&self.at(&switch))], vec![note]).await?;
            Ok((outcome == Outcome::Done).then_some(port))
        })
        .await
    }

    /// Changes an object in place; fields that this version does not know stay as they are. Returns whether anything changed.
    pub async fn update(
        &self,
        key: &Key,
        edit: impl Fn(&mut Object) -> Result<(), NetworkError>,
    ) -> Result<bool, NetworkError> {
        self.retry(&words(key), async |_| {
            let [old] = self.get([key]).await?;
            let old = old.ok_or_else(|| NetworkError::missing(key))?;
            let before = old.object.clone()?;
            let mut after = before.clone();
            edit(&mut after)?;
            if after == before {
                return Ok(Some(false));
            }
            if let (Key::Lsp(ls, _), Object::Lsp(a), Object::Lsp(b)) = (key, &before, &after) {
                let gained: Vec<IpAddr> = b.ips.iter().filter(|ip| !a.ips.contains(ip)).copied().collect();
                self.no_rule_has(ls, &gained).await?;
            }
            let moved = matches!((&before, &after), (Object::Lr(a), Object::Lr(b)) if a.chassis != b.chassis);
            let change = Change { key: key.clone(), old: Some(old), new: Some(after) };
            if moved {
                self.keeps_rules(std::slice::from_ref(&change)).await?;
            }
            let outcome = self.commit(&[change], Vec::new()).await?;
            Ok((outcome == Outcome::Done).then_some(true))
        })
        .await
    }
}
