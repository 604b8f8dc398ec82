//! Address translation, at the uplinks of a router: its ports to switches that have a patch port. Between inner networks nothing is translated.
//!
//! | kind | a connection that begins inside | one that begins outside |
//! |---|---|---|
//! | `snat` | its source becomes the external address, many to one, ports by conntrack | is nobody's |
//! | `dnat` | as it is, unless a `snat` rule covers it | its destination becomes the inner address |
//! | `floating` | as `snat`, one to one | as `dnat` |
//!
//! **Conntrack does all of it, floating addresses too.** Without state a floating address could be rewritten by two plain flows, and a packet
//! could leave by an edge that its connection never saw; but the header that an ICMP error quotes cannot be rewritten by flows, so path MTU discovery
//! and traceroute through a floating address would break. Conntrack rewrites it (as *related*). The freedom is kept where it can be: a packet that
//! conntrack knows nothing about (+inv: the middle of a connection that went by another edge) and that is no ICMP error is rewritten by a plain
//! flow, which is right because one inner address has one external one. A connection's later packets, of TCP too, begin it anew at another edge, so
//! a floating address or a VM may move.
//!
//! One zone a router, by its datapath id, so that routers with equal inner addresses do not meet; in it both directions, so that an established
//! connection goes through conntrack once each way. `ct_clear` ends each translation: a packet that comes by again (hairpin) is looked at anew.
//!
//! **Nothing goes out untranslated that a rule covers**: where conntrack did not translate (no memory, no port left, no connection to an error),
//! the packet ends.
//!
//! **Cheap**: a packet goes through conntrack only if its address is that of a rule, at an uplink; a router without rules has none of these flows.
//! Cost of a rule: about eight flows an uplink, and one per other router on the uplink's switch; of a router with rules: eighteen an uplink once.
//!
//! **Hairpin**: what inner hosts send to an external address of their own router leaves by the uplink as anything, so its source is translated; there it
//! turns back, as if it came from outside.
//!
//! **Where**: at the chassis that the router is pinned to. A distributed `floating` rule of a router that is on all hosts works at the host that has the
//! VM; a MAC of its own, made from the external address, tells that host on the provider network. Such a VM's switch must be linked to the router
//! itself. A distributed rule of a pinned router works where the router is. Other rules need a pinned router: conntrack knows a
//! connection on one host only.

mod answer;
mod egress;
mod ingress;

use crate::{
    datapath::Datapaths,
    fact::{Lnat, Lr},
    flow::{FlowRow, proto},
    output::{Reject, Translated},
    port::{Link, Ports},
    register,
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{
    entity::NatKind,
    id::{DatapathId, PortId},
    key::Key,
    name::Name,
};
use tuplenet_openflow::{
    Action, Match,
    action::{Ct, Nat, Subfield, Zone},
    field,
};

/// Priorities in stages where the longest prefix of sources decides: above [`crate::flow::priority::GENERAL`].
const BY_PREFIX: u16 = 100;
/// Above all that are by prefix.
const ABOVE_PREFIXES: u16 = 400;

/// A rule that is in force here, at an uplink of its router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AtUplink {
    rule: Lnat,
    link: Link,
    /// Whether it works at the VM's host, where it has a MAC address of its own.
    distributed: bool,
}

impl AtUplink {
    fn lr(&self) -> DatapathId {
        self.link.router.lr
    }

    /// The uplink's number in registers.
    fn port(&self) -> u32 {
        self.link.router.lrp.value.number
    }

    fn external(&self) -> IpAddr {
        self.rule.value.external()
    }

    /// What the outside sends packets for the external address to.
    fn mac(&self) -> [u8; 6] {
        if self.distributed { own_mac(self.external()) } else { self.link.router.lrp.value.mac }
    }

    /// Which of several rules lends its name to a flow that serves them all.
    fn age(&self) -> (i64, Name) {
        (self.rule.created, self.rule.name.1.clone())
    }
}

/// An external address that is translated here, and the MAC address that it has at an uplink: announced where that meets a physical network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct External {
    pub ls: DatapathId,
    /// The switch's port that leads to the router.
    pub port: PortId,
    pub ip: IpAddr,
    pub mac: [u8; 6],
}

/// What comes of them.
pub struct Translation {
    pub flows: Relation<FlowRow>,
    pub rejects: Relation<Reject>,
    pub external: Relation<External>,
    /// External addresses that connections are translated by here.
    pub translated: Relation<Translated>,
}

/// The facts that this module reads.
pub struct Sources<'a> {
    pub me: &'a Name,
    /// Valid rules.
    pub rule: &'a Relation<Lnat>,
    /// Switches with a patch port, on any chassis.
    pub patched: &'a Relation<Name>,
    pub datapaths: &'a Datapaths,
    pub ports: &'a Ports,
    /// Ports of provider networks that another chassis speaks for.
    pub elsewhere: &'a Relation<SwitchPort>,
}

/// ```text
/// uplink(LR, LRP)            <- link(LS, _, LR, LRP), patched(LS).
/// central(Rule, LRP)         <- nat_rule(LR, Rule), lr(LR, chassis: us), uplink(LR, LRP).
/// vm(Rule, Port)             <- nat_rule(LR, Rule), Rule is distributed, lr(LR, no chassis), link(LS, _, LR, _), lsp(LS, Port, inner of Rule).
/// here(Rule, LRP)            <- vm(Rule, Port), local(Port), uplink(LR, LRP).
/// away(Rule, LRP, Endpoint)  <- vm(Rule, Port), remote(Port, Endpoint), uplink(LR, LRP).
/// translated(LR, Ip)         <- central(Rule, LRP) or here(Rule, LRP), LRP in LR, external of Rule: Ip.
/// ```
pub fn derive(sources: &Sources<'_>) -> Translation {
    let Sources { me, rule, patched, datapaths, ports, elsewhere } = *sources;
    let patched = patched.index(Name::clone);
    let lr_name = |lr: &Lr| lr.name.clone();
    let rule_of = rule.index(|rule| rule.name.0.clone());
    let me = me.clone();
    let pinned_here = datapaths.lr_present.filter(move |lr| lr.value.chassis.as_ref() == Some(&me)).index(lr_name);
    let pinned = datapaths.lr.filter(|lr| lr.value.chassis.is_some()).index(lr_name);

    let uplink = ports.link.index(|link| link.port.lsp.name.0.clone()).semijoin(&patched).named("uplink");
    let uplink_of = uplink.index(|link| link.router.lrp.name.0.clone());
    let at = |rules: &Relation<Lnat>, distributed: bool| {
        let rules = rules.index(|rule| rule.name.0.clone());
        rules.join(&uplink_of, move |_, rule, link| AtUplink { rule: rule.clone(), link: link.clone(), distributed })
    };
    let central = at(&rule_of.semijoin(&pinned_here), false);

    // A rule that works at the VM's host: where is the VM?
    let unpinned = rule_of.antijoin(&pinned);
    let spread = unpinned.filter(|rule| rule.value.distributed);
    let inner = spread
        .index(|rule| rule.name.0.clone())
        .join(&ports.link.index(|link| link.router.lrp.name.0.clone()), |_, rule, link| (link.port.ls, rule.clone()))
        .distinct();
    let switches = inner.map(|(ls, _)| *ls).distinct().index(|ls| *ls);
    let inner_of = inner.index(|(ls, rule)| (*ls, rule.value.inner().addr()));
    let local = ports.local.index(|local| local.port.ls).semijoin(&switches).flat_map(|local| {
        let port = local.port.clone();
        (0..port.lsp.value.ips.len()).filter_map(move |i| port.lsp.value.ips.get(i).map(|ip| (port.ls, *ip)))
    });
    let remote = ports.remote_in(&switches).flat_map(|remote| {
        let (port, endpoint) = (remote.port.clone(), remote.endpoint);
        (0..port.lsp.value.ips.len())
            .filter_map(move |i| port.lsp.value.ips.get(i).map(|ip| ((port.ls, *ip), endpoint)))
    });
    let here = at(&inner_of.join(&local.index(|at| *at), |_, (_, rule), _| rule.clone()).distinct(), true);
    let there =
        inner_of.join(&remote.index(|(at, _)| *at), |_, (_, rule), (_, endpoint)| (rule.clone(), *endpoint)).distinct();
    let away = there.index(|(rule, _)| rule.name.0.clone()).join(&uplink_of, |_, (rule, endpoint), link| {
        (AtUplink { rule: rule.clone(), link: link.clone(), distributed: true }, *endpoint)
    });

    let in_force = central.concat(&here).named("nat");
    let used = in_force.map(|at| at.link.clone()).distinct();
    let routers = used.map(|link| link.router.lr).distinct();
    let gates = ports
        .located
        .filter(|port| port.lsp.value.peer.is_some())
        .index(|port| port.lsp.name.0.clone())
        .semijoin(&patched);
    let flows = ingress::flows(&in_force, &routers).concat_all([
        &egress::flows(&in_force, &used, &routers),
        &egress::hidden(&away),
        &answer::central(&rule_of.semijoin(&pinned), &gates, &uplink, elsewhere),
        &answer::distributed(&here, &away, &uplink, &ports.patches),
    ]);
    // A rule that no host could keep: told where the router is.
    let homeless = unpinned
        .filter(|rule| !rule.value.distributed)
        .index(|rule| rule.name.0.clone())
        .semijoin(&datapaths.lr_present.index(lr_name))
        .map(|rule| Reject {
            key: Key::Lnat(rule.name.0.clone(), rule.name.1.clone()).to_string(),
            reason: format!(
                "the router {} is on all hosts, and a connection's translation is known on one only: give the router a chassis{}",
                rule.name.0,
                if rule.value.kind == NatKind::Floating { ", or make the rule distributed" } else { "" }
            ),
        });
    let external = in_force
        .map(|at| External { ls: at.link.port.ls, port: at.link.port.lsp.value.port, ip: at.external(), mac: at.mac() })
        .distinct();
    let translated = in_force.map(|at| Translated { zone: zone_id(at.lr()), ip: at.external() }).distinct();
    Translation { flows, rejects: homeless, external, translated }
}

/// The MAC address of a distributed floating address: `f2:01` and the four bytes, as of ports; of IPv6 `f2:02` and the last four.
fn own_mac(ip: IpAddr) -> [u8; 6] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [0xf2, 0x01, a, b, c, d]
        }
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            [0xf2, 0x02, a, b, c, d]
        }
    }
}

/// IP packets of an address' family.
fn family(ip: IpAddr, packets: Match) -> Match {
    packets.with(field::ETH_TYPE, if ip.is_ipv4() { proto::IPV4 } else { proto::IPV6 })
}

/// ICMP errors: unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792); and those of RFC 4443, section 3.
fn errors() -> impl Iterator<Item = Match> {
    let icmp = Match::new().with(field::ETH_TYPE, proto::IPV4).with(field::IP_PROTO, proto::ICMP);
    let icmpv6 = Match::new().with(field::ETH_TYPE, proto::IPV6).with(field::IP_PROTO, proto::ICMPV6);
    let errors4 = [3_u8, 4, 5, 11, 12].into_iter().map(move |kind| icmp.clone().with(field::ICMPV4_TYPE, kind));
    let errors6 = [1_u8, 2, 3, 4].into_iter().map(move |kind| icmpv6.clone().with(field::ICMPV6_TYPE, kind));
    errors4.chain(errors6)
}

/// A router's zone. Two routers of one host whose ids are a multiple of 65,536 apart would share one.
fn zone(lr: DatapathId) -> Zone {
    Zone::Fixed(zone_id(lr))
}

fn zone_id(lr: DatapathId) -> u16 {
    (lr.get() & 0xffff) as u16
}

/// Through conntrack, translated as its connection is; on in a table.
fn known(lr: DatapathId, table: u8) -> Vec<Action> {
    ct(lr, table, false, Nat::default())
}

/// A connection that begins, its source or destination (`flag`) translated.
fn begins(lr: DatapathId, table: u8, flag: u16, to: IpAddr) -> Vec<Action> {
    ct(lr, table, true, Nat { flags: flag, addr_min: Some(to), ..Nat::default() })
}

/// Of a coloured packet the copy that goes on is a part by itself: a datapath in the kernel may do it after all others, and the end that was reported
/// by then would not be the last.
fn ct(lr: DatapathId, table: u8, commit: bool, nat: Nat) -> Vec<Action> {
    let actions = vec![Action::Nat(Box::new(nat))];
    let bit = |flag: u32| Subfield::new(register::FLAGS, flag.trailing_zeros() as u16, 1);
    let pending = Action::Move { src: bit(register::TRACED), dst: bit(register::PENDING) };
    let ct = Ct { commit, force: false, zone: zone(lr), table: Some(table), alg: 0, actions };
    vec![pending, Action::Ct(Box::new(ct))]
}

/// Bits of `ct_state` (ovs-fields(7)).
mod state {
    pub const TRACKED: u32 = 0x20;
    pub const SNAT: u32 = 0x40;
    pub const DNAT: u32 = 0x80;
}
