//! `explain object`: which flows exist because of an object. Not guessed from cookies: the rules of each host are asked what changes without it.

use super::{
    flow::object_words,
    host::{self, Host},
    idle, resolve, subject,
    verbs::{self, stage_words},
    world::World,
};
use crate::{
    cli::Format,
    commands::Context,
    print::{self, count, printable},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{key::Key, name::Name};
use tuplenet_openflow::{Action, Flow};
use tuplenet_rules::{FlowChange, GroupChange, Output, cookie::Cookie, is_ecmp_group, is_steer_group};
use tuplenet_store::network::words;

/// `tpctl explain object KEY`
pub async fn explain(context: &Context, said: &[String], only: Option<&Name>, summary: bool) -> Result<()> {
    let world = World::read(context).await?;
    let key = resolve::object(&world, said)?;
    let hosts = host::all(&world);
    if let Some(only) = only {
        host::known(&world, only)?;
    }
    let aside = world.why_aside(&key);
    // Without the object nothing changes where it is not in force, so that no host need be asked.
    let asked = |name: &Name| aside.is_none() && only.is_none_or(|only| only == name);
    let hosts: Vec<Name> = hosts.into_iter().filter(asked).collect();
    // Each computes all its flows: with many hosts and ports that takes a while.
    let bar = print::progress(hosts.len());
    let effects = hosts.into_iter().map(|name| {
        bar.inc(1);
        Effect::on(&world, &key, name)
    });
    let effects: Vec<Effect> = effects.collect();
    bar.finish_and_clear();
    let found = Found { key: &key, words: object_words(&world, &key), aside, idle: idle::why(&world, &key), effects };
    match context.format {
        Format::Table => print::out(&found.text(summary)),
        format => print::data(&found.data(summary), format),
    }
}

/// A flow that is as it is because of the object.
struct Caused {
    table: u8,
    rule: &'static str,
    /// Whether its cookie names the object.
    own: bool,
    text: String,
    /// What would be in its place without the object.
    without: Option<String>,
}

/// What the object does on one host.
struct Effect {
    chassis: Name,
    /// Why nothing of it can be there.
    absent: Option<String>,
    flows: Vec<Caused>,
    /// Flows that would be there without the object.
    prevented: Vec<Caused>,
    /// Members of groups, in words.
    members: Vec<String>,
}

impl Effect {
    fn on(world: &World, key: &Key, chassis: Name) -> Self {
        let mut effect = Self { chassis, absent: None, flows: Vec::new(), prevented: Vec::new(), members: Vec::new() };
        let datapath = match key {
            Key::Ls(ls) | Key::Lsp(ls, _) | Key::Binding(ls, _) => Some(Key::Ls(ls.clone())),
            Key::Lr(lr) | Key::Lrp(lr, _) | Key::Lsr(lr, _) | Key::Lnat(lr, _) => Some(Key::Lr(lr.clone())),
            Key::Chassis(_) => None,
        };
        if let Some(datapath) = datapath.filter(|datapath| !host::matters(world, &effect.chassis, datapath)) {
            effect.absent = Some(format!("no port of {} can reach {}", effect.chassis, words(&datapath)));
            return effect;
        }
        let mut host = Host::new(world, &effect.chassis);
        let without = host.apply(world, key, false);
        let with = host.apply(world, key, true);
        // Others' flows are there because of it as well: a host has flows only for what its ports can reach.
        let identity = subject::identity(world, key);
        let own = |flow: &Flow| {
            let cookie = Cookie::decode(flow.cookie);
            let named = cookie.and_then(|cookie| Some((subject::kind(cookie)?, cookie.datapath, cookie.object)));
            named.is_some() && named == identity
        };
        effect.compare(world, &host, without, with, &own);
        effect
    }

    /// `without` is what taking the object out changed, `with` what putting it back did.
    fn compare(&mut self, world: &World, host: &Host, without: Output, with: Output, own: &dyn Fn(&Flow) -> bool) {
        let mut instead = set(without.flows);
        for (place, flow) in set(with.flows) {
            let without = instead.remove(&place).map(|flow| host.text(&flow));
            self.flows.push(Caused { without, own: own(&flow), ..Caused::new(host, &flow) });
        }
        self.prevented = instead.values().map(|flow| Caused::new(host, flow)).collect();
        self.members = with.groups.into_iter().filter_map(|change| member(world, change)).collect();
    }
}

impl Caused {
    fn new(host: &Host, flow: &Flow) -> Self {
        let rule = Cookie::decode(flow.cookie).map_or("", |cookie| cookie.rule.name());
        Self { table: flow.table, rule, own: false, text: host.text(flow), without: None }
    }
    fn data(&self) -> Value {
        let mut data = json!({"table": self.table, "rule": self.rule, "own": self.own, "flow": self.text});
        if let (Value::Object(map), Some(without)) = (&mut data, &self.without) {
            map.insert("without".to_owned(), without.as_str().into());
        }
        data
    }
}

/// The flows that were set, by what tells them apart, in the order of the pipeline.
fn set(changes: Vec<FlowChange>) -> BTreeMap<(u8, u16, String), Flow> {
    let place = |flow: &Flow| (flow.table, u16::MAX - flow.priority, flow.matching.to_string());
    let flows = changes.into_iter().filter_map(|change| match change {
        FlowChange::Set(flow) => Some((place(&flow), flow)),
        FlowChange::Delete { .. } => None,
    });
    flows.collect()
}

/// What putting the object back did to a group.
fn member(world: &World, change: GroupChange) -> Option<String> {
    let list = |actions: &[Action]| actions.iter().map(Action::to_string).collect::<Vec<_>>().join(",");
    let flood = |id: u32| verbs::flood_group(world, id);
    let group = |id: u32| match flood(id) {
        Some(group) => group,
        None if is_ecmp_group(id) => format!("the group of its equal routes (group {id})"),
        None if is_steer_group(id) => format!("the group of an inner address on equal routes (group {id})"),
        None => format!("group {id}"),
    };
    match change {
        GroupChange::Add(id, _) | GroupChange::Change(id, _) => Some(group(id)),
        GroupChange::InsertBucket(id, bucket) => {
            let what = if flood(id).is_some() { "a copy" } else { "a choice" };
            Some(format!("{what} in {}: {}", group(id), list(&bucket.actions)))
        }
        GroupChange::RemoveBucket(..) | GroupChange::Delete(_) => None,
    }
}

/// What was found.
struct Found<'a> {
    key: &'a Key,
    words: String,
    aside: Option<String>,
    idle: Option<String>,
    effects: Vec<Effect>,
}

impl Found<'_> {
    fn flows(&self) -> usize {
        self.effects.iter().map(|effect| effect.flows.len()).sum()
    }

    /// In one sentence.
    fn summary(&self) -> String {
        if let Some(why) = &self.aside {
            return format!("set aside, so that no flow exists because of it: {why}");
        }
        let hosts = self.effects.iter().filter(|effect| !effect.flows.is_empty()).count();
        match (self.flows(), &self.idle) {
            (0, Some(why)) => format!("no flow exists because of it: {why}"),
            (0, None) if self.effects.is_empty() => "no flow exists because of it: there is no host yet".to_owned(),
            (0, None) if self.effects.iter().all(|effect| effect.absent.is_some()) => {
                "no flow exists because of it: no host has a port that can reach it".to_owned()
            }
            (0, None) => "no flow exists because of it".to_owned(),
            (flows, _) => format!("{} on {}", count(flows, "flow", "flows"), count(hosts, "host", "hosts")),
        }
    }

    fn text(&self, summary: bool) -> String {
        let mut lines = vec![self.words.clone(), self.summary()];
        let (here, away): (Vec<&Effect>, Vec<&Effect>) =
            self.effects.iter().partition(|effect| effect.absent.is_none());
        for effect in here {
            let Effect { chassis, flows, prevented, members, .. } = effect;
            lines.push(String::new());
            if flows.is_empty() && prevented.is_empty() && members.is_empty() {
                lines.push(format!("{chassis}: its flows are the same without it"));
                continue;
            }
            lines.push(format!("{chassis}: {}{}", number(flows), parts(members)));
            if summary {
                lines.extend(
                    stages(flows)
                        .into_iter()
                        .map(|(table, flows)| format!("  {}: {}", stage_words(table), flows.len())),
                );
                continue;
            }
            for (table, flows) in stages(flows) {
                lines.push(format!("  {}", stage_words(table)));
                for flow in flows {
                    lines.push(format!("    {}: {}", flow.rule, flow.text));
                    lines.extend(flow.without.iter().map(|without| format!("      without it: {without}")));
                }
            }
            lines.extend(members.iter().map(|member| format!("  {member}")));
            if !prevented.is_empty() {
                lines.push("  without it there would be".to_owned());
                lines.extend(prevented.iter().map(|flow| format!("    {}: {}", flow.rule, flow.text)));
            }
        }
        if !away.is_empty() {
            lines.push(String::new());
        }
        lines.extend(
            away.iter().filter_map(|effect| Some(format!("{}: none: {}", effect.chassis, effect.absent.as_ref()?))),
        );
        lines.iter().map(|line| printable(line) + "\n").collect()
    }

    fn data(&self, summary: bool) -> Value {
        let host = |effect: &Effect| {
            let mut data = json!({"chassis": effect.chassis, "count": effect.flows.len(), "absent": effect.absent});
            if let (Value::Object(map), false) = (&mut data, summary) {
                let list = |flows: &[Caused]| flows.iter().map(Caused::data).collect::<Value>();
                map.insert("flows".to_owned(), list(&effect.flows));
                map.insert("prevented".to_owned(), list(&effect.prevented));
                map.insert("members".to_owned(), effect.members.clone().into());
            }
            data
        };
        let hosts: BTreeSet<&str> = self
            .effects
            .iter()
            .filter(|effect| !effect.flows.is_empty())
            .map(|effect| effect.chassis.as_str())
            .collect();
        json!({
            "key": self.key.to_string(), "words": self.words, "set_aside": self.aside, "summary": self.summary(),
            "count": self.flows(), "on": hosts, "hosts": self.effects.iter().map(host).collect::<Vec<_>>(),
        })
    }
}

/// How many flows, and how many of them are others' that only matter on that host because of the object.
fn number(flows: &[Caused]) -> String {
    let all = count(flows.len(), "flow", "flows");
    match flows.iter().filter(|flow| flow.own).count() {
        own if own == flows.len() => all,
        own => format!("{all}, {own} made for it and {} for others that matter here because of it", flows.len() - own),
    }
}

/// How many parts of groups, if any.
fn parts(members: &[String]) -> String {
    match members.len() {
        0 => String::new(),
        parts => format!(", and {}", count(parts, "part of a group", "parts of groups")),
    }
}

/// Flows by stage, in the order of the pipeline.
fn stages(flows: &[Caused]) -> BTreeMap<u8, Vec<&Caused>> {
    let mut stages: BTreeMap<u8, Vec<&Caused>> = BTreeMap::new();
    for flow in flows {
        stages.entry(flow.table).or_default().push(flow);
    }
    stages
}
