//! `status`: whether the store answers, which agents are alive, how much there is, how long packets may be.

use super::{
    Context,
    chassis::{alive, untunnels},
    doctor,
    mtu::Mtus,
};
use crate::{
    cli::Format,
    print::{self, View},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tuplenet_model::key::Key;

/// `tpctl status`
pub async fn status(context: &Context) -> Result<()> {
    let store = context.store.client().status().await?;
    let (found, revision) = context.store.list("").await?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut chassis, mut hosted) = (Vec::new(), BTreeMap::<String, usize>::new());
    for kv in &found {
        let Ok(Some(key)) = Key::parse(context.store.path(&kv.key)) else { continue };
        let kind = match &key {
            Key::Ls(_) => "switches",
            Key::Lsp(..) => "switch_ports",
            Key::Lr(_) => "routers",
            Key::Lrp(..) => "router_ports",
            Key::Lsr(..) => "static_routes",
            Key::Lnat(..) => "nat_rules",
            Key::Chassis(_) => "chassis",
            Key::Binding(..) => "bindings",
        };
        *counts.entry(kind).or_default() += 1;
        match key {
            Key::Chassis(name) => chassis.push(name.to_string()),
            Key::Binding(..) => {
                let host = serde_json::from_slice::<Value>(&kv.value).ok();
                if let Some(host) = host.as_ref().and_then(|value| value.get("chassis")?.as_str()) {
                    *hosted.entry(host.to_owned()).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    let alive = alive(context).await?;
    let version = |name: &str| Some(alive.get(name)?.get("version")?.as_str()?.to_owned());
    let rejected = doctor::rejected(context, &found)?.len();
    let mtus = Mtus::read(context, &found);
    let endpoints = context.store.client().endpoints();
    if context.format != Format::Table {
        let chassis: Vec<Value> = chassis
            .iter()
            .map(|name| {
                let ports = hosted.get(name).copied().unwrap_or(0);
                let (underlay, mtu) = mtus.of(name).unzip();
                let untunnel =
                    alive.get(name).and_then(|said| said.get("untunnel")).cloned().unwrap_or_else(|| json!([]));
                json!({"name": name, "alive": alive.contains_key(name), "version": version(name), "ports": ports,
                       "untunnel": untunnel, "mtu": mtu, "underlay_mtu": underlay})
            })
            .collect();
        let data = json!({
            "store": {"endpoints": endpoints, "version": store.version, "revision": revision, "bytes": store.db_size,
                      "leader": store.has_leader},
            "prefix": context.store.root(), "counts": counts, "set_aside": rejected, "chassis": chassis,
            "mtu": mtus.data(),
        });
        return print::data(&data, context.format);
    }
    let leader = if store.has_leader { "" } else { ", WITHOUT A LEADER: it cannot be written to" };
    print::out(&format!(
        "store {endpoints} answers: version {}, revision {revision}, {} KiB{leader}\n",
        store.version,
        store.db_size / 1024
    ))?;
    let number = |kind| counts.get(kind).copied().unwrap_or(0);
    let count = |kind, one, many| print::count(number(kind), one, many);
    print::out(&format!(
        "network {}: {} with {} ({} hosted), {} with {} and {}{}, {} chassis\n",
        context.store.root(),
        count("switches", "switch", "switches"),
        count("switch_ports", "port", "ports"),
        number("bindings"),
        count("routers", "router", "routers"),
        count("router_ports", "port", "ports"),
        count("static_routes", "static route", "static routes"),
        if number("nat_rules") > 0 {
            format!(", {}", count("nat_rules", "NAT rule", "NAT rules"))
        } else {
            String::new()
        },
        number("chassis"),
    ))?;
    if rejected > 0 {
        print::out(&format!(
            "{} set aside: see \"tpctl doctor\"\n",
            print::count(rejected, "object is", "objects are")
        ))?;
    }
    print::out(&mtus.line().unwrap_or_default())?;
    for fault in mtus.faults() {
        print::tell(&format!("note: {fault}"));
    }
    for (name, families) in untunnels(&alive) {
        let families = match families {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4",
            _ => "IPv6",
        };
        print::out(&format!(
            "{name} sends {families} for the outside by its own IP stack, past the edges (--untunnel)\n"
        ))?;
    }
    if chassis.is_empty() {
        return Ok(());
    }
    let rows = chassis.into_iter().map(|name| {
        let state = if alive.contains_key(&name) { "alive" } else { "silent" };
        let ports = hosted.get(&name).copied().unwrap_or(0).to_string();
        let version = version(&name).unwrap_or_default();
        let mtu = mtus.of(&name).map_or_else(String::new, |(_, carries)| carries.to_string());
        (vec![name, state.to_owned(), ports, mtu, version], Value::Null)
    });
    View::list(&["CHASSIS", "AGENT", "PORTS", "MTU", "VERSION"], rows).print(context.format)
}
