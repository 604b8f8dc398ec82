//! A transaction in the making.

use super::tables::MANAGED;
use tuplenet_ovsdb::{Operation, Value};

/// A transaction, and what it does in words.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The operations.
    pub operations: Vec<Operation>,
    /// What they do.
    pub words: Vec<String>,
}

impl Plan {
    /// Inserts a Port of ours and its Interface, both of that name, with our mark and these ids beside it; gives the reference to the Port. What else the two have the
    /// callers add.
    pub fn port(
        &mut self,
        name: &str,
        ids: &[(&str, &str)],
        interface: impl FnOnce(Operation) -> Operation,
        port: impl FnOnce(Operation) -> Operation,
    ) -> Value {
        let number = self.operations.len();
        let (interface_name, port_name) = (format!("interface{number}"), format!("port{number}"));
        let ids = || Value::map([(MANAGED, "true")].into_iter().chain(ids.iter().copied()));
        let ours = |table: &str, uuid: &str| {
            Operation::insert(table).named(uuid).column("name", name).column("external_ids", ids())
        };
        self.operations.push(interface(ours("Interface", &interface_name)));
        let port = port(ours("Port", &port_name).column("interfaces", Value::named(&interface_name)));
        self.operations.push(port);
        Value::named(&port_name)
    }
}
