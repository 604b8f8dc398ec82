//! Destination MAC to destination port, within a switch.
//!
//! Cost of a port: one flow.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, resubmit, set, set_remote, within},
    port::{Link, LocalPort, RemotePort, SwitchPort},
    register, stage,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_openflow::field;

/// ```text
/// l2(LS, Mac, Port)             <- local(LS, Port), lsp(Port, Mac).
/// l2(LS, Mac, Port)             <- link(LS, Port, _), lsp(Port, Mac).
/// l2(LS, Mac, Port, Endpoint)   <- remote(LS, Port, Endpoint), lsp(Port, Mac).
/// ```
pub fn flows(local: &Relation<LocalPort>, remote: &Relation<RemotePort>, link: &Relation<Link>) -> Relation<FlowRow> {
    let here = local.map(|l| lookup(&l.port, None)).concat(&link.map(|l| lookup(&l.port, None)));
    here.concat(&remote.map(|r| lookup(&r.port, Some(r.endpoint))))
}

fn lookup(port: &SwitchPort, endpoint: Option<IpAddr>) -> FlowRow {
    let lsp = &port.lsp.value;
    let mut actions = vec![set(register::DST_PORT, u32::from(lsp.port.get()))];
    actions.extend(endpoint.map(set_remote));
    actions.push(resubmit(stage::LSP_TRACE_INGRESS_OUT));
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        priority::OBJECT,
        Cookie::port(Rule::L2, port.ls, lsp.port),
        within(port.ls).with(field::ETH_DST, lsp.mac),
        actions,
    )
}
