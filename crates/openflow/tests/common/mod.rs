//! A switch to talk to, and what it tells.
#![allow(dead_code)] // Each test binary uses its part.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use tuplenet_fixture::{PATIENCE, text};
use tuplenet_openflow::connection::{Config, Event, Switch, Target, connect};
use tuplenet_openflow::message::Features;

/// A real Open vSwitch with one bridge, br0, that has the dummy ports p1 (port 1) and p2 (port 2).
pub struct Ovs(tuplenet_fixture::Ovs);

impl Ovs {
    /// Starts it and makes the bridge with the given `protocols` (a set in the syntax of ovs-vsctl).
    pub fn start_with(protocols: &str) -> Ovs {
        let ovs = tuplenet_fixture::Ovs::start("of");
        let protocols = format!("protocols={protocols}");
        ovs.vsctl(
            &[
                &["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure", &protocols]
                    [..],
                &["--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy", "ofport_request=1"][..],
                &["--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2"][..],
            ]
            .concat(),
        );
        Ovs(ovs)
    }

    pub fn start() -> Ovs {
        Self::start_with("[OpenFlow10,OpenFlow13,OpenFlow15]")
    }

    /// Where br0 listens, as a word of ovs-ofctl.
    pub fn br0(&self) -> String {
        text(&self.bridge("br0"))
    }

    /// Where br0 listens.
    pub fn target(&self) -> Target {
        Target::Unix(self.bridge("br0"))
    }
}

impl Deref for Ovs {
    type Target = tuplenet_fixture::Ovs;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Ovs {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Looks again and again until `condition` holds: in async code, where a sleeping thread would stop the connection's task too.
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the switch tells a listener.
pub struct Events(pub tokio::sync::mpsc::Receiver<Event>);

impl Events {
    /// The next event, which must come.
    pub async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("an event").expect("the connection's task")
    }

    /// Skips events until the connection is up.
    pub async fn up(&mut self) -> Features {
        loop {
            if let Event::Up(features) = self.next().await {
                return features;
            }
        }
    }

    /// Skips events until the connection is down, and tells why.
    pub async fn down(&mut self) -> String {
        loop {
            if let Event::Down(why) = self.next().await {
                return why;
            }
        }
    }
}

/// Connects and waits until that is done.
pub async fn connected(config: Config) -> (Switch, Events) {
    let (switch, events) = connect(config);
    let mut events = Events(events);
    events.up().await;
    (switch, events)
}
