//! Whether a physical bridge has a network card with a link.

use super::tables::Tables;
use std::collections::BTreeSet;
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

/// Guests may be on the bridge as well: their Interfaces say so, or are of the kernel's driver for them.
fn is_card(row: &Row) -> bool {
    let guest = ["iface-id", "attached-mac", "vm-id"].iter().any(|id| Tables::pair(row, "external_ids", id).is_some());
    let tap = Tables::pair(row, "status", "driver_name") == Some("tun");
    !guest && !tap && !VIRTUAL.contains(&row.string("type").unwrap_or_default())
}

/// What is wrong with a bridge as an uplink. One that never had a card is well: its host may route between the bridge's own port and the world. `carded` are the
/// bridges that had one.
pub fn state(tables: &Tables, bridge: &str, carded: &mut BTreeSet<String>) -> Result<(), String> {
    let Some((_, row)) = tables.bridge(bridge) else { return Err(format!("{bridge}: there is no such bridge")) };
    let interfaces = tables.ports(row).into_iter().flat_map(|(_, port)| port.uuids("interfaces"));
    let cards: Vec<&Row> = interfaces.filter_map(|uuid| tables.interface(uuid)).filter(|row| is_card(row)).collect();
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
