//! The codec and the text form against `ovs-ofctl` itself, over generated flows, in both directions.
//!
//! Bytes of ours are printed by `ovs-ofctl ofp-parse`; text of ours is turned into bytes by `ovs-ofctl add-flows`, caught
//! by a switch that only listens. Each direction starts the tool once.
#![allow(clippy::unwrap_used)]

mod catcher;
mod generate;

use bytes::{Bytes, BytesMut};
use std::process::Command;

use tuplenet_openflow::message::{FlowMod, Message};
use tuplenet_openflow::{Flow, Match, field, instruction};

const CASES: usize = 1500;

/// Runs the tool; that it is missing is a failure, not a reason to skip.
fn ofctl(args: &[&str]) -> String {
    let out = Command::new("ovs-ofctl").args(args).output();
    let out = out.unwrap_or_else(|e| panic!("ovs-ofctl: {e}: these tests need the package openvswitch-switch"));
    let stderr = String::from_utf8_lossy(&out.stderr);
    format!("{}{stderr}", String::from_utf8_lossy(&out.stdout))
}

fn encode(flows: &[Flow]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (i, flow) in flows.iter().enumerate() {
        Message::FlowMod(FlowMod::add(flow.clone())).encode(i as u32 + 1, &mut out).unwrap();
    }
    out.to_vec()
}

/// What `ovs-ofctl` says to each message, in order: its text, or the error.
fn printed(messages: &[u8]) -> Vec<String> {
    let dir = catcher::Dir::new();
    let file = dir.path().join("messages");
    std::fs::write(&file, messages).unwrap();
    let all = ofctl(&["ofp-parse", file.to_str().unwrap()]);
    let begin = "OFPT_FLOW_MOD (OF1.5) (xid=";
    let mut texts = Vec::new();
    for line in all.lines() {
        if let Some(rest) = line.strip_prefix(begin) {
            texts.push(rest.split_once("): ").unwrap().1.to_owned());
        }
    }
    assert!(!texts.is_empty() || messages.is_empty(), "{all}");
    texts
}

/// How `ofp-parse` prints a flow mod of such a simple flow.
fn expected(flow: &Flow) -> String {
    let text = flow.to_string();
    format!("ADD {text}")
}

#[test]
fn what_we_encode_is_printed_by_ovs_ofctl_as_we_print_it() {
    let flows = generate::sample(generate::flow(), CASES);
    let printed = printed(&encode(&flows));
    assert_eq!(printed.len(), flows.len());
    let mut wrong = Vec::new();
    for (flow, printed) in flows.iter().zip(&printed) {
        if *printed != expected(flow) {
            wrong.push(format!("ours {}\ntheirs {printed}", expected(flow)));
        }
    }
    assert!(wrong.is_empty(), "{} of {CASES} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn what_we_print_is_encoded_by_ovs_ofctl_as_we_encode_it() {
    let mut flows = generate::sample(generate::flow(), CASES);
    // Of these `ovs-ofctl` takes the value for the mask as well.
    let odd = [field::TUN_ERSPAN_VER, field::TUN_GTPU_FLAGS, field::TUN_GTPU_MSGTYPE, field::TUN_GBP_FLAGS];
    flows.retain(|f| odd.iter().all(|field| f.matching.get(field).is_none()));
    let lines: Vec<String> = flows.iter().map(Flow::to_string).collect();
    let caught = catcher::add_flows(&lines);
    let mut wrong = Vec::new();
    for ((flow, line), message) in flows.iter().zip(&lines).zip(&caught) {
        let theirs = Bytes::copy_from_slice(&message[48..]);
        let mut rest = theirs.clone();
        let matching = Match::decode(&mut rest).unwrap();
        let mut ours = BytesMut::new();
        instruction::encode_list(&flow.instructions, &mut ours).unwrap();
        let parsed: Flow = line.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
        if matching != flow.matching || rest.as_ref() != ours.as_ref() || parsed != *flow {
            let decoded = instruction::decode_list(rest.clone());
            wrong.push(format!(
                "{line}\n  theirs {matching} {decoded:?}\n  {rest:02x?}\n  ours {:02x?}\n parsed {parsed}",
                ours.freeze()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {CASES} differ:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
    assert_eq!(caught.len(), lines.len());
}
