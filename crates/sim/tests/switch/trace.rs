//! What `ofproto/trace` prints, read.
//!
//! ```text
//! Flow: ip,in_port=1,...                                      <- the packet as the switch sees it
//!
//! bridge("br-int")
//! ----------------
//!  0. in_port=1, priority 100, cookie 0x5402000001000001      <- a table that it visits
//!     set_field:0x1->metadata
//!     resubmit(,10)
//! 10. No match.
//!     drop
//!
//! Final flow: ip,reg4=0x1,...
//! Megaflow: ...
//! Datapath actions: set(eth(...)),2
//! ```
//! With connection tracking there are several of these, each but the first after "recirc(0x...)".

use super::fields::{Fields, parse_flow};

/// The flow of the underlay's bridge has this cookie: its table is not one of those that we look at.
pub const UNDERLAY: u64 = 0xfeed;

/// A table that a packet visited, and priority and cookie of the flow that matched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    pub table: u8,
    pub flow: Option<(u16, u64)>,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.flow {
            Some((priority, cookie)) => write!(f, "{}: {priority} {cookie:#x}", self.table),
            None => write!(f, "{}: no match", self.table),
        }
    }
}

/// One pass of a packet through the pipeline.
#[derive(Debug)]
pub struct Pass {
    /// The packet as it came.
    pub first: Fields,
    /// The tables, in order.
    pub visits: Vec<Visit>,
    /// The packet in the end.
    pub last: Fields,
    /// What the datapath is to do, unread.
    pub actions: String,
    /// Why the switch gave up, if it did: too deep, ...
    pub failed: Option<String>,
}

/// Reads a whole trace.
pub fn parse(text: &str) -> Result<Vec<Pass>, String> {
    let mut passes: Vec<Pass> = Vec::new();
    for line in text.lines() {
        let error = |why: &str| format!("{why}: {line}");
        if let Some(flow) = line.strip_prefix("Flow: ") {
            let first = parse_flow(flow)?;
            let last = first.clone();
            passes.push(Pass { first, visits: Vec::new(), last, actions: String::new(), failed: None });
            continue;
        }
        let Some(pass) = passes.last_mut() else {
            if line.is_empty() {
                continue;
            }
            return Err(error("before any flow"));
        };
        if let Some(flow) = line.strip_prefix("Final flow: ") {
            if flow != "unchanged" {
                pass.last = parse_flow(flow)?;
            }
        } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
            pass.actions = actions.to_owned();
        } else if let Some(why) = line.strip_prefix("Translation failed ") {
            pass.failed = Some(why.to_owned());
        } else {
            let visit = visit(line).map_err(|()| error("no visit of a table"))?;
            pass.visits.extend(visit.filter(|visit| visit.flow.is_none_or(|(_, cookie)| cookie != UNDERLAY)));
        }
    }
    match passes.iter().find(|pass| pass.actions.is_empty()) {
        _ if passes.is_empty() => Err(format!("no trace: {text}")),
        Some(_) => Err(format!("a trace without datapath actions: {text}")),
        None => Ok(passes),
    }
}

/// The visit of a table, if the line is about one.
fn visit(line: &str) -> Result<Option<Visit>, ()> {
    let Some((table, rest)) = line.trim_start().split_once(". ") else { return Ok(None) };
    let Ok(table) = table.parse::<u8>() else { return Ok(None) };
    if rest.starts_with("No match") {
        return Ok(Some(Visit { table, flow: None }));
    }
    let (rest, cookie) = match rest.rsplit_once(", cookie 0x") {
        Some((rest, cookie)) => (rest, u64::from_str_radix(cookie, 16).map_err(drop)?),
        None => (rest, 0),
    };
    let (_, priority) = rest.rsplit_once("priority ").ok_or(())?;
    Ok(Some(Visit { table, flow: Some((priority.parse().map_err(drop)?, cookie)) }))
}
