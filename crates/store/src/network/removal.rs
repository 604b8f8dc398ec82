//! Deletion: what would go is found first, shown to the user, then deleted under the condition that nothing was added to it.

use super::{
    NetworkError, NetworkStore, claims,
    edit::Change,
    error::words,
    io::{MAX_OPS, Stored},
};
use crate::{Cmp, Compare, Op, Txn};
use std::collections::BTreeSet;
use tuplenet_model::{
    entity::{RouterPortRef, SwitchPortRef},
    key::Key,
    name::Name,
    network::link_names,
    object::Object,
};

/// A deletion that is ready to be made.
#[derive(Debug)]
pub struct Removal {
    /// What the user asked to delete, in words.
    pub what: String,
    /// What goes with it because it refers to it or is part of it, in words.
    pub with: Vec<String>,
    txns: Vec<Txn>,
}

/// A link, with what of it exists. Somebody may have deleted one end by hand.
struct Link {
    lrp: Option<(Key, Stored)>,
    lsp: Option<(Key, Stored)>,
}

impl NetworkStore {
    /// Deletes what was planned. Refused if it is no longer as it was shown.
    pub async fn remove(&self, removal: Removal) -> Result<(), NetworkError> {
        let all = removal.txns.len();
        for (done, txn) in removal.txns.into_iter().enumerate() {
            let failed = match self.client.txn(txn).await {
                Ok(reply) if reply.succeeded => continue,
                Ok(_) => NetworkError::Conflict(removal.what.clone()),
                Err(error) => error.into(),
            };
            return Err(match done {
                0 => failed,
                _ => NetworkError::Partial { done, all, cause: Box::new(failed) },
            });
        }
        Ok(())
    }

    /// A switch; `recursive`: with its ports, its links and the routes through these, otherwise only if it has none.
    pub async fn plan_remove_switch(&self, ls: &Name, recursive: bool) -> Result<Removal, NetworkError> {
        let key = Key::Ls(ls.clone());
        let below = format!("{key}/");
        let (ports, revision) = self.objects(&below).await?;
        let [switch] = self.get([&key]).await?;
        if switch.is_none() && (ports.is_empty() || !recursive) {
            return Err(NetworkError::missing(&key)); // ports without a switch can be cleaned away with -r
        }
        let mut removal = Removal { what: words(&key), with: Vec::new(), txns: Vec::new() };
        let mut gone = BTreeSet::new();
        for (port, stored) in &ports {
            if let Some((peer, end)) = self.other_end(port, stored).await? {
                // The switch's end goes with all other ports; until then a part of a link is better than a route to nowhere.
                let whole = Link { lrp: Some((peer, end)), lsp: Some((port.clone(), stored.clone())) };
                gone.insert(port.clone());
                self.plan_link(&mut removal, &whole, true).await?;
            }
        }
        removal.with.extend(ports.iter().filter(|(key, _)| !gone.contains(key)).map(|(key, _)| words(key)));
        if !recursive && !removal.with.is_empty() {
            let remedy = format!("delete these first, or all together with \"tpctl ls del -r {ls}\"");
            return Err(NetworkError::Referred { what: words(&key), by: removal.with, remedy });
        }
        let guards = vec![not_newer(&self.at(&below), revision)];
        let prefixes = [below, claims::of_switch(ls), format!("binding/{ls}/")];
        let last = self.delete_datapath(&key, switch, guards, &prefixes).await?;
        removal.txns.push(last);
        Ok(removal)
    }

    /// A router; `recursive`: with its ports, links and routes, otherwise only if it has none.
    pub async fn plan_remove_router(&self, lr: &Name, recursive: bool) -> Result<Removal, NetworkError> {
        let key = Key::Lr(lr.clone());
        let below = format!("{key}/");
        let (parts, revision) = self.objects(&below).await?;
        let [router] = self.get([&key]).await?;
        if router.is_none() && (parts.is_empty() || !recursive) {
            return Err(NetworkError::missing(&key));
        }
        let mut removal = Removal { what: words(&key), with: Vec::new(), txns: Vec::new() };
        let mut gone = BTreeSet::new();
        for (port, stored) in &parts {
            if let Some(end) = self.other_end(port, stored).await? {
                gone.insert(port.clone());
                let whole = Link { lrp: Some((port.clone(), stored.clone())), lsp: Some(end) };
                self.plan_link(&mut removal, &whole, true).await?;
            }
        }
        let more = parts.iter().filter(|(key, _)| !gone.contains(key)).map(|(key, _)| words(key));
        let known: BTreeSet<String> = removal.with.iter().cloned().collect();
        removal.with.extend(more.filter(|words| !known.contains(words)));
        if !recursive && !removal.with.is_empty() {
            let remedy = format!("delete these first, or all together with \"tpctl lr del -r {lr}\"");
            return Err(NetworkError::Referred { what: words(&key), by: removal.with, remedy });
        }
        let guards = vec![not_newer(&self.at(&below), revision)];
        let last = self.delete_datapath(&key, router, guards, &[below, claims::of_router(lr)]).await?;
        removal.txns.push(last);
        Ok(removal)
    }

    /// The link between a router and a switch: both ports; `recursive`: and the routes through it, otherwise only if there are none.
    pub async fn plan_unlink(&self, lr: &Name, ls: &Name, recursive: bool) -> Result<Removal, NetworkError> {
        let (lrp, lsp) = link_names(lr, ls)?;
        let (lrp, lsp) = (Key::Lrp(lr.clone(), lrp.lrp), Key::Lsp(ls.clone(), lsp.lsp));
        let [lrp_now, lsp_now] = self.get([&lrp, &lsp]).await?;
        let link = Link { lrp: lrp_now.map(|stored| (lrp, stored)), lsp: lsp_now.map(|stored| (lsp, stored)) };
        let what = format!("the link between router {lr} and switch {ls}");
        let mut links = vec![link];
        if links.iter().all(|link| link.lrp.is_none() && link.lsp.is_none()) {
            links = self.oddly_named_links(lr, ls).await?;
        }
        if links.is_empty() {
            let remedy = format!("see \"tpctl lrp show {lr}\"");
            return Err(NetworkError::NotFound { what, remedy });
        }
        let mut removal = Removal { what, with: Vec::new(), txns: Vec::new() };
        for link in &links {
            self.plan_link(&mut removal, link, recursive).await?;
        }
        removal.with.retain(|part| !part.starts_with("port ")); // the two ports are the link
        Ok(removal)
    }

    /// The links between a router and a switch whatever their ports are called: a document may name them. Also of what is no whole link the
    /// router's end, which no other command could delete by itself.
    async fn oddly_named_links(&self, lr: &Name, ls: &Name) -> Result<Vec<Link>, NetworkError> {
        let (ports, _) = self.objects(&format!("lr/{lr}/lrp/")).await?;
        let mut links = Vec::new();
        for (key, stored) in ports {
            let leads_there = match &stored.object {
                Ok(Object::Lrp(port)) => port.peer.as_ref().is_some_and(|peer| peer.ls == *ls),
                _ => false,
            };
            if leads_there {
                let lsp = self.other_end(&key, &stored).await?;
                links.push(Link { lrp: Some((key, stored)), lsp });
            }
        }
        Ok(links)
    }

    /// A port of a switch, with its binding.
    pub async fn plan_remove_switch_port(&self, ls: &Name, lsp: &Name) -> Result<Removal, NetworkError> {
        let key = Key::Lsp(ls.clone(), lsp.clone());
        let [stored] = self.get([&key]).await?;
        let stored = stored.ok_or_else(|| NetworkError::missing(&key))?;
        if let Some((Key::Lrp(lr, lrp), _)) = self.other_end(&key, &stored).await? {
            let by = vec![words(&Key::Lrp(lr.clone(), lrp))];
            let remedy = format!("it is one end of a link, delete that with \"tpctl lr unlink {lr} {ls}\"");
            return Err(NetworkError::Referred { what: words(&key), by, remedy });
        }
        let txn = self.delete_all(vec![(key.clone(), stored)], Vec::new()).await?;
        Ok(Removal { what: words(&key), with: Vec::new(), txns: vec![txn] })
    }

    /// A patch port; refused if the port is something else.
    pub async fn plan_remove_patch_port(&self, ls: &Name, lsp: &Name) -> Result<Removal, NetworkError> {
        let key = Key::Lsp(ls.clone(), lsp.clone());
        if let [Some(Stored { object: Ok(Object::Lsp(port)), .. })] = self.get([&key]).await?
            && port.patch.is_none()
        {
            return Err(NetworkError::Refused(format!(
                "{} is no patch port: delete it with \"tpctl lsp del {ls} {lsp}\"",
                words(&key)
            )));
        }
        self.plan_remove_switch_port(ls, lsp).await
    }

    /// A static route.
    pub async fn plan_remove_route(&self, lr: &Name, route: &Name) -> Result<Removal, NetworkError> {
        self.plan_remove_one(Key::Lsr(lr.clone(), route.clone())).await
    }

    /// A NAT rule.
    pub async fn plan_remove_nat_rule(&self, lr: &Name, rule: &Name) -> Result<Removal, NetworkError> {
        self.plan_remove_one(Key::Lnat(lr.clone(), rule.clone())).await
    }

    /// What nothing refers to.
    async fn plan_remove_one(&self, key: Key) -> Result<Removal, NetworkError> {
        let [stored] = self.get([&key]).await?;
        let stored = stored.ok_or_else(|| NetworkError::missing(&key))?;
        let txn = self.delete_all(vec![(key.clone(), stored)], Vec::new()).await?;
        Ok(Removal { what: words(&key), with: Vec::new(), txns: vec![txn] })
    }

    /// A chassis, with the bindings of the ports that it hosts and its status. Refused while a router is pinned to it
    /// or a patch port is there.
    /// An agent that runs there registers it again.
    pub async fn plan_remove_chassis(&self, chassis: &Name) -> Result<Removal, NetworkError> {
        let key = Key::Chassis(chassis.clone());
        let [stored] = self.get([&key]).await?;
        let (routers, _) = self.objects("lr/").await?;
        let pinned = routers.iter().filter(|(_, stored)| match &stored.object {
            Ok(Object::Lr(lr)) => lr.chassis.as_ref() == Some(chassis),
            _ => false,
        });
        let by: Vec<String> = pinned.map(|(key, _)| words(key)).collect();
        if !by.is_empty() {
            let remedy = "they are pinned to it; pin them elsewhere with \"tpctl lr set\", or delete them".into();
            return Err(NetworkError::Referred { what: words(&key), by, remedy });
        }
        let (ports, _) = self.objects("ls/").await?;
        let patched = ports.iter().filter(|(_, stored)| match &stored.object {
            Ok(Object::Lsp(port)) => port.patch.as_ref().is_some_and(|patch| patch.chassis == *chassis),
            _ => false,
        });
        let by: Vec<String> = patched.map(|(key, _)| words(key)).collect();
        if !by.is_empty() {
            let remedy = "these patch ports are there; delete them first, with \"tpctl patchport del\"".into();
            return Err(NetworkError::Referred { what: words(&key), by, remedy });
        }
        let (bindings, _) = self.objects("binding/").await?;
        let ours = bindings.into_iter().filter(|(_, stored)| match &stored.object {
            Ok(Object::Binding(binding)) => binding.chassis == *chassis,
            _ => false,
        });
        let ours: Vec<(Key, Stored)> = ours.collect();
        if stored.is_none() && ours.is_empty() {
            return Err(NetworkError::missing(&key)); // what only its bindings are left of can be deleted
        }
        let with = ours.iter().map(|(key, _)| words(key)).collect();
        let mut txns = Vec::new();
        for chunk in ours.chunks(MAX_OPS) {
            txns.push(self.delete_all(chunk.to_vec(), Vec::new()).await?);
        }
        let last = self.delete_all(stored.into_iter().map(|old| (key.clone(), old)).collect(), Vec::new()).await?;
        txns.push(last.then(Op::delete_prefix(&self.at(format!("status/{chassis}/")))));
        Ok(Removal { what: words(&key), with, txns })
    }

    /// The port at the other end of a link, if it names the port back: only then does it go with it.
    async fn other_end(&self, port: &Key, stored: &Stored) -> Result<Option<(Key, Stored)>, NetworkError> {
        let peer = match &stored.object {
            Ok(Object::Lsp(p)) => p.peer.as_ref().map(|RouterPortRef { lr, lrp }| Key::Lrp(lr.clone(), lrp.clone())),
            Ok(Object::Lrp(p)) => p.peer.as_ref().map(|SwitchPortRef { ls, lsp }| Key::Lsp(ls.clone(), lsp.clone())),
            _ => None,
        };
        let Some(peer) = peer else { return Ok(None) };
        let [end] = self.get([&peer]).await?;
        let names_back = |end: &Stored| match (&end.object, port) {
            (Ok(Object::Lsp(p)), Key::Lrp(lr, lrp)) => p.peer.as_ref().is_some_and(|p| p.lr == *lr && p.lrp == *lrp),
            (Ok(Object::Lrp(p)), Key::Lsp(ls, lsp)) => p.peer.as_ref().is_some_and(|p| p.ls == *ls && p.lsp == *lsp),
            _ => false,
        };
        Ok(end.filter(names_back).map(|end| (peer, end)))
    }

    /// Both ends of a link and the routes through it.
    async fn plan_link(&self, removal: &mut Removal, link: &Link, recursive: bool) -> Result<(), NetworkError> {
        let mut goes: Vec<(Key, Stored)> = link.lrp.iter().chain(&link.lsp).cloned().collect();
        let mut guards = Vec::new();
        let mut routes_through = Vec::new();
        if let Some((Key::Lrp(lr, lrp), _)) = &link.lrp {
            let below = format!("lr/{lr}/lsr/");
            let (routes, revision) = self.objects(&below).await?;
            guards.push(not_newer(&self.at(&below), revision));
            routes_through.extend(routes.into_iter().filter(|(_, stored)| match &stored.object {
                Ok(Object::Lsr(route)) => route.outport == *lrp,
                _ => false,
            }));
        }
        let names: Vec<String> = routes_through.iter().map(|(key, _)| words(key)).collect();
        if !recursive && !names.is_empty() {
            let remedy = "delete these routes first, or together with the link by -r".into();
            return Err(NetworkError::Referred { what: removal.what.clone(), by: names, remedy });
        }
        removal.with.extend(names);
        removal.with.extend(goes.iter().map(|(key, _)| words(key)));
        // Routes first; those that make one transaction too large go before it, which leaves a valid network as well.
        while routes_through.len() > MAX_OPS / 4 {
            let part = routes_through.split_off(routes_through.len() - MAX_OPS / 4);
            removal.txns.push(self.delete_all(part, Vec::new()).await?);
        }
        goes.extend(routes_through);
        removal.txns.push(self.delete_all(goes, guards).await?);
        Ok(())
    }

    /// One transaction that deletes objects as they were read, with those of their claims that are theirs and with their bindings.
    async fn delete_all(&self, objects: Vec<(Key, Stored)>, guards: Vec<Compare>) -> Result<Txn, NetworkError> {
        let changes: Vec<Change> = objects.into_iter().map(|(key, old)| Change::remove(key, old)).collect();
        self.plan_commit(&changes, guards).await
    }

    /// The last transaction of a datapath: itself, and everything below it in one go, however much that is.
    async fn delete_datapath(
        &self,
        key: &Key,
        stored: Option<Stored>,
        guards: Vec<Compare>,
        prefixes: &[String],
    ) -> Result<Txn, NetworkError> {
        let changes: Vec<Change> = stored.into_iter().map(|old| Change::remove(key.clone(), old)).collect();
        let txn = self.plan_commit(&changes, guards).await?;
        Ok(txn.then_all(prefixes.iter().map(|prefix| Op::delete_prefix(&self.at(prefix)))))
    }
}

/// Nothing below a key was written after it was read. (That something was deleted does no harm to a deletion.)
pub(super) fn not_newer(prefix: &str, revision: i64) -> Compare {
    Compare::mod_revision(prefix, Cmp::Less, revision + 1).for_prefix()
}
