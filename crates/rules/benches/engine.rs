//! What the rules cost on a host that sees 20,000 ports: cold start, one change, memory. `cargo bench -p tuplenet-rules`
//! (`-- --stores` lists where the memory of the rules is).
//!
//! The network: 2,000 chassis, 500 switches of 40 ports with an IPv4 and an IPv6 address each, 100 routers of 5 switches each, joined by one backbone switch, a static route
//! from every router to 20 prefixes of others; 10 ports are local. Memory is the process's resident set, read from the kernel.

use std::time::{Duration, Instant};
use tuplenet_model::entity::EncapKind;
use tuplenet_rules::{Change, Config, Engine, LocalInterface, Scope};

const CHASSIS: u32 = 2_000;
const SWITCHES: u32 = 500;
const PORTS: u32 = 40;
const ROUTERS: u32 = 100;
const ROUTES: u32 = 20;
const LOCAL: u32 = 10;
const CHANGES: u32 = 2_000;

fn object(path: String, json: String) -> Change {
    Change::Object { path, value: Some(json.into_bytes().into()), create_revision: 1 }
}

fn lsp(switch: u32, port: u32) -> [Change; 2] {
    let (a, b) = (switch / 250, switch % 250);
    let ls = format!("ls-{switch}");
    let chassis = if port == 1 && switch < LOCAL { 0 } else { (switch * PORTS + port) % (CHASSIS - 1) + 1 };
    [
        object(
            format!("ls/{ls}/lsp/vm-{switch}-{port}"),
            format!(
                r#"{{"port_id":{port},"mac":"f2:01:{a:02x}:{b:02x}:{:02x}:{:02x}","ips":["10.{a}.{b}.{port}","fd00:{switch:x}::{port:x}"]}}"#,
                port >> 8,
                port & 255
            ),
        ),
        object(format!("binding/{ls}/vm-{switch}-{port}"), format!(r#"{{"chassis":"hv-{chassis}","generation":1}}"#)),
    ]
}

/// `net` is the router's IPv4 and IPv6 address with their lengths.
fn link(changes: &mut Vec<Change>, router: u32, ls: &str, lrp_id: u32, lsp_id: u32, nets: [&str; 2], mac: &str) {
    let (lrp, lsp) = (format!("lr-{router}_to_{ls}"), format!("{ls}_to_lr-{router}"));
    changes.push(object(
        format!("lr/lr-{router}/lrp/{lrp}"),
        format!(
            r#"{{"port_id":{lrp_id},"mac":"{mac}","nets":["{}","{}"],"peer":{{"ls":"{ls}","lsp":"{lsp}"}}}}"#,
            nets[0], nets[1]
        ),
    ));
    let [v4, v6] = nets.map(|net| net.split('/').next().unwrap_or_default());
    changes.push(object(
        format!("ls/{ls}/lsp/{lsp}"),
        format!(
            r#"{{"port_id":{lsp_id},"mac":"{mac}","ips":["{v4}","{v6}"],"peer":{{"lr":"lr-{router}","lrp":"{lrp}"}}}}"#
        ),
    ));
}

fn network(all_reachable: bool) -> Vec<Change> {
    let mut changes = vec![Change::Tunnel { kind: EncapKind::Geneve, remote: None, ofport: Some(1) }];
    for c in 0..CHASSIS {
        let ip = format!("172.16.{}.{}", c / 250, c % 250 + 1);
        changes.push(object(format!("chassis/hv-{c}"), format!(r#"{{"encaps":[{{"type":"geneve","ip":"{ip}"}}]}}"#)));
    }
    changes.push(object("ls/backbone".into(), r#"{"id":1000}"#.into()));
    for s in 0..SWITCHES {
        changes.push(object(format!("ls/ls-{s}"), format!(r#"{{"id":{}}}"#, s + 1)));
        changes.extend((1..=PORTS).flat_map(|p| lsp(s, p)));
    }
    for r in 0..ROUTERS {
        changes.push(object(format!("lr/lr-{r}"), format!(r#"{{"id":{},"chassis":null}}"#, 2000 + r)));
        for (i, s) in (r * 5..r * 5 + 5).enumerate() {
            let (a, b) = (s / 250, s % 250);
            let (v4, v6) = (format!("10.{a}.{b}.254/24"), format!("fd00:{s:x}::fe/64"));
            let mac = format!("f2:01:{a:02x}:{b:02x}:ff:fe");
            link(&mut changes, r, &format!("ls-{s}"), i as u32 + 1, 1000, [&v4, &v6], &mac);
        }
        if all_reachable {
            let (v4, v6) = (format!("100.64.0.{}/24", r + 1), format!("fd64::{:x}/64", r + 1));
            link(&mut changes, r, "backbone", 10, r + 1, [&v4, &v6], &format!("f2:02:00:00:00:{r:02x}"));
            for i in 0..ROUTES {
                let other = (r + i + 1) % ROUTERS;
                let (a, b) = (other * 5 / 250, other * 5 % 250);
                changes.push(object(
                    format!("lr/lr-{r}/lsr/to-{other}"),
                    format!(
                        r#"{{"prefix":"10.{a}.{b}.0/24","next_hop":"100.64.0.{}","outport":"lr-{r}_to_backbone"}}"#,
                        other + 1
                    ),
                ));
            }
        }
    }
    let local = |s: u32| Change::Interface {
        id: s.into(),
        interface: Some(LocalInterface {
            name: format!("vif{s}"),
            iface_id: format!("vm-{s}-1"),
            ofport: s + 10,
            claim: None,
        }),
    };
    // Ten local ports: each on a switch of its own, or all behind one router of 200 ports.
    changes.extend((0..LOCAL).filter(|s| all_reachable || *s < 5).map(local));
    changes
}

fn resident_mb() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = pages.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(f64::NAN);
    pages * 4096.0 / 1e6
}

/// Time that this thread was on a processor: other programs' turns are not ours. Read from the kernel (schedstat).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

fn report(what: &str, mut times: Vec<Duration>, flows: usize) {
    times.sort();
    let at =
        |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1e6;
    let n = times.len();
    println!(
        "{what:<28} {n:>6} {:>10.1} {:>10.1} {:>10.1} {:>12.2}",
        at(0.5),
        at(0.99),
        at(0.9999),
        flows as f64 / n as f64
    );
}

fn measure(all_reachable: bool) {
    let changes = network(all_reachable);
    let before = resident_mb();
    let chassis = "hv-0".parse().expect("a valid name");
    let mut engine = Engine::new(Config { chassis, scope: Scope::Reachable });
    let (start, cpu) = (Instant::now(), cpu_time());
    engine.preload(changes);
    engine.open();
    let (cold, cpu) = (start.elapsed(), cpu_time() - cpu);
    let memory = resident_mb() - before;
    let reach = if all_reachable { "all" } else { "200" };
    println!(
        "\n{reach} of 20,000 ports reachable: {} flows, cold start {:.3} s ({:.3} s of processor), {memory:.1} MB more resident",
        engine.flow_count(),
        cold.as_secs_f64(),
        cpu.as_secs_f64()
    );
    println!("{:<28} {:>6} {:>10} {:>10} {:>10} {:>12}", "change", "n", "p50 us", "p99 us", "max us", "flows each");

    if std::env::args().any(|arg| arg == "--stores") {
        let mut stores = engine.statistics();
        stores.sort_by_key(|store| std::cmp::Reverse(store.bytes));
        for store in stores.iter().take(12) {
            println!(
                "  {:<20} {:>8} rows {:>8} groups {:>10} bytes",
                store.name.unwrap_or("-"),
                store.rows,
                store.groups.iter().sum::<usize>(),
                store.bytes
            );
        }
    }
    let (mut add, mut remove, mut bind) = (Vec::new(), Vec::new(), Vec::new());
    let (mut added, mut removed, mut bound) = (0, 0, 0);
    for i in 0..CHANGES {
        let [port, binding] = lsp(i % SWITCHES, 100 + i / SWITCHES);
        let paths: Vec<String> = [&port, &binding]
            .iter()
            .filter_map(|c| if let Change::Object { path, .. } = c { Some(path.clone()) } else { None })
            .collect();
        let start = Instant::now();
        let output = engine.apply([port, binding]);
        add.push(start.elapsed());
        added += output.flows.len();
        if i % 2 == 0 {
            let gone = paths.into_iter().map(|path| Change::Object { path, value: None, create_revision: 0 });
            let start = Instant::now();
            let output = engine.apply(gone);
            remove.push(start.elapsed());
            removed += output.flows.len();
        }
    }
    for i in 0..200 {
        let interface =
            LocalInterface { name: "vif".into(), iface_id: format!("vm-{}-2", i % 5), ofport: 99, claim: None };
        let start = Instant::now();
        let output = engine.apply([Change::Interface { id: 99, interface: Some(interface) }]);
        bind.push(start.elapsed());
        bound += output.flows.len();
    }
    report("add a port (with binding)", add, added);
    report("remove it", remove, removed);
    report("bind a local port", bind, bound);
}

fn main() {
    measure(false);
    measure(true);
}
