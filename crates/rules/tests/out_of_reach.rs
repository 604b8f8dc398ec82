//! What nothing here can reach is known, since it may be reached tomorrow, but costs little: memory as rows of the rules, and work as rows touched, both
//! counted for each port.

mod common;

use common::*;
use tuplenet_rules::{Change, Engine};

/// Ports of a switch.
const PORTS: u16 = 40;
/// Rows touched when such a port and its binding are loaded. Each goes through its input, its table and what asks whether its switch matters.
const TOUCHED: u64 = 8;

fn port(switch: u32, port: u16) -> Change {
    let (net, id) = (switch % 256, port + 1);
    let json = format!(r#"{{"port_id":{id},"mac":"f2:01:00:00:{net:02x}:{id:02x}","ips":["10.0.{net}.{id}"]}}"#);
    object(format!("ls/S{switch}/lsp/S{switch}-{port}"), json)
}

/// A network of which this host reaches one switch, told as the store lists it: subtree by subtree, a switch before its ports.
fn load(switches: u32) -> Engine {
    let mut engine = engine();
    engine.preload([tunnel(1), interface(1, "S0-0", 11)]);
    let (mut network, mut bindings) = (Vec::new(), Vec::new());
    for switch in 0..switches {
        let name = format!("S{switch}");
        network.push(ls(&name, switch + 1));
        network.extend((0..PORTS).map(|p| port(switch, p)));
        bindings.extend((0..PORTS).map(|p| binding(&name, &format!("{name}-{p}"), "hv2", 1)));
    }
    // The Interface is here.
    bindings.remove(0);
    for part in [network, vec![chassis("hv1", "192.0.2.1"), chassis("hv2", "192.0.2.2")], bindings] {
        for page in part.chunks(1000) {
            engine.preload(page.to_vec());
        }
    }
    let output = engine.open();
    assert!(output.rejects.is_empty(), "{:?}", output.rejects);
    engine
}

#[test]
fn a_port_out_of_reach_is_two_rows_and_is_touched_a_few_times() {
    let (few, many) = (load(5), load(105));
    assert_eq!(few.flow_count(), many.flow_count(), "what cannot be reached has no flows");
    let more = u64::from(PORTS) * 100;
    let rows = |engine: &Engine| engine.statistics().iter().map(|table| table.rows as u64).sum::<u64>();
    let bytes = |engine: &Engine| engine.statistics().iter().map(|table| table.bytes as u64).sum::<u64>();
    // The port, its binding, and a few rows of each switch.
    let rows = rows(&many) - rows(&few);
    assert!(rows <= more * 2 + 100 * 8, "{rows} rows for {more} ports");
    let bytes = bytes(&many) - bytes(&few);
    assert!(bytes <= more * 100, "{bytes} bytes in tables and indexes for {more} ports");
    // No rule says anything of it, not even for a moment: that it has no switch yet, for one.
    let touched = many.counters().rows_touched - few.counters().rows_touched;
    assert!(touched <= more * TOUCHED, "{touched} rows touched for {more} ports");
}
