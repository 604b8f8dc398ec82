//! Routers, their links to switches, and their static routes: added.

use super::{
    NetworkError, NetworkStore, claims,
    edit::{Change, Outcome},
    error::words,
};
use crate::Compare;
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_model::{
    ecmp::EcmpField,
    entity::{LogicalRouter, Meta, RouterPort, StaticRoute, SwitchPort},
    key::Key,
    mac::Mac,
    name::Name,
    network::{check_next_hop, link_names},
    object::{Invalid, Object},
};

/// What `tpctl lr link` says of a link; the rest is allocated.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// The router's own address in each network, with the network's prefix length. At least one.
    pub nets: Vec<IpNet>,
    /// Derived from the addresses if left out, see [`Mac::derived_from`].
    pub mac: Option<Mac>,
    /// For people; given to both ports.
    pub meta: Meta,
}

impl NetworkStore {
    /// Adds a router, with an id of its own.
    pub async fn add_router(
        &self,
        name: &Name,
        chassis: Option<&Name>,
        ecmp_hash: &[EcmpField],
        meta: Meta,
    ) -> Result<LogicalRouter, NetworkError> {
        let key = Key::Lr(name.clone());
        self.retry(&words(&key), async |attempt| {
            if let [Some(_)] = self.get([&key]).await? {
                return Err(NetworkError::Exists(words(&key)));
            }
            let id = self.free_id(attempt).await?;
            let lr = LogicalRouter { id, chassis: chassis.cloned(), ecmp_hash: ecmp_hash.to_vec(), meta: meta.clone() };
            let add = Change::add(key.clone(), Object::Lr(lr.clone()));
            let outcome = self.commit(&[add], Vec::new()).await?;
            Ok((outcome == Outcome::Done).then_some(lr))
        })
        .await
    }

    /// Joins a router and a switch: one port on each, of equal addresses, that name each other.
    pub async fn link(&self, lr: &Name, ls: &Name, new: &NewLink) -> Result<(RouterPort, SwitchPort), NetworkError> {
        let (router, switch) = (Key::Lr(lr.clone()), Key::Ls(ls.clone()));
        let (lrp, lsp) = link_names(lr, ls)?;
        let (lrp_key, lsp_key) = (Key::Lrp(lr.clone(), lrp.lrp.clone()), Key::Lsp(ls.clone(), lsp.lsp.clone()));
        let ips: Vec<IpAddr> = new.nets.iter().map(IpNet::addr).collect();
        let Some(mac) = new.mac.or_else(|| Mac::derived_from(&ips)) else {
            return Err(Invalid::new(&lrp_key, "nets", "there is none", "give at least one").into());
        };
        self.retry(&words(&lrp_key), async |attempt| {
            let [has_lr, has_ls, has_lrp, has_lsp] = self.get([&router, &switch, &lrp_key, &lsp_key]).await?;
            for (missing, key) in [(has_lr.is_none(), &router), (has_ls.is_none(), &switch)] {
                if missing {
                    return Err(NetworkError::missing(key));
                }
            }
            if has_lrp.is_some() || has_lsp.is_some() {
                return Err(NetworkError::Refused(format!(
                    "router {lr} and switch {ls} are linked already: unlink them first, with \"tpctl lr unlink {lr} {ls}\""
                )));
            }
            let of_router = self.first_free_port(&claims::of_router(lr), attempt).await?;
            let of_switch = self.first_free_port(&claims::of_switch(ls), attempt).await?;
            let router_port = RouterPort {
                port_id: Some(of_router),
                mac,
                nets: new.nets.clone(),
                peer: Some(lsp.clone()),
                meta: new.meta.clone(),
            };
            let switch_port = SwitchPort {
                port_id: of_switch,
                mac: Some(mac),
                ips: ips.clone(),
                peer: Some(lrp.clone()),
                patch: None,
                meta: new.meta.clone(),
            };
            let changes = [
                Change::add(lrp_key.clone(), Object::Lrp(router_port.clone())),
                Change::add(lsp_key.clone(), Object::Lsp(switch_port.clone())),
            ];
            self.keeps_rules(&changes).await?;
            let guards = [&router, &switch].map(|key| Compare::exists(&self.at(key)));
            let outcome = self.commit(&changes, guards.into()).await?;
            Ok((outcome == Outcome::Done).then_some((router_port, switch_port)))
        })
        .await
    }

    /// Adds a static route to a router, through a port that it has, to a neighbour of that port.
    pub async fn add_route(&self, lr: &Name, name: &Name, route: &StaticRoute) -> Result<(), NetworkError> {
        let (router, key) = (Key::Lr(lr.clone()), Key::Lsr(lr.clone(), name.clone()));
        let out = Key::Lrp(lr.clone(), route.outport.clone());
        self.retry(&words(&key), async |_| {
            let [has_lr, has_route, outport] = self.get([&router, &key, &out]).await?;
            if has_lr.is_none() {
                return Err(NetworkError::missing(&router));
            }
            if has_route.is_some() {
                return Err(NetworkError::Exists(words(&key)));
            }
            let Some(outport) = outport else { return Err(NetworkError::missing(&out)) };
            Object::Lsr(route.clone()).validate(&key)?;
            match &outport.object {
                Ok(Object::Lrp(port)) => check_next_hop(&key, route, port)?,
                Ok(_) => {}
                Err(invalid) => return Err(invalid.clone().into()),
            }
            let add = Change::add(key.clone(), Object::Lsr(route.clone()));
            let guards =
                vec![Compare::exists(&self.at(&router)), Compare::unchanged(&self.at(&out), outport.mod_revision)];
            let outcome = self.commit(&[add], guards).await?;
            Ok((outcome == Outcome::Done).then_some(()))
        })
        .await
    }
}
