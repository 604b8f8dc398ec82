//! What can be said to `tpctl trace`, and what of it contradicts itself.

use super::world::World;
use crate::commands::usage;
use clap::ArgAction;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};
use tuplenet_model::{
    mac::Mac,
    name::Name,
    trace::{MAX_FRAME, MIN_FRAME, from_hex},
};
use tuplenet_sim::probe::What;

/// For the long help.
const EXAMPLES: &str = "\
Exit code: 0 delivered or answered, 1 not, 2 wrong usage.

Examples:
  tpctl trace vm1 --to 10.20.2.2                     an echo request, through the hosts
  tpctl trace LS-A/vm1 --to fd00:20:2::2 --tcp 443   the first packet of a connection
  tpctl trace vm1 --to 10.20.2.2 --simulate          through computed tables, no host involved
  tpctl trace vm1 --to 10.20.2.2 --simulate --with new.yaml   what a change would change
  tpctl trace vm1 --to 10.20.2.2 --file net.yaml     in a network that is in no store
  tpctl trace --all-pairs LS-A LS-B                  every port to every other, prints what fails";

/// `tpctl trace ...`
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
#[group(skip)]
pub struct Args {
    /// The port where the packet starts: its name, or SWITCH/PORT where several switches have one of that name
    #[arg(required_unless_present = "all_pairs")]
    pub lsp: Option<PortName>,
    /// Where it is to go
    #[arg(long, value_name = "IP", required_unless_present_any = ["hex", "all_pairs"])]
    pub to: Option<IpAddr>,
    /// An echo request; this is what is sent if nothing else is said
    #[arg(long, group = "what")]
    pub icmp: bool,
    /// The first packet of a TCP connection to that port
    #[arg(long, value_name = "PORT", group = "what")]
    pub tcp: Option<u16>,
    /// A UDP packet to that port
    #[arg(long, value_name = "PORT", group = "what")]
    pub udp: Option<u16>,
    /// The ARP request for the address
    #[arg(long, group = "what", conflicts_with_all = ["ttl", "dst_mac"])]
    pub arp: bool,
    /// The neighbour solicitation for the address
    #[arg(long, group = "what", conflicts_with_all = ["ttl", "dst_mac"])]
    pub nd: bool,
    /// Its source; the port's own address of that family if left out
    #[arg(long, value_name = "IP")]
    pub src: Option<IpAddr>,
    /// Its source MAC; the port's own if left out
    #[arg(long, value_name = "M")]
    pub src_mac: Option<Mac>,
    /// Its destination MAC; that of the destination, or of the gateway to it, if left out
    #[arg(long, value_name = "M")]
    pub dst_mac: Option<Mac>,
    /// Its TTL or hop limit; 64 if left out
    #[arg(long, value_name = "N")]
    pub ttl: Option<u8>,
    /// Bytes of the IP packet; as many as it takes if left out
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["arp", "nd"])]
    pub size: Option<u16>,
    /// The whole frame in hex, from the destination MAC on, instead of all that
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["to", "what", "src", "src_mac", "dst_mac", "ttl", "size"])]
    pub hex: Option<String>,
    /// Send nothing: walk the packet through the tables that the rules compute for every host
    #[arg(long)]
    pub simulate: bool,
    /// Simulate in the network of a document, as "apply" takes it; no store is asked. "-" reads it from standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Simulate once more with this document applied, and show what changes
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    /// Simulate as if that chassis had that port; may be repeated
    #[arg(long, value_name = "LSP=CHASSIS", action = ArgAction::Append)]
    pub at: Vec<Place>,
    /// From every port of these switches to every other one, in each family that both have
    #[arg(long, value_name = "LS", num_args = 1.., conflicts_with_all = ["lsp", "to", "arp", "nd", "src", "src_mac", "dst_mac", "hex"])]
    pub all_pairs: Vec<Name>,
}

impl Args {
    /// Ends the program (exit code 2) if what was said contradicts itself in a way that clap does not see.
    pub fn check(&self) {
        if !self.simulates() && (self.with.is_some() || !self.at.is_empty()) {
            usage("trace", "--with and --at change nothing on real hosts: add --simulate");
        }
        let stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if stdin(&self.file) && stdin(&self.with) {
            usage("trace", "--file and --with cannot both be standard input");
        }
        if let (Some(to), Some(src)) = (self.to, self.src)
            && to.is_ipv4() != src.is_ipv4()
        {
            usage("trace", &format!("--src {src} and --to {to} are of two families"));
        }
        match self.to {
            Some(to) if self.arp && to.is_ipv6() => {
                usage("trace", &format!("--arp asks for IPv4 addresses, {to} is none: use --nd"))
            }
            Some(to) if self.nd && to.is_ipv4() => {
                usage("trace", &format!("--nd asks for IPv6 addresses, {to} is none: use --arp"))
            }
            Some(to) if self.arp || self.nd || !to.is_unspecified() => {}
            Some(to) => usage("trace", &format!("--to {to} is nobody's address")),
            None => {}
        }
        if let Some(Err(problem)) = self.hex.as_deref().map(frame) {
            usage("trace", &format!("--hex: {problem}"));
        }
    }

    /// Refuses a port to be placed that is neither there before a change nor after it.
    pub fn check_places(&self, before: &World, after: &World) -> anyhow::Result<()> {
        for place in &self.at {
            if before.resolve(&place.port).is_err() {
                after.resolve(&place.port)?;
            }
        }
        Ok(())
    }

    /// Whether no host is involved.
    pub fn simulates(&self) -> bool {
        self.simulate || self.file.is_some()
    }

    /// What is sent, unless it is given as bytes.
    pub fn what(&self) -> What {
        match (self.tcp, self.udp) {
            (Some(port), _) => What::Tcp(port),
            (_, Some(port)) => What::Udp(port),
            _ if self.arp => What::Arp,
            _ if self.nd => What::Nd,
            _ => What::Icmp,
        }
    }
}

/// Reads a frame in hex; colons and blanks between the bytes are allowed.
pub fn frame(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let frame = from_hex(&digits)?;
    match frame.len() {
        short @ ..MIN_FRAME => {
            Err(format!("{short} bytes are no Ethernet frame, which has {MIN_FRAME} at least: two MACs and the type"))
        }
        long if long > MAX_FRAME => Err(format!("{long} bytes are more than the {MAX_FRAME} that a frame may have")),
        _ => Ok(frame),
    }
}

/// `PORT` or `SWITCH/PORT`.
#[derive(Clone, Debug)]
pub struct PortName {
    /// The switch, if it was named.
    pub ls: Option<Name>,
    /// The port.
    pub lsp: Name,
}

impl FromStr for PortName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((ls, lsp)) => Ok(Self { ls: Some(ls.parse()?), lsp: lsp.parse()? }),
            None => Ok(Self { ls: None, lsp: text.parse()? }),
        }
    }
}

/// `PORT=CHASSIS` or `SWITCH/PORT=CHASSIS`.
#[derive(Clone, Debug)]
pub struct Place {
    /// The port.
    pub port: PortName,
    /// Who is to have it.
    pub chassis: Name,
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (port, chassis) = text.split_once('=').ok_or("write LSP=CHASSIS, like vm1=hv1")?;
        Ok(Self { port: port.parse()?, chassis: chassis.parse()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_are_read_or_refused_with_the_reason() {
        let bytes: Vec<u8> = (0..20).collect();
        let plain: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let colons: String = bytes.iter().map(|byte| format!("{byte:02X}:")).collect();
        assert_eq!(frame(&plain).unwrap(), bytes);
        assert_eq!(frame(&colons).unwrap(), bytes);
        for (text, problem) in [
            ("00112233445566778899aabbcc", "13 bytes are no Ethernet frame"),
            ("", "0 bytes"),
            ("001", "3 hexadecimal digits are not whole bytes"),
            ("0x11", "`x` at place 2"),
            ("héllo", "`h` at place 1"),
            (&"00".repeat(9_019), "9019 bytes are more than"),
        ] {
            let said = frame(text).unwrap_err();
            assert!(said.contains(problem), "{said}");
        }
        assert_eq!(frame(&"ff".repeat(9_018)).unwrap().len(), 9_018);
        assert_eq!(frame(&"ff".repeat(14)).unwrap(), [255; 14]);
    }

    #[test]
    fn names_and_places_are_read() {
        let place: Place = "LS-A/vm1=hv1".parse().unwrap();
        assert_eq!(
            (place.port.ls.unwrap().as_str(), place.port.lsp.as_str(), place.chassis.as_str()),
            ("LS-A", "vm1", "hv1")
        );
        assert!("vm1".parse::<PortName>().unwrap().ls.is_none());
        for wrong in ["vm1", "=hv1", "vm1=", "a/b/c=d"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
