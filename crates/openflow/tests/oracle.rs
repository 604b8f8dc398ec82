//! The codec and the text form against `ovs-ofctl` itself, over generated flows, in both directions.
//!
//! Bytes of ours are printed by `ovs-ofctl ofp-parse`; text of ours is turned into bytes by `ovs-ofctl add-flows`, caught
//! by a switch that only listens. Each direction starts the tool once.
#![allow(clippy::unwrap_used)]

mod catcher;
mod generate;

use bytes::{Bytes, BytesMut};
use std::process::Command;

use tuplenet_fixture::Dir;
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

/// What people write, and what stands in manuals, beside the form that is printed.
const SPELLINGS: &[&str] = &[
    "actions=drop",
    "actions=",
    "table=0 priority=5 ip nw_src=10.0.0.0/255.0.0.0 actions=NORMAL",
    "priority=0x10,tcp,tp_dst=80,actions=output:LOCAL,1,in_port",
    "udp6,tp_src=0x35/0xffff,actions=CONTROLLER",
    "udp,udp_dst=53,actions=controller:128",
    "sctp,tp_src=7,tp_dst=9 actions=all",
    "eth_type=0x800,ip_proto=6,tcp_src=5 actions=flood",
    "dl_type=0x0800,nw_proto=1,icmp_type=8,icmp_code=0 actions=local",
    "dl_type=0x86dd,nw_proto=58,icmp_type=135,nd_target=fe80::1 actions=output:in_port",
    "icmp6,icmpv6_type=136,icmpv6_code=0,nd_tll=00:01:02:03:04:05 actions=group:1",
    "arp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_proto=2 actions=1,2,3",
    "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1,arp_sha=1:2:3:4:5:6 actions=1",
    "in_port=LOCAL actions=1",
    "in_port=65534 actions=1",
    "in_port=controller actions=2",
    "reg0=0x1/0xf,reg15=7,xreg1=5,xxreg2=0x10000000000000000 actions=1",
    "tunnel_id=5,tun_src=1.2.3.4/24,tun_ipv6_dst=fe80::/10 actions=set_tunnel:7,set_tunnel64:8",
    "dl_vlan=5 actions=strip_vlan,output:1",
    "dl_vlan=0xffff actions=push_vlan:0x88a8",
    "dl_vlan=7,dl_vlan_pcp=3 actions=mod_vlan_vid:5,mod_vlan_pcp:4",
    "dl_vlan_pcp=3 actions=set_vlan_vid:9,set_vlan_pcp:1",
    "vlan_tci=0x1123/0x1fff actions=1",
    "vlan_tci=0 actions=1",
    "vlan_vid=0x1000/0x1000,vlan_pcp=2 actions=1",
    "ip actions=mod_nw_src:1.2.3.4,mod_nw_dst:5.6.7.8,mod_nw_tos:32,mod_nw_ecn:2,mod_nw_ttl:9,dec_ttl(1,2)",
    "actions=mod_dl_src:0:1:2:3:4:5,mod_dl_dst:ff:ff:ff:ff:ff:ff",
    "mpls,mpls_label=5,mpls_bos=1 actions=set_mpls_label:7,set_mpls_tc:3,set_mpls_ttl:9,dec_mpls_ttl,pop_mpls:0x800",
    "ip actions=push_mpls:0x8847,set_field:5->mpls_label",
    "actions=load:5->NXM_NX_REG0[],load:0x3->reg1[4..7],load:1->OXM_OF_METADATA[63]",
    "actions=move:reg0->reg1,move:NXM_OF_ETH_SRC[0..31]->NXM_NX_REG3[],move:tun_metadata0[0..15]->reg5[16..31]",
    "actions=set_field:10->reg0,set_field:0xff/0xff->reg1,set_field:00:11:22:33:44:55->eth_src,set_field:0x5/0xf->metadata",
    "ip actions=set_field:10.0.0.1->nw_src,set_field:10.0.0.0/8->ip_dst,set_field:64->nw_ttl,set_field:7->ip_dscp",
    "ipv6 actions=set_field:fe80::1->ipv6_src,set_field:::1.2.3.4->ipv6_dst,set_field:1->ipv6_label",
    "actions=resubmit:5,resubmit(5),resubmit(,6),resubmit(5,6),resubmit(in_port,7)",
    "actions=controller(reason=no_match,max_len=5,id=9),controller(userdata=0102.03),controller(pause),controller()",
    "actions=enqueue:3:4,enqueue(LOCAL,2),set_queue:5,pop_queue",
    "actions=clone(1,2),clone(),clone(set_field:5->reg0,clone(3))",
    "actions=note:00.11.22,note:,exit",
    "actions=write_actions(output:1,group:5),write_metadata:0x5/0xf,goto_table:9",
    "actions=meter:3,1,clear_actions",
    "ip,ct_state=+trk+est,ct_zone=7,ct_mark=1/1,ct_label=0x1 actions=ct(),ct(table=1),ct(commit,zone=reg0[0..15]),ct_clear",
    "ip,ct_state=est|trk actions=ct(commit,zone=5,exec(set_field:7->ct_mark,load:1->NXM_NX_CT_LABEL[127]))",
    "tcp actions=ct(commit,nat(src=1.2.3.4-1.2.3.9:1-99,random),alg=ftp),ct(commit,nat(dst=1.2.3.4)),ct(nat,table=0)",
    "tcp6 actions=ct(commit,force,nat(src=[fe80::1]-[fe80::9]:7,hash,persistent)),ct(commit,nat(dst=fe80::1-fe80::5))",
    "actions=learn(table=9,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "actions=learn(idle_timeout=5,eth_dst=eth_src,eth_type=0x800,nw_dst=10.0.0.1,load:in_port->NXM_NX_REG0[0..15])",
    "actions=learn(limit=5,result_dst=reg0[3],cookie=0x10,priority=7,send_flow_rem,delete_learned,reg1=0x5)",
    "actions=bundle(eth_src,0,hrw,ofport,members:4,8),bundle(symmetric_l4,9,active_backup,ofport,slaves:1)",
    "actions=bundle_load(eth_src,0,hrw,ofport,reg0[0..15],members:4,8),multipath(symmetric_l3l4,1,hrw,12,0,reg0)",
    "actions=sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678,egress)",
    "actions=check_pkt_larger(1500)->reg0[0],push:reg0[],pop:reg1[0..7],output:reg0,output:NXM_NX_REG1[0..15]",
    "actions=output(port=1,max_len=100),delete_field:tun_metadata0,set_field:0xa/0xff->tun_metadata3",
    "tcp,tcp_flags=+syn-ack actions=fin_timeout(idle_timeout=5),fin_timeout(hard_timeout=6,idle_timeout=7)",
    "tcp,tcp_flags=0x2/0x12 actions=drop",
    "ip,nw_frag=no actions=1",
    "ip,nw_frag=not_later,nw_tos=0x20,nw_ecn=1,nw_ttl=64 actions=1",
    "tun_flags=+oam actions=set_field:oam->tun_flags",
    "tun_metadata0,tun_metadata1=5,tun_metadata2=0x1/0xff actions=1",
    "conj_id=5,ip actions=1",
    "ip actions=conjunction(5,1/2),conjunction(6,2/2)",
    "ip actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678))),encap(ethernet),decap(),decap()",
    "actset_output=5 actions=1",
    "pkt_mark=0xf/0xff actions=1",
    "dl_src=00:00:00:00:00:01/00:00:00:00:00:ff,eth_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=1",
];

fn encode(flows: &[Flow]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (i, flow) in flows.iter().enumerate() {
        Message::FlowMod(FlowMod::add(flow.clone())).encode(i as u32 + 1, &mut out).unwrap();
    }
    out.to_vec()
}

/// What `ovs-ofctl` says to each message, in order: its text, or the error.
fn printed(messages: &[u8]) -> Vec<String> {
    let dir = Dir::new("oracle");
    let file = dir.file("messages");
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

#[test]
fn what_people_write_means_the_same_to_us_as_to_ovs_ofctl() {
    // The ones that the tool itself does not take say nothing about us: it is asked first, by the same command that catches the rest.
    let lines: Vec<String> = SPELLINGS.iter().map(|l| (*l).to_owned()).collect();
    let caught = catcher::add_flows(&lines);
    let mut wrong = Vec::new();
    for (line, message) in lines.iter().zip(&caught) {
        let mut rest = Bytes::copy_from_slice(&message[48..]);
        let matching = Match::decode(&mut rest).unwrap();
        let theirs = instruction::decode_list(rest).unwrap();
        match line.parse::<Flow>() {
            Ok(ours) if ours.matching == matching && ours.instructions == theirs => {}
            Ok(ours) => wrong
                .push(format!("{line}\n ours   {ours}\n theirs {matching} {theirs:?}\n ours {:?}", ours.instructions)),
            Err(e) => wrong.push(format!("{line}\n {e}")),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The TLVs of a match with each field under the last of its code points instead of the first.
fn under_other_names(m: &Match) -> Vec<u8> {
    let mut out = Vec::new();
    for f in m.fields() {
        let code = f.field.codes.last().unwrap();
        let body = [f.value.as_bytes(), f.mask.as_ref().map_or(&[][..], |m| m.as_bytes())].concat();
        out.extend(code.class.0.to_be_bytes());
        out.push(code.number << 1 | u8::from(f.mask.is_some()));
        out.push((code.header_len() - 4 + body.len()) as u8);
        if code.header_len() == 8 {
            out.extend(code.experimenter.to_be_bytes());
        }
        out.extend(body);
    }
    out
}

#[test]
fn every_code_point_of_a_field_is_that_field() {
    let matches = generate::sample(generate::any_match(), CASES);
    let mut messages = Vec::new();
    for m in &matches {
        let tlvs = under_other_names(m);
        assert_eq!(Match::from_oxm(&tlvs).as_ref(), Ok(m));
        let mut message = encode(&[Flow::default()])[..48].to_vec();
        message.extend([0, 1]);
        message.extend((4 + tlvs.len() as u16).to_be_bytes());
        message.extend(tlvs);
        message.resize(message.len().next_multiple_of(8), 0);
        let len = message.len() as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        messages.extend(message);
    }
    let printed = printed(&messages);
    assert_eq!(printed.len(), matches.len());
    for (m, printed) in matches.iter().zip(&printed) {
        let space = if m.is_empty() { "" } else { " " };
        assert_eq!(*printed, format!("ADD {m}{space}actions=drop"));
    }
}
