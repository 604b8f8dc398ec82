//! Ethernet (MAC) addresses.

use crate::text;
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// An Ethernet address, written `f2:01:0a:14:01:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address of a port whose owner chose none: `f2:01` and the four bytes of its IPv4 address.
    pub fn derived(ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Self([0xf2, 0x01, a, b, c, d])
    }
    /// The address of a port with these addresses whose owner chose none: derived from the first IPv4 address, or, if there is
    /// none, `f2:02` and the last four bytes of the first IPv6 address. `None` without any address.
    pub fn derived_from(ips: &[IpAddr]) -> Option<Self> {
        let v4 = ips.iter().find_map(|ip| if let IpAddr::V4(v4) = ip { Some(Self::derived(*v4)) } else { None });
        v4.or_else(|| match ips.first()? {
            IpAddr::V6(v6) => {
                let [.., a, b, c, d] = v6.octets();
                Some(Self([0xf2, 0x02, a, b, c, d]))
            }
            IpAddr::V4(v4) => Some(Self::derived(*v4)),
        })
    }
    /// Broadcast and multicast addresses have the lowest bit of the first byte set (IEEE 802, group bit).
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
    /// All zeros: nobody's address.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("\"{s}\" is not a MAC address: write six bytes in hex, like f2:01:0a:14:01:02");
        let mut bytes = [0; 6];
        let mut parts = s.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| matches!(p.len(), 1 | 2)).ok_or_else(bad)?;
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
