//! Keys of objects in the store, below `<prefix>/v1/`.

use crate::name::Name;
use std::fmt;

/// Which object: what a store key says, without the prefix. Its text form is the store's path, `ls/LS-A/lsp/vm1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `ls/<ls>`
    Ls(Name),
    /// `ls/<ls>/lsp/<lsp>`
    Lsp(Name, Name),
    /// `lr/<lr>`
    Lr(Name),
    /// `lr/<lr>/lrp/<lrp>`
    Lrp(Name, Name),
    /// `lr/<lr>/lsr/<route>`
    Lsr(Name, Name),
    /// `lr/<lr>/lnat/<rule>`
    Lnat(Name, Name),
    /// `chassis/<chassis>`
    Chassis(Name),
    /// `binding/<ls>/<lsp>`
    Binding(Name, Name),
}

impl Key {
    /// Reads a path below `<prefix>/v1/`. `Ok(None)` for subtrees that hold no objects of the network (`claim/`, `status/`, `trace/`)
    /// and for those of later versions; an error for a path that is shaped wrongly within a known subtree.
    pub fn parse(path: &str) -> Result<Option<Self>, String> {
        // No key has more parts than four: a fifth stands for all others.
        let mut parts = [""; 5];
        let mut split = path.splitn(5, '/');
        let count = parts.iter_mut().zip(&mut split).map(|(part, found)| *part = found).count();
        let name = |s: &str| s.parse::<Name>();
        Ok(Some(match parts.get(..count).unwrap_or_default() {
            ["ls", ls] => Key::Ls(name(ls)?),
            ["ls", ls, "lsp", lsp] => Key::Lsp(name(ls)?, name(lsp)?),
            ["lr", lr] => Key::Lr(name(lr)?),
            ["lr", lr, "lrp", lrp] => Key::Lrp(name(lr)?, name(lrp)?),
            ["lr", lr, "lsr", route] => Key::Lsr(name(lr)?, name(route)?),
            ["lr", lr, "lnat", rule] => Key::Lnat(name(lr)?, name(rule)?),
            ["chassis", chassis] => Key::Chassis(name(chassis)?),
            ["binding", ls, lsp] => Key::Binding(name(ls)?, name(lsp)?),
            ["ls" | "lr" | "chassis" | "binding", ..] => {
                return Err(format!(
                    "\"{path}\" is not the key of any object: compare it with the layout in the documentation and delete it"
                ));
            }
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Ls(ls) => write!(f, "ls/{ls}"),
            Key::Lsp(ls, lsp) => write!(f, "ls/{ls}/lsp/{lsp}"),
            Key::Lr(lr) => write!(f, "lr/{lr}"),
            Key::Lrp(lr, lrp) => write!(f, "lr/{lr}/lrp/{lrp}"),
            Key::Lsr(lr, route) => write!(f, "lr/{lr}/lsr/{route}"),
            Key::Lnat(lr, rule) => write!(f, "lr/{lr}/lnat/{rule}"),
            Key::Chassis(chassis) => write!(f, "chassis/{chassis}"),
            Key::Binding(ls, lsp) => write!(f, "binding/{ls}/{lsp}"),
        }
    }
}
