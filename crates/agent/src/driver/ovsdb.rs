//! The database of Open vSwitch.

use crate::core::{self, ovs};
use anyhow::{Result, anyhow};
use tokio::sync::mpsc;
use tuplenet_ovsdb::{Client, Config, Event, Operation, Target};

/// Connects, for ever.
pub fn connect(target: &str) -> Result<(Client, mpsc::Receiver<Event>)> {
    let target: Target = target.parse().map_err(|e| anyhow!("--ovsdb: {e}"))?;
    let mut config = Config::new(target);
    config.monitor = ovs::monitor();
    Ok(tuplenet_ovsdb::connect(config))
}

/// Sends a transaction; its end comes back as an event.
pub fn transact(
    client: &Client,
    purpose: ovs::Purpose,
    operations: Vec<Operation>,
    done: &mpsc::UnboundedSender<core::Event>,
) {
    let (client, done) = (client.clone(), done.clone());
    tokio::task::spawn_local(async move {
        let result = client.transact(operations).await.map(drop).map_err(|e| e.to_string());
        // The loop may have ended meanwhile.
        let _ = done.send(core::Event::OvsDone(purpose, result));
    });
}
