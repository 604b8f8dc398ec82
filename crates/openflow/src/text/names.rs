//! Tables of names: ports, flags, hashes.

use std::fmt;

use crate::ParseError;
use crate::port;

const PORTS: &[(u32, &str)] = &[
    (port::IN_PORT, "IN_PORT"),
    (port::TABLE, "TABLE"),
    (port::NORMAL, "NORMAL"),
    (port::FLOOD, "FLOOD"),
    (port::ALL, "ALL"),
    (port::CONTROLLER, "CONTROLLER"),
    (port::LOCAL, "LOCAL"),
    (port::ANY, "ANY"),
    (port::UNSET, "UNSET"),
];

/// A port by number or reserved name.
pub(super) fn put_port(f: &mut fmt::Formatter<'_>, number: u32) -> fmt::Result {
    match PORTS.iter().find(|(n, _)| *n == number) {
        Some((_, name)) => f.write_str(name),
        None => write!(f, "{number}"),
    }
}

/// Reads a port; 16-bit reserved numbers are understood too.
pub(super) fn port_of(text: &str) -> Result<u32, ParseError> {
    if text.eq_ignore_ascii_case("NONE") {
        return Ok(port::ANY);
    }
    if let Some((number, _)) = PORTS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Ok(*number);
    }
    let number = super::number::number(text).and_then(|n| u32::try_from(n).ok());
    let number = number.ok_or_else(|| ParseError::new(text, "no port: give a number, or a name like LOCAL"))?;
    Ok(if (0xff00..=0xffff).contains(&number) { number | 0xffff_0000 } else { number })
}

/// The same for those actions that have 16 bits for it.
pub(super) fn port16_of(text: &str) -> Result<u16, ParseError> {
    port::to_16(port_of(text)?).ok_or_else(|| ParseError::new(text, "no port of 16 bits, which this action needs"))
}

pub(super) const CT_STATE: &[&str] = &["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
pub(super) const TCP_FLAGS: &[&str] =
    &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
pub(super) const TUN_FLAGS: &[&str] = &["oam"];

pub(super) const HASH_FIELDS: &[(u16, &str)] = &[
    (0, "eth_src"),
    (1, "symmetric_l4"),
    (2, "symmetric_l3l4"),
    (3, "symmetric_l3l4+udp"),
    (4, "nw_src"),
    (5, "nw_dst"),
    (6, "symmetric_l3"),
];
pub(super) const MULTIPATH_ALGORITHMS: &[(u16, &str)] =
    &[(0, "modulo_n"), (1, "hash_threshold"), (2, "hrw"), (3, "iter_hash")];
pub(super) const BUNDLE_ALGORITHMS: &[(u16, &str)] = &[(0, "active_backup"), (1, "hrw")];
pub(super) const REASONS: &[(u16, &str)] =
    &[(0, "no_match"), (1, "action"), (2, "invalid_ttl"), (3, "action_set"), (4, "group"), (5, "packet_out")];
pub(super) const ALGS: &[(u16, &str)] = &[(21, "ftp"), (69, "tftp")];

/// The name of a number in one of the tables.
pub(super) fn name(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    table.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

/// The number of a name in one of the tables.
pub(super) fn number(table: &[(u16, &'static str)], name: &str) -> Result<u16, ParseError> {
    let found = table.iter().find(|(_, n)| *n == name).map(|(n, _)| *n);
    found.ok_or_else(|| {
        let known: Vec<&str> = table.iter().map(|(_, n)| *n).collect();
        ParseError::new(name, format!("not known here; there are {}", known.join(", ")))
    })
}

/// The table of a field with named bits.
pub(super) fn flags_of(format: crate::field::Format) -> &'static [&'static str] {
    match format {
        crate::field::Format::CtState => CT_STATE,
        crate::field::Format::TcpFlags => TCP_FLAGS,
        _ => TUN_FLAGS,
    }
}

/// `+new-est`, or `new|trk` where all bits are matched.
pub(super) fn put_flags(f: &mut fmt::Formatter<'_>, names: &[&str], flags: u64, mask: Option<u64>) -> fmt::Result {
    let Some(mask) = mask else {
        if flags == 0 {
            return f.write_str("0");
        }
        let mut separator = "";
        for (i, name) in names.iter().enumerate() {
            if flags >> i & 1 != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        let unknown = flags & !((1u64 << names.len()) - 1);
        return if unknown != 0 { write!(f, "{separator}{unknown:#x}") } else { Ok(()) };
    };
    if mask == 0 {
        return f.write_str("0/0");
    }
    for bit in (0..64).filter(|b| mask >> b & 1 != 0) {
        let sign = if flags >> bit & 1 != 0 { '+' } else { '-' };
        write!(f, "{sign}{}", names.get(bit).unwrap_or(&"[Unknown]"))?;
    }
    Ok(())
}

/// A number as C's `%#x` writes it: zero has no `0x`.
pub(super) struct CHex(pub u64);

impl fmt::Display for CHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}
