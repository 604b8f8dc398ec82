//! `edge`: ways between the virtual and the physical network, made and taken away as a whole.

use super::{Context, bfd::Sessions, chassis::alive, commas, printable};
use crate::{
    ask,
    cli::{List, address},
    print::{self, View},
};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};
use tuplenet_model::{
    edge::{self, NewEdge},
    entity::Patch,
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_store::network::{Change, EdgePlan, NetworkError, words};

/// How often an edge that nobody was asked about is planned anew when somebody changes the network at the same moment.
const PLANS: u32 = 8;

/// `edge ...`
#[derive(Subcommand, Debug)]
pub enum Edge {
    /// Make the first edge: a pinned router, a switch outside with a patch port, a switch inside, links, routes both ways
    ///
    /// The router behind it is LR-central, or the only one that is not pinned; LR-central is made if there is none. All that is made has the label
    /// tpctl.edge=EDGE, and is shown before it is made.
    Init(Init),
    /// Make another edge beside those that are there, for the same networks
    Add(Add),
    /// Take an edge away, with all that was made for it and all that was added to its router and switches
    Remove {
        /// The edge's address in the physical network
        #[arg(long, value_name = "CIDR", value_parser = vip)]
        vip: IpAddr,
    },
    /// Show all edges, those too that were made by hand
    Show {
        /// Show the neighbours outside that each host has learned, instead
        #[arg(long)]
        neighbours: bool,
    },
}

/// Where an edge is.
#[derive(Args, Debug)]
pub struct Place {
    /// The host
    #[arg(long, value_name = "C")]
    chassis: Name,
    /// Its bridge of Open vSwitch that has the physical port
    #[arg(long, value_name = "BR")]
    bridge: Name,
    /// The VLAN that frames have there; untagged if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(Patch::MAX_VLAN)))]
    vlan: Option<u16>,
    /// The edge's own address in the physical network, with the prefix length; one a family
    #[arg(long, value_name = "CIDR[,CIDR6]")]
    vip: List<IpNet>,
    /// The address that virtual ones leave as; as themselves if left out; one a family
    #[arg(long, value_name = "IP[,IP6]")]
    snat: Option<List<IpAddr>>,
    /// The router behind the edge
    #[arg(long, value_name = "LR")]
    router: Option<Name>,
}

/// `edge init`
#[derive(Args, Debug)]
pub struct Init {
    #[command(flatten)]
    place: Place,
    /// The virtual networks that are reached through it
    #[arg(long, value_name = "CIDR[,CIDR6]")]
    virt: List<IpNet>,
    /// The next hop in the physical network; one a family
    #[arg(long, value_name = "IP[,IP6]")]
    ext_gw: List<IpAddr>,
    /// Where the inner networks between the edges and the router are cut from; one a family; 100.64.88.0/24,fd00:64:88::/64 if left out
    #[arg(long, value_name = "CIDR[,CIDR6]")]
    inner: Option<List<IpNet>>,
}

/// `edge add`
#[derive(Args, Debug)]
pub struct Add {
    #[command(flatten)]
    place: Place,
    /// The virtual networks that are reached through it; those of the other edges if left out
    #[arg(long, value_name = "CIDR[,CIDR6]")]
    virt: Option<List<IpNet>>,
    /// The next hop in the physical network; that of the other edges if left out
    #[arg(long, value_name = "IP[,IP6]")]
    ext_gw: Option<List<IpAddr>>,
}

fn vip(text: &str) -> Result<IpAddr, String> {
    text.parse::<IpNet>().map(|net| net.addr()).or_else(|_| address(text))
}

fn all<T>(list: Option<List<T>>) -> Vec<T> {
    list.map(|list| list.0).unwrap_or_default()
}

impl Place {
    fn edge(self, virts: Vec<IpNet>, gateways: Vec<IpAddr>, inners: Vec<IpNet>) -> NewEdge {
        let patch = Patch { chassis: self.chassis, bridge: self.bridge, vlan: self.vlan };
        NewEdge { central: self.router, patch, vips: self.vip.0, virts, gateways, inners, snats: all(self.snat) }
    }
}

/// `tpctl edge ...`
pub async fn edge(context: &Context, command: Edge) -> Result<()> {
    match command {
        Edge::Init(Init { place, virt, ext_gw, inner }) => {
            let new = place.edge(virt.0, ext_gw.0, all(inner));
            if let Some(edge) = made(context, new.central.as_ref()).await?.first() {
                let central = commas(&edge.central);
                bail!(
                    "router {central} has the edge {} already: make another beside it with \"tpctl edge add\"",
                    edge.router
                );
            }
            make(context, &new).await
        }
        Edge::Add(Add { place, virt, ext_gw }) => {
            let edges = made(context, place.router.as_ref()).await?;
            if edges.is_empty() {
                bail!("there is no edge yet: make the first with \"tpctl edge init\"");
            }
            let central: BTreeSet<&Name> = edges.iter().flat_map(|edge| &edge.central).collect();
            if central.len() > 1 {
                bail!("several routers have edges ({}): say which with --router", commas(central));
            }
            let router = place.router.clone().or_else(|| central.into_iter().next().cloned());
            // For each family that this edge has, what the first edge has that has it too.
            let families: BTreeSet<bool> = place.vip.0.iter().map(|net| net.addr().is_ipv4()).collect();
            let (mut virts, mut gateways, mut inners) = (all(virt), all(ext_gw), Vec::new());
            let (own_virts, own_gateways) = (!virts.is_empty(), !gateways.is_empty());
            for v4 in families {
                let other = |edge: &&edge::Edge| edge.vips.iter().any(|net| net.addr().is_ipv4() == v4);
                let Some(other) = edges.iter().find(other) else { continue };
                let of = |net: &&IpNet| net.addr().is_ipv4() == v4;
                inners.extend(other.inners.iter().filter(of));
                if !own_virts {
                    virts.extend(other.virts.iter().filter(of));
                }
                if !own_gateways {
                    gateways.extend(other.gateways.iter().filter(|ip| ip.is_ipv4() == v4));
                }
            }
            let new = Place { router, ..place }.edge(virts, gateways, inners);
            make(context, &new).await
        }
        Edge::Remove { vip } => {
            for attempt in 1.. {
                let plan = context.store.plan_edge_removal(vip).await?;
                let parts: Vec<String> = plan.changes().iter().map(|change| words(&change.key)).collect();
                ask::confirm(context.yes, &format!("edge {}", plan.edge), &parts)?;
                if once(context, &plan, attempt).await? {
                    let sentence = format!("edge {} removed, {}", plan.edge, objects(parts.len()));
                    return print::done(context.format, &sentence, &json!({"edge": plan.edge, "deleted": parts}));
                }
            }
            Ok(())
        }
        Edge::Show { neighbours: false } => show(context).await,
        Edge::Show { neighbours: true } => neighbours(context).await,
    }
}

/// The edges that were made here, of that router or of all.
async fn made(context: &Context, central: Option<&Name>) -> Result<Vec<edge::Edge>> {
    let ours = |edge: &edge::Edge| edge.made && central.is_none_or(|central| edge.central.contains(central));
    Ok(context.store.edges().await?.into_iter().filter(ours).collect())
}

async fn make(context: &Context, new: &NewEdge) -> Result<()> {
    for attempt in 1.. {
        let plan = context.store.plan_edge(new).await?;
        let parts: Vec<String> = plan.changes().iter().map(part).collect();
        ask::confirm_making(context.yes, &format!("edge {}", plan.edge), &parts)?;
        if once(context, &plan, attempt).await? {
            let keys: Vec<String> = plan.changes().iter().map(|change| change.key.to_string()).collect();
            let sentence = format!("edge {} made, {}", plan.edge, objects(keys.len()));
            return print::done(context.format, &sentence, &json!({"edge": plan.edge, "added": keys}));
        }
    }
    Ok(())
}

/// Whether it was made; not if somebody changed the network meanwhile and nobody was asked about it.
async fn once(context: &Context, plan: &EdgePlan, attempt: u32) -> Result<bool> {
    match context.store.make_edge(plan).await {
        Ok(()) => Ok(true),
        Err(NetworkError::Conflict(_)) if context.yes && attempt < PLANS => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn objects(number: usize) -> String {
    print::count(number, "object", "objects")
}

/// A new object in words, with what matters of it.
fn part(change: &Change) -> String {
    let detail = match (&change.key, &change.new) {
        (_, Some(Object::Ls(ls))) => format!("id {}", ls.id),
        (_, Some(Object::Lr(lr))) => match &lr.chassis {
            Some(chassis) => format!("id {}, pinned to {chassis}", lr.id),
            None => format!("id {}, distributed", lr.id),
        },
        (_, Some(Object::Lsp(port))) => match (&port.patch, &port.peer) {
            (Some(patch), _) => format!("a patch to {patch}"),
            (None, Some(peer)) => format!("linked to router {}", peer.lr),
            (None, None) => commas(&port.ips),
        },
        (_, Some(Object::Lrp(port))) => format!("{}, linked to switch {}", commas(&port.nets), peer(port)),
        (_, Some(Object::Lsr(route))) => format!("{} by {}", route.prefix, route.next_hop),
        (Key::Lnat(..), Some(Object::Lnat(rule))) => super::nat::words(rule),
        _ => return words(&change.key),
    };
    format!("{}: {detail}", words(&change.key))
}

fn peer(port: &tuplenet_model::entity::RouterPort) -> &str {
    port.peer.as_ref().map(|peer| peer.ls.as_str()).unwrap_or_default()
}

/// `status/<chassis>/neighbour/<ls>/<ip>`, as agents keep them.
async fn neighbours(context: &Context) -> Result<()> {
    const COLUMNS: [&str; 5] = ["CHASSIS", "SWITCH", "ADDRESS", "MAC", "SEEN"];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (status, _) = context.store.list("status/").await?;
    let rows = status.iter().filter_map(|kv| {
        let ["status", chassis, "neighbour", ls, ip] = context.store.path(&kv.key).split('/').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let value: Value = serde_json::from_slice(&kv.value).unwrap_or_default();
        let mac = value.get("mac").and_then(Value::as_str).unwrap_or_default().to_owned();
        let seen = value.get("seen").and_then(Value::as_u64);
        let ago = seen.map(|seen| format!("{} s ago", now.saturating_sub(seen))).unwrap_or_default();
        let data = json!({"chassis": chassis, "ls": ls, "ip": ip, "mac": mac, "seen": seen});
        Some((vec![chassis.to_owned(), ls.to_owned(), ip.to_owned(), mac, ago], data))
    });
    View::list(&COLUMNS, rows).print(context.format)
}

async fn show(context: &Context) -> Result<()> {
    const COLUMNS: [&str; 10] =
        ["EDGE", "CHASSIS", "AGENT", "BFD", "BRIDGE", "VIP", "GATEWAY", "VIRTUAL", "SNAT", "ROUTER"];
    let edges = context.store.edges().await?;
    let alive = alive(context).await?;
    let (status, _) = context.store.list("status/").await?;
    let sessions = Sessions::read(context, &status);
    let rows = edges.into_iter().map(|edge| {
        let up = alive.contains_key(edge.chassis.as_str());
        let bridge = match &edge.patch {
            Some(Patch { bridge, vlan: Some(vlan), .. }) => format!("{bridge}, VLAN {vlan}"),
            Some(patch) => patch.bridge.to_string(),
            None => String::new(),
        };
        let cells = vec![
            edge.router.to_string(),
            edge.chassis.to_string(),
            if up { "alive" } else { "silent" }.to_owned(),
            printable(&sessions.seen(&edge.chassis)),
            printable(&bridge),
            commas(&edge.vips),
            commas(&edge.gateways),
            commas(&edge.virts),
            commas(&edge.snats),
            commas(&edge.central),
        ];
        let data: Value = json!({
            "edge": edge.router, "chassis": edge.chassis, "alive": up, "outside": edge.outside,
            "bridge": edge.patch.as_ref().map(|patch| &patch.bridge), "vlan": edge.patch.as_ref().and_then(|patch| patch.vlan),
            "vip": edge.vips, "ext_gw": edge.gateways, "virt": edge.virts, "snat": edge.snats, "routers": edge.central,
            "inner": edge.inners, "made": edge.made,
            "withdrawn": sessions.withdrawn(&edge.chassis).map(|session| &session.why),
            "bfd": sessions.of(&edge.chassis)
                .map(|s| json!({"by": s.by, "state": s.state, "why": s.why, "since": s.since}))
                .collect::<Vec<_>>(),
        });
        (cells, data)
    });
    View::list(&COLUMNS, rows).print(context.format)
}
