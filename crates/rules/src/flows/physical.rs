//! Local ports: where packets of a VM enter their switch, and where packets for it leave.
//!
//! Cost of a port bound: three flows.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, forget_in_port, output, priority, resubmit, set, within},
    port::{Link, LocalPort},
    register, stage,
    valid_port::SwitchPort,
};
use tuplenet_datalog::Relation;
use tuplenet_openflow::{Match, field};

/// ```text
/// local_in(OfPort, LS, Port) <- local(LS, Port, OfPort).
/// pushout(LS, Port, OfPort)  <- local(LS, Port, OfPort).
/// judge(LS, Port)            <- local(LS, Port, _).
/// judge(LS, Port)            <- link(LS, Port, _).
/// ```
pub fn flows(local: &Relation<LocalPort>, link: &Relation<Link>) -> Relation<FlowRow> {
    local.flat_map(|l| [local_in(l), pushout(l), judge(&l.port)]).concat(&link.map(|l| judge(&l.port)))
}

fn local_in(local: &LocalPort) -> FlowRow {
    let (ls, port) = (local.port.ls, local.port.lsp.value.port);
    flow(
        stage::PHYSICAL_IN,
        priority::OBJECT,
        Cookie::port(Rule::LocalPort, ls, port),
        Match::new().with(field::IN_PORT, local.ofport),
        vec![
            set(register::DATAPATH, u64::from(ls.get())),
            set(register::SRC_PORT, u32::from(port.get())),
            resubmit(stage::LSP_TRACE_INGRESS_IN),
        ],
    )
}

fn pushout(local: &LocalPort) -> FlowRow {
    let (ls, port) = (local.port.ls, local.port.lsp.value.port);
    flow(
        stage::LSP_EGRESS_PUSHOUT,
        priority::OBJECT,
        Cookie::port(Rule::Pushout, ls, port),
        within(ls).with(register::DST_PORT, u32::from(port.get())),
        vec![forget_in_port(), output(local.ofport)],
    )
}

fn judge(port: &SwitchPort) -> FlowRow {
    let id = u32::from(port.lsp.value.port.get());
    flow(
        stage::LSP_EGRESS_JUDGE_LOOPBACK,
        priority::OBJECT,
        Cookie::port(Rule::Loopback, port.ls, port.lsp.value.port),
        within(port.ls).with(register::SRC_PORT, id).with(register::DST_PORT, id).with_masked(
            register::FLAGS,
            0_u32,
            register::LOOPBACK,
        ),
        vec![],
    )
}
