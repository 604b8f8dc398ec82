//! What the end-to-end tests share: two hosts with agents, a network from a document, guests.
#![allow(dead_code)] // each test file uses its part

use anyhow::{Context, Result, ensure};
use std::{collections::BTreeMap, time::Duration};
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Vm, VmSpec};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Hosts `hv1`, `hv2`, ..., an agent on each, on the store that the lab has.
pub fn hosts(lab: &Lab, count: usize) -> Result<(Vec<Host>, Vec<Agent>)> {
    hosts_with(lab, count, &AgentSpec::new())
}

/// The same with agents that are started so.
pub fn hosts_with(lab: &Lab, count: usize, spec: &AgentSpec) -> Result<(Vec<Host>, Vec<Agent>)> {
    let names: Vec<String> = (1..=count).map(|n| format!("hv{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hosts = lab.hosts(&names)?;
    let agents = hosts.iter().map(|host| host.agent(spec)).collect::<Result<Vec<_>>>()?;
    for agent in &agents {
        agent.wait_settled(PATIENCE)?;
    }
    Ok((hosts, agents))
}

/// Makes the network what a document says.
pub fn apply(lab: &Lab, document: &str) -> Result<()> {
    let file = lab.directory().join("network.yaml");
    std::fs::write(&file, document)?;
    let file = file.to_str().context("the lab's directory has a UTF-8 name")?;
    lab.tpctl(&["-y", "apply", "-f", file]).map(drop)
}

/// A guest with 10.NET.0.NUMBER/24 and fd00:NET::NUMBER/64, its gateways at .254 and ::fe, bound to the port of its name.
pub fn spec(name: &str, net: u8, number: u8) -> VmSpec {
    let (v4, v6) = ips(net, number);
    VmSpec::new(name)
        .address(&format!("{v4}/24"))
        .address(&format!("{v6}/64"))
        .gateway(&format!("10.{net}.0.254"))
        .gateway(&format!("fd00:{net:x}::fe"))
}

/// The two addresses of [`spec`].
pub fn ips(net: u8, number: u8) -> (String, String) {
    (format!("10.{net}.0.{number}"), format!("fd00:{net:x}::{number:x}"))
}

/// One guest reaches the other in both families, with that TTL on arrival at the first.
pub fn reaches(from: &Vm, to: &Vm, ttl: u8) -> Result<()> {
    for address in [to.ipv4()?, to.ipv6()?] {
        from.wait_ping(&address, PATIENCE)?;
        let report = from.must_ping(&address)?;
        ensure!(report.ttls.iter().all(|t| *t == ttl), "{} -> {address}: {report:?}, not TTL {ttl}", from.name());
    }
    Ok(())
}

/// The flows of br-int by what tells them apart, without counters: `table=..., priority=..., match` to cookie and actions.
pub fn flow_set(host: &Host) -> Result<BTreeMap<String, String>> {
    let counters = ["n_packets=", "n_bytes=", "duration=", "idle_age=", "hard_age="];
    let mut flows = BTreeMap::new();
    for line in host.flows()? {
        let (head, actions) = line.split_once(" actions=").with_context(|| format!("no actions in `{line}`"))?;
        let mut key = Vec::new();
        let mut cookie = "";
        for part in head.split([' ', ',']).map(str::trim).filter(|p| !p.is_empty()) {
            if part.starts_with("cookie=") {
                cookie = part;
            } else if !counters.iter().any(|c| part.starts_with(c)) {
                key.push(part);
            }
        }
        flows.insert(key.join(","), format!("{cookie} actions={actions}"));
    }
    Ok(flows)
}

/// What differs between two flow sets, one text a flow.
pub fn flow_changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let gone = before.iter().filter(|(k, v)| after.get(*k) != Some(v)).map(|(k, v)| format!("- {k} {v}"));
    let come = after.iter().filter(|(k, v)| before.get(*k) != Some(v)).map(|(k, v)| format!("+ {k} {v}"));
    gone.chain(come).collect()
}

/// Flows and groups of br-int, with the names of ports for their numbers, which OVS gives anew to a port that was away.
pub fn switch_state(host: &Host) -> Result<BTreeMap<String, String>> {
    let ports = host.ofctl(&["dump-ports-desc", "br-int"])?;
    let name = |line: &str| -> Option<(String, String)> {
        let (number, rest) = line.trim().split_once('(')?;
        Some((number.parse::<u32>().ok()?.to_string(), rest.split_once(')')?.0.to_owned()))
    };
    let names: BTreeMap<String, String> = ports.lines().filter_map(name).collect();
    let named = |text: &str| {
        let mut parts: Vec<String> = Vec::new();
        for part in text.split_inclusive([',', ' ']) {
            let (word, end) = part.split_at(part.trim_end_matches([',', ' ']).len());
            let known = ["in_port=", "output:", "watch_port:"].iter().find_map(|what| {
                let at = word.find(what)? + what.len();
                Some(format!("{}{}", &word[..at], names.get(&word[at..])?))
            });
            parts.push(known.unwrap_or_else(|| word.to_owned()) + end);
        }
        parts.concat()
    };
    let flows = flow_set(host)?.into_iter().map(|(key, value)| (named(&key), named(&value)));
    let groups = host.ofctl(&["dump-groups", "br-int"])?;
    let group = |line: &str| {
        let mut buckets: Vec<String> = named(line.trim()).split(",bucket=").map(str::to_owned).collect();
        let head = buckets.remove(0);
        // Ids count in groups that choose; of the others the agent gives them.
        if head.contains("type=all") {
            buckets =
                buckets.iter().map(|b| b.split_once(',').map_or(String::new(), |(_, rest)| rest.to_owned())).collect();
        }
        buckets.sort();
        (head, buckets.join(" | "))
    };
    let groups = groups.lines().filter(|line| line.contains("group_id=")).map(group);
    Ok(flows.chain(groups).collect())
}
