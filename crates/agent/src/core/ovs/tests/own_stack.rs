//! The port to the host's own IP stack: made, told of once the kernel forwards, and what happens when something of that goes.

use super::super::own_stack::RETRY;
use super::*;
use tuplenet_rules::UntunnelPort;

const BOTH: Families = Families { ipv4: true, ipv6: true };

fn bench(families: Option<Families>) -> Bench {
    let mut bench = Bench::new();
    bench.ovs.wanted.untunnel = families;
    bench.ovs.own_stack = OwnStack::new(families);
    bench.up();
    bench
}

/// Our bridge with the tunnel port and `tnout`, as we make it, with those numbers.
fn there(ofport: i64, ifindex: i64) -> Vec<RowUpdate> {
    let mut rows = complete(&[]);
    rows.push(bridge(&[20, 30, 60]));
    let ids = || map(&[(MANAGED, "true")]);
    let number = |n: i64| Datum::scalar(Atom::from(n));
    let columns = [
        ("name", text("tnout")),
        ("type", text("internal")),
        ("mac", text("f2:04:00:00:00:01")),
        ("external_ids", ids()),
        ("ofport", number(ofport)),
        ("ifindex", number(ifindex)),
    ];
    rows.push(row("Port", 60, &[("name", text("tnout")), ("interfaces", uuids(&[61])), ("external_ids", ids())]));
    rows.push(row("Interface", 61, &columns));
    rows
}

fn noted(was: Option<&str>) -> RowUpdate {
    let ids: Vec<(&str, &str)> =
        [("system-id", "hv1")].into_iter().chain(was.map(|was| ("tuplenet-sysctl", was))).collect();
    let change = tuplenet_ovsdb::Change::Modify(Row([("external_ids".into(), map(&ids))].into()));
    RowUpdate { table: "Open_vSwitch".into(), uuid: Uuid(1), change }
}

impl Bench {
    fn commands(&mut self) -> Vec<Command> {
        let (commands, rest) =
            std::mem::take(&mut self.effects).into_iter().partition(|e| matches!(e, Effect::OwnStack(_)));
        self.effects = rest;
        let command = |effect| if let Effect::OwnStack(command) = effect { Some(command) } else { None };
        commands.into_iter().filter_map(command).collect()
    }
    fn answer(&mut self, answer: Answer) -> Option<Change> {
        self.ovs.own_stack(answer, self.now, &mut self.effects)
    }
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.ovs.tick(self.now, &mut self.effects);
    }
}

fn prepare(remembered: bool) -> Command {
    Command::Prepare { device: "tnout".into(), families: BOTH, remembered }
}

fn told(change: Option<Change>) -> Option<u32> {
    match change {
        Some(Change::Untunnel { port: Some(UntunnelPort { ofport, ipv4: true, ipv6: true, .. }) }) => Some(ofport),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_port_is_made_and_told_of_when_the_kernel_forwards() {
    let mut bench = bench(Some(BOTH));
    bench.update(true, complete(&[]));
    let sent = bench.transactions();
    assert_eq!(sent.len(), 1);
    for part in ["tnout", "internal", "f2:04:00:00:00:01", "mtu_request", MANAGED] {
        assert!(sent[0].1.contains(part), "{part} is not in {}", sent[0].1);
    }
    assert!(bench.ovs.known(), "nothing was there that the rules could take away");
    let changes = bench.update(false, there(9, 70));
    assert!(!changes.iter().any(|c| matches!(c, Change::Untunnel { .. })), "{changes:?}");
    assert_eq!(bench.commands(), [prepare(false)]);
    assert!(!bench.ovs.known(), "of a port that is there the kernel's answer is waited for");
    let change = bench.answer(Answer::Ready);
    assert_eq!(told(change), Some(9));
    assert_eq!((bench.ovs.known(), bench.ovs.untunnels()), (true, Some(BOTH)));
    // Looked at again and again, and told no more.
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.commands(), [prepare(false)]);
    assert!(bench.answer(Answer::Ready).is_none());
    // Another device of that name is made ready anew; meanwhile packets take the tunnel.
    let changes = bench.update(false, there(9, 71));
    assert!(changes.iter().any(|c| matches!(c, Change::Untunnel { port: None })), "{changes:?}");
    assert_eq!(bench.commands(), [prepare(false)]);
    let change = bench.answer(Answer::Ready);
    assert_eq!(told(change), Some(9));
    // Gone: so it is for the rules, and it is made again.
    bench.transactions();
    let changes = bench.update(
        false,
        vec![
            bridge(&[20, 30]),
            RowUpdate { table: "Port".into(), uuid: Uuid(60), change: tuplenet_ovsdb::Change::Delete },
            RowUpdate { table: "Interface".into(), uuid: Uuid(61), change: tuplenet_ovsdb::Change::Delete },
        ],
    );
    assert!(changes.iter().any(|c| matches!(c, Change::Untunnel { port: None })), "{changes:?}");
}

#[test]
fn a_kernel_that_refuses_is_asked_later_and_that_is_said_once() {
    let mut bench = bench(Some(BOTH));
    bench.update(true, there(9, 70));
    for _ in 0..3 {
        assert_eq!(bench.commands(), [prepare(false)]);
        assert!(bench.answer(Answer::Failed("read-only file system".into())).is_none());
        assert!(bench.commands().is_empty() && bench.ovs.known());
        bench.pass(RETRY);
    }
    assert_eq!(bench.said().iter().filter(|s| s.contains("read-only file system")).count(), 1, "{:?}", bench.said());
    bench.commands();
    let change = bench.answer(Answer::Ready);
    assert_eq!(told(change), Some(9));
    // What worked and does not any more goes back to the tunnel.
    bench.pass(Duration::from_secs(5));
    bench.commands();
    let change = bench.answer(Answer::Failed("no such device".into()));
    assert!(matches!(change, Some(Change::Untunnel { port: None })), "{change:?}");
}

#[test]
fn what_is_changed_of_the_host_is_written_down_before_and_struck_out_when_it_is_put_back() {
    const WAS: &str = "net/ipv6/conf/all/forwarding=0";
    let mut bench = bench(Some(BOTH));
    bench.update(true, there(9, 70));
    assert_eq!(bench.commands(), [prepare(false)]);
    assert!(bench.answer(Answer::Remember(WAS.into())).is_none());
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].0 == Purpose::Sysctl && sent[0].1.contains(WAS), "{sent:?}");
    assert!(bench.commands().is_empty(), "not before it is there");
    bench.update(false, vec![noted(Some(WAS))]);
    assert_eq!(bench.commands(), [prepare(true)]);
    let change = bench.answer(Answer::Ready);
    assert_eq!(told(change), Some(9));

    // Started without the option.
    let mut bench = self::bench(None);
    let mut rows = there(9, 70);
    rows.push(noted(Some(WAS)));
    bench.update(true, rows);
    assert_eq!(bench.commands(), [Command::Restore { device: "tnout".into(), was: WAS.into() }]);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("delete"), "the port goes: {sent:?}");
    assert!(bench.answer(Answer::Restored).is_none());
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].0 == Purpose::Sysctl && sent[0].1.contains("delete"), "{sent:?}");
    bench.update(false, vec![noted(None)]);
    assert!(bench.commands().is_empty());
}

#[test]
fn a_port_of_somebody_else_is_left_alone_and_that_is_said() {
    let mut bench = bench(Some(BOTH));
    let mut rows = complete(&[]);
    rows.extend([bridge(&[20, 30, 60]), port(60, "tnout", 61), interface(61, "tnout", &[], Some(9))]);
    bench.update(true, rows);
    let said = bench.said().into_iter().filter(|s| s.contains("the interface tnout is on br-int and not ours"));
    assert_eq!(said.count(), 1, "{:?}", bench.said());
    assert!(bench.commands().is_empty() && bench.transactions().is_empty());
}

#[test]
fn families_are_read_as_they_are_written() {
    for (text, read) in [
        ("ipv4,ipv6", Some(BOTH)),
        ("true", Some(BOTH)),
        ("ipv6", Some(Families { ipv4: false, ipv6: true })),
        ("false", None),
        ("", None),
    ] {
        assert_eq!(Families::parse(text).unwrap(), read, "{text}");
    }
    let error = Families::parse("ip4").unwrap_err().to_string();
    assert!(error.contains("--untunnel \"ip4\": use ipv4, ipv6"), "{error}");
}
