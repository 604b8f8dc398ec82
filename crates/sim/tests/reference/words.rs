//! Where and why a packet ends is told as it is.

use crate::{
    fate::{End, Fate, Why},
    generate::Sent,
    packets::name,
};
use tuplenet_sim::{Network, Outcome, Packet};

/// Whether these words give that reason.
fn says(reason: &str, why: &Why, sent: &Sent) -> bool {
    let any = |parts: &[&str]| parts.iter().any(|part| reason.contains(part));
    match why {
        Why::Reserved => any(&["reserved for the protocols of bridges"]),
        Why::NoFlood => any(&["does not flood"]),
        // Nobody's, the sender's own, or that of a port that cannot be reached, which is named.
        Why::Unanswered(ip) => any(&[&ip.to_string(), "is not bound", "is set aside", " is on ", " leads to "]),
        Why::NobodyElse => any(&["returns nothing to its sender"]) && reason.contains(&sent.lsp),
        Why::Sender => any(&["returns nothing to its sender"]),
        // No port at all, or one that is set aside.
        Why::NoMac => any(&["has the MAC address", "is set aside"]),
        Why::Unreachable(lsp) => {
            reason.contains(lsp.as_str()) && any(&["is not bound", "is set aside", " is on ", " leads to "])
        }
        Why::FromAfar => any(&["hop limit"]),
        Why::Tagged => any(&["VLAN tag"]),
        // What claims to be IP and is not has no source.
        Why::NotIp => any(&["routes IP packets only", "its source"]),
        Why::SourceIsNobody => any(&["its source"]),
        Why::ForRouter => any(&["an address of", "itself"]),
        Why::DestinationIsNobody => any(&["does not route"]),
        Why::NoHopLeft => any(&["is spent"]),
        Why::ProtocolZero => any(&["protocol is 0", "is spent"]),
        Why::NoRoute(ip) => reason.contains(&format!("no route to {ip}")),
        Why::NoNextHop(ip) => reason.contains(&ip.to_string()),
        Why::Asked(ip) => reason.contains(&format!("{ip} is not known as a neighbour outside")),
        Why::Untranslated => any(&["none of their connections", "conntrack", "on the host of its VM only"]),
        Why::OtherVlan => true,
        Why::Own => any(&["went out by a patch port and came back"]),
        Why::Elsewhere => any(&["another host takes it in"]),
        Why::TaggedOut => true,
    }
}

/// What is wrong with what the simulator tells, if nothing of this explains it.
pub fn compare_any(network: &mut Network, sent: &Sent, fates: &[Fate]) -> Result<(), String> {
    let mut all = fates.iter().map(|fate| compare(network, sent, fate));
    let Some(first) = all.next() else { return Ok(()) };
    first.or_else(|why| all.find(Result::is_ok).unwrap_or(Err(why)))
}

/// What is wrong with what the simulator tells, if something is.
pub fn compare(network: &mut Network, sent: &Sent, fate: &Fate) -> Result<(), String> {
    let packet = Packet::parse(&sent.frame.to_bytes()).map_err(|e| e.to_string())?;
    let path = network.walk(&name(&sent.ls), &name(&sent.lsp), packet).map_err(|e| format!("{sent}: {e}"))?;
    let told: Vec<(&str, &str, &str)> = path
        .outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Dropped { chassis, datapath, reason, .. } => {
                Some((chassis.as_str(), datapath.as_deref().unwrap_or(""), reason.as_str()))
            }
            Outcome::Lost { chassis, towards, reason } => Some((chassis, towards, reason)),
            Outcome::Delivered { .. } | Outcome::Answered { .. } | Outcome::Untunnelled { .. } => None,
        })
        .collect();
    let same = |(end, (chassis, datapath, reason)): (&End, &(&str, &str, &str))| {
        // What goes in circles is given up before its hops are spent.
        let circles = end.why == Why::NoHopLeft && reason.contains("gave it up");
        circles || end.chassis == *chassis && end.datapath == *datapath && says(reason, &end.why, sent)
    };
    // Each copy for all that is one too many is told of only if there are no others.
    let too_many = |reason: &str| {
        [
            "returns nothing to its sender",
            "by theirs",
            "sends the other hosts theirs",
            "by the patch port of the host that sent it",
        ]
        .iter()
        .any(|part| reason.contains(part))
    };
    let nobody = fate.delivered.is_empty() && matches!(&fate.ended[..], [End { why: Why::NobodyElse, .. }]);
    if nobody && !told.is_empty() && told.iter().all(|(.., reason)| too_many(reason)) {
        return Ok(());
    }
    // Copies end in no order.
    let mut left = told.clone();
    let each = fate.ended.iter().all(|end| match left.iter().position(|told| same((end, told))) {
        Some(at) => {
            left.remove(at);
            true
        }
        None => false,
    });
    if each && left.is_empty() {
        return Ok(());
    }
    Err(format!("{sent}\n  should end: {:?}\n  told: {:#?}", fate.ended, path.outcomes))
}
