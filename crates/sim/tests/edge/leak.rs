//! No inner address leaves untranslated that a rule covers: whatever VMs and the outside send, no frame leaves by a patch port from a router whose rules translate
//! its source, or an address in the packet that it quotes.

use crate::{
    generate::{self, Body, Case, Ip, SYN_ACK, Says, Sent},
    wire::{self, Trouble},
};
use ipnet::IpNet;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{NatKind, NatRule},
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_sim::{Delivery, Network, Object as Stored, Packet, WalkError};

/// A router's port on a switch, and what must not be seen behind it.
#[derive(Default)]
struct Uplink {
    own: BTreeSet<IpAddr>,
    covered: Vec<NatRule>,
    external: BTreeSet<IpAddr>,
}

impl Uplink {
    fn hides(&self, ip: IpAddr) -> Option<&NatRule> {
        // A prefix may be so wide that it holds the router's own address, and the external ones.
        let known = self.own.contains(&ip) || self.external.contains(&ip);
        self.covered.iter().find(|rule| !known && rule.inner().contains(&ip))
    }
}

pub struct Bed {
    network: Network,
    /// By switch and MAC.
    uplinks: BTreeMap<(Name, [u8; 6]), Uplink>,
    patches: BTreeSet<(Name, Name)>,
    /// What the outside called by its address, or was called by: no secret to it.
    called: BTreeSet<IpAddr>,
}

pub fn name(s: &str) -> Name {
    s.parse().expect("the generator's names are names")
}

impl Bed {
    pub fn new(described: &generate::Network) -> Bed {
        let objects = described.objects.iter().map(|object| {
            let value = object.json.clone().into_bytes().into();
            Stored { path: object.path.clone(), value, create_revision: object.created }
        });
        let mut network = Network::new(objects);
        for known in &described.neighbours {
            network.learn(&name(&known.chassis), &name(&known.ls), known.ip, Some(known.mac));
        }
        let chassis: Vec<Name> = network
            .names()
            .objects()
            .filter_map(|(key, _)| if let Key::Chassis(name) = key { Some(name.clone()) } else { None })
            .collect();
        let rejects = chassis.iter().filter_map(|chassis| rejects(&mut network, chassis)).flatten();
        let rejects: BTreeSet<String> = rejects.collect();
        let (mut rules, mut uplinks, mut patches) =
            (BTreeMap::<Name, Vec<NatRule>>::new(), BTreeMap::new(), BTreeSet::new());
        for (key, object) in network.names().objects().filter(|(key, _)| !rejects.contains(&key.to_string())) {
            match (key, object) {
                (Key::Lnat(lr, _), Object::Lnat(rule)) => {
                    rules.entry(lr.clone()).or_default().push(rule.clone());
                }
                (Key::Lsp(ls, lsp), Object::Lsp(port)) if port.patch.is_some() => {
                    patches.insert((ls.clone(), lsp.clone()));
                }
                _ => {}
            }
        }
        for (key, object) in network.names().objects() {
            let (Key::Lrp(lr, _), Object::Lrp(port)) = (key, object) else { continue };
            let Some(peer) = &port.peer else { continue };
            let mut covered = rules.get(lr).cloned().unwrap_or_default();
            let external = covered.iter().map(NatRule::external).collect();
            covered.retain(|rule| rule.kind != NatKind::Dnat);
            let own = port.nets.iter().map(IpNet::addr).collect();
            uplinks.insert((peer.ls.clone(), port.mac.0), Uplink { own, covered, external });
        }
        Bed { network, uplinks, patches, called: BTreeSet::new() }
    }

    /// `told`: what it quotes the router has translated, or whose word it is would be. Of errors that a host makes up about what nobody tracks no flow can tell
    /// what they quote.
    fn send(
        &mut self,
        ls: &Name,
        lsp: &Name,
        frame: &[u8],
        told: bool,
        tally: &Tally,
    ) -> Result<Vec<Delivery>, String> {
        // Who is in a switch with a patch port is outside, be it a VM.
        if self.patches.iter().any(|(patched, _)| patched == ls) {
            self.called.extend(wire::shown(frame).into_iter().flat_map(|shown| [shown.src, shown.dst]));
        }
        let packet = Packet::parse(frame).map_err(|e| e.to_string())?;
        let all = match self.network.deliveries(ls, lsp, packet) {
            Ok(all) => all,
            // A switch puts it together again, and translates the whole.
            Err(error @ WalkError::Unsupported { .. }) if error.to_string().contains("fragment") => {
                count(&tally.fragments);
                return Ok(Vec::new());
            }
            Err(error @ WalkError::Unsupported { .. }) => return Err(error.to_string()),
            Err(_) => return Ok(Vec::new()),
        };
        for delivery in all.iter().filter(|d| self.patches.contains(&(d.ls.clone(), d.lsp.clone()))) {
            let bytes = delivery.packet.to_bytes();
            let Some(shown) = wire::shown(&bytes) else { continue };
            let Some(uplink) = self.uplinks.get(&(delivery.ls.clone(), shown.eth_src)) else { continue };
            // Who is in that switch may say anything in the router's name.
            if *ls == delivery.ls && frame.get(6..12) == Some(&shown.eth_src) {
                continue;
            }
            count(&tally.out);
            self.called.insert(shown.dst);
            if uplink.covered.iter().any(|rule| rule.external() == shown.src) {
                count(&tally.translated);
            }
            let covered = wire::shown(frame).is_some_and(|before| uplink.hides(before.src).is_some());
            let quoted = shown.quoted.filter(|_| told || covered);
            let quoted = quoted.map_or_else(Vec::new, |(src, dst)| {
                count(&tally.errors);
                // Who is told knows whom he called.
                let secret = |ip: &IpAddr| !self.called.contains(ip);
                [src, dst].into_iter().filter(secret).collect()
            });
            for ip in [shown.src].into_iter().chain(quoted) {
                if let Some(rule) = uplink.hides(ip) {
                    let at = format!("{}/{} on {}", delivery.ls, delivery.lsp, delivery.chassis);
                    return Err(format!(
                        "leaves by {at} with {ip}, which {} {} covers: {shown:?}",
                        rule.kind, rule.prefix
                    ));
                }
            }
        }
        count(&tally.sent);
        Ok(all)
    }

    /// How many copies of it leave by patch ports.
    pub fn outside(&mut self, sent: &Sent) -> Result<usize, String> {
        let (ls, lsp, frame) = (name(&sent.ls), name(&sent.lsp), sent.frame.to_bytes());
        let all = self.send(&ls, &lsp, &frame, false, &Tally::default())?;
        Ok(all.iter().filter(|d| self.patches.contains(&(d.ls.clone(), d.lsp.clone()))).count())
    }

    /// Sends it, and what comes back of it, and that again.
    fn exchange(&mut self, sent: &Sent, tally: &Tally) -> Result<(), String> {
        let (ls, lsp, frame) = (name(&sent.ls), name(&sent.lsp), sent.frame.to_bytes());
        let arrived = self.send(&ls, &lsp, &frame, false, tally)?;
        for Delivery { ls: there, lsp: at, packet, .. } in arrived.into_iter().take(3) {
            let bytes = packet.to_bytes();
            let ends = |frame: &[u8]| wire::shown(frame).map(|shown| (shown.src, shown.dst));
            // What begins no connection a floating address lets through without one: an error of a third party about it nobody can translate.
            let tracked = !matches!(&sent.frame.body, Body::Ip(Ip { says: Says::Pong(_) | Says::Tcp(_, SYN_ACK), .. }));
            let translated = tracked && ends(&frame) != ends(&bytes);
            if sent.then.answer
                && let Some(answer) = wire::answer(&bytes)
            {
                let answer_came = self
                    .send(&there, &at, &answer, false, tally)
                    .map_err(|why| format!("the answer of {there}/{at} {why}"))?;
                // The other side refuses the answer.
                for back in answer_came.into_iter().take(2) {
                    let refused = wire::error(&back.packet.to_bytes(), Trouble::Port, None, true);
                    if let Some(refused) = refused.filter(|_| sent.then.error) {
                        self.send(&back.ls, &back.lsp, &refused, false, tally)
                            .map_err(|why| format!("the refused answer {why}"))?;
                    }
                }
            }
            if sent.then.error {
                for (trouble, short) in [(Trouble::Port, false), (Trouble::Spent, true), (Trouble::TooLong, false)] {
                    let by = wire::shown(&bytes).and_then(|shown| stranger(shown.dst, trouble));
                    let Some(error) = wire::error(&bytes, trouble, by, short) else { continue };
                    self.send(&there, &at, &error, translated, tally)
                        .map_err(|why| format!("an error ({trouble:?}) of {there}/{at} {why}"))?;
                }
            }
        }
        if sent.then.again {
            self.send(&ls, &lsp, &frame, false, tally).map_err(|why| format!("sent again {why}"))?;
        }
        Ok(())
    }
}

/// Errors on the way are told by a router that is nobody's host here.
fn stranger(near: IpAddr, trouble: Trouble) -> Option<IpAddr> {
    match (trouble, near) {
        (Trouble::Port, _) => None,
        (_, IpAddr::V4(_)) => Some([192, 168, 7, 7].into()),
        (_, IpAddr::V6(_)) => Some((0x2001_0db8_0077_u128 << 80 | 7).to_be_bytes().into()),
    }
}

fn rejects(network: &mut Network, chassis: &Name) -> Option<Vec<String>> {
    Some(network.host(chassis)?.engine().rejected().map(|reject| reject.key.clone()).collect())
}

#[derive(Default)]
struct Tally {
    sent: Cell<u32>,
    out: Cell<u32>,
    translated: Cell<u32>,
    errors: Cell<u32>,
    fragments: Cell<u32>,
}

fn count(counter: &Cell<u32>) {
    counter.set(counter.get() + 1);
}

fn check(case: &Case, tally: &Tally) -> Result<(), String> {
    let mut bed = Bed::new(&case.network);
    case.packets.iter().try_for_each(|sent| bed.exchange(sent, tally).map_err(|why| format!("{sent}\n  {why}")))
}

#[test]
fn no_covered_address_leaves_by_an_uplink() {
    let tally = Tally::default();
    generate::try_cases(&generate::edge_cases(4, 30), 100, |case| check(case, &tally));
    let counts = [&tally.sent, &tally.out, &tally.translated, &tally.errors, &tally.fragments].map(Cell::get);
    println!("[sent, by routers to the outside, translated, errors among them, fragments tracked]: {counts:?}");
    for (count, least) in counts.into_iter().zip([1_800, 180, 60, 8, 3]) {
        assert!(count >= least, "{counts:?} are too few to tell much");
    }
}
