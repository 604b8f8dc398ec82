//! Destination MAC to destination port, within a switch.
//!
//! Cost of a port: one flow.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, resubmit, set, set_remote, these_within},
    port::{Link, LocalPort, RemotePort},
    register, stage,
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_openflow::{Match, field};

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
    let destination = set(register::DST_PORT, u32::from(lsp.port.get()));
    let on = resubmit(stage::LSP_TRACE_INGRESS_OUT);
    let actions = match endpoint {
        Some(endpoint) => vec![destination, set_remote(endpoint), on],
        None => vec![destination, on],
    };
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        priority::OBJECT,
        Cookie::port(Rule::L2, port.ls, lsp.port),
        these_within(Match::new().with(field::ETH_DST, lsp.mac), port.ls),
        actions,
    )
}
