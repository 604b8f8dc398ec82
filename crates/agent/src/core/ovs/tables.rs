//! The rows of Open vSwitch's database that matter to us, kept up to date by the monitor, and who is on our bridge.

use super::wanted::export::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_ovsdb::{Change, Row, TableMonitor, Update, Uuid};

/// Where people and tools write which switch port an interface is.
pub const IFACE_ID: &str = "iface-id";
/// Where we write what an interface claimed: `switch/port:generation`.
pub const CLAIM: &str = "tuplenet-claim";
/// On what we made, so that we remove nothing else.
pub const MANAGED: &str = "tuplenet-managed";
/// On a tunnel port that watches an end point: whose that is.
pub const WATCH: &str = "tuplenet-watch";

const ROOT: &str = "Open_vSwitch";
const BRIDGE: &str = "Bridge";
const PORT: &str = "Port";
const INTERFACE: &str = "Interface";
const IPFIX: &str = "IPFIX";
const SFLOW: &str = "sFlow";

/// What to monitor. No statistics: those change all the time and mean nothing to us.
pub fn monitor() -> Vec<TableMonitor> {
    [
        (ROOT, &["bridges", "external_ids", "datapath_types", "ovs_version"][..]),
        (
            BRIDGE,
            &[
                "name",
                "ports",
                "fail_mode",
                "protocols",
                "datapath_type",
                "external_ids",
                "other_config",
                "ipfix",
                "sflow",
            ],
        ),
        (PORT, &["name", "interfaces", "external_ids"]),
        (
            INTERFACE,
            &[
                "name",
                "type",
                "options",
                "external_ids",
                "ofport",
                "ofport_request",
                "mtu",
                "error",
                "link_state",
                "status",
                "bfd",
                "bfd_status",
                "mac",
                "ifindex",
            ],
        ),
        (
            IPFIX,
            &[
                "targets",
                "sampling",
                "obs_domain_id",
                "obs_point_id",
                "cache_active_timeout",
                "cache_max_flows",
                "other_config",
                "external_ids",
            ],
        ),
        (SFLOW, &["targets", "sampling", "polling", "header", "agent", "external_ids"]),
    ]
    .into_iter()
    .map(|(table, columns)| TableMonitor {
        table: table.into(),
        columns: columns.iter().map(|c| (*c).into()).collect(),
        condition: Vec::new(),
    })
    .collect()
}

/// The rows. See the module.
#[derive(Debug, Default)]
pub struct Tables {
    roots: BTreeMap<Uuid, Row>,
    bridges: BTreeMap<Uuid, Row>,
    ports: BTreeMap<Uuid, Row>,
    interfaces: BTreeMap<Uuid, Row>,
    ipfix: BTreeMap<Uuid, Row>,
    sflow: BTreeMap<Uuid, Row>,
    /// Interfaces on our bridge.
    members: BTreeSet<Uuid>,
}

/// What an update touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Interfaces that changed, came to our bridge or left it.
    pub interfaces: BTreeSet<Uuid>,
    /// Whether anything but interfaces' own columns changed.
    pub structure: bool,
    /// Whether a BFD session says something new, of an interface that may not have changed otherwise.
    pub sessions: bool,
}

impl Tables {
    /// Takes an update in. `bridge` is the name of our bridge.
    pub fn apply(&mut self, update: Update, bridge: &str) -> Touched {
        let mut touched = Touched::default();
        if update.initial {
            touched.structure = true;
            touched.interfaces.extend(self.interfaces.keys());
            let members = std::mem::take(&mut self.members);
            *self = Self { members, ..Self::default() };
        }
        for row in update.rows {
            let table = match &*row.table {
                ROOT => &mut self.roots,
                BRIDGE => &mut self.bridges,
                PORT => &mut self.ports,
                INTERFACE => &mut self.interfaces,
                IPFIX => &mut self.ipfix,
                SFLOW => &mut self.sflow,
                _ => continue,
            };
            let said =
                |change: &Change| matches!(change, Change::Modify(new) if new.0.keys().all(|c| **c == *"bfd_status"));
            if &*row.table == INTERFACE && said(&row.change) {
                touched.sessions = true;
            } else if &*row.table == INTERFACE {
                touched.interfaces.insert(row.uuid);
            } else {
                touched.structure = true;
            }
            match row.change {
                Change::Insert(new) => drop(table.insert(row.uuid, new)),
                Change::Modify(new) => table.entry(row.uuid).or_default().0.extend(new.0),
                Change::Delete => drop(table.remove(&row.uuid)),
            }
        }
        if touched.structure {
            let members = self.find_members(bridge);
            touched.interfaces.extend(self.members.symmetric_difference(&members));
            self.members = members;
        }
        touched
    }

    fn find_members(&self, bridge: &str) -> BTreeSet<Uuid> {
        let ports = self.bridge(bridge).map(|(_, row)| row.uuids("ports")).unwrap_or_default();
        ports.iter().filter_map(|p| self.ports.get(p)).flat_map(|p| p.uuids("interfaces")).collect()
    }

    /// The one row of the whole switch.
    pub fn root(&self) -> Option<(Uuid, &Row)> {
        self.roots.iter().next().map(|(uuid, row)| (*uuid, row))
    }
    /// The bridge of that name.
    pub fn bridge(&self, name: &str) -> Option<(Uuid, &Row)> {
        self.bridges.iter().find(|(_, row)| row.string("name") == Some(name)).map(|(uuid, row)| (*uuid, row))
    }
    /// All bridges: name, row.
    pub fn bridges(&self) -> impl Iterator<Item = (&str, Uuid, &Row)> {
        self.bridges.iter().filter_map(|(uuid, row)| Some((row.string("name")?, *uuid, row)))
    }
    /// The port of that name, wherever it is.
    pub fn port_named(&self, name: &str) -> Option<(Uuid, &Row)> {
        self.ports.iter().find(|(_, row)| row.string("name") == Some(name)).map(|(uuid, row)| (*uuid, row))
    }
    /// Ports of a bridge.
    pub fn ports<'a>(&'a self, bridge: &Row) -> Vec<(Uuid, &'a Row)> {
        bridge.uuids("ports").into_iter().filter_map(|uuid| Some((uuid, self.ports.get(&uuid)?))).collect()
    }
    /// An interface, wherever it is.
    pub fn interface(&self, uuid: Uuid) -> Option<&Row> {
        self.interfaces.get(&uuid)
    }
    /// An interface, if it is on our bridge.
    pub fn member(&self, uuid: Uuid) -> Option<&Row> {
        self.interfaces.get(&uuid).filter(|_| self.members.contains(&uuid))
    }
    /// All interfaces of our bridge.
    pub fn members(&self) -> impl Iterator<Item = (Uuid, &Row)> {
        self.members.iter().filter_map(|uuid| Some((*uuid, self.interfaces.get(uuid)?)))
    }
    /// The interface of that name, wherever it is. Names are unique in the database.
    pub fn interface_named(&self, name: &str) -> Option<(Uuid, &Row)> {
        self.interfaces.iter().find(|(_, row)| row.string("name") == Some(name)).map(|(uuid, row)| (*uuid, row))
    }
    /// A row that a bridge exports by.
    pub fn export(&self, protocol: Protocol, uuid: Uuid) -> Option<&Row> {
        match protocol {
            Protocol::Ipfix => self.ipfix.get(&uuid),
            Protocol::Sflow => self.sflow.get(&uuid),
        }
    }
    /// The name of the bridge that an interface is on.
    pub fn bridge_of(&self, interface: Uuid) -> Option<&str> {
        let (port, _) = self.ports.iter().find(|(_, row)| row.uuids("interfaces").contains(&interface))?;
        self.bridges.values().find(|row| row.uuids("ports").contains(port))?.string("name")
    }
    /// A value of a map column.
    pub fn pair<'a>(row: &'a Row, column: &str, key: &str) -> Option<&'a str> {
        let tuplenet_ovsdb::Datum::Map(map) = row.get(column)? else { return None };
        map.get(&tuplenet_ovsdb::Atom::from(key)).and_then(tuplenet_ovsdb::Atom::as_str)
    }
    /// The name that Open vSwitch gives this host.
    pub fn system_id(&self) -> Option<&str> {
        self.root().and_then(|(_, root)| Self::pair(root, "external_ids", "system-id")).filter(|id| !id.is_empty())
    }
}
