//! Whatever the bytes: no panic, and what was understood is written again as it was.
#![allow(clippy::unwrap_used)]

mod generate;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use tuplenet_openflow::field::*;
use tuplenet_openflow::{Action, Flow, Instruction, Match, action, instruction};

/// Decodes all that can be decoded, and checks what comes of it.
fn swallow(bytes: &[u8]) {
    let input = Bytes::copy_from_slice(bytes);
    if let Ok(m) = Match::from_oxm(bytes) {
        assert_eq!(Match::from_oxm(m.oxm_bytes()).as_ref(), Ok(&m), "a match is not what it is encoded as");
        let _ = m.to_string();
    }
    let mut rest = input.clone();
    if let Ok(m) = Match::decode(&mut rest) {
        let mut out = BytesMut::new();
        m.encode(&mut out);
        assert_eq!(Match::decode(&mut out.freeze()), Ok(m));
    }
    if let Ok(actions) = action::decode_list(input.clone()) {
        let mut out = BytesMut::new();
        action::encode_list(&actions, &mut out).unwrap();
        assert!(equal(&out, bytes), "{actions:?}\n{out:02x?}\n{bytes:02x?}");
        actions.iter().for_each(|a| drop(a.to_string()));
    }
    if let Ok(instructions) = instruction::decode_list(input) {
        let mut out = BytesMut::new();
        instruction::encode_list(&instructions, &mut out).unwrap();
        assert!(equal(&out, bytes), "{instructions:?}\n{out:02x?}\n{bytes:02x?}");
        instructions.iter().for_each(|i| drop(i.to_string()));
    }
}

/// Equal but for the length in the name of a tunnel option, which is the longest in ours.
fn equal(ours: &[u8], theirs: &[u8]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a == b || *a == 124)
}

/// Bytes of a flow that is right: where mistakes are most interesting.
fn encoded() -> impl Strategy<Value = Vec<u8>> {
    (generate::flow(), 0usize..3).prop_map(|(flow, which)| {
        let mut out = BytesMut::new();
        match which {
            0 => flow.matching.encode(&mut out),
            1 => action::encode_list(flow.actions(), &mut out).unwrap(),
            _ => instruction::encode_list(&flow.instructions, &mut out).unwrap(),
        }
        out.to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_swallowed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        swallow(&bytes);
    }

    #[test]
    fn mutated_bytes_are_swallowed(
        bytes in encoded(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes;
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        swallow(&bytes);
    }

    #[test]
    fn flows_are_what_they_are_encoded_and_printed_as(flow in generate::flow()) {
        let mut out = BytesMut::new();
        flow.matching.encode(&mut out);
        prop_assert_eq!(out.len() % 8, 0);
        let mut rest = out.freeze();
        prop_assert_eq!(Match::decode(&mut rest), Ok(flow.matching.clone()));
        prop_assert!(rest.is_empty());

        let mut out = BytesMut::new();
        instruction::encode_list(&flow.instructions, &mut out).unwrap();
        let back = instruction::decode_list(out.freeze()).unwrap();
        prop_assert_eq!(&back, &flow.instructions);
        prop_assert!(!format!("{back:?}").contains("Raw("), "an action of ours is not typed: {:?}", back);

        prop_assert_eq!(flow.to_string().parse::<Flow>(), Ok(flow.clone()), "{}", flow);
    }

    #[test]
    fn the_order_of_building_does_not_matter(m in generate::any_match(), seed in any::<u64>()) {
        let mut fields: Vec<_> = m.fields().collect();
        let mut n = seed;
        fields.sort_by_cached_key(|_| { n = n.wrapping_mul(6364136223846793005).wrapping_add(1); n });
        let built = fields.into_iter().fold(Match::new(), |m, f| m.try_with(f.field, f.value, f.mask).unwrap());
        prop_assert_eq!(hash(&built), hash(&m));
        prop_assert_eq!(built, m);
    }

    #[test]
    fn text_never_panics(text in "[a-z_0-9=,:.()/\\[\\]>-]{0,60}") {
        let _ = text.parse::<Flow>();
        let _ = text.parse::<Action>();
        let _ = format!("actions={text}").parse::<Flow>();
    }

    #[test]
    fn mutated_text_never_panics(flow in generate::flow(), at in any::<prop::sample::Index>(), c in any::<char>()) {
        let text = flow.to_string();
        let (i, _) = text.char_indices().nth(at.index(text.chars().count())).unwrap();
        let mutated = format!("{}{c}{}", &text[..i], text.get(i + 1..).unwrap_or_default());
        if let Ok(parsed) = mutated.parse::<Flow>() {
            let text = parsed.to_string();
            prop_assert_eq!(text.parse::<Flow>().map(|f| f.to_string()), Ok(text));
        }
    }
}

fn hash(m: &Match) -> u64 {
    let mut h = DefaultHasher::new();
    m.hash(&mut h);
    h.finish()
}

#[test]
fn one_meaning_has_one_form() {
    let regs = Match::new().with(REG0, 1u32).with(REG1, 2u32);
    assert_eq!(Match::new().with(XREG0, 1u64 << 32 | 2), regs);
    assert_eq!(Match::new().with_masked(XXREG0, 1u128 << 96 | 2 << 64, u128::MAX << 64), regs);
    assert_eq!(Match::new().with_masked(REG1, 2u32, u32::MAX).with(REG0, 1u32), regs);
    assert_eq!(regs.clone().with_masked(REG2, 0u32, 0u32), regs);
    assert_eq!(
        Match::new().with_masked(METADATA, 0xffu64, 0x0fu64),
        Match::new().with_masked(METADATA, 0x0fu64, 0x0fu64)
    );
    assert_eq!(Match::new().with(VLAN_TCI, 0x3064u16), Match::new().with(VLAN_VID, 0x1064u16).with(VLAN_PCP, 1u8));
    assert_eq!(Match::new().with(IN_PORT_NXM, 0xfffeu16), Match::new().with(IN_PORT, 0xffff_fffeu32));
    assert_eq!(Match::new().with(NW_TOS, 0xb8u8), Match::new().with(IP_DSCP, 0x2eu8));
    assert_eq!(Match::new().with(PACKET_TYPE, 0u32), Match::new());
    assert_eq!(Match::new().with_masked(CT_STATE, 0x21u32, 0xffu32), Match::new().with(CT_STATE, 0x21u32));
    assert_eq!(Match::new().with_masked(IPV6_LABEL, 1u32, 0xf_ffffu32), Match::new().with(IPV6_LABEL, 1u32));
    assert_ne!(Match::new().with_masked(TUN_METADATA0, 0u32, 0u32), Match::new());
    // What came is what counts, not what was first.
    assert_eq!(Match::new().with(REG0, 9u32).with(REG1, 2u32).with(REG0, 1u32), regs);
}

#[test]
fn a_usual_match_needs_no_allocation_and_an_action_is_small() {
    let m = Match::new().with(ETH_TYPE, 0x86ddu16).with(IPV6_DST, 7u128).with(METADATA, 7u64).with(REG0, 1u32);
    assert!(m.oxm_len() <= 64, "{}", m.oxm_len());
    assert!(size_of::<Match>() <= 80, "{}", size_of::<Match>());
    assert!(size_of::<Action>() <= 32, "{}", size_of::<Action>());
    assert!(size_of::<Flow>() <= 128, "{}", size_of::<Flow>());
}

#[test]
fn values_too_wide_are_refused() {
    let err = Match::new().try_with(REG0, (1u64 << 32).into(), None).unwrap_err().to_string();
    assert_eq!(err, "0x0000000100000000 is wider than the 32 bits of reg0");
    assert!(Match::new().try_with(ETH_TYPE, 1u16.into(), Some(1u16.into())).is_err());
    assert!(Match::new().try_with(VLAN_PCP, 8u8.into(), None).is_err());
}

#[test]
fn what_is_unknown_is_kept() {
    // An OXM class of nobody's, among fields that are known.
    let unknown = [0x12, 0x34, 2, 2, 0xab, 0xcd];
    let known = Match::new().with(METADATA, 7u64);
    let m = Match::from_oxm(&[&unknown[..], known.oxm_bytes()].concat()).unwrap();
    assert_eq!(m.unknown().collect::<Vec<_>>(), [&unknown[..]]);
    assert_eq!(m.oxm_bytes(), [known.oxm_bytes(), &unknown[..]].concat());
    // An action of another vendor, and one of ours with something where nothing should be.
    let vendor: &[u8] = &[0xff, 0xff, 0, 16, 0, 0, 0x77, 0x77, 1, 2, 3, 4, 5, 6, 7, 8];
    let odd: &[u8] = &[0, 18, 0, 8, 0, 0, 0, 1];
    for bytes in [vendor, odd] {
        let actions = action::decode_list(Bytes::copy_from_slice(bytes)).unwrap();
        assert_eq!(actions, [Action::Raw(bytes.into())]);
        assert_eq!(actions[0].to_string().parse::<Action>().as_ref(), Ok(&actions[0]));
    }
    assert!(matches!(
        instruction::decode_list(Bytes::from_static(&[0, 9, 0, 8, 1, 2, 3, 4])).as_deref(),
        Ok([Instruction::Raw(_)])
    ));
}

/// What a fuzzer found once.
#[test]
fn old_mistakes_stay_mended() {
    swallow(&[0, 1, 0x6d, 6, 0, 0xef, 0, 0, 0, 0, 0x2c, 0, 0, 0]);
    for text in ["icmp,rarp", "tcp,dl_type=0x8035", "dl_type=0x806,ip"] {
        let err = text.parse::<Match>().unwrap_err().to_string();
        assert!(err.ends_with("the match has another protocol already"), "{err}");
    }
    assert!("vlan_vid=0x0999/0x1000,vlan_pcp=2".parse::<Match>().is_err());
    assert!("arp,nW_src=10.0.0.1".parse::<Match>().is_err());
    let err = "icmp,tcp_src=5".parse::<Match>().unwrap_err().to_string();
    assert_eq!(err, "tcp_src: needs a match on tcp or tcp6 as well: see ovs-fields(7)");
}

#[test]
fn nesting_has_an_end() {
    let mut deep = vec![Action::PopVlan];
    for _ in 0..40 {
        deep = vec![Action::Clone(deep)];
    }
    assert!(action::encode_list(&deep, &mut BytesMut::new()).is_err());
    // The same as bytes: clones in clones, 16 bytes of header each.
    let mut bytes = vec![0, 18, 0, 8, 0, 0, 0, 0];
    for _ in 0..2000 {
        let len = (bytes.len() + 16) as u16;
        let mut head = vec![0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, 42, 0, 0, 0, 0, 0, 0];
        head[2..4].copy_from_slice(&len.to_be_bytes());
        bytes = [head, bytes].concat();
    }
    swallow(&bytes);
}

#[test]
fn the_registry_is_consistent() {
    let mut codes: Vec<_> =
        REGISTRY.iter().flat_map(|f| f.codes).map(|c| (c.class, c.experimenter, c.number)).collect();
    assert_eq!(codes.len(), 209, "all that ovs-ofctl 3.1 names, but for NXM_NX_COOKIE, which is no field of a packet");
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 209, "two fields with one code point");
    for f in REGISTRY {
        assert!(f.bits > 0 && f.bits <= u16::from(f.bytes) * 8, "{}", f.name);
        for name in f.aliases.iter().chain([&f.name]) {
            assert_eq!(Field::by_name(name), Some(f));
        }
        for c in f.codes {
            assert_eq!(Field::by_code(c.class, c.experimenter, c.number), Some(f));
            assert_eq!(Field::by_name(c.name), Some(f), "{}", c.name);
        }
    }
}
