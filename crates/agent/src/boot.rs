//! What must be known before the core can begin: the database's state, and from it the host's name.

use crate::{
    core::ovs::{MANAGED, Tables},
    driver::signals::Signals,
};
use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::mpsc;
use tuplenet_model::name::Name;
use tuplenet_ovsdb::Event;

/// The database's first state, and the events that told it, for the core to hear in turn.
pub struct First {
    /// The rows.
    pub tables: Tables,
    /// What was told so far.
    pub events: Vec<Event>,
}

/// Waits for the database; `None` if a signal came first. While it is not there it says so, once a reason.
pub async fn first(events: &mut mpsc::Receiver<Event>, bridge: &str, signals: &mut Signals) -> Result<Option<First>> {
    let mut first = First { tables: Tables::default(), events: Vec::new() };
    loop {
        let event = tokio::select! {
            event = events.recv() => event.context("the connection to the database of Open vSwitch has ended")?,
            _ = signals.next() => return Ok(None),
        };
        match &event {
            Event::Down(why) => {
                tracing::warn!("waiting for Open vSwitch: {why}");
                first.events.clear();
                continue;
            }
            Event::Up => {}
            Event::Update(update) => {
                first.tables.apply(update.clone(), bridge);
                first.events.push(event);
                return Ok(Some(first));
            }
        }
        first.events.push(event);
    }
}

/// The host's name: as configured, or as Open vSwitch has it.
pub fn chassis(configured: Option<Name>, tables: &Tables) -> Result<Name> {
    if let Some(name) = configured {
        return Ok(name);
    }
    let Some(id) = tables.system_id() else {
        bail!(
            "this host has no name: set it by ovs-vsctl set Open_vSwitch . external_ids:system-id=NAME, or name the chassis with --chassis NAME"
        );
    };
    id.parse().map_err(|e| anyhow!("external_ids:system-id of Open vSwitch is no name for a chassis: {e}; or name the chassis with --chassis NAME"))
}

/// Whether a bridge of that name is there and was made by others.
pub fn is_foreign(tables: &Tables, bridge: &str) -> bool {
    tables.bridge(bridge).is_some_and(|(_, row)| Tables::pair(row, "external_ids", MANAGED).is_none())
}
