//! `lr`, `lrp` and `lsr`: routers, their links, ports and static routes.

use super::{Context, commas, description, edit_meta, labels, meta, named, raw, with};
use crate::{
    cli::{EcmpHash, List, Lr, Lrp, Lsr},
    print::{self, View},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tuplenet_model::{
    entity::{LogicalRouter, Meta, StaticRoute},
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_store::network::NewLink;

/// `tpctl lr ...`
pub async fn lr(context: &Context, command: Lr) -> Result<()> {
    match command {
        Lr::Add { lr, chassis, ecmp_hash, meta: m } => {
            let ecmp_hash = ecmp_hash.map(|fields| fields.0).unwrap_or_default();
            let router = context.store.add_router(&lr, chassis.as_ref(), &ecmp_hash, meta(m)).await?;
            note_unknown_chassis(context, chassis.as_ref()).await;
            let detail = format!(" with id {}", router.id);
            context.added(&Key::Lr(lr), &Object::Lr(router), &detail)
        }
        Lr::Del { lr, recursive } => {
            context.delete(async || context.store.plan_remove_router(&lr, recursive).await).await
        }
        Lr::Show { lr } => show_routers(context, lr.as_ref()).await,
        Lr::Set { lr, chassis, distributed, ecmp_hash, meta } => {
            let key = Key::Lr(lr);
            let edit = |object: &mut Object| {
                if let Object::Lr(router) = object {
                    if chassis.is_some() || distributed {
                        router.chassis.clone_from(&chassis);
                    }
                    if let Some(EcmpHash(fields)) = &ecmp_hash {
                        router.ecmp_hash.clone_from(fields);
                    }
                    edit_meta(&mut router.meta, &meta);
                }
                Ok(())
            };
            let changed = context.store.update(&key, edit).await?;
            note_unknown_chassis(context, chassis.as_ref()).await;
            context.changed(&key, changed)
        }
        Lr::Link { lr, ls, nets: List(nets), mac, meta: m } => {
            let (port, _) = context.store.link(&lr, &ls, &NewLink { nets, mac, meta: meta(m) }).await?;
            let sentence = format!("router {lr} and switch {ls} linked with {}, MAC {}", commas(&port.nets), port.mac);
            let data = json!({
                "lr": lr.as_str(), "lrp": format!("{lr}_to_{ls}"), "ls": ls.as_str(), "lsp": format!("{ls}_to_{lr}"),
                "nets": port.nets, "mac": port.mac,
            });
            print::done(context.format, &sentence, &data)
        }
        Lr::Unlink { lr, ls, recursive } => {
            context.delete(async || context.store.plan_unlink(&lr, &ls, recursive).await).await
        }
    }
}

/// A router may be pinned to a host that is yet to come; who mistyped its name should know. For when the change is made: that is what counts then.
pub async fn note_unknown_chassis(context: &Context, chassis: Option<&Name>) {
    let Some(chassis) = chassis else { return };
    if let Ok([None]) = context.store.get([&Key::Chassis(chassis.clone())]).await {
        print::tell(&format!("note: chassis {chassis} has not registered yet: see \"tpctl ch show\""));
    }
}

/// What a router has, for the list of routers.
#[derive(Default)]
struct Below {
    switches: Vec<Name>,
    ports: usize,
    routes: usize,
    nat: usize,
}

async fn show_routers(context: &Context, only: Option<&Name>) -> Result<()> {
    const COLUMNS: [&str; 10] =
        ["ROUTER", "ID", "CHASSIS", "PORTS", "ROUTES", "NAT", "ECMP HASH", "SWITCHES", "LABELS", "DESCRIPTION"];
    let mut routers: Vec<(Name, LogicalRouter, Value)> = Vec::new();
    let path = match only {
        Some(lr) => {
            let stored = context.one(&Key::Lr(lr.clone())).await?;
            let value = raw(&stored);
            if let Object::Lr(router) = stored.object? {
                routers.push((lr.clone(), router, value));
            }
            format!("lr/{lr}/")
        }
        None => "lr/".to_owned(),
    };
    let mut below: BTreeMap<Name, Below> = BTreeMap::new();
    for (key, object, value) in context.all(&path).await? {
        match (key, object) {
            (Key::Lr(lr), Object::Lr(router)) => routers.push((lr, router, value)),
            (Key::Lrp(lr, _), Object::Lrp(port)) => {
                let below = below.entry(lr).or_default();
                below.ports += 1;
                below.switches.extend(port.peer.map(|peer| peer.ls));
            }
            (Key::Lsr(lr, _), _) => below.entry(lr).or_default().routes += 1,
            (Key::Lnat(lr, _), _) => below.entry(lr).or_default().nat += 1,
            _ => {}
        }
    }
    let rows = routers.into_iter().map(|(lr, router, value)| {
        let Below { switches, ports, routes, nat } = below.remove(&lr).unwrap_or_default();
        let cells = vec![
            lr.to_string(),
            router.id.to_string(),
            router.chassis.as_ref().map(Name::to_string).unwrap_or_default(),
            ports.to_string(),
            routes.to_string(),
            if nat > 0 { nat.to_string() } else { String::new() },
            commas(&router.ecmp_hash),
            commas(&switches),
            labels(&router.meta),
            description(&router.meta),
        ];
        let switches: Vec<&str> = switches.iter().map(Name::as_str).collect();
        let data = with(named(&Key::Lr(lr), value), "ports", ports);
        let data = with(with(data, "routes", routes), "nat", nat);
        (cells, with(data, "switches", json!(switches)))
    });
    View::of(&COLUMNS, only.is_some(), rows.collect()).print(context.format)
}

/// `tpctl lrp ...`
pub async fn lrp(context: &Context, command: Lrp) -> Result<()> {
    let Lrp::Show { lr, lrp } = command;
    let row = |key: &Key, object: &Object, value: Value| match (key, object) {
        (Key::Lrp(_, lrp), Object::Lrp(port)) => {
            let peer = port.peer.as_ref().map(|peer| format!("{}/{}", peer.ls, peer.lsp));
            let cells = [
                lrp.to_string(),
                port.port_id.map_or_else(String::new, |id| id.to_string()),
                port.mac.to_string(),
                commas(&port.nets),
            ];
            Some(finish(cells.into(), peer.unwrap_or_default(), &port.meta, named(key, value)))
        }
        _ => None,
    };
    let columns = ["PORT", "ID", "MAC", "NETS", "LINK TO", "LABELS", "DESCRIPTION"];
    let single = lrp.map(|lrp| Key::Lrp(lr.clone(), lrp));
    show_parts(context, &lr, "lrp", single, &columns, row).await
}

/// `tpctl lsr ...`
pub async fn lsr(context: &Context, command: Lsr) -> Result<()> {
    match command {
        Lsr::Add { lr, name, prefix, next_hop, outport, meta: m } => {
            let route = StaticRoute { prefix, next_hop, outport, meta: meta(m) };
            context.store.add_route(&lr, &name, &route).await?;
            let detail = format!(": {prefix} by {next_hop} through {}", route.outport);
            context.added(&Key::Lsr(lr, name), &Object::Lsr(route), &detail)
        }
        Lsr::Del { lr, name } => context.delete(async || context.store.plan_remove_route(&lr, &name).await).await,
        Lsr::Show { lr, name } => {
            let row = |key: &Key, object: &Object, value: Value| match (key, object) {
                (Key::Lsr(_, name), Object::Lsr(route)) => {
                    let cells = [name.to_string(), route.prefix.to_string(), route.next_hop.to_string()];
                    Some(finish(cells.into(), route.outport.to_string(), &route.meta, named(key, value)))
                }
                _ => None,
            };
            let columns = ["ROUTE", "PREFIX", "NEXT HOP", "OUTPORT", "LABELS", "DESCRIPTION"];
            let single = name.map(|name| Key::Lsr(lr.clone(), name));
            show_parts(context, &lr, "lsr", single, &columns, row).await
        }
    }
}

pub fn finish(mut cells: Vec<String>, last: String, meta: &Meta, data: Value) -> (Vec<String>, Value) {
    cells.extend([last, labels(meta), description(meta)]);
    (cells, data)
}

/// One part of a router, or all of a kind.
pub async fn show_parts(
    context: &Context,
    lr: &Name,
    kind: &str,
    single: Option<Key>,
    columns: &[&'static str],
    row: impl Fn(&Key, &Object, Value) -> Option<(Vec<String>, Value)>,
) -> Result<()> {
    let mut rows = Vec::new();
    if let Some(key) = &single {
        let stored = context.one(key).await?;
        let value = raw(&stored);
        rows.extend(row(key, &stored.object?, value));
    } else {
        for (key, object, value) in context.all(&format!("lr/{lr}/{kind}/")).await? {
            rows.extend(row(&key, &object, value));
        }
        if rows.is_empty() {
            context.one(&Key::Lr(lr.clone())).await?; // an empty router is no error, a missing one is
        }
    }
    View::of(columns, single.is_some(), rows).print(context.format)
}
