//! `explain flow`: cookie -> rule -> objects, and what match and actions mean.

use super::{
    current::{Current, Verdict},
    drops,
    line::{self, Pasted},
    matching,
    report::Report,
    rules, stages,
    subject::{self, Named},
    verbs::{self, stage_words},
    world::World,
};
use crate::{
    cli::Format,
    commands::Context,
    print::{self, count},
};
use anyhow::Result;
use serde_json::{Value, json};
use tuplenet_model::{key::Key, name::Name, object::Object};
use tuplenet_rules::{
    cookie::{Cookie, OURS, OURS_MASK, Rule},
    stage,
};
use tuplenet_store::network::words;

/// `tpctl explain flow TEXT`
pub async fn explain(context: &Context, text: &[String], chassis: Option<&Name>) -> Result<()> {
    let lines = line::lines(text)?;
    // What is read is a list, however long.
    let single = lines.len() == 1 && !line::is_stdin(text);
    let (pasted, failed) = line::read_all(&lines);
    if !pasted.is_empty() {
        let world = World::read(context).await?;
        let current = chassis.map(|chassis| Current::of(&world, chassis)).transpose()?;
        print(context, &world, &pasted, current.as_ref(), single)?;
    }
    // What can be read is explained all the same.
    failed.map_or(Ok(()), Err)
}

fn print(context: &Context, world: &World, pasted: &[Pasted], current: Option<&Current>, single: bool) -> Result<()> {
    let now = |pasted: &Pasted| current.and_then(|current| current.judge(pasted));
    match (context.format, pasted) {
        (Format::Table, _) => {
            let texts: Vec<String> = pasted.iter().map(|pasted| report(world, pasted, now(pasted)).text()).collect();
            print::out(&texts.join("\n"))
        }
        (format, [one]) if single => print::data(&as_data(world, one, now(one)), format),
        (format, all) => print::data(&all.iter().map(|pasted| as_data(world, pasted, now(pasted))).collect(), format),
    }
}

/// For people and for programs.
#[cfg(test)]
pub fn both(world: &World, pasted: &Pasted) -> (String, Value) {
    (report(world, pasted, None).text(), as_data(world, pasted, None))
}

/// Whose flow it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ours.
    Ours(Cookie),
    /// Ours by its first byte, of a rule that this version does not know.
    Newer(u8),
    /// Other software's, or nobody's.
    Foreign,
}

/// Whose flow a cookie is.
pub fn owner(cookie: u64) -> Owner {
    match Cookie::decode(cookie) {
        Some(cookie) => Owner::Ours(cookie),
        None if cookie & OURS_MASK == OURS => Owner::Newer((cookie >> 48) as u8),
        None => Owner::Foreign,
    }
}

/// The table of a flow: as the text has it, or where the rule has all its flows.
pub fn table(pasted: &Pasted, cookie: Option<Cookie>) -> Option<u8> {
    pasted.table.or_else(|| {
        let cookie = cookie?;
        let explained = rules::of(cookie.rule)?;
        match explained.stages {
            [stage] => Some(stage.table),
            [] if explained.subject == subject::Subject::Table && cookie.datapath == 0 => {
                u8::try_from(cookie.object).ok()
            }
            _ => None,
        }
    })
}

/// What is said of a cookie that is not ours.
pub fn foreign(pasted: &Pasted) -> String {
    let cookie = pasted.cookie;
    let whose = match cookie {
        _ if !pasted.says_cookie => {
            return "the text has no cookie, without which nobody can tell whose flow it is: \"ovs-ofctl -O OpenFlow15 dump-flows br-int\" prints it"
                .to_owned();
        }
        0 => "it has no cookie, so it is not of TupleNet, whose cookies begin with 0x54".to_owned(),
        _ => format!("the cookie {cookie:#x} is not of TupleNet, whose cookies begin with 0x54"),
    };
    let hook = stage::HOOK.table;
    match pasted.table {
        Some(table) if table == hook => format!(
            "{whose}. Table {hook} is the hook for other software: its flows see every packet of a switch and return it by resubmit(,{})",
            stage::LSP_INGRESS_PORT_SECURITY.table
        ),
        Some(table) => format!(
            "{whose}. Somebody else put it into table {table}, where all flows are the agent's: its next audit removes it. Other \
             software's place is table {hook}"
        ),
        None => format!("{whose}. Other software's place is table {hook}; elsewhere the agent's next audit removes it"),
    }
}

/// What is said of a rule that came with a later version.
pub fn newer(rule: u8) -> String {
    format!("it is of TupleNet, by rule {rule}, which this tpctl does not know: use the tpctl of the agent's version")
}

/// An object in words, with what the store says of it.
pub fn object_words(world: &World, key: &Key) -> String {
    let object = world.network.get(key);
    let mut text = format!("{} ({key})", words(key));
    if let Some(description) = object.and_then(Object::meta).and_then(|meta| meta.description.as_ref()) {
        text.push_str(&format!(" \"{description}\""));
    }
    match (key, object) {
        (Key::Lsp(ls, lsp), Some(Object::Lsp(port))) if port.peer.is_none() => match world.host(ls, lsp) {
            Some(chassis) => text.push_str(&format!(", on chassis {chassis}")),
            None => text.push_str(", on no chassis"),
        },
        (_, Some(Object::Lsr(route))) => {
            text.push_str(&format!(": {} by {} through {}", route.prefix, route.next_hop, route.outport));
        }
        _ => {}
    }
    text
}

/// What is wrong with the objects that a flow names, if anything is.
fn doubts(world: &World, rule: Rule, named: &Named) -> Vec<String> {
    match named {
        Named::Gone(what) => vec![format!(
            "it was made for {what}, which is not in the store: the host is behind, or the store changed since. Is its agent alive \
             (\"tpctl ch show\")?"
        )],
        Named::Objects(keys) => {
            let aside = keys.iter().filter_map(|key| Some((key, world.why_aside(key)?)));
            let mut said: Vec<String> = aside
                .map(|(key, why)| format!("{} is set aside now, so that no flow should be there: {why}", words(key)))
                .collect();
            // Of equal routes all are meant.
            if keys.len() > 1 && rule != Rule::Ecmp {
                said.push(
                    "these objects are the same in a cookie, which holds an id or 24 bits of a name: one of them is meant"
                        .to_owned(),
                );
            }
            said
        }
        Named::Nothing | Named::Stage(_) => Vec::new(),
    }
}

/// Whether a flow is in a stage where its rule has none.
fn misplaced(cookie: Cookie, table: Option<u8>) -> Option<String> {
    let (stages, table) = (rules::of(cookie.rule)?.stages, table?);
    let right = stages.is_empty() || stages.iter().any(|stage| stage.table == table);
    (!right).then(|| {
        format!(
            "rule {} has no flows in table {table}: they are of another version of the agent than this tpctl",
            cookie.rule.name()
        )
    })
}

fn report(world: &World, pasted: &Pasted, now: Option<Verdict>) -> Report {
    let cookie = match owner(pasted.cookie) {
        Owner::Ours(cookie) => cookie,
        other => {
            let mut report = Report::new(match pasted.cookie {
                0 => "flow without a cookie".to_owned(),
                cookie => format!("flow {cookie:#x}"),
            });
            if let Some(explained) = pasted.table.and_then(stages::of) {
                report.fact("stage", format!("{}: {}", stage_words(explained.stage.table), explained.about));
            }
            report.fact("owner", if let Owner::Newer(rule) = other { newer(rule) } else { foreign(pasted) });
            if let Some(flow) = &pasted.flow {
                report.facts("matches", everything(pasted.with_names(matching::describe(world, &flow.matching))));
                report.facts("does", drops_if_empty(pasted.with_names(verbs::describe(world, flow).said)));
            }
            report.facts("now", now.map(|verdict| verdict.text));
            return report;
        }
    };
    let rule = cookie.rule;
    let mut report = Report::new(format!("flow {:#x}", pasted.cookie));
    report.fact("rule", format!("{} ({}): {}", rule.name(), rule as u8, rule.about().trim()));
    let table = table(pasted, Some(cookie));
    match table {
        Some(table) => {
            let about = stages::of(table).map(|explained| format!(": {}", explained.about)).unwrap_or_default();
            report.fact("stage", format!("{}{about}", stage_words(table)));
        }
        None => {
            let stages = rules::of(rule).map(|explained| explained.stages).unwrap_or_default();
            report.facts("stage", stages.iter().map(|stage| format!("perhaps {}", stage_words(stage.table))));
        }
    }
    let named = subject::named(world, cookie);
    match &named {
        Named::Objects(keys) => report.facts("made for", keys.iter().map(|key| object_words(world, key))),
        Named::Gone(what) => report.fact("made for", what.as_str()),
        Named::Stage(stage) => report.fact("made for", format!("the stage {}", stage.name)),
        Named::Nothing => report.fact("made for", "no object: it is there whatever the network"),
    }
    if let Some(explained) = rules::of(rule) {
        report.fact("why", explained.why);
    }
    if let Some(flow) = &pasted.flow {
        report.facts("matches", everything(pasted.with_names(matching::describe(world, &flow.matching))));
        let deeds = verbs::describe(world, flow);
        report.facts("does", drops_if_empty(pasted.with_names(deeds.said)));
        let next = deeds.on.iter().filter_map(|table| stages::next(*table));
        report.facts("next", next.map(|explained| format!("{}: {}", explained.stage.name, explained.about)));
    }
    for end in drops::ends(table, Some(cookie), pasted.flow.as_ref()).filter(|_| ends(pasted, cookie)) {
        report.fact("ends", end.packets);
        report.fact("because", end.why);
        report.fact("look at", end.check);
    }
    if let (Some(packets), Some(explained)) = (pasted.packets, rules::of(rule)) {
        report.fact("counted", format!("{}: {}", counted(packets, pasted.bytes), explained.counts));
    }
    report.facts("now", now.map(|verdict| verdict.text));
    report.facts("note", notes(world, pasted, cookie, &named));
    report
}

fn notes(world: &World, pasted: &Pasted, cookie: Cookie, named: &Named) -> Vec<String> {
    let mut notes = doubts(world, cookie.rule, named);
    notes.extend(misplaced(cookie, pasted.table));
    notes.extend(
        pasted
            .unread
            .iter()
            .map(|why| format!("match and actions cannot be read ({why}); what stands here is from the cookie")),
    );
    notes
}

/// Whether the flow ends packets, as far as is known.
pub fn ends(pasted: &Pasted, cookie: Cookie) -> bool {
    use tuplenet_rules::cookie::Rule::{Drop, IcmpError, Loopback, RouterDrop, TooBig, UntunnelIn};
    match &pasted.flow {
        Some(flow) => flow.instructions.is_empty() || matches!(cookie.rule, IcmpError | TooBig),
        None => matches!(cookie.rule, Drop | IcmpError | Loopback | RouterDrop | TooBig | UntunnelIn),
    }
}

/// How much was counted, in words.
pub fn counted(packets: u64, bytes: Option<u64>) -> String {
    let packets = count(usize::try_from(packets).unwrap_or(usize::MAX), "packet", "packets");
    match bytes {
        Some(bytes) => format!("{packets}, {}", count(usize::try_from(bytes).unwrap_or(usize::MAX), "byte", "bytes")),
        None => packets,
    }
}

fn everything(mut said: Vec<String>) -> Vec<String> {
    if said.is_empty() {
        said.push("every packet that no other flow of the stage matches".to_owned());
    }
    said
}

fn drops_if_empty(mut said: Vec<String>) -> Vec<String> {
    if said.is_empty() {
        said.push("ends it".to_owned());
    }
    said
}

/// The same for programs.
fn as_data(world: &World, pasted: &Pasted, now: Option<Verdict>) -> Value {
    let mut data = json!({"cookie": format!("{:#x}", pasted.cookie), "packets": pasted.packets, "bytes": pasted.bytes});
    let mut put = |field: &str, value: Value| {
        if let Value::Object(map) = &mut data {
            map.insert(field.to_owned(), value);
        }
    };
    if let Some(verdict) = now {
        put("now", json!({"same": verdict.same, "words": verdict.text}));
    }
    if let Some(flow) = &pasted.flow {
        put("matches", pasted.with_names(matching::describe(world, &flow.matching)).into());
        put("does", pasted.with_names(verbs::describe(world, flow).said).into());
    }
    let cookie = match owner(pasted.cookie) {
        Owner::Ours(cookie) => Some(cookie),
        Owner::Newer(rule) => {
            put("notes", vec![newer(rule)].into());
            None
        }
        Owner::Foreign => {
            put("notes", vec![foreign(pasted)].into());
            None
        }
    };
    put("ours", (cookie.is_some() || pasted.cookie & OURS_MASK == OURS).into());
    let table = table(pasted, cookie);
    if let Some(table) = table {
        let stage = stages::of(table);
        put("stage", json!({"table": table, "name": stage.map(|s| s.stage.name), "about": stage.map(|s| s.about)}));
    }
    let Some(cookie) = cookie else { return data };
    let explained = rules::of(cookie.rule);
    let (name, about) = (cookie.rule.name(), cookie.rule.about().trim());
    put("rule", json!({"number": cookie.rule as u8, "name": name, "about": about, "why": explained.map(|e| e.why)}));
    let named = subject::named(world, cookie);
    let keys = match &named {
        Named::Objects(keys) => keys.as_slice(),
        _ => &[],
    };
    let objects = keys.iter().map(
        |key| json!({"key": key.to_string(), "words": object_words(world, key), "set_aside": world.why_aside(key)}),
    );
    put("objects", objects.collect());
    put("missing", matches!(named, Named::Gone(_)).into());
    put("notes", notes(world, pasted, cookie, &named).into());
    let ends = drops::ends(table, Some(cookie), pasted.flow.as_ref()).filter(|_| ends(pasted, cookie));
    put("ends", ends.map(|end| json!({"packets": end.packets, "because": end.why, "look_at": end.check})).collect());
    data
}
