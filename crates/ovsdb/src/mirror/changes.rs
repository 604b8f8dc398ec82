//! What an update changed in a mirror: each row once, with the state before and after.

use super::rows::{Bridge, Interface, OpenVSwitch, Port};
use crate::uuid::Uuid;
use std::sync::Arc;

/// A row before and after an update. `None` is "not there"; never both are `None`, never both are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed<T> {
    /// Name of the row.
    pub uuid: Uuid,
    /// Before.
    pub old: Option<T>,
    /// After.
    pub new: Option<T>,
}

/// Where an interface is: in which port, and in which bridge that port is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The port that holds it; of several the one of lowest name.
    pub port: Option<Uuid>,
    /// The bridge that holds the port; of several the one of lowest name.
    pub bridge: Option<Uuid>,
}

/// An interface and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The interface.
    pub interface: Arc<Interface>,
    /// Where it is.
    pub place: Place,
}

/// Everything that an update changed, each row at most once, ordered by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The row of the switch as a whole.
    pub open_vswitch: Vec<Changed<Arc<OpenVSwitch>>>,
    /// Bridges with a changed column.
    pub bridges: Vec<Changed<Arc<Bridge>>>,
    /// Ports with a changed column.
    pub ports: Vec<Changed<Arc<Port>>>,
    /// Interfaces with a changed column, and those that came into, left or changed port or bridge.
    pub interfaces: Vec<Changed<Placed>>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of changed rows.
    pub fn len(&self) -> usize {
        self.open_vswitch.len() + self.bridges.len() + self.ports.len() + self.interfaces.len()
    }
}
