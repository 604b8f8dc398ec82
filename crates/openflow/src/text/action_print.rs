//! Printing actions and instructions.

use std::fmt::{self, Display};

use super::names::{self, CHex};
use super::value::{Ipv6Text, Shown};
use crate::action::{Bundle, Controller, Ct, Encap, Multipath, Nat, Sample, SetField, Subfield, Zone};
use crate::{Action, Instruction, port};
use std::net::IpAddr;

/// Actions with commas between them.
pub(super) struct List<'a>(pub &'a [Action]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, self.0)
    }
}

pub(super) fn joined<T: Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    let mut separator = "";
    for item in items {
        write!(f, "{separator}{item}")?;
        separator = ",";
    }
    Ok(())
}

/// Arguments with commas between them, each of which may be missing.
struct Args<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    separator: &'static str,
}

impl Args<'_, '_> {
    fn put(&mut self, on: bool, what: impl Display) -> fmt::Result {
        if on {
            write!(self.f, "{}{what}", self.separator)?;
            self.separator = ",";
        }
        Ok(())
    }
}

/// Bytes with dots between them.
struct Dotted<'a>(&'a [u8]);

impl Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for b in self.0 {
            write!(f, "{separator}{b:02x}")?;
            separator = ".";
        }
        Ok(())
    }
}

/// Bytes without anything between them.
struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A port of 16 bits.
struct Port16(u16);

impl Display for Port16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names::put_port(f, port::from_16(self.0))
    }
}

impl Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field().subfield_name())?;
        if self.is_all() {
            f.write_str("[]")
        } else if self.n_bits == 1 {
            write!(f, "[{}]", self.ofs)
        } else {
            write!(f, "[{}..{}]", self.ofs, u32::from(self.ofs) + u32::from(self.n_bits) - 1)
        }
    }
}

impl Display for SetField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, mask) = (self.value(), self.mask());
        let shown = Shown { field: self.field(), value: &value, mask: mask.as_ref() };
        write!(f, "set_field:{shown}->{}", self.field().name)
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Output { port: port::CONTROLLER, max_len } => write!(f, "CONTROLLER:{max_len}"),
            Action::Output { port, .. } => {
                if *port < port::MAX {
                    f.write_str("output:")?;
                }
                names::put_port(f, *port)
            }
            Action::Group(id) => write!(f, "group:{id}"),
            Action::SetField(set) => write!(f, "{set}"),
            Action::Move { src, dst } => write!(f, "move:{src}->{dst}"),
            Action::Resubmit { in_port: Some(port), table: None | Some(u8::MAX), ct: false } => {
                write!(f, "resubmit:{}", Port16(*port))
            }
            Action::Resubmit { in_port, table, ct } => {
                f.write_str("resubmit(")?;
                in_port.map_or(Ok(()), |p| write!(f, "{}", Port16(p)))?;
                f.write_str(",")?;
                table.filter(|t| *t != u8::MAX).map_or(Ok(()), |t| write!(f, "{t}"))?;
                f.write_str(if *ct { ",ct)" } else { ")" })
            }
            Action::DecTtl => f.write_str("dec_ttl"),
            Action::DecTtlIds(ids) => {
                f.write_str("dec_ttl(")?;
                joined(f, ids)?;
                f.write_str(")")
            }
            Action::SetTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
            Action::PushVlan(ethertype) => write!(f, "push_vlan:{ethertype:#x}"),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::PushMpls(ethertype) => write!(f, "push_mpls:{ethertype:#06x}"),
            Action::PopMpls(ethertype) => write!(f, "pop_mpls:{ethertype:#06x}"),
            Action::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
            Action::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Action::SetQueue(id) => write!(f, "set_queue:{id}"),
            Action::PopQueue => f.write_str("pop_queue"),
            Action::Meter(id) => write!(f, "meter:{id}"),
            Action::Controller(c) => controller(f, c),
            Action::Conjunction { id, clause, n_clauses } => {
                write!(f, "conjunction({id},{}/{n_clauses})", u16::from(*clause) + 1)
            }
            Action::Ct(ct) => put_ct(f, ct),
            Action::Nat(nat) => put_nat(f, nat),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Learn(learn) => write!(f, "{learn}"),
            Action::Clone(actions) if actions.is_empty() => f.write_str("clone(drop)"),
            Action::Clone(actions) => write!(f, "clone({})", List(actions)),
            Action::Note(bytes) => write!(f, "note:{}", Dotted(bytes)),
            Action::Multipath(m) => multipath(f, m),
            Action::Bundle(b) => bundle(f, b),
            Action::Sample(s) => sample(f, s),
            Action::CheckPktLarger { pkt_len, dst } => write!(f, "check_pkt_larger({pkt_len})->{dst}"),
            Action::StackPush(part) => write!(f, "push:{part}"),
            Action::StackPop(part) => write!(f, "pop:{part}"),
            Action::OutputReg { src, .. } => write!(f, "output:{src}"),
            Action::OutputTrunc { port, max_len } => write!(f, "output(port={},max_len={max_len})", Port16(*port)),
            Action::FinTimeout { idle, hard } => {
                f.write_str("fin_timeout(")?;
                let mut args = Args { f: &mut *f, separator: "" };
                args.put(*idle != 0, format_args!("idle_timeout={idle}"))?;
                args.put(*hard != 0, format_args!("hard_timeout={hard}"))?;
                f.write_str(")")
            }
            Action::Exit => f.write_str("exit"),
            Action::Encap(e) => encap(f, e),
            Action::Decap(0xfffe) => f.write_str("decap()"),
            Action::Decap(packet_type) => {
                write!(f, "decap(packet_type(ns={},id={:#x}))", packet_type >> 16, packet_type & 0xffff)
            }
            Action::DecNshTtl => f.write_str("dec_nsh_ttl"),
            Action::DeleteField(field) => write!(f, "delete_field:{}", field.name),
            Action::Raw(bytes) => write!(f, "raw:{}", Hex(bytes)),
        }
    }
}

fn controller(f: &mut fmt::Formatter<'_>, c: &Controller) -> fmt::Result {
    let by_action = c.reason == Controller::REASON_ACTION;
    if by_action && c.controller_id == 0 && c.userdata.is_empty() && !c.pause && c.meter_id == 0 {
        return write!(f, "CONTROLLER:{}", c.max_len);
    }
    f.write_str("controller(")?;
    let mut args = Args { f: &mut *f, separator: "" };
    if let Some(name) = names::name(names::REASONS, c.reason.into()) {
        args.put(!by_action, format_args!("reason={name}"))?;
    } else {
        args.put(true, format_args!("reason={}", c.reason))?;
    }
    args.put(c.max_len != u16::MAX, format_args!("max_len={}", c.max_len))?;
    args.put(c.controller_id != 0, format_args!("id={}", c.controller_id))?;
    args.put(!c.userdata.is_empty(), format_args!("userdata={}", Dotted(&c.userdata)))?;
    args.put(c.pause, "pause")?;
    args.put(c.meter_id != 0, format_args!("meter_id={}", c.meter_id))?;
    f.write_str(")")
}

fn put_ct(f: &mut fmt::Formatter<'_>, ct: &Ct) -> fmt::Result {
    f.write_str("ct(")?;
    let mut args = Args { f: &mut *f, separator: "" };
    args.put(ct.commit, "commit")?;
    args.put(ct.force, "force")?;
    args.put(ct.table.is_some(), format_args!("table={}", ct.table.unwrap_or_default()))?;
    match &ct.zone {
        Zone::Fixed(zone) => args.put(*zone != 0, format_args!("zone={zone}"))?,
        Zone::From(part) => args.put(true, format_args!("zone={part}"))?,
    }
    // A `nat` that comes first stands outside of exec().
    let (nat, rest) = match ct.actions.split_first() {
        Some((first @ Action::Nat(_), rest)) => (Some(first), rest),
        _ => (None, ct.actions.as_slice()),
    };
    if let Some(nat) = nat {
        args.put(true, nat)?;
    }
    args.put(!rest.is_empty(), format_args!("exec({})", List(rest)))?;
    match names::name(names::ALGS, ct.alg) {
        Some(alg) => args.put(true, format_args!("alg={alg}"))?,
        None => args.put(ct.alg != 0, format_args!("alg={}", ct.alg))?,
    }
    f.write_str(")")
}

fn put_nat(f: &mut fmt::Formatter<'_>, nat: &Nat) -> fmt::Result {
    f.write_str("nat")?;
    if nat.flags & (Nat::SRC | Nat::DST) == 0 {
        return Ok(());
    }
    f.write_str(if nat.flags & Nat::SRC != 0 { "(src" } else { "(dst" })?;
    if nat.addr_min.is_some() || nat.port_min.is_some() {
        f.write_str("=")?;
    }
    let brackets = nat.port_min.is_some() && matches!(nat.addr_min, Some(IpAddr::V6(_)));
    let addr = |f: &mut fmt::Formatter<'_>, a: &IpAddr| match a {
        IpAddr::V4(a) => write!(f, "{a}"),
        IpAddr::V6(a) if brackets => write!(f, "[{}]", Ipv6Text(*a)),
        IpAddr::V6(a) => write!(f, "{}", Ipv6Text(*a)),
    };
    if let Some(min) = &nat.addr_min {
        addr(f, min)?;
        if let Some(max) = nat.addr_max.as_ref().filter(|max| *max != min) {
            f.write_str("-")?;
            addr(f, max)?;
        }
    }
    if let Some(min) = nat.port_min {
        write!(f, ":{min}")?;
        if let Some(max) = nat.port_max.filter(|max| *max != min) {
            write!(f, "-{max}")?;
        }
    }
    for (flag, name) in [(Nat::PERSISTENT, ",persistent"), (Nat::HASH, ",hash"), (Nat::RANDOM, ",random")] {
        if nat.flags & flag != 0 {
            f.write_str(name)?;
        }
    }
    f.write_str(")")
}

fn multipath(f: &mut fmt::Formatter<'_>, m: &Multipath) -> fmt::Result {
    let fields = names::name(names::HASH_FIELDS, m.fields.0).unwrap_or("<unknown>");
    let algorithm = names::name(names::MULTIPATH_ALGORITHMS, m.algorithm).unwrap_or("<unknown>");
    let links = u32::from(m.max_link) + 1;
    write!(f, "multipath({fields},{},{algorithm},{links},{},{})", m.basis, m.arg, m.dst)
}

fn bundle(f: &mut fmt::Formatter<'_>, b: &Bundle) -> fmt::Result {
    let fields = names::name(names::HASH_FIELDS, b.fields.0).unwrap_or("<unknown>");
    let algorithm = names::name(names::BUNDLE_ALGORITHMS, b.algorithm).unwrap_or("<unknown>");
    let name = if b.dst.is_some() { "bundle_load" } else { "bundle" };
    write!(f, "{name}({fields},{},{algorithm},ofport,", b.basis)?;
    b.dst.map_or(Ok(()), |dst| write!(f, "{dst},"))?;
    f.write_str("members:")?;
    joined(f, b.members.iter().map(|m| Port16(*m)))?;
    f.write_str(")")
}

fn sample(f: &mut fmt::Formatter<'_>, s: &Sample) -> fmt::Result {
    write!(
        f,
        "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
        s.probability, s.collector_set_id, s.obs_domain_id, s.obs_point_id
    )?;
    if s.sampling_port != u16::MAX {
        write!(f, ",sampling_port={}", Port16(s.sampling_port))?;
    }
    f.write_str(match s.direction {
        1 => ",ingress)",
        2 => ",egress)",
        _ => ")",
    })
}

fn encap(f: &mut fmt::Formatter<'_>, e: &Encap) -> fmt::Result {
    let name = super::nested_parse::ENCAPS.iter().find(|(t, _)| *t == e.packet_type).map(|(_, name)| *name);
    match name {
        Some(name) => write!(f, "encap({name}")?,
        None => write!(f, "encap({:#x}", e.packet_type)?,
    }
    if !e.properties.is_empty() {
        f.write_str("(")?;
        let mut separator = "";
        for p in &e.properties {
            match (p.class, p.kind, p.data.as_slice()) {
                (4, 1, [md_type, ..]) => write!(f, "{separator}md_type={md_type}")?,
                (4, 2, [c0, c1, kind, len, data @ ..]) => {
                    let data = data.get(..usize::from(*len)).unwrap_or(data);
                    let class = u16::from_be_bytes([*c0, *c1]);
                    write!(f, "{separator}tlv({class:#06x},{kind},0x{})", Hex(data))?;
                }
                _ => write!(f, "{separator}property({},{},0x{})", p.class, p.kind, Hex(&p.data))?,
            }
            separator = ",";
        }
        f.write_str(")")?;
    }
    f.write_str(")")
}

impl Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Instruction::GotoTable(table) => write!(f, "goto_table:{table}"),
            Instruction::WriteMetadata { metadata, mask: u64::MAX } => write!(f, "write_metadata:{}", CHex(*metadata)),
            Instruction::WriteMetadata { metadata, mask } => {
                write!(f, "write_metadata:{}/{}", CHex(*metadata), CHex(*mask))
            }
            Instruction::WriteActions(actions) if actions.is_empty() => f.write_str("write_actions(drop)"),
            Instruction::WriteActions(actions) => write!(f, "write_actions({})", List(actions)),
            Instruction::ApplyActions(actions) => joined(f, actions),
            Instruction::ClearActions => f.write_str("clear_actions"),
            Instruction::Meter(id) => write!(f, "meter:{id}"),
            Instruction::Raw(bytes) => write!(f, "raw_instruction:{}", Hex(bytes)),
        }
    }
}
