//! Text from outside, whatever it is, is explained or refused: nothing panics, and nothing gets to the terminal that is no text.
#![allow(clippy::unwrap_used)]

use super::{flow, line, world::World};
use proptest::prelude::*;
use tuplenet_model::{key::Key, object::Object};
use tuplenet_openflow::{Action, Flow, Match, Value, action::SetField, field::REGISTRY};

/// A switch and a router with a port each, so that there are names to find.
fn world() -> World {
    World::of([
        ("ls/LS-A", r#"{"id": 1, "flood": true}"#),
        ("ls/LS-A/lsp/vm1", r#"{"port_id": 2, "mac": "f2:01:0a:14:01:02", "ips": ["10.20.1.2", "fd00::2"]}"#),
        ("lr/LR", r#"{"id": 3}"#),
        (
            "lr/LR/lrp/p",
            r#"{"mac": "f2:01:0a:14:01:01", "nets": ["10.20.1.1/24"], "peer": {"ls": "LS-A", "lsp": "x"}}"#,
        ),
        ("chassis/hv1", r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.1"}]}"#),
    ])
}

impl World {
    /// Of these objects, none of them set aside.
    pub fn of<'a>(objects: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut world = World::default();
        for (path, value) in objects {
            let key = Key::parse(path).unwrap().unwrap();
            let object = Object::parse(&key, value.as_bytes()).unwrap();
            world.network.insert(key, object);
        }
        world.indexed()
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u8>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| format!("{n:#x}")),
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        any::<[u8; 6]>().prop_map(|b| b.map(|b| format!("{b:02x}")).join(":")),
        any::<u128>().prop_map(|n| std::net::Ipv6Addr::from(n).to_string()),
        "[a-z0-9\"(),.: é\u{1b}-]{0,12}",
    ]
}

fn matched() -> impl Strategy<Value = String> {
    let field = (0..REGISTRY.len()).prop_map(|i| REGISTRY[i].name);
    prop_oneof![
        4 => (field, value(), proptest::option::of(value())).prop_map(|(field, value, mask)| match mask {
            Some(mask) => format!("{field}={value}/{mask}"),
            None => format!("{field}={value}"),
        }),
        1 => proptest::sample::select(vec!["ip", "arp", "icmp6", "tcp", "ipv6", "n_packets=5", "table=57", "metadata=0x1", "metadata=0x3"]).prop_map(str::to_owned),
    ]
}

fn done() -> impl Strategy<Value = String> {
    let field = || (0..REGISTRY.len()).prop_map(|i| REGISTRY[i].name);
    let code = || (0..REGISTRY.len()).prop_map(|i| REGISTRY[i].codes[0].name);
    prop_oneof![
        (value(), field()).prop_map(|(value, field)| format!("set_field:{value}->{field}")),
        (any::<u32>(), code(), 0_u16..140, 0_u16..140)
            .prop_map(|(n, code, from, to)| format!("load:{n:#x}->{code}[{from}..{to}]")),
        (code(), code(), 0_u16..140).prop_map(|(from, to, bits)| format!("move:{from}[0..{bits}]->{to}[0..{bits}]")),
        any::<u8>().prop_map(|table| format!("resubmit(,{table})")),
        value().prop_map(|port| format!("output:{port}")),
        any::<u32>().prop_map(|id| format!("group:{id}")),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| {
            format!("controller(userdata={})", bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join("."))
        }),
        Just("dec_ttl".to_owned()),
    ]
}

/// A flow of ours that the parser takes, of any fields with any values.
fn flow() -> impl Strategy<Value = String> {
    let field = || (0..REGISTRY.len()).prop_map(|i| &REGISTRY[i]);
    let bits = || proptest::collection::vec(any::<u8>(), 1..=16).prop_map(|bytes| Value::from_bytes(&bytes));
    let small = || (0_u64..8).prop_map(Value::from);
    let value = || prop_oneof![small(), bits()];
    let matched =
        proptest::collection::vec((field(), value(), proptest::option::of(value())), 0..5).prop_map(|fields| {
            let add = |matching: Match, (field, value, mask)| {
                matching.clone().try_with(field, value, mask).unwrap_or(matching)
            };
            fields.into_iter().fold(Match::new(), add)
        });
    let set = (field(), value(), proptest::option::of(value()))
        .prop_filter_map("does not fit", |(field, value, mask)| {
            SetField::new(field, value, mask).ok().map(Action::SetField)
        });
    let moved = (field(), field()).prop_map(|(src, dst)| Action::move_field(src, dst));
    let done = prop_oneof![4 => set, 2 => moved, 1 => any::<u8>().prop_map(Action::resubmit), 1 => any::<u32>().prop_map(Action::Group)];
    let cookie = (0_u64..32, 0_u64..4, 0_u64..4)
        .prop_map(|(rule, datapath, object)| 0x54 << 56 | rule << 48 | datapath << 24 | object);
    (cookie, any::<u8>(), matched, proptest::collection::vec(done, 0..5)).prop_map(
        |(cookie, table, matching, actions)| {
            Flow { cookie, ..Flow::new(table.min(254), 100, matching, actions) }.to_string()
        },
    )
}

fn text() -> impl Strategy<Value = String> {
    let pieces =
        (any::<u64>(), 0_u8..32, proptest::collection::vec(matched(), 0..5), proptest::collection::vec(done(), 0..5));
    prop_oneof![
        8 => flow(),
        4 => pieces.prop_map(|(number, rule, matching, actions)| {
            let cookie = 0x54 << 56 | u64::from(rule) << 48 | number & 0x0000_0003_00ff_ffff_ffff;
            format!("cookie={cookie:#x}, {} actions={}", matching.join(","), actions.join(","))
        }),
        1 => "\\PC{0,80}",
        1 => "(bridge\\(\"|[0-9]{1,3}\\. |priority |cookie 0x54|actions=|\n|    |,){0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_explained_or_refused(text in text()) {
        let world = world();
        let Ok(lines) = line::lines(&[text]) else { return Ok(()) };
        let (read, failed) = line::read_all(&lines);
        for pasted in &read {
            let (words, data) = flow::both(&world, pasted);
            prop_assert!(words.lines().all(|line| !line.chars().any(char::is_control)), "{words}");
            prop_assert!(data.is_object());
        }
        if let Some(error) = failed {
            let error = crate::print::printable(&error.to_string());
            prop_assert!(!error.contains('\n') && error.len() < 2_000);
        }
    }
}
