//! The agent's one loop: events in, core, effects out. All of it runs on one thread.

use crate::{
    boot,
    config::{EmbeddedStore, MetricsListen, Settings},
    core::{Core, Effect, Event, Identity, Level, ovs::Wanted, trace},
    driver::{
        http::{self, Pages},
        openflow, ovsdb, own_stack,
        signals::Signals,
        store::{self, Store},
        underlay,
    },
    metrics::{self, Metrics},
    sources::Sources,
};
use anyhow::Result;
use std::{
    cell::RefCell,
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::mpsc, task::spawn_local, time::sleep_until};
use tuplenet_model::mtu::{LEAST_UNDERLAY, MOST_UNDERLAY};

/// How long the removal of an edge that has begun may keep the agent from ending.
const LAST_WORK: Duration = Duration::from_secs(4);

struct Shared {
    core: Core,
    metrics: Metrics,
}

/// Runs until a signal comes. The data plane stays as it is then.
pub async fn run(settings: Settings) -> Result<()> {
    let mut signals = Signals::new()?;
    let embedded = match &settings.embedded {
        Some(embedded) => Some(start_store(embedded).await?),
        None => None,
    };
    let client = store::client(&settings)?;
    // Open vSwitch and the store may come later: waiting for them is part of the work, not of starting.
    crate::notify::ready();
    let (ovs, mut ovs_events) = ovsdb::connect(&settings.ovsdb)?;
    let Some(first) = boot::first(&mut ovs_events, &settings.bridge, &mut signals).await? else { return Ok(()) };
    let chassis = boot::chassis(settings.chassis.clone(), &first.tables)?;
    if boot::is_foreign(&first.tables, &settings.bridge) {
        tracing::info!("the bridge {} was there before: using it; all its flows will be ours", settings.bridge);
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %chassis, store = settings.store.join(","), "agent of this host");

    let bridge = Wanted {
        bridge: settings.bridge.clone(),
        datapath_type: settings.datapath_type,
        // Open vSwitch's start script loads the module if there is one.
        kernel_datapath: std::path::Path::new("/sys/module/openvswitch").exists(),
        encaps: settings.encaps.iter().map(|e| e.kind).collect(),
        exports: settings.exports.clone(),
        bfd_interval: settings.bfd_interval,
        untunnel: settings.untunnel,
    };
    let identity = Identity {
        chassis: chassis.clone(),
        encaps: settings.encaps.clone(),
        bridge,
        probe: settings.probe.clone(),
        audit_interval: settings.audit_interval,
        clock: (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
    };
    let shared = Rc::new(RefCell::new(Shared { core: Core::new(identity), metrics: Metrics::new(&chassis) }));
    serve_metrics(settings.metrics, &shared).await?;

    let alive = Rc::new(store::Alive::new(client.clone(), &settings.prefix, &chassis));
    let keeping = Rc::clone(&alive);
    let keeper = spawn_local(async move { keeping.keep().await });
    let (store, store_events) = Store::follow(client, &settings.prefix, &chassis);
    let (done, completions) = mpsc::unbounded_channel();
    let mut sources = Sources::new(ovs_events, completions, store_events);
    let mut switch: Option<openflow::Driver> = None;
    let mut queue: Vec<Event> = first.events.into_iter().map(Event::Ovs).collect();

    let (ip, tell) = (settings.encap_ip, done.clone());
    queue.push(Event::Underlay(match settings.underlay_mtu {
        Some(mtu) => Some(mtu),
        None => {
            let device = underlay::device(ip).unwrap_or_else(|error| {
                tracing::warn!(
                    "the MTU of the underlay is not known, so routers look at no packet's length for it: {error:#}"
                );
                None
            });
            let known = said(ip, device.as_ref());
            spawn_local(underlay::follow(ip, device, move |device| {
                tell.send(Event::Underlay(said(ip, device.as_ref()))).is_ok()
            }));
            known
        }
    }));
    let mut database_changed = true;
    let mut ending: Option<(&str, tokio::time::Instant)> = None;
    let ended_by = loop {
        for event in queue.drain(..) {
            database_changed |= matches!(event, Event::Ovs(_) | Event::OwnStack(_));
            let effects = shared.borrow_mut().core.handle(event, Instant::now());
            for effect in effects {
                match effect {
                    Effect::Say(Level::Info, text) => tracing::info!("{text}"),
                    Effect::Say(Level::Warn, text) => tracing::warn!("{text}"),
                    Effect::Say(Level::Error, text) => tracing::error!("{text}"),
                    Effect::Ovs(purpose, operations) => ovsdb::transact(&ovs, purpose, operations, &done),
                    Effect::OwnStack(command) => own_stack::ask(command, &done),
                    Effect::Store(write) => store.write(write, &done),
                    Effect::PacketOut { actions, frame } => {
                        if let Some(switch) = &switch {
                            switch.packet_out(actions, frame);
                        }
                    }
                    Effect::Trace(trace::Command::Inject { id, asked, port, frame }) => match &switch {
                        Some(switch) => switch.inject(id, port, frame, store.wants(id, asked), &done),
                        None => tracing::debug!("no switch to inject into"),
                    },
                    Effect::Trace(command) => store.trace(command, &done),
                    Effect::Installed(latency) => shared.borrow().metrics.installed(latency),
                    Effect::Switch(session, command) => {
                        if let Some(switch) = &switch {
                            switch.run(session, command, &done);
                        }
                    }
                }
            }
        }
        if std::mem::take(&mut database_changed) {
            let core = &shared.borrow().core;
            alive.has(core.other_bridges(), core.untunnels());
        }
        // The bridge's socket appears with the bridge: before that there is nothing to connect to.
        if switch.is_none() && shared.borrow().core.has_bridge() {
            let (driver, unasked) = openflow::connect(&settings.of)?;
            switch = Some(driver);
            sources.listen(unasked);
        }
        let wakeup = shared.borrow().core.wakeup();
        let lingers = shared.borrow().core.lingers() || shared.borrow().core.is_removing();
        if let Some((signal, _)) = ending.filter(|_| !lingers) {
            break signal;
        }
        tokio::select! {
            biased;
            signal = signals.next() => {
                if ending.is_some() || !lingers {
                    break signal;
                }
                tracing::info!("{signal}: ending when the removal of a router is done");
                ending = Some((signal, tokio::time::Instant::now() + LAST_WORK));
            }
            () = sleep_until(ending.map_or_else(tokio::time::Instant::now, |(_, at)| at)), if ending.is_some() => {
                break ending.map_or("", |(signal, _)| signal);
            }
            events = sources.next(wakeup) => queue = events?,
        }
    };
    tracing::info!("{ended_by}: ending; the switch stays as it is");
    keeper.abort();
    alive.end().await;
    drop(store);
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    Ok(())
}

/// The MTU of the underlay's device, and for the log what follows from it.
fn said(ip: IpAddr, device: Option<&underlay::Device>) -> Option<u32> {
    match device {
        // What is sent from the address of a loopback device leaves by others, whose MTU is not known; but for the addresses that are of this host only.
        Some(device) if device.loopback && !ip.is_loopback() => {
            tracing::warn!(
                "{ip} is on {}, so the underlay's MTU is not known and routers look at no packet's length for it: give it with --underlay-mtu",
                device.name
            );
            None
        }
        Some(device) => {
            tracing::info!("the underlay's MTU is {}, that of {}", device.mtu, device.name);
            Some(device.mtu).filter(|mtu| (LEAST_UNDERLAY..=MOST_UNDERLAY).contains(mtu))
        }
        None => {
            tracing::warn!(
                "no device of this host has the address {ip} of --encap-ip: add it, or nothing reaches this host by tunnel"
            );
            None
        }
    }
}

async fn serve_metrics(listen: MetricsListen, shared: &Rc<RefCell<Shared>>) -> Result<()> {
    let listener = match listen {
        MetricsListen::Off => return Ok(()),
        MetricsListen::Must(address) => http::listen(address).await?,
        MetricsListen::Try(address) => match http::listen(address).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!("no metrics: {error:#}");
                return Ok(());
            }
        },
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics are at http://{address}/metrics");
    }
    let shared = Rc::clone(shared);
    let pages: Pages = Rc::new(move |path| match path {
        "/metrics" => {
            let mut shared = shared.borrow_mut();
            shared.core.count_rules();
            let Shared { core, metrics } = &*shared;
            Some((metrics::CONTENT_TYPE, metrics.page(core.stats())))
        }
        "/healthz" => Some(("text/plain; charset=utf-8", "ok\n".to_owned())),
        _ => None,
    });
    spawn_local(http::serve(listener, pages));
    Ok(())
}

async fn start_store(embedded: &EmbeddedStore) -> Result<crate::store::Running> {
    crate::store::start(&embedded.file, embedded.listen).await
}
