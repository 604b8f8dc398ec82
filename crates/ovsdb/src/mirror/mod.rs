//! A typed copy of the tables of the `Open_vSwitch` database that an agent needs.
//!
//! [`Mirror::monitors`] says what to watch, [`Mirror::apply`] takes each [`Update`] and tells which rows it changed,
//! with the state before and after, so that its user does work in proportion to the change. After a reconnection that
//! starts from a whole new state only true differences are told, too.

mod changes;
mod index;
mod rows;

pub use changes::{Changed, Changes, Place, Placed};
pub use rows::{Bridge, Interface, OpenVSwitch, Port, StringMap};

use crate::config::TableMonitor;
use crate::row::Row;
use crate::update::{Change, Update};
use crate::uuid::Uuid;
use index::Index;
use rows::Mirrored;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Table<T> = BTreeMap<Uuid, Arc<T>>;
/// Rows touched by an update, as they were before it.
type Before<T> = BTreeMap<Uuid, Option<T>>;

/// The copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    open_vswitch: Table<OpenVSwitch>,
    bridges: Table<Bridge>,
    ports: Table<Port>,
    interfaces: Table<Interface>,
    /// Ports by interface.
    ports_of: Index<Uuid>,
    /// Bridges by port.
    bridges_of: Index<Uuid>,
    bridge_names: Index<Arc<str>>,
    interface_names: Index<Arc<str>>,
}

/// The state of touched rows before an update.
#[derive(Default)]
struct Touched {
    open_vswitch: Before<Arc<OpenVSwitch>>,
    bridges: Before<Arc<Bridge>>,
    ports: Before<Arc<Port>>,
    interfaces: Before<Placed>,
}

impl Mirror {
    /// A mirror of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to watch for it: [`Config::monitor`](crate::Config::monitor).
    pub fn monitors() -> Vec<TableMonitor> {
        vec![OpenVSwitch::monitor(), Bridge::monitor(), Port::monitor(), Interface::monitor()]
    }

    /// Takes an update, and tells what it truly changed. Rows of other tables are left alone.
    pub fn apply(&mut self, update: &Update) -> Changes {
        let mut touched = Touched::default();
        if update.initial {
            self.remove_all_but(update, &mut touched);
        }
        for row in &update.rows {
            match &*row.table {
                OpenVSwitch::TABLE => {
                    let new = next(&self.open_vswitch, row.uuid, &row.change);
                    touched.open_vswitch.entry(row.uuid).or_insert_with(|| self.open_vswitch.get(&row.uuid).cloned());
                    store(&mut self.open_vswitch, row.uuid, new);
                }
                Bridge::TABLE => {
                    let new = next(&self.bridges, row.uuid, &row.change);
                    self.put_bridge(row.uuid, new, &mut touched);
                }
                Port::TABLE => {
                    let new = next(&self.ports, row.uuid, &row.change);
                    self.put_port(row.uuid, new, &mut touched);
                }
                Interface::TABLE => {
                    let new = next(&self.interfaces, row.uuid, &row.change);
                    self.put_interface(row.uuid, new, &mut touched);
                }
                _ => {}
            }
        }
        Changes {
            open_vswitch: compare(touched.open_vswitch, |uuid| self.open_vswitch.get(&uuid).cloned()),
            bridges: compare(touched.bridges, |uuid| self.bridges.get(&uuid).cloned()),
            ports: compare(touched.ports, |uuid| self.ports.get(&uuid).cloned()),
            interfaces: compare(touched.interfaces, |uuid| self.placed(uuid)),
        }
    }

    /// The row of the switch as a whole, once known.
    pub fn open_vswitch(&self) -> Option<(Uuid, &Arc<OpenVSwitch>)> {
        self.open_vswitch.first_key_value().map(|(uuid, row)| (*uuid, row))
    }

    /// All bridges, by name of row.
    pub fn bridges(&self) -> impl Iterator<Item = (Uuid, &Arc<Bridge>)> {
        self.bridges.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// All ports, by name of row.
    pub fn ports(&self) -> impl Iterator<Item = (Uuid, &Arc<Port>)> {
        self.ports.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// All interfaces, by name of row.
    pub fn interfaces(&self) -> impl Iterator<Item = (Uuid, &Arc<Interface>)> {
        self.interfaces.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// A bridge by the name of its row.
    pub fn bridge(&self, uuid: Uuid) -> Option<&Arc<Bridge>> {
        self.bridges.get(&uuid)
    }

    /// A port by the name of its row.
    pub fn port(&self, uuid: Uuid) -> Option<&Arc<Port>> {
        self.ports.get(&uuid)
    }

    /// An interface by the name of its row.
    pub fn interface(&self, uuid: Uuid) -> Option<&Arc<Interface>> {
        self.interfaces.get(&uuid)
    }

    /// A bridge by its own name, such as `br-int`.
    pub fn bridge_by_name(&self, name: &str) -> Option<(Uuid, &Arc<Bridge>)> {
        let uuid = self.bridge_names.first(name)?;
        Some((uuid, self.bridges.get(&uuid)?))
    }

    /// An interface by its own name.
    pub fn interface_by_name(&self, name: &str) -> Option<(Uuid, &Arc<Interface>)> {
        let uuid = self.interface_names.first(name)?;
        Some((uuid, self.interfaces.get(&uuid)?))
    }

    /// The ports of the bridge of this name; none if there is no such bridge.
    pub fn ports_of_bridge<'a>(&'a self, name: &str) -> impl Iterator<Item = (Uuid, &'a Arc<Port>)> {
        let bridge = self.bridge_by_name(name).map(|(_, bridge)| bridge);
        bridge.into_iter().flat_map(|bridge| &bridge.ports).filter_map(|uuid| Some((*uuid, self.ports.get(uuid)?)))
    }

    /// The interfaces of the bridge of this name; none if there is no such bridge.
    pub fn interfaces_of_bridge<'a>(&'a self, name: &str) -> impl Iterator<Item = (Uuid, &'a Arc<Interface>)> {
        let ports = self.ports_of_bridge(name);
        ports.flat_map(|(_, port)| &port.interfaces).filter_map(|uuid| Some((*uuid, self.interfaces.get(uuid)?)))
    }

    /// The port and bridge of an interface.
    pub fn place(&self, interface: Uuid) -> Place {
        let port = self.ports_of.first(&interface);
        Place { port, bridge: port.and_then(|port| self.bridges_of.first(&port)) }
    }

    fn placed(&self, uuid: Uuid) -> Option<Placed> {
        let interface = self.interfaces.get(&uuid)?.clone();
        Some(Placed { interface, place: self.place(uuid) })
    }

    /// Notes how an interface is and where, unless noted: to be called before anything that may change that. Whatever
    /// changes a place calls it first, so what is noted first is the state before the update.
    fn touch(&self, uuid: Uuid, touched: &mut Touched) {
        touched.interfaces.entry(uuid).or_insert_with(|| self.placed(uuid));
    }

    fn put_bridge(&mut self, uuid: Uuid, new: Option<Arc<Bridge>>, touched: &mut Touched) {
        let old = self.bridges.get(&uuid).cloned();
        touched.bridges.entry(uuid).or_insert_with(|| old.clone());
        let none = BTreeSet::new();
        let before = old.as_ref().map_or(&none, |bridge| &bridge.ports);
        let after = new.as_ref().map_or(&none, |bridge| &bridge.ports);
        for port in before.symmetric_difference(after) {
            for interface in self.ports.get(port).map_or(&none, |port| &port.interfaces) {
                self.touch(*interface, touched);
            }
        }
        before.difference(after).for_each(|port| self.bridges_of.remove(port, uuid));
        after.difference(before).for_each(|port| self.bridges_of.insert(*port, uuid));
        let (old, name) = (old.as_ref().map(|row| &row.name), new.as_ref().map(|row| &row.name));
        self.bridge_names.rename(old, name, uuid);
        store(&mut self.bridges, uuid, new);
    }

    fn put_port(&mut self, uuid: Uuid, new: Option<Arc<Port>>, touched: &mut Touched) {
        let old = self.ports.get(&uuid).cloned();
        touched.ports.entry(uuid).or_insert_with(|| old.clone());
        let none = BTreeSet::new();
        let before = old.as_ref().map_or(&none, |port| &port.interfaces);
        let after = new.as_ref().map_or(&none, |port| &port.interfaces);
        for interface in before.symmetric_difference(after) {
            self.touch(*interface, touched);
        }
        before.difference(after).for_each(|interface| self.ports_of.remove(interface, uuid));
        after.difference(before).for_each(|interface| self.ports_of.insert(*interface, uuid));
        store(&mut self.ports, uuid, new);
    }

    fn put_interface(&mut self, uuid: Uuid, new: Option<Arc<Interface>>, touched: &mut Touched) {
        self.touch(uuid, touched);
        let old = self.interfaces.get(&uuid).map(|row| row.name.clone());
        self.interface_names.rename(old.as_ref(), new.as_ref().map(|row| &row.name), uuid);
        store(&mut self.interfaces, uuid, new);
    }

    /// Takes out what a whole new state does not name.
    fn remove_all_but(&mut self, update: &Update, touched: &mut Touched) {
        let keep: BTreeSet<(&str, Uuid)> = update.rows.iter().map(|row| (&*row.table, row.uuid)).collect();
        for uuid in gone(&self.open_vswitch, &keep) {
            touched.open_vswitch.insert(uuid, self.open_vswitch.remove(&uuid));
        }
        for uuid in gone(&self.bridges, &keep) {
            self.put_bridge(uuid, None, touched);
        }
        for uuid in gone(&self.ports, &keep) {
            self.put_port(uuid, None, touched);
        }
        for uuid in gone(&self.interfaces, &keep) {
            self.put_interface(uuid, None, touched);
        }
    }
}

fn gone<T: Mirrored>(table: &Table<T>, keep: &BTreeSet<(&str, Uuid)>) -> Vec<Uuid> {
    table.keys().filter(|uuid| !keep.contains(&(T::TABLE, **uuid))).copied().collect()
}

/// The row after a change. A modification of a row never seen is taken as one of an empty row: the client never sends
/// that.
fn next<T: Mirrored>(table: &Table<T>, uuid: Uuid, change: &Change) -> Option<Arc<T>> {
    let with = |mut typed: T, row: &Row| {
        typed.set_all(row);
        Some(Arc::new(typed))
    };
    match change {
        Change::Insert(row) => with(T::default(), row),
        Change::Modify(row) => with(table.get(&uuid).map(|row| T::clone(row)).unwrap_or_default(), row),
        Change::Delete => None,
    }
}

fn store<T>(table: &mut Table<T>, uuid: Uuid, row: Option<Arc<T>>) {
    match row {
        Some(row) => table.insert(uuid, row),
        None => table.remove(&uuid),
    };
}

/// What differs between then and now.
fn compare<T: PartialEq>(before: Before<T>, mut now: impl FnMut(Uuid) -> Option<T>) -> Vec<Changed<T>> {
    let changed = |(uuid, old)| {
        let new = now(uuid);
        if old == new { None } else { Some(Changed { uuid, old, new }) }
    };
    before.into_iter().filter_map(changed).collect()
}
