//! `ls` and `lsp`: switches and their ports.

use super::{
    Context, chassis, commas, description, edit_meta, labels, meta, named, raw, router::note_unknown_chassis, with,
};
use crate::{
    cli::{List, Ls, Lsp, Patchport},
    print::{self, View},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tuplenet_model::{
    entity::{LogicalSwitch, Patch, SwitchPort},
    key::Key,
    mac::Mac,
    name::Name,
    object::Object,
};
use tuplenet_store::network::{NetworkError, NewPort};

/// `tpctl ls ...`
pub async fn ls(context: &Context, command: Ls) -> Result<()> {
    match command {
        Ls::Add { ls, flood, mtu, meta: m } => {
            let switch = context.store.add_switch(&ls, flood, mtu.and_then(|mtu| mtu.0), meta(m)).await?;
            let detail = format!(" with id {}", switch.id);
            context.added(&Key::Ls(ls), &Object::Ls(switch), &detail)
        }
        Ls::Del { ls, recursive } => {
            context.delete(async || context.store.plan_remove_switch(&ls, recursive).await).await
        }
        Ls::Show { ls } => show_switches(context, ls.as_ref()).await,
        Ls::Set { ls, flood, mtu, meta } => {
            let key = Key::Ls(ls);
            let edit = |object: &mut Object| {
                if let Object::Ls(switch) = object {
                    switch.flood = flood.unwrap_or(switch.flood);
                    switch.mtu = mtu.map_or(switch.mtu, |mtu| mtu.0);
                    edit_meta(&mut switch.meta, &meta);
                }
                Ok(())
            };
            let changed = context.store.update(&key, edit).await?;
            context.changed(&key, changed)
        }
    }
}

/// What a switch has, for the list of switches.
#[derive(Default)]
struct Below {
    ports: usize,
    routers: Vec<Name>,
    patches: Vec<String>,
}

async fn show_switches(context: &Context, only: Option<&Name>) -> Result<()> {
    const COLUMNS: [&str; 9] =
        ["SWITCH", "ID", "PORTS", "ROUTERS", "PATCH TO", "FLOOD", "MTU", "LABELS", "DESCRIPTION"];
    let mut switches: Vec<(Name, LogicalSwitch, Value)> = Vec::new();
    let path = match only {
        Some(ls) => {
            let stored = context.one(&Key::Ls(ls.clone())).await?;
            let value = raw(&stored);
            if let Object::Ls(switch) = stored.object? {
                switches.push((ls.clone(), switch, value));
            }
            format!("ls/{ls}/")
        }
        None => "ls/".to_owned(),
    };
    let mut below: BTreeMap<Name, Below> = BTreeMap::new();
    for (key, object, value) in context.all(&path).await? {
        match (key, object) {
            (Key::Ls(ls), Object::Ls(switch)) => switches.push((ls, switch, value)),
            (Key::Lsp(ls, _), Object::Lsp(port)) => {
                let below = below.entry(ls).or_default();
                below.ports += 1;
                below.routers.extend(port.peer.map(|peer| peer.lr));
                below.patches.extend(port.patch.map(|patch| patch.to_string()));
            }
            _ => {}
        }
    }
    let rows = switches.into_iter().map(|(ls, switch, value)| {
        let Below { ports, routers, patches } = below.remove(&ls).unwrap_or_default();
        let flood = if switch.flood { "yes" } else { "" };
        let cells = vec![
            ls.to_string(),
            switch.id.to_string(),
            ports.to_string(),
            commas(&routers),
            patches.join("; "),
            flood.to_owned(),
            switch.mtu.map(|mtu| mtu.to_string()).unwrap_or_default(),
            labels(&switch.meta),
            description(&switch.meta),
        ];
        let routers: Vec<&str> = routers.iter().map(Name::as_str).collect();
        let data = with(with(named(&Key::Ls(ls), value), "ports", ports), "routers", json!(routers));
        (cells, data)
    });
    View::of(&COLUMNS, only.is_some(), rows.collect()).print(context.format)
}

/// `tpctl lsp ...`
pub async fn lsp(context: &Context, command: Lsp) -> Result<()> {
    match command {
        Lsp::Add { ls, lsp, ips: List(ips), mac, meta: m } => {
            let port = context.store.add_switch_port(&ls, &lsp, &NewPort { ips, mac, meta: meta(m) }).await?;
            let detail = format!(" with port id {}, MAC {}, {}", port.port_id, port.mac_or_zero(), commas(&port.ips));
            context.added(&Key::Lsp(ls, lsp), &Object::Lsp(port), &detail)
        }
        Lsp::Del { ls, lsp } => context.delete(async || context.store.plan_remove_switch_port(&ls, &lsp).await).await,
        Lsp::Show { ls, lsp } => show_ports(context, &ls, lsp.as_ref()).await,
        Lsp::Set { ls, lsp, ips, mac, meta } => {
            let key = Key::Lsp(ls.clone(), lsp.clone());
            let edit = |object: &mut Object| {
                let Object::Lsp(port) = object else { return Ok(()) };
                if port.patch.is_some() && (ips.is_some() || mac.is_some()) {
                    return Err(NetworkError::Refused(format!(
                        "port {lsp} of switch {ls} is a patch port, which has no addresses: add a port with \"tpctl lsp add\""
                    )));
                }
                if let (Some(peer), true) = (&port.peer, ips.is_some() || mac.is_some()) {
                    return Err(NetworkError::Refused(format!(
                        "port {lsp} of switch {ls} is one end of a link, whose ends have equal addresses: use \"tpctl lr unlink {} {ls}\" \
                         and \"tpctl lr link\"",
                        peer.lr
                    )));
                }
                readdress(port, ips.as_ref(), mac);
                edit_meta(&mut port.meta, &meta);
                Ok(())
            };
            let changed = context.store.update(&key, edit).await?;
            context.changed(&key, changed)
        }
    }
}

/// `tpctl patchport ...`
pub async fn patchport(context: &Context, command: Patchport) -> Result<()> {
    match command {
        Patchport::Add { ls, port: lsp, chassis: host, bridge, vlan, meta: m } => {
            let patch = Patch { chassis: host, bridge, vlan };
            let port = context.store.add_patch_port(&ls, &lsp, &patch, meta(m)).await?;
            note_unknown_chassis(context, Some(&patch.chassis)).await;
            let status = context.store.list(&format!("status/{}/alive", patch.chassis)).await;
            let (status, _) = status.unwrap_or_default();
            if let Some(note) = chassis::no_bridge(&chassis::said(context, &status), &patch) {
                print::tell(&format!("note: {note}"));
            }
            let detail = format!(" with port id {}, a patch to {patch}", port.port_id);
            context.added(&Key::Lsp(ls, lsp), &Object::Lsp(port), &detail)
        }
        Patchport::Del { ls, port } => {
            context.delete(async || context.store.plan_remove_patch_port(&ls, &port).await).await
        }
    }
}

/// A MAC that followed from the addresses goes on to follow from them, unless one is given.
fn readdress(port: &mut SwitchPort, ips: Option<&List<std::net::IpAddr>>, mac: Option<Mac>) {
    let derived = port.mac == Mac::derived_from(&port.ips);
    if let Some(List(ips)) = ips {
        port.ips.clone_from(ips);
        if derived {
            port.mac = Mac::derived_from(ips).or(port.mac);
        }
    }
    port.mac = mac.or(port.mac);
}

/// `br-ex` or `br-ex, VLAN 100`.
fn bridge(patch: &Patch) -> String {
    match patch.vlan {
        Some(vlan) => format!("{}, VLAN {vlan}", patch.bridge),
        None => patch.bridge.to_string(),
    }
}

async fn show_ports(context: &Context, ls: &Name, only: Option<&Name>) -> Result<()> {
    const COLUMNS: [&str; 9] = ["PORT", "ID", "MAC", "IPS", "CHASSIS", "LINK TO", "PATCH TO", "LABELS", "DESCRIPTION"];
    let mut hosts: BTreeMap<Name, Name> = BTreeMap::new();
    let mut ports: Vec<(Name, SwitchPort, Value)> = Vec::new();
    match only {
        Some(lsp) => {
            let stored = context.one(&Key::Lsp(ls.clone(), lsp.clone())).await?;
            let value = raw(&stored);
            if let Object::Lsp(port) = stored.object? {
                ports.push((lsp.clone(), port, value));
            }
            let [binding] = context.store.get([&Key::Binding(ls.clone(), lsp.clone())]).await?;
            if let Some(Ok(Object::Binding(binding))) = binding.map(|stored| stored.object) {
                hosts.insert(lsp.clone(), binding.chassis);
            }
        }
        None => {
            for (key, object, value) in context.all(&format!("ls/{ls}/lsp/")).await? {
                if let (Key::Lsp(_, lsp), Object::Lsp(port)) = (key, object) {
                    ports.push((lsp, port, value));
                }
            }
            if ports.is_empty() {
                context.one(&Key::Ls(ls.clone())).await?; // an empty switch is no error, a missing one is
            }
            for (key, object, _) in context.all(&format!("binding/{ls}/")).await? {
                if let (Key::Binding(_, lsp), Object::Binding(binding)) = (key, object) {
                    hosts.insert(lsp, binding.chassis);
                }
            }
        }
    }
    let rows = ports.into_iter().map(|(lsp, port, value)| {
        // A patch port is where it says, and nobody binds it.
        let host = port.patch.as_ref().map(|patch| &patch.chassis).or_else(|| hosts.get(&lsp));
        let peer = port.peer.as_ref().map(|peer| format!("{}/{}", peer.lr, peer.lrp));
        let cells = vec![
            lsp.to_string(),
            port.port_id.to_string(),
            port.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            commas(&port.ips),
            host.map(Name::to_string).unwrap_or_default(),
            peer.unwrap_or_default(),
            port.patch.as_ref().map(bridge).unwrap_or_default(),
            labels(&port.meta),
            description(&port.meta),
        ];
        let data = with(named(&Key::Lsp(ls.clone(), lsp), value), "chassis", host.map(Name::as_str));
        (cells, data)
    });
    View::of(&COLUMNS, only.is_some(), rows.collect()).print(context.format)
}
