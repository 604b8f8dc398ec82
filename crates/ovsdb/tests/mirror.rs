//! The mirror against a model that is too simple to be wrong: rows in a map, places found by looking at all of them.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tuplenet_ovsdb::mirror::{Changed, Mirror, Place};
use tuplenet_ovsdb::{Atom, Change, Datum, Row, RowUpdate, Update, Uuid};

const TABLES: [&str; 4] = ["Open_vSwitch", "Bridge", "Port", "Interface"];

/// Rows by table and name.
type Model = BTreeMap<(&'static str, Uuid), Row>;

/// One thing to try: on which row, and with which values; made to fit the model when it is applied.
#[derive(Clone, Debug)]
struct Step {
    table: &'static str,
    uuid: Uuid,
    kind: u8,
    references: BTreeSet<u8>,
    mark: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let references = prop::collection::btree_set(0u8..4, 0..4);
    (0usize..TABLES.len(), 0u8..4, 0u8..4, references, 0u8..3).prop_map(|(table, uuid, kind, references, mark)| Step {
        table: TABLES[table],
        // In every table the same names: a mirror that mixes tables up would be found out.
        uuid: Uuid(u128::from(uuid)),
        kind,
        references,
        mark,
    })
}

fn columns(step: &Step) -> Row {
    let references: BTreeSet<_> = step.references.iter().map(|uuid| Atom::Uuid(Uuid(u128::from(*uuid)))).collect();
    let mark = Datum::Map([("mark".into(), step.mark.to_string().as_str().into())].into());
    let mut row = BTreeMap::from([(Arc::from("external_ids"), mark)]);
    match step.table {
        "Open_vSwitch" => drop(row.insert("bridges".into(), Datum::Set(references))),
        "Bridge" => drop(row.insert("ports".into(), Datum::Set(references))),
        "Port" => drop(row.insert("interfaces".into(), Datum::Set(references))),
        _ => drop(row.insert("ofport".into(), Datum::scalar(Atom::Integer(i64::from(step.mark))))),
    }
    if step.table != "Open_vSwitch" {
        // Names that are not unique, as they are not half-way through an update.
        row.insert("name".into(), Datum::scalar(format!("n{}", step.mark).as_str().into()));
    }
    Row(row)
}

/// The step as a change of the model, done there; `None` if it makes no sense.
fn apply(model: &mut Model, step: &Step) -> Option<RowUpdate> {
    let key = (step.table, step.uuid);
    let update = |change| Some(RowUpdate { table: step.table.into(), uuid: step.uuid, change });
    match (step.kind, model.get_mut(&key)) {
        (0, Some(_)) => {
            model.remove(&key);
            update(Change::Delete)
        }
        (0, None) => None,
        (_, None) => {
            let row = columns(step);
            model.insert(key, row.clone());
            update(Change::Insert(row))
        }
        (kind, Some(row)) => {
            let mut changed = columns(step);
            // One column, or all.
            if kind == 1 {
                changed.0.pop_first();
            }
            row.0.extend(changed.0.clone());
            update(Change::Modify(changed))
        }
    }
}

fn snapshot(model: &Model) -> Update {
    let insert = |((table, uuid), row): (&(&str, Uuid), &Row)| RowUpdate {
        table: (*table).into(),
        uuid: *uuid,
        change: Change::Insert(row.clone()),
    };
    Update { initial: true, rows: model.iter().map(insert).collect() }
}

fn mirror_of(model: &Model) -> Mirror {
    let mut mirror = Mirror::new();
    mirror.apply(&snapshot(model));
    mirror
}

fn holder(model: &Model, table: &str, column: &str, held: Uuid) -> Option<Uuid> {
    model.iter().find(|((t, _), row)| *t == table && row.uuids(column).contains(&held)).map(|((_, uuid), _)| *uuid)
}

fn place(model: &Model, interface: Uuid) -> Place {
    let port = holder(model, "Port", "interfaces", interface);
    Place { port, bridge: port.and_then(|port| holder(model, "Bridge", "ports", port)) }
}

/// Names of the rows of a table that differ; of interfaces also those that are elsewhere.
fn differing(table: &str, old: &Model, new: &Model) -> Vec<Uuid> {
    let with_place = |model: &Model, key: &(&'static str, Uuid)| {
        model
            .get(key)
            .map(|row| (row.clone(), if table == "Interface" { place(model, key.1) } else { Place::default() }))
    };
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).filter(|(t, _)| *t == table).collect();
    keys.into_iter().filter(|key| with_place(old, key) != with_place(new, key)).map(|key| key.1).collect()
}

fn uuids<T>(changes: &[Changed<T>]) -> Vec<Uuid> {
    changes.iter().map(|change| change.uuid).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sequence_equals_replay(batches in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(step(), 1..8)), 1..12)) {
        let (mut model, mut mirror) = (Model::new(), Mirror::new());
        for (whole, steps) in batches {
            let (before, old) = (model.clone(), mirror.clone());
            let rows: Vec<_> = steps.iter().filter_map(|step| apply(&mut model, step)).collect();
            // Now and then the same is told as a whole new state, as after a reconnection.
            let update = if whole.index(4) == 0 { snapshot(&model) } else { Update { initial: false, rows } };
            let changes = mirror.apply(&update);

            prop_assert_eq!(&mirror, &mirror_of(&model));
            prop_assert_eq!(uuids(&changes.open_vswitch), differing("Open_vSwitch", &before, &model));
            prop_assert_eq!(uuids(&changes.bridges), differing("Bridge", &before, &model));
            prop_assert_eq!(uuids(&changes.ports), differing("Port", &before, &model));
            prop_assert_eq!(uuids(&changes.interfaces), differing("Interface", &before, &model));
            for change in &changes.bridges {
                prop_assert_eq!(change.old.as_ref(), old.bridge(change.uuid));
                prop_assert_eq!(change.new.as_ref(), mirror.bridge(change.uuid));
            }
            for change in &changes.interfaces {
                for (side, model, mirror) in [(&change.old, &before, &old), (&change.new, &model, &mirror)] {
                    prop_assert_eq!(side.as_ref().map(|placed| &placed.interface), mirror.interface(change.uuid));
                    if let Some(placed) = side {
                        prop_assert_eq!(placed.place, place(model, change.uuid));
                        prop_assert_eq!(mirror.place(change.uuid), placed.place);
                    }
                }
            }
            for mark in 0..3 {
                let name = format!("n{mark}");
                let named = model.iter().find(|((table, _), row)| *table == "Bridge" && row.string("name") == Some(&name));
                prop_assert_eq!(mirror.bridge_by_name(&name).map(|found| found.0), named.map(|(key, _)| key.1));
                let ports = named.map(|(_, row)| row.uuids("ports")).unwrap_or_default();
                let interfaces: Vec<_> = ports
                    .iter()
                    .filter_map(|port| model.get(&("Port", *port)))
                    .flat_map(|port| port.uuids("interfaces"))
                    .filter(|interface| model.contains_key(&("Interface", *interface)))
                    .collect();
                prop_assert_eq!(mirror.interfaces_of_bridge(&name).map(|found| found.0).collect::<Vec<_>>(), interfaces);
            }
        }
    }
}

#[test]
fn typed_values() {
    let text = |text: &str| Datum::scalar(text.into());
    let row =
        |columns: &[(&str, Datum)]| Row(columns.iter().map(|(name, datum)| ((*name).into(), datum.clone())).collect());
    let insert = row(&[
        ("name", text("vm1")),
        ("type", text("internal")),
        ("external_ids", Datum::Map([("iface-id".into(), "lsp-1".into())].into())),
        ("ofport", Datum::EMPTY_SET),
        ("link_state", text("up")),
        ("mtu", Datum::scalar(1500.into())),
    ]);
    let mut mirror = Mirror::new();
    let mut apply = |change| {
        let rows = vec![RowUpdate { table: "Interface".into(), uuid: Uuid(1), change }];
        mirror.apply(&Update { initial: false, rows }).interfaces.remove(0).new.unwrap().interface
    };
    let interface = apply(Change::Insert(insert));
    assert_eq!((&*interface.name, &*interface.kind, interface.iface_id()), ("vm1", "internal", Some("lsp-1")));
    assert_eq!((interface.ofport(), interface.mtu, interface.link_is_up()), (None, Some(1500), true));
    let modify = |ofport: i64| Change::Modify(row(&[("ofport", Datum::scalar(ofport.into()))]));
    assert_eq!(apply(modify(5)).ofport(), Some(5));
    let failed = apply(modify(-1));
    assert_eq!((failed.ofport(), failed.ofport_raw, &*failed.name), (None, Some(-1), "vm1"));
}
