//! `--ipfix` and `--sflow`: what is told to whom, as the options say it and as a row of the database has it.

use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};
use tuplenet_ovsdb::{Row, Value};

/// How many collectors one export may have. Each gets a copy of everything.
const MAX_TARGETS: usize = 8;

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Flow records, RFC 7011.
    Ipfix,
    /// Sampled headers and counters, version 5.
    Sflow,
}

/// All of them.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Ipfix, Protocol::Sflow];

/// What a setting may be, and where it stands.
enum Kind {
    /// A column: a number of that range.
    Number(i64, i64),
    /// A column: an address, or the name of a network device.
    Place,
    /// A key of `other_config`: `true` or `false`.
    Truth,
    /// A key of `other_config`: text of so many bytes at most.
    Text(usize),
}

const MAX: i64 = u32::MAX as i64;

/// ovs-vswitchd.conf.db(5), table IPFIX, without what concerns sampling by flow.
const IPFIX: [(&str, Kind); 9] = [
    ("sampling", Kind::Number(1, MAX)),
    ("obs_domain_id", Kind::Number(0, MAX)),
    ("obs_point_id", Kind::Number(0, MAX)),
    ("cache_active_timeout", Kind::Number(0, 4200)),
    ("cache_max_flows", Kind::Number(0, MAX)),
    ("enable-input-sampling", Kind::Truth),
    ("enable-output-sampling", Kind::Truth),
    ("enable-tunnel-sampling", Kind::Truth),
    ("virtual_obs_id", Kind::Text(254)),
];

/// The same, table sFlow. Open vSwitch sends at most 256 bytes of a packet's header.
const SFLOW: [(&str, Kind); 4] = [
    ("sampling", Kind::Number(1, MAX)),
    ("polling", Kind::Number(1, 86_400)),
    ("header", Kind::Number(14, 256)),
    ("agent", Kind::Place),
];

impl Protocol {
    /// The option that asks for it.
    pub fn option(self) -> &'static str {
        match self {
            Protocol::Ipfix => "--ipfix",
            Protocol::Sflow => "--sflow",
        }
    }
    /// The table of Open vSwitch's database.
    pub fn table(self) -> &'static str {
        match self {
            Protocol::Ipfix => "IPFIX",
            Protocol::Sflow => "sFlow",
        }
    }
    /// The column of the bridge that refers to it.
    pub fn column(self) -> &'static str {
        match self {
            Protocol::Ipfix => "ipfix",
            Protocol::Sflow => "sflow",
        }
    }
    fn settings(self) -> &'static [(&'static str, Kind)] {
        match self {
            Protocol::Ipfix => &IPFIX,
            Protocol::Sflow => &SFLOW,
        }
    }
    /// The port registered with IANA.
    fn port(self) -> u16 {
        match self {
            Protocol::Ipfix => 4739,
            Protocol::Sflow => 6343,
        }
    }
}

/// To whom, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// How it is told.
    pub protocol: Protocol,
    targets: BTreeSet<String>,
    numbers: BTreeMap<&'static str, i64>,
    places: BTreeMap<&'static str, String>,
    other: BTreeMap<&'static str, String>,
}

impl Export {
    /// Reads `TARGET[,TARGET...][,SETTING=VALUE...]`. `agent` is the address that sFlow tells for this host's if nothing else is said: without one it is silent.
    pub fn parse(protocol: Protocol, text: &str, agent: IpAddr) -> Result<Self> {
        let mut export = Export {
            protocol,
            targets: BTreeSet::new(),
            numbers: BTreeMap::new(),
            places: BTreeMap::new(),
            other: BTreeMap::new(),
        };
        export.read(text).with_context(|| format!("{} \"{text}\"", protocol.option()))?;
        if protocol == Protocol::Sflow {
            export.places.entry("agent").or_insert_with(|| agent.to_string());
        }
        Ok(export)
    }

    fn read(&mut self, text: &str) -> Result<()> {
        let protocol = self.protocol;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                self.targets.insert(target(part, protocol.port())?);
                continue;
            };
            let Some((name, kind)) = protocol.settings().iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = protocol.settings().iter().map(|(name, _)| *name).collect();
                bail!("no setting \"{name}\": there are {}", known.join(", "));
            };
            let fresh = match kind {
                Kind::Number(least, most) => {
                    let number = value.parse().ok().filter(|n| (least..=most).contains(&n));
                    let number = number.with_context(|| format!("{name}: use a number from {least} to {most}"))?;
                    self.numbers.insert(name, number).is_none()
                }
                Kind::Place => {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b".:_-".contains(&b);
                    ensure!(
                        !value.is_empty() && value.len() <= 45 && value.bytes().all(plain),
                        "{name}: use an address or the name of a network device"
                    );
                    self.places.insert(name, value.to_owned()).is_none()
                }
                Kind::Truth => {
                    ensure!(matches!(value, "true" | "false"), "{name}: use true or false");
                    self.other.insert(name, value.to_owned()).is_none()
                }
                Kind::Text(most) => {
                    ensure!((1..=*most).contains(&value.len()), "{name}: use 1 to {most} bytes");
                    self.other.insert(name, value.to_owned()).is_none()
                }
            };
            ensure!(fresh, "{name} is said twice");
        }
        ensure!(!self.targets.is_empty(), "no collector: name one, IP:PORT");
        ensure!(self.targets.len() <= MAX_TARGETS, "more than {MAX_TARGETS} collectors");
        Ok(())
    }

    /// Every column that is ours to set, with its value.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let mut columns = vec![("targets", Value::set(&self.targets))];
        for (name, kind) in self.protocol.settings() {
            match kind {
                Kind::Number(..) => {
                    columns.push((name, self.numbers.get(name).map_or_else(Value::empty, |n| (*n).into())));
                }
                Kind::Place => columns.push((name, self.places.get(name).map_or_else(Value::empty, Value::from))),
                Kind::Truth | Kind::Text(_) => {}
            }
        }
        if self.protocol == Protocol::Ipfix {
            columns.push(("other_config", Value::map(self.other.iter().map(|(k, v)| (*k, v)))));
        }
        columns
    }

    /// Whether a row says just this.
    pub fn is(&self, row: &Row) -> bool {
        let targets = row.strings("targets");
        let same = |(name, kind): &(&str, Kind)| match kind {
            Kind::Number(..) => row.integer(name) == self.numbers.get(name).copied(),
            Kind::Place => row.string(name) == self.places.get(name).map(String::as_str),
            Kind::Truth | Kind::Text(_) => true,
        };
        let other = row.string_map("other_config");
        targets.iter().map(|t| &**t).eq(self.targets.iter().map(String::as_str))
            && self.protocol.settings().iter().all(same)
            && other.iter().map(|(k, v)| (&**k, &**v)).eq(self.other.iter().map(|(k, v)| (*k, v.as_str())))
    }

    /// What setting it up does, in words.
    pub fn words(&self) -> String {
        let targets: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        format!("exporting by {} to {}", self.protocol.table(), targets.join(", "))
    }
}

/// `IP:PORT`, as Open vSwitch wants it. It takes names, too, but looks them up while everything waits.
fn target(text: &str, port: u16) -> Result<String> {
    let address = match (text.parse::<SocketAddr>(), text.trim_matches(['[', ']']).parse::<IpAddr>()) {
        (Ok(address), _) => address,
        (_, Ok(ip)) => SocketAddr::new(ip, port),
        _ => bail!("\"{text}\" is no collector: use IP or IP:PORT, with [ ] around an IPv6 address"),
    };
    ensure!(address.port() != 0 && !address.ip().is_unspecified(), "\"{text}\" is no collector's address");
    Ok(address.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(protocol: Protocol, text: &str) -> Result<Export> {
        Export::parse(protocol, text, "192.0.2.1".parse().unwrap())
    }

    #[test]
    fn targets_and_settings_in_any_order() {
        let export = parse(
            Protocol::Ipfix,
            "198.51.100.1:2055, sampling=64,2001:db8::1,[2001:db8::2]:99,obs_domain_id=0,virtual_obs_id=a b,enable-input-sampling=false",
        )
        .unwrap();
        let targets: Vec<&str> = export.targets.iter().map(String::as_str).collect();
        assert_eq!(targets, ["198.51.100.1:2055", "[2001:db8::1]:4739", "[2001:db8::2]:99"]);
        assert_eq!(export.numbers, BTreeMap::from([("sampling", 64), ("obs_domain_id", 0)]));
        assert_eq!(export.other.get("virtual_obs_id").map(String::as_str), Some("a b"));
        let export = parse(Protocol::Sflow, "198.51.100.1").unwrap();
        assert_eq!(export.targets.first().map(String::as_str), Some("198.51.100.1:6343"));
        assert_eq!(export.places, BTreeMap::from([("agent", "192.0.2.1".to_owned())]));
        let export = parse(Protocol::Sflow, "198.51.100.1,agent=eth0,header=64").unwrap();
        assert_eq!(export.places, BTreeMap::from([("agent", "eth0".to_owned())]));
    }

    #[test]
    fn complaints_name_the_option_and_the_remedy() {
        for (protocol, text, part) in [
            (Protocol::Ipfix, "", "no collector: name one"),
            (Protocol::Ipfix, "sampling=1", "no collector: name one"),
            (Protocol::Ipfix, "collector.example:4739", "use IP or IP:PORT"),
            (Protocol::Ipfix, "198.51.100.1:0", "is no collector's address"),
            (Protocol::Ipfix, "198.51.100.1,sampling=0", "a number from 1 to 4294967295"),
            (Protocol::Ipfix, "198.51.100.1,cache_active_timeout=4201", "a number from 0 to 4200"),
            (Protocol::Ipfix, "198.51.100.1,polling=3", "no setting \"polling\": there are sampling, obs_domain_id"),
            (Protocol::Ipfix, "198.51.100.1,enable-input-sampling=yes", "use true or false"),
            (Protocol::Sflow, "198.51.100.1,sampling=2,sampling=3", "said twice"),
            (Protocol::Sflow, "198.51.100.1,agent=", "an address or the name of a network device"),
        ] {
            let complaint = format!("{:#}", parse(protocol, text).unwrap_err());
            assert!(complaint.starts_with(protocol.option()) && complaint.contains(part), "{complaint}");
        }
        let many: Vec<String> = (1..=9).map(|n| format!("198.51.100.{n}")).collect();
        assert!(parse(Protocol::Sflow, &many.join(",")).is_err());
    }
}
