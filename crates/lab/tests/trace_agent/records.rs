//! Traces begun by hand, and what the hosts tell of them: requests and records in the store.

use super::network::PATIENCE;
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};
use tuplenet_lab::{Lab, Vm};
use tuplenet_model::trace::{InjectRequest, TraceEvent, TraceRecord, TraceStart, path, to_hex};
use tuplenet_store::{Client, Config, Op, Range, Txn};

const ROOT: &str = "/tuplenet/v1/";

/// Does something as a client of the store in the namespace where the hosts reach it.
fn with_store<T: Send>(lab: &Lab, work: impl AsyncFnOnce(Client) -> Result<T> + Send) -> Result<T> {
    let endpoints = lab.endpoints()?;
    lab.management().inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { work(Client::connect(Config::new(&endpoints)?).await?).await })
    })
}

fn id(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("ids of tests begin at 1")
}

/// A packet of a trace, at the port where it starts.
#[derive(Clone)]
pub struct Request {
    pub id: u16,
    pub chassis: &'static str,
    pub port: (&'static str, &'static str),
    pub packet: String,
}

pub fn request(id: u16, from: &Vm, packet: &[u8]) -> Request {
    let ls = match from.name().get(..1) {
        Some("a") => "A",
        Some("b") => "B",
        _ => "F",
    };
    let chassis = if from.host().name() == "hv1" { "hv1" } else { "hv2" };
    let lsp = ["a1", "a2", "b1", "b2", "f1", "f2", "f3"].into_iter().find(|n| *n == from.name()).unwrap_or_default();
    Request { id, chassis, port: (ls, lsp), packet: to_hex(packet) }
}

/// Begins all of them at once, under one lease, which is returned.
pub fn begin(lab: &Lab, requests: &[Request]) -> Result<i64> {
    with_store(lab, async |client| {
        let (lease, _) = client.lease_grant(Duration::from_secs(60)).await?;
        let mut ops = Vec::new();
        for r in requests {
            let (ls, lsp) = (r.port.0.parse(), r.port.1.parse());
            let (ls, lsp) = (ls.map_err(anyhow::Error::msg)?, lsp.map_err(anyhow::Error::msg)?);
            let chassis = r.chassis.parse().map_err(anyhow::Error::msg)?;
            let start = TraceStart { ls, lsp };
            let inject = InjectRequest { ls: start.ls.clone(), lsp: start.lsp.clone(), packet: r.packet.clone() };
            for (key, value) in [
                (path::start(id(r.id)), serde_json::to_vec(&start)?),
                (path::inject(&chassis, id(r.id)), serde_json::to_vec(&inject)?),
            ] {
                ops.push(Op::put_with_lease(&format!("{ROOT}{key}"), value, lease));
            }
        }
        for chunk in ops.chunks(100) {
            client.txn(Txn::new().then_all(chunk.iter().cloned())).await?;
        }
        Ok(lease)
    })
}

pub fn revoke(lab: &Lab, lease: i64) -> Result<()> {
    with_store(lab, async |client| Ok(client.lease_revoke(lease).await?))
}

/// All records below `trace/`, by id and chassis, in order.
pub type Records = BTreeMap<(u16, String), Vec<TraceRecord>>;

pub fn records(lab: &Lab) -> Result<Records> {
    with_store(lab, async |client| {
        let found = client.range(Range::prefix(&format!("{ROOT}trace/"))).await?;
        let mut records = Records::new();
        for kv in found.kvs {
            let path = kv.key.strip_prefix(ROOT).context("a key below the prefix")?;
            let parts: Vec<&str> = path.split('/').collect();
            if let ["trace", id, chassis, n] = parts[..] {
                ensure!(kv.lease != 0 && n.len() == 6, "{}: lease {}", kv.key, kv.lease);
                let record = serde_json::from_slice(&kv.value).with_context(|| kv.key.clone())?;
                records.entry((id.parse()?, chassis.to_owned())).or_default().push(record);
            }
        }
        Ok(records)
    })
}

/// What a host says of a trace, in short: `18 A 2>3 @198.51.100.2`, `delivered 34 B 2>4`, `end`.
pub fn said(records: &Records, id: u16, chassis: &str, network: &Numbers) -> Vec<String> {
    let of_host = records.get(&(id, chassis.to_owned())).map(Vec::as_slice).unwrap_or_default();
    of_host.iter().map(|r| short(r, network)).collect()
}

fn short(r: &TraceRecord, network: &Numbers) -> String {
    let datapath = network.get(&(r.datapath, 0)).cloned().unwrap_or_else(|| r.datapath.to_string());
    let port = |n: u32| match n {
        0 => "?".to_owned(),
        0xffff => "all".to_owned(),
        n => network.get(&(r.datapath, n)).cloned().unwrap_or_else(|| n.to_string()),
    };
    let remote = r.remote.map_or(String::new(), |ip| format!(" @{ip}"));
    let hop = r.next_hop.map_or(String::new(), |ip| format!(" via {ip}"));
    let place = format!("{} {datapath} {}>{}{remote}{hop}", r.table, port(r.from), port(r.to));
    match r.event {
        TraceEvent::Hop => place,
        TraceEvent::Delivered => format!("delivered {place}"),
        TraceEvent::End => "end".to_owned(),
        TraceEvent::Refused => format!("refused: {}", r.text.as_deref().unwrap_or_default()),
    }
}

/// Names of datapaths (port 0) and of their ports.
pub type Numbers = BTreeMap<(u32, u32), String>;

pub fn numbers(lab: &Lab) -> Result<Numbers> {
    with_store(lab, async |client| {
        let mut numbers = Numbers::new();
        let mut ids = BTreeMap::new();
        for kv in client.range(Range::prefix(ROOT)).await?.kvs {
            let value: serde_json::Value = serde_json::from_slice(&kv.value).unwrap_or_default();
            let number =
                |field: &str| value.get(field).and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
            let parts: Vec<&str> = kv.key.strip_prefix(ROOT).unwrap_or_default().split('/').collect();
            match (&parts[..], number("id"), number("port_id")) {
                (["ls" | "lr", name], Some(id), _) => {
                    ids.insert((*name).to_owned(), id);
                    numbers.insert((id, 0), (*name).to_owned());
                }
                (["ls" | "lr", parent, "lsp" | "lrp", name], _, Some(port)) => {
                    if let Some(id) = ids.get(*parent) {
                        numbers.insert((*id, port), (*name).to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(numbers)
    })
}

/// Waits until each of these hosts has told the end of each of these traces.
pub fn wait_ends(lab: &Lab, wanted: &[(u16, &str)]) -> Result<Records> {
    lab.wait_until("the ends of the traces", PATIENCE, || {
        let records = records(lab)?;
        for (id, chassis) in wanted {
            let all = records.get(&(*id, (*chassis).to_owned()));
            let end =
                all.is_some_and(|all| all.iter().any(|r| matches!(r.event, TraceEvent::End | TraceEvent::Refused)));
            ensure!(end, "{id} on {chassis}: {all:?}");
        }
        Ok(records)
    })
}
