//! The stages of the pipeline: one OpenFlow table each, in the order in which a packet meets them.
//!
//! This is the only place that gives a table its number. Names are those that a trace prints. A stage that no feature
//! uses yet still has its number, so that flows of other stages keep theirs when the feature comes.

/// A stage, that is an OpenFlow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stage {
    /// The OpenFlow table.
    pub table: u8,
    /// Its name, as a trace prints it after `TABLE_`.
    pub name: &'static str,
    /// Where a packet goes for which the stage has nothing to say; `None`: it is dropped, or the stage's flows say.
    pub next: Option<u8>,
    /// What happens here, for the documentation.
    pub about: &'static str,
}

impl Stage {
    /// Whether a coloured packet is reported here: what a trace prints.
    pub fn is_traced(self) -> bool {
        self.name.contains("_TRACE_")
    }

    /// Whether it ends no packet: it is a part of what the flow does that sends packets here.
    pub fn returns(self) -> bool {
        self == LRP_INGRESS_ECMP_HASH
    }
}

macro_rules! stages {
    ($($(#[doc = $about:literal])+ $name:ident = $table:literal, next $next:expr;)+) => {
        $($(#[doc = $about])+
        pub const $name: Stage =
            Stage { table: $table, name: stringify!($name), next: $next, about: concat!($($about),+) };)+

        /// All stages, by table.
        pub const ALL: &[Stage] = &[$($name),+];
    };
}

stages! {
    /// Which port and datapath a packet comes from: by the port of the bridge, or by the tunnel's option.
    PHYSICAL_IN = 0, next None;

    /// A packet enters a logical switch from one of its ports.
    LSP_TRACE_INGRESS_IN = 10, next Some(HOOK.table);
    /// Port security: source addresses that the port may use.
    LSP_INGRESS_PORT_SECURITY = 11, next Some(12);
    /// ACL, egress of the VM.
    LSP_INGRESS_ACL = 12, next Some(13);
    /// ARP and ND that the agent wants to see.
    LSP_INGRESS_ARP_CONTROLLER = 13, next Some(14);
    /// ARP requests and neighbour solicitations for addresses that are known: who has it.
    LSP_INGRESS_ARP_RESPONSE = 14, next Some(17);
    /// The request becomes the reply. The same for all addresses.
    LSP_INGRESS_NEIGHBOUR_REPLY = 15, next None;
    /// The link-layer address option of a neighbour advertisement: Open vSwitch accepts it only from a flow that
    /// matches the advertisement's type, hence the stage of its own.
    LSP_INGRESS_ND_OPTION = 16, next None;
    /// Destination address to destination port and, if that is remote, its chassis. Bridges' own protocols go no further.
    LSP_INGRESS_LOOKUP_DST_PORT = 17, next None;
    /// The destination port is known and, if that is remote, its chassis.
    LSP_TRACE_INGRESS_OUT = 18, next Some(19);
    /// To the chassis of the destination port, or on to the egress of the switch here.
    LSP_INGRESS_OUTPUT_DST_PORT = 19, next Some(30);

    /// A packet is about to leave a logical switch, on the host that has the destination port.
    LSP_TRACE_EGRESS_IN = 30, next Some(31);
    /// A packet does not return to the port that it came from, unless it is an answer that we made.
    LSP_EGRESS_JUDGE_LOOPBACK = 31, next Some(32);
    /// ACL, ingress of the VM.
    LSP_EGRESS_ACL = 32, next Some(33);
    /// Into the router at the other end of a link, or to all members of a flood group.
    LSP_EGRESS_FORWARD_PACKET = 33, next Some(34);
    /// Out of the port of the bridge.
    LSP_EGRESS_PUSHOUT = 34, next None;

    /// A packet enters a logical router.
    LRP_TRACE_INGRESS_IN = 50, next Some(51);
    /// What the router answers itself: echo requests to its addresses. Tagged frames and what comes from nobody's address
    /// go no further.
    LRP_INGRESS_PKT_RESPONSE = 51, next Some(52);
    /// What a router does not forward: packets to itself, multicast, loopback and link-local
    /// destinations, packets that have no hop left.
    LRP_INGRESS_DROP_UNEXPECT = 52, next Some(53);
    /// NAT: answers to what was translated on the way out, first pass.
    LRP_INGRESS_UNSNAT_STAGE1 = 53, next Some(54);
    /// NAT: answers to what was translated on the way out, after conntrack.
    LRP_INGRESS_UNSNAT_STAGE2 = 54, next Some(55);
    /// NAT of destinations, first pass.
    LRP_INGRESS_DNAT_STAGE1 = 55, next Some(56);
    /// NAT of destinations, after conntrack.
    LRP_INGRESS_DNAT_STAGE2 = 56, next Some(57);
    /// The longest prefix gives the next hop and the port; TTL goes down by one.
    LRP_INGRESS_IP_ROUTE = 57, next None;
    /// One of several equal next hops was chosen.
    LRP_INGRESS_ECMP = 58, next Some(59);
    /// The decision of the router is made.
    LRP_TRACE_INGRESS_OUT = 59, next Some(LRP_EGRESS_MTU.table);
    /// What of the layer above IP counts in the choice of a next hop is noted; the packet goes on in the flow that sent it here.
    LRP_INGRESS_ECMP_HASH = 60, next None;

    /// How long packets may be in the switch that they are for.
    LRP_EGRESS_MTU = 64, next Some(70);
    /// What is longer ends: its sender is told, or it is cut.
    LRP_EGRESS_TOO_BIG = 65, next Some(70);

    /// A packet is about to leave a logical router.
    LRP_TRACE_EGRESS_IN = 70, next Some(71);
    /// NAT: source of answers from a translated destination, first pass.
    LRP_EGRESS_UNDNAT_STAGE1 = 71, next Some(72);
    /// NAT: source of answers from a translated destination, after conntrack.
    LRP_EGRESS_UNDNAT_STAGE2 = 72, next Some(73);
    /// NAT of sources, first pass.
    LRP_EGRESS_SNAT_STAGE1 = 73, next Some(74);
    /// NAT of sources, after conntrack.
    LRP_EGRESS_SNAT_STAGE2 = 74, next Some(75);
    /// The next hop's link-layer address.
    LRP_EGRESS_UPDATE_ETH_DST = 75, next None;
    /// The last stage that knows the router.
    LRP_EGRESS_FORWARD_PACKET = 76, next Some(77);
    /// A packet leaves a logical router.
    LRP_TRACE_EGRESS_OUT = 77, next Some(78);
    /// Into the switch at the other end of the link.
    LRP_EGRESS_TO_SWITCH = 78, next None;

    /// Belongs to other software, which returns a packet by `resubmit` to the stage after. Empty, it costs one hop.
    HOOK = 201, next Some(LSP_INGRESS_PORT_SECURITY.table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_distinct_and_packets_move_forward() {
        for pair in ALL.windows(2) {
            assert!(pair[0].table < pair[1].table, "{} and {} are out of order", pair[0].name, pair[1].name);
        }
        for stage in ALL.iter().filter(|s| **s != HOOK) {
            assert!(stage.next.is_none_or(|next| next > stage.table), "{} goes backwards", stage.name);
        }
        assert!(ALL.iter().filter(|s| s.is_traced()).all(|s| s.next.is_some()), "a traced stage has one way on");
        for next in ALL.iter().filter_map(|s| s.next) {
            assert!(ALL.iter().any(|s| s.table == next), "no stage has table {next}");
        }
    }
}
