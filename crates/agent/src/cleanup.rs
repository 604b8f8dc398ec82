//! `tuplenet agent --cleanup`: takes away what the agent made on this host and wrote to the store, then ends.

use crate::{
    boot,
    config::Settings,
    core::{
        Event,
        ovs::{
            self, Answer, Command,
            own_stack::{DEVICE, memory, remembering},
        },
        switch::{self, HOOK_TABLE, LAST_TABLE},
    },
    driver::{openflow, ovsdb, own_stack, signals::Signals, store},
};
use anyhow::{Context, Result, anyhow, bail};
use std::time::Duration;
use tokio::{net::UnixStream, time::timeout};
use tuplenet_model::entity::Binding;
use tuplenet_openflow::{
    Flow,
    connection::{Switch, Target},
    message::{FlowMod, FlowModCommand, GroupCommand, GroupKind, GroupMod, Message, MeterCommand, MeterMod},
};
use tuplenet_ovsdb::Client;
use tuplenet_store::{Compare, Op, Range, Txn};

/// How long each part may take: a store that is away must not keep a host from being cleaned.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cleans up; what could not be done is in the error. A signal ends it where it is: done again, it goes on.
pub async fn run(settings: Settings) -> Result<()> {
    let mut signals = Signals::new()?;
    let (client, mut events) = ovsdb::connect(&settings.ovsdb)?;
    let waiting = timeout(PATIENCE, boot::first(&mut events, &settings.bridge, &mut signals));
    let Some(first) =
        waiting.await.map_err(|_| anyhow!("the database of Open vSwitch at {} does not answer", settings.ovsdb))??
    else {
        bail!("ended by a signal before anything was removed");
    };
    tokio::select! {
        done = remove(&settings, &client, &first.tables) => done,
        signal = signals.next() => bail!("ended by {signal} before all was removed; run it again for the rest"),
    }
}

async fn remove(settings: &Settings, client: &Client, tables: &ovs::Tables) -> Result<()> {
    let chassis = boot::chassis(settings.chassis.clone(), tables)?;
    // The store first: while a binding stands, others send to this host.
    let store = timeout(PATIENCE, forget(settings, &chassis))
        .await
        .unwrap_or_else(|_| Err(anyhow!("the store does not answer")));
    if tables.bridge(&settings.bridge).is_some() {
        match timeout(PATIENCE, empty_switch(settings)).await {
            Ok(Ok(())) => tracing::info!("removed the flows and groups of {}", settings.bridge),
            Ok(Err(error)) => tracing::warn!("the flows of {} are not removed: {error:#}", settings.bridge),
            Err(_) => tracing::warn!(
                "the flows of {} are not removed: the switch does not answer at {}",
                settings.bridge,
                settings.of
            ),
        }
    }
    let restored = restore(client, tables).await;
    if let Some(ovs::Plan { operations, words }) = ovs::cleanup(tables, &settings.bridge) {
        timeout(PATIENCE, client.transact(operations))
            .await
            .context("the database of Open vSwitch does not answer")??;
        words.iter().for_each(|w| tracing::info!("{w}"));
    }
    restored?;
    store.with_context(|| {
        format!("what this host wrote to the store is still there; remove it by tpctl ch del {chassis}")
    })
}

/// Puts back what was changed of the host's own IP stack beside our port, which goes with what it was set to.
async fn restore(client: &Client, tables: &ovs::Tables) -> Result<()> {
    let Some(((root, _), was)) = tables.root().zip(memory(tables)) else { return Ok(()) };
    let command = Command::Restore { device: DEVICE.to_owned(), was: was.to_owned() };
    match own_stack::run(&command) {
        Answer::Failed(why) => bail!("what --untunnel changed of this host's IP stack cannot be put back: {why}"),
        _ => tracing::info!("put back what --untunnel changed of this host's IP stack: {was}"),
    }
    timeout(PATIENCE, client.transact(vec![remembering(root, None)]))
        .await
        .context("the database of Open vSwitch does not answer")??;
    Ok(())
}

/// Deletes our chassis, our bindings and our sign of life.
async fn forget(settings: &Settings, chassis: &str) -> Result<()> {
    let client = store::client(settings)?;
    let root = format!("{}/v1/", settings.prefix);
    let bindings = client.range(Range::prefix(&format!("{root}binding/"))).await?;
    let mut count = 0;
    for kv in bindings.kvs {
        if serde_json::from_slice::<Binding>(&kv.value).is_ok_and(|b| *b.chassis == *chassis) {
            // One that changed meanwhile was claimed by another host: then it is not ours any more.
            let txn = Txn::new().when(Compare::unchanged(&kv.key, kv.mod_revision)).then(Op::delete(&kv.key));
            count += usize::from(client.txn(txn).await?.succeeded);
        }
    }
    client.delete(Range::key(&format!("{root}chassis/{chassis}"))).await?;
    client.delete(Range::prefix(&format!("{root}status/{chassis}/"))).await?;
    tracing::info!("removed the chassis {chassis} and {count} bindings from the store");
    Ok(())
}

async fn empty_switch(settings: &Settings) -> Result<()> {
    // The bridge is in the database, so its socket is there if ovs-vswitchd runs: nothing is gained by waiting for it.
    if let Ok(Target::Unix(path)) = settings.of.parse() {
        let refused = UnixStream::connect(&path).await.err();
        if let Some(error) = refused {
            bail!("cannot connect to {}: {error} (without ovs-vswitchd there are none)", path.display());
        }
    }
    let (driver, mut events) = openflow::connect(&settings.of)?;
    loop {
        match events.next().await.context("the connection to the switch has ended")? {
            Event::Switch(_, switch::Event::Up) => break,
            Event::Switch(_, switch::Event::Down(why)) => tracing::warn!("{why}"),
            _ => {}
        }
    }
    driver.switch().bundle(messages()).await.map_err(|e| anyhow!("{e}"))?;
    // Bundles take no meters. A switch that has none refuses, and one that never had ours does not mind.
    for meter in openflow::METERS {
        let (command, bands) = (MeterCommand::Delete, Vec::new());
        let meter = MeterMod { command, flags: 0, meter_id: meter.id, bands };
        if let Err(error) = driver.switch().request(Message::MeterMod(meter)).await {
            tracing::debug!(%error, "a meter is not deleted");
        }
    }
    wait_for(driver.switch()).await
}

/// All our flows and all groups. In the table that belongs to other software their flows stay.
fn messages() -> Vec<Message> {
    let delete = |table: u8, cookie: u64, cookie_mask: u64| {
        let mut change = FlowMod::new(FlowModCommand::Delete, Flow { table, cookie, ..Flow::default() });
        change.cookie_mask = cookie_mask;
        Message::FlowMod(change)
    };
    let (ours, mask) = (tuplenet_rules::cookie::OURS, tuplenet_rules::cookie::OURS_MASK);
    let mut all: Vec<Message> = (0..=LAST_TABLE)
        .map(|table| if table == HOOK_TABLE { delete(table, ours, mask) } else { delete(table, 0, 0) })
        .collect();
    let group_id = GroupMod::ALL;
    let groups = GroupMod {
        command: GroupCommand::Delete,
        kind: GroupKind::All,
        group_id,
        buckets: Vec::new(),
        properties: Default::default(),
    };
    all.push(Message::GroupMod(groups));
    all
}

async fn wait_for(switch: &Switch) -> Result<()> {
    switch.barrier().await.map_err(|e| anyhow!("{e}"))
}
