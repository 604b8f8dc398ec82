//! What the rules were told of the database, and what they are to be told as it changes: interfaces that ask for switch ports, tunnel ports, patch ports, MTUs of other bridges.

use super::{
    bfd, mark, patch,
    tables::{CLAIM, IFACE_ID, Tables},
    tunnel::{self, tunnel_name},
    uplink,
    wanted::{End, Wanted},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_ovsdb::{Row, Uuid};
use tuplenet_rules::{Change, LocalInterface, LocalPatch};

/// How long the rules still know a port that watched, after the database has it no more.
const GOING: Duration = Duration::from_secs(1);

/// What the rules were told. See the module.
#[derive(Debug, Default)]
pub struct Told {
    interfaces: HashMap<Uuid, LocalInterface>,
    /// The flow-based tunnel ports.
    tunnels: BTreeMap<EncapKind, u32>,
    /// The pairs of patch Interfaces that are whole.
    patches: BTreeMap<String, LocalPatch>,
    /// How long packets may be that leave by other bridges.
    mtus: BTreeMap<String, u32>,
    /// The ports that watch.
    watching: BTreeMap<End, u32>,
    /// Of those the ones that the database has no more, and until when the rules are not told: Open vSwitch hears of it when we do, and what comes in by the port until it has taken
    /// it away needs its flow.
    going: BTreeMap<End, Instant>,
}

impl Told {
    /// How many interfaces ask for a switch port.
    pub fn interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// The pairs of patch Interfaces that are whole.
    pub fn patches(&self) -> &BTreeMap<String, LocalPatch> {
        &self.patches
    }

    /// How many ports that watched went, and the rules still know them.
    pub fn going(&self) -> usize {
        self.going.len()
    }

    /// Until when the rules know the ports that went, each.
    pub fn go_at(&self) -> impl Iterator<Item = Instant> {
        self.going.values().copied()
    }

    /// An interface changed, or is gone.
    pub fn interface(&mut self, tables: &Tables, uuid: Uuid) -> Option<Change> {
        let interface = tables.member(uuid).and_then(|row| local(row, self.interfaces.contains_key(&uuid)));
        if self.interfaces.get(&uuid) == interface.as_ref() {
            return None;
        }
        match &interface {
            Some(new) => drop(self.interfaces.insert(uuid, new.clone())),
            None => drop(self.interfaces.remove(&uuid)),
        }
        Some(Change::Interface { id: uuid.0, interface })
    }

    /// Flow-based tunnel ports may have changed.
    pub fn tunnels(&mut self, tables: &Tables, wanted: &Wanted) -> Vec<Change> {
        let port = |kind: EncapKind| {
            let ours =
                |row: &Row| row.string("name") == Some(tunnel_name(kind).as_str()) && tunnel::is_flow_tunnel(row, kind);
            let number = tables.members().find(|(_, row)| ours(row)).and_then(|(_, row)| row.integer("ofport"));
            Some((kind, number.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)?))
        };
        let there = wanted.encaps.iter().filter_map(|kind| port(*kind)).collect();
        replace(&mut self.tunnels, there, |kind, ofport| Change::Tunnel {
            kind: *kind,
            remote: None,
            ofport: ofport.copied(),
        })
    }

    /// Ports that watch may have changed, or should, or went a while ago.
    pub fn watches(
        &mut self,
        tables: &Tables,
        ours: &Wanted,
        watches: Option<&BTreeMap<End, Name>>,
        now: Instant,
    ) -> Vec<Change> {
        let mut there = bfd::numbers(tables, ours, watches);
        self.going.retain(|end, _| !there.contains_key(end));
        // What comes in by a number that another port has now is of that one's end.
        let taken: BTreeSet<u32> = there.values().copied().collect();
        for (end, number) in self.watching.iter().filter(|(_, number)| !taken.contains(number)) {
            if !there.contains_key(end) && now < *self.going.entry(*end).or_insert(now + GOING) {
                there.insert(*end, *number);
            }
        }
        self.going.retain(|end, _| there.contains_key(end));
        replace(&mut self.watching, there, |(kind, ip), ofport| Change::Tunnel {
            kind: *kind,
            remote: Some(*ip),
            ofport: ofport.copied(),
        })
    }

    /// Pairs of patch Interfaces may have changed.
    pub fn patch_ports(&mut self, tables: &Tables, bridge: &str) -> Vec<Change> {
        let there = patch::whole(tables, bridge);
        replace(&mut self.patches, there, |name, patch| Change::Patch { name: name.clone(), patch: patch.cloned() })
    }

    /// Other bridges may have changed.
    pub fn mtus(&mut self, tables: &Tables, bridge: &str) -> Vec<Change> {
        let there = uplink::mtus(tables, bridge);
        replace(&mut self.mtus, there, |name, mtu| Change::Bridge { name: name.clone(), mtu: mtu.copied() })
    }
}

/// What the rules should know of an interface of our bridge. One that they `knew` keeps its claim while the switch comes back.
fn local(row: &Row, knew: bool) -> Option<LocalInterface> {
    let iface_id = Tables::pair(row, "external_ids", IFACE_ID).filter(|id| !id.is_empty())?;
    let ofport = match row.integer("ofport") {
        Some(n) => u32::try_from(n).ok().filter(|n| (1..tuplenet_openflow::port::MAX).contains(n))?,
        // An interface claims its port when the switch has it.
        None if knew => 0,
        None => return None,
    };
    Some(LocalInterface {
        name: row.string("name").unwrap_or_default().to_owned(),
        iface_id: iface_id.to_owned(),
        ofport,
        claim: Tables::pair(row, "external_ids", CLAIM).and_then(mark::parse),
    })
}

/// Puts what is there in place of what was told; gives first what is gone, then what is new or other than before.
fn replace<K: Ord, V: PartialEq>(
    told: &mut BTreeMap<K, V>,
    there: BTreeMap<K, V>,
    change: impl Fn(&K, Option<&V>) -> Change,
) -> Vec<Change> {
    let gone = told.keys().filter(|key| !there.contains_key(*key)).map(|key| change(key, None));
    let new = there.iter().filter(|(key, value)| told.get(*key) != Some(*value));
    let changes = gone.chain(new.map(|(key, value)| change(key, Some(value)))).collect();
    *told = there;
    changes
}
