//! What should be: the bridge as this host's options want it, and what is beside it as the rules derive it.

pub mod export;

use anyhow::{Result, bail};
use export::Export;
use std::{collections::BTreeMap, fmt, net::IpAddr};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_rules::PatchPair;

/// A tunnel end point of another chassis.
pub type End = (EncapKind, IpAddr);

/// Which datapath the bridge gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatapathType {
    /// The kernel's if Open vSwitch offers it, else userspace.
    Auto,
    /// The kernel's.
    System,
    /// Userspace.
    Netdev,
    /// None at all: Open vSwitch's own, for tests (`ovs-vswitchd --enable-dummy`).
    Dummy,
}

impl DatapathType {
    /// As Open vSwitch calls it; `None` for [`DatapathType::Auto`].
    pub fn name(self) -> Option<&'static str> {
        match self {
            DatapathType::Auto => None,
            DatapathType::System => Some("system"),
            DatapathType::Netdev => Some("netdev"),
            DatapathType::Dummy => Some("dummy"),
        }
    }
}

/// What of a host's traffic takes its own IP stack: see [`super::own_stack`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl Families {
    /// Reads the option: `ipv4`, `ipv6`, both with a comma between, or `true` and `false`.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let mut families = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "ipv4" => families.ipv4 = true,
                "ipv6" => families.ipv6 = true,
                "true" => families = Self { ipv4: true, ipv6: true },
                "" | "false" if text == word => return Ok(None),
                other => bail!("--untunnel \"{other}\": use ipv4, ipv6, or nothing for both"),
            }
        }
        Ok(Some(families))
    }

    /// As they are told.
    pub fn names(self) -> Vec<&'static str> {
        [(self.ipv4, "ipv4"), (self.ipv6, "ipv6")].into_iter().filter_map(|(on, name)| on.then_some(name)).collect()
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.ipv4, self.ipv6) {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4",
            _ => "IPv6",
        })
    }
}

/// What the bridge should be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub bridge: String,
    /// Its datapath.
    pub datapath_type: DatapathType,
    /// Whether the kernel has Open vSwitch's datapath: the database lists it in any case.
    pub kernel_datapath: bool,
    /// One flow-based tunnel port for each.
    pub encaps: Vec<EncapKind>,
    /// To whom what passes it is told, and how; at most one a protocol.
    pub exports: Vec<Export>,
    /// Between two packets of a BFD session, in milliseconds. Three that are missing mean that the other end is dead.
    pub bfd_interval: u16,
    /// Of which families this host's own IP stack takes what is for the outside.
    pub untunnel: Option<Families>,
}

/// What there should be beside the bridge, as the rules derive it and as this host stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// The pairs of patch Interfaces, by name; `None`: nobody knows yet which.
    pub patches: Option<&'a BTreeMap<String, PatchPair>>,
    /// The end points that are watched; `None`: nobody knows yet which.
    pub watches: Option<&'a BTreeMap<End, Name>>,
    /// Whether ports for them may be made now.
    pub steady: bool,
    /// Whether the other ends are told not to send here; `None`: nobody knows yet, and it stays as it is.
    pub withdrawn: Option<bool>,
    /// This host is an edge for a moment longer: ports that watch stay, since they say so.
    pub leaving: bool,
    /// Flows that use patch ports which are to go may still be in the switch.
    pub parting: bool,
}
