//! What is written on a node or an edge: the same words in text, DOT and SVG.

use super::picture::{Edge, Fault, Host, Life, Line, Node, Picture, Route, Sum, What};
use crate::print::{count, printable};
use std::collections::BTreeMap;
use tuplenet_model::{
    entity::{Encap, EncapKind},
    name::Name,
};

/// How many hosts, ports, routes or faults of one thing are named.
pub const NAMED: usize = 3;

/// How to feel about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

/// A line on a node.
pub type Said = (Tone, String);

impl Node {
    /// What it is, as a word before its name; empty where the name says it.
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::Switch { .. } => "switch",
            What::Router { .. } => "router",
            What::Chassis(_) => "chassis",
            What::Mesh { .. } | What::Many => "",
        }
    }

    /// `switch web`
    pub fn full_name(&self) -> String {
        format!("{} {}", self.kind(), self.name).trim_start().to_owned()
    }

    /// How it is, in one tone.
    pub fn tone(&self) -> Tone {
        match &self.what {
            _ if self.rejected => Tone::Bad,
            What::Chassis(Host { life: Life::Alive, .. }) => Tone::Good,
            What::Chassis(Host { life: Life::Silent, .. }) => Tone::Warn,
            What::Router { pinned: Some((_, Life::Silent)) } => Tone::Warn,
            What::Router { pinned: Some((_, Life::Unregistered)) } => Tone::Warn,
            _ => Tone::Plain,
        }
    }

    /// What there is to know, faults left out.
    pub fn lines(&self) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::new();
        let mut plain = |text: String| said.push((Tone::Plain, text));
        match &self.what {
            What::Switch { ports, hosts } => plain(ports_of(*ports, hosts.as_ref())),
            What::Router { pinned: None } => plain("distributed".to_owned()),
            What::Router { pinned: Some((chassis, life)) } => match life {
                Life::Alive | Life::Unknown => plain(format!("pinned to {chassis}")),
                Life::Silent => said.push((Tone::Warn, format!("pinned to {chassis} (silent)"))),
                Life::Unregistered => said.push((Tone::Warn, format!("pinned to {chassis} (not registered)"))),
            },
            What::Chassis(host) => said.extend(host.head()),
            What::Mesh { chassis, kinds, datapaths } => {
                let tunnels = chassis * chassis.saturating_sub(1) / 2;
                plain(format!(
                    "{chassis} chassis, {} ({})",
                    count(tunnels, "tunnel", "tunnels"),
                    kinds_words(kinds).join(", ")
                ));
                plain(format!("share {}", some(datapaths, NAMED)));
            }
            What::Many => {}
        }
        if let Some(sum) = &self.inside {
            said.extend(sum.lines(matches!(self.what, What::Many)));
        }
        if self.beyond > 0 {
            said.push((Tone::Plain, count(self.beyond, "more link", "more links")));
        }
        said
    }

    /// What a chassis hosts: at most so many switches, and ports of each, are named.
    pub fn details(&self, most: usize) -> Vec<String> {
        if let What::Chassis(host) = &self.what { host.details(most) } else { Vec::new() }
    }

    /// Routes that lead out of the drawing.
    pub fn routes_beyond(&self) -> Vec<String> {
        let words = |(route, to): &(Route, String)| format!("{} ╌▶ {to} (not drawn)", route.words());
        self.routes_beyond.iter().map(words).collect()
    }

    /// What is wrong, each with what it is about unless that is the node itself.
    pub fn wrong(&self) -> Vec<String> {
        self.faults.iter().map(|fault| fault.words(&self.id)).collect()
    }
}

impl Fault {
    /// The reason, and before it the object unless that is `of`.
    pub fn words(&self, of: &str) -> String {
        let text = match self.key.strip_prefix(of) {
            Some("") => self.reason.clone(),
            Some(rest) => {
                let rest = rest.trim_start_matches("/lsp/").trim_start_matches("/lrp/").trim_start_matches("/lsr/");
                format!("{rest}: {}", self.reason)
            }
            None => format!("{}: {}", self.key, self.reason),
        };
        printable(&text)
    }
}

impl Host {
    fn head(&self) -> Vec<Said> {
        let mut said = vec![match self.life {
            Life::Alive => (Tone::Good, "alive".to_owned()),
            Life::Silent => (Tone::Warn, "silent".to_owned()),
            Life::Unregistered => (Tone::Bad, "not registered".to_owned()),
            Life::Unknown => (Tone::Plain, "not known".to_owned()),
        }];
        let mut plain = |text: String| said.push((Tone::Plain, text));
        if !self.encaps.is_empty() {
            plain(some(&self.encaps.iter().map(encap_words).collect::<Vec<_>>(), NAMED));
        }
        if !self.roles.is_empty() {
            plain(format!("roles: {}", printable(&some(&self.roles, NAMED))));
        }
        plain(count_or_no(self.count(), "port", "ports"));
        said
    }

    fn details(&self, most: usize) -> Vec<String> {
        let mut ports: Vec<(&Name, &Vec<Name>)> = self.ports.iter().collect();
        ports.sort_by(|a, b| super::order::natural(a.0, b.0));
        // One more is as short as saying that there is one more.
        let shown = if ports.len() <= most.saturating_add(1) { ports.len() } else { most };
        let mut said: Vec<String> =
            ports.iter().take(shown).map(|(ls, ports)| format!("{ls}: {}", some(ports, most))).collect();
        if let more @ 1.. = ports.len().saturating_sub(shown) {
            let rest: usize = ports.iter().skip(shown).map(|(_, ports)| ports.len()).sum();
            said.push(format!("{} of {}", count(rest, "port", "ports"), count(more, "more switch", "more switches")));
        }
        if !self.routers.is_empty() {
            let word = if self.routers.len() == 1 { "router" } else { "routers" };
            said.push(format!("{word}: {}", some(&self.routers, most)));
        }
        said
    }
}

impl Sum {
    /// The most telling number.
    pub fn heading(&self) -> String {
        match (self.routers, self.switches, self.chassis) {
            (0, 0, chassis) => format!("{chassis} chassis"),
            (0, switches, _) => count(switches, "switch", "switches"),
            (routers, 0, _) => count(routers, "router", "routers"),
            (routers, switches, _) => {
                format!("{}, {}", count(routers, "router", "routers"), count(switches, "switch", "switches"))
            }
        }
    }

    fn lines(&self, alone: bool) -> Vec<Said> {
        let mut said = Vec::new();
        let mut parts = Vec::new();
        parts.extend((!alone).then(|| format!("and {}", self.heading())));
        parts.extend((self.chassis > 0).then(|| "alive".to_owned()));
        parts.extend((self.switches + self.chassis > 0).then(|| count_or_no(self.ports, "port", "ports")));
        if !parts.is_empty() {
            said.push((Tone::Plain, parts.join(", ")));
        }
        if let Some((first, last)) = &self.names {
            said.push((Tone::Plain, format!("{first} … {last}")));
        }
        if self.faults > 0 {
            said.push((Tone::Bad, format!("{} set aside", count(self.faults, "object", "objects"))));
        }
        said
    }
}

impl Route {
    /// `0.0.0.0/0 via 100.64.0.2`, and of several `(one of 2, BFD up at 3)`
    pub fn words(&self) -> String {
        let Self { prefix, next_hop, of, state, .. } = self;
        let state = state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
        let which = if *of > 1 { format!(" (one of {of}{state})") } else { String::new() };
        format!("{prefix} via {next_hop}{which}")
    }
}

impl Edge {
    /// What is written on it: a line each.
    pub fn lines(&self, picture: &Picture) -> Vec<String> {
        let joined = |end: usize| picture.nodes.get(end).and_then(|node| node.inside.as_ref()).map(|sum| sum.joined);
        let several = self.count > 1;
        match &self.what {
            Line::Member => Vec::new(),
            Line::Link { .. } if several => {
                match [self.from, self.to].iter().any(|end| joined(*end) == Some(self.count)) {
                    true => Vec::new(),
                    false => vec![count(self.count, "link", "links")],
                }
            }
            Line::Tunnel { .. } if several => vec![count(self.count, "tunnel", "tunnels")],
            Line::Link { nets, .. } => nets.clone(),
            Line::Routes(routes) => {
                let mut lines: Vec<String> = routes.iter().take(NAMED).map(Route::words).collect();
                if let more @ 1.. = routes.len().saturating_sub(NAMED) {
                    lines.push(format!("and {}", count(more, "more route", "more routes")));
                }
                lines
            }
            Line::Tunnel { kinds, bfd, .. } => {
                let mut lines = kinds_words(kinds);
                lines.extend(bfd.iter().map(|state| format!("BFD {state}")));
                lines
            }
        }
    }

    /// What is wrong with it.
    pub fn wrong(&self) -> Vec<String> {
        self.faults.iter().map(|fault| fault.words("")).collect()
    }
}

/// Who has how many ports of a switch, those with the most first.
fn ports_of(ports: usize, hosts: Option<&BTreeMap<Name, usize>>) -> String {
    let mut text = count_or_no(ports, "port", "ports");
    let Some(hosts) = hosts.filter(|_| ports > 0) else { return text };
    let lost = ports.saturating_sub(hosts.values().sum());
    if hosts.is_empty() {
        return format!("{text}, on no host");
    }
    if hosts.len() > NAMED + 1 {
        text.push_str(&format!(" on {} hosts", hosts.len()));
        if lost > 0 {
            text.push_str(&format!(", {lost} on none"));
        }
        return text;
    }
    let mut most: Vec<(&Name, &usize)> = hosts.iter().collect();
    most.sort_by(|a, b| b.1.cmp(a.1).then_with(|| super::order::natural(a.0, b.0)));
    let mut parts: Vec<String> = most.iter().map(|(host, number)| format!("{host} {number}")).collect();
    parts.extend((lost > 0).then(|| format!("no host {lost}")));
    text.push_str(": ");
    text.push_str(&parts.join(", "));
    text
}

/// The first of them, and how many more there are.
pub fn some<T: ToString>(all: &[T], most: usize) -> String {
    // One more is as short as "and 1 more".
    let shown = if all.len() <= most.saturating_add(1) { all.len() } else { most };
    let text = all.iter().take(shown).map(T::to_string).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(shown) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn count_or_no(number: usize, one: &str, many: &str) -> String {
    if number == 0 { format!("no {many}") } else { count(number, one, many) }
}

fn encap_words(encap: &Encap) -> String {
    format!("{} {}", kind_word(encap.kind), encap.ip)
}

fn kind_word(kind: EncapKind) -> &'static str {
    match kind {
        EncapKind::Geneve => "geneve",
        EncapKind::Vxlan => "vxlan",
        EncapKind::Gre => "gre",
    }
}

/// Tunnel protocols as text.
pub fn kinds_words(kinds: &[EncapKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind_word(*kind).to_owned()).collect()
}

/// Text of at most so many characters, with the end cut off.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
