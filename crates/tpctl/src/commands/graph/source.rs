//! Where the drawing comes from: the store, or a document.

use super::super::{Context, bfd::Sessions, chassis, doctor};
use crate::print;
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::Path,
};
use tuplenet_model::{document::Document, key::Key, name::Name, network::Network};

use super::picture::{Fault, Life};

/// How many faults of a document are listed.
const FAULTS: usize = 20;

/// A network, and what is known of its hosts.
#[derive(Default)]
pub struct Source {
    /// All objects that can be read.
    pub network: Network,
    /// All objects that agents set aside, some of which can be read.
    pub rejected: Vec<Fault>,
    /// The chassis whose agents are alive; `None`: it comes from a document, which knows no hosts.
    pub alive: Option<BTreeSet<String>>,
    /// What hosts say of their BFD sessions; `None` likewise.
    pub sessions: Option<Sessions>,
}

impl Source {
    /// What the store has.
    pub async fn store(context: &Context) -> Result<Self> {
        let (found, revision) = context.store.list("").await?;
        let alive = chassis::alive(context).await?.into_keys().collect();
        let snapshot = context.store.snapshot_of(&found, revision);
        let network = snapshot.network();
        // Most networks are valid, and what the plain check lets pass no rule sets aside. It spares computing the flows of every host.
        let odd_key = |key: &str| Key::parse(context.store.path(key)).is_err();
        let plain = snapshot.objects.values().all(|stored| stored.object.is_ok())
            && !found.iter().any(|kv| odd_key(&kv.key))
            && network.check().is_empty();
        let rejected = if plain { BTreeSet::new() } else { doctor::rejected(context, &found)? };
        let rejected = rejected.into_iter().map(|(key, reason)| Fault { key, reason }).collect();
        let sessions = Some(Sessions::read(context, &found));
        Ok(Self { network, rejected, alive: Some(alive), sessions })
    }

    /// What a document describes; "-" is standard input.
    pub fn document(file: &Path) -> Result<Self> {
        let stdin = file == Path::new("-");
        let name = if stdin { "standard input".to_owned() } else { file.display().to_string() };
        let (mut text, limit) = (String::new(), Document::MAX as u64 + 1);
        let read = match stdin {
            true => io::stdin().lock().take(limit).read_to_string(&mut text),
            false => File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text)),
        };
        read.with_context(|| format!("cannot read {name}"))?;
        let document = Document::parse(&text).with_context(|| name.clone())?;
        match document.resolve(&Network::default()) {
            Ok(network) => Ok(Self { network, ..Self::default() }),
            Err(faults) => {
                for fault in faults.iter().take(FAULTS) {
                    print::tell(&format!("{name}: {fault}"));
                }
                bail!("{name} describes no valid network: {}", print::count(faults.len(), "fault", "faults"))
            }
        }
    }

    /// What is known of a chassis' agent.
    pub fn life(&self, chassis: &Name) -> Life {
        match &self.alive {
            None => Life::Unknown,
            Some(_) if self.network.get(&Key::Chassis(chassis.clone())).is_none() => Life::Unregistered,
            Some(alive) if alive.contains(chassis.as_str()) => Life::Alive,
            Some(_) => Life::Silent,
        }
    }
}
