//! Messages: frames captured from Open vSwitch 3.1 come out as they went in, `ovs-ofctl` reads what we write as we mean
//! it, and no bytes do harm.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tuplenet_openflow::message::*;
use tuplenet_openflow::{Action, Match, field};

fn unhex(hex: &str) -> Bytes {
    let hex = hex.trim();
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encode(message: &Message, xid: u32) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(xid, &mut out).unwrap();
    out.freeze()
}

/// What `ovs-ofctl` says the bytes are.
fn ofp_print(frame: &[u8]) -> String {
    let out = Command::new("ovs-ofctl").args(["ofp-print", &hex(frame)]).output();
    let out = out.unwrap_or_else(|e| panic!("ovs-ofctl: {e}: install openvswitch-switch"));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Frames that a switch or `ovs-ofctl` sent: name and bytes.
fn frames() -> impl Iterator<Item = (&'static str, Bytes)> {
    let lines = include_str!("frames/captured.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (name, hex) = line.split_once(' ').unwrap();
        (name, unhex(hex))
    })
}

#[test]
fn captured_frames_come_out_as_they_went_in() {
    for (name, frame) in frames() {
        let (xid, message) = Message::decode(frame.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!matches!(message, Message::Raw { .. }), "{name}");
        assert!(!matches!(&message, Message::MultipartReply(r) if matches!(r.body, ReplyBody::Other(..))), "{name}");
        assert!(message.to_string().starts_with(name), "{message}");
        let out = encode(&message, xid);
        assert_eq!(Message::decode(out.clone()), Ok((xid, message)), "{name}");
        // Registers come in pairs (OXM_OF_PKT_REG0 is 80010110) and are kept, and sent, one by one.
        if !hex(&frame).contains("80010110") {
            assert_eq!(hex(&out), hex(&frame), "{name}");
        }
    }
}

#[test]
fn unknown_messages_are_kept() {
    for text in [
        "0620000c0000000112345678",         // REQUESTFORWARD
        "06160008000000ff",                 // a type that was removed
        "06ff000a000000ff0102",             // a type that never was
        "040e000a000000ff0102",             // another version
        "06040010000000010000abcd00000001", // another vendor
        "0604000c000000010000abcd",
        "06140009000000010a",               // a barrier with a body
        "06120010000000010001000100000000", // a question in parts
    ] {
        let frame = unhex(text);
        let (xid, message) = Message::decode(frame.clone()).unwrap();
        assert!(matches!(message, Message::Raw { .. }), "{message:?}");
        assert_eq!(encode(&message, xid), frame);
    }
}

#[test]
fn lengths_are_checked() {
    for text in ["", "06140008", "0614000900000001", "061400070000 0001", "06060010000000020000fae68a73e94f"] {
        assert!(Message::decode(unhex(&text.replace(' ', ""))).is_err(), "{text}");
    }
}

#[test]
fn ofctl_reads_a_group_as_we_write_it() {
    let bucket = |id, port| Bucket { weight: Some(5), ..Bucket::new(id, vec![Action::output(port)]) };
    let properties = GroupProperties {
        selection: Some(SelectionMethod {
            method: "hash".to_owned(),
            param: 7,
            fields: Match::new().with(field::ETH_TYPE, 0xffffu16).with(field::IPV4_SRC, 0xffff_ff00_u32),
        }),
        other: Vec::new(),
    };
    let watched = Bucket {
        watch_port: Some(2),
        watch_group: Some(3),
        ..Bucket::new(1, vec![Action::output(2), Action::output(3)])
    };
    let group = |command, kind, buckets| GroupMod::new(command, kind, 1, buckets);
    for group in [
        GroupMod { properties, ..group(GroupCommand::Add, GroupKind::Select, vec![bucket(1, 1), bucket(2, 2)]) },
        group(GroupCommand::Modify, GroupKind::FastFailover, vec![watched]),
        group(GroupCommand::AddOrModify, GroupKind::All, vec![Bucket::new(0, vec![]), Bucket::new(9, vec![])]),
        group(GroupCommand::Delete, GroupKind::All, vec![]),
        group(GroupCommand::InsertBucket { after: group::bucket_id::LAST }, GroupKind::Select, vec![bucket(3, 1)]),
        group(GroupCommand::InsertBucket { after: 1 }, GroupKind::Select, vec![bucket(3, 1)]),
        group(GroupCommand::RemoveBucket { bucket_id: group::bucket_id::ALL }, GroupKind::All, vec![]),
    ] {
        let printed = ofp_print(&encode(&Message::GroupMod(group.clone()), 1));
        let printed = printed.strip_prefix("OFPT_GROUP_MOD (OF1.5) (xid=0x1):\n ").unwrap_or(&printed);
        assert_eq!(printed.trim_end(), group.to_string());
    }
}

#[test]
fn ofctl_reads_the_other_messages_as_we_mean_them() {
    let cases = [
        (Message::Hello(Hello::ours()), "OFPT_HELLO (OF1.5) (xid=0x1):\n version bitmap: 0x06"),
        (Message::EchoRequest(Bytes::from_static(b"abc")), "OFPT_ECHO_REQUEST (OF1.5) (xid=0x1): 3 bytes of payload"),
        (
            Message::SetConfig(SwitchConfig::WHOLE_PACKETS),
            "OFPT_SET_CONFIG (OF1.5) (xid=0x1): frags=normal miss_send_len=65535",
        ),
        (
            Message::SetPacketInFormat(PacketInFormat::Nxt2),
            "NXT_SET_PACKET_IN_FORMAT (OF1.5) (xid=0x1): format=nxt_packet_in2",
        ),
        (Message::SetControllerId(5), "NXT_SET_CONTROLLER_ID (OF1.5) (xid=0x1): id=5"),
        (Message::CtFlushZone(7), "NXT_CT_FLUSH_ZONE (OF1.5) (xid=0x1): zone_id=7"),
        (
            Message::RoleRequest(Role { role: Role::PRIMARY, short_id: 0, generation_id: 9 }),
            "OFPT_ROLE_REQUEST (OF1.5) (xid=0x1): role=primary generation_id=9",
        ),
        (
            Message::BundleControl(BundleControl::new(3, BundleAction::CommitRequest)),
            "OFPT_BUNDLE_CONTROL (OF1.5) (xid=0x1):\n bundle_id=0x3 type=COMMIT_REQUEST flags=atomic ordered",
        ),
        (
            Message::BundleAdd(BundleAdd {
                bundle_id: 3,
                flags: 3,
                message: Box::new(Message::GroupMod(GroupMod::delete(GroupMod::ALL))),
                properties: Vec::new(),
            }),
            "OFPT_BUNDLE_ADD_MESSAGE (OF1.5) (xid=0x1):\n bundle_id=0x3 flags=atomic ordered\nOFPT_GROUP_MOD \
             (OF1.5) (xid=0x1):\n DEL",
        ),
        (
            Message::TlvTableMod(TlvTableMod {
                command: TlvTableCommand::Add,
                maps: vec![TlvMap { class: 0xffee, kind: 0x80, len: 8, index: 3 }],
            }),
            "NXT_TLV_TABLE_MOD (OF1.5) (xid=0x1):\n ADD mapping table:\n  class  type  length  match field\n ------  \
             ----  ------  --------------\n 0xffee  0x80       8  tun_metadata3",
        ),
        (
            Message::MeterMod(MeterMod {
                command: MeterCommand::Add,
                flags: meter::meter_flags::KBPS,
                meter_id: 4,
                bands: vec![MeterBand::drop(1000, 0)],
            }),
            "OFPT_METER_MOD (OF1.5) (xid=0x1): ADD meter=4 kbps bands=\ntype=drop rate=1000",
        ),
        (
            Message::MultipartRequest(MultipartRequest::Flows(FlowFilter { table: 5, ..FlowFilter::default() })),
            "OFPST_FLOW request (OF1.5) (xid=0x1): table=5",
        ),
        (
            Message::MultipartRequest(MultipartRequest::ALL_GROUPS),
            "OFPST_GROUP_DESC request (OF1.5) (xid=0x1): group_id=ALL",
        ),
        (Message::MultipartRequest(MultipartRequest::ALL_PORTS), "OFPST_PORT_DESC request (OF1.5) (xid=0x1): port=ANY"),
        (
            Message::MultipartRequest(MultipartRequest::ALL_METERS),
            "OFPST_METER_CONFIG request (OF1.5) (xid=0x1): meter=all",
        ),
        (
            Message::SetAsync(AsyncConfig::default().with(AsyncConfig::PORT_STATUS_PRIMARY, 7)),
            "OFPT_SET_ASYNC (OF1.5) (xid=0x1):\n primary:\n       PACKET_IN: (off)\n     PORT_STATUS: \
             add delete modify",
        ),
        (
            Message::PacketOut(PacketOut::new(3, vec![0; 60], vec![Action::output(tuplenet_openflow::port::TABLE)])),
            "OFPT_PACKET_OUT (OF1.5) (xid=0x1): in_port=3 actions=TABLE data_len=60",
        ),
    ];
    for (message, expect) in cases {
        let frame = encode(&message, 1);
        let printed = ofp_print(&frame);
        assert!(printed.starts_with(expect), "{message:?}\n{printed}");
        assert_eq!(Message::decode(frame).unwrap(), (1, message));
    }
}

/// Every error that Open vSwitch has a name for has the same name here, and the other way round.
#[test]
fn errors_have_the_names_of_open_vswitch() {
    let error = |kind, code, experimenter| ErrorMsg { kind, code, experimenter, data: Bytes::new() };
    let standard = (0..19).flat_map(|kind| (0..22).map(move |code| (kind, code, None)));
    let nicira = (0..64).map(|code| (0xffff, code, Some(header::NX_VENDOR)));
    let mut named = 0;
    // One process for all: `ofp-print` takes one message, `ofp-print --` no more, so a file of packets would need a
    // capture.
    for (kind, code, experimenter) in standard.chain(nicira) {
        let error = error(kind, code, experimenter);
        let unknown = error.name().starts_with("error ");
        // Asking for each unknown one would take a second; those next to known ones are enough to see the end of each
        // list.
        if unknown && code % 4 != 0 {
            continue;
        }
        let printed = ofp_print(&encode(&Message::Error(error.clone()), 1));
        let theirs = printed.lines().next().unwrap_or_default();
        if unknown {
            assert!(theirs.contains("decode error") || theirs.contains("***"), "{kind} {code}: {theirs}");
        } else if !theirs.contains("decode error") {
            assert!(theirs.ends_with(&format!(": {}", error.name())), "{kind} {code}: {theirs}");
            named += 1;
        }
    }
    assert!(named > 150, "{named}");
}

/// Decoding must not panic, and what it accepts must come out the same when encoded and decoded again.
fn check(frame: Vec<u8>) {
    let Ok((xid, message)) = Message::decode(frame.into()) else { return };
    let _ = message.to_string();
    let mut out = BytesMut::new();
    if message.encode(xid, &mut out).is_ok() {
        let again = Message::decode(out.freeze()).map(|(_, m)| m);
        assert_eq!(again.as_ref(), Ok(&message));
    }
}

/// Sets the length of a frame to what it is, so that decoding gets past it.
fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let len = u16::try_from(frame.len()).unwrap();
    if let Some(place) = frame.get_mut(2..4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    frame
}

/// Bytes that lengths and types are made of come more often than others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), Just(0), Just(0xff), 0u8..16]
}

proptest! {
    // More by PROPTEST_CASES.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn random_bodies_do_no_harm(kind in 0u8..36, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let frame = [&[6, kind, 0, 0, 0, 0, 0, 1][..], &body].concat();
        check(with_length(frame));
    }

    #[test]
    fn random_extension_bodies_do_no_harm(subtype in 10u8..35, body in prop::collection::vec(any::<u8>(), 0..100)) {
        let frame = [&[6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0x23, 0x20, 0, 0, 0, subtype][..], &body].concat();
        check(with_length(frame));
    }

    #[test]
    fn changed_frames_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), byte()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let all: Vec<Bytes> = frames().map(|(_, f)| f).collect();
        let mut frame = which.get(&all).to_vec();
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
        check(frame.clone());
        check(with_length(frame));
    }

    /// Errors and bundles quote and nest messages.
    #[test]
    fn nested_messages_do_no_harm(depth in 1usize..3000, error in any::<bool>()) {
        let mut frame = Vec::new();
        let step: &[u8] = match error {
            true => &[6, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1],
            false => &[6, 34, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3],
        };
        for i in 0..depth {
            let mut head = step.to_vec();
            let len = u16::try_from((depth - i) * step.len() + 8).unwrap();
            head[2..4].copy_from_slice(&len.to_be_bytes());
            frame.extend(head);
        }
        frame.extend([6, 20, 0, 8, 0, 0, 0, 1]);
        check(frame);
    }
}
