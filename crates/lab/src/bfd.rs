//! What a host's Open vSwitch says of the tunnels that it watches by BFD (RFC 5880).

use anyhow::{Context, Result, ensure};

use crate::Host;

/// Milliseconds between the packets of a session that has not yet heard that its peer is up too, at least (RFC 5880, section 6.8.3).
const SLOW: u64 = 1000;

impl Host {
    /// Whether it watches so many others, or more, may send to all of them, and would know in time if one were gone.
    ///
    /// A session that has just come up is still slow: for up to a second its peer is found dead only after three. And in that second it may go down again: Open vSwitch 3.1 announces
    /// that it will be quick, and then sends the next packet when it would have, slow. Who sends quickly itself has had an answer since.
    ///
    /// # Errors
    /// It does not: what its sessions are like. Open vSwitch is down.
    pub fn watches(&self, least: usize) -> Result<()> {
        let text = self.appctl(&["bfd/show"])?;
        let sessions: Vec<&str> = text.split("---- ").filter(|session| session.contains("Forwarding:")).collect();
        ensure!(sessions.len() >= least, "{} watches {}, not {least}: {text}", self.name(), sessions.len());
        sessions.iter().try_for_each(|session| {
            let quick = is_quick(session, "RX Interval")? && is_quick(session, "TX Interval")?;
            let quick = quick && value(session, "Local Flags")? == "none";
            ensure!(quick && value(session, "Forwarding")? == "true", "{}: {session}", self.name());
            Ok(())
        })
    }
}

/// Whether it is less than that of a session that is not up.
fn is_quick(session: &str, interval: &str) -> Result<bool> {
    let shown = value(session, interval)?.trim_start_matches("Approx ").trim_end_matches("ms");
    Ok(shown.parse::<u64>().with_context(|| format!("`{shown}` is no interval"))? < SLOW)
}

fn value<'a>(session: &'a str, name: &str) -> Result<&'a str> {
    let of_line = |line: &'a str| line.trim().strip_prefix(name)?.strip_prefix(": ");
    session.lines().find_map(of_line).with_context(|| format!("no `{name}` in {session}"))
}
