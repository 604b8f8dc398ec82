//! How a path looks: the verdict in words, lines, a tree, data.

use crate::{
    commands::ways::Choice,
    print::{self, printable},
};
use serde_json::{Value, json};
use std::time::Duration;
use tuplenet_model::trace::to_hex;
use tuplenet_sim::path::{Hop, Kind, Outcome, Path};

/// How many ports a verdict names.
const NAMED: usize = 8;

/// A path, and who asked for it.
pub struct Shown<'a> {
    /// The path.
    pub path: &'a Path,
    /// The port where the packet started.
    pub from: (&'a str, &'a str),
    /// The frame as it started.
    pub frame: &'a [u8],
    /// Whether no host was involved.
    pub simulated: bool,
    /// Where its way was one of several.
    pub choices: Vec<Choice>,
    /// How long it took until the last that was reported.
    pub took: Option<Duration>,
}

impl Shown<'_> {
    /// Whether the packet was delivered or answered, or is on its way outside, and no copy of it was lost.
    pub fn is_success(&self) -> bool {
        let arrived = |outcome: &Outcome| {
            matches!(outcome, Outcome::Delivered { .. } | Outcome::Answered { .. } | Outcome::Untunnelled { .. })
        };
        let lost = |outcome: &Outcome| matches!(outcome, Outcome::Lost { .. });
        self.path.outcomes.iter().any(arrived) && !self.path.outcomes.iter().any(lost)
    }

    /// One line for people: "delivered to lsp-b on hv2, 3 hops, 1.2 ms".
    pub fn verdict(&self) -> String {
        let mut delivered = Vec::new();
        let (mut answers, mut ends) = (Vec::new(), Vec::new());
        for outcome in &self.path.outcomes {
            match outcome {
                Outcome::Delivered { lsp, chassis, .. } => delivered.push(format!("{lsp} on {chassis}")),
                Outcome::Answered { by, what, lsp, chassis, .. } => {
                    answers.push(format!("answered by {by}: {what} to {lsp} on {chassis}"));
                }
                Outcome::Untunnelled { lr, chassis } => {
                    answers.push(format!("leaves {lr} by the own IP stack of {chassis} (untunnel)"));
                }
                other => ends.push(other),
            }
        }
        let arrived = !delivered.is_empty() || !answers.is_empty();
        let mut parts = answers;
        match &delivered[..] {
            [] => {}
            [only] => parts.push(format!("delivered to {only}")),
            all => {
                let more = match all.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let places: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
                parts.push(format!("delivered to {} ports: {}{more}", all.len(), places.join(", ")));
            }
        }
        // Copies of a packet that reached somebody end in many places; that is no news.
        let told = ends.iter().filter(|o| !arrived || matches!(o, Outcome::Lost { .. }));
        parts.extend(told.map(|outcome| ending(outcome, self.path.hops.is_empty())));
        if parts.is_empty() {
            parts.push("nothing is known of it".to_owned());
        }
        let mut text = parts.join("; ");
        if arrived {
            let hops = print::count(self.path.hops.len(), "hop", "hops");
            let time = self.took.map(|took| format!(", {}", milliseconds(took)));
            text.push_str(&format!(", {hops}{}", time.unwrap_or_default()));
        }
        if self.simulated { format!("simulated: {text}") } else { text }
    }

    /// The lines that users of TupleNet know.
    pub fn lines(&self) -> String {
        self.path.hops.iter().map(|hop| printable(&hop.to_string()) + "\n").collect()
    }

    /// For people: the verdict, and the hops by host and datapath.
    pub fn tree(&self, colours: bool) -> String {
        let verdict = printable(&self.verdict());
        let colour = if self.is_success() { 32 } else { 31 };
        let mut text = if colours { format!("\u{1b}[1;{colour}m{verdict}\u{1b}[0m\n") } else { verdict + "\n" };
        let hops = &self.path.hops;
        let port = |port: &Option<String>| port.clone().unwrap_or_else(|| "?".to_owned());
        let way = |hop: &Hop| format!("{} -> {}", port(&hop.from), port(&hop.to));
        let width = |of: &dyn Fn(&Hop) -> usize| hops.iter().map(of).max().unwrap_or(0);
        let stages = width(&|hop| hop.stage.len());
        let ways = width(&|hop| way(hop).chars().count());
        let datapath = |hop: &Hop| (hop.kind, hop.pipeline.clone());
        let mut number = 0;
        for host in hops.chunk_by(|a, b| a.chassis == b.chassis) {
            let visits: Vec<&[Hop]> = host.chunk_by(|a, b| datapath(a) == datapath(b)).collect();
            for (i, visit) in visits.iter().enumerate() {
                let Some(first) = visit.first() else { continue };
                if i == 0 {
                    text.push_str(&format!("on {}\n", printable(&first.chassis)));
                }
                let (branch, bar) = if i + 1 == visits.len() { ("└─", "  ") } else { ("├─", "│ ") };
                let kind = if first.kind == Kind::Ls { "switch" } else { "router" };
                text.push_str(&format!("{branch} {kind} {}\n", printable(&first.pipeline)));
                for hop in *visit {
                    let at = hop.at.map(|at| format!("  {:>9}", milliseconds(at))).unwrap_or_default();
                    let line = format!("{bar}   {:stages$}  {:ways$}{at}", hop.stage, printable(&way(hop)));
                    text.push_str(line.trim_end());
                    text.push('\n');
                    for choice in self.choices.iter().filter(|choice| choice.at == number) {
                        text.push_str(&format!("{bar}     {}\n", printable(&choice.words())));
                    }
                    number += 1;
                }
            }
        }
        text
    }

    /// For programs.
    pub fn data(&self) -> Value {
        let hop = |hop: &Hop| {
            json!({"type": hop.kind, "pipeline": hop.pipeline, "from": hop.from, "to": hop.to, "stage": hop.stage,
                   "chassis": hop.chassis, "at_us": hop.at.map(microseconds)})
        };
        json!({
            "verdict": self.verdict(), "delivered": self.is_success(), "simulated": self.simulated,
            "took_us": self.took.map(microseconds),
            "from": {"ls": self.from.0, "lsp": self.from.1}, "packet": to_hex(self.frame),
            "hops": self.path.hops.iter().map(hop).collect::<Vec<_>>(), "outcomes": self.path.outcomes,
            "choices": self.choices.iter().map(Choice::data).collect::<Vec<_>>(),
        })
    }
}

/// What became of a packet that nobody got.
fn ending(outcome: &Outcome, silence: bool) -> String {
    match outcome {
        Outcome::Lost { reason, .. } if silence => format!("lost, no host was heard of: {reason}"),
        Outcome::Delivered { lsp, chassis, .. } | Outcome::Answered { lsp, chassis, .. } => {
            format!("delivered to {lsp} on {chassis}")
        }
        Outcome::Untunnelled { lr, chassis } => format!("left {lr} by the own IP stack of {chassis}"),
        Outcome::Dropped { chassis, datapath: Some(datapath), reason, .. } => {
            format!("dropped at {datapath} on {chassis}: {reason}")
        }
        Outcome::Dropped { chassis, datapath: None, reason, .. } => format!("dropped on {chassis}: {reason}"),
        Outcome::Lost { chassis, towards, reason } if chassis == towards => {
            format!("lost, last heard of {chassis}: {reason}")
        }
        Outcome::Lost { chassis, towards, reason } => {
            format!("lost, last heard of {chassis}, which sent it to {towards}: {reason}")
        }
    }
}

fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.1} ms") }
}

fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e3
}
