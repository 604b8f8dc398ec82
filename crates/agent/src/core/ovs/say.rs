//! What the log is told of interfaces, tunnel ports, exports and patch ports: each thing once, until it changes.

use super::{
    export, patch,
    tables::{IFACE_ID, Tables},
    tunnel::{self, tunnel_name},
    wanted::Wanted,
};
use crate::core::{Effect, Level};
use std::collections::{BTreeMap, HashMap};
use tuplenet_model::entity::EncapKind;
use tuplenet_ovsdb::Uuid;
use tuplenet_rules::{LocalPatch, PatchPair};

/// What was said last.
#[derive(Debug, Default)]
pub struct Said {
    interfaces: HashMap<Uuid, String>,
    /// Tunnel ports that were found on other bridges.
    elsewhere: Vec<(EncapKind, String)>,
    /// What keeps exports from being made.
    exports: Vec<String>,
    pairs: BTreeMap<String, String>,
}

impl Said {
    /// Says that an interface has no port in the switch, and that it has one again.
    pub fn of_interface(&mut self, tables: &Tables, uuid: Uuid, effects: &mut Vec<Effect>) {
        let complaint = tables.member(uuid).and_then(|row| {
            let name = row.string("name").unwrap_or_default();
            if patch::concerns(name) {
                return None; // an end waits for the other: what keeps that away is said of the patch port
            }
            let reason = match (row.string("error"), row.integer("ofport")) {
                (Some(error), _) if !error.is_empty() => error.to_owned(),
                (_, Some(-1)) => "Open vSwitch could not open it".to_owned(),
                _ => return None,
            };
            let role = match Tables::pair(row, "external_ids", IFACE_ID) {
                Some(id) => format!(" (iface-id {id})"),
                None => String::new(),
            };
            Some(format!("the interface {name}{role} has no port in the switch: {reason}"))
        });
        match complaint {
            Some(text) => {
                if self.interfaces.get(&uuid) != Some(&text) {
                    effects.push(Effect::Say(Level::Error, text.clone()));
                    self.interfaces.insert(uuid, text);
                }
            }
            None => {
                if self.interfaces.remove(&uuid).is_some()
                    && let Some(name) = tables.member(uuid).and_then(|row| row.string("name"))
                {
                    effects.push(Effect::Say(Level::Info, format!("the interface {name} is well again")));
                }
            }
        }
    }

    /// Says which tunnel ports another bridge has: without them nothing reaches other hosts.
    pub fn of_tunnels(&mut self, tables: &Tables, wanted: &Wanted, effects: &mut Vec<Effect>) {
        let elsewhere = tunnel::tunnels_elsewhere(tables, wanted);
        let ours = &wanted.bridge;
        for (kind, other) in elsewhere.iter().filter(|tunnel| !self.elsewhere.contains(tunnel)) {
            let text = format!(
                "{ours} gets no tunnel port {}: the bridge {other} has it. One agent a host and Open vSwitch is supported: end the one of {other} \
                 and take away what it made (tuplenet agent --cleanup --bridge {other}), or end this one",
                tunnel_name(*kind)
            );
            effects.push(Effect::Say(Level::Error, text));
        }
        self.elsewhere = elsewhere;
    }

    /// Says which export cannot be made.
    pub fn of_exports(&mut self, tables: &Tables, wanted: &Wanted, effects: &mut Vec<Effect>) {
        let hindered = export::hindrances(tables, wanted);
        let new = hindered.iter().filter(|text| !self.exports.contains(text));
        effects.extend(new.map(|text| Effect::Say(Level::Warn, text.clone())));
        self.exports = hindered;
    }

    /// Says which patch ports work, and what keeps the others from it. Of `pairs` those that are wanted, and those that are whole.
    pub fn of_pairs(
        &mut self,
        tables: &Tables,
        wanted: &Wanted,
        (pairs, whole): (&BTreeMap<String, PatchPair>, &BTreeMap<String, LocalPatch>),
        effects: &mut Vec<Effect>,
    ) {
        self.pairs.retain(|name, _| pairs.contains_key(name));
        for (name, pair) in pairs {
            let works = whole.get(name).is_some_and(|patch| patch.bridge == pair.bridge);
            let (level, text) = if works {
                let vlan = pair.vlan.map_or_else(|| "untagged".into(), |vlan| format!("VLAN {vlan}"));
                (Level::Info, format!("patch port {}/{}: joined to {} ({vlan})", pair.ls, pair.lsp, pair.bridge))
            } else {
                // A pair that is being made is not worth a word before it is there.
                let Some(text) = patch::hindrance(tables, wanted, pair) else { continue };
                (Level::Warn, text)
            };
            if self.pairs.get(name) != Some(&text) {
                effects.push(Effect::Say(level, text.clone()));
                self.pairs.insert(name.clone(), text);
            }
        }
    }
}
