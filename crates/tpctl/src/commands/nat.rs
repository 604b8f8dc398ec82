//! `lnat`: NAT rules of routers.

use super::{
    Context, meta, named,
    router::{finish, show_parts},
};
use crate::{cli::Lnat, print};
use anyhow::Result;
use serde_json::Value;
use tuplenet_model::{
    entity::{NatKind, NatRule},
    key::Key,
    object::Object,
};

/// `tpctl lnat ...`
pub async fn lnat(context: &Context, command: Lnat) -> Result<()> {
    match command {
        Lnat::Add { lr, name, prefix, kind, xlate_ip, distributed, meta: m } => {
            let rule = NatRule { kind, prefix, xlate_ip, distributed, meta: meta(m) };
            let added = context.store.add_nat_rule(&lr, &name, &rule).await?;
            let rule = added.rule;
            if added.turned {
                print::tell(&format!(
                    "note: {} is a port's address, and {} is none: took {} as the inner address and {} as the external one",
                    rule.prefix.addr(),
                    rule.xlate_ip,
                    rule.prefix.addr(),
                    rule.xlate_ip
                ));
            } else if !added.inner_known {
                print::tell(&format!("note: no port has the address {} yet", rule.prefix.addr()));
            }
            let detail = format!(": {}", words(&rule));
            context.added(&Key::Lnat(lr, name), &Object::Lnat(rule), &detail)
        }
        Lnat::Del { lr, name } => context.delete(async || context.store.plan_remove_nat_rule(&lr, &name).await).await,
        Lnat::Show { lr, name } => {
            let row = |key: &Key, object: &Object, value: Value| match (key, object) {
                (Key::Lnat(_, name), Object::Lnat(rule)) => {
                    let prefix = match rule.kind {
                        NatKind::Snat => rule.prefix.to_string(),
                        NatKind::Dnat | NatKind::Floating => rule.prefix.addr().to_string(),
                    };
                    let cells = vec![name.to_string(), rule.kind.to_string(), prefix, rule.xlate_ip.to_string()];
                    let place = if rule.distributed { "distributed" } else { "" };
                    Some(finish(cells, place.to_owned(), &rule.meta, named(key, value)))
                }
                _ => None,
            };
            let columns = ["RULE", "TYPE", "PREFIX", "XLATE IP", "WHERE", "LABELS", "DESCRIPTION"];
            let single = name.map(|name| Key::Lnat(lr.clone(), name));
            show_parts(context, &lr, "lnat", single, &columns, row).await
        }
    }
}

/// A rule as a sentence.
pub fn words(rule: &NatRule) -> String {
    let place = if rule.distributed { ", at the host that has the port" } else { "" };
    match rule.kind {
        NatKind::Snat => format!("what comes from {} leaves as {}", rule.prefix, rule.xlate_ip),
        NatKind::Dnat => format!("what comes for {} goes to {}", rule.prefix.addr(), rule.xlate_ip),
        NatKind::Floating => format!("{} is {} outside{place}", rule.prefix.addr(), rule.xlate_ip),
    }
}
