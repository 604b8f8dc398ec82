//! Claims: one key for each value that may exist once only, written in the transaction that writes its owner. Two people
//! who want the same value write the same key, and one of them is told.
//!
//! ```text
//! claim/id/<id, 8 digits>                        ls/LS-A
//! claim/ls/<ls>/port/<port id, 5 digits>         ls/LS-A/lsp/vm1
//! claim/ls/<ls>/mac/<mac>                        ls/LS-A/lsp/vm1
//! claim/ls/<ls>/ip/<ip>                          ls/LS-A/lsp/vm1
//! claim/ls/<ls>/patch/<chassis>                  ls/LS-A/lsp/uplink
//! claim/lr/<lr>/port/<port id, 5 digits>         lr/LR/lrp/LR_to_LS-A
//! claim/lr/<lr>/net/<prefix>/<length>             lr/LR/lrp/LR_to_LS-A
//! claim/lr/<lr>/nat/<ip>                         lr/LR/lnat/web          (of dnat and floating: the external address)
//! claim/lr/<lr>/snat/<prefix>/<length>            lr/LR/lnat/out          (of snat: the sources)
//! claim/lr/<lr>/floating/<prefix>/<length>        lr/LR/lnat/web          (of floating: the inner address)
//! ```
//!
//! Beside them stands `last_port_id`, a note for whoever allocates the next (see `allocate`).
//!
//! The value is the owner's path. Numbers are padded so that the last key of a subtree is the highest number. A claim whose
//! owner is gone, or no longer has the value, is stale (somebody used etcdctl) and may be taken.

use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::{
    entity::{NatKind, Patch},
    id::{DatapathId, PortId},
    key::Key,
    mac::Mac,
    name::Name,
    object::Object,
};

/// `claim/id/`: ids of datapaths.
pub const IDS: &str = "claim/id/";

/// The claim of a datapath id.
pub fn id(id: DatapathId) -> String {
    format!("{IDS}{:08}", id.get())
}

/// Where the claims of a switch's values are.
pub fn of_switch(ls: &Name) -> String {
    format!("claim/ls/{ls}/")
}

/// Where the claims of a router's values are.
pub fn of_router(lr: &Name) -> String {
    format!("claim/lr/{lr}/")
}

/// Where the claims of port ids are, of the datapath with claims at `of`.
pub fn ports(of: &str) -> String {
    format!("{of}port/")
}

/// Where the claims of a switch's patch ports are.
pub fn patches(ls: &Name) -> String {
    format!("{}patch/", of_switch(ls))
}

/// The note of the port id that was allocated last, of the datapath with claims at `of`.
pub fn last_port(of: &str) -> String {
    format!("{of}last_port_id")
}

fn port(of: &str, id: PortId) -> String {
    format!("{of}port/{:05}", id.get())
}

fn mac(of: &str, mac: Mac) -> String {
    format!("{of}mac/{mac}")
}

fn patch(of: &str, to: &Patch) -> String {
    format!("{of}patch/{}", to.chassis)
}

fn ip(of: &str, ip: IpAddr) -> String {
    format!("{of}ip/{ip}")
}

/// All claims that an object needs.
pub fn of(key: &Key, object: &Object) -> Vec<String> {
    match (key, object) {
        (Key::Ls(_), Object::Ls(ls)) => vec![id(ls.id)],
        (Key::Lr(_), Object::Lr(lr)) => vec![id(lr.id)],
        (Key::Lsp(ls, _), Object::Lsp(p)) => {
            let of = of_switch(ls);
            let mut claims = vec![port(&of, p.port_id)];
            claims.extend(p.mac.map(|own| mac(&of, own)));
            claims.extend(p.patch.as_ref().map(|to| patch(&of, to)));
            claims.extend(p.ips.iter().map(|addr| ip(&of, *addr)));
            claims
        }
        (Key::Lrp(lr, _), Object::Lrp(p)) => {
            let of = of_router(lr);
            let mut claims = Vec::from_iter(p.port_id.map(|id| port(&of, id)));
            // Two addresses of one port may be in one network.
            let nets: BTreeSet<IpNet> = p.nets.iter().map(IpNet::trunc).collect();
            claims.extend(nets.iter().map(|net| format!("{of}net/{net}")));
            claims
        }
        (Key::Lnat(lr, _), Object::Lnat(rule)) => {
            let of = of_router(lr);
            let external = (rule.kind != NatKind::Snat).then(|| format!("{of}nat/{}", rule.external()));
            // One of each kind may be for the same address: floating has precedence over snat.
            let inner = match rule.kind {
                NatKind::Snat => Some(format!("{of}snat/{}", rule.inner())),
                NatKind::Floating => Some(format!("{of}floating/{}", rule.inner())),
                NatKind::Dnat => None,
            };
            external.into_iter().chain(inner).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a claim is of a number that we allocate, so that losing a race for it is no error: the next one will do.
pub fn is_allocated(claim: &str) -> bool {
    claim.starts_with(IDS) || claim.split('/').nth(3) == Some("port")
}

/// A claim in words: "the address 10.0.0.1 in switch LS-A".
pub fn words(claim: &str) -> String {
    let parts: Vec<&str> = claim.split('/').collect();
    let datapath =
        |kind: &str, name: &str| if kind == "ls" { format!("switch {name}") } else { format!("router {name}") };
    match parts[..] {
        ["claim", "id", id] => format!("the id {}", id.trim_start_matches('0')),
        ["claim", kind, name, "port", id] => {
            format!("the port id {} in {}", id.trim_start_matches('0'), datapath(kind, name))
        }
        ["claim", kind, name, "mac", mac] => format!("the MAC {mac} in {}", datapath(kind, name)),
        ["claim", kind, name, "ip", ip] => format!("the address {ip} in {}", datapath(kind, name)),
        ["claim", kind, name, "net", net, length] => format!("the network {net}/{length} in {}", datapath(kind, name)),
        ["claim", "ls", name, "patch", chassis] => format!("the only patch of switch {name} on {chassis}"),
        ["claim", "lr", name, "nat", ip] => format!("the external address {ip} of router {name}"),
        ["claim", "lr", name, "snat", net, length] => format!("the snat of {net}/{length} in router {name}"),
        ["claim", "lr", name, "floating", ip, _] => format!("the floating address for {ip} in router {name}"),
        _ => claim.to_owned(),
    }
}

/// The number at the end of a claim of an id or a port id.
pub fn number(claim: &str) -> Option<u32> {
    claim.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn claims_name_each_unique_value_once_and_read_back_as_words() {
        let key = Key::parse("ls/A/lsp/vm").unwrap().unwrap();
        let value = br#"{"port_id":3,"mac":"f2:01:0a:01:00:02","ips":["10.1.0.2","fd00::2"]}"#;
        let claims = of(&key, &Object::parse(&key, value).unwrap());
        assert_eq!(
            claims,
            [
                "claim/ls/A/port/00003",
                "claim/ls/A/mac/f2:01:0a:01:00:02",
                "claim/ls/A/ip/10.1.0.2",
                "claim/ls/A/ip/fd00::2"
            ]
        );
        assert_eq!(words(&claims[0]), "the port id 3 in switch A");
        assert_eq!(words(&claims[3]), "the address fd00::2 in switch A");
        assert_eq!(number(&claims[0]), Some(3));
        assert!(
            is_allocated(&claims[0]) && !is_allocated(&claims[1]) && is_allocated(&id(DatapathId::new(9).unwrap()))
        );
    }
}
