//! Rows of the tables of the `Open_vSwitch` database that we use, typed; meanings from ovs-vswitchd.conf.db(5).

use crate::config::TableMonitor;
use crate::datum::{Atom, Datum};
use crate::row::Row;
use crate::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A map from text to text, as `external_ids` and `options` are.
pub type StringMap = BTreeMap<Arc<str>, Arc<str>>;

/// Text of a column that may be unset.
type Optional = Option<Arc<str>>;

/// What a typed row must offer to be mirrored.
pub(crate) trait Mirrored: Default + Clone + PartialEq {
    /// Name of its table.
    const TABLE: &'static str;
    /// Its columns.
    const COLUMNS: &'static [&'static str];
    /// Takes a new value of a column; of an unknown column nothing.
    fn set(&mut self, column: &str, datum: &Datum);

    /// Takes several columns.
    fn set_all(&mut self, row: &Row) {
        for (column, datum) in row.iter() {
            self.set(column, datum);
        }
    }

    fn monitor() -> TableMonitor {
        let columns = Self::COLUMNS.iter().map(|column| (*column).to_owned()).collect();
        TableMonitor { table: Self::TABLE.into(), columns, condition: Vec::new() }
    }
}

/// The only row of table `Open_vSwitch`: the switch as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenVSwitch {
    /// Its bridges.
    pub bridges: BTreeSet<Uuid>,
    /// Its datapaths by type (`system`, `netdev`): rows of table `Datapath`, made by whoever uses their columns.
    pub datapaths: BTreeMap<Arc<str>, Uuid>,
    /// Of others' making; `system-id` names this host and `hostname` is its name.
    pub external_ids: StringMap,
    /// Settings of the switch as a whole, such as `flow-restore-wait`.
    pub other_config: StringMap,
    /// What [`Bridge::datapath_type`] may be, as this build reports it.
    pub datapath_types: BTreeSet<Arc<str>>,
    /// What [`Interface::kind`] may be, as this build reports it.
    pub iface_types: BTreeSet<Arc<str>>,
    /// Version of Open vSwitch, for example `3.1.0`. Written by its start script, not by ovs-vswitchd: may be unset.
    pub ovs_version: Optional,
    /// Version of the schema, for example `8.3.1`. Written by the start script, too.
    pub db_version: Optional,
    /// Clients add 1 to it with a change that they want to see carried out ...
    pub next_cfg: i64,
    /// ... which it is when ovs-vswitchd has set this as high.
    pub cur_cfg: i64,
}

/// A row of table `Bridge`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Its name, unique; its local port has the same. Never changes.
    pub name: Arc<str>,
    /// Its ports, the local port among them.
    pub ports: BTreeSet<Uuid>,
    /// What it does without a controller: `standalone` switches by MAC learning, `secure` only by flows it was given.
    /// Unset is
    /// `standalone`.
    pub fail_mode: Optional,
    /// Versions of OpenFlow that it speaks, for example `OpenFlow15`. None stands for the default of the build.
    pub protocols: BTreeSet<Arc<str>>,
    /// Kind of datapath: `system` (also as empty text) is the kernel's, `netdev` is in userspace.
    pub datapath_type: Arc<str>,
    /// OpenFlow datapath id in use, 16 hexadecimal digits; set by ovs-vswitchd once the bridge exists.
    pub datapath_id: Optional,
    /// Of others' making.
    pub external_ids: StringMap,
    /// Settings, such as `datapath-id`, `hwaddr`, `disable-in-band`.
    pub other_config: StringMap,
    /// Its OpenFlow controllers, rows of table `Controller`.
    pub controller: BTreeSet<Uuid>,
}

/// A row of table `Port`: one interface, or several that are bonded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique. Never changes.
    pub name: Arc<str>,
    /// Its interfaces, one unless it is a bond.
    pub interfaces: BTreeSet<Uuid>,
    /// For an access port, its VLAN, 0 to 4095.
    pub tag: Option<u16>,
    /// Of others' making.
    pub external_ids: StringMap,
}

/// A row of table `Interface`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name, unique; for a device of the system the device's. Never changes.
    pub name: Arc<str>,
    /// Column `type`: empty (or `system`) for a device of the system, `internal`, `tap`, `patch`, `geneve`, `vxlan`,
    /// `gre`, ...
    pub kind: Arc<str>,
    /// Settings by type, for example `remote_ip` and `key` of a tunnel or `peer` of a patch port.
    pub options: StringMap,
    /// Of others' making: `iface-id` names the virtual port that this interface is, `attached-mac` its MAC, `vm-id` its
    /// machine.
    pub external_ids: StringMap,
    /// Column `ofport` as it stands: unset before ovs-vswitchd saw it, -1 if it could not be made. See
    /// [`Interface::ofport`].
    pub ofport_raw: Option<i64>,
    /// Why it could not be made.
    pub error: Optional,
    /// `up` or `down`: whether the link has a carrier.
    pub link_state: Optional,
    /// `up` or `down`: whether the device is switched on.
    pub admin_state: Optional,
    /// Its MAC, six pairs of hexadecimal digits with colons.
    pub mac_in_use: Optional,
    /// Largest packet in bytes, if it has such a limit (tunnels have none).
    pub mtu: Option<i64>,
}

impl Interface {
    /// Its OpenFlow port number, once it has one.
    pub fn ofport(&self) -> Option<u32> {
        self.ofport_raw.and_then(|number| u32::try_from(number).ok())
    }

    /// The virtual port that this interface says it is: `external_ids:iface-id`.
    pub fn iface_id(&self) -> Option<&str> {
        self.external_ids.get("iface-id").map(|id| &**id)
    }

    /// Whether `link_state` is `up`.
    pub fn link_is_up(&self) -> bool {
        self.link_state.as_deref() == Some("up")
    }
}

fn text(datum: &Datum) -> Optional {
    match datum.one() {
        Some(Atom::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn integer(datum: &Datum) -> Option<i64> {
    datum.one().and_then(Atom::as_integer)
}

impl Mirrored for OpenVSwitch {
    const TABLE: &'static str = "Open_vSwitch";
    const COLUMNS: &'static [&'static str] = &[
        "bridges",
        "datapaths",
        "external_ids",
        "other_config",
        "datapath_types",
        "iface_types",
        "ovs_version",
        "db_version",
        "next_cfg",
        "cur_cfg",
    ];

    fn set(&mut self, column: &str, datum: &Datum) {
        match column {
            "bridges" => self.bridges = datum.uuids(),
            "datapaths" => {
                let Datum::Map(map) = datum else { return };
                let pair = |(key, value): (&Atom, &Atom)| Some((key.as_str()?.into(), value.as_uuid()?));
                self.datapaths = map.iter().filter_map(pair).collect();
            }
            "external_ids" => self.external_ids = datum.string_map(),
            "other_config" => self.other_config = datum.string_map(),
            "datapath_types" => self.datapath_types = datum.strings(),
            "iface_types" => self.iface_types = datum.strings(),
            "ovs_version" => self.ovs_version = text(datum),
            "db_version" => self.db_version = text(datum),
            "next_cfg" => self.next_cfg = integer(datum).unwrap_or_default(),
            "cur_cfg" => self.cur_cfg = integer(datum).unwrap_or_default(),
            _ => {}
        }
    }
}

impl Mirrored for Bridge {
    const TABLE: &'static str = "Bridge";
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "ports",
        "fail_mode",
        "protocols",
        "datapath_type",
        "datapath_id",
        "external_ids",
        "other_config",
        "controller",
    ];

    fn set(&mut self, column: &str, datum: &Datum) {
        match column {
            "name" => self.name = text(datum).unwrap_or_default(),
            "ports" => self.ports = datum.uuids(),
            "fail_mode" => self.fail_mode = text(datum),
            "protocols" => self.protocols = datum.strings(),
            "datapath_type" => self.datapath_type = text(datum).unwrap_or_default(),
            "datapath_id" => self.datapath_id = text(datum),
            "external_ids" => self.external_ids = datum.string_map(),
            "other_config" => self.other_config = datum.string_map(),
            "controller" => self.controller = datum.uuids(),
            _ => {}
        }
    }
}

impl Mirrored for Port {
    const TABLE: &'static str = "Port";
    const COLUMNS: &'static [&'static str] = &["name", "interfaces", "tag", "external_ids"];

    fn set(&mut self, column: &str, datum: &Datum) {
        match column {
            "name" => self.name = text(datum).unwrap_or_default(),
            "interfaces" => self.interfaces = datum.uuids(),
            "tag" => self.tag = integer(datum).and_then(|tag| u16::try_from(tag).ok()),
            "external_ids" => self.external_ids = datum.string_map(),
            _ => {}
        }
    }
}

impl Mirrored for Interface {
    const TABLE: &'static str = "Interface";
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "type",
        "options",
        "external_ids",
        "ofport",
        "error",
        "link_state",
        "admin_state",
        "mac_in_use",
        "mtu",
    ];

    fn set(&mut self, column: &str, datum: &Datum) {
        match column {
            "name" => self.name = text(datum).unwrap_or_default(),
            "type" => self.kind = text(datum).unwrap_or_default(),
            "options" => self.options = datum.string_map(),
            "external_ids" => self.external_ids = datum.string_map(),
            "ofport" => self.ofport_raw = integer(datum),
            "error" => self.error = text(datum),
            "link_state" => self.link_state = text(datum),
            "admin_state" => self.admin_state = text(datum),
            "mac_in_use" => self.mac_in_use = text(datum),
            "mtu" => self.mtu = integer(datum),
            _ => {}
        }
    }
}
