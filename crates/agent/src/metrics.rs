//! Metrics for Prometheus: what the core counts, under names for people who watch many hosts. `docs/agent.md` explains each.

use crate::core::stats::Stats;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};
use std::{sync::atomic::AtomicU64, time::Duration};

/// Upper ends of the latency histogram's buckets, in seconds: around the mark of 10 ms, and up to where an operator is called.
const LATENCY: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

type Reader = fn(&Stats) -> u64;
/// Values of the label `kind`, each with what it reads.
type Kinds = &'static [(&'static str, Reader)];

/// All metrics. Counters and gauges are read from [`Stats`] when somebody asks.
pub struct Metrics {
    registry: Registry,
    gauges: Vec<(Gauge, Reader)>,
    counters: Vec<(Counter<u64, AtomicU64>, Reader)>,
    latency: Histogram,
}

impl Metrics {
    /// All at zero. `chassis` and `version` become labels of `tuplenet_build`.
    pub fn new(chassis: &str) -> Self {
        let mut registry = Registry::with_prefix("tuplenet");
        let build = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("chassis", chassis.to_owned())];
        registry.register("build", "Which agent this is", Info::new(build.to_vec()));
        let gauges: [(&str, &str, Reader); 20] = [
            ("flows_desired", "Flows that the rules want in the switch", |s| s.flows_desired),
            ("flows_installed", "Of those, the ones that the switch has, as far as known", |s| s.flows_installed),
            ("flows_queued", "Flow changes that wait for the switch", |s| s.flows_queued),
            ("changes_held", "Changes of the network that are acted on a moment later", |s| s.changes_held),
            ("flows_set_aside", "Flows and groups that the switch refused", |s| s.flows_set_aside),
            ("groups_desired", "Groups that the rules want in the switch", |s| s.groups_desired),
            ("claims_pending", "Bindings that wait to be written to the store, or taken back", |s| s.claims_pending),
            ("interfaces", "Interfaces that ask for a switch port", |s| s.interfaces),
            ("objects_rejected", "Objects of the store that are set aside (tpctl doctor lists them)", |s| s.rejected),
            ("neighbours", "Neighbours outside that are known", |s| s.neighbours),
            ("neighbours_asked", "Addresses outside that are being asked for", |s| s.neighbours_asked),
            ("bfd_sessions", "Tunnel end points of other chassis that are watched by BFD", |s| s.bfd_sessions),
            ("bfd_up", "Of those, the ones that may be sent to", |s| s.bfd_up),
            ("withdrawn", "1 while those that watch this host are told not to send here", |s| s.withdrawn.into()),
            ("store_revision", "Last revision of the store that was taken in", |s| {
                u64::try_from(s.store_revision).unwrap_or(0)
            }),
            ("synced", "1 once the whole network is known", |s| s.synced.into()),
            ("store_connected", "1 while the store is reached", |s| s.store_connected.into()),
            ("ovsdb_connected", "1 while the database of Open vSwitch is connected", |s| s.ovsdb_connected.into()),
            ("switch_connected", "1 while the switch is connected", |s| s.switch_connected.into()),
            ("switch_settled", "1 while the switch holds what the rules want, as far as known", |s| {
                s.switch_settled.into()
            }),
        ];
        let counters: [(&str, &str, Reader); 31] = [
            ("flow_mods", "Flow mods sent to the switch", |s| s.flow_mods),
            ("group_mods", "Group mods sent to the switch", |s| s.group_mods),
            ("bundles", "Bundles sent to the switch", |s| s.bundles),
            ("bundles_refused", "Bundles that the switch refused", |s| s.bundles_refused),
            ("flows_refused", "Flows that the switch refused", |s| s.flows_refused),
            ("syncs", "Comparisons of the whole switch after a connection", |s| s.syncs),
            ("audits", "Audits of the switch", |s| s.audits),
            ("mirror_repaired", "Objects that an audit of the mirror put right", |s| s.mirror_repaired),
            ("store_writes", "Writes to the store", |s| s.store_writes),
            ("store_conflicts", "Writes to the store that lost a race", |s| s.store_conflicts),
            ("packet_ins", "Packets that the switch sent to the agent", |s| s.packet_ins),
            ("neighbour_questions", "Questions for addresses outside", |s| s.neighbour_questions),
            ("neighbours_learned", "Neighbours outside that were learned", |s| s.neighbours_learned),
            ("neighbours_moved", "Neighbours outside that have another MAC address now", |s| s.neighbours_moved),
            ("neighbours_silent", "Neighbours outside that did not answer", |s| s.neighbours_silent),
            ("neighbours_evicted", "Neighbours outside that were given up for newer ones", |s| s.neighbours_evicted),
            ("neighbour_claims_refused", "What was said of addresses outside and not believed", |s| {
                s.neighbour_claims_refused
            }),
            ("neighbour_packets_held", "Packets kept until their next hop outside is known", |s| {
                s.neighbour_packets_held
            }),
            ("probes", "Questions to addresses outside that are probed", |s| s.probes),
            ("probe_answers", "Answers to them", |s| s.probe_answers),
            ("bfd_changes", "How often a watched end point came or went", |s| s.bfd_changes),
            ("neighbour_packets_dropped", "Packets that were dropped instead", |s| s.neighbour_packets_dropped),
            ("icmp_errors", "ICMP errors that routers here sent", |s| s.icmp_errors),
            ("packets_cut", "Packets that were too long, and that routers here cut", |s| s.packets_cut),
            ("icmp_errors_withheld", "Packets that routers ended and whose senders were not told", |s| {
                s.icmp_errors_withheld
            }),
            ("trace_packets", "Packets of traces that were sent", |s| s.trace_packets),
            ("traces_refused", "Requests of traces that were refused", |s| s.traces_refused),
            ("trace_records", "Records of traces that the store took", |s| s.trace_records),
            ("trace_records_dropped", "Records of traces that nobody asked for, or too many", |s| {
                s.trace_records_dropped
            }),
            ("rule_rows", "Rows that the rules touched", |s| s.rule_rows),
            ("rule_operators", "Operators of the rules that ran", |s| s.rule_operators),
        ];
        let families: [(&str, &str, Kinds); 3] = [
            (
                "events",
                "Events by kind",
                &[
                    ("store-change", |s| s.store_changes),
                    ("ovsdb-update", |s| s.ovsdb_updates),
                    ("rule-transaction", |s| s.rule_steps),
                ],
            ),
            (
                "connects",
                "Connections made, by peer",
                &[("switch", |s| s.switch_connects), ("ovsdb", |s| s.ovsdb_connects), ("store", |s| s.store_connects)],
            ),
            (
                "drift_repaired",
                "What audits of the switch found wrong, and repaired",
                &[
                    ("flow-missing", |s| s.drift_missing),
                    ("flow-different", |s| s.drift_different),
                    ("flow-extra", |s| s.drift_extra),
                    ("group", |s| s.drift_groups),
                ],
            ),
        ];
        let gauges = gauges.map(|(name, help, read)| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            (gauge, read)
        });
        let mut all: Vec<(Counter, Reader)> = Vec::new();
        for (name, help, read) in counters {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            all.push((counter, read));
        }
        for (name, help, kinds) in families {
            let family = Family::<Kind, Counter>::default();
            registry.register(name, help, family.clone());
            all.extend(kinds.iter().map(|(kind, read)| (family.get_or_create(&Kind { kind }).clone(), *read)));
        }
        let latency = Histogram::new(LATENCY);
        registry.register(
            "install_latency_seconds",
            "From an event of the store to its flows in the switch",
            latency.clone(),
        );
        Self { registry, gauges: gauges.into(), counters: all, latency }
    }

    /// A change was in the switch so long after the store's event.
    pub fn installed(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
    }

    /// The page that Prometheus reads (OpenMetrics text format 1.0).
    pub fn page(&self, stats: &Stats) -> String {
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(stats)).unwrap_or(i64::MAX));
        }
        for (counter, read) in &self.counters {
            counter.inc_by(read(stats).saturating_sub(counter.get()));
        }
        let mut page = String::new();
        match encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(_) => String::new(),
        }
    }
}

/// Content type of [`Metrics::page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::new("hv1");
        let mut stats = Stats { flow_mods: 7, drift_extra: 2, flows_desired: 5, ..Stats::default() };
        metrics.installed(Duration::from_millis(3));
        metrics.page(&stats);
        stats.flow_mods = 9;
        stats.flows_desired = 4;
        let page = metrics.page(&stats);
        for line in [
            "tuplenet_flow_mods_total 9",
            "tuplenet_flows_desired 4",
            "tuplenet_drift_repaired_total{kind=\"flow-extra\"} 2",
            "tuplenet_install_latency_seconds_bucket{le=\"0.005\"} 1",
            "tuplenet_build_info{version=\"",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
