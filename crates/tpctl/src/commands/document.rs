//! `apply`, `export` and `diff`: the whole desired network as one YAML document.

use super::{Context, named};
use crate::{
    ask,
    cli::Format,
    print::{self, printable},
};
use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};
use tuplenet_model::{document::Document, network::Network, object::Object};
use tuplenet_store::network::{Change, Plan, Snapshot, words};

/// How many faults of a document are listed.
const FAULTS: usize = 20;

/// `tpctl apply -f FILE`
pub async fn apply(context: &Context, file: &Path) -> Result<()> {
    let (snapshot, wanted) = read(context, file).await?;
    let plan = Plan::new(&snapshot, &wanted)?;
    let count = |test: fn(&Change) -> bool| plan.changes.iter().filter(|change| test(change)).count();
    let added = count(|change| change.old.is_none());
    let deleted = count(|change| change.new.is_none());
    let mended = count(is_mending);
    let changed = plan.changes.len() - added - deleted - mended;
    let goes: Vec<String> = plan.changes.iter().filter(|change| change.new.is_none()).map(|c| words(&c.key)).collect();
    if !goes.is_empty() {
        ask::confirm(context.yes, "what the document does not name", &goes)?;
    }
    context.store.apply(&plan, &snapshot).await?;
    let mut sentence = format!("{added} added, {changed} changed, {deleted} deleted");
    if mended > 0 {
        sentence.push_str(&format!(", ids and addresses of {mended} claimed"));
    }
    if plan.is_empty() {
        sentence = "the network is so already".to_owned();
    }
    let data = json!({"added": added, "changed": changed, "deleted": deleted, "mended": mended});
    print::done(context.format, &sentence, &data)
}

/// `tpctl export`
pub async fn export(context: &Context) -> Result<()> {
    let snapshot = context.store.snapshot().await?;
    for invalid in snapshot.objects.values().filter_map(|stored| stored.object.as_ref().err()) {
        print::tell(&format!("warning: left out: {invalid}"));
    }
    let document = Document::of(&snapshot.network());
    match context.format {
        Format::Json => print::data(&serde_json::to_value(&document)?, Format::Json),
        _ => print::out(&document.to_yaml().map_err(anyhow::Error::msg)?),
    }
}

/// `tpctl diff -f FILE`
pub async fn diff(context: &Context, file: &Path) -> Result<ExitCode> {
    let (snapshot, wanted) = read(context, file).await?;
    let plan = Plan::new(&snapshot, &wanted)?;
    // Claims are ours, not part of what is compared.
    let (mended, changes): (Vec<&Change>, Vec<&Change>) = plan.changes.iter().partition(|change| is_mending(change));
    if !mended.is_empty() {
        print::tell(&format!(
            "note: \"apply\" would also claim the ids and addresses of {} that another tool wrote",
            print::count(mended.len(), "object", "objects")
        ));
    }
    if context.format == Format::Table {
        let lines: String = changes.iter().map(|change| line(change)).collect();
        print::out(&lines)?;
    } else {
        let all: Vec<Value> = changes.iter().map(|change| data(change)).collect();
        print::data(&Value::Array(all), context.format)?;
    }
    Ok(if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The network that is, and the one that the document describes.
async fn read(context: &Context, file: &Path) -> Result<(Snapshot, Network)> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let limit = Document::MAX as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {name}"))?;
    let document = Document::parse(&text).with_context(|| name.clone())?;
    let snapshot = context.store.snapshot().await?;
    match document.resolve(&snapshot.network()) {
        Ok(wanted) => Ok((snapshot, wanted)),
        Err(faults) => {
            for fault in faults.iter().take(FAULTS) {
                print::tell(&format!("{name}: {fault}"));
            }
            bail!(
                "{name} describes no valid network: {}; nothing was changed",
                print::count(faults.len(), "fault", "faults")
            )
        }
    }
}

/// Whether a change only writes claims that should be there.
fn is_mending(change: &Change) -> bool {
    matches!((&change.old, &change.new), (Some(old), Some(new)) if old.object.as_ref() == Ok(new))
}

/// The known fields of what is in the store, whether it can be read as an object or not.
fn old_fields(change: &Change) -> Map<String, Value> {
    match change.old.as_ref().map(|old| (&old.object, &old.value)) {
        Some((Ok(object), _)) => object.to_json(),
        Some((Err(_), value)) => serde_json::from_slice(value).unwrap_or_default(),
        None => Map::new(),
    }
}

/// The fields that change, as (name, old, new).
fn fields(change: &Change) -> Vec<(String, Value, Value)> {
    let (old, new) = (old_fields(change), change.new.as_ref().map(Object::to_json).unwrap_or_default());
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let get = |map: &Map<String, Value>, name: &String| map.get(name).cloned().unwrap_or(Value::Null);
    let both = names.into_iter().map(|name| (name.clone(), get(&old, name), get(&new, name)));
    both.filter(|(_, old, new)| old != new).collect()
}

/// `+ ls/LS-A id 1` and so on.
fn line(change: &Change) -> String {
    let sign = match (&change.old, &change.new) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    let field = |(name, old, new): (String, Value, Value)| match sign {
        '+' => format!("{name}: {new}"),
        '-' => format!("{name}: {old}"),
        _ => format!("{name}: {old} -> {new}"),
    };
    let text = fields(change).into_iter().map(field).collect::<Vec<_>>().join(", ");
    format!("{sign} {} {}\n", change.key, printable(&text))
}

fn data(change: &Change) -> Value {
    let how = match (&change.old, &change.new) {
        (None, _) => "add",
        (_, None) => "delete",
        _ => "change",
    };
    let fields: Map<String, Value> =
        fields(change).into_iter().map(|(name, old, new)| (name, json!({"old": old, "new": new}))).collect();
    let about = json!({"key": change.key.to_string(), "change": how, "fields": fields});
    named(&change.key, about)
}
