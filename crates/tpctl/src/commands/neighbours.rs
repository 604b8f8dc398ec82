//! Neighbours outside, as agents keep them: `status/<chassis>/neighbour/<ls>/<ip>`. What a host knows of them decides where its packets go.

use super::Context;
use serde_json::Value;
use std::net::IpAddr;
use tuplenet_model::{mac::Mac, name::Name};
use tuplenet_sim::network::Network;
use tuplenet_store::Kv;

/// Somebody in a physical network, as one host knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The host.
    pub chassis: Name,
    /// The switch that meets the physical network.
    pub ls: Name,
    pub ip: IpAddr,
    pub mac: Mac,
}

/// From the keys below `status/`; others, and what cannot be read, are passed over.
pub fn read(context: &Context, found: &[Kv]) -> Vec<Neighbour> {
    let one = |kv: &Kv| {
        let ["status", chassis, "neighbour", ls, ip] = context.store.path(&kv.key).split('/').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let value: Value = serde_json::from_slice(&kv.value).ok()?;
        let mac = value.get("mac")?.as_str()?.parse().ok()?;
        Some(Neighbour { chassis: chassis.parse().ok()?, ls: ls.parse().ok()?, ip: ip.parse().ok()?, mac })
    };
    found.iter().filter_map(one).collect()
}

/// Simulated hosts know them, too.
pub fn teach(network: &mut Network, all: &[Neighbour]) {
    for Neighbour { chassis, ls, ip, mac } in all {
        network.learn(chassis, ls, *ip, Some(*mac));
    }
}
