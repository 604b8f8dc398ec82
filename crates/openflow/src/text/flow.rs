//! A flow as `ovs-ofctl --no-stats dump-flows` prints it and `ovs-ofctl add-flow` takes it.

use std::fmt;
use std::str::FromStr;

use super::action_parse;
use super::action_print::joined;
use super::number::integer;
use super::tokens;
use crate::flow::flags;
use crate::{Flow, ParseError, field};

use super::match_parse;

const FLAGS: &[(u16, &str)] = &[
    (flags::SEND_FLOW_REM, "send_flow_rem"),
    (flags::CHECK_OVERLAP, "check_overlap"),
    (flags::RESET_COUNTS, "reset_counts"),
    (flags::NO_PKT_COUNTS, "no_packet_counts"),
    (flags::NO_BYT_COUNTS, "no_byte_counts"),
];

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cookie != 0 {
            write!(f, "cookie={:#x}, ", self.cookie)?;
        }
        if self.table != 0 {
            write!(f, "table={}, ", self.table)?;
        }
        let numbers = [("idle_timeout", self.idle_timeout), ("hard_timeout", self.hard_timeout)];
        for (name, number) in numbers.iter().filter(|(_, n)| *n != 0) {
            write!(f, "{name}={number}, ")?;
        }
        for (flag, name) in FLAGS {
            if self.flags & flag != 0 {
                write!(f, "{name} ")?;
            }
        }
        if self.importance != 0 {
            write!(f, "importance={}, ", self.importance)?;
        }
        let priority = self.priority != Flow::DEFAULT_PRIORITY;
        if priority {
            write!(f, "priority={}", self.priority)?;
        }
        if !self.matching.is_empty() {
            write!(f, "{}{}", if priority { "," } else { "" }, self.matching)?;
        }
        if priority || !self.matching.is_empty() {
            f.write_str(" ")?;
        }
        f.write_str("actions=")?;
        if self.instructions.is_empty() { f.write_str("drop") } else { joined(f, &self.instructions) }
    }
}

impl FromStr for Flow {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Flow, ParseError> {
        let mut flow = Flow::default();
        // `actions` ends the match; it takes the rest of the line, in which more equal signs may stand.
        let (head, actions) = match text.find("actions") {
            Some(at) => {
                let (head, rest) = text.split_at(at);
                let rest = rest.trim_start_matches("actions").trim_start();
                let after = rest.strip_prefix('=').or_else(|| rest.strip_prefix(':'));
                (head, Some(after.ok_or_else(|| ParseError::new(text, "actions=... was expected"))?))
            }
            None => (text, None),
        };
        let mut matching = Vec::new();
        for t in tokens::split(head)? {
            match t.key {
                "table" => flow.table = integer(t.rest, "a table")?,
                "priority" => flow.priority = integer(t.rest, "a priority")?,
                "cookie" => flow.cookie = integer(t.rest, "a cookie")?,
                "idle_timeout" => flow.idle_timeout = integer(t.rest, "a timeout")?,
                "hard_timeout" => flow.hard_timeout = integer(t.rest, "a timeout")?,
                "importance" => flow.importance = integer(t.rest, "an importance")?,
                // What a dump tells beside the flow itself.
                "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
                _ => match FLAGS.iter().find(|(_, name)| *name == t.text) {
                    Some((flag, _)) => flow.flags |= flag,
                    None => matching.push(t),
                },
            }
        }
        flow.matching = match_parse::parse(&matching)?;
        if let Some(actions) = actions {
            let tagged = flow.matching.get(field::VLAN_VID).is_some_and(|m| m.value.to_u64() >= Some(0x1000));
            if actions.contains("mod_vlan_") && !tagged {
                let why = "here it would push a tag as well: say push_vlan:0x8100,set_field:...->vlan_vid";
                return Err(ParseError::new("mod_vlan_vid", why));
            }
            flow.instructions = action_parse::instructions(actions)?;
        }
        Ok(flow)
    }
}
