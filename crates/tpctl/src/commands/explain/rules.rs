//! What each rule's flows are for, in words for whoever finds one in a switch. The rules themselves say it for whoever changes them.

use super::subject::Subject::{
    self, Chassis, Datapath, Inner, NatRule, Nothing, Prefix, Route, RouterPort, SwitchPort, Table,
};
use tuplenet_rules::{
    cookie::Rule,
    stage::{self, Stage},
};

/// A rule, explained.
pub struct Explained {
    /// The rule.
    pub rule: Rule,
    /// What its cookie names.
    pub subject: Subject,
    /// In which stages its flows are; empty: in several, which the flow or the cookie tells.
    pub stages: &'static [Stage],
    /// Why there is such a flow: one for each of what, and what would be without it.
    pub why: &'static str,
    /// What it tells about the network when it counts packets, or when it does not.
    pub counts: &'static str,
}

/// All of them.
pub const ALL: &[Explained] = &[
    Explained {
        rule: Rule::Pipeline,
        subject: Nothing,
        stages: &[],
        why: "One for each stage that lets pass what it has nothing to say about. It is there on every host, whatever the network.",
        counts: "Its packets went on to the next stage: it tells how many passed here, not whether they arrived.",
    },
    Explained {
        rule: Rule::LocalPort,
        subject: SwitchPort,
        stages: &[stage::PHYSICAL_IN],
        why: "One for each port that this host has: the bridge's port in the match is the interface whose iface-id names it.",
        counts: "What the port sent. No packets: the VM sends nothing, or its interface has no link.",
    },
    Explained {
        rule: Rule::TunnelIn,
        subject: Nothing,
        stages: &[stage::PHYSICAL_IN],
        why: "One for each tunnel port of this host. The VNI gives the switch; with Geneve the option gives the ports, too.",
        counts: "What other hosts sent here. No packets while others send: look at the underlay between the hosts.",
    },
    Explained {
        rule: Rule::Arp,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_ARP_RESPONSE],
        why: "One for each IPv4 address of a port that can be reached from here: whoever asks for it by ARP is answered on his own host.",
        counts: "How often the address was asked for. No packets: nobody here asked, or whoever did has the answer in its cache.",
    },
    Explained {
        rule: Rule::Nd,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_ARP_RESPONSE],
        why: "One for each IPv6 address of a port that can be reached from here: who solicits it is answered on his own host.",
        counts: "How often the address was solicited. No packets: nobody here asked, or whoever did has the answer in its cache.",
    },
    Explained {
        rule: Rule::OwnAddress,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_ARP_RESPONSE],
        why: "One for each address of a port that this host has. A port that asks for its own address wants to know whether another has it: \
              an answer of ours would tell it so, wrongly.",
        counts: "How often the port looked for a duplicate of its address, as systems do when they start.",
    },
    Explained {
        rule: Rule::NeighbourReply,
        subject: Nothing,
        stages: &[stage::LSP_INGRESS_NEIGHBOUR_REPLY, stage::LSP_INGRESS_ND_OPTION],
        why: "The same few on every host: the stage before found the answer's MAC, and here the request becomes the reply.",
        counts: "How many ARP requests and neighbour solicitations this host answered.",
    },
    Explained {
        rule: Rule::L2,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_LOOKUP_DST_PORT],
        why: "One for each port of a switch that can be reached from here: packets to the port's MAC go to that port, and if another host \
              has it, to that host.",
        counts: "What was sent to the port from here. No packets: nobody here sent to that MAC.",
    },
    Explained {
        rule: Rule::Flood,
        subject: Datapath,
        stages: &[stage::LSP_INGRESS_LOOKUP_DST_PORT, stage::LSP_TRACE_INGRESS_OUT, stage::LSP_EGRESS_FORWARD_PACKET],
        why: "Two for each switch with flood on: broadcast and multicast go to all its ports. And two on every host that end what must not \
              be copied: frames for one wire only, and copies of copies.",
        counts: "How many broadcasts and multicasts the switch delivered, or (the flows without actions) ended.",
    },
    Explained {
        rule: Rule::TunnelOut,
        subject: Chassis,
        stages: &[stage::LSP_INGRESS_OUTPUT_DST_PORT],
        why: "One for each chassis that has a port which can be reached from here: packets for it leave by the tunnel to that host.",
        counts: "What was sent to that host. Packets here, and none that come in there: look at the underlay between the two.",
    },
    Explained {
        rule: Rule::Loopback,
        subject: SwitchPort,
        stages: &[stage::LSP_EGRESS_JUDGE_LOOPBACK],
        why: "One for each port: a packet does not go back to where it came from, except for answers that are made here.",
        counts: "Packets that the port sent to itself. They end here.",
    },
    Explained {
        rule: Rule::Pushout,
        subject: SwitchPort,
        stages: &[stage::LSP_EGRESS_PUSHOUT],
        why: "One for each port that this host has: packets for it leave by its interface.",
        counts: "What was delivered to the port. Packets here, and the VM sees none: look inside the VM.",
    },
    Explained {
        rule: Rule::ToRouter,
        subject: SwitchPort,
        stages: &[stage::LSP_EGRESS_FORWARD_PACKET],
        why: "One for each link of a switch with a router that is on this host: packets to the router's MAC enter it.",
        counts: "What the switch gave to the router. No packets: the VMs' default gateway may be another address.",
    },
    Explained {
        rule: Rule::ToSwitch,
        subject: RouterPort,
        stages: &[stage::LRP_EGRESS_TO_SWITCH],
        why: "One for each link of a router that is on this host: what is routed to that port enters the switch there.",
        counts: "What the router gave to the switch.",
    },
    Explained {
        rule: Rule::Echo,
        subject: RouterPort,
        stages: &[stage::LRP_INGRESS_PKT_RESPONSE],
        why: "One for each address of a router's port: a ping to it is answered on the host of who asks.",
        counts: "How many echo requests to that address were answered.",
    },
    Explained {
        rule: Rule::RouterDrop,
        subject: RouterPort,
        stages: &[stage::LRP_INGRESS_PKT_RESPONSE, stage::LRP_INGRESS_DROP_UNEXPECT],
        why: "On every host, for what no router forwards.",
        counts: "Packets that ended here.",
    },
    Explained {
        rule: Rule::Connected,
        subject: RouterPort,
        stages: &[stage::LRP_INGRESS_IP_ROUTE],
        why: "One for each network of a router's linked port: destinations in it are neighbours there.",
        counts: "What was routed to that network.",
    },
    Explained {
        rule: Rule::Static,
        subject: Route,
        stages: &[stage::LRP_INGRESS_IP_ROUTE],
        why: "One for each static route that is alone with its prefix: its port is linked, and its next hop is in a network of that port. Several \
              with one prefix make a group (rule ecmp).",
        counts: "What took that route. No packets: a longer prefix, or nothing, matched.",
    },
    Explained {
        rule: Rule::Ecmp,
        subject: Prefix,
        stages: &[stage::LRP_INGRESS_IP_ROUTE, stage::LRP_INGRESS_ECMP_HASH],
        why: "One for each prefix with several static routes: a group takes one of them for each connection, by a hash of the packet, among \
              those whose next hop is alive. And what of the layer above IP that hash is made from.",
        counts: "What was routed to that prefix. Where it went is counted by the flows of rule ecmp-member.",
    },
    Explained {
        rule: Rule::EcmpMember,
        subject: RouterPort,
        stages: &[stage::LRP_INGRESS_ECMP],
        why: "One for each next hop of equal static routes of a router, whatever their prefixes.",
        counts: "What took that next hop. No packets while others have some: no connection hashed to it, or what watches it says that it is dead.",
    },
    Explained {
        rule: Rule::EcmpHome,
        subject: Inner,
        stages: &[stage::LRP_INGRESS_IP_ROUTE],
        why: "One for each prefix with several static routes and each inner address that a dnat or floating rule of one of the routers they lead to has: \
              what that address sends leaves by a router with such a rule, where its connections are known; by any, if none of these is alive.",
        counts: "What that address sent to that prefix.",
    },
    Explained {
        rule: Rule::NextHop,
        subject: SwitchPort,
        stages: &[stage::LRP_EGRESS_UPDATE_ETH_DST],
        why: "One for each address of a port and each router of its switch: a routed packet for that next hop gets the port's MAC.",
        counts: "What routers sent to that address, or by it to others.",
    },
    Explained {
        rule: Rule::Trace,
        subject: Table,
        stages: &[],
        why: "One for each stage that a trace prints and for each that comes after conntrack, and one for each port that this host has: a coloured \
              packet is reported to the agent. \
              Other packets do not see these flows.",
        counts: "Reports of traces (tpctl trace). Without traces: none.",
    },
    Explained {
        rule: Rule::Drop,
        subject: Table,
        stages: &[],
        why: "One for each stage that ends what it does not know, so that it is counted.",
        counts: "Packets that ended in this stage.",
    },
    Explained {
        rule: Rule::PatchIn,
        subject: SwitchPort,
        stages: &[stage::PHYSICAL_IN],
        why: "One for each patch port of this host whose bridge is there: frames from the physical network enter the switch, those of the port's \
              VLAN without their tag. Without a VLAN only untagged frames enter.",
        counts: "What came from the physical network, for whomever. No packets: look at the network card of the bridge and at the VLANs of the \
                 physical switch.",
    },
    Explained {
        rule: Rule::PatchOut,
        subject: SwitchPort,
        stages: &[stage::LSP_EGRESS_PUSHOUT],
        why: "One for each patch port of this host whose bridge is there: frames leave into the physical network, with the tag of the port's VLAN.",
        counts: "What went out into the physical network.",
    },
    Explained {
        rule: Rule::PatchUnknown,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_LOOKUP_DST_PORT, stage::LRP_EGRESS_UPDATE_ETH_DST],
        why: "One for each switch with patch ports: a frame to a MAC that no port of the switch has is for somebody outside. It leaves by this host's \
              patch port or, where this host has none, by that of the designated chassis (the first one by name). And one for each distributed \
              router: its MAC shows up outside at one place only. On a host without a patch port two for each distributed router: for a next hop outside \
              the packet goes on to the router's part on the designated chassis.",
        counts: "What was sent to the outside from here, broadcast and multicast included where the switch does not flood.",
    },
    Explained {
        rule: Rule::PatchOwn,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_PORT_SECURITY],
        why: "One for each port that can be reached from here, in a switch with a patch port here: a frame from outside with that port's MAC is one of \
              ours that came back, or somebody who pretends to be the port.",
        counts: "Frames that came back. Some are normal: each chassis with a patch port hears the broadcasts that the others send out.",
    },
    Explained {
        rule: Rule::PatchElsewhere,
        subject: SwitchPort,
        stages: &[
            stage::LSP_INGRESS_ARP_RESPONSE,
            stage::LSP_INGRESS_LOOKUP_DST_PORT,
            stage::LSP_TRACE_INGRESS_OUT,
            stage::LSP_EGRESS_JUDGE_LOOPBACK,
        ],
        why: "For each port of a switch with a patch port here that another chassis speaks for: frames and questions for it come in there as well, so \
              here they end. And those that end copies which leave or come in elsewhere.",
        counts: "Frames that another chassis took. They are no loss.",
    },
    Explained {
        rule: Rule::Unsnat,
        subject: NatRule,
        stages: &[
            stage::LRP_INGRESS_DROP_UNEXPECT,
            stage::LRP_INGRESS_UNSNAT_STAGE1,
            stage::LRP_INGRESS_UNSNAT_STAGE2,
            stage::LRP_INGRESS_DNAT_STAGE1,
        ],
        why: "Two for each external address of snat rules, one more if it is the router's own: what comes for it from outside is an answer to a \
              connection that conntrack knows, or nobody's.",
        counts: "Answers from outside, or (the flow without actions) what came for the address without being one.",
    },
    Explained {
        rule: Rule::Dnat,
        subject: NatRule,
        stages: &[
            stage::LRP_INGRESS_DROP_UNEXPECT,
            stage::LRP_INGRESS_UNSNAT_STAGE1,
            stage::LRP_INGRESS_DNAT_STAGE1,
            stage::LRP_INGRESS_DNAT_STAGE2,
            stage::LRP_EGRESS_UNDNAT_STAGE2,
        ],
        why: "Two for each dnat rule: what comes for its external address goes through conntrack, and a new connection gets the inner address. And some \
              for each router with rules: what conntrack could not translate ends.",
        counts: "What came from outside for the address: in the first stage all of it, in the second new connections.",
    },
    Explained {
        rule: Rule::Undnat,
        subject: NatRule,
        stages: &[
            stage::LRP_EGRESS_UNDNAT_STAGE1,
            stage::LRP_EGRESS_UNDNAT_STAGE2,
            stage::LRP_EGRESS_SNAT_STAGE1,
            stage::LRP_EGRESS_UPDATE_ETH_DST,
        ],
        why: "Two for each inner address of dnat rules: answers get back the external address, from conntrack; what is no answer leaves as it is if \
              no snat rule covers it. One for each external address: what inner hosts send to it turns back. And some for each router with rules, for what it says itself.",
        counts: "What the inner address sent outside.",
    },
    Explained {
        rule: Rule::Snat,
        subject: NatRule,
        stages: &[
            stage::LRP_EGRESS_UNDNAT_STAGE1,
            stage::LRP_EGRESS_SNAT_STAGE1,
            stage::LRP_EGRESS_SNAT_STAGE2,
            stage::LRP_EGRESS_UPDATE_ETH_DST,
        ],
        why: "For each snat rule: what its inner addresses send outside goes through conntrack, and a new connection gets the external address; what \
              inner hosts send to that address turns back. And some for each router with rules: what conntrack could not translate ends.",
        counts: "What inner addresses sent outside: in the first stage all of it, in the second new connections.",
    },
    Explained {
        rule: Rule::FloatingIn,
        subject: NatRule,
        stages: &[
            stage::LRP_INGRESS_DROP_UNEXPECT,
            stage::LRP_INGRESS_UNSNAT_STAGE1,
            stage::LRP_INGRESS_DNAT_STAGE1,
            stage::LRP_INGRESS_DNAT_STAGE2,
        ],
        why: "Three for each floating rule: what comes for the external address goes to the inner one, by conntrack, or without it in the middle of \
              a connection that conntrack does not know.",
        counts: "What came from outside for the address: in the first stage all of it, in the second new connections.",
    },
    Explained {
        rule: Rule::FloatingOut,
        subject: NatRule,
        stages: &[
            stage::LRP_EGRESS_UNDNAT_STAGE1,
            stage::LRP_EGRESS_SNAT_STAGE1,
            stage::LRP_EGRESS_SNAT_STAGE2,
            stage::LRP_EGRESS_UPDATE_ETH_DST,
            stage::LRP_EGRESS_FORWARD_PACKET,
        ],
        why: "Four for each floating rule: what the inner address sends outside leaves by the external one, by conntrack, or without it in the middle \
              of a connection that conntrack does not know; what inner hosts send to the external address turns back.",
        counts: "What the inner address sent outside: in the first stage all of it, in the second new connections.",
    },
    Explained {
        rule: Rule::Untunnel,
        subject: RouterPort,
        stages: &[stage::LRP_EGRESS_UPDATE_ETH_DST, stage::LRP_EGRESS_TO_SWITCH],
        why: "Only where the agent runs with --untunnel. One for each route and network of an edge, for each next hop that leads to that edge: what the edge would only send on \
              outside leaves by this host's own IP stack (port tnout). And one for each NAT rule of the edge: what that covers takes the tunnel to the edge, and so does \
              what the edge keeps inside.",
        counts: "What was sent outside from here, past the edge or (the flows that set a MAC) through it.",
    },
    Explained {
        rule: Rule::UntunnelIn,
        subject: Nothing,
        stages: &[stage::PHYSICAL_IN],
        why: "Only where the agent runs with --untunnel: the host's own IP stack takes packets by the port tnout, and whatever it sends there itself ends.",
        counts: "What the host's IP stack says on that port, such as multicast of its own: nothing of it is for the virtual network.",
    },
    Explained {
        rule: Rule::IcmpError,
        subject: RouterPort,
        stages: &[stage::LRP_INGRESS_DROP_UNEXPECT, stage::LRP_INGRESS_IP_ROUTE, stage::LRP_EGRESS_UPDATE_ETH_DST],
        why: "One for each address of a router's port (a router is no host: it takes nothing but echo requests); and on every host those for \
              packets without a hop left, a route, or a next hop. The packet ends, and the agent tells its sender by an ICMP error.",
        counts: "Packets that ended here. How many senders were told: the agent's metrics tuplenet_icmp_errors_total and _withheld_total.",
    },
    Explained {
        rule: Rule::TooBig,
        subject: Nothing,
        stages: &[stage::LRP_EGRESS_TOO_BIG],
        why: "On every host: a packet that was found longer than the switch takes that it is for goes to the agent. The agent tells the sender how long \
              packets may be, or cuts an IPv4 packet that may be cut and sends on the pieces.",
        counts: "All packets that were compared: Open vSwitch counts each in both outcomes. Those that were too long the meter counts (\"ovs-ofctl -O \
                 OpenFlow15 meter-stats br-int meter=6\"). More than now and then: a guest that ignores what it is told, or sends long packets that may be cut; give \
                 guests the MTU that \"tpctl status\" shows.",
    },
    Explained {
        rule: Rule::Mtu,
        subject: RouterPort,
        stages: &[stage::LRP_EGRESS_MTU],
        why: "One for each router's port whose switch has an MTU: the one that was set for it (\"tpctl ls set LS --mtu\"), or the least of what tunnels and \
              patch ports of this host can carry.",
        counts: "What left by the port, whatever its length.",
    },
    Explained {
        rule: Rule::Redirect,
        subject: Chassis,
        stages: &[stage::LSP_INGRESS_OUTPUT_DST_PORT],
        why: "One for each chassis that BFD watches, where an edge may stand in: while its tunnel is dead, packets for it go to an edge that can be \
              reached, which sends them on.",
        counts: "What was sent to that chassis, directly or not. The buckets of the flow's group say which (ovs-ofctl dump-group-stats).",
    },
    Explained {
        rule: Rule::NoDetour,
        subject: Datapath,
        stages: &[stage::LSP_INGRESS_OUTPUT_DST_PORT],
        why: "One for each switch that is not joined to the router of each edge that could stand in: an edge that does not have the switch could not send its \
              packets on, so they go the direct way even while BFD takes the tunnel for dead.",
        counts: "First packets of flows in that switch.",
    },
    Explained {
        rule: Rule::RedirectIn,
        subject: Nothing,
        stages: &[stage::LSP_EGRESS_PUSHOUT, stage::LSP_INGRESS_LOOKUP_DST_PORT],
        why: "On every host: what another host could not send to its chassis, and sent here instead, is looked up again and sent on, once. What nobody \
              here knows ends.",
        counts: "Packets on a detour by this host. Many: two hosts cannot reach each other, but both reach this one.",
    },
    Explained {
        rule: Rule::Neighbour,
        subject: SwitchPort,
        stages: &[stage::LRP_EGRESS_UPDATE_ETH_DST],
        why: "One for each neighbour outside that this host learned, and each router of its switch: a routed packet for that next hop gets the \
              neighbour's MAC. It ends when the neighbour does not answer for 60 s.",
        counts: "What routers here sent to that neighbour, or by it to others.",
    },
    Explained {
        rule: Rule::NeighbourLearn,
        subject: SwitchPort,
        stages: &[stage::LSP_INGRESS_ARP_CONTROLLER],
        why: "Two for each router in a switch with a patch port here, and two for each neighbour outside that is known: answers to what the agent \
              asked, and announcements of another MAC for a known address, are copied to it. It believes an announcement after it has asked itself.",
        counts: "ARP replies and neighbour advertisements from outside.",
    },
    Explained {
        rule: Rule::ProbeAnswer,
        subject: RouterPort,
        stages: &[stage::LRP_INGRESS_DROP_UNEXPECT, stage::LRP_INGRESS_DNAT_STAGE1],
        why: "Two for each address that the agent probes (its option --probe) and each address of a router's port at an uplink here: echo replies that no \
              inner host waits for go to the agent, which withdraws the edge while none of those addresses answers.",
        counts: "Echo replies to probes. Less than the agent sends: the way outside loses packets.",
    },
    Explained {
        rule: Rule::NeighbourAsk,
        subject: RouterPort,
        stages: &[stage::LRP_EGRESS_UPDATE_ETH_DST],
        why: "One for each network of a router's port in a switch with a patch port here: nobody inside has the next hop, so the agent keeps the \
              packet, asks outside by ARP or neighbour discovery, and sends the packet on when somebody answers.",
        counts: "First packets to neighbours outside. Many: somebody inside scans that network, or the next hop does not answer.",
    },
];

/// What is said of a rule.
pub fn of(rule: Rule) -> Option<&'static Explained> {
    ALL.iter().find(|explained| explained.rule == rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_explained_once() {
        for rule in Rule::ALL {
            let texts = ALL.iter().filter(|explained| explained.rule == *rule).count();
            assert_eq!(texts, 1, "rule {} has {texts} explanations: it needs one, in this file", rule.name());
        }
    }

    #[test]
    fn explanations_are_sentences() {
        for Explained { rule, why, counts, .. } in ALL {
            for text in [why, counts] {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", rule.name());
            }
        }
    }
}
