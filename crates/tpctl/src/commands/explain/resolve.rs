//! Which object a user means.

use super::world::{World, child};
use anyhow::{Result, bail, ensure};
use tuplenet_model::{key::Key, name::Name};
use tuplenet_store::network::{NetworkError, words};

/// The object that a path, a kind with names, or a name alone stands for. It exists, if it can be read or not.
pub fn object(world: &World, said: &[String]) -> Result<Key> {
    let said: Vec<&str> = said.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    let key = match said[..] {
        [] => bail!("there is no object to explain: give its path in the store, like ls/LS-A/lsp/vm1, or its name"),
        [one] => match by_path(world.path(one))? {
            Some(key) => key,
            None => return by_name(world, one),
        },
        [kind, ref names @ ..] => match by_kind(kind, names)? {
            Some(key) => key,
            None => return by_name(world, &said.join("/")),
        },
    };
    ensure!(world.value(&key).is_some(), NetworkError::missing(&key));
    Ok(key)
}

/// `ls/LS-A/lsp/vm1`
fn by_path(text: &str) -> Result<Option<Key>> {
    if !text.contains('/') || text.split('/').count() == 2 && !is_kind(text) {
        return Ok(None);
    }
    match Key::parse(text) {
        Ok(Some(key)) => Ok(Some(key)),
        Ok(None) => {
            bail!("\"{text}\" is the path of no object that flows are made from: give one like ls/LS-A/lsp/vm1")
        }
        Err(reason) => bail!("{reason}"),
    }
}

fn is_kind(path: &str) -> bool {
    path.split('/').next().is_some_and(|first| ["ls", "lr", "chassis", "binding"].contains(&first))
}

/// `lsp LS-A vm1`, as in the words of other commands.
fn by_kind(kind: &str, names: &[&str]) -> Result<Option<Key>> {
    let name = |text: &str| text.parse::<Name>().map_err(anyhow::Error::msg);
    Ok(Some(match (kind, names) {
        ("ls" | "switch", [ls]) => Key::Ls(name(ls)?),
        ("lr" | "router", [lr]) => Key::Lr(name(lr)?),
        ("ch" | "chassis", [chassis]) => Key::Chassis(name(chassis)?),
        ("lsp", [ls, lsp]) => Key::Lsp(name(ls)?, name(lsp)?),
        ("lrp", [lr, lrp]) => Key::Lrp(name(lr)?, name(lrp)?),
        ("lsr" | "route", [lr, route]) => Key::Lsr(name(lr)?, name(route)?),
        ("lnat" | "nat", [lr, rule]) => Key::Lnat(name(lr)?, name(rule)?),
        ("patchport", [ls, lsp]) => Key::Lsp(name(ls)?, name(lsp)?),
        ("binding", [ls, lsp]) => Key::Binding(name(ls)?, name(lsp)?),
        ("ls" | "switch" | "lr" | "router" | "ch" | "chassis", _) => bail!("write: {kind} NAME"),
        ("lsp", _) => bail!("write: lsp LS LSP"),
        ("lrp", _) => bail!("write: lrp LR LRP"),
        ("lsr" | "route", _) => bail!("write: {kind} LR ROUTE"),
        ("lnat" | "nat", _) => bail!("write: {kind} LR RULE"),
        ("patchport", _) => bail!("write: patchport LS PORT"),
        ("binding", _) => bail!("write: binding LS LSP"),
        (_, [_]) => return Ok(None),
        _ => bail!(
            "\"{kind}\" is no kind of object: write ls, lsp, lr, lrp, lsr, lnat, patchport, chassis or binding, or a path like ls/LS-A/lsp/vm1"
        ),
    }))
}

/// `vm1` or `LS-A/vm1`, if there is only one.
fn by_name(world: &World, text: &str) -> Result<Key> {
    let fits = |key: &Key| match (text.split_once('/'), key) {
        (_, Key::Binding(..)) => false,
        (None, Key::Ls(name) | Key::Lr(name) | Key::Chassis(name)) => name.as_str() == text,
        (None, key) => child(key).is_some_and(|name| name.as_str() == text),
        (Some((parent, name)), Key::Lsp(of, own) | Key::Lrp(of, own) | Key::Lsr(of, own) | Key::Lnat(of, own)) => {
            (of.as_str(), own.as_str()) == (parent, name)
        }
        (Some(_), _) => false,
    };
    one_of(world.keys().filter(|key| fits(key)).collect(), text)
}

/// A switch port by its name, or as `switch/port`.
pub fn port(world: &World, text: &str) -> Result<(Name, Name)> {
    let text = text.strip_prefix("ls/").map_or_else(|| text.to_owned(), |path| path.replace("/lsp/", "/"));
    let fits = |key: &Key| match (text.split_once('/'), key) {
        (None, Key::Lsp(_, lsp)) => lsp.as_str() == text,
        (Some((parent, name)), Key::Lsp(ls, lsp)) => (ls.as_str(), lsp.as_str()) == (parent, name),
        _ => false,
    };
    let ports: Vec<Key> = world.keys().filter(|key| fits(key)).collect();
    let named = if ports.is_empty() { by_name(world, &text)? } else { one_of(ports, &text)? };
    match named {
        Key::Lsp(ls, lsp) => Ok((ls, lsp)),
        other => bail!("{} is no port of a switch: name one that is", words(&other)),
    }
}

fn one_of(mut found: Vec<Key>, text: &str) -> Result<Key> {
    match (found.pop(), found.len()) {
        (None, _) => {
            bail!("there is no {text} in the network: see \"tpctl ls show\", \"tpctl lsp show LS\", \"tpctl lr show\"")
        }
        (Some(key), 0) => Ok(key),
        (Some(last), more) => {
            const SHOWN: usize = 8;
            let mut all: Vec<String> = found.iter().chain([&last]).take(SHOWN).map(Key::to_string).collect();
            if more + 1 > SHOWN {
                all.push(format!("and {} more", more + 1 - SHOWN));
            }
            bail!("{text} may be one of {}: say which", all.join(", "))
        }
    }
}
