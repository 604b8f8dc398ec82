//! The words for every stage.

use super::{End, Explained};
use tuplenet_openflow::{Match, field};
use tuplenet_rules::{
    cookie::Rule,
    stage::{self, Stage},
};

fn any(_: &Match) -> bool {
    true
}

fn tagged(matching: &Match) -> bool {
    matching.get(field::VLAN_VID).is_some()
}

fn from_nobody(matching: &Match) -> bool {
    matching.get(field::IPV4_SRC).is_some() || matching.get(field::IPV6_SRC).is_some()
}

fn spent(matching: &Match) -> bool {
    matching.get(field::NW_TTL).is_some()
}

fn protocol_zero(matching: &Match) -> bool {
    matching.get(field::IP_PROTO).is_some()
}

fn to_address(matching: &Match) -> bool {
    matching.get(field::IPV4_DST).is_some() || matching.get(field::IPV6_DST).is_some()
}

fn is_error(matching: &Match) -> bool {
    matching.get(field::ICMPV4_TYPE).is_some() || matching.get(field::ICMPV6_TYPE).is_some()
}

fn no_error(matching: &Match) -> bool {
    !is_error(matching)
}

/// A stage that ends nothing.
const fn passes(stage: Stage, about: &'static str) -> Explained {
    Explained { stage, about, idle: false, ends: &[] }
}

/// A stage that waits for a feature.
const fn idle(stage: Stage, about: &'static str) -> Explained {
    Explained { stage, about, idle: true, ends: &[] }
}

/// What a stage does not know.
const fn unknown(packets: &'static str, why: &'static str, check: &'static str) -> End {
    End { rule: Rule::Drop, owned: false, which: any, packets, why, check }
}

/// What a router ends, on every host, and its sender is told of.
const fn told(packets: &'static str, why: &'static str, check: &'static str) -> End {
    End { rule: Rule::IcmpError, owned: false, which: any, packets, why, check }
}

/// Of the rules that translate by conntrack.
const fn unknown_error(rule: Rule) -> End {
    End {
        rule,
        owned: true,
        which: is_error,
        packets: "ICMP errors about a connection that conntrack does not know",
        why: "An error quotes a packet of its connection: only conntrack can translate that, and it does not know the connection (here).",
        check: "Errors to forged or very old packets: no fault. If path MTU discovery hangs: do the connection's two directions go by two edges?",
    }
}

/// The same, of what is no error.
const fn untranslated(rule: Rule, why: &'static str) -> End {
    End {
        rule,
        owned: true,
        which: no_error,
        packets: "packets that conntrack could not translate",
        why,
        check: "\"ovs-appctl dpctl/ct-stats-show\" and \"ovs-appctl dpctl/ct-get-maxconns\": is the table full? Many connections to one \
                        destination by one external address: 64,000 ports are all there are.",
    }
}

const NO_IP: End = unknown(
    "what is neither IPv4 nor IPv6",
    "Routers forward nothing else. ARP does not come here: the switch answers it.",
    "Which VM sends other protocols to its gateway, and what for?",
);

/// All of them, in the order of tables.
pub const ALL: &[Explained] = &[
    Explained {
        stage: stage::PHYSICAL_IN,
        about: "Every packet begins here: the bridge's port tells the switch and the port that it comes from.",
        idle: false,
        ends: &[
            End {
                rule: Rule::UntunnelIn,
                owned: false,
                which: any,
                packets: "what this host's own IP stack sends by its port (tnout)",
                why: "With --untunnel that port is for what VMs send outside; answers come back by an edge.",
                check: "Nothing: systems announce themselves on every device. Many: the host has a route to the device tnout, which leads nowhere (\"ip route show dev tnout\").",
            },
            unknown(
                "packets that come in by a port of the bridge behind which there is no port of the network",
                "The interface has no iface-id, or one that names no port; or another chassis claimed the port later; or the port was deleted.",
                "\"ovs-vsctl --columns=name,ofport,external_ids list interface\" shows the iface-ids; the agent's log names each interface that \
             it cannot bind, with the reason; \"tpctl lsp show LS\" shows which chassis has a port.",
            ),
        ],
    },
    passes(stage::LSP_TRACE_INGRESS_IN, "The packet entered a switch; a trace prints it."),
    Explained {
        stage: stage::LSP_INGRESS_PORT_SECURITY,
        about: "Frames from a physical network that carry the MAC of one of our own ports end here; port security of VMs is to come.",
        idle: false,
        ends: &[End {
            rule: Rule::PatchOwn,
            owned: true,
            which: any,
            packets: "frames from a physical network with the MAC of one of our ports",
            why: "They are our own, come back from the physical network, or somebody there uses the port's MAC.",
            check: "A count that grows with the VM's broadcasts is normal. If it grows without them, look for the MAC in the tables of the physical switch.",
        }],
    },
    idle(stage::LSP_INGRESS_ACL, "Nothing is decided here yet: ACLs are to come."),
    idle(stage::LSP_INGRESS_ARP_CONTROLLER, "Nothing is decided here yet: learning from ARP and ND is to come."),
    Explained {
        stage: stage::LSP_INGRESS_ARP_RESPONSE,
        about: "ARP requests and neighbour solicitations for addresses of known ports get their answer; everything else passes.",
        idle: false,
        ends: &[End {
            rule: Rule::PatchElsewhere,
            owned: true,
            which: any,
            packets: "questions from a physical network for an address that another host answers there",
            why: "One host answers for each address, so that its MAC shows up at one port of the physical network only.",
            check: "Nothing, if the other host answers: \"tpctl lsp show LS\" shows which host has the port, and which hosts have patch ports.",
        }],
    },
    Explained {
        stage: stage::LSP_INGRESS_NEIGHBOUR_REPLY,
        about: "A request for a known address becomes the reply to who asked.",
        idle: false,
        ends: &[unknown(
            "neighbour solicitations that came from another network (hop limit other than 255)",
            "Only a neighbour may ask for a neighbour (RFC 4861, section 7.1.1).",
            "Whoever sends them is broken or scans; \"tcpdump icmp6\" at the VMs of that switch shows who.",
        )],
    },
    Explained {
        stage: stage::LSP_INGRESS_ND_OPTION,
        about: "A neighbour advertisement made here gets its link-layer address and goes back to who asked.",
        idle: false,
        ends: &[unknown(
            "none: only advertisements that were made here come to this stage",
            "Counted packets mean that flows of another version or of other software are in the switch.",
            "The agent's metric drift_repaired_total counts flows that its audits removed.",
        )],
    },
    Explained {
        stage: stage::LSP_INGRESS_LOOKUP_DST_PORT,
        about: "The destination MAC tells the destination port and, if another host has it, that host.",
        idle: false,
        ends: &[
            unknown(
                "packets to a MAC that no reachable port of the switch has; in a switch without flood also broadcast and multicast, \
                 and ARP requests for addresses that no port has",
                "The port does not exist, is set aside, or is bound to no chassis (a port without chassis cannot be reached); the VM has an \
                 old ARP entry; or it is one of the broadcasts that every VM sends: a count alone is no fault.",
                "\"tpctl explain reach A B\" for the two ports; \"tpctl lsp show LS\" for MAC and chassis of each port; \"tpctl doctor\" for \
                 what is set aside; \"tpctl ls set LS --flood\" if broadcast is to be delivered.",
            ),
            End {
                rule: Rule::Flood,
                owned: false,
                which: any,
                packets: "spanning tree, pause frames, LLDP and others for one wire only (to 01:80:c2:00:00:00 to 0f)",
                why: "No bridge passes these on (IEEE 802.1Q, table 8-1).",
                check: "Nothing: a VM that is itself a bridge sends them all the time.",
            },
            End {
                rule: Rule::RedirectIn,
                owned: false,
                which: any,
                packets: "packets on a detour by this host to a MAC that nobody here knows",
                why: "Another host could not reach a chassis and sent its packets here. This host does not know the port either.",
                check: "\"tpctl edge show\" for the BFD sessions that are down; \"tpctl lsp show LS\" for the port.",
            },
            End {
                rule: Rule::PatchElsewhere,
                owned: true,
                which: any,
                packets: "frames from a physical network for a port that another host delivers to",
                why: "The physical network sent the frame to several hosts, as it does before it knows where a MAC is. One of them takes it in.",
                check: "Nothing, if the other host delivers. If all the port's frames come here, the physical switch learned its MAC at the wrong port.",
            },
        ],
    },
    Explained {
        stage: stage::LSP_TRACE_INGRESS_OUT,
        about: "The destination port is known; a trace prints it.",
        idle: false,
        ends: &[
            End {
                rule: Rule::Flood,
                owned: false,
                which: any,
                packets: "copies of broadcasts that came by a tunnel and would go out by one again",
                why: "The host that sent the broadcast copies it to every other host itself: a second copy would be one too many.",
                check: "Nothing: that is how flooding ends.",
            },
            End {
                rule: Rule::PatchElsewhere,
                owned: false,
                which: any,
                packets: "copies of broadcasts from a physical network for hosts that have a patch port of their own",
                why: "Those hosts hear the broadcast by their own patch ports: a copy by tunnel would be one too many.",
                check: "Nothing: that is how flooding ends.",
            },
        ],
    },
    passes(
        stage::LSP_INGRESS_OUTPUT_DST_PORT,
        "The packet goes by tunnel to the host that has the destination port, or stays here.",
    ),
    passes(
        stage::LSP_TRACE_EGRESS_IN,
        "The packet is about to leave a switch, on the host of the destination port; a trace prints it.",
    ),
    Explained {
        stage: stage::LSP_EGRESS_JUDGE_LOOPBACK,
        about: "A packet does not go back out of the port that it came from, unless it is an answer made here.",
        idle: false,
        ends: &[
            End {
                rule: Rule::Loopback,
                owned: true,
                which: any,
                packets: "packets that the port sent to its own MAC, and its own broadcasts on their way back to it",
                why: "A switch never sends a frame back to where it came from; it could go in circles.",
                check: "In a switch with flood each broadcast of the port counts once: no fault. Without flood: the VM sends to itself, or bridges.",
            },
            End {
                rule: Rule::PatchElsewhere,
                owned: true,
                which: any,
                packets: "copies of broadcasts by a tunnel, that would leave by a patch port here",
                why: "They left by the patch port of the host that sent them: here they would be one too many.",
                check: "Nothing: that is how flooding ends.",
            },
        ],
    },
    idle(stage::LSP_EGRESS_ACL, "Nothing is decided here yet: ACLs are to come."),
    passes(
        stage::LSP_EGRESS_FORWARD_PACKET,
        "If the destination port is a link, the packet enters the router; a broadcast is copied to all ports of the switch.",
    ),
    Explained {
        stage: stage::LSP_EGRESS_PUSHOUT,
        about: "The packet leaves by the interface of the destination port.",
        idle: false,
        ends: &[unknown(
            "packets for a port that this host does not have",
            "Another host sent them here by tunnel, and the port has left or lost its interface; or a flow of an old state is still in the other \
             host's switch. For some moments while a VM moves this is normal.",
            "\"tpctl lsp show LS\": which chassis has the port now. If it is this one: does the VM's interface exist and carry the \
             iface-id (\"ovs-vsctl show\")? If the count grows on: is the agent of the sender alive (\"tpctl ch show\")?",
        )],
    },
    passes(stage::LRP_TRACE_INGRESS_IN, "The packet entered a router; a trace prints it."),
    Explained {
        stage: stage::LRP_INGRESS_PKT_RESPONSE,
        about: "The router answers echo requests to its own addresses.",
        idle: false,
        ends: &[
            End {
                rule: Rule::RouterDrop,
                owned: false,
                which: tagged,
                packets: "frames with a VLAN tag",
                why: "A link is a port of an untagged network; the tag must not travel on into another switch.",
                check: "The VM that sends them has a VLAN interface on top of its own: its addresses belong on a port of their own.",
            },
            End {
                rule: Rule::RouterDrop,
                owned: false,
                which: from_nobody,
                packets: "packets from an address that is nobody's: 0.0.0.0/8, loopback, multicast; IPv6 also link-local",
                why: "No answer could reach it, and no router forwards such packets (RFC 1812, section 5.3.7; RFC 4291, section 2.5).",
                check: "DHCP and IPv6 hosts that start send some: no fault. Many: a VM with a wrong or forged source address.",
            },
        ],
    },
    Explained {
        stage: stage::LRP_INGRESS_DROP_UNEXPECT,
        about: "What a router does not forward ends here.",
        idle: false,
        ends: &[
            End {
                rule: Rule::IcmpError,
                owned: true,
                which: to_address,
                packets: "packets to the router's own address that are no echo requests",
                why: "A router is no host: nothing listens on it. The sender is told: port unreachable, or protocol unreachable.",
                check: "Something tries to connect to the gateway's address. If a VM was meant, it has the wrong address.",
            },
            End {
                rule: Rule::RouterDrop,
                owned: false,
                which: to_address,
                packets: "packets to 0.0.0.0/8, loopback, multicast, class E; IPv6 also to link-local",
                why: "A router does not forward them (RFC 1812, sections 5.2.1.1 and 5.3.7; RFC 4291).",
                check: "Multicast across routers does not work. Otherwise: who uses such addresses?",
            },
            End {
                rule: Rule::RouterDrop,
                owned: false,
                which: protocol_zero,
                packets: "packets of IP protocol 0, or cut off in their IPv6 extension headers",
                why: "Open vSwitch would not count down their TTL: in a circle of routers one such packet would never end.",
                check: "No program sends them in earnest: a scanner, or a VM that tries what it can break.",
            },
            End {
                rule: Rule::IcmpError,
                owned: false,
                which: spent,
                packets: "packets whose TTL or hop limit is used up",
                why: "Each router takes one off. The sender is told: time exceeded.",
                check: "traceroute sends such packets on purpose. Otherwise two routers send packets to each other: look at their static routes \
                        (\"tpctl lsr show LR\"); \"tpctl trace LSP --to IP --simulate\" shows the circle.",
            },
        ],
    },
    passes(
        stage::LRP_INGRESS_UNSNAT_STAGE1,
        "What comes from outside for an external address of a NAT rule goes through conntrack; everything else passes.",
    ),
    passes(
        stage::LRP_INGRESS_UNSNAT_STAGE2,
        "What conntrack knew has its inner address and goes on to the routes; what it did not know goes on here.",
    ),
    Explained {
        stage: stage::LRP_INGRESS_DNAT_STAGE1,
        about: "A new connection from outside gets the inner address of its dnat or floating rule, from conntrack.",
        idle: false,
        ends: &[End {
            rule: Rule::Unsnat,
            owned: true,
            which: any,
            packets: "packets from outside for the external address of a snat rule that belong to no connection",
            why: "Connections by a snat rule begin inside: nobody is behind its address for others.",
            check: "Scans from outside: no fault. If answers end here, the edge lost the connection (its switch was restarted), or the questions \
                    left by another edge.",
        }],
    },
    Explained {
        stage: stage::LRP_INGRESS_DNAT_STAGE2,
        about: "What conntrack translated goes on to the routes; a floating address is translated without conntrack where that knows nothing.",
        idle: false,
        ends: &[
            unknown_error(Rule::Dnat),
            untranslated(
                Rule::Dnat,
                "It belongs to no connection and can begin none (the middle of a TCP handshake, a damaged packet), or conntrack has no room. Untranslated, nothing of it goes on.",
            ),
        ],
    },
    Explained {
        stage: stage::LRP_INGRESS_IP_ROUTE,
        about: "The longest prefix that holds the destination tells the next hop and the port; the TTL goes down by one.",
        idle: false,
        ends: &[
            told(
                "packets to a destination that the router has no route to",
                "No network of the router's linked ports and no static route in force holds the destination. A route is out of force while its port \
                 is not linked, and is set aside if its next hop is no neighbour. The sender is told: network unreachable.",
                "\"tpctl lrp show LR\" and \"tpctl lsr show LR\" for the routes; \"tpctl doctor\" for routes that are set aside; \"tpctl lsr add \
                 LR NAME PREFIX NEXT_HOP OUTPORT\" adds one.",
            ),
            NO_IP,
        ],
    },
    passes(
        stage::LRP_INGRESS_ECMP,
        "One of several equal routes was chosen, its next hop noted; the packet gets the router's MAC. What had one route only does not pass here.",
    ),
    passes(stage::LRP_TRACE_INGRESS_OUT, "The router has decided; a trace prints it."),
    passes(
        stage::LRP_INGRESS_ECMP_HASH,
        "The ports of TCP, UDP and SCTP are noted for the choice among equal routes, those of fragments are not; then the choice is made.",
    ),
    passes(
        stage::LRP_EGRESS_MTU,
        "The packet's length is compared with the MTU of the switch that it is for; what is longer goes to the stage that ends it.",
    ),
    Explained {
        stage: stage::LRP_EGRESS_TOO_BIG,
        about: "What is longer than the switch takes ends here, at the agent.",
        idle: false,
        ends: &[End {
            rule: Rule::TooBig,
            owned: false,
            which: any,
            packets: "packets longer than the MTU of the switch that they are for",
            why: "The sender's MTU is larger than that of the way. It is told (fragmentation needed, packet too big), and sends shorter ones; of IPv4 \
                  packets that may be cut the agent sends on the pieces, a thousand packets a second at most.",
            check: "\"tpctl status\" for the MTU that guests should have; \"ip link set dev DEV mtu N\" in the guest, or by DHCP (option 26) or router \
                    advertisement.",
        }],
    },
    passes(stage::LRP_TRACE_EGRESS_IN, "The packet is about to leave a router; a trace prints it."),
    Explained {
        stage: stage::LRP_EGRESS_UNDNAT_STAGE1,
        about: "What goes outside from an inner address of a NAT rule goes through conntrack; everything else passes.",
        idle: false,
        ends: &[End {
            rule: Rule::FloatingOut,
            owned: true,
            which: any,
            packets: "packets from the inner address of a distributed floating one, on a host that does not have the VM",
            why: "They came by a detour. The VM's own host translates them, and nobody here knows its connections: untranslated, nothing of it goes on.",
            check: "\"tpctl edge show\" and the log of the agent of the VM's host: which BFD session is down, so that packets go by way of this host?",
        }],
    },
    passes(
        stage::LRP_EGRESS_UNDNAT_STAGE2,
        "What conntrack knew has its external address and goes on; what it did not know goes on here.",
    ),
    passes(
        stage::LRP_EGRESS_SNAT_STAGE1,
        "A new connection to the outside gets the external address of its snat or floating rule, from conntrack.",
    ),
    Explained {
        stage: stage::LRP_EGRESS_SNAT_STAGE2,
        about: "What conntrack translated leaves; a floating address is translated without conntrack where that knows nothing.",
        idle: false,
        ends: &[
            unknown_error(Rule::Snat),
            untranslated(
                Rule::Snat,
                "It belongs to no connection and can begin none (an answer to what came in elsewhere, a damaged packet), or conntrack has no room or no port left. Untranslated, nothing of it goes on.",
            ),
        ],
    },
    Explained {
        stage: stage::LRP_EGRESS_UPDATE_ETH_DST,
        about: "The next hop's MAC becomes the packet's destination.",
        idle: false,
        ends: &[
            told(
                "packets whose next hop is nobody's address",
                "The destination is in a network of the router (or a route's next hop is), but no port there has that address, or the port that \
                 has it is bound to no chassis. It is as if ARP went unanswered. The sender is told: host unreachable.",
                "\"tpctl lsp show LS\" for the ports of that switch, their addresses and chassis; \"tpctl explain reach A B\" says which of \
                 the two it is.",
            ),
            NO_IP,
        ],
    },
    passes(stage::LRP_EGRESS_FORWARD_PACKET, "The last stage that knows the router."),
    passes(stage::LRP_TRACE_EGRESS_OUT, "The packet leaves a router; a trace prints it."),
    Explained {
        stage: stage::LRP_EGRESS_TO_SWITCH,
        about: "The packet enters the switch at the other end of the link.",
        idle: false,
        ends: &[unknown(
            "none: a route leads only to ports that are linked here",
            "Counted packets mean that flows of another state or of other software are in the switch.",
            "The agent's metric drift_repaired_total counts flows that its audits removed.",
        )],
    },
    passes(
        stage::HOOK,
        "Belongs to other software, which sends packets on by resubmit(,11). Only the flow of priority 0 is ours: it sends everything on.",
    ),
];
