//! Parsing actions and instructions.

use std::str::FromStr;

use super::nested_parse as nested;
use super::number::{integer, number};
use super::subfield::{arrow, subfield};
use super::tokens::{self, Token};
use super::value;
use super::{learn, names};
use crate::action::{Ct, SetField, Subfield, Zone};
use crate::field::{self, Field};
use crate::{Action, Instruction, ParseError, Value, port};

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Action, ParseError> {
        let mut actions = list(text)?.into_iter();
        match (actions.next(), actions.next()) {
            (Some(action), None) => Ok(action),
            _ => Err(ParseError::new(text, "one action was expected")),
        }
    }
}

/// What stands in a list that may hold instructions too.
enum Item {
    Actions(Vec<Action>),
    Instruction(Instruction),
}

/// A list of actions, `drop` being the empty one.
pub(super) fn list(text: &str) -> Result<Vec<Action>, ParseError> {
    let mut actions = Vec::new();
    for t in tokens::split(text)? {
        if t.text != "drop" {
            actions.extend(action(&t)?);
        }
    }
    Ok(actions)
}

/// What follows `actions=` of a flow, in the order in which a switch does them.
pub(super) fn instructions(text: &str) -> Result<Vec<Instruction>, ParseError> {
    let mut apply = Vec::new();
    let mut rest = Vec::new();
    for t in tokens::split(text)? {
        match item(&t)? {
            Item::Actions(actions) if rest.is_empty() => apply.extend(actions),
            Item::Actions(_) => return Err(t.error("actions stand before instructions")),
            Item::Instruction(i) => rest.push(i),
        }
    }
    if !apply.is_empty() {
        rest.insert(0, Instruction::ApplyActions(apply));
    }
    Ok(rest)
}

fn item(t: &Token<'_>) -> Result<Item, ParseError> {
    Ok(Item::Instruction(match t.key {
        "drop" => return Ok(Item::Actions(Vec::new())),
        "goto_table" => Instruction::GotoTable(integer(t.arguments()?, "a table")?),
        "write_metadata" => {
            let (metadata, mask) = match t.arguments()?.split_once('/') {
                Some((metadata, mask)) => (metadata, integer(mask, "a mask")?),
                None => (t.arguments()?, u64::MAX),
            };
            Instruction::WriteMetadata { metadata: integer(metadata, "metadata")?, mask }
        }
        "write_actions" => Instruction::WriteActions(list(t.arguments()?)?),
        "apply_actions" => return Ok(Item::Actions(list(t.arguments()?)?)),
        "clear_actions" => Instruction::ClearActions,
        "raw_instruction" => Instruction::Raw(hex(t)?),
        _ => return action(t).map(Item::Actions),
    }))
}

fn hex(t: &Token<'_>) -> Result<Box<[u8]>, ParseError> {
    let bad = || t.error("an even number of hexadecimal digits");
    let pairs = t.rest.as_bytes().chunks(2);
    let bytes = pairs.map(|p| std::str::from_utf8(p).ok().filter(|p| p.len() == 2));
    bytes.map(|p| p.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(bad)).collect()
}

/// Some words of `ovs-ofctl` stand for more than one action of OpenFlow 1.5, and many for one `set_field`.
fn action(t: &Token<'_>) -> Result<Vec<Action>, ParseError> {
    let set = |field: &'static Field, value: Value| {
        let set = SetField::new(field, value, None).map_err(|e| t.error(e.to_string()))?;
        Ok::<_, ParseError>(vec![Action::SetField(set)])
    };
    let arguments = t.arguments_then()?.0;
    Ok(vec![match t.key {
        "output" => output(t, arguments)?,
        "group" => Action::Group(integer(arguments, "a group")?),
        "controller" | "CONTROLLER" => nested::controller(t)?,
        "set_field" => set_field(t)?,
        "load" => {
            let (value, dst) = arrow(t, t.rest)?;
            let value = integer::<u64>(value, "a value to load")?;
            Action::SetField(SetField::load(dst, value.into()).map_err(|e| t.error(e.to_string()))?)
        }
        "move" => {
            let (src, dst) = arrow(t, t.rest)?;
            let src = subfield(src)?;
            if src.n_bits != dst.n_bits {
                return Err(t.error(format!("{} bits do not go into {}", src.n_bits, dst.n_bits)));
            }
            Action::Move { src, dst }
        }
        "resubmit" => nested::resubmit(t)?,
        "dec_ttl" if t.rest.is_empty() => Action::DecTtl,
        "dec_ttl" => {
            let ids = tokens::split(arguments)?;
            Action::DecTtlIds(ids.iter().map(|id| integer(id.text, "a controller's id")).collect::<Result<_, _>>()?)
        }
        "mod_nw_ttl" => Action::SetTtl(integer(arguments, "a TTL")?),
        "push_vlan" => Action::PushVlan(integer(arguments, "an Ethertype")?),
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "push_mpls" => Action::PushMpls(integer(arguments, "an Ethertype")?),
        "pop_mpls" => Action::PopMpls(integer(arguments, "an Ethertype")?),
        "set_mpls_ttl" => Action::SetMplsTtl(integer(arguments, "a TTL")?),
        "set_mpls_label" => return set(field::MPLS_LABEL, integer::<u32>(arguments, "a label")?.into()),
        "set_mpls_tc" => return set(field::MPLS_TC, integer::<u8>(arguments, "a traffic class")?.into()),
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "set_queue" => Action::SetQueue(integer(arguments, "a queue")?),
        "pop_queue" => Action::PopQueue,
        "meter" => Action::Meter(integer(arguments, "a meter")?),
        "conjunction" => nested::conjunction(t)?,
        "ct" => ct(t)?,
        "nat" => nested::nat(t)?,
        "ct_clear" => Action::CtClear,
        "learn" => learn::parse(t)?,
        "clone" => Action::Clone(list(t.arguments()?)?),
        "note" => nested::note(t)?,
        "multipath" => nested::multipath(t)?,
        "bundle" | "bundle_load" => nested::bundle(t)?,
        "sample" => nested::sample(t)?,
        "check_pkt_larger" => {
            let (len, after) = t.arguments_then()?;
            let dst = after.strip_prefix("->").ok_or_else(|| t.error("check_pkt_larger(LENGTH)->FIELD[BIT]"))?;
            Action::CheckPktLarger { pkt_len: integer(len, "a length")?, dst: subfield(dst)? }
        }
        "push" => Action::StackPush(subfield(arguments)?),
        "pop" => Action::StackPop(subfield(arguments)?),
        "fin_timeout" => nested::fin_timeout(t)?,
        "exit" => Action::Exit,
        "encap" => nested::encap(t)?,
        "decap" => nested::decap(t)?,
        "dec_nsh_ttl" => Action::DecNshTtl,
        "delete_field" => {
            let field = Field::by_name(arguments).filter(|f| f.is_variable());
            Action::DeleteField(field.ok_or_else(|| t.error("only tun_metadata0 to 63 can be deleted"))?)
        }
        "enqueue" => {
            let parts: Vec<&str> = arguments.split([',', ':']).collect();
            let [to, queue] = parts.as_slice() else { return Err(t.error("enqueue:PORT:QUEUE")) };
            let queue = Action::SetQueue(integer(queue, "a queue")?);
            return Ok(vec![queue, Action::Output { port: names::port_of(to)?, max_len: u16::MAX }, Action::PopQueue]);
        }
        "mod_vlan_vid" => {
            let vid: u16 = integer(arguments, "a VLAN")?;
            return set(field::VLAN_VID, (vid | 0x1000).into());
        }
        "set_vlan_vid" => {
            let vid: u16 = integer(arguments, "a VLAN")?;
            return set(field::VLAN_VID, (vid | 0x1000).into());
        }
        "mod_vlan_pcp" | "set_vlan_pcp" => {
            return set(field::VLAN_PCP, integer::<u8>(arguments, "a priority")?.into());
        }
        "set_tunnel" | "set_tunnel64" => return set(field::TUN_ID, integer::<u64>(arguments, "a tunnel id")?.into()),
        "mod_dl_src" => return set(field::ETH_SRC, value::parse(field::ETH_SRC, t.rest)?.0),
        "mod_dl_dst" => return set(field::ETH_DST, value::parse(field::ETH_DST, t.rest)?.0),
        "mod_nw_src" => return set(field::IPV4_SRC, value::parse(field::IPV4_SRC, t.rest)?.0),
        "mod_nw_dst" => return set(field::IPV4_DST, value::parse(field::IPV4_DST, t.rest)?.0),
        "mod_nw_tos" => return set(field::IP_DSCP, (integer::<u8>(arguments, "a TOS")? >> 2).into()),
        "mod_nw_ecn" => return set(field::IP_ECN, integer::<u8>(arguments, "an ECN")?.into()),
        "mod_tp_src" | "mod_tp_dst" => {
            return Err(t.error("say of which protocol: set_field:PORT->tcp_src, udp_src, sctp_src, ..."));
        }
        "raw" => Action::Raw(hex(t)?),
        // A port alone is an output to it.
        _ if t.text == t.key => {
            let port =
                names::port_of(t.key).map_err(|_| t.error("neither an action nor a port: see ovs-actions(7)"))?;
            Action::output(port)
        }
        _ => return Err(t.error("no such action: see ovs-actions(7)")),
    }])
}

fn output(t: &Token<'_>, arguments: &str) -> Result<Action, ParseError> {
    if t.rest.starts_with('(') {
        let (mut to, mut max_len) = (None, None);
        for argument in tokens::split(t.arguments()?)? {
            match argument.key {
                "port" => to = Some(names::port16_of(argument.rest)?),
                "max_len" => max_len = Some(integer(argument.rest, "a length")?),
                _ => return Err(argument.error("output takes port and max_len")),
            }
        }
        return match (to, max_len) {
            (Some(port), Some(max_len)) => Ok(Action::OutputTrunc { port, max_len }),
            _ => Err(t.error("output(port=PORT,max_len=BYTES)")),
        };
    }
    if let Some((to, max_len)) = arguments.split_once(':')
        && names::port_of(to) == Ok(port::CONTROLLER)
    {
        return Ok(Action::Output { port: port::CONTROLLER, max_len: integer(max_len, "a length")? });
    }
    if arguments.contains('[') {
        return Ok(Action::OutputReg { src: subfield(arguments)?, max_len: u16::MAX });
    }
    match names::port_of(arguments) {
        Ok(number) => Ok(Action::Output { port: number, max_len: 0 }),
        Err(e) => match Field::by_name(arguments) {
            Some(field) => Ok(Action::OutputReg { src: Subfield::all(field), max_len: u16::MAX }),
            None => Err(e),
        },
    }
}

fn set_field(t: &Token<'_>) -> Result<Action, ParseError> {
    let (value, field) = t.rest.rsplit_once("->").ok_or_else(|| t.error("set_field:VALUE[/MASK]->FIELD"))?;
    let field = Field::by_name(field.trim()).ok_or_else(|| t.error("no such field: see ovs-fields(7)"))?;
    if field.access == crate::field::Access::ReadOnly {
        return Err(t.error("a field that cannot be written"));
    }
    let (value, mask) = value::parse(field, value.trim())?;
    // Flags that are all given are the whole field.
    SetField::new(field, value, mask).map(Action::SetField).map_err(|e| t.error(e.to_string()))
}

/// Its `exec` has actions again.
fn ct(t: &Token<'_>) -> Result<Action, ParseError> {
    let mut ct = Ct { commit: false, force: false, zone: Zone::Fixed(0), table: None, alg: 0, actions: Vec::new() };
    for a in tokens::split(t.arguments()?)? {
        match a.key {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => ct.table = Some(integer(a.rest, "a table")?),
            "zone" => {
                ct.zone = match number(a.rest) {
                    Some(_) => Zone::Fixed(integer(a.rest, "a zone")?),
                    None => Zone::From(subfield(a.rest)?),
                }
            }
            "alg" => {
                ct.alg = match number(a.rest) {
                    Some(_) => integer(a.rest, "a port")?,
                    None => names::number(names::ALGS, a.rest)?,
                }
            }
            "nat" => ct.actions.insert(0, nested::nat(&a)?),
            "exec" => ct.actions.extend(list(a.arguments()?)?),
            _ => return Err(a.error("ct takes commit, force, table, zone, nat, exec, alg")),
        }
    }
    Ok(Action::Ct(Box::new(ct)))
}
