//! `graph`: the network, drawn.
//!
//! ```text
//! source -> logical  -> around -> fold -> text, dot, svg
//!           physical                   \> data
//! ```

mod around;
mod data;
mod dot;
mod fold;
mod forest;
mod logical;
mod order;
mod paper;
mod physical;
mod picture;
mod presence;
mod source;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod words;

use super::{Context, usage};
use crate::{cli::Format, print};
use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use paper::Paper;
use picture::Picture;
use source::Source;
use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tuplenet_model::key::Key;

/// How far a neighbourhood reaches if nothing is said: a switch, its routers, and their other switches.
const DEPTH: usize = 2;

/// What the long help says after the options.
const MORE: &str = "\
Drawn are switches, routers, links with the routers' addresses, static routes as arrows to their next hops, and, in red with the reason, what agents set \
aside. In a large network leaves of one router are drawn as one, hosts that are alive as one, and tunnels as meshes, unless with --full. -o json \
and -o yaml print nodes and edges instead, never collapsed but for tunnels (see --full).

Examples:
  tpctl graph                            a tree, on a terminal
  tpctl graph --out net.svg              for a browser
  tpctl graph | dot -Tpng > net.png      with Graphviz
  tpctl graph --around web --depth 1     a switch and its routers
  tpctl graph --physical                 the hosts
  tpctl graph -f net.yaml                before it is applied";

/// `tpctl graph ...`
#[derive(clap::Args, Debug)]
#[command(after_long_help = MORE)]
pub struct Args {
    /// How to draw; if left out, as the ending of --out says, else text on a terminal and DOT on a pipe
    #[arg(long, value_enum)]
    format: Option<Drawn>,
    /// Write to this file; its ending says how: .txt, .dot, .gv, .svg, .json or .yaml
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw only what is near this switch or router (ls/NAME or lr/NAME if both have the name)
    #[arg(long, value_name = "DATAPATH")]
    around: Option<String>,
    /// How many links from there at most [default: 2]
    #[arg(long, value_name = "N", requires = "around", conflicts_with = "physical")]
    depth: Option<usize>,
    /// Draw the hosts, with what they host and the tunnels between them
    #[arg(long, conflicts_with = "file")]
    physical: bool,
    /// Draw this YAML document instead of what is in the store; "-" reads it from standard input
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Draw everything by itself, however much it is
    #[arg(long)]
    full: bool,
}

/// A way to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drawn {
    /// A tree, for terminals
    Text,
    /// For Graphviz
    Dot,
    /// For browsers and documents
    Svg,
}

/// What to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Drawing(Drawn),
    Data(Format),
}

/// Draws it.
pub async fn graph(context: &Context, args: Args) -> Result<ExitCode> {
    let file = args.out.as_deref().filter(|path| *path != Path::new("-"));
    let output = output(context, &args, file);
    let source = match &args.file {
        Some(file) => Source::document(file)?,
        None => Source::store(context).await?,
    };
    let picture = picture(&source, &args, output)?;
    if picture.nodes.is_empty() && picture.loose.is_empty() && matches!(output, Output::Drawing(_)) {
        match (args.physical, &args.around) {
            (true, Some(name)) => bail!("there is nothing to draw: no chassis has {name}"),
            (true, None) => {
                bail!("there is nothing to draw yet: no chassis has registered; start an agent on each host")
            }
            (false, _) => {
                bail!("there is nothing to draw yet: add a switch with \"tpctl ls add\", or apply a document")
            }
        }
    }
    let paper = if file.is_none() { Paper::stdout() } else { Paper::file() };
    let text = match output {
        Output::Drawing(Drawn::Text) => text::text(&picture, paper, args.full),
        Output::Drawing(Drawn::Dot) => dot::dot(&picture),
        Output::Drawing(Drawn::Svg) => svg::svg(&picture),
        Output::Data(format) => data::text(&data::data(&picture), format)?,
    };
    match file {
        None => print::out(&text)?,
        Some(file) => {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
            if context.chosen.is_none() {
                print::out(&format!("{}: {}\n", file.display(), print::printable(&picture.title)))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to write: what was said, or what follows from where to.
fn output(context: &Context, args: &Args, file: Option<&Path>) -> Output {
    match (context.chosen, args.format) {
        (Some(Format::Json | Format::Yaml), Some(_)) => {
            usage("graph", "use either -o or --format: -o prints data, --format draws")
        }
        (Some(format @ (Format::Json | Format::Yaml)), None) => return Output::Data(format),
        (_, Some(format)) => return Output::Drawing(format),
        _ => {}
    }
    let Some(file) = file else {
        let terminal = io::stdout().is_terminal() || context.chosen == Some(Format::Table);
        return Output::Drawing(if terminal { Drawn::Text } else { Drawn::Dot });
    };
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("txt") => Output::Drawing(Drawn::Text),
        Some("dot" | "gv") => Output::Drawing(Drawn::Dot),
        Some("svg") => Output::Drawing(Drawn::Svg),
        Some("json") => Output::Data(Format::Json),
        Some("yaml" | "yml") => Output::Data(Format::Yaml),
        _ => {
            let file = file.display();
            usage(
                "graph",
                &format!(
                    "the ending of {file} does not say how to draw: use .txt, .dot, .gv, .svg, .json or .yaml, or --format"
                ),
            )
        }
    }
}

/// What to draw. Data are never collapsed, but for tunnels of many chassis.
fn picture(source: &Source, args: &Args, output: Output) -> Result<Picture> {
    let drawing = matches!(output, Output::Drawing(_)) && !args.full;
    let logical = logical::picture(source);
    let around = match &args.around {
        None => None,
        Some(said) => {
            let keys = logical.nodes.iter().filter_map(|node| Key::parse(&node.id).ok().flatten());
            Some(around::find(&keys.collect::<Vec<_>>(), said)?)
        }
    };
    if args.physical {
        let most = match (args.full, output) {
            (false, _) => physical::READABLE,
            (true, Output::Drawing(_)) => physical::DRAWABLE,
            (true, Output::Data(_)) => usize::MAX,
        };
        let picture = physical::picture(source, around.as_ref(), most);
        return Ok(if drawing { fold::fold_hosts(picture) } else { picture });
    }
    let picture = match around {
        None => logical,
        Some(centre) => around::neighbourhood(logical, &centre.to_string(), args.depth.unwrap_or(DEPTH)),
    };
    Ok(if drawing { fold::fold(picture) } else { picture })
}
