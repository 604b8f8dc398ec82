//! The network cards of physical bridges: whether there is one with a link, and how long packets may be that leave by them.

use super::tables::{IFACE_ID, Tables};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_ovsdb::Row;

/// Types of Interfaces that lead to no wire: Open vSwitch's own devices and tunnels (ovs-vswitchd.conf.db(5), table Interface, `type`).
const VIRTUAL: [&str; 14] = [
    "patch",
    "internal",
    "geneve",
    "vxlan",
    "gre",
    "ip6gre",
    "erspan",
    "ip6erspan",
    "stt",
    "lisp",
    "gtpu",
    "bareudp",
    "srv6",
    "null",
];

/// Guests may be on the bridge as well, by which nothing goes outside: their Interfaces say so (libvirt and others write it), or are of the kernel's driver for them.
fn is_card(row: &Row) -> bool {
    let guest = [IFACE_ID, "attached-mac", "vm-id"].iter().any(|id| Tables::pair(row, "external_ids", id).is_some());
    let tap = Tables::pair(row, "status", "driver_name") == Some("tun");
    !guest && !tap && !VIRTUAL.contains(&row.string("type").unwrap_or_default())
}

fn cards<'a>(tables: &'a Tables, bridge: &Row) -> Vec<&'a Row> {
    let interfaces = tables.ports(bridge).into_iter().flat_map(|(_, port)| port.uuids("interfaces"));
    interfaces.filter_map(|uuid| tables.interface(uuid)).filter(|row| is_card(row)).collect()
}

/// The largest IP packet that gets out of each bridge but ours: the least MTU of its network cards, as Open vSwitch has it of the bridge's own port. A bridge without any
/// has none.
pub fn mtus(tables: &Tables, ours: &str) -> BTreeMap<String, u32> {
    let mtu = |row: &Row| u32::try_from(row.integer("mtu")?).ok();
    let others = tables.bridges().filter(|(name, ..)| *name != ours);
    let least = |row| cards(tables, row).into_iter().filter_map(mtu).min();
    others.filter_map(|(name, _, row)| Some((name.to_owned(), least(row)?))).collect()
}

/// What is wrong with a bridge as an uplink. One that never had a card is well: its host may route between the bridge's own port and the world. `carded` are the
/// bridges that had one.
pub fn state(tables: &Tables, bridge: &str, carded: &mut BTreeSet<String>) -> Result<(), String> {
    let Some((_, row)) = tables.bridge(bridge) else { return Err(format!("{bridge}: there is no such bridge")) };
    let cards = cards(tables, row);
    if cards.is_empty() {
        return match carded.contains(bridge) {
            true => Err(format!("{bridge}: it has lost its network card")),
            false => Ok(()),
        };
    }
    carded.insert(bridge.to_owned());
    if cards.iter().any(|row| row.string("link_state") == Some("up")) {
        return Ok(());
    }
    let names: Vec<&str> = cards.iter().filter_map(|row| row.string("name")).collect();
    Err(format!("{bridge}: no link at {}", names.join(", ")))
}
