//! Why an object may be valid and yet make no flow.

use super::world::World;
use tuplenet_model::{
    entity::{RouterPort, SwitchPort},
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_store::network::words;

/// Why an object that is not set aside itself may make no flow.
pub fn why(world: &World, key: &Key) -> Option<String> {
    match (key, world.network.get(key)?) {
        (Key::Lsp(ls, lsp), Object::Lsp(port)) => switch_port(world, ls, lsp, port),
        (Key::Lrp(lr, _), Object::Lrp(port)) => router_port(world, lr, port),
        (Key::Lsr(lr, name), Object::Lsr(route)) => {
            if let Some(first) = older(world, lr, name) {
                let first = words(&Key::Lsr(lr.clone(), first.clone()));
                return Some(format!("{first} leads the same way and is older: of such routes the oldest is in force"));
            }
            match world.network.get(&Key::Lrp(lr.clone(), route.outport.clone()))? {
                Object::Lrp(port) => {
                    let why = router_port(world, lr, port)?;
                    Some(format!("it leads to port {}: {why}", route.outport))
                }
                _ => None,
            }
        }
        (Key::Lnat(lr, _), _) => nat_rule(world, lr),
        (Key::Binding(ls, lsp), _) => {
            let port = Key::Lsp(ls.clone(), lsp.clone());
            match (world.value(&port), world.why_aside(&port)) {
                (None, _) => Some(format!("{} does not exist", words(&port))),
                (_, Some(why)) => Some(format!("{} is set aside: {why}", words(&port))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A rule applies where its router meets an outside network.
fn nat_rule(world: &World, lr: &Name) -> Option<String> {
    let network = &world.network;
    let mut switches = network.router_ports(lr).filter_map(|(_, port)| Some(&port.peer.as_ref()?.ls));
    let uplink = switches.any(|ls| network.switch_ports(ls).any(|(_, port)| port.patch.is_some()));
    (!uplink).then(|| format!("router {lr} has no port on a switch with a patch port, and NAT applies there only"))
}

fn switch_port(world: &World, ls: &Name, lsp: &Name, port: &SwitchPort) -> Option<String> {
    if let Some(patch) = &port.patch {
        let known = world.network.get(&Key::Chassis(patch.chassis.clone())).is_some();
        return (!known).then(|| format!("chassis {} is not registered: no agent makes the patch", patch.chassis));
    }
    let Some(peer) = &port.peer else {
        return world
            .host(ls, lsp)
            .is_none()
            .then(|| "the port is bound to no chassis: nobody can reach it".to_owned());
    };
    aside(world, [Key::Lrp(peer.lr.clone(), peer.lrp.clone()), Key::Lr(peer.lr.clone())])
}

fn router_port(world: &World, lr: &Name, port: &RouterPort) -> Option<String> {
    match &port.peer {
        None => Some("the port is linked to no switch".to_owned()),
        Some(peer) => {
            aside(world, [Key::Lsp(peer.ls.clone(), peer.lsp.clone()), Key::Ls(peer.ls.clone()), Key::Lr(lr.clone())])
        }
    }
}

/// What an object needs that is set aside.
fn aside(world: &World, needs: impl IntoIterator<Item = Key>) -> Option<String> {
    needs.into_iter().find_map(|key| Some(format!("{} is set aside: {}", words(&key), world.why_aside(&key)?)))
}

/// A route that is in force in the place of another.
fn older<'a>(world: &'a World, lr: &'a Name, name: &'a Name) -> Option<&'a Name> {
    let key = |name: &Name| Key::Lsr(lr.clone(), name.clone());
    let created = |name: &Name| world.value(&key(name)).map(|kv| kv.create_revision);
    let Some(Object::Lsr(route)) = world.network.get(&key(name)) else { return None };
    let rivals = world.network.routes(lr).filter(|(other, o)| {
        *other != name && (o.prefix, o.next_hop, &o.outport) == (route.prefix, route.next_hop, &route.outport)
    });
    let mut valid = rivals.map(|(other, _)| other).filter(|other| world.why_aside(&key(other)).is_none());
    valid.find(|other| (created(other), *other) < (created(name), name))
}
