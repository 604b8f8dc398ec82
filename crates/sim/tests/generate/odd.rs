//! What should not be in a store, and is: objects that contradict each other, that are broken, or that point nowhere.

use super::network::{Draft, Port, v4};
use proptest::prelude::*;
use serde_json::{Value, json};
use tuplenet_model::mac::Mac;

/// One such thing; indices wrap around.
#[derive(Clone, Debug)]
pub struct Oddity {
    kind: Kind,
    which: usize,
    other: usize,
    /// Whether what comes newly is older than what is there.
    older: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Deleted,
    Broken,
    SameDatapath,
    SamePortId,
    SameMac,
    SameIp,
    OwnerlessPort,
    UnknownChassis,
    UnequalMacs,
    UnequalIps,
    BoundLink,
    SameRouterPort,
    NoEncaps,
    BoundNobody,
    Unknown,
    OtherPeer,
}

/// At least so many of them.
pub fn oddities(least: usize) -> impl Strategy<Value = Vec<Oddity>> {
    proptest::collection::vec(oddity(), least..=4)
}

fn oddity() -> impl Strategy<Value = Oddity> {
    use Kind::*;
    let kind = proptest::sample::select(vec![
        Deleted,
        Broken,
        SameDatapath,
        SamePortId,
        SameMac,
        SameIp,
        OwnerlessPort,
        UnknownChassis,
        UnequalMacs,
        UnequalIps,
        BoundLink,
        SameRouterPort,
        NoEncaps,
        BoundNobody,
        Unknown,
        OtherPeer,
    ]);
    (kind, 0..40_usize, 0..8_usize, any::<bool>()).prop_map(|(kind, which, other, older)| Oddity {
        kind,
        which,
        other,
        older,
    })
}

impl Oddity {
    /// The path of one of the objects of a kind.
    fn pick(&self, draft: &Draft, part: &str) -> Option<String> {
        let all: Vec<&String> =
            draft.objects.iter().map(|(path, ..)| path).filter(|path| path.contains(part)).collect();
        all.get(self.which % all.len().max(1)).map(|path| (*path).clone())
    }

    /// Makes it so.
    pub fn befall(&self, draft: &mut Draft) {
        let created = Some(if self.older { 0 } else { 9 });
        let port = draft.ports.get(self.which % draft.ports.len().max(1)).cloned();
        let link =
            draft.objects.iter().filter(|(_, value, _)| value.get("peer").is_some_and(|p| p.get("lr").is_some()));
        let link: Vec<String> = link.map(|(path, ..)| path.clone()).collect();
        let link = link.get(self.which % link.len().max(1)).cloned();
        match self.kind {
            Kind::Deleted => {
                if let Some(path) = self.pick(draft, "/") {
                    draft.objects.retain(|(known, ..)| *known != path);
                }
            }
            Kind::Broken => {
                let texts = ["not JSON", "[]", "", "{}", r#"{"id":"7","mac":7,"chassis":7,"prefix":7,"encaps":7}"#];
                draft.broken.extend(self.pick(draft, "/").map(|path| (path, texts[self.other % texts.len()])));
            }
            Kind::SameDatapath => {
                let ids = draft.objects.iter().filter_map(|(_, value, _)| value.get("id"));
                let ids: Vec<Value> = ids.cloned().collect();
                let Some(id) = ids.get(self.other % ids.len().max(1)) else { return };
                if self.which.is_multiple_of(2) {
                    draft.put_aged("ls/LS-x".into(), json!({"id": id, "flood": true}), created);
                    self.another_port(draft, "LS-x", 1, 200, 200);
                } else {
                    draft.put_aged("lr/LR-x".into(), json!({"id": id, "chassis": null}), created);
                }
            }
            Kind::SamePortId => {
                if let Some(port) = port {
                    let path = self.another_port(draft, &port.ls, 201, 201, 201);
                    let known =
                        draft.objects.iter().find(|(path, ..)| *path == format!("ls/{}/lsp/{}", port.ls, port.lsp));
                    if let Some(id) = known.and_then(|(_, value, _)| value.get("port_id")).cloned() {
                        draft.edit(&path, |object| object["port_id"] = id);
                    }
                }
            }
            Kind::SameMac => {
                if let Some(port) = port {
                    let path = self.another_port(draft, &port.ls, 202, 202, 202);
                    draft.edit(&path, |object| object["mac"] = json!(port.mac));
                }
            }
            Kind::SameIp => {
                if let Some(port) = port {
                    let path = self.another_port(draft, &port.ls, 203, 203, 203);
                    draft.edit(&path, |object| object["ips"] = json!(port.ips));
                }
            }
            Kind::OwnerlessPort => {
                self.another_port(draft, "LS-gone", 1, 204, 204);
            }
            Kind::UnknownChassis => {
                if let Some(path) = self.pick(draft, "binding/") {
                    draft.edit(&path, |binding| binding["chassis"] = json!("hv-gone"));
                }
            }
            Kind::UnequalMacs => {
                if let Some(path) = link {
                    draft.edit(&path, |port| port["mac"] = json!("f2:01:00:00:00:99"));
                }
            }
            Kind::UnequalIps => {
                if let Some(path) = link {
                    draft.edit(&path, |port| port["ips"] = json!(["10.0.0.99"]));
                }
            }
            Kind::OtherPeer => {
                if let Some(path) = link {
                    draft.edit(&path, |port| port["peer"]["lr"] = json!("LR-0"));
                }
            }
            Kind::BoundLink => {
                if let Some((_, rest)) = link.as_deref().and_then(|path| path.split_once("ls/"))
                    && let Some((ls, lsp)) = rest.split_once("/lsp/")
                {
                    let chassis = format!("hv{}", self.other % 4);
                    draft.put(format!("binding/{ls}/{lsp}"), json!({"chassis": chassis, "generation": 1}));
                }
            }
            Kind::SameRouterPort => {
                let path = format!("lr/LR-{}/lrp/x", self.which % 3);
                let (id, net) = (self.other + 1, format!("10.{}.0.250/24", self.other % 4));
                draft.put_aged(path, json!({"port_id": id, "mac": "f2:01:00:00:00:98", "nets": [net]}), created);
            }
            Kind::NoEncaps => {
                if let Some(path) = self.pick(draft, "chassis/") {
                    draft.edit(&path, |chassis| chassis["encaps"] = json!([]));
                }
            }
            Kind::BoundNobody => {
                draft.put("binding/LS-0/nobody".into(), json!({"chassis": "hv0", "generation": 3}));
            }
            Kind::Unknown => {
                draft.put("lr/LR-0/lnat/x".into(), json!({"type": "snat"}));
                draft.put("future/thing".into(), json!({"a": 1}));
                draft.put("ls/LS-0/odd/path".into(), json!({"a": 1}));
                draft.edit("ls/LS-0", |ls| ls["unknown"] = json!({"field": true}));
            }
        }
    }

    /// One more port in a switch, with the age that was asked for; its path.
    fn another_port(&self, draft: &mut Draft, ls: &str, port_id: usize, host: u8, name: usize) -> String {
        let lsp = format!("x{name}");
        let net = ls.strip_prefix("LS-").and_then(|n| n.parse().ok()).unwrap_or(9);
        let chassis = Some(format!("hv{}", self.other % 2));
        let (mac, ips) = (Mac::derived(v4(net, host)), vec![v4(net, host).into()]);
        let path = format!("ls/{ls}/lsp/{lsp}");
        draft.put_port(
            Port { ls: ls.into(), lsp, mac, ips, gateway: false, chassis, outside: false, vlan: None },
            port_id,
        );
        if let Some((.., age)) = draft.objects.iter_mut().find(|(known, ..)| *known == path) {
            *age = Some(if self.older { 0 } else { 9 });
        }
        path
    }
}
