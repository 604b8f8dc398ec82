//! Whether a host's rules make a flow now: a switch that holds another one is behind the store, or somebody else changed it.

use super::{host::Host, line::Pasted, world::World};
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use tuplenet_model::name::Name;
use tuplenet_openflow::{Action, Flow, Match, field, port};

/// The flows that a host should have now.
pub struct Current {
    chassis: Name,
    host: Host,
    flows: HashMap<(u8, u16, Match), Flow>,
    /// Cookies of the flows that match a port of the bridge: its number is the switch's own.
    by_port: HashSet<u64>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the rules make the flow as it is.
    pub same: bool,
    /// In words.
    pub text: String,
}

impl Current {
    /// Asks the rules of a host.
    pub fn of(world: &World, chassis: &Name) -> Result<Self> {
        super::host::known(world, chassis)?;
        let host = Host::new(world, chassis);
        let mut flows = HashMap::new();
        let mut by_port = HashSet::new();
        for flow in host.flows() {
            if of_a_port(&flow) {
                by_port.insert(flow.cookie);
            } else {
                flows.insert((flow.table, flow.priority, flow.matching.clone()), flow);
            }
        }
        Ok(Self { chassis: chassis.clone(), host, flows, by_port })
    }

    /// What the rules say of a flow. `None`: there is no flow to compare, only a cookie.
    pub fn judge(&self, pasted: &Pasted) -> Option<Verdict> {
        let flow = pasted.flow.as_ref().filter(|_| pasted.says_cookie)?;
        let chassis = &self.chassis;
        let same = Verdict { same: true, text: format!("{chassis} should have exactly this flow") };
        if of_a_port(flow) {
            return Some(match self.by_port.contains(&flow.cookie) {
                true => Verdict {
                    same: true,
                    text: format!("{chassis} should have such a flow; the bridge's port only its switch knows"),
                },
                false => self.unwanted(),
            });
        }
        let Some(wanted) = self.flows.get(&(flow.table, flow.priority, flow.matching.clone())) else {
            return Some(self.unwanted());
        };
        let differs = match (wanted.cookie == flow.cookie, without_ports(wanted) == without_ports(flow)) {
            (true, true) => return Some(same),
            (false, true) => "another cookie",
            (_, false) => "other actions",
        };
        let text = format!(
            "{chassis} should have this flow with {differs}: {}: if the line is of {chassis}, it is behind the store, or its next audit puts it right",
            self.host.text(wanted)
        );
        Some(Verdict { same: false, text })
    }

    fn unwanted(&self) -> Verdict {
        let text = format!(
            "{chassis} should not have this flow: if the line is of {chassis}, it is behind the store, or somebody else put it there and the next audit \
             removes it",
            chassis = self.chassis
        );
        Verdict { same: false, text }
    }
}

fn of_a_port(flow: &Flow) -> bool {
    flow.matching.get(field::IN_PORT).is_some()
}

/// The actions, without the numbers of ports, which differ from switch to switch.
fn without_ports(flow: &Flow) -> Vec<Action> {
    let plain = |action: &Action| match action {
        Action::Output { port, .. } if *port <= port::MAX => Action::output(0),
        other => other.clone(),
    };
    flow.actions().iter().map(plain).collect()
}
