//! The commands. Each is a few lines: the transactions are in the store crate, the rules of validity in the model.

mod bfd;
mod chassis;
mod doctor;
mod document;
pub mod edge;
pub mod explain;
pub mod graph;
mod mtu;
mod nat;
mod neighbours;
mod router;
mod status;
mod switch;
pub mod trace;
mod ways;

use crate::{
    ask,
    cli::{self, Command, Format, Global},
    print::{self, printable},
};
use anyhow::{Context as _, Result, anyhow};
use clap::{CommandFactory, error::ErrorKind};
use serde_json::{Map, Value, json};
use std::{process::ExitCode, time::Duration};
use tuplenet_model::{entity::Meta, key::Key, object::Object};
use tuplenet_store::{
    Client, Config, StoreError, Tls,
    network::{NetworkError, NetworkStore, Removal, Stored, words},
};

/// How often a deletion that nobody was asked about is planned anew when somebody changes the network at the same moment.
const PLANS: u32 = 8;

/// What every command needs.
pub struct Context {
    store: NetworkStore,
    format: Format,
    yes: bool,
    /// What was said with -o, if anything: for commands whose default depends on where they print.
    chosen: Option<Format>,
    /// What was said with --timeout, if anything: for commands that wait for more than the store.
    timeout: Option<Duration>,
}

/// How long the store may take to answer, in seconds, if nothing is said.
const TIMEOUT: u64 = 5;

/// Does what was said.
pub async fn run(global: Global, command: Command) -> Result<ExitCode> {
    if global.output == Some(Format::Text) && !matches!(command, Command::Trace(_)) {
        usage("", "-o text is for \"trace\" only: use table, json or yaml");
    }
    let context = Context {
        store: connect(&global)?,
        format: global.output.unwrap_or(Format::Table),
        yes: global.yes,
        chosen: global.output,
        timeout: global.timeout.map(Duration::from_secs),
    };
    match command {
        Command::Ls(command) => switch::ls(&context, command).await,
        Command::Lsp(command) => switch::lsp(&context, command).await,
        Command::Lr(command) => router::lr(&context, command).await,
        Command::Lrp(command) => router::lrp(&context, command).await,
        Command::Lsr(command) => router::lsr(&context, command).await,
        Command::Lnat(command) => nat::lnat(&context, command).await,
        Command::Patchport(command) => switch::patchport(&context, command).await,
        Command::Edge(command) => edge::edge(&context, command).await,
        Command::Ch(command) => chassis::ch(&context, command).await,
        Command::Apply(from) => document::apply(&context, &from.file).await,
        Command::Export => document::export(&context).await,
        Command::Diff(from) => return document::diff(&context, &from.file).await,
        Command::Doctor => doctor::doctor(&context).await,
        Command::Status => status::status(&context).await,
        Command::Trace(args) => return trace::trace(&context, args).await,
        Command::Explain(args) => return explain::explain(&context, args).await,
        Command::Graph(args) => return graph::graph(&context, args).await,
        Command::Completion { .. } | Command::Man { .. } => Ok(()), // need no store: done by the caller
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Ends the program as clap does when a command is used wrongly: the reason, its usage, exit code 2.
pub fn usage(command: &str, reason: &str) -> ! {
    let mut all = cli::Cli::command();
    all.build();
    let error = match all.find_subcommand_mut(command) {
        Some(command) => command.error(ErrorKind::ArgumentConflict, reason),
        None => all.error(ErrorKind::ArgumentConflict, reason),
    };
    error.exit()
}

/// Prepares the connection. Nothing is asked of the store yet: each command's own first question is the cheapest test.
fn connect(global: &Global) -> Result<NetworkStore> {
    let mut config = Config::new(&global.endpoints)?;
    config.timeout = Duration::from_secs(global.timeout.unwrap_or(TIMEOUT));
    config.user = user(global)?;
    if global.cacert.is_some() || global.cert.is_some() || global.key.is_some() {
        config.tls =
            Some(Tls { ca: global.cacert.clone(), cert: global.cert.clone(), key: global.key.clone(), domain: None });
    }
    Ok(NetworkStore::new(Client::new(config)?, &global.prefix))
}

fn user(global: &Global) -> Result<Option<(String, String)>> {
    let Some(user) = &global.user else { return Ok(None) };
    let (name, inline) = match user.split_once(':') {
        Some((name, password)) => (name, Some(password.to_owned())),
        None => (user.as_str(), None),
    };
    let filed = match (&global.password_file, &global.password) {
        (Some(file), None) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => None,
    };
    let password = global.password.clone().or(filed).or(inline);
    let password = password.ok_or_else(|| {
        anyhow!(
            "user {name} has no password: give a file with it by --password-file, or the password in TUPLENET_PASSWORD"
        )
    })?;
    Ok(Some((name.to_owned(), password)))
}

impl Context {
    /// Plans a deletion, shows it, asks, and makes it.
    async fn delete(&self, plan: impl AsyncFn() -> Result<Removal, NetworkError>) -> Result<()> {
        for attempt in 1.. {
            let removal = plan().await?;
            ask::confirm(self.yes, &removal.what, &removal.with)?;
            let (what, with) = (removal.what.clone(), removal.with.clone());
            match self.store.remove(removal).await {
                // Who was asked about one thing must not get another; who was not gets what there is now.
                Err(NetworkError::Conflict(_)) if self.yes && attempt < PLANS => continue,
                other => other?,
            }
            let more = if with.is_empty() { String::new() } else { format!(", and {} with it", with.len()) };
            return print::done(self.format, &format!("{what} deleted{more}"), &json!({"deleted": what, "with": with}));
        }
        Ok(())
    }

    /// One object, with the value that the store has.
    async fn one(&self, key: &Key) -> Result<Stored> {
        let [stored] = self.store.get([key]).await?;
        stored.ok_or_else(|| NetworkError::missing(key).into())
    }

    /// All readable objects below a path; the others are named on stderr.
    async fn all(&self, path: &str) -> Result<Vec<(Key, Object, Value)>, StoreError> {
        let (found, _) = self.store.objects(path).await?;
        let mut readable = Vec::with_capacity(found.len());
        for (key, stored) in found {
            let value = raw(&stored);
            match stored.object {
                Ok(object) => readable.push((key, object, value)),
                Err(invalid) => print::tell(&format!("warning: set aside: {invalid}")),
            }
        }
        Ok(readable)
    }

    /// Says that something was added.
    fn added(&self, key: &Key, object: &Object, detail: &str) -> Result<()> {
        let object = named(key, Value::Object(object.to_json()));
        print::done(self.format, &format!("{} added{detail}", words(key)), &object)
    }

    /// Says that something was changed, or that it was so already.
    fn changed(&self, key: &Key, changed: bool) -> Result<()> {
        let how = if changed { "changed" } else { "is so already" };
        print::done(self.format, &format!("{} {how}", words(key)), &json!({"key": key.to_string(), "changed": changed}))
    }
}

/// The value as it stands in the store, with the fields that we do not know.
fn raw(stored: &Stored) -> Value {
    serde_json::from_slice(&stored.value).unwrap_or(Value::Null)
}

/// An object as data: its value, with what its key says.
fn named(key: &Key, value: Value) -> Value {
    let mut map = Map::new();
    let mut put = |field: &str, name: &str| map.insert(field.to_owned(), name.into());
    match key {
        Key::Ls(name) | Key::Lr(name) | Key::Chassis(name) => drop(put("name", name)),
        Key::Lsp(ls, name) => drop((put("ls", ls), put("name", name))),
        Key::Lrp(lr, name) | Key::Lsr(lr, name) | Key::Lnat(lr, name) => drop((put("lr", lr), put("name", name))),
        Key::Binding(ls, lsp) => drop((put("ls", ls), put("lsp", lsp))),
    }
    if let Value::Object(fields) = value {
        for (field, value) in fields {
            map.entry(field).or_insert(value);
        }
    }
    Value::Object(map)
}

/// Adds a field to an object as data.
fn with(mut object: Value, field: &str, value: impl Into<Value>) -> Value {
    if let Value::Object(map) = &mut object {
        map.insert(field.to_owned(), value.into());
    }
    object
}

fn meta(from: cli::Meta) -> Meta {
    let labels = from.labels.into_iter().map(|label| (label.0, label.1)).collect();
    Meta { description: from.description.filter(|text| !text.is_empty()), labels }
}

fn edit_meta(meta: &mut Meta, edit: &cli::MetaEdit) {
    match edit.set.description.as_deref() {
        Some("") => meta.description = None,
        Some(text) => meta.description = Some(text.to_owned()),
        None => {}
    }
    for label in &edit.unlabel {
        meta.labels.remove(label);
    }
    for cli::Label(label, value) in &edit.set.labels {
        meta.labels.insert(label.clone(), value.clone());
    }
}

fn description(meta: &Meta) -> String {
    meta.description.clone().unwrap_or_default()
}

fn labels(meta: &Meta) -> String {
    meta.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

fn commas<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}
