//! The answer, for people and programs.

use super::{Answer, Missing, way::Way};
use crate::{
    cli::Format,
    commands::{Context, ways::Choice},
    print::{self, printable},
};
use anyhow::Result;
use serde_json::{Value, json};
use tuplenet_sim::path::Hop;

/// Prints it; every hop by itself, if that was asked for.
pub fn print(context: &Context, answer: &Answer, hops: bool) -> Result<()> {
    match context.format {
        Format::Table => print::out(&text(answer, hops)),
        format => print::data(&data(answer), format),
    }
}

/// In one sentence.
fn verdict(answer: &Answer) -> String {
    let Answer { from, to, by, .. } = answer;
    match answer.first_missing() {
        Some((None, missing)) => format!("{from} does not reach {to} by {by}: {}", missing.what),
        Some((Some(way), missing)) => {
            format!("{from} does not reach {to} by {by}: {}, {}: {}", way.family(), way.direction, missing.what)
        }
        None if answer.first_doubt().is_some() => {
            let doubt = answer.first_doubt().map_or("", |doubt| doubt.what.as_str());
            format!("{from} should reach {to} by {by}, but that is not certain: {doubt}")
        }
        // Of what is behind the last port nothing is known here.
        None if answer.outside => {
            let arrival = answer.ways.first().map_or("", |way| way.arrival.as_str());
            format!(
                "a packet from {from} to {to} by {by} {arrival}, which is the next hop; what is behind it is not known here"
            )
        }
        None => {
            let mut families: Vec<&str> = answer.ways.iter().map(Way::family).collect();
            families.dedup();
            format!("{from} reaches {to} by {by}: {}", families.join(" and "))
        }
    }
}

/// Why the answer is not yes.
fn reason(answer: &Answer) -> Option<&Missing> {
    answer.first_missing().map(|(_, missing)| missing).or_else(|| answer.first_doubt())
}

fn text(answer: &Answer, hops: bool) -> String {
    let mut lines = vec![verdict(answer)];
    if let Some(missing) = reason(answer).filter(|missing| !missing.remedy.is_empty()) {
        lines.push(format!("what to do: {}", missing.remedy));
    }
    for way in &answer.ways {
        lines.push(String::new());
        let gateway = way.gateway.as_ref().map(|lr| format!(" by router {lr}")).unwrap_or_default();
        let outcome = way.missing.as_ref().map_or(way.arrival.as_str(), |missing| missing.what.as_str());
        lines.push(format!("{}, {}: {} to {}{gateway}: {outcome}", way.family(), way.direction, way.src, way.dst));
        if hops {
            lines.extend(way.path.hops.iter().map(|hop| format!("  {hop}")));
        } else {
            lines.extend(in_short(&way.path.hops));
        }
        lines.extend(way.choices.iter().map(|choice| format!("  {}", choice.sentence())));
    }
    lines.iter().map(|line| printable(line) + "\n").collect()
}

/// The switches and routers on the way, host by host.
fn in_short(hops: &[Hop]) -> Vec<String> {
    let mut hosts: Vec<(&str, Vec<&str>)> = Vec::new();
    for hop in hops {
        let name = hop.pipeline.as_str();
        match hosts.last_mut() {
            Some((host, names)) if *host == hop.chassis => {
                if names.last() != Some(&name) {
                    names.push(name);
                }
            }
            _ => hosts.push((&hop.chassis, vec![name])),
        }
    }
    hosts.into_iter().map(|(host, names)| format!("  on {host}: {}", names.join(" > "))).collect()
}

fn data(answer: &Answer) -> Value {
    let way = |way: &Way| {
        json!({
            "family": way.family(), "direction": way.direction, "from": way.src, "to": way.dst, "gateway": way.gateway,
            "arrives": way.missing.is_none(), "at": way.missing.is_none().then_some(&way.arrival), "missing": way.missing.as_ref().map(|missing| &missing.what),
            "hops": way.path.hops, "outcomes": way.path.outcomes,
            "choices": way.choices.iter().map(Choice::data).collect::<Vec<_>>(),
        })
    };
    let missing = reason(answer).map(|missing| json!({"what": missing.what, "remedy": missing.remedy}));
    let reaches = answer.first_doubt().is_none().then(|| missing.is_none());
    json!({
        "reaches": reaches, "verdict": verdict(answer), "missing": missing,
        "ways": answer.ways.iter().map(way).collect::<Vec<_>>(),
    })
}
