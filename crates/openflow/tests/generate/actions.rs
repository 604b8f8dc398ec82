//! Actions and instructions at random.

use proptest::prelude::*;
use proptest::sample::select;
use smallvec::SmallVec;
use std::net::IpAddr;

use super::{Protocol, fields, value};
use tuplenet_openflow::action::*;
use tuplenet_openflow::field::{self, Field, Prerequisite};
use tuplenet_openflow::{Action, Instruction, port};

fn part_of(known: Vec<&'static Field>, max_bits: u16) -> impl Strategy<Value = Subfield> {
    (select(known), any::<u16>(), any::<u16>()).prop_map(move |(f, ofs, n)| {
        let ofs = ofs % f.bits;
        let n_bits = 1 + n % (f.bits - ofs).min(max_bits);
        if ofs % 4 == 0 && f.bits <= max_bits { Subfield::all(f) } else { Subfield::new(f, ofs, n_bits) }
    })
}

fn registers() -> Vec<&'static Field> {
    vec![field::REG0, field::REG5, field::REG15, field::XREG1, field::XXREG2, field::METADATA, field::TUN_ID]
}

fn set_field(p: &Protocol) -> impl Strategy<Value = Action> + use<> {
    select(fields(p, true)).prop_flat_map(|f| (Just(f), value(f))).prop_map(|(f, (value, mask))| {
        // A mask of nothing is refused.
        let mask = mask.filter(|m| !m.is_zero());
        Action::SetField(SetField::new(f, value, mask).unwrap())
    })
}

fn move_field(p: &Protocol) -> impl Strategy<Value = Action> + use<> {
    (part_of(fields(p, false), 128), part_of(fields(p, true), 128)).prop_map(|(src, dst)| {
        let n_bits = src.n_bits.min(dst.n_bits);
        Action::Move {
            src: Subfield::new(src.field(), src.ofs, n_bits),
            dst: Subfield::new(dst.field(), dst.ofs, n_bits),
        }
    })
}

fn output() -> impl Strategy<Value = Action> {
    prop_oneof![
        (1u32..0xff00).prop_map(Action::output),
        select(vec![port::IN_PORT, port::LOCAL, port::FLOOD, port::ALL, port::NORMAL]).prop_map(Action::output),
        any::<u16>().prop_map(|max_len| Action::Output { port: port::CONTROLLER, max_len }),
    ]
}

fn nat(v6: bool) -> impl Strategy<Value = Action> {
    let addresses = (any::<u32>(), 0u32..100).prop_map(move |(a, n)| {
        let (min, max) = (a & 0xffff_ff00 | 1, (a & 0xffff_ff00 | 1) + n);
        let ip = |x: u32| -> IpAddr {
            if v6 {
                std::net::Ipv6Addr::from(0xfd00u128 << 112 | u128::from(x)).into()
            } else {
                std::net::Ipv4Addr::from(x).into()
            }
        };
        (ip(min), (n > 0).then(|| ip(max)))
    });
    let ports = (1u16..30000, 0u16..100).prop_map(|(p, n)| (p, (n > 0).then_some(p + n)));
    let flags = select(vec![0, Nat::PERSISTENT, Nat::HASH, Nat::RANDOM, Nat::PERSISTENT | Nat::HASH]);
    (proptest::option::of((addresses, proptest::option::of(ports))), flags, any::<bool>()).prop_map(
        |(range, flags, src)| {
            let Some(((min, max), ports)) = range else { return Action::Nat(Box::default()) };
            let flags = flags | if src { Nat::SRC } else { Nat::DST };
            let (port_min, port_max) = ports.map_or((None, None), |(min, max)| (Some(min), max));
            Action::Nat(Box::new(Nat { flags, addr_min: Some(min), addr_max: max, port_min, port_max }))
        },
    )
}

fn ct(v6: bool, algs: Vec<u16>) -> impl Strategy<Value = Action> {
    let zone = prop_oneof![
        any::<u16>().prop_map(Zone::Fixed),
        select(vec![field::REG0, field::XREG3]).prop_map(|f| Zone::From(Subfield::new(f, 8, 16)))
    ];
    let marks = prop::collection::vec(
        prop_oneof![
            any::<u32>().prop_map(|n| Action::set_field(field::CT_MARK, n)),
            any::<u32>().prop_map(|n| Action::set_field_masked(field::CT_MARK, n, 0xff00u32)),
            any::<u128>().prop_map(|n| Action::set_field(field::CT_LABEL, n)),
        ],
        0..3,
    );
    let alg = select(algs);
    let shape = (any::<bool>(), proptest::option::of(0u8..254), zone, alg, proptest::option::of(nat(v6)), marks);
    shape.prop_map(|(commit, table, zone, alg, nat, marks)| {
        // Translation rules and marks need a commit.
        let ranged = nat.as_ref().is_some_and(|n| matches!(n, Action::Nat(n) if n.flags != 0));
        let commit = commit || ranged || !marks.is_empty();
        let actions = nat.into_iter().chain(marks).collect();
        Action::Ct(Box::new(Ct { commit, force: commit && alg == 0, zone, table, alg, actions }))
    })
}

fn learn() -> impl Strategy<Value = Action> {
    let whole = |f: &'static Field, dst: LearnDst| LearnSpec { n_bits: f.bits, src: LearnSrc::Field(f, 0), dst };
    let some = prop_oneof![
        select(vec![field::ETH_SRC, field::ETH_DST, field::REG3, field::METADATA, field::TUN_ID])
            .prop_map(move |f| whole(f, LearnDst::Match(f, 0))),
        Just(whole(field::ETH_SRC, LearnDst::Match(field::ETH_DST, 0))),
        Just(whole(field::IN_PORT_NXM, LearnDst::Output)),
        Just(whole(field::ETH_SRC, LearnDst::Load(field::ETH_DST, 0))),
        any::<u32>().prop_map(|n| LearnSpec {
            n_bits: 32,
            src: LearnSrc::Immediate(n.into()),
            dst: LearnDst::Load(field::REG4, 0)
        }),
        any::<u16>().prop_map(|n| LearnSpec {
            n_bits: 9,
            src: LearnSrc::Immediate((n & 0x1ff).into()),
            dst: LearnDst::Match(field::REG4, 3)
        }),
        Just(LearnSpec {
            n_bits: 16,
            src: LearnSrc::Immediate(0x0806u16.into()),
            dst: LearnDst::Match(field::ETH_TYPE, 0)
        }),
    ];
    let times = (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>(), any::<bool>());
    let result = select(vec![None, None, Some(Subfield::new(field::REG0, 5, 1))]);
    (prop::collection::vec(some, 0..4), times, any::<u16>(), any::<u16>(), 0u32..3, 1u8..254, result).prop_map(
        |(specs, (idle, hard, fin, rem, del), priority, cookie, limit, table, result_dst)| {
            Action::Learn(Box::new(Learn {
                idle_timeout: idle.into(),
                hard_timeout: hard.into(),
                priority,
                cookie: cookie.into(),
                table,
                fin_idle_timeout: if fin % 2 == 0 { 0 } else { fin.into() },
                fin_hard_timeout: if fin % 3 == 0 { 0 } else { fin.into() },
                send_flow_rem: rem,
                delete_learned: del,
                limit,
                result_dst,
                specs,
            }))
        },
    )
}

fn controller() -> impl Strategy<Value = Action> {
    let userdata = prop::collection::vec(any::<u8>(), 0..20);
    (any::<u16>(), any::<u16>(), 0u8..=5, userdata, any::<bool>(), 0u32..3, any::<bool>()).prop_map(
        |(max_len, controller_id, reason, userdata, pause, meter_id, all)| {
            let max_len = if all { u16::MAX } else { max_len };
            Action::Controller(Box::new(Controller { max_len, controller_id, reason, userdata, pause, meter_id }))
        },
    )
}

fn hashing() -> impl Strategy<Value = Action> {
    let hash = || select(vec![0u16, 1, 2, 3, 6]).prop_map(HashFields);
    let members = || prop::collection::vec(1u16..0xff00, 1..6).prop_map(SmallVec::from_vec);
    let dst = || select(vec![Subfield::all(field::REG1), Subfield::new(field::REG2, 0, 16)]);
    prop_oneof![
        (hash(), any::<u16>(), 0u16..4, 1u16..16, any::<u32>(), dst()).prop_map(
            |(fields, basis, algorithm, max_link, arg, dst)| {
                Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, arg, dst }))
            }
        ),
        (hash(), any::<u16>(), 0u16..2, members(), proptest::option::of(dst())).prop_map(
            |(fields, basis, algorithm, members, dst)| {
                Action::Bundle(Box::new(Bundle { algorithm, fields, basis, members, dst }))
            }
        ),
    ]
}

fn simple(p: &Protocol) -> BoxedStrategy<Action> {
    let is = |x: Prerequisite| p.fulfils.contains(&x);
    let tracked = is(Prerequisite::Ct);
    let mut all: Vec<BoxedStrategy<Action>> = vec![
        any::<u32>().prop_map(|g| Action::Group(g & 0x7fff_ffff)).boxed(),
        any::<u32>().prop_map(Action::SetQueue).boxed(),
        Just(Action::PopQueue).boxed(),
        Just(Action::Exit).boxed(),
        Just(Action::CtClear).boxed(),
        prop::collection::vec(any::<u8>(), 6).prop_map(Action::Note).boxed(),
        (0u16..0xff00, proptest::option::of(0u8..255), any::<bool>())
            .prop_map(move |(p, table, ct)| {
                let ct = ct && tracked && table.is_some();
                let in_port = (p % 2 == 0 || table.is_none()).then_some(p);
                let table = table.or(Some(255));
                Action::Resubmit { in_port, table, ct }
            })
            .boxed(),
        part_of(registers(), 64).prop_map(Action::StackPush).boxed(),
        part_of(registers(), 64).prop_map(Action::StackPop).boxed(),
        part_of(registers(), 16).prop_map(|src| Action::OutputReg { src, max_len: u16::MAX }).boxed(),
        (1u16..0xff00, 14u32..9999).prop_map(|(port, max_len)| Action::OutputTrunc { port, max_len }).boxed(),
        (any::<u16>(), 0u16..32)
            .prop_map(|(pkt_len, bit)| Action::CheckPktLarger { pkt_len, dst: Subfield::new(field::REG7, bit, 1) })
            .boxed(),
        (1u16..=65535, any::<u32>(), any::<u32>(), any::<u32>(), select(vec![u16::MAX, 7]), 0u8..3)
            .prop_map(|(probability, collector_set_id, obs_domain_id, obs_point_id, sampling_port, direction)| {
                Action::Sample(Box::new(Sample {
                    probability,
                    collector_set_id,
                    obs_domain_id,
                    obs_point_id,
                    sampling_port,
                    direction,
                }))
            })
            .boxed(),
    ];
    if is(Prerequisite::Ip) {
        all.push(Just(Action::DecTtl).boxed());
        all.push(any::<u8>().prop_map(Action::SetTtl).boxed());
        all.push(prop::collection::vec(any::<u16>(), 1..5).prop_map(|v| Action::DecTtlIds(v.into())).boxed());
        let alg = match () {
            () if is(Prerequisite::Tcp) => 21,
            () if is(Prerequisite::Udp) => 69,
            () => 0,
        };
        all.push(ct(is(Prerequisite::Ipv6), vec![0, alg]).boxed());
    }
    if is(Prerequisite::Mpls) {
        all.push(Just(Action::DecMplsTtl).boxed());
        all.push(any::<u8>().prop_map(Action::SetMplsTtl).boxed());
    }
    if is(Prerequisite::Tcp) {
        all.push((any::<u16>(), any::<u16>()).prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }).boxed());
    }
    if is(Prerequisite::Nsh) {
        all.push(Just(Action::DecNshTtl).boxed());
    }
    proptest::strategy::Union::new(all).boxed()
}

fn action(p: &Protocol) -> BoxedStrategy<Action> {
    let leaf = prop_oneof![
        4 => set_field(p),
        2 => move_field(p),
        2 => output(),
        4 => simple(p),
        1 => controller(),
        1 => learn(),
        1 => hashing(),
    ];
    let leaf = leaf.boxed();
    let nested = prop::collection::vec(leaf.clone(), 0..3).prop_map(Action::Clone);
    prop_oneof![9 => leaf, 1 => nested].boxed()
}

pub fn instructions(p: Protocol) -> impl Strategy<Value = Vec<Instruction>> {
    let one = prop_oneof![
        4 => prop::collection::vec(action(&p), 1..5),
        1 => (any::<u32>(), 2u8..=64, 0u8..64).prop_map(|(id, n_clauses, c)| {
            vec![Action::Conjunction { id, clause: c % n_clauses, n_clauses }]
        }),
    ];
    let write = prop_oneof![
        2 => Just(None),
        1 => prop::collection::vec(prop_oneof![output(), any::<u8>().prop_map(|g| Action::Group(g.into()))], 1..2).prop_map(Some)
    ];
    let metadata = proptest::option::of((any::<u64>(), prop_oneof![Just(u64::MAX), any::<u64>()]));
    (proptest::option::of(one), any::<bool>(), write, metadata, proptest::option::of(1u8..254)).prop_map(
        |(apply, clear, write, metadata, goto)| {
            let conjunction = matches!(apply.as_deref(), Some([Action::Conjunction { .. }]));
            let mut list: Vec<Instruction> = apply.map(Instruction::ApplyActions).into_iter().collect();
            if conjunction {
                return list; // stands alone
            }
            list.extend(clear.then_some(Instruction::ClearActions));
            list.extend(write.map(Instruction::WriteActions));
            list.extend(metadata.map(|(m, mask)| Instruction::WriteMetadata { metadata: m & mask, mask }));
            list.extend(goto.map(Instruction::GotoTable));
            list
        },
    )
}
