//! `explain`: why. Of a flow, of a drop, of an object, of two ports that do not reach each other.
//!
//! Nothing is asked of any host: a cookie names the rule and the object, and the very rules that agents run say the rest.

mod current;
mod drops;
mod flow;
mod host;
mod idle;
mod line;
mod matching;
mod object;
mod reach;
mod report;
mod resolve;
mod rules;
mod stages;
mod subject;
#[cfg(test)]
mod tests;
mod traced;
mod verbs;
mod world;

use super::Context;
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;
use tuplenet_model::name::Name;

/// `tpctl explain ...`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

/// Examples, for the long help of `explain flow`.
const FLOW: &str = "\
Examples:
  tpctl explain flow 0x5408000001000002
  tpctl explain flow 'cookie=0x5408000001000002, table=17, n_packets=12, priority=100,metadata=0x1,dl_dst=f2:01:0a:14:01:02 actions=...'
  ovs-ofctl -O OpenFlow15 dump-flows br-int table=57 | tpctl explain flow - --chassis hv1
  ovs-appctl ofproto/trace br-int 'in_port=3,ip,...' | tpctl explain flow -";

/// Examples, for the long help of `explain drop`.
const DROP: &str = "\
Examples:
  tpctl explain drop                                  every way to end, by stage
  tpctl explain drop LRP_INGRESS_IP_ROUTE
  ovs-ofctl -O OpenFlow15 dump-flows br-int | grep -E 'actions=drop|userdata=03' | tpctl explain drop -";

/// Examples, for the long help of `explain object`.
const OBJECT: &str = "\
Examples:
  tpctl explain object lr/central/lsr/default
  tpctl explain object route central default          the same
  tpctl explain object lsp web web1 --chassis hv1
  tpctl explain object web1                           if nothing else has that name";

/// Examples, for the long help of `explain reach`.
const REACH: &str = "\
Examples:
  tpctl explain reach web1 db1
  tpctl explain reach web/web1 db/db1 --tcp 5432
  tpctl explain reach web1 10.9.9.9                   an address rather than a port";

/// What to explain.
#[derive(Subcommand, Debug)]
enum What {
    /// Of a flow: which rule made it, for which objects, what it matches and does
    ///
    /// TEXT is a line of "ovs-ofctl dump-flows" or a cookie alone; "-" reads such lines, or what "ovs-appctl ofproto/trace" prints, from
    /// standard input.
    #[command(after_long_help = FLOW)]
    Flow {
        /// A line of "ovs-ofctl dump-flows", or a cookie (0x...); "-": lines from standard input
        #[arg(required = true, value_name = "TEXT")]
        text: Vec<String>,
        /// Say also whether this host should have the flow now
        #[arg(long)]
        chassis: Option<Name>,
    },
    /// Of packets that end: which kinds end there and why, and what to look at next
    ///
    /// Every stage that ends packets counts them in a flow: give its stage (a name or a table's number), its cookie, or its line of "ovs-ofctl
    /// dump-flows". Without anything: all ways to end.
    #[command(after_long_help = DROP)]
    Drop {
        /// A stage, a cookie, or a line of "ovs-ofctl dump-flows"; "-": lines from standard input
        #[arg(value_name = "STAGE|COOKIE|LINE")]
        text: Vec<String>,
    },
    /// Of an object of the network: which flows exist because of it, on which hosts
    ///
    /// The rules are asked, host by host, what would change if the object were not there; of many hosts, name one with --chassis to have the answer
    /// sooner. Exit code 1 if there is no such object.
    #[command(after_long_help = OBJECT)]
    Object {
        /// Its path in the store (lr/LR/lsr/ROUTE), its kind and names (route LR ROUTE), or a name that no other object has
        #[arg(required = true, value_name = "KEY")]
        object: Vec<String>,
        /// Only on this host
        #[arg(long)]
        chassis: Option<Name>,
        /// Only how many flows, not which
        #[arg(long)]
        summary: bool,
    },
    /// Of two ports: whether packets get there and back, or the first thing that is missing
    ///
    /// Exit code 0: they do, in each address family that both have; 1: they do not, or it is not certain, since the agent of a host is silent.
    #[command(after_long_help = REACH)]
    Reach(reach::Args),
}

/// Does it.
pub async fn explain(context: &Context, args: Args) -> Result<ExitCode> {
    match args.what {
        What::Flow { text, chassis } => flow::explain(context, &text, chassis.as_ref()).await?,
        What::Drop { text } => drops::explain(context, &text).await?,
        What::Object { object, chassis, summary } => {
            object::explain(context, &object, chassis.as_ref(), summary).await?;
        }
        What::Reach(args) => return reach::explain(context, &args).await,
    }
    Ok(ExitCode::SUCCESS)
}
