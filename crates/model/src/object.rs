//! One object of the store, read and judged by itself: **every rule of validity of a single object stands here**.
//!
//! What objects say about each other (duplicates, unknown references, peers) is judged over a whole network: by the
//! rules crate incrementally, by [`crate::network`] plainly.

use crate::{
    entity::{
        Binding, Chassis, LogicalRouter, LogicalSwitch, Meta, NatKind, NatRule, Patch, RouterPort, StaticRoute,
        SwitchPort,
    },
    key::Key,
    mac::Mac,
    mtu,
};
use ipnet::IpNet;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, fmt, net::IpAddr};

/// The largest value of an object, in bytes. Far above any honest object, far below etcd's 1.5 MiB a request.
pub const MAX_VALUE: usize = 64 * 1024;
/// The most addresses (or networks, or tunnel end points) that one port (or chassis) may have.
pub const MAX_ADDRESSES: usize = 64;
/// The most labels of one object.
pub const MAX_LABELS: usize = 64;
/// The longest description, label key or label value, in bytes.
pub const MAX_TEXT: usize = 4096;

/// Why an object is set aside: which one, what is wrong with it, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub struct Invalid {
    /// The object's path below `<prefix>/v1/`, such as `ls/LS-A/lsp/vm1`.
    pub object: String,
    /// The field at fault, such as `mac` or `ips[1]`; empty when the object as a whole is.
    pub field: String,
    /// What is wrong, with the value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Invalid {
    /// A finding about a field of an object (`field` empty: about all of it).
    pub fn new(
        object: impl fmt::Display,
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { object: object.to_string(), field: field.into(), problem: problem.into(), remedy: remedy.into() }
    }
    /// The finding without the object's name, for lists that have a column for it.
    pub fn reason(&self) -> String {
        match self.field.as_str() {
            "" => format!("{}: {}", self.problem, self.remedy),
            field => format!("{field}: {}: {}", self.problem, self.remedy),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason())
    }
}

/// Any object of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `ls/<ls>`
    Ls(LogicalSwitch),
    /// `ls/<ls>/lsp/<lsp>`
    Lsp(SwitchPort),
    /// `lr/<lr>`
    Lr(LogicalRouter),
    /// `lr/<lr>/lrp/<lrp>`
    Lrp(RouterPort),
    /// `lr/<lr>/lsr/<route>`
    Lsr(StaticRoute),
    /// `lr/<lr>/lnat/<rule>`
    Lnat(NatRule),
    /// `chassis/<chassis>`
    Chassis(Chassis),
    /// `binding/<ls>/<lsp>`
    Binding(Binding),
}

impl Object {
    /// Reads the value that the store has under a key, and judges it ([`Object::validate`]). Takes any bytes.
    pub fn parse(key: &Key, value: &[u8]) -> Result<Self, Invalid> {
        if value.len() > MAX_VALUE {
            let problem = format!("the value has {} bytes", value.len());
            return Err(Invalid::new(key, "", problem, format!("an object has at most {MAX_VALUE}")));
        }
        let object = match key {
            Key::Ls(_) => Object::Ls(read(key, value)?),
            Key::Lsp(..) => Object::Lsp(read(key, value)?),
            Key::Lr(_) => Object::Lr(read(key, value)?),
            Key::Lrp(..) => Object::Lrp(read(key, value)?),
            Key::Lsr(..) => Object::Lsr(read(key, value)?),
            Key::Lnat(..) => Object::Lnat(read(key, value)?),
            Key::Chassis(_) => Object::Chassis(read(key, value)?),
            Key::Binding(..) => Object::Binding(read(key, value)?),
        };
        object.validate(key)?;
        Ok(object)
    }

    /// Every rule of validity that concerns this object alone.
    pub fn validate(&self, key: &Key) -> Result<(), Invalid> {
        let judge = Judge(key);
        match self {
            Object::Ls(switch) => judge.switch(switch),
            Object::Lr(router) => judge.router(router),
            Object::Lsp(port) => judge.switch_port(port),
            Object::Lrp(port) => judge.router_port(port),
            Object::Lsr(route) => judge.route(route),
            Object::Lnat(rule) => judge.nat(rule),
            Object::Chassis(chassis) => judge.chassis(chassis),
            Object::Binding(_) => Ok(()),
        }
    }

    /// Whether a key of that kind may hold this object.
    pub fn fits(&self, key: &Key) -> bool {
        matches!(
            (self, key),
            (Object::Ls(_), Key::Ls(_))
                | (Object::Lsp(_), Key::Lsp(..))
                | (Object::Lr(_), Key::Lr(_))
                | (Object::Lrp(_), Key::Lrp(..))
                | (Object::Lsr(_), Key::Lsr(..))
                | (Object::Lnat(_), Key::Lnat(..))
                | (Object::Chassis(_), Key::Chassis(_))
                | (Object::Binding(_), Key::Binding(..))
        )
    }

    /// The object as the store keeps it.
    pub fn to_json(&self) -> Map<String, Value> {
        fn fields(entity: &impl Serialize) -> Map<String, Value> {
            match serde_json::to_value(entity) {
                Ok(Value::Object(map)) => map,
                _ => Map::new(), // no entity serializes to anything else: all are structs with text keys
            }
        }
        match self {
            Object::Ls(o) => fields(o),
            Object::Lsp(o) => fields(o),
            Object::Lr(o) => fields(o),
            Object::Lrp(o) => fields(o),
            Object::Lsr(o) => fields(o),
            Object::Lnat(o) => fields(o),
            Object::Chassis(o) => fields(o),
            Object::Binding(o) => fields(o),
        }
    }

    /// The object laid over the value that the store has: what we know is ours, fields that we do not know are kept.
    pub fn merged_into(&self, present: &[u8]) -> Map<String, Value> {
        let mut merged = match serde_json::from_slice(present) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        merged.retain(|field, _| !self.fields().contains(&field.as_str()));
        merged.extend(self.to_json());
        merged
    }

    /// The names of all fields that this version knows in such an object.
    pub fn fields(&self) -> &'static [&'static str] {
        match self {
            Object::Ls(_) => &["id", "flood", "mtu", "description", "labels"],
            Object::Lr(_) => &["id", "chassis", "ecmp_hash", "description", "labels"],
            Object::Lsp(_) => &["port_id", "mac", "ips", "peer", "patch", "description", "labels"],
            Object::Lrp(_) => &["port_id", "mac", "nets", "peer", "description", "labels"],
            Object::Lsr(_) => &["prefix", "next_hop", "outport", "description", "labels"],
            Object::Lnat(_) => &["type", "prefix", "xlate_ip", "distributed", "description", "labels"],
            Object::Chassis(_) => &["encaps", "roles", "mtu", "description", "labels"],
            Object::Binding(_) => &["chassis", "generation"],
        }
    }

    /// Text and labels, if this kind of object has them.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Object::Ls(o) => Some(&o.meta),
            Object::Lr(o) => Some(&o.meta),
            Object::Lsp(o) => Some(&o.meta),
            Object::Lrp(o) => Some(&o.meta),
            Object::Lsr(o) => Some(&o.meta),
            Object::Lnat(o) => Some(&o.meta),
            Object::Chassis(o) => Some(&o.meta),
            Object::Binding(_) => None,
        }
    }
}

/// Up to this many addresses are compared with each other.
const FEW: usize = 8;

/// JSON to entity; the slow way, which knows the path to the wrong field, is taken only on error.
fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, Invalid> {
    if value.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        let problem = if value.is_empty() { "the value is empty" } else { "the value is no JSON object" };
        return Err(Invalid::new(key, "", problem, "write one object, {...}, or delete the key"));
    }
    serde_json::from_slice(value).map_err(|error| {
        let (line, column, text) = (error.line(), error.column(), words(&error));
        let mut field = fault::<T>(value).map(|(path, _)| path).unwrap_or_default();
        // To the fields that all kinds of objects have, the way goes by a place without a name.
        if let (true, Some((path, same))) = (field.is_empty(), fault::<Meta>(value))
            && same == text
        {
            field = path;
        }
        let text = text.as_str();
        // Where it stands matters if there is no field to name; and our own words say already what to write.
        let (problem, remedy) = match text.rsplit_once(": write ") {
            _ if !error.is_data() => {
                (format!("line {line}, column {column}: {text}"), "write valid JSON, or delete the key".to_owned())
            }
            Some((problem, advice)) => (problem.to_owned(), format!("write {advice}")),
            None if field.is_empty() => (plain(text), "correct the object".to_owned()),
            None => (plain(text), "correct that field".to_owned()),
        };
        Invalid::new(key, field, problem, remedy)
    })
}

/// The longest way to a field that is shown, in characters.
const MAX_FIELD: usize = 64;

/// What the parser says, without the place, which it adds.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// The way to the field that is at fault, empty if there is none that can be named, and what is wrong with it.
fn fault<T: DeserializeOwned>(value: &[u8]) -> Option<(String, String)> {
    let mut json = serde_json::Deserializer::from_slice(value);
    let traced = serde_path_to_error::deserialize::<_, T>(&mut json).err()?;
    let mut path = match traced.path().iter().next() {
        Some(_) => traced.path().to_string(),
        None => String::new(),
    };
    // "." is the whole object, "?" a place that cannot be named.
    if path == "." || path == "?" {
        path.clear();
    }
    if let Some((end, _)) = path.char_indices().nth(MAX_FIELD) {
        path.truncate(end);
        path.push('…');
    }
    Some((path, words(traced.inner())))
}

/// The words of the parser, with JSON's names for what was expected in place of Rust's.
fn plain(text: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let is_number = found.starts_with("invalid value: integer");
    let expected = match expected {
        "u16" if is_number => "one from 0 to 65535",
        "u32" if is_number => "one from 0 to 4294967295",
        "u64" if is_number => "one from 0 on",
        "u16" | "u32" | "u64" => "a whole number",
        "a sequence" => "a list, [...]",
        "a map" => "an object, {...}",
        of if of.starts_with("struct ") => "an object, {...}",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// The rules, for the object under a key.
struct Judge<'a>(&'a Key);

impl Judge<'_> {
    fn fail<T>(&self, field: impl Into<String>, problem: impl Into<String>, remedy: &str) -> Result<T, Invalid> {
        Err(Invalid::new(self.0, field, problem, remedy))
    }

    fn meta(&self, meta: &Meta) -> Result<(), Invalid> {
        if meta.description.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
            return self.fail("description", format!("it has more than {MAX_TEXT} bytes"), "shorten it");
        }
        if meta.labels.len() > MAX_LABELS {
            let problem = format!("there are {}", meta.labels.len());
            return self.fail("labels", problem, &format!("use at most {MAX_LABELS}"));
        }
        for (label, value) in &meta.labels {
            if label.is_empty() {
                return self.fail("labels", "a label has no name", "name it, like team=red");
            }
            if label.len() > MAX_TEXT || value.len() > MAX_TEXT {
                return self.fail("labels", format!("one has more than {MAX_TEXT} bytes"), "shorten it");
            }
        }
        Ok(())
    }

    fn mac(&self, mac: Mac) -> Result<(), Invalid> {
        if mac.is_zero() {
            return self.fail("mac", format!("{mac} is nobody's address"), "use a unicast one, like f2:01:0a:14:01:02");
        }
        if mac.is_multicast() {
            let problem = format!("{mac} is a multicast address");
            return self.fail("mac", problem, "use a unicast one, with an even first byte, like f2:01:0a:14:01:02");
        }
        Ok(())
    }

    /// An address that one port may have. Link-local ones are allowed: a guest may use only that.
    fn host<F: Into<String>>(&self, field: impl FnOnce() -> F, ip: IpAddr) -> Result<(), Invalid> {
        let what = match ip {
            _ if ip.is_unspecified() => "the unspecified address",
            _ if ip.is_multicast() => "a multicast address",
            _ if ip.is_loopback() => "a loopback address",
            IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
            IpAddr::V4(v4) if v4.octets()[0] == 0 => "an address of 0.0.0.0/8, which means \"this network\"",
            IpAddr::V4(v4) if v4.octets()[0] >= 240 => "an address of the reserved 240.0.0.0/4",
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address in IPv6 clothes",
            _ => return Ok(()),
        };
        self.fail(field(), format!("{ip} is {what}"), "use a unicast address, like 10.20.1.2 or fd00:20:1::2")
    }

    fn count(&self, field: &str, count: usize) -> Result<(), Invalid> {
        match count {
            0 => self.fail(field, "there is none", "give at least one"),
            n if n > MAX_ADDRESSES => {
                self.fail(field, format!("there are {n}"), &format!("use at most {MAX_ADDRESSES}"))
            }
            _ => Ok(()),
        }
    }

    fn unique(&self, field: &str, addresses: impl Iterator<Item = IpAddr> + Clone) -> Result<(), Invalid> {
        // Most have one or two: then a set costs more than it spares.
        let mut seen = BTreeSet::new();
        let few = addresses.clone().nth(FEW).is_none();
        for (i, ip) in addresses.clone().enumerate() {
            if if few { addresses.clone().take(i).any(|other| other == ip) } else { !seen.insert(ip) } {
                return self.fail(format!("{field}[{i}]"), format!("{ip} stands there twice"), "name it once");
            }
        }
        Ok(())
    }

    fn router(&self, router: &LogicalRouter) -> Result<(), Invalid> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = router.ecmp_hash.iter().find(|field| !seen.insert(**field)) {
            return self.fail("ecmp_hash", format!("{twice} is there twice"), "name each field once");
        }
        self.meta(&router.meta)
    }

    fn switch(&self, switch: &LogicalSwitch) -> Result<(), Invalid> {
        if let Some(mtu) = switch.mtu.filter(|mtu| *mtu < mtu::LEAST) {
            let remedy = format!("use {} at least, or leave it out for what the hosts can carry", mtu::LEAST);
            return self.fail("mtu", format!("{mtu} is less than IPv6 needs"), &remedy);
        }
        self.meta(&switch.meta)
    }

    fn switch_port(&self, port: &SwitchPort) -> Result<(), Invalid> {
        if let Some(patch) = &port.patch {
            return self.patch(port, patch);
        }
        match port.mac {
            Some(mac) => self.mac(mac)?,
            None => return self.fail("mac", "there is none", "give one, like f2:01:0a:14:01:02"),
        }
        self.count("ips", port.ips.len())?;
        for (i, ip) in port.ips.iter().enumerate() {
            self.host(|| format!("ips[{i}]"), *ip)?;
        }
        self.unique("ips", port.ips.iter().copied())?;
        self.meta(&port.meta)
    }

    fn patch(&self, port: &SwitchPort, patch: &Patch) -> Result<(), Invalid> {
        let remedy = "leave it out, or leave out patch";
        if port.mac.is_some() {
            return self.fail("mac", "a patch port has no MAC address", remedy);
        }
        if !port.ips.is_empty() {
            return self.fail("ips", "a patch port has no addresses", remedy);
        }
        if port.peer.is_some() {
            return self.fail("peer", "a patch port is no end of a link", remedy);
        }
        let bridge = &patch.bridge;
        if bridge.len() > Patch::MAX_BRIDGE {
            let problem =
                format!("\"{bridge}\" has {} bytes, and no bridge has more than {}", bridge.len(), Patch::MAX_BRIDGE);
            return self.fail("patch.bridge", problem, "give the bridge's name, as ovs-vsctl list-br shows it");
        }
        if bridge.as_str() == Patch::INTEGRATION {
            let problem = format!("{bridge} is the bridge of the virtual network itself");
            return self.fail("patch.bridge", problem, "give one that has a physical port, like br-ex");
        }
        if let Some(vlan) = patch.vlan.filter(|vlan| !(1..=Patch::MAX_VLAN).contains(vlan)) {
            let remedy = format!("use 1 to {}, or leave it out for untagged frames", Patch::MAX_VLAN);
            return self.fail("patch.vlan", format!("{vlan} is no VLAN"), &remedy);
        }
        self.meta(&port.meta)
    }

    fn router_port(&self, port: &RouterPort) -> Result<(), Invalid> {
        self.mac(port.mac)?;
        self.count("nets", port.nets.len())?;
        for (i, net) in port.nets.iter().enumerate() {
            self.interface(&format!("nets[{i}]"), *net)?;
        }
        self.unique("nets", port.nets.iter().map(IpNet::addr))?;
        self.meta(&port.meta)
    }

    /// A router's own address in a network: an address that a host may have there.
    fn interface(&self, field: &str, net: IpNet) -> Result<(), Invalid> {
        self.host(|| field, net.addr())?;
        if net.prefix_len() == 0 {
            return self.fail(field, format!("{net} is connected to everything"), "give the network's prefix length");
        }
        // Two-address networks (RFC 3021, RFC 6164) and single addresses use every address that they have.
        let roomy = net.max_prefix_len() - net.prefix_len() >= 2;
        if roomy && net.addr() == net.network() {
            let problem = format!("{net} is the network itself, not an address in it");
            return self.fail(field, problem, "give the router's own address, like 10.20.1.1/24");
        }
        if roomy && net.addr().is_ipv4() && net.addr() == net.broadcast() {
            let problem = format!("{net} is the broadcast address of its network");
            return self.fail(field, problem, "give the router's own address, like 10.20.1.1/24");
        }
        Ok(())
    }

    fn route(&self, route: &StaticRoute) -> Result<(), Invalid> {
        let (prefix, hop) = (route.prefix, route.next_hop);
        if prefix != prefix.trunc() {
            let problem = format!("{prefix} has bits set after its first {}", prefix.prefix_len());
            return self.fail("prefix", problem, &format!("write {}", prefix.trunc()));
        }
        if prefix.prefix_len() > 0 && prefix.network().is_multicast() {
            return self.fail("prefix", format!("{prefix} is multicast"), "routes serve unicast destinations only");
        }
        self.host(|| "next_hop", hop)?;
        if prefix.addr().is_ipv4() != hop.is_ipv4() {
            let problem = format!("{hop} and the prefix {prefix} are of different families");
            return self.fail("next_hop", problem, "use an IPv4 next hop for IPv4 and an IPv6 one for IPv6");
        }
        self.meta(&route.meta)
    }

    fn nat(&self, rule: &NatRule) -> Result<(), Invalid> {
        let (kind, prefix) = (rule.kind, rule.prefix);
        if prefix != prefix.trunc() {
            let problem = format!("{prefix} has bits set after its first {}", prefix.prefix_len());
            return self.fail("prefix", problem, &format!("write {}", prefix.trunc()));
        }
        match kind {
            NatKind::Snat if prefix.prefix_len() > 0 && prefix.network().is_multicast() => {
                return self.fail(
                    "prefix",
                    format!("{prefix} is multicast"),
                    "give the inner network, like 10.0.0.0/8",
                );
            }
            NatKind::Snat => {}
            NatKind::Dnat | NatKind::Floating => {
                if prefix.prefix_len() < prefix.max_prefix_len() {
                    let whose = if kind == NatKind::Dnat { "external" } else { "inner" };
                    let problem = format!("{prefix} is a network, and {kind} translates one address");
                    let remedy = format!("give the {whose} address, with /{}", prefix.max_prefix_len());
                    return self.fail("prefix", problem, &remedy);
                }
                self.host(|| "prefix", prefix.addr())?;
            }
        }
        self.host(|| "xlate_ip", rule.xlate_ip)?;
        if prefix.addr().is_ipv4() != rule.xlate_ip.is_ipv4() {
            let problem = format!("{} and the prefix {prefix} are of different families", rule.xlate_ip);
            return self.fail("xlate_ip", problem, "translate IPv4 to IPv4 and IPv6 to IPv6");
        }
        if kind != NatKind::Snat && rule.xlate_ip == prefix.addr() {
            return self.fail("xlate_ip", format!("{} is the prefix itself", rule.xlate_ip), "give the other address");
        }
        if rule.distributed && kind != NatKind::Floating {
            let problem = format!("{kind} keeps state and cannot be distributed");
            return self.fail("distributed", problem, "leave it out, or make it a floating rule");
        }
        self.meta(&rule.meta)
    }

    fn chassis(&self, chassis: &Chassis) -> Result<(), Invalid> {
        if chassis.encaps.len() > MAX_ADDRESSES || chassis.roles.len() > MAX_ADDRESSES {
            let problem = format!("there are more than {MAX_ADDRESSES} encaps or roles");
            return self.fail("encaps", problem, "name fewer");
        }
        for (i, encap) in chassis.encaps.iter().enumerate() {
            // Loopback is allowed here: hosts that are processes of one machine may speak over it.
            if encap.ip.is_unspecified() || encap.ip.is_multicast() {
                let problem = format!("{} is no address of a host", encap.ip);
                return self.fail(format!("encaps[{i}].ip"), problem, "use the host's own address on the underlay");
            }
        }
        let range = mtu::LEAST_UNDERLAY..=mtu::MOST_UNDERLAY;
        if let Some(mtu) = chassis.mtu.filter(|mtu| !range.contains(mtu)) {
            let remedy = format!("use {} to {}, or leave it out", mtu::LEAST_UNDERLAY, mtu::MOST_UNDERLAY);
            return self.fail("mtu", format!("{mtu} is no device's MTU"), &remedy);
        }
        self.meta(&chassis.meta)
    }
}
