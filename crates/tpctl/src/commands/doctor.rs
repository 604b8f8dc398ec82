//! `doctor`: every object that agents set aside, with the reason; and what else is wrong in the store.

use super::Context;
use crate::print::{self, View};
use anyhow::Result;
use serde_json::json;
use std::{collections::BTreeMap, process::ExitCode};
use tuplenet_model::{key::Key, network::Network, object::Object};
use tuplenet_store::network::{Claim, claims, path_words};

/// `tpctl doctor`
pub async fn doctor(context: &Context) -> Result<ExitCode> {
    let findings = examine(context).await?;
    let healthy = findings.is_empty();
    if healthy && context.format == crate::cli::Format::Table {
        print::out("every object is valid\n")?;
    } else {
        let rows = findings.into_iter().map(|(key, reason)| {
            let data = json!({"key": key, "reason": reason});
            (vec![key, reason], data)
        });
        View::list(&["KEY", "REASON"], rows).print(context.format)?;
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All findings: key (path below the root) and reason.
async fn examine(context: &Context) -> Result<Vec<(String, String)>> {
    let (found, _) = context.store.list("").await?;
    let mut findings: Vec<(String, String)> = Vec::new();
    let mut network = Network::default();
    let mut held: BTreeMap<String, Claim> = BTreeMap::new();
    for kv in &found {
        let path = context.store.path(&kv.key);
        if path.starts_with("claim/") {
            held.insert(path.to_owned(), Claim::new(kv));
        }
        match Key::parse(path) {
            Ok(Some(key)) => match Object::parse(&key, &kv.value) {
                Ok(object) => {
                    network.insert(key, object);
                }
                Err(invalid) => findings.push((invalid.object.clone(), invalid.reason())),
            },
            Ok(None) => {}
            Err(reason) => findings.push((path.to_owned(), reason)),
        }
    }
    findings.extend(network.check().into_iter().map(|invalid| (invalid.object.clone(), invalid.reason())));
    let set_aside: Vec<String> = findings.iter().map(|(key, _)| key.clone()).collect();
    for (key, object) in network.iter().filter(|(key, _)| !set_aside.contains(&key.to_string())) {
        let owner = key.to_string();
        for claim in claims::of(key, object) {
            let who = match held.get(&claim) {
                Some(claim) if claim.owner == owner => continue,
                Some(claim) => format!("is claimed by {}", path_words(&claim.owner)),
                None => "is not claimed, so another could get it too".to_owned(),
            };
            let reason =
                format!("{} {who}: \"tpctl export | tpctl apply -f -\" mends the claims", claims::words(&claim));
            findings.push((owner.clone(), reason));
        }
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}
