//! `explain drop`: which packets end where, and why.

use super::{
    flow::{self, Owner, counted},
    line::{self, Pasted},
    report::Report,
    stages::{self, End},
    subject::{self, Named},
    verbs::stage_words,
    world::World,
};
use crate::{
    cli::Format,
    commands::Context,
    print::{self, View},
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tuplenet_openflow::Flow;
use tuplenet_rules::cookie::{Cookie, Rule};
use tuplenet_store::network::words;

/// `tpctl explain drop STAGE|COOKIE|LINE`
pub async fn explain(context: &Context, text: &[String]) -> Result<()> {
    if text.is_empty() {
        return overview(context);
    }
    let lines = line::lines(text)?;
    if let ([line], Some(stage)) = (&lines[..], lines.first().and_then(|line| named_stage(line))) {
        return of_stage(context, line, stage);
    }
    let pasted = lines.iter().map(|line| read(line)).collect::<Result<Vec<_>>>()?;
    let world = World::read(context).await?;
    let drops = pasted.iter().map(|pasted| Dropped::of(&world, pasted)).collect::<Result<Vec<_>>>()?;
    if context.format == Format::Table {
        let texts: Vec<String> = drops.iter().map(|drop| drop.report().text()).collect();
        return print::out(&texts.join("\n"));
    }
    match &drops[..] {
        [one] if !line::is_stdin(text) => print::data(&one.data(), context.format),
        all => print::data(&all.iter().map(Dropped::data).collect(), context.format),
    }
}

/// A line, with an advice if a word was taken for one.
fn read(line: &str) -> Result<Pasted> {
    match line::read(line) {
        _ if line.parse::<u8>().is_ok() => {
            bail!("there is no stage with table {line}: \"tpctl explain drop\" lists those where packets end")
        }
        Err(_) if line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            bail!(
                "there is no stage {line}: \"tpctl explain drop\" lists those where packets end; a cookie begins with 0x"
            )
        }
        other => other,
    }
}

/// A stage by its name or its table.
fn named_stage(text: &str) -> Option<&'static stages::Explained> {
    let name = text.strip_prefix("TABLE_").unwrap_or(text);
    let table: Option<u8> = text.strip_prefix("table=").unwrap_or(text).parse().ok();
    stages::ALL.iter().find(|e| e.stage.name.eq_ignore_ascii_case(name) || Some(e.stage.table) == table)
}

/// The ways for packets to end that a flow stands for.
pub fn ends(table: Option<u8>, cookie: Option<Cookie>, flow: Option<&Flow>) -> impl Iterator<Item = &'static End> {
    let here = stages::ALL.iter().filter(move |explained| table.is_none_or(|table| explained.stage.table == table));
    let matching = flow.map(|flow| flow.matching.clone());
    here.flat_map(|explained| explained.ends).filter(move |end| {
        let ours = cookie.is_none_or(|cookie| {
            // A stage's own flow names the stage.
            let owned = cookie.rule != Rule::Drop && (cookie.datapath, cookie.object) != (0, 0);
            end.rule == cookie.rule && end.owned == owned
        });
        ours && matching.as_ref().is_none_or(|matching| (end.which)(matching))
    })
}

fn overview(context: &Context) -> Result<()> {
    let all = stages::ALL.iter().flat_map(|explained| explained.ends.iter().map(move |end| (explained, end)));
    let rows = all.map(|(explained, end)| {
        let stage = explained.stage;
        let cells =
            vec![stage.table.to_string(), stage.name.to_owned(), end.rule.name().to_owned(), end.packets.to_owned()];
        (cells, with_stage(end_data(end), explained))
    });
    View::list(&["TABLE", "STAGE", "RULE", "PACKETS THAT END THERE"], rows).print(context.format)
}

fn of_stage(context: &Context, text: &str, explained: &stages::Explained) -> Result<()> {
    if explained.ends.is_empty() {
        let next = explained.stage.next.map(stage_words).unwrap_or_default();
        bail!(
            "no packet ends in {text}: what it does not know goes on at {next}; \"tpctl explain drop\" lists the stages where packets end"
        );
    }
    if context.format != Format::Table {
        let ends: Value = explained.ends.iter().map(end_data).collect();
        return print::data(&with_stage(json!({"ends": ends}), explained), context.format);
    }
    let mut report = Report::new(format!("{}: {}", stage_words(explained.stage.table), explained.about));
    add_ends(&mut report, explained.ends.iter());
    print::out(&report.text())
}

fn add_ends(report: &mut Report, ends: impl Iterator<Item = &'static End>) {
    for end in ends {
        report.fact("ends", format!("{} (rule {})", end.packets, end.rule.name()));
        report.fact("because", end.why);
        report.fact("look at", end.check);
    }
}

fn end_data(end: &End) -> Value {
    json!({"rule": end.rule.name(), "packets": end.packets, "because": end.why, "look_at": end.check})
}

fn with_stage(mut data: Value, explained: &stages::Explained) -> Value {
    if let Value::Object(map) = &mut data {
        map.insert("stage".to_owned(), explained.stage.name.into());
        map.insert("table".to_owned(), explained.stage.table.into());
    }
    data
}

/// A flow that drops.
struct Dropped<'a> {
    pasted: &'a Pasted,
    table: Option<u8>,
    ends: Vec<&'static End>,
    /// The object whose flow it is.
    of: Option<String>,
    /// What else the flow says of the packets.
    matches: Vec<String>,
    /// Whether it counts those as well that went on: Open vSwitch translates a packet for both outcomes of `check_pkt_larger`, and counts it in both.
    counts_all: bool,
}

impl<'a> Dropped<'a> {
    fn of(world: &World, pasted: &'a Pasted) -> Result<Self> {
        let cookie = match flow::owner(pasted.cookie) {
            Owner::Ours(cookie) => cookie,
            Owner::Newer(rule) => bail!("{}", flow::newer(rule)),
            Owner::Foreign => bail!("{}", flow::foreign(pasted)),
        };
        if !flow::ends(pasted, cookie) {
            bail!(
                "the flow {:#x} (rule {}) ends no packet: \"tpctl explain flow\" says what it does",
                pasted.cookie,
                cookie.rule.name()
            );
        }
        let table = flow::table(pasted, Some(cookie));
        let of = match subject::named(world, cookie) {
            Named::Objects(keys) => Some(keys.iter().map(words).collect::<Vec<_>>().join(" or ")),
            Named::Gone(what) => Some(format!("{what}, which is not in the store")),
            Named::Nothing | Named::Stage(_) => None,
        };
        let matches =
            pasted.flow.as_ref().map(|flow| super::matching::describe(world, &flow.matching)).unwrap_or_default();
        let ends = ends(table, Some(cookie), pasted.flow.as_ref()).collect();
        Ok(Self { pasted, table, ends, of, matches, counts_all: cookie.rule == Rule::TooBig })
    }

    fn report(&self) -> Report {
        let place = self.table.map_or_else(|| format!("flow {:#x}", self.pasted.cookie), stage_words);
        let mut report = Report::new(match (self.pasted.packets, self.pasted.bytes) {
            (Some(packets), bytes) if self.counts_all => {
                let meter = "\"ovs-ofctl -O OpenFlow15 meter-stats br-int meter=6\" counts those that ended";
                format!("{place}: {} came by, ended or not; {meter}", counted(packets, bytes))
            }
            (Some(packets), bytes) => format!("{place}: {} ended here", counted(packets, bytes)),
            (None, _) => place,
        });
        if let Some(of) = &self.of {
            report.fact("made for", of.as_str());
        }
        report.facts("matches", self.matches.iter().cloned());
        add_ends(&mut report, self.ends.iter().copied());
        if self.ends.is_empty() {
            report.fact(
                "ends",
                "packets that this version of tpctl knows no reason for: use the tpctl of the agent's version",
            );
        }
        report
    }

    fn data(&self) -> Value {
        let stage = self.table.and_then(stages::of).map(|explained| explained.stage.name);
        json!({
            "cookie": format!("{:#x}", self.pasted.cookie), "packets": self.pasted.packets, "bytes": self.pasted.bytes,
            "table": self.table, "stage": stage, "of": self.of, "matches": self.matches,
            "ends": self.ends.iter().map(|end| end_data(end)).collect::<Vec<_>>(),
        })
    }
}
