//! The command line as a data structure: what can be said, in which words it is explained.

mod values;

pub use values::{EcmpHash, Label, List, Mtu, address};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::{net::IpAddr, path::PathBuf};
use tuplenet_model::{
    ecmp::EcmpField,
    entity::{NatKind, Patch},
    mac::Mac,
    name::Name,
};
use tuplenet_store::client::DEFAULT_ENDPOINT;
use values::{nat_kind, prefix, prefix_or_address, store_endpoints, store_prefix};

/// Make, change and look at a TupleNet network.
///
/// The network is kept in etcd, or in the embedded store ("tuplenet store"). A command is done as a whole, or refused with the reason and
/// nothing changed.
///
/// Exit code: 0 done, 1 refused or failed ("diff": there are differences; "trace": the packet did not arrive), 2 wrong usage.
#[derive(Parser, Debug)]
#[command(name = "tpctl", version, max_term_width = 120, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// A document, for the long help of `apply`.
const EXAMPLE: &str = "\
Example of a document (\"export\" prints one with everything in it):
  switches:
    LS-A:
      ports:
        vm1: 10.20.1.2, fd00:20:1::2
        vm2: {ips: [10.20.1.3], mac: 02:00:00:00:00:03, labels: {team: red}}
  routers:
    LR-central:
      links:
        LS-A: 10.20.1.1/24, fd00:20:1::1/64
      routes:
        default: {prefix: 0.0.0.0/0, next_hop: 10.20.1.2}
      nat:
        vm2: {type: floating, prefix: 10.20.1.3/32, xlate_ip: 203.0.113.7, distributed: true}";

/// What every command understands.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the store is: host:port, each with or without http:// or https://, separated by commas
    #[arg(short, long, global = true, value_name = "URLS", env = "TUPLENET_ENDPOINTS", default_value = DEFAULT_ENDPOINT,
          value_parser = store_endpoints)]
    pub endpoints: String,
    /// Under which key the network is kept
    #[arg(short, long, global = true, value_name = "P", env = "TUPLENET_PREFIX", default_value = "/tuplenet", value_parser = store_prefix)]
    pub prefix: String,
    /// How to print; "table" if left out, but for "trace" on a pipe: "text"
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
    /// Do not ask before deleting, or before making an edge
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// How many seconds to wait for the store (5 if left out), and for the hosts of a trace (3)
    #[arg(long, global = true, value_name = "S", env = "TUPLENET_TIMEOUT", hide_short_help = true,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
    /// User of the store; the password after a colon, in --password-file, or in the environment
    #[arg(long, global = true, value_name = "NAME", env = "TUPLENET_USER", hide_short_help = true)]
    pub user: Option<String>,
    /// File with the password of the user
    #[arg(long, global = true, value_name = "FILE", env = "TUPLENET_PASSWORD_FILE", hide_short_help = true)]
    pub password_file: Option<PathBuf>,
    /// Password of the user. Others on this machine see it in the list of processes: better use the environment
    #[arg(long, global = true, env = "TUPLENET_PASSWORD", hide_env_values = true, hide_short_help = true)]
    pub password: Option<String>,
    /// PEM file of the authority that signed the store's certificate
    #[arg(long, global = true, value_name = "FILE", env = "TUPLENET_CACERT", hide_short_help = true)]
    pub cacert: Option<PathBuf>,
    /// PEM file of our own certificate
    #[arg(long, global = true, value_name = "FILE", env = "TUPLENET_CERT", hide_short_help = true)]
    pub cert: Option<PathBuf>,
    /// PEM file of the key of our own certificate
    #[arg(long, global = true, value_name = "FILE", env = "TUPLENET_KEY", hide_short_help = true)]
    pub key: Option<PathBuf>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For both
    Yaml,
    /// One line a hop ("trace" only)
    Text,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Logical switches
    #[command(subcommand)]
    Ls(Ls),
    /// Logical routers, and their links to switches
    #[command(subcommand)]
    Lr(Lr),
    /// Ports of switches
    #[command(subcommand)]
    Lsp(Lsp),
    /// Ports of routers (made by "lr link")
    #[command(subcommand)]
    Lrp(Lrp),
    /// Static routes of routers
    #[command(subcommand)]
    Lsr(Lsr),
    /// NAT rules of routers
    #[command(subcommand)]
    Lnat(Lnat),
    /// Patch ports: they join a switch to a physical bridge of a chassis
    #[command(subcommand)]
    Patchport(Patchport),
    /// Edges: ways between the virtual and the physical network
    #[command(subcommand)]
    Edge(crate::commands::edge::Edge),
    /// Chassis: the hosts (registered by their agents)
    #[command(subcommand)]
    Ch(Ch),
    /// Make the network what a YAML document says
    ///
    /// What the document does not name is deleted, after asking; see it first with "diff". Ids and MACs may be left out: they stay as they
    /// are, or are allocated. A document with an unknown field, or of a network that would not be valid, changes nothing. A large change is
    /// made in several transactions, each of which leaves a valid network.
    #[command(after_long_help = EXAMPLE)]
    Apply(Document),
    /// Print the whole desired network as a YAML document, as "apply" takes it
    Export,
    /// Compare the network with a YAML document
    ///
    /// Prints what "apply" would do. Exit code 0: nothing, 1: something (or it failed, with a line on stderr).
    Diff(Document),
    /// List every object that agents set aside, with the reason
    ///
    /// Such an object comes to life when it is mended; all others are not harmed by it. Notes tell of what is valid and cannot work: an external
    /// address that a port has as well, a patch port whose host has no such bridge, an MTU that does not fit.
    Doctor,
    /// Show the state of store, chassis and network
    Status,
    /// Show the path of a packet: a real one through the hosts, or a simulated one
    ///
    /// The host that has the port sends a coloured packet, which goes the way of any other, and arrives; every host that it passes reports it. What
    /// is not said of the packet follows from the port: its addresses, its MAC, and the router that leads to the destination. The command ends as
    /// soon as it is known what became of the packet; a host that says nothing is waited for (--timeout), and named. Where a router has several next
    /// hops for the packet, it says which one was taken and what is known of each.
    Trace(crate::commands::trace::Args),
    /// Say why: of a flow, an object, a drop, or of two ports that do not reach each other
    Explain(crate::commands::explain::Args),
    /// Draw the network
    Graph(crate::commands::graph::Args),
    /// Print the completion for a shell
    #[command(hide = true)]
    Completion {
        /// For which
        shell: clap_complete::Shell,
    },
    /// Write the man pages
    #[command(hide = true)]
    Man {
        /// Where to; made if it does not exist
        dir: PathBuf,
    },
}

/// What to call the thing for people.
#[derive(Args, Debug, Default)]
pub struct Meta {
    /// Free text
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// A label; may be repeated
    #[arg(long = "label", value_name = "K=V", action = ArgAction::Append)]
    pub labels: Vec<Label>,
}

/// What to change of that.
#[derive(Args, Debug, Default)]
pub struct MetaEdit {
    #[command(flatten)]
    pub set: Meta,
    /// Remove a label; may be repeated
    #[arg(long = "unlabel", value_name = "K", action = ArgAction::Append)]
    pub unlabel: Vec<String>,
}

/// `ls ...`
#[derive(Subcommand, Debug)]
pub enum Ls {
    /// Add a switch
    Add {
        /// Name of the new switch
        ls: Name,
        /// Deliver broadcast and multicast to every port (ARP and ND are answered without)
        #[arg(long)]
        flood: bool,
        /// The largest IP packet that routers send into it, 1280 to 65535 bytes; auto, or left out: what its hosts can carry
        #[arg(long, value_name = "BYTES|auto")]
        mtu: Option<Mtu>,
        #[command(flatten)]
        meta: Meta,
    },
    /// Delete a switch
    Del {
        /// The switch
        ls: Name,
        /// Also its ports, and its links with the routes through them
        #[arg(short, long)]
        recursive: bool,
    },
    /// Show one switch or all
    Show {
        /// The switch; all if left out
        ls: Option<Name>,
    },
    /// Change a switch
    Set {
        /// The switch
        ls: Name,
        /// Deliver broadcast and multicast to every port, or (--flood=false) not
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
        flood: Option<bool>,
        /// The largest IP packet that routers send into it, 1280 to 65535 bytes; auto: what its hosts can carry
        #[arg(long, value_name = "BYTES|auto")]
        mtu: Option<Mtu>,
        #[command(flatten)]
        meta: MetaEdit,
    },
}

/// `lr ...`
#[derive(Subcommand, Debug)]
pub enum Lr {
    /// Add a router
    Add {
        /// Name of the new router
        lr: Name,
        /// Pin it to this chassis; otherwise it is on every host that needs it
        chassis: Option<Name>,
        /// By what it chooses among static routes of equal prefix: some of nw_src,nw_dst,ip_proto,l4_src,l4_dst [default: all but ip_proto]
        #[arg(long, value_name = "FIELDS")]
        ecmp_hash: Option<List<EcmpField>>,
        #[command(flatten)]
        meta: Meta,
    },
    /// Delete a router
    Del {
        /// The router
        lr: Name,
        /// Also its ports, links and routes
        #[arg(short, long)]
        recursive: bool,
    },
    /// Show one router or all
    Show {
        /// The router; all if left out
        lr: Option<Name>,
    },
    /// Change a router
    Set {
        /// The router
        lr: Name,
        /// Pin it to this chassis
        #[arg(long, conflicts_with = "distributed")]
        chassis: Option<Name>,
        /// Have it on every host that needs it
        #[arg(long)]
        distributed: bool,
        /// By what it chooses among static routes of equal prefix: some of nw_src,nw_dst,ip_proto,l4_src,l4_dst, or default, which is all but ip_proto
        #[arg(long, value_name = "FIELDS")]
        ecmp_hash: Option<EcmpHash>,
        #[command(flatten)]
        meta: MetaEdit,
    },
    /// Join a router and a switch: makes the ports LR_to_LS and LS_to_LR
    Link {
        /// The router
        lr: Name,
        /// The switch
        ls: Name,
        /// The router's address in the switch's network, with its prefix length; one a family
        #[arg(value_name = "CIDR[,CIDR6]")]
        nets: List<IpNet>,
        /// Made from the address if left out
        mac: Option<Mac>,
        #[command(flatten)]
        meta: Meta,
    },
    /// Take a router and a switch apart
    Unlink {
        /// The router
        lr: Name,
        /// The switch
        ls: Name,
        /// Also the routes through the link
        #[arg(short, long)]
        recursive: bool,
    },
}

/// `lsp ...`
#[derive(Subcommand, Debug)]
pub enum Lsp {
    /// Add a port to a switch
    Add {
        /// The switch
        ls: Name,
        /// Name of the new port
        lsp: Name,
        /// Its addresses
        #[arg(value_name = "IP[,IP6]")]
        ips: List<IpAddr>,
        /// Made from the address if left out
        mac: Option<Mac>,
        #[command(flatten)]
        meta: Meta,
    },
    /// Delete a port
    Del {
        /// The switch
        ls: Name,
        /// The port
        lsp: Name,
    },
    /// Show one port or all of a switch
    Show {
        /// The switch
        ls: Name,
        /// The port; all of the switch if left out
        lsp: Option<Name>,
    },
    /// Change a port
    Set {
        /// The switch
        ls: Name,
        /// The port
        lsp: Name,
        /// Its addresses. A MAC that was made from the old ones is made from the new ones
        #[arg(long = "ip", value_name = "IP[,IP6]")]
        ips: Option<List<IpAddr>>,
        /// Its MAC
        #[arg(long)]
        mac: Option<Mac>,
        #[command(flatten)]
        meta: MetaEdit,
    },
}

/// `lrp ...`
#[derive(Subcommand, Debug)]
pub enum Lrp {
    /// Show one port or all of a router
    Show {
        /// The router
        lr: Name,
        /// The port; all of the router if left out
        lrp: Option<Name>,
    },
}

/// `lsr ...`
#[derive(Subcommand, Debug)]
pub enum Lsr {
    /// Add a static route to a router
    Add {
        /// The router
        lr: Name,
        /// Name of the new route
        name: Name,
        /// Which destinations it serves, such as 0.0.0.0/0
        #[arg(id = "destinations", value_name = "PREFIX", value_parser = prefix)]
        prefix: IpNet,
        /// The neighbour to send them to, in a network of OUTPORT
        #[arg(value_parser = address)]
        next_hop: IpAddr,
        /// The router's port that leads there
        outport: Name,
        #[command(flatten)]
        meta: Meta,
    },
    /// Delete a static route
    Del {
        /// The router
        lr: Name,
        /// The route
        name: Name,
    },
    /// Show one static route or all of a router
    Show {
        /// The router
        lr: Name,
        /// The route; all of the router if left out
        name: Option<Name>,
    },
}

/// `lnat ...`
#[derive(Subcommand, Debug)]
pub enum Lnat {
    /// Add a NAT rule to a router
    ///
    /// It applies where the router meets an outside network: at its ports on switches that have a patch port. There one router answers for an
    /// address: what another one or a port has, on the switch or by a bridge of the same name and VLAN, is refused.
    Add {
        /// The router
        lr: Name,
        /// Name of the new rule
        name: Name,
        /// snat: the inner network; dnat: the external address; floating: the inner address
        #[arg(id = "what", value_name = "PREFIX", value_parser = prefix_or_address)]
        prefix: IpNet,
        /// snat: many inner addresses go out by one; dnat: what comes for an external address goes to an inner one; floating: both, one to one
        #[arg(id = "type", value_name = "TYPE", value_parser = nat_kind())]
        kind: NatKind,
        /// snat and floating: the external address; dnat: the inner one
        #[arg(value_parser = address)]
        xlate_ip: IpAddr,
        /// Translate at the host that has the inner address (floating only)
        #[arg(long)]
        distributed: bool,
        #[command(flatten)]
        meta: Meta,
    },
    /// Delete a NAT rule
    Del {
        /// The router
        lr: Name,
        /// The rule
        name: Name,
    },
    /// Show one NAT rule or all of a router
    Show {
        /// The router
        lr: Name,
        /// The rule; all of the router if left out
        name: Option<Name>,
    },
}

/// `patchport ...`
#[derive(Subcommand, Debug)]
pub enum Patchport {
    /// Join a switch to a bridge of a chassis ("lsp show" shows it)
    Add {
        /// The switch
        ls: Name,
        /// Name of the new port
        port: Name,
        /// The host
        chassis: Name,
        /// The bridge there, of Open vSwitch, that has the physical port
        bridge: Name,
        /// The VLAN that frames have there; untagged if left out
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(Patch::MAX_VLAN)))]
        vlan: Option<u16>,
        #[command(flatten)]
        meta: Meta,
    },
    /// Take a switch and a bridge apart
    Del {
        /// The switch
        ls: Name,
        /// The patch port
        port: Name,
    },
}

/// `ch ...`
#[derive(Subcommand, Debug)]
pub enum Ch {
    /// Show one chassis or all
    Show {
        /// The chassis; all if left out
        chassis: Option<Name>,
    },
    /// Delete a chassis that is gone, with what is left of it
    ///
    /// The bindings of the ports that it hosted go as well. An agent that still runs there registers it again.
    Del {
        /// The chassis
        chassis: Name,
    },
}

/// Where the document is.
#[derive(Args, Debug)]
pub struct Document {
    /// The document; "-" reads it from standard input
    #[arg(short, long)]
    pub file: PathBuf,
}
