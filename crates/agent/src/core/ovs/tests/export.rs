//! Exports: made, put right, taken away, and never over what others set up.

use super::*;

fn ipfix(targets: &str) -> Export {
    Export::parse(Protocol::Ipfix, targets, "192.0.2.1".parse().unwrap()).unwrap()
}

fn bench(exports: Vec<Export>) -> Bench {
    let mut bench = Bench::new();
    bench.ovs.wanted.exports = exports;
    bench.up();
    bench
}

/// All as it should be, and the bridge exports by these rows.
fn exporting(rows: &[u128]) -> Vec<RowUpdate> {
    let change = tuplenet_ovsdb::Change::Modify(Row([("ipfix".into(), uuids(rows))].into()));
    let mut all = complete(&[]);
    all.push(RowUpdate { table: "Bridge".into(), uuid: Uuid(2), change });
    all
}

fn collectors(ids: &[(&str, &str)], targets: &str) -> RowUpdate {
    row(
        "IPFIX",
        50,
        &[("targets", text(targets)), ("sampling", Datum::scalar(Atom::from(1))), ("external_ids", map(ids))],
    )
}

const OURS: &[(&str, &str)] = &[(MANAGED, "true")];

#[test]
fn an_export_is_made_and_put_right_and_goes_with_its_option() {
    let mut bench = bench(vec![ipfix("198.51.100.1,sampling=1")]);
    bench.update(true, complete(&[]));
    let sent = bench.transactions();
    assert_eq!(sent.len(), 1);
    for part in ["IPFIX", "198.51.100.1:4739", "\"sampling\":1", MANAGED, "[\"ipfix\",\"==\",[\"set\",[]]]"] {
        assert!(sent[0].1.contains(part), "{part} is not in {}", sent[0].1);
    }
    bench.update(false, [exporting(&[50]), vec![collectors(OURS, "198.51.100.1:4739")]].concat());
    bench.ovs.done(&Purpose::Repair, Ok(()), bench.now, &mut bench.effects);
    bench.now += SETTLE;
    bench.ovs.tick(bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty(), "all is well");
    bench.update(false, vec![collectors(OURS, "198.51.100.9:4739")]);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("\"update\"") && !sent[0].1.contains("insert"), "{sent:?}");

    let mut bench = self::bench(Vec::new());
    bench.update(true, [exporting(&[50]), vec![collectors(OURS, "198.51.100.1:4739")]].concat());
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("\"ipfix\":[\"set\",[]]"), "{sent:?}");
}

#[test]
fn what_others_set_up_stays_and_that_is_said_once() {
    let mut bench = bench(vec![ipfix("198.51.100.1")]);
    for _ in 0..2 {
        bench.update(false, [exporting(&[50]), vec![collectors(&[], "203.0.113.9:2055")]].concat());
    }
    let said =
        bench.said().into_iter().filter(|s| s.contains("--ipfix waits: br-int exports by IPFIX to 203.0.113.9:2055"));
    assert_eq!(said.count(), 1, "{:?}", bench.said());
    assert!(bench.transactions().is_empty());
    bench.update(false, exporting(&[]));
    assert_eq!(bench.transactions().len(), 1, "theirs is gone");
    // Who asked for nothing touches nothing, and says nothing.
    let mut bench = self::bench(Vec::new());
    bench.update(true, [exporting(&[50]), vec![collectors(&[], "203.0.113.9:2055")]].concat());
    assert!(bench.transactions().is_empty() && !bench.said().iter().any(|s| s.contains("IPFIX")));
}
