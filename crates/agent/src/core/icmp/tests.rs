//! Which ended packets are told of, to whom and how, and how often.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn nets() -> Vec<IpNet> {
    ["192.0.2.1/24", "10.1.0.254/24", "fe80::1/64", "fd00:9::1/64", "fd00:1::fe/64"]
        .map(|net| net.parse().unwrap())
        .into()
}

fn v4(protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xf2, 1, 0, 0, 0, 1, 0xf2, 1, 0, 0, 0, 2, 8, 0];
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    frame.extend([0x45, 0, length[0], length[1], 0x12, 0x34, 0, 0, 1, protocol, 0, 0]);
    frame.extend(from);
    frame.extend(to);
    let sum = checksum(&frame[14..]);
    put(&mut frame, 24, sum);
    frame.extend(payload);
    frame
}

fn v6(next: u8, from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xf2, 1, 0, 0, 0, 1, 0xf2, 1, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend([next, 1]);
    frame.extend(from.parse::<Ipv6Addr>().unwrap().octets());
    frame.extend(to.parse::<Ipv6Addr>().unwrap().octets());
    frame.extend(payload);
    frame
}

/// Of packets that are not too long.
fn error(event: Event, frame: &[u8], nets: &[IpNet]) -> Option<(IpAddr, Vec<u8>)> {
    super::error(event, 0, frame, nets)
}

const VM: [u8; 4] = [10, 1, 0, 2];
const FAR: [u8; 4] = [10, 9, 0, 9];
const VM6: &str = "fd00:1::2";
const FAR6: &str = "fd00:9::9";
const ECHO: [u8; 12] = [8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const ECHO6: [u8; 12] = [128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// Type, code, the word behind them, and what is quoted; everything else is as it must be.
fn read(told: &[u8]) -> (u8, u8, u32, Vec<u8>) {
    let ip = &told[14..];
    let icmp = if told[12..14] == IPV4 {
        assert_eq!((checksum(&ip[..20]), usize::from(u16::from_be_bytes([ip[2], ip[3]]))), (0, ip.len()));
        assert_eq!((ip[8], ip[9], checksum(&ip[20..])), (255, ICMP, 0));
        assert!(ip.len() <= 576);
        &ip[20..]
    } else {
        let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
        assert_eq!((length + 40, ip[6], ip[7]), (ip.len(), ICMPV6, 255));
        let ends = [8, 24].map(|at| Ipv6Addr::from(take::<16>(ip, at).unwrap()));
        assert_eq!(icmpv6_checksum(ends[0], ends[1], &ip[40..]), 0);
        assert!(ip.len() <= 1280);
        &ip[40..]
    };
    (icmp[0], icmp[1], u32::from_be_bytes([icmp[4], icmp[5], icmp[6], icmp[7]]), icmp[8..].to_vec())
}

#[test]
fn each_end_has_its_error_in_both_families() {
    let errors = [
        (Event::Spent, (11, 0), (3, 0)),
        (Event::NoRoute, (3, 0), (1, 0)),
        (Event::NoHost, (3, 1), (1, 3)),
        (Event::Itself, (3, 3), (1, 4)),
    ];
    for (event, four, six) in errors {
        let frame = v4(UDP, VM, FAR, &[7; 30]);
        let (to, told) = error(event, &frame, &nets()).unwrap();
        let (kind, code, _, quote) = read(&told);
        assert_eq!((to, kind, code, &quote[..]), (IpAddr::from(VM), four.0, four.1, &frame[14..]));
        let source = if event == Event::Itself { FAR } else { [10, 1, 0, 254] };
        assert_eq!((&told[26..30], &told[30..34]), (&source[..], &VM[..]), "{event:?}");

        let frame = v6(UDP, VM6, FAR6, &[7; 30]);
        let (to, told) = error(event, &frame, &nets()).unwrap();
        let (kind, code, _, quote) = read(&told);
        assert_eq!((to.to_string().as_str(), kind, code, &quote[..]), (VM6, six.0, six.1, &frame[14..]));
        let source: Ipv6Addr = if event == Event::Itself { FAR6 } else { "fd00:1::fe" }.parse().unwrap();
        assert_eq!(told[22..38], source.octets(), "{event:?}");
    }
    // A protocol that no router speaks; IPv6 names the place.
    let (kind, code, _, _) = read(&error(Event::Itself, &v4(47, VM, FAR, &[7; 30]), &nets()).unwrap().1);
    assert_eq!((kind, code), (3, 2));
    let options = [47, 0, 1, 4, 0, 0, 0, 0, 7, 7];
    let (kind, code, at, _) = read(&error(Event::Itself, &v6(60, VM6, FAR6, &options), &nets()).unwrap().1);
    assert_eq!((kind, code, at), (4, 1, 40));
}

#[test]
fn who_sends_long_packets_is_told_how_long_they_may_be() {
    let too_big =
        |mtu: u32, frame: &[u8]| super::error(Event::TooBig, mtu, frame, &nets()).map(|(_, told)| read(&told));
    let (kind, code, mtu, _) = too_big(1438, &v4(UDP, VM, FAR, &[7; 1480])).unwrap();
    assert_eq!((kind, code, mtu), (3, 4, 1438));
    let (kind, code, mtu, quote) = too_big(1438, &v6(UDP, VM6, FAR6, &[7; 1460])).unwrap();
    assert_eq!((kind, code, mtu, quote.len()), (2, 0, 1438, 1232));
    assert_eq!(too_big(70_000, &v6(UDP, VM6, FAR6, &[7; 1460])).unwrap().2, 70_000);
    assert_eq!(too_big(1438, &v4(ICMP, VM, FAR, &[3; 1480])), None, "of an error nobody is told");
}

/// What is handed over with its registers: one that may be cut goes on in pieces from where it was, of the other its sender is told.
#[test]
fn what_may_be_cut_goes_on_in_pieces() {
    use tuplenet_openflow::Match;
    use tuplenet_rules::register;
    let mut long = v4(UDP, VM, FAR, &[7; 1480]);
    let metadata = || {
        Match::new()
            .with(DATAPATH, 5_u64)
            .with(SRC_PORT, 1_u32)
            .with(DST_PORT, 2_u32)
            .with(FLAGS, register::TRACED | register::NATTED)
            .with(REG0, 0x0a09_0001_u32)
            .with(REG3, 9_u32)
            .with(MTU, TOO_BIG | 1438)
    };
    let run = |frame: &[u8]| {
        let packet = PacketIn2 { packet: frame.to_vec().into(), metadata: metadata(), ..PacketIn2::default() };
        let (mut effects, mut stats, mut errors) = (Vec::new(), Stats::default(), Errors::default());
        let known = nets();
        let nets = |_, number| (number == 1).then_some(&known[..]);
        errors.packet_in(Event::TooBig, &packet, nets, Instant::now(), &mut effects, &mut stats);
        (effects, stats)
    };
    let (effects, stats) = run(&long);
    assert_eq!((effects.len(), stats.packets_cut, stats.icmp_errors), (2, 1, 0));
    let next_hop = 0x0a09_0001_u128 << 96 | 9;
    let place = Place {
        router: DatapathId::new(5).unwrap(),
        from: 1,
        to: 2,
        next_hop,
        flags: register::TRACED | register::NATTED,
    };
    let bytes = effects.iter().map(|effect| match effect {
        Effect::PacketOut { actions, frame } => {
            assert_eq!(*actions, send_on(place));
            assert!(frame.len() <= 1438 + 14);
            frame.len() - 34
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(bytes.sum::<usize>(), 1480);
    let text: Vec<String> = send_on(place).iter().map(ToString::to_string).collect();
    assert!(text.contains(&format!("set_field:{:#x}->reg6", register::NATTED)), "no colour, all else: {text:?}");

    // Not to be cut.
    long[20] = 0x40;
    let (effects, stats) = run(&long);
    assert_eq!((effects.len(), stats.packets_cut, stats.icmp_errors), (1, 0, 1));
    let Effect::PacketOut { frame, .. } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(read(frame).2, 1438);
}

#[test]
fn much_is_quoted_but_not_more_than_gets_through() {
    let told = |frame: &[u8]| error(Event::Spent, frame, &nets()).unwrap().1.len() - ETHERNET;
    assert_eq!(told(&v4(UDP, VM, FAR, &[7; 1400])), 576);
    assert_eq!(told(&v6(UDP, VM6, FAR6, &[7; 1400])), 1280);
    // The padding of a short Ethernet frame is not the packet's.
    let mut padded = v4(UDP, VM, FAR, &[7; 10]);
    padded.extend([0; 20]);
    assert_eq!(told(&padded), 28 + 30);
}

#[test]
fn of_some_packets_nobody_is_told() {
    let silent = |event: Event, frame: &[u8]| assert_eq!(error(event, frame, &nets()), None, "{event:?} {frame:02x?}");
    assert!(error(Event::Spent, &v4(ICMP, VM, FAR, &ECHO), &nets()).is_some());
    assert!(error(Event::Spent, &v6(ICMPV6, VM6, FAR6, &ECHO6), &nets()).is_some());
    for kind in [3, 4, 5, 11, 12, 40, 255] {
        silent(Event::Spent, &v4(ICMP, VM, FAR, &[kind, 0, 0, 0, 0, 0, 0, 0]));
    }
    for kind in [0, 1, 2, 3, 4, 127, 137] {
        silent(Event::Spent, &v6(ICMPV6, VM6, FAR6, &[kind, 0, 0, 0, 0, 0, 0, 0]));
    }
    // The router itself.
    silent(Event::Spent, &v4(UDP, [10, 1, 0, 254], FAR, &[7; 30]));
    silent(Event::Spent, &v6(UDP, "fd00:1::fe", FAR6, &[7; 30]));
    // An echo reply that a router did not ask for.
    silent(Event::Itself, &v4(ICMP, VM, FAR, &[0; 8]));
    silent(Event::Itself, &v6(ICMPV6, VM6, FAR6, &[129, 0, 0, 0, 0, 0, 0, 0]));
    for nobody in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [10, 1, 0, 255]] {
        silent(Event::Spent, &v4(UDP, nobody, FAR, &[7; 30]));
        silent(Event::Spent, &v4(UDP, VM, nobody, &[7; 30]));
    }
    for nobody in ["::", "::1", "fe80::2", "ff02::1"] {
        silent(Event::Spent, &v6(UDP, nobody, FAR6, &[7; 30]));
        silent(Event::Spent, &v6(UDP, VM6, nobody, &[7; 30]));
    }
    // To all on the link, a later fragment, a port without an address of the family.
    let mut to_all = v4(UDP, VM, FAR, &[7; 30]);
    to_all[..6].fill(0xff);
    silent(Event::Spent, &to_all);
    let mut later = v4(UDP, VM, FAR, &[7; 30]);
    later[21] = 1;
    silent(Event::Spent, &later);
    silent(Event::Spent, &v6(44, VM6, FAR6, &[UDP, 0, 0, 8, 0, 0, 0, 1, 7, 7]));
    assert!(error(Event::Spent, &v6(44, VM6, FAR6, &[UDP, 0, 0, 1, 0, 0, 0, 1, 7, 7]), &nets()).is_some());
    assert_eq!(error(Event::Spent, &v4(UDP, VM, FAR, &[7; 30]), &nets()[2..]), None);
    // An error hidden behind other headers, and headers that do not end.
    silent(Event::Spent, &v6(0, VM6, FAR6, &[ICMPV6, 0, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0]));
    silent(Event::Spent, &v6(0, VM6, FAR6, &[0, 0, 1, 4]));
}

#[test]
fn a_flood_of_one_sender_takes_nothing_from_others() {
    let (mut errors, start) = (Errors::default(), Instant::now());
    let lr = DatapathId::new(5).unwrap();
    let mut may = |port: u32, from: u32, at: u64| {
        errors.may(lr, port, Ipv4Addr::from(from).into(), start + Duration::from_millis(at))
    };
    let got = (0..10_000).filter(|at| may(1, 1, *at / 10)).count();
    assert!((60..=80).contains(&got), "{got} errors in a second");
    assert!(may(1, 2, 1_000) && may(2, 1, 1_000));
    // One who forges senders fills what there is for that port, and no other's.
    let forged = (1_000..3_000).filter(|from| may(1, *from, 1_001)).count();
    assert!(forged <= MAX_EACH, "{forged}");
    assert!(may(2, 3, 1_002));
    // Later it has room again.
    assert!(may(1, 5_000, 5_000));
    let senders = errors.senders.values().map(FxHashMap::len).sum::<usize>();
    assert_eq!(errors.count, senders);
}

proptest! {
    #[test]
    fn any_bytes_are_told_of_rightly_or_not_at_all(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        base in 0..4_usize,
        changes in proptest::collection::vec((0..90_usize, any::<u8>()), 0..4),
        cut in 0..120_usize,
        event in 0..Event::ALL.len(),
    ) {
        let event = Event::ALL[event];
        let _ = error(event, &bytes, &nets());
        let frames = [
            v4(UDP, VM, FAR, &[7; 30]),
            v4(ICMP, VM, FAR, &ECHO),
            v6(UDP, VM6, FAR6, &[7; 30]),
            v6(0, VM6, FAR6, &[44, 0, 1, 4, 0, 0, 0, 0, ICMPV6, 0, 0, 1, 0, 0, 0, 1, 128, 0, 0, 0]),
        ];
        let mut frame = frames[base].clone();
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        if let Some((_, told)) = error(event, &frame, &nets()) {
            let (.., quote) = read(&told);
            prop_assert_eq!(quote.as_slice(), &frame[14..14 + quote.len()]);
            // No error is told of.
            prop_assert_eq!(error(event, &told, &nets()), None);
        }
    }
}
