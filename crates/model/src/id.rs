//! Numbers that travel on the wire: datapath ids and port ids.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Id of a datapath (a logical switch or router): it travels as the tunnel's VNI, hence 24 bits. 0 is no datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct DatapathId(u32);

/// Id of a port within its datapath: 16 bits of the Geneve option. 0 is no port; [`PortId::FLOOD`] and above are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PortId(u16);

impl DatapathId {
    /// The largest id: all of the VNI's 24 bits.
    pub const MAX: u32 = 0x00ff_ffff;
    /// `None` unless 1..=[`DatapathId::MAX`].
    pub const fn new(id: u32) -> Option<Self> {
        if id >= 1 && id <= Self::MAX { Some(Self(id)) } else { None }
    }
    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl PortId {
    /// The largest id that a port may have; those above are reserved.
    pub const MAX: u16 = 0xfeff;
    /// Destination "every port of the switch" in the Geneve option.
    pub const FLOOD: u16 = 0xffff;
    /// `None` unless 1..=[`PortId::MAX`].
    pub const fn new(id: u16) -> Option<Self> {
        if id >= 1 && id <= Self::MAX { Some(Self(id)) } else { None }
    }
    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for DatapathId {
    type Error = String;
    fn try_from(id: u32) -> Result<Self, String> {
        Self::new(id).ok_or_else(|| format!("{id} is not a datapath id: use 1 to {}", Self::MAX))
    }
}

impl TryFrom<u16> for PortId {
    type Error = String;
    fn try_from(id: u16) -> Result<Self, String> {
        Self::new(id).ok_or_else(|| format!("{id} is not a port id: use 1 to {}", Self::MAX))
    }
}

impl From<DatapathId> for u32 {
    fn from(id: DatapathId) -> u32 {
        id.0
    }
}

impl From<PortId> for u16 {
    fn from(id: PortId) -> u16 {
        id.0
    }
}

impl fmt::Display for DatapathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
