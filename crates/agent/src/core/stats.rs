//! What the core counts. Plain numbers: whoever publishes them decides how.

/// Totals since the start, and how things stand now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flows that the rules want.
    pub flows_desired: u64,
    /// Of those, the ones that the switch has, as far as known; 0 until it was read.
    pub flows_installed: u64,
    /// Flow changes that wait for a bundle or are in one.
    pub flows_queued: u64,
    /// Flows and groups that the switch refused and that are set aside.
    pub flows_set_aside: u64,
    /// Groups that the rules want.
    pub groups_desired: u64,
    /// Flow mods sent, in total.
    pub flow_mods: u64,
    /// Group mods sent, in total.
    pub group_mods: u64,
    /// Bundles sent, in total.
    pub bundles: u64,
    /// Bundles refused, in total.
    pub bundles_refused: u64,
    /// Flows refused for the first time, in total.
    pub flows_refused: u64,
    /// Comparisons of the whole switch after connecting, in total.
    pub syncs: u64,
    /// Audits, in total.
    pub audits: u64,
    /// Flows that audits found missing, in total.
    pub drift_missing: u64,
    /// Flows that audits found changed, in total.
    pub drift_different: u64,
    /// Flows that audits found and nobody wanted, in total.
    pub drift_extra: u64,
    /// Groups that audits found wrong, in total.
    pub drift_groups: u64,
    /// Connections to the switch, in total.
    pub switch_connects: u64,
    /// Connections to the database of Open vSwitch, in total.
    pub ovsdb_connects: u64,
    /// Connections to the store, in total.
    pub store_connects: u64,
    /// Whether the switch is connected.
    pub switch_connected: bool,
    /// Whether the switch is in step with the rules, as far as known.
    pub switch_settled: bool,
    /// Changes of the network that are acted on a moment later, so that nothing is lost.
    pub changes_held: u64,
    /// Whether the database of Open vSwitch is connected.
    pub ovsdb_connected: bool,
    /// Whether the store is reached.
    pub store_connected: bool,
    /// Whether the whole network is known.
    pub synced: bool,
    /// Last revision of the store that was taken in.
    pub store_revision: i64,
    /// Changes of objects in the store, in total.
    pub store_changes: u64,
    /// Keys of the mirror that its audits put right, in total.
    pub mirror_repaired: u64,
    /// Updates from the database of Open vSwitch, in total.
    pub ovsdb_updates: u64,
    /// Interfaces that ask for a switch port.
    pub interfaces: u64,
    /// Objects of the store that are set aside.
    pub rejected: u64,
    /// Bindings to write or to take back that wait.
    pub claims_pending: u64,
    /// Writes to the store that were sent, in total.
    pub store_writes: u64,
    /// Writes that lost a race, in total.
    pub store_conflicts: u64,
    /// Packets that the switch sent to us, in total.
    pub packet_ins: u64,
    /// Neighbours outside that are known.
    pub neighbours: u64,
    /// Addresses outside that are being asked for.
    pub neighbours_asked: u64,
    /// Questions for addresses outside that were sent, in total.
    pub neighbour_questions: u64,
    /// Neighbours that were learned, in total.
    pub neighbours_learned: u64,
    /// Neighbours that turned out to have another MAC address, in total.
    pub neighbours_moved: u64,
    /// Neighbours that did not answer, or not any more, in total.
    pub neighbours_silent: u64,
    /// Neighbours and questions that were given up for newer ones, in total.
    pub neighbours_evicted: u64,
    /// What was said of addresses and not believed, in total.
    pub neighbour_claims_refused: u64,
    /// Packets that were kept until their next hop is known, in total.
    pub neighbour_packets_held: u64,
    /// Of those, and of what neighbours said, how many were dropped, in total.
    pub neighbour_packets_dropped: u64,
    /// End points that are watched by BFD.
    pub bfd_sessions: u64,
    /// Of those, the ones that may be sent to.
    pub bfd_up: u64,
    /// How often one of them came or went, in total.
    pub bfd_changes: u64,
    /// Questions to addresses outside that are probed, in total.
    pub probes: u64,
    /// Their answers, in total.
    pub probe_answers: u64,
    /// Whether those that watch this host are told not to send here.
    pub withdrawn: bool,
    /// ICMP errors that routers here sent, in total.
    pub icmp_errors: u64,
    /// Packets that were too long and were cut, in total.
    pub packets_cut: u64,
    /// Packets that routers ended and whose senders were not told, in total.
    pub icmp_errors_withheld: u64,
    /// Packets of traces that were sent, in total.
    pub trace_packets: u64,
    /// Requests of traces that were refused, in total.
    pub traces_refused: u64,
    /// Records of traces that the store took, in total.
    pub trace_records: u64,
    /// Records of traces that were dropped: nobody asked for them, or too many, in total.
    pub trace_records_dropped: u64,
    /// Rows that the rules touched, in total.
    pub rule_rows: u64,
    /// Operators of the rules that ran, in total.
    pub rule_operators: u64,
    /// Transactions of the rules, in total.
    pub rule_steps: u64,
}
