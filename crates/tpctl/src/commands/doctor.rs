//! `doctor`: every object that agents set aside, with the reason, and notes on what is valid and does not go together.

use super::{Context, chassis, mtu::Mtus};
use crate::{
    cli::Format,
    print::{self, View},
};
use anyhow::{Error, Result};
use serde_json::json;
use std::collections::BTreeSet;
use tuplenet_model::{entity::SwitchPort, key::Key, object::Object};
use tuplenet_rules::{Change, Config, Engine, Scope};
use tuplenet_store::{
    Kv,
    network::{Snapshot, claims},
};

/// `tpctl doctor`
pub async fn doctor(context: &Context) -> Result<()> {
    let (found, revision) = context.store.list("").await?;
    let snapshot = context.store.snapshot_of(&found, revision);
    let rejected = rejected(context, &found)?;
    let aside: BTreeSet<&str> = rejected.iter().map(|(key, _)| key.as_str()).collect();
    if let Some(note) = unclaimed(&snapshot, &aside) {
        print::tell(&format!("note: {note}"));
    }
    for fault in judged_further(&snapshot, &aside) {
        print::tell(&format!("note: {fault}"));
    }
    let alive = chassis::said(context, &found);
    for (key, object) in &snapshot.objects {
        if let Ok(Object::Lsp(SwitchPort { patch: Some(patch), .. })) = &object.object
            && !aside.contains(key.to_string().as_str())
            && let Some(note) = chassis::no_bridge(&alive, patch)
        {
            print::tell(&format!("note: {key}: {note}"));
        }
    }
    for fault in Mtus::read(context, &found).faults() {
        print::tell(&format!("note: {fault}"));
    }
    if rejected.is_empty() && context.format == Format::Table {
        return print::out("every object is valid\n");
    }
    let rows = rejected.into_iter().map(|(key, reason)| {
        let data = json!({"key": key, "reason": reason});
        (vec![key, reason], data)
    });
    View::list(&["KEY", "REASON"], rows).print(context.format)
}

/// All objects that are set aside, path and reason: what the very rules say that agents run.
pub fn rejected(context: &Context, found: &[Kv]) -> Result<BTreeSet<(String, String)>> {
    set_aside(found.iter().map(|kv| Change::Object {
        path: context.store.path(&kv.key).to_owned(),
        value: Some(kv.value.clone()),
        create_revision: kv.create_revision,
    }))
}

/// The same of any objects.
pub fn set_aside(objects: impl Iterator<Item = Change>) -> Result<BTreeSet<(String, String)>> {
    let chassis = "tpctl".parse().map_err(Error::msg)?; // flows for a host that has no port
    let mut engine = Engine::new(Config { chassis, scope: Scope::All });
    engine.apply(objects);
    Ok(engine.rejected().map(|reject| (reject.key.clone(), reject.reason.clone())).collect())
}

/// What agents take as it is, and `tpctl` would refuse: the other end keeps what it has, and this one is of no use.
fn judged_further(snapshot: &Snapshot, aside: &BTreeSet<&str>) -> Vec<String> {
    let mut network = snapshot.network();
    for key in aside.iter().filter_map(|path| Key::parse(path).ok().flatten()) {
        network.remove(&key);
    }
    let rules = |object: &str| matches!(Key::parse(object), Ok(Some(Key::Lnat(..))));
    network.check().into_iter().filter(|fault| rules(&fault.object)).map(|fault| fault.to_string()).collect()
}

/// Valid objects whose ids and addresses are not claimed as theirs: agents take them as they are, but `tpctl` could give the same to another.
fn unclaimed(snapshot: &Snapshot, aside: &BTreeSet<&str>) -> Option<String> {
    let network = snapshot.network();
    let lacks = |key: &Key| {
        let owner = key.to_string();
        let held = |claim: &String| snapshot.claims.get(claim).is_some_and(|held| held.owner == owner);
        let all = network.get(key).map(|object| claims::of(key, object)).unwrap_or_default();
        (!aside.contains(owner.as_str()) && !all.iter().all(held)).then_some(owner)
    };
    let lacking: Vec<String> = network.iter().filter_map(|(key, _)| lacks(key)).collect();
    let first = lacking.first()?;
    let (what, it) = match lacking.len() {
        1 => (first.clone(), "it"),
        count => (format!("{count} objects (first: {first})"), "them"),
    };
    Some(format!(
        "the ids and addresses of {what} are not claimed, since another tool wrote {it}: \
         \"tpctl export | tpctl apply -f -\" claims them"
    ))
}
