//! By what a router chooses among static routes of equal prefix.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A part of a packet. What differs in no part of those that count takes the same route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EcmpField {
    /// Source address.
    NwSrc,
    /// Destination address.
    NwDst,
    /// Protocol above IP. Later fragments of an IPv6 packet have another one than the first, and may so go another way: that breaks what is to be put together on the way
    /// (NAT).
    IpProto,
    /// Source port of TCP, UDP or SCTP. Fragments have none.
    L4Src,
    /// Destination port of TCP, UDP or SCTP. Fragments have none.
    L4Dst,
}

impl EcmpField {
    /// All of them. If nothing is said, all but the protocol count: what belongs to one connection takes one route.
    pub const ALL: [Self; 5] = [Self::NwSrc, Self::NwDst, Self::IpProto, Self::L4Src, Self::L4Dst];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::NwSrc => "nw_src",
            Self::NwDst => "nw_dst",
            Self::IpProto => "ip_proto",
            Self::L4Src => "l4_src",
            Self::L4Dst => "l4_dst",
        }
    }
}

impl fmt::Display for EcmpField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EcmpField {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|field| field.name() == text);
        found.ok_or_else(|| format!("\"{text}\" is none of nw_src, nw_dst, ip_proto, l4_src, l4_dst"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_store() {
        for field in EcmpField::ALL {
            assert_eq!(serde_json::to_value(field).ok(), Some(field.name().into()));
            assert_eq!(field.name().parse(), Ok(field));
        }
        assert!("tcp_src".parse::<EcmpField>().is_err());
    }
}
