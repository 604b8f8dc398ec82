//! How long packets may be, for people: what tunnels carry, what was set for switches, and what of it does not go together.

use super::Context;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{
    entity::Chassis,
    key::Key,
    mtu::{LEAST, overhead},
    name::Name,
    object::Object,
};
use tuplenet_store::Kv;

/// What the store says about lengths.
#[derive(Default)]
pub struct Mtus {
    chassis: BTreeMap<Name, Chassis>,
    /// What was set for a switch.
    set: BTreeMap<Name, u16>,
    /// The hosts of a switch's ports.
    hosts: BTreeMap<Name, BTreeSet<Name>>,
}

impl Mtus {
    /// From all objects.
    pub fn read(context: &Context, found: &[Kv]) -> Self {
        let mut all = Self::default();
        for kv in found {
            let Ok(Some(key)) = Key::parse(context.store.path(&kv.key)) else { continue };
            let concerns = matches!(key, Key::Chassis(_) | Key::Ls(_) | Key::Binding(..));
            let Some(Ok(object)) = concerns.then(|| Object::parse(&key, &kv.value)) else { continue };
            match (key, object) {
                (Key::Chassis(name), Object::Chassis(chassis)) => drop(all.chassis.insert(name, chassis)),
                (Key::Ls(name), Object::Ls(switch)) => all.set.extend(switch.mtu.map(|mtu| (name, mtu))),
                (Key::Binding(ls, _), Object::Binding(binding)) => {
                    all.hosts.entry(ls).or_default().insert(binding.chassis);
                }
                _ => {}
            }
        }
        all
    }

    /// The underlay's MTU of a host, and what its tunnels carry.
    pub fn of(&self, chassis: &str) -> Option<(u32, u32)> {
        let chassis = self.chassis.get(chassis)?;
        Some((chassis.mtu?, chassis.carries()?))
    }

    /// The host whose tunnels carry least, and how much.
    fn least<'a>(&'a self, hosts: impl Iterator<Item = &'a Name>) -> Option<(&'a Name, u32)> {
        hosts.filter_map(|name| Some((name, self.chassis.get(name)?.carries()?))).min_by_key(|(_, carries)| *carries)
    }

    /// The same in a line, with what was set; `None` if nobody says.
    pub fn line(&self) -> Option<String> {
        let set: Vec<String> = self.set.iter().map(|(ls, mtu)| format!("{ls} {mtu}")).collect();
        let set = if set.is_empty() { String::new() } else { format!("; set: {}", set.join(", ")) };
        let line = match self.least(self.chassis.keys()) {
            Some((host, carries)) => {
                let (underlay, _) = self.of(host)?;
                format!("MTU {carries}: no longer packets pass all tunnels (least: {host}, underlay {underlay}){set}\n")
            }
            None if set.is_empty() => return None,
            None => format!("MTU unknown: no agent says what its tunnels carry{set}\n"),
        };
        Some(line)
    }

    /// The same for programs.
    pub fn data(&self) -> Value {
        let least = self.least(self.chassis.keys());
        json!({"carried": least.map(|(_, carries)| carries), "by": least.map(|(host, _)| host.as_str()), "set": self.set})
    }

    /// What people should mend.
    pub fn faults(&self) -> Vec<String> {
        let large = self.set.iter().filter_map(|(ls, mtu)| {
            let hosts = self.hosts.get(ls).filter(|hosts| hosts.len() > 1)?;
            let (host, carries) = self.least(hosts.iter()).filter(|(_, carries)| *carries < u32::from(*mtu))?;
            Some(format!(
                "switch {ls} has MTU {mtu}, and tunnels of {host} carry {carries}: longer packets between its hosts are lost, and nobody is told; \
                 raise the underlay's MTU, or \"tpctl ls set {ls} --mtu {}\"",
                if carries < u32::from(LEAST) { "auto".to_owned() } else { carries.to_string() }
            ))
        });
        let small = self.chassis.iter().filter_map(|(name, chassis)| {
            let (carries, encap) = (chassis.carries()?, chassis.encaps.first()?);
            (carries < u32::from(LEAST)).then(|| {
                format!(
                    "tunnels of {name} carry packets of {carries} bytes, and IPv6 needs {LEAST}: raise the MTU of its underlay to {} at least",
                    u32::from(LEAST) + overhead(encap.kind, encap.ip)
                )
            })
        });
        large.chain(small).collect()
    }
}
