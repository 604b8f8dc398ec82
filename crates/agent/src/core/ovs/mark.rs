//! Marks on interfaces: which switch port one claimed, and with which generation, so that an agent that starts knows what it did before.

use super::tables::{CLAIM, IFACE_ID, Tables};
use std::collections::BTreeMap;
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};
use tuplenet_rules::ClaimMark;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Write(String),
    /// To be taken away if it still reads so.
    Erase(String),
}

/// What is to be written, and what is on its way.
#[derive(Debug, Default)]
pub struct Marks {
    wanted: BTreeMap<Uuid, Mark>,
    sent: BTreeMap<Uuid, Mark>,
    under_way: bool,
}

impl Marks {
    /// What was sent may not have come: what is still wrong goes again.
    pub fn lost(&mut self) {
        self.under_way = false;
    }

    /// A row changed. A mark outlives its interface's `iface-id`, but it must not: an `iface-id` that comes back is a fresh claim.
    pub fn look(&mut self, tables: &Tables, uuid: Uuid) {
        let Some(row) = tables.member(uuid) else {
            self.wanted.remove(&uuid);
            return;
        };
        let Some(text) = Tables::pair(row, "external_ids", CLAIM) else { return };
        // A mark that is to be written in its place is as good; if it fits, that is: one on its way may be too late, too.
        let replaced = matches!(self.wanted.get(&uuid), Some(Mark::Write(new)) if new != text && asked_for(new, row));
        if !asked_for(text, row) && !replaced {
            self.wanted.insert(uuid, Mark::Erase(text.to_owned()));
        }
    }

    /// An interface is to have that one; gives whether there is something to do.
    pub fn write(&mut self, tables: &Tables, uuid: Uuid, text: String) -> bool {
        let Some(row) = tables.member(uuid) else { return false };
        if Tables::pair(row, "external_ids", CLAIM) == Some(&text) {
            self.wanted.remove(&uuid);
            return false;
        }
        self.wanted.insert(uuid, Mark::Write(text));
        true
    }

    /// How the last transaction ended.
    pub fn done(&mut self, well: bool) {
        self.under_way = false;
        if well {
            let sent = std::mem::take(&mut self.sent);
            self.wanted.retain(|uuid, mark| sent.get(uuid) != Some(mark));
        }
    }

    /// The next transaction, if there is one to send and none under way. What reads as it should needs no write; a row that is gone takes none, nor one that asks for
    /// another port now.
    pub fn send(&mut self, tables: &Tables) -> Option<Vec<Operation>> {
        if self.under_way {
            return None;
        }
        self.wanted.retain(|uuid, mark| {
            tables.member(*uuid).is_some_and(|row| match (mark, Tables::pair(row, "external_ids", CLAIM)) {
                (Mark::Write(text), have) => have != Some(text) && asked_for(text, row),
                (Mark::Erase(text), have) => have == Some(text),
            })
        });
        if self.wanted.is_empty() {
            return None;
        }
        self.under_way = true;
        self.sent = self.wanted.clone();
        Some(self.wanted.iter().map(|(uuid, mark)| operation(*uuid, mark)).collect())
    }
}

fn operation(uuid: Uuid, mark: &Mark) -> Operation {
    let operation = Operation::mutate("Interface").row(uuid);
    match mark {
        Mark::Write(text) => operation.mutation("external_ids", Mutator::Delete, Value::set([CLAIM])).mutation(
            "external_ids",
            Mutator::Insert,
            Value::map([(CLAIM, text)]),
        ),
        Mark::Erase(text) => operation.mutation("external_ids", Mutator::Delete, Value::map([(CLAIM, text)])),
    }
}

/// `switch/port:generation`.
pub fn parse(text: &str) -> Option<ClaimMark> {
    let (lsp, generation) = text.rsplit_once(':')?;
    lsp.contains('/').then_some(())?;
    Some(ClaimMark { lsp: lsp.to_owned(), generation: generation.parse().ok()? })
}

/// Whether a mark is for the port that an interface asks for.
fn asked_for(mark: &str, row: &Row) -> bool {
    let iface_id = Tables::pair(row, "external_ids", IFACE_ID).unwrap_or_default();
    parse(mark).is_some_and(|mark| fits(&mark.lsp, iface_id))
}

/// Whether an `iface-id` asks for the port `switch/port`: by its name, or by both.
pub fn fits(port: &str, iface_id: &str) -> bool {
    port == iface_id || port.split_once('/').is_some_and(|(_, lsp)| lsp == iface_id)
}
