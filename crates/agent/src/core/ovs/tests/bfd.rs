//! Ports that watch end points: made once there are flows for them, kept over a restart, put right, taken away; and what their sessions say.

use super::*;

fn watch(chassis: &str, ip: &str) -> Watch {
    Watch { chassis: chassis.parse().unwrap(), kind: EncapKind::Geneve, ip: ip.parse().unwrap() }
}

/// A port as we make it, with that number.
fn watching(
    uuid: u128,
    chassis: &str,
    ip: &str,
    ofport: i64,
    bfd: &[(&str, &str)],
    status: &[(&str, &str)],
) -> Vec<RowUpdate> {
    let ids = [("tuplenet-managed", "true"), ("tuplenet-watch", chassis)];
    let name = format!("tn-{uuid:012x}");
    let columns = [
        ("name", text(&name)),
        ("type", text("geneve")),
        ("options", map(&[("remote_ip", ip), ("key", "flow")])),
        ("external_ids", map(&ids)),
        ("ofport", Datum::scalar(Atom::from(ofport))),
        ("bfd", map(bfd)),
        ("bfd_status", map(status)),
    ];
    let port = [("name", text(&name)), ("interfaces", uuids(&[uuid + 1])), ("external_ids", map(&ids))];
    vec![row("Port", uuid, &port), row("Interface", uuid + 1, &columns)]
}

const GOOD: [(&str, &str); 3] = [("enable", "true"), ("min_rx", "100"), ("min_tx", "100")];

fn bench(ports: &[u128], more: Vec<RowUpdate>) -> Bench {
    let mut bench = Bench::new();
    bench.up();
    let mut rows = complete(&[]);
    rows.retain(|row| row.uuid != Uuid(2));
    rows.push(bridge(&[&[20, 30], ports].concat()));
    rows.extend(more);
    bench.update(true, rows);
    bench
}

fn done(bench: &mut Bench) {
    bench.ovs.done(&Purpose::Repair, Ok(()), bench.now, &mut bench.effects);
    bench.now += SETTLE;
    bench.ovs.tick(bench.now, &mut bench.effects);
}

fn steady(bench: &mut Bench, steady: bool) -> Vec<(Purpose, String)> {
    bench.ovs.steady(steady, bench.now, &mut bench.effects);
    bench.transactions()
}

#[test]
fn a_port_is_told_to_the_rules_before_it_is_made_with_the_number_that_it_asks_for() {
    let mut bench = bench(&[], Vec::new());
    steady(&mut bench, true);
    let changes = bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), true)], bench.now);
    let [Change::Tunnel { kind: EncapKind::Geneve, remote: Some(ip), ofport: Some(number) }] = changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(ip.to_string(), "192.0.2.11");
    assert!(bench.transactions().is_empty() && steady(&mut bench, false).is_empty());
    let sent = steady(&mut bench, true);
    assert_eq!(sent.len(), 1);
    for part in [
        "\"remote_ip\",\"192.0.2.11\"",
        "\"key\",\"flow\"",
        "\"enable\",\"true\"",
        "\"min_rx\",\"100\"",
        "\"min_tx\",\"100\"",
        "\"tuplenet-watch\",\"e1\"",
        &format!("\"ofport_request\":{number}"),
    ] {
        assert!(sent[0].1.contains(part), "{part} is not in {}", sent[0].1);
    }
    // It got another number.
    let mut rows = vec![bridge(&[20, 30, 40])];
    rows.extend(watching(40, "e1", "192.0.2.11", 12, &GOOD, &[]));
    let changes = bench.update(false, rows);
    assert!(matches!(changes[..], [Change::Tunnel { remote: Some(_), ofport: Some(12), .. }]), "{changes:?}");
    done(&mut bench);
    assert!(bench.transactions().is_empty());
}

#[test]
fn a_port_of_an_agent_before_is_used_as_it_is() {
    let mut bench = Bench::new();
    bench.up();
    let mut rows = complete(&[]);
    rows.retain(|row| row.uuid != Uuid(2));
    rows.push(bridge(&[20, 30, 40]));
    rows.extend(watching(40, "e1", "192.0.2.11", 12, &[&GOOD[..], &[("cpath_down", "true")]].concat(), &[]));
    let changes = bench.update(true, rows);
    assert!(
        changes.iter().any(|c| matches!(c, Change::Tunnel { remote: Some(_), ofport: Some(12), .. })),
        "{changes:?}"
    );
    assert!(bench.transactions().is_empty(), "nobody knows yet what is wanted");
    assert!(bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), true)], bench.now).is_empty());
    assert!(steady(&mut bench, true).is_empty());
    bench.ovs.withdraw(false, bench.now, &mut bench.effects);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("\"delete\",[\"set\",[\"cpath_down\"]]"), "{sent:?}");
    assert!(!sent[0].1.contains("[\"cpath_down\",\"true\"]"), "{sent:?}");
}

#[test]
fn a_number_that_another_port_got_is_nobody_elses() {
    let mut bench = bench(&[40], watching(40, "e1", "192.0.2.11", 12, &GOOD, &[]));
    assert!(bench.update(false, vec![bridge(&[20, 30])]).is_empty() && bench.ovs.going() == 1);
    let other = [vec![bridge(&[20, 30, 50])], watching(50, "e2", "192.0.2.12", 12, &GOOD, &[])].concat();
    let changes = bench.update(false, other);
    let [
        Change::Tunnel { remote: Some(old), ofport: None, .. },
        Change::Tunnel { remote: Some(new), ofport: Some(12), .. },
    ] = changes[..]
    else {
        panic!("{changes:?}")
    };
    assert_eq!([old, new].map(|ip| ip.to_string()), ["192.0.2.11", "192.0.2.12"]);
    assert_eq!(bench.ovs.going(), 0);
}

#[test]
fn what_is_unwanted_goes_and_what_was_altered_is_put_right() {
    let altered = [("enable", "false"), ("min_rx", "100"), ("min_tx", "100"), ("mult", "5")];
    let rows = [watching(40, "e1", "192.0.2.11", 12, &altered, &[]), watching(50, "e2", "192.0.2.12", 13, &GOOD, &[])];
    let mut bench = bench(&[40, 50], rows.concat());
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("[\"enable\",\"true\"]"), "{sent:?}");
    bench.update(false, watching(40, "e1", "192.0.2.11", 12, &[&GOOD[..], &[("mult", "5")]].concat(), &[]));
    done(&mut bench);
    bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), true)], bench.now);
    let sent: Vec<String> = steady(&mut bench, true).into_iter().map(|(_, text)| text).collect();
    let sent = sent.concat();
    assert!(sent.contains(&format!("\"ports\",\"delete\",[\"uuid\",\"{}\"]", Uuid(50))), "{sent}");
    assert!(!sent.contains(&format!("\"ports\",\"delete\",[\"uuid\",\"{}\"]", Uuid(40))), "{sent}");
    // The database says that it is gone, the switch may have it still, and packets on their way by it.
    assert!(bench.update(false, vec![bridge(&[20, 30, 40])]).is_empty() && bench.ovs.going() == 1);
    // It is there again, and goes once more.
    let again = [vec![bridge(&[20, 30, 40, 50])], watching(50, "e2", "192.0.2.12", 13, &GOOD, &[])].concat();
    assert!(bench.update(false, again).is_empty() && bench.ovs.going() == 0);
    assert!(bench.update(false, vec![bridge(&[20, 30, 40])]).is_empty());
    let due = bench.now + Duration::from_secs(1);
    assert!(bench.ovs.wakeup().is_some_and(|at| at <= due) && bench.ovs.take_gone(bench.now).is_empty());
    bench.now = due;
    let changes = bench.ovs.take_gone(due);
    assert!(matches!(changes[..], [Change::Tunnel { remote: Some(_), ofport: None, .. }]), "{changes:?}");
    assert!(bench.ovs.going() == 0 && bench.ovs.take_gone(due).is_empty());
    done(&mut bench);
    let gone = bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), false)], bench.now);
    assert!(gone.is_empty(), "while it is there packets come by it: {gone:?}");
}

#[test]
fn all_ports_say_that_this_end_is_withdrawn_and_no_longer() {
    let mut bench = bench(&[40], watching(40, "e1", "192.0.2.11", 12, &GOOD, &[]));
    assert!(bench.transactions().is_empty());
    // The store may be away: nobody knows what is wanted.
    bench.ovs.withdraw(true, bench.now, &mut bench.effects);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("[\"cpath_down\",\"true\"]"), "{sent:?}");
    let down = [&GOOD[..], &[("cpath_down", "true")]].concat();
    bench.ovs.done(&Purpose::Withdraw, Err("no".into()), bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty());
    bench.now = bench.ovs.wakeup().unwrap();
    bench.ovs.tick(bench.now, &mut bench.effects);
    assert_eq!(bench.transactions().len(), 1, "again");
    bench.update(false, watching(40, "e1", "192.0.2.11", 12, &down, &[]));
    bench.ovs.done(&Purpose::Withdraw, Ok(()), bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty());
    // One that is made now says it from its first packet on.
    bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), true), (watch("e2", "192.0.2.12"), true)], bench.now);
    let sent = steady(&mut bench, true);
    assert!(sent[0].1.contains("192.0.2.12") && sent[0].1.contains("[\"cpath_down\",\"true\"]"), "{sent:?}");
}

/// An edge that is taken away: whoever has not heard of it hears of it from its switch.
#[test]
fn who_leaves_says_so_until_its_ports_go_and_never_takes_it_back() {
    let status = [("state", "up"), ("forwarding", "true")];
    let rows =
        [watching(40, "e1", "192.0.2.11", 12, &GOOD, &status), watching(50, "e2", "192.0.2.12", 13, &GOOD, &status)];
    let mut bench = bench(&[40, 50], rows.concat());
    bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), true), (watch("e2", "192.0.2.12"), true)], bench.now);
    steady(&mut bench, true);
    bench.ovs.withdraw(false, bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty() && bench.ovs.is_right());

    bench.ovs.leave(true, bench.now, &mut bench.effects);
    bench.ovs.watches(vec![(watch("e1", "192.0.2.11"), false), (watch("e2", "192.0.2.12"), false)], bench.now);
    assert!(bench.ovs.sessions().is_empty(), "nobody needs them, nor asks whether the other end is there still");
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].0 == Purpose::Withdraw, "{sent:?}");
    assert_eq!(sent[0].1.matches("[\"cpath_down\",\"true\"]").count(), 2, "{sent:?}");
    let down = [&GOOD[..], &[("cpath_down", "true")]].concat();
    let rows =
        [watching(40, "e1", "192.0.2.11", 12, &down, &status), watching(50, "e2", "192.0.2.12", 13, &down, &status)];
    bench.update(false, rows.concat());
    bench.ovs.done(&Purpose::Withdraw, Ok(()), bench.now, &mut bench.effects);
    assert!(!bench.ovs.told_withdrawn(), "that is no reason to be withdrawn later");
    assert!(steady(&mut bench, true).is_empty() && bench.transactions().is_empty(), "the ports stay");

    // One of them is needed again, the other one goes without another word.
    bench.ovs.watches(vec![(watch("e2", "192.0.2.12"), true)], bench.now);
    bench.ovs.leave(false, bench.now, &mut bench.effects);
    let sent = bench.transactions();
    let text = |purpose| sent.iter().find(|(of, _)| *of == purpose).map(|(_, text)| text.clone()).unwrap();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(text(Purpose::Withdraw).contains(&Uuid(51).to_string()), "{sent:?}");
    assert!(!text(Purpose::Withdraw).contains(&Uuid(41).to_string()), "{sent:?}");
    let gone = |port| format!("\"ports\",\"delete\",[\"uuid\",\"{}\"]", Uuid(port));
    assert!(text(Purpose::Repair).contains(&gone(40)) && !text(Purpose::Repair).contains(&gone(50)), "{sent:?}");
    assert!(!bench.ovs.is_right());
}

#[test]
fn names_and_numbers_are_given_once() {
    let mut bench = bench(&[], Vec::new());
    let all: Vec<Watch> = (1..=200).map(|i| watch("e1", &format!("192.0.2.{i}"))).collect();
    let changes = bench.ovs.watches(all.into_iter().map(|w| (w, true)).collect(), bench.now);
    let numbers: std::collections::BTreeSet<u32> = changes
        .iter()
        .filter_map(|change| if let Change::Tunnel { ofport, .. } = change { *ofport } else { None })
        .collect();
    assert_eq!(numbers.len(), 200);
    let sent = steady(&mut bench, true);
    let names: std::collections::BTreeSet<&str> =
        sent[0].1.split("\"name\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 200);
    assert!(names.iter().all(|name| name.len() == 15 && name.starts_with("tn-")), "{names:?}");
}

#[test]
fn what_a_session_says() {
    let status = |pairs: &[(&str, &str)]| {
        let bench = bench(&[40], watching(40, "e1", "192.0.2.11", 12, &GOOD, pairs));
        bench.ovs.sessions().into_values().next().unwrap()
    };
    let begun = status(&[]);
    assert_eq!((begun.state.as_str(), begun.forwarding, begun.chassis.as_str()), ("down", false, "e1"));
    let nothing = ("diagnostic", "No Diagnostic");
    let up = status(&[("state", "up"), ("forwarding", "true"), nothing]);
    assert_eq!((up.state.as_str(), up.forwarding, up.diagnostic.as_str()), ("up", true, ""));
    let withdrawn =
        status(&[("state", "up"), ("forwarding", "false"), nothing, ("remote_diagnostic", "Concatenated Path Down")]);
    assert_eq!((withdrawn.forwarding, withdrawn.remote_diagnostic.as_str()), (false, "Concatenated Path Down"));
}
