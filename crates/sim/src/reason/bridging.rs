//! Why a packet ended in a switch, or before it was in one.

use super::{absent::absent, case::Case};
use crate::packet::{Slot, TAGGED};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_openflow::field;
use tuplenet_rules::{register, stage};

impl Case<'_> {
    pub(super) fn entry(&self) -> String {
        let number = self.packet.slot(Slot::InPort) as u32;
        let Some((ls, lsp)) = self.host.and_then(|host| host.port_at(number)) else {
            return match self.host.and_then(|host| host.tunnel_at(number)) {
                Some(kind) => format!("it came by a tunnel ({kind:?}) that {} does not use", self.chassis),
                None => format!("no port of {} has the number {number}", self.chassis),
            };
        };
        absent(self.names, self.host, self.chassis, ls, lsp)
    }

    /// Who is it for, that nobody has?
    pub(super) fn no_such_mac(&self) -> String {
        let here = self.here();
        let Some(ls) = self.switch() else { return format!("no port of {here} has the MAC address {}", self.mac()) };
        let tagged = self.packet.slot(Slot::Vlan) & TAGGED != 0;
        // Nobody answers a question with a tag: it goes on as any frame.
        let asked = match self.packet.number(field::ARP_OP).filter(|_| !tagged) {
            Some(1) => self.packet.number(field::ARP_TPA).map(|ip| IpAddr::from(Ipv4Addr::from(ip as u32))),
            _ if self.packet.has(field::ND_SLL) && !tagged => {
                self.packet.number(field::ND_TARGET).map(|ip| Ipv6Addr::from(ip).into())
            }
            _ => None,
        };
        if self.packet.slot(Slot::EthDst) >> 40 & 1 == 1 {
            let Some(ip) = asked else {
                return format!("{here} does not flood: what is sent to all ({}) reaches nobody", self.mac());
            };
            return match self.find(ls, |port| port.ips.contains(&ip)) {
                Some(lsp) if lsp.as_str() == self.port(register::SRC_PORT) => {
                    format!("{ip} is the sender's own address: nobody else on {here} has it")
                }
                Some(lsp) => absent(self.names, self.host, self.chassis, ls, lsp),
                None => format!("{ip} is nobody's address on {here}"),
            };
        }
        match self.find(ls, |port| port.mac == Some(self.mac())) {
            Some(lsp) => absent(self.names, self.host, self.chassis, ls, lsp),
            None => format!("no port of {here} has the MAC address {}", self.mac()),
        }
    }

    /// The destination port is known, and is no port of this host.
    pub(super) fn not_here(&self) -> String {
        let number = self.packet.number(register::DST_PORT).unwrap_or(0) as u32;
        let datapath = self.packet.number(register::DATAPATH).unwrap_or(0) as u32;
        if number == register::FLOOD {
            return format!("{} does not flood: what is sent to all reaches nobody", self.here());
        }
        let by_tunnel = self.packet.number(register::FLAGS).unwrap_or(0) & u128::from(register::FROM_TUNNEL) != 0;
        let (Some(ls), Some(lsp)) = (self.switch(), self.names.port(datapath, number)) else {
            return format!("{} has no port with the id {number}", self.here());
        };
        let why = absent(self.names, self.host, self.chassis, ls, lsp);
        if by_tunnel {
            format!("another host sent it here for {lsp}, which {} does not have: {why}", self.chassis)
        } else {
            why
        }
    }

    pub(super) fn flood(&self) -> String {
        if self.table == stage::LSP_INGRESS_LOOKUP_DST_PORT.table {
            format!("{} is reserved for the protocols of bridges: no switch passes it on (IEEE 802.1Q)", self.mac())
        } else if self.table == stage::LSP_TRACE_INGRESS_OUT.table {
            "it came as another host's copy for all ports; that host sends the other hosts theirs".to_owned()
        } else {
            format!("{} has no port here to flood it to", self.here())
        }
    }

    /// Another chassis does at a patch port what this one leaves.
    pub(super) fn patch_elsewhere(&self) -> String {
        let t = self.table;
        if t == stage::LSP_EGRESS_JUDGE_LOOPBACK.table {
            format!(
                "it went out by the patch port of the host that sent it, so it does not by {}",
                self.port(register::DST_PORT)
            )
        } else if t == stage::LSP_TRACE_INGRESS_OUT.table {
            "it came in by a patch port, and the other hosts have it by theirs".to_owned()
        } else {
            format!(
                "it came in by a patch port, and another host takes it in: {} does not speak for that address there",
                self.chassis
            )
        }
    }
}
