//! One direction: what the sender does, and what becomes of its packets.

use super::{
    Missing,
    ends::{self, End},
    seen::{arrival, arrives, asked_outside, circle, failure, passed},
};
use crate::commands::{
    explain::{stages, world::World},
    ways::{self, Choice},
};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};
use tuplenet_model::{key::Key, mac::Mac, name::Name};
use tuplenet_rules::stage;
use tuplenet_sim::{
    network::Network,
    packet::Packet,
    path::{Outcome, Path},
    probe::{Probe, What},
};

/// TTL and hop limit of what people's machines send.
const TTL: u8 = 64;
/// The hop limit that neighbour discovery needs (RFC 4861, section 7.1.1).
const NEIGHBOUR_TTL: u8 = 255;

/// A packet's way, and what is missing on it.
pub struct Way {
    /// "there" or "back".
    pub direction: &'static str,
    /// The sender's address.
    pub src: IpAddr,
    /// The receiver's address.
    pub dst: IpAddr,
    /// The router that the sender gives it to; `None`: it is a neighbour.
    pub gateway: Option<String>,
    /// `None`: it arrives.
    pub missing: Option<Missing>,
    /// Why it may not arrive, although nothing is missing.
    pub doubt: Option<Missing>,
    /// Where it arrives, in words.
    pub arrival: String,
    /// As far as it got.
    pub path: Path,
    /// Where that was one of several ways.
    pub choices: Vec<Choice>,
}

impl Way {
    /// "IPv4" or "IPv6".
    pub fn family(&self) -> &'static str {
        if self.src.is_ipv4() { "IPv4" } else { "IPv6" }
    }
}

/// Whom the sender gives the packet to.
#[derive(Clone, Debug)]
struct Next {
    /// The address that it asks the MAC of.
    ip: IpAddr,
    mac: Mac,
    router: Option<Name>,
}

/// Walks what one end sends to the other.
pub fn walk(
    world: &World,
    network: &mut Network,
    (from, src): (&End, IpAddr),
    (to, dst): (&End, IpAddr),
    what: What,
    direction: &'static str,
) -> Way {
    let mut way = Way {
        direction,
        src,
        dst,
        gateway: None,
        missing: None,
        doubt: None,
        arrival: String::new(),
        path: Path::default(),
        choices: Vec::new(),
    };
    let End::Port { ls, lsp, .. } = from else { return way };
    let hops = match next_hops(world, ls, src, to, dst) {
        Ok(hops) => hops,
        Err(missing) => return Way { missing: Some(missing), ..way },
    };
    // Which of several gateways a VM was given nobody here knows: one that leads there will do.
    let mut first: Option<Way> = None;
    for hop in hops {
        way.gateway = hop.router.as_ref().map(Name::to_string);
        let tried = Walker { world, network: &mut *network, ls, lsp, src }.send(&hop, to, dst, what);
        let tried = match tried {
            Ok((path, missing)) => {
                let doubt = silent(world, &path).or_else(|| unheard(&path));
                let mut choices = ways::choices(&world.network, &path.hops, dst);
                choices.iter_mut().for_each(|choice| choice.ask(&world.sessions));
                Way { arrival: arrival(&path), path, choices, missing, doubt, ..way.clone_head() }
            }
            Err(error) => Way {
                missing: Some(Missing::new(error, "see \"tpctl doctor\" and \"tpctl status\"")),
                ..way.clone_head()
            },
        };
        if tried.missing.is_none() {
            return tried;
        }
        first.get_or_insert(tried);
    }
    first.unwrap_or(way)
}

impl Way {
    fn clone_head(&self) -> Way {
        let Way { direction, src, dst, ref gateway, .. } = *self;
        Way {
            direction,
            src,
            dst,
            gateway: gateway.clone(),
            missing: None,
            doubt: None,
            arrival: String::new(),
            path: Path::default(),
            choices: Vec::new(),
        }
    }
}

/// To whom a VM gives a packet: to the receiver, if its network holds both addresses, else to a router that has an address in its network.
fn next_hops(world: &World, ls: &Name, src: IpAddr, to: &End, dst: IpAddr) -> Result<Vec<Next>, Missing> {
    let links: Vec<(Name, Name, Mac, Vec<IpNet>)> = world
        .network
        .switch_ports(ls)
        .filter_map(|(_, port)| {
            let peer = port.peer.as_ref()?;
            let far = world.network.router_port(peer)?;
            Some((peer.lr.clone(), peer.lrp.clone(), port.mac?, far.nets.clone()))
        })
        .collect();
    let same_switch = matches!(to, End::Port { ls: other, .. } if other == ls);
    let gateways: Vec<Next> = links
        .iter()
        .flat_map(|(lr, _, mac, nets)| nets.iter().map(move |net| (lr, *mac, net)))
        .filter(|(_, _, net)| net.contains(&src))
        .map(|(lr, mac, net)| Next { ip: net.addr(), mac, router: Some(lr.clone()) })
        .collect();
    let on_link = links.iter().flat_map(|(.., nets)| nets).any(|net| net.contains(&src) && net.contains(&dst));
    if same_switch && (on_link || gateways.is_empty()) {
        let mac = to.switch_port(world).and_then(|port| port.mac);
        return mac
            .map(|mac| vec![Next { ip: dst, mac, router: None }])
            .ok_or_else(|| Missing::new(format!("nobody has {dst}"), ""));
    }
    if on_link {
        let net = links.iter().flat_map(|(.., nets)| nets).find(|net| net.contains(&src) && net.contains(&dst));
        let net = net.map(|net| net.trunc().to_string()).unwrap_or_default();
        return Err(match to {
            End::Port { ls: other, .. } => Missing::new(
                format!(
                    "{src} takes {dst} for a neighbour, since {net} is the network of switch {ls}, and asks there for its MAC; but {} is in \
                     switch {other}, and a router is not asked",
                    to.words()
                ),
                format!("give the port an address of switch {other}'s network, or move it to switch {ls}"),
            ),
            End::Address(_) => Missing::new(
                format!(
                    "{dst} is in the network {net} of switch {ls}, and no port there has it: nobody answers who asks for its MAC"
                ),
                format!(
                    "\"tpctl lsp show {ls}\" lists the ports and their addresses; \"tpctl lsp add {ls} NAME {dst}\" adds one"
                ),
            ),
        });
    }
    if links.is_empty() {
        return Err(Missing::new(
            format!("switch {ls} has no router: packets do not leave it"),
            format!("\"tpctl lr link LR {ls} CIDR\" links one"),
        ));
    }
    if gateways.is_empty() {
        let nets: Vec<String> = links
            .iter()
            .flat_map(|(lr, _, _, nets)| nets.iter().map(move |net| format!("{net} of router {lr}")))
            .collect();
        return Err(Missing::new(
            format!(
                "{src} has no gateway: of the routers' addresses on switch {ls} none has it in its network ({})",
                nets.join(", ")
            ),
            format!("\"tpctl lr link LR {ls} CIDR\" links a router with an address in the network of {src}"),
        ));
    }
    if let Some(missing) = set_aside(world, ls, &links) {
        return Err(missing);
    }
    Ok(gateways)
}

/// A link of which one end, or the router, is set aside: it is as if it were not there.
fn set_aside(world: &World, ls: &Name, links: &[(Name, Name, Mac, Vec<IpNet>)]) -> Option<Missing> {
    let mut broken = Vec::new();
    for (lr, lrp, ..) in links {
        let near = world
            .network
            .switch_ports(ls)
            .filter(|(_, port)| port.peer.as_ref().is_some_and(|p| p.lr == *lr && p.lrp == *lrp));
        let near = near.map(|(lsp, _)| Key::Lsp(ls.clone(), lsp.clone()));
        let keys = [Key::Lr(lr.clone()), Key::Lrp(lr.clone(), lrp.clone())].into_iter().chain(near);
        broken.extend(keys.filter_map(|key| Some(format!("{key} is set aside: {}", world.why_aside(&key)?))).next());
    }
    // One that works will do.
    (broken.len() == links.len()).then(|| {
        Missing::new(
            format!("switch {ls} has no router in force: {}", broken.join("; ")),
            "mend it; \"tpctl doctor\" lists all such objects",
        )
    })
}

struct Walker<'a> {
    world: &'a World,
    network: &'a mut Network,
    ls: &'a Name,
    lsp: &'a Name,
    src: IpAddr,
}

impl Walker<'_> {
    /// Asks for the MAC, then sends the packet.
    fn send(&mut self, hop: &Next, to: &End, dst: IpAddr, what: What) -> Result<(Path, Option<Missing>), String> {
        let asked = self.ask(hop)?;
        if !self.answered(&asked) {
            let whose = hop.router.as_ref().map_or(String::new(), |lr| format!(", the address of router {lr}"));
            let why = failure(&asked).map(|why| format!(": {why}")).unwrap_or_default();
            let kind = if hop.ip.is_ipv4() { "ARP request" } else { "neighbour solicitation" };
            let what = format!("nobody answers the {kind} of {} for {}{whose}{why}", self.src, hop.ip);
            let remedy = self.look_at(&asked, hop.ip);
            return Ok((asked, Some(Missing::new(what, remedy))));
        }
        let path = self.walk(hop.mac, dst, TTL, what)?;
        let there = match to {
            // A router's own address answers at once: the answer is what comes back.
            End::Port { ls, lsp, .. } if to.is_guest(self.world) => arrives(&path, ls, lsp),
            End::Port { .. } => self.answered(&path),
            End::Address(_) => path
                .outcomes
                .iter()
                .any(|outcome| matches!(outcome, Outcome::Delivered { .. } | Outcome::Untunnelled { .. })),
        };
        if !there {
            let ended = failure(&path).unwrap_or_else(|| "the packet ended without a trace".to_owned());
            let what = match circle(&path) {
                Some(routers) => format!("{routers} send it round in a circle, until {ended}"),
                None => ended,
            };
            // The host on the way asks for it; whether anybody answers nobody knows here.
            if matches!(to, End::Address(_)) && asked_outside(&path) {
                let unknown = self.unregistered(&path);
                return Ok((path, unknown));
            }
            let remedy = self.look_at(&path, dst);
            return Ok((path, Some(Missing::new(what, remedy))));
        }
        let unknown = self.unregistered(&path);
        Ok((path, unknown))
    }

    /// Whether a router has that address.
    fn is_router(&self, ip: IpAddr) -> bool {
        let network = &self.world.network;
        let mut ports = network.routers().flat_map(|(lr, _)| network.router_ports(lr));
        ports.any(|(_, port)| port.nets.iter().any(|net| net.addr() == ip))
    }

    /// Whether an answer that was made on the way came back.
    fn answered(&self, path: &Path) -> bool {
        path.outcomes.iter().any(|outcome| {
            matches!(outcome, Outcome::Answered { ls, lsp, .. } if ls == self.ls.as_str() && lsp == self.lsp.as_str())
        })
    }

    fn ask(&mut self, hop: &Next) -> Result<Path, String> {
        match hop.ip {
            IpAddr::V4(_) => self.walk(Mac([0xff; 6]), hop.ip, TTL, What::Arp),
            // The solicited-node group (RFC 4291, section 2.7.1).
            IpAddr::V6(ip) => self.walk(solicited(ip), hop.ip, NEIGHBOUR_TTL, What::Nd),
        }
    }

    fn walk(&mut self, eth_dst: Mac, dst: IpAddr, ttl: u8, what: What) -> Result<Path, String> {
        let Some(port) = self.world.switch_port(self.ls, self.lsp) else { return Err("the port is gone".to_owned()) };
        let probe = Probe { eth_src: port.mac_or_zero(), eth_dst, src: self.src, dst, ttl, what, size: None };
        let frame = probe.to_bytes().map_err(|error| error.to_string())?;
        let packet = Packet::parse(&frame).map_err(|error| error.to_string())?;
        self.network.walk(self.ls, self.lsp, packet).map_err(|error| error.to_string())
    }

    /// A host on the way of which the store knows too little.
    fn unregistered(&self, path: &Path) -> Option<Missing> {
        passed(path).iter().find_map(|host| ends::of_chassis(self.world, host, PASSED))
    }

    /// What to look at where a packet ended, with the objects there that are set aside.
    fn look_at(&self, path: &Path, dst: IpAddr) -> String {
        if circle(path).is_some() {
            return "\"tpctl lsr show LR\" lists the routes of each of them; one must lead elsewhere".to_owned();
        }
        let arrived = |outcome: &&Outcome| {
            matches!(outcome, Outcome::Delivered { .. } | Outcome::Answered { .. } | Outcome::Untunnelled { .. })
        };
        let Some(ended) = path.outcomes.iter().find(|outcome| !arrived(outcome)) else {
            return "look at the routes of the routers on the way (\"tpctl lsr show LR\"), and at the port where it arrived".to_owned();
        };
        let Outcome::Dropped { datapath, stage: ended, .. } = ended else {
            return "is the chassis registered, and alive? \"tpctl ch show\"".to_owned();
        };
        let prefixes =
            datapath.iter().flat_map(|name| [format!("lr/{name}"), format!("ls/{name}")]).collect::<Vec<_>>();
        let near = |path: &str| prefixes.iter().any(|p| path == p || path.starts_with(&format!("{p}/")));
        let aside: Vec<String> = self
            .world
            .aside
            .iter()
            .filter(|(path, _)| near(path))
            .map(|(path, why)| format!("{path} is set aside: {}", why.join("; ")))
            .collect();
        if !aside.is_empty() {
            return aside.join("; ");
        }
        let name = datapath.as_deref().unwrap_or("LS");
        match stage::ALL.iter().find(|stage| stage.name == *ended).copied() {
            Some(stage::LRP_INGRESS_IP_ROUTE) => format!(
                "\"tpctl lsr show {name}\" lists its routes; \"tpctl lsr add {name} NAME PREFIX NEXT_HOP OUTPORT\" adds one"
            ),
            Some(stage::LRP_EGRESS_UPDATE_ETH_DST) => {
                "a port there must have that address, and a chassis: \"tpctl lsp show LS\" lists the ports".to_owned()
            }
            Some(stage::LSP_INGRESS_LOOKUP_DST_PORT) => {
                format!("\"tpctl lsp show {name}\" lists its ports, with their addresses and chassis")
            }
            // Of several ways to end there, the one that is certain: to a router's own address.
            Some(stage) => match stages::of(stage.table).map(|explained| explained.ends) {
                Some([end]) => end.check.to_owned(),
                Some(ends) if self.is_router(dst) => {
                    ends.iter().find(|end| end.owned).map_or_else(String::new, |end| end.check.to_owned())
                }
                _ => format!("\"tpctl explain drop {ended}\" says what ends there, and why"),
            },
            None => String::new(),
        }
    }
}

const PASSED: &str = "through which the packet goes";

/// A next hop outside that the host on the way does not know (yet).
fn unheard(path: &Path) -> Option<Missing> {
    let remedy = "\"tpctl edge show --neighbours\" lists whom hosts know; one that nobody sends to is forgotten, and asked for by the first packet: send one and look again";
    asked_outside(path).then(|| Missing::new(failure(path).unwrap_or_default(), remedy))
}

/// A host on the way whose agent is silent.
fn silent(world: &World, path: &Path) -> Option<Missing> {
    passed(path).iter().find_map(|host| ends::silent(world, host, PASSED))
}

fn solicited(ip: Ipv6Addr) -> Mac {
    let [.., a, b, c] = ip.octets();
    Mac([0x33, 0x33, 0xff, a, b, c])
}
