//! What words are made of: a packet where it ended, and names for what it carries.

use crate::{
    host::Host,
    names::Names,
    packet::{Packet, Slot},
    path::Kind,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_model::{entity::SwitchPort, key::Key, mac::Mac, name::Name};
use tuplenet_openflow::field;
use tuplenet_rules::register;

/// All that words are made of.
pub(super) struct Case<'a> {
    pub(super) names: &'a Names,
    pub(super) host: Option<&'a Host>,
    pub(super) chassis: &'a Name,
    pub(super) packet: &'a Packet,
    pub(super) table: u8,
    pub(super) datapath: Option<(Kind, &'a Name)>,
}

impl Case<'_> {
    /// The datapath's name.
    pub(super) fn here(&self) -> String {
        self.datapath.map_or_else(|| "no datapath".to_owned(), |(_, name)| name.to_string())
    }

    pub(super) fn switch(&self) -> Option<&Name> {
        self.datapath.and_then(|(kind, name)| (kind == Kind::Ls).then_some(name))
    }

    /// The port that a register names.
    pub(super) fn port(&self, register: &'static tuplenet_openflow::Field) -> String {
        let number = self.packet.number(register).unwrap_or(0) as u32;
        let datapath = self.packet.number(register::DATAPATH).unwrap_or(0) as u32;
        self.names
            .port(datapath, number)
            .map_or_else(|| format!("port {number} of {}", self.here()), ToString::to_string)
    }

    pub(super) fn destination(&self) -> Option<IpAddr> {
        address(self.packet, field::IPV4_DST, field::IPV6_DST)
    }

    pub(super) fn mac(&self) -> Mac {
        mac(self.packet.slot(Slot::EthDst))
    }

    pub(super) fn next_hop(&self) -> IpAddr {
        let next = match self.destination() {
            Some(IpAddr::V6(_)) => self.packet.number(register::NEXT_HOP6).map(|ip| IpAddr::from(Ipv6Addr::from(ip))),
            _ => self.packet.number(register::NEXT_HOP4).map(|ip| IpAddr::from(Ipv4Addr::from(ip as u32))),
        };
        next.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    pub(super) fn is_error(&self) -> bool {
        match (self.packet.number(field::ICMPV4_TYPE), self.packet.number(field::ICMPV6_TYPE)) {
            (Some(kind), _) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (None, kind) => kind.is_some_and(|kind| kind < 128),
        }
    }

    /// A port of a switch, one that is not set aside before one that is.
    pub(super) fn find<'n>(&'n self, ls: &'n Name, wanted: impl Fn(&SwitchPort) -> bool) -> Option<&'n Name> {
        let rejected = |lsp: &Name| {
            let key = Key::Lsp(ls.clone(), lsp.clone()).to_string();
            self.host.is_some_and(|host| host.engine().rejected().any(|reject| reject.key == key))
        };
        let found = self.names.switch_ports(ls).filter(|(_, port)| wanted(port)).map(|(lsp, _)| lsp);
        found.min_by_key(|lsp| rejected(lsp))
    }
}

/// The address in the one field or the other, by the packet's family.
pub(super) fn address(
    packet: &Packet,
    v4: &'static tuplenet_openflow::Field,
    v6: &'static tuplenet_openflow::Field,
) -> Option<IpAddr> {
    match packet.number(v4) {
        Some(ip) => Some(Ipv4Addr::from(ip as u32).into()),
        None => packet.number(v6).map(|ip| Ipv6Addr::from(ip).into()),
    }
}

/// Of a field's low 48 bits.
pub(super) fn mac(number: u128) -> Mac {
    let [.., a, b, c, d, e, f] = number.to_be_bytes();
    Mac([a, b, c, d, e, f])
}
