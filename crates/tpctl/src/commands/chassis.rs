//! `ch`: the hosts, as their agents registered them.

use super::{Context, commas, named, raw, with};
use crate::{
    cli::Ch,
    print::{self, View, printable},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tuplenet_model::{
    entity::{Chassis, Patch},
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_store::{Kv, StoreError};

/// `tpctl ch ...`
pub async fn ch(context: &Context, command: Ch) -> Result<()> {
    match command {
        Ch::Show { chassis } => show(context, chassis.as_ref()).await,
        Ch::Del { chassis } => {
            if alive(context).await?.contains_key(chassis.as_str()) {
                print::tell(&format!(
                    "note: the agent of {chassis} is alive and will register it again: stop it first"
                ));
            }
            context.delete(async || context.store.plan_remove_chassis(&chassis).await).await
        }
    }
}

/// The chassis whose agents are alive, with what they say of themselves: `status/<chassis>/alive` dies with its agent's lease.
pub async fn alive(context: &Context) -> Result<BTreeMap<String, Value>, StoreError> {
    let (status, _) = context.store.list("status/").await?;
    Ok(said(context, &status))
}

/// The same of keys that were read; others are passed over.
pub fn said(context: &Context, found: &[Kv]) -> BTreeMap<String, Value> {
    let said = |kv: &Kv| match context.store.path(&kv.key).split('/').collect::<Vec<_>>()[..] {
        ["status", chassis, "alive"] => {
            Some((chassis.to_owned(), serde_json::from_slice(&kv.value).unwrap_or_default()))
        }
        _ => None,
    };
    found.iter().filter_map(said).collect()
}

/// A living chassis without the bridge that a patch port leads to, in words; `None`: it has it, or does not say.
pub fn no_bridge(alive: &BTreeMap<String, Value>, patch: &Patch) -> Option<String> {
    let Patch { chassis, bridge, .. } = patch;
    let has: Vec<&str> =
        alive.get(chassis.as_str())?.get("bridges")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let others = if has.is_empty() { String::new() } else { format!(", but {}", printable(&has.join(", "))) };
    (!has.contains(&bridge.as_str())).then(|| {
        format!(
            "{chassis} has no bridge {bridge} now{others}: make it there with \"ovs-vsctl add-br {bridge} -- add-port {bridge} NIC\"; \
             the patch port comes to life by itself"
        )
    })
}

/// The chassis whose own IP stack takes what is for the outside, by what they say: whether IPv4, whether IPv6.
pub fn untunnels(alive: &BTreeMap<String, Value>) -> BTreeMap<Name, (bool, bool)> {
    let says = |(name, said): (&String, &Value)| {
        let families = said.get("untunnel")?.as_array()?;
        let has = |family: &str| families.iter().any(|word| word.as_str() == Some(family));
        Some((name.parse().ok()?, (has("ipv4"), has("ipv6"))))
    };
    alive.iter().filter_map(says).collect()
}

async fn show(context: &Context, only: Option<&Name>) -> Result<()> {
    const COLUMNS: [&str; 7] = ["CHASSIS", "ENCAPS", "AGENT", "PORTS", "ROLES", "LABELS", "DESCRIPTION"];
    let mut found: Vec<(Name, Chassis, Value)> = Vec::new();
    if let Some(name) = only {
        let stored = context.one(&Key::Chassis(name.clone())).await?;
        let value = raw(&stored);
        if let Object::Chassis(chassis) = stored.object? {
            found.push((name.clone(), chassis, value));
        }
    } else {
        for (key, object, value) in context.all("chassis/").await? {
            if let (Key::Chassis(name), Object::Chassis(chassis)) = (key, object) {
                found.push((name, chassis, value));
            }
        }
    }
    let alive = alive(context).await?;
    let mut hosted: BTreeMap<Name, usize> = BTreeMap::new();
    for (_, object, _) in context.all("binding/").await? {
        if let Object::Binding(binding) = object {
            *hosted.entry(binding.chassis).or_default() += 1;
        }
    }
    let rows = found.into_iter().map(|(name, chassis, value)| {
        let up = alive.contains_key(name.as_str());
        let ports = hosted.get(&name).copied().unwrap_or(0);
        let kind = |kind| json!(kind).as_str().unwrap_or_default().to_owned();
        let cells = vec![
            name.to_string(),
            commas(chassis.encaps.iter().map(|encap| format!("{}:{}", kind(encap.kind), encap.ip))),
            if up { "alive" } else { "silent" }.to_owned(),
            ports.to_string(),
            commas(&chassis.roles),
            super::labels(&chassis.meta),
            super::description(&chassis.meta),
        ];
        (cells, with(with(named(&Key::Chassis(name), value), "alive", up), "ports", ports))
    });
    View::of(&COLUMNS, only.is_some(), rows.collect()).print(context.format)
}
