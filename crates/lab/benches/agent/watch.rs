//! The flows of the real switch as somebody else sees them: a flow monitor on a connection of its own, which Open vSwitch tells
//! of each flow that is added or removed, by whomever.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::{sync::mpsc, time::timeout};
use tuplenet_openflow::{
    connection::{self, Config, Event, Switch, Target},
    message::{
        FlowFilter, FlowMonitor, FlowUpdate, Message, MultipartReply, ReplyBody,
        monitor::{FlowEvent, monitor_flags},
    },
};
use tuplenet_rules::cookie::Cookie;

/// Longest wait for a flow.
const PATIENCE: Duration = Duration::from_secs(10);

/// A monitor of all flows.
pub struct Watch {
    switch: Switch,
    seen: mpsc::UnboundedReceiver<Seen>,
}

/// A flow came or went.
struct Seen {
    at: Instant,
    added: bool,
    cookie: u64,
}

impl Watch {
    /// Begins to watch; the flows that are there already are not told.
    pub async fn start(target: Target) -> Result<Watch> {
        let (switch, mut events) = connection::connect(Config::new(target));
        loop {
            match timeout(PATIENCE, events.recv()).await.context("the switch does not answer")? {
                Some(Event::Up(_)) => break,
                Some(_) => {}
                None => anyhow::bail!("the connection to the switch has ended"),
            }
        }
        switch.monitor(FlowMonitor::all(1, monitor_flags::ADD | monitor_flags::REMOVED)).await?;
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let Event::Message(Message::MultipartReply(MultipartReply {
                    body: ReplyBody::FlowUpdates(updates),
                    ..
                })) = event
                else {
                    continue;
                };
                let at = Instant::now();
                for update in updates {
                    if let FlowUpdate::Flow { event, flow, .. } = update {
                        let added = event == FlowEvent::Added;
                        let _ = tell.send(Seen { at, added, cookie: flow.cookie });
                    }
                }
            }
        });
        Ok(Watch { switch, seen })
    }

    /// How many flows the switch holds.
    pub async fn count(&self) -> Result<u64> {
        let counters = self.switch.aggregate(FlowFilter::default()).await?;
        counters.flows.map(u64::from).context("the switch does not count its flows")
    }

    /// Forgets what was seen until now.
    pub fn forget(&mut self) {
        while self.seen.try_recv().is_ok() {}
    }

    /// Waits until `flows` flows of a port were added (or removed); when the last of them was seen.
    pub async fn port(&mut self, (datapath, port): (u32, u32), added: bool, flows: usize) -> Result<Instant> {
        let mut found = 0;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = timeout(left, self.seen.recv()).await;
            let seen = seen.with_context(|| format!("{found} of {flows} flows of port {port} came in {PATIENCE:?}"))?;
            let seen = seen.context("the connection to the switch has ended")?;
            let of = Cookie::decode(seen.cookie);
            if seen.added == added && of.is_some_and(|c| c.datapath == datapath && c.object == port) {
                found += 1;
            }
            if found >= flows {
                return Ok(seen.at);
            }
        }
    }

    /// How many flows of a port were added until now, all of which are in the switch.
    pub async fn added(&mut self, datapath: u32, port: u32) -> Result<usize> {
        // Updates and this answer come in the order in which the switch made them.
        self.switch.barrier().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut found = 0;
        while let Ok(seen) = self.seen.try_recv() {
            let of = Cookie::decode(seen.cookie);
            found += usize::from(seen.added && of.is_some_and(|c| c.datapath == datapath && c.object == port));
        }
        ensure!(found > 0, "port {port} of datapath {datapath} has no flows");
        Ok(found)
    }
}
