//! Reports of hosts whose clocks differ, put together to one path.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const IN: u8 = stage::LSP_TRACE_INGRESS_IN.table;
const OUT: u8 = stage::LSP_TRACE_INGRESS_OUT.table;
const EGRESS: u8 = stage::LSP_TRACE_EGRESS_IN.table;
const TRACED: u32 = register::TRACED;
const ARRIVED: u32 = register::TRACED | register::FROM_TUNNEL;

fn hv(number: u8) -> Name {
    format!("hv{number}").parse().unwrap()
}

fn owner(ip: IpAddr) -> Option<Name> {
    match ip {
        IpAddr::V4(ip) if ip.octets()[3] < 10 => Some(hv(ip.octets()[3])),
        _ => None,
    }
}

/// Reports of one host, numbered in their order.
struct Host(u8, Vec<Report>);

impl Host {
    fn new(number: u8) -> Self {
        Self(number, Vec::new())
    }
    fn add(mut self, event: TraceEvent, table: u8, to: u32, flags: u32, remote: u8, at: u64) -> Self {
        let remote = (remote > 0).then(|| Ipv4Addr::new(192, 0, 2, remote).into());
        let (text, next_hop, packet) = (None, None, String::new());
        let record = TraceRecord { event, at, table, datapath: 7, from: 1, to, flags, remote, next_hop, packet, text };
        let number = u32::try_from(self.1.len()).unwrap();
        self.1.push(Report { chassis: hv(self.0), number, record, known: Duration::from_nanos(1_000_000) });
        self
    }
    fn hop(self, table: u8, to: u32, at: u64) -> Self {
        self.add(TraceEvent::Hop, table, to, TRACED, 0, at)
    }
    fn sends(self, to: u32, remote: u8, at: u64) -> Self {
        self.add(TraceEvent::Hop, OUT, to, TRACED, remote, at)
    }
    fn enters(self, to: u32, at: u64) -> Self {
        self.add(TraceEvent::Hop, EGRESS, to, ARRIVED, 0, at)
    }
    fn delivers(self, to: u32, at: u64) -> Self {
        self.add(TraceEvent::Delivered, stage::LSP_EGRESS_PUSHOUT.table, to, TRACED, 0, at)
    }
    fn ends(self) -> Self {
        self.add(TraceEvent::End, 0, 0, 0, 0, 0)
    }
}

fn joined(hosts: impl IntoIterator<Item = Host>) -> Joined {
    let reports: Vec<Report> = hosts.into_iter().flat_map(|host| host.1).collect();
    join(&hv(1), &reports, owner)
}

fn places(joined: &Joined) -> Vec<(String, u8, u64)> {
    let place = |p: &Passed| (p.chassis.to_string(), p.record.table, u64::try_from(p.at.as_nanos()).unwrap());
    joined.passed.iter().map(place).collect()
}

fn ends(joined: &Joined) -> Vec<Option<u8>> {
    joined.ended.iter().map(|(_, last)| last.as_ref().map(|last| last.record.table)).collect()
}

#[test]
fn hosts_are_joined_by_cause_and_their_clocks_with_them() {
    for (skew, arrived) in [(0, 50), (-5_000_000, 20), (7_000_000_000, 20)] {
        let clock = |at: u64| (1_000_000_000_000 + skew + i64::try_from(at).unwrap()).try_into().unwrap();
        let base = 1_000_000_000_000;
        let hv1 = Host::new(1).hop(IN, 0, base).sends(2, 2, base + 20).ends();
        let hv2 = Host::new(2).enters(2, clock(50)).delivers(2, clock(53)).ends();
        let all = joined([hv2, hv1]);
        assert_eq!((&all.missing[..], all.ended.len()), (&[][..], 0));
        let expected = [("hv1", IN, 0), ("hv1", OUT, 20), ("hv2", EGRESS, arrived), ("hv2", 34, arrived + 3)];
        assert_eq!(places(&all), expected.map(|(c, t, at)| (c.to_owned(), t, at)));
    }
}

#[test]
fn a_packet_may_come_back_to_the_host_that_sent_it() {
    let hv1 = Host::new(1).hop(IN, 0, 10).sends(2, 2, 20).ends().enters(9, 70).delivers(9, 80).ends();
    let hv2 = Host::new(2).enters(2, 40).sends(9, 1, 60).ends();
    let all = joined([hv1, hv2]);
    assert!(all.missing.is_empty(), "{:?}", all.missing);
    let hosts: Vec<String> = places(&all).into_iter().map(|place| place.0).collect();
    assert_eq!(hosts, ["hv1", "hv1", "hv2", "hv2", "hv1", "hv1"]);
}

#[test]
fn copies_are_told_one_after_another_and_each_has_its_end() {
    const ALL: u32 = register::FLOOD;
    let hv1 = Host::new(1).hop(IN, 0, 1).hop(OUT, ALL, 2).hop(EGRESS, ALL, 3);
    let hv1 = hv1.sends(ALL, 2, 4).hop(EGRESS, 5, 5).delivers(5, 6).sends(ALL, 3, 7).hop(EGRESS, 1, 8).ends();
    // Within a host that got a copy the packet meets the same stage again, for each port; that is no visit of its own.
    let again = ARRIVED | register::ENTERED;
    let hv2 = Host::new(2).enters(ALL, 11).add(TraceEvent::Hop, EGRESS, 8, again, 0, 12).delivers(8, 13).ends();
    let hv3 = Host::new(3).enters(ALL, 21).add(TraceEvent::Hop, EGRESS, 9, again, 0, 22).delivers(9, 23);
    let all = joined([hv2, hv1, Host(3, hv3.1.clone())].into_iter().map(|host| Host(host.0, host.1)));
    assert_eq!(all.missing, [Missing::End(hv(3))]);
    let all = joined([Host(3, hv3.ends().1)]);
    assert_eq!(all.missing, [Missing::Start(hv(1))]);
    assert_eq!(all.passed.len(), 3);
}

/// A copy that conntrack goes on with has an end of its own, before that of the packet (a datapath in userspace does it at once) or after it.
#[test]
fn behind_conntrack_the_path_goes_on() {
    const PENDING: u32 = register::TRACED | register::PENDING;
    let pending = |host: Host| host.add(TraceEvent::End, 0, 0, PENDING, 0, 0);
    let hv2 = || Host::new(2).enters(2, 50).delivers(2, 53).ends();
    let begin = || Host::new(1).hop(IN, 0, 1).hop(50, 0, 2);
    let more = |host: Host| host.hop(59, 3, 3).hop(70, 3, 4);
    let last = |host: Host| host.hop(77, 3, 5).sends(2, 2, 6).ends();
    let at_once = pending(pending(last(more(begin()))));
    let later = last(pending(more(pending(begin()))));
    let mixed = pending(last(more(pending(begin()))));
    for hv1 in [at_once, later, mixed] {
        let all = joined([hv1, hv2()]);
        assert!(all.missing.is_empty() && all.ended.is_empty(), "{:?} {:?}", all.missing, all.ended);
        let tables: Vec<u8> = places(&all).into_iter().map(|place| place.1).collect();
        assert_eq!(tables, [IN, 50, 59, 70, 77, OUT, EGRESS, 34]);
    }
    // As long as the copy has no end, more may come.
    let open = joined([more(pending(begin()))]);
    assert_eq!(open.missing, [Missing::End(hv(1))]);
    let dropped = joined([pending(begin()).ends()]);
    assert_eq!((&dropped.missing[..], ends(&dropped)), (&[][..], vec![Some(50)]));
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(joined([]).missing, [Missing::Start(hv(1))]);
    let open = joined([Host::new(1).hop(IN, 0, 1)]);
    assert_eq!(open.missing, [Missing::End(hv(1))]);
    let sent = || Host::new(1).hop(IN, 0, 1).sends(2, 2, 2).ends();
    let ip = |last| IpAddr::from([192, 0, 2, last]);
    assert_eq!(joined([sent()]).missing, [Missing::Arrival(hv(1), ip(2), Some(hv(2)))]);
    let nobody = joined([Host::new(1).hop(IN, 0, 1).sends(2, 99, 2).ends()]);
    assert_eq!(nobody.missing, [Missing::Arrival(hv(1), ip(99), None)]);
    // A visit for another port is not the one that was awaited, but it is told.
    let other = joined([sent(), Host::new(2).enters(3, 5).ends()]);
    assert_eq!((other.missing.len(), other.passed.len()), (1, 3));
}

#[test]
fn a_gap_in_the_numbers_leaves_the_path_open() {
    let whole = Host::new(1).hop(IN, 0, 1).hop(OUT, 2, 2).hop(EGRESS, 2, 3).delivers(2, 4).ends();
    assert!(joined([Host(1, whole.1.clone())]).missing.is_empty());
    for hole in 0..4 {
        let mut reports = whole.1.clone();
        reports.remove(hole);
        assert_eq!(joined([Host(1, reports)]).missing.len(), 1, "without {hole}");
    }
    let mut late = whole.1.clone();
    late.reverse();
    assert!(joined([Host(1, late)]).missing.is_empty());
}

#[test]
fn a_visit_without_delivery_or_departure_ended_where_it_was_seen_last() {
    let all = joined([Host::new(1).hop(IN, 0, 1).hop(50, 0, 2).ends()]);
    assert!(all.missing.is_empty());
    assert_eq!(ends(&all), [Some(50)]);
    assert_eq!(ends(&joined([Host::new(1).ends()])), [None]);
    // The host has no tunnel of that kind: the packet went on to its own egress, and ended there.
    let stuck = Host::new(1).hop(IN, 0, 1).sends(2, 2, 2).add(TraceEvent::Hop, EGRESS, 2, TRACED, 2, 3).ends();
    let all = joined([stuck]);
    assert!(all.missing.is_empty(), "{:?}", all.missing);
    assert_eq!(ends(&all), [Some(EGRESS)]);
}

/// Any report of three hosts, whether it makes sense or not.
fn any_report() -> impl Strategy<Value = Report> {
    let event = prop_oneof![Just(TraceEvent::Hop), Just(TraceEvent::Delivered), Just(TraceEvent::End)];
    let table = prop_oneof![Just(IN), Just(OUT), Just(EGRESS), Just(50)];
    let flags = prop_oneof![Just(TRACED), Just(ARRIVED), Just(ARRIVED | register::ENTERED)];
    let rest = (0..6_u32, 0..3_u32, any::<u64>(), proptest::option::of(0..12_u8), any::<u32>());
    (1..4_u8, event, table, flags, rest).prop_map(|(host, event, table, flags, (number, to, at, remote, known))| {
        let remote = remote.map(|last| Ipv4Addr::new(192, 0, 2, last).into());
        let (text, next_hop, packet) = (None, None, String::new());
        let record = TraceRecord { event, at, table, datapath: 7, from: 1, to, flags, remote, next_hop, packet, text };
        Report { chassis: hv(host), number, record, known: Duration::from_micros(known.into()) }
    })
}

proptest! {
    /// Whatever hosts report: every report but the ends is told once, and times never go back along a cause.
    #[test]
    fn nothing_that_was_reported_is_left_out(reports in proptest::collection::vec(any_report(), 0..24)) {
        let joined = join(&hv(1), &reports, owner);
        let mut distinct: Vec<(Name, u32)> = Vec::new();
        let mut told = 0;
        for report in &reports {
            let place = (report.chassis.clone(), report.number);
            if !distinct.contains(&place) {
                distinct.push(place);
                told += usize::from(report.record.event != TraceEvent::End);
            }
        }
        prop_assert_eq!(joined.passed.len(), told);
        prop_assert!(!joined.missing.is_empty() || reports.iter().any(|report| report.record.event == TraceEvent::End));
    }

    /// In whatever order reports arrive, and as long as one of them is missing, the path is the same, or open.
    #[test]
    fn the_order_of_arrival_does_not_matter(order in Just((0..11_usize).collect::<Vec<_>>()).prop_shuffle(), known in 1..11_usize) {
        let hv1 = Host::new(1).hop(IN, 0, 10).sends(2, 2, 20).ends().enters(9, 70).delivers(9, 80).ends();
        let hv2 = Host::new(2).enters(2, 40).hop(50, 0, 45).hop(59, 1, 50).sends(9, 1, 60).ends();
        let all: Vec<Report> = hv1.1.into_iter().chain(hv2.1).collect();
        let shuffled: Vec<Report> = order.iter().filter_map(|i| all.get(*i)).cloned().collect();
        let (expected, got) = (join(&hv(1), &all, owner), join(&hv(1), &shuffled, owner));
        prop_assert!(got.missing.is_empty(), "{:?}", got.missing);
        prop_assert_eq!(places(&expected), places(&got));
        let part: Vec<Report> = shuffled.into_iter().take(known).collect();
        prop_assert!(!join(&hv(1), &part, owner).missing.is_empty(), "complete after {} of 11", known);
    }
}

#[test]
fn a_detour_comes_before_the_host_that_the_packet_is_for() {
    let hop = |host: Host, table: u8, flags: u32, remote: u8, at: u64| {
        host.add(TraceEvent::Hop, table, 2, TRACED | flags, remote, at)
    };
    let hv1 = || Host::new(1).hop(IN, 0, 10).sends(2, 2, 20).ends();
    let hv3 = || {
        let entered = hop(Host::new(3), EGRESS, register::FROM_TUNNEL | register::REDIRECTED, 0, 30);
        hop(entered, OUT, register::RELAYED, 2, 40).ends()
    };
    let hv2 = || hop(Host::new(2), EGRESS, register::FROM_TUNNEL | register::RELAYED, 0, 50).delivers(2, 60).ends();
    let all = joined([hv1(), hv2(), hv3()]);
    assert!(all.missing.is_empty() && all.ended.is_empty(), "{all:?}");
    let hosts: Vec<String> = places(&all).into_iter().map(|place| place.0).collect();
    assert_eq!(hosts, ["hv1", "hv1", "hv3", "hv3", "hv2", "hv2"]);
    // Of a detour that has not told yet.
    let missing = joined([hv1(), hv2()]).missing;
    assert_eq!(missing, [Missing::Arrival(hv(1), Ipv4Addr::new(192, 0, 2, 2).into(), Some(hv(2)))]);
}
