//! How fast a store is: `throughput [ENDPOINTS]`; without endpoints an embedded store in a temporary directory of this process.
//!
//! Prints writes a second for 1 and 64 writers (who share syncs of the disk), the time to list 20,000 keys, and the time from a write until a
//! watcher has it. It writes only below a prefix of its own, `/throughput-<process id>/`, and deletes that at the end.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};
use tuplenet_store::{
    Client, Config, Op, Range, Txn,
    embedded::{Options, Server},
};

async fn writes(client: &Client, root: &str, writers: usize, each: usize) -> f64 {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (client, key) = (client.clone(), format!("{root}/w/{writer}"));
            tokio::spawn(async move {
                for _ in 0..each {
                    client.put(&key, vec![b'x'; 300]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    (writers * each) as f64 / begun.elapsed().as_secs_f64()
}

/// The median time from a write until the last of 500 clients has it.
async fn fan_out(endpoints: &str, root: &str) -> Duration {
    let key = format!("{root}/fan");
    let client = Client::connect(Config::new(endpoints).unwrap()).await.unwrap();
    let from = client.put(&key, "x").await.unwrap();
    let (told, mut heard) = tokio::sync::mpsc::channel(500);
    for _ in 0..500 {
        let mut watch = Client::new(Config::new(endpoints).unwrap()).unwrap().watch(Range::key(&key), from);
        let told = told.clone();
        tokio::spawn(async move { while watch.next().await.is_ok() && told.send(()).await.is_ok() {} });
    }
    let mut times = Vec::new();
    for _ in 0..21 {
        for _ in 0..500 {
            heard.recv().await.unwrap();
        }
        times.push(Instant::now());
        client.put(&key, "x").await.unwrap();
    }
    let mut gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort();
    gaps[10]
}

#[tokio::main]
async fn main() {
    let dir = std::env::temp_dir().join(format!("tuplenet-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let endpoints = match std::env::args().nth(1) {
        Some(endpoints) => endpoints,
        None => {
            let server =
                Server::open(Options::new(dir.join("store.db"), "127.0.0.1:0".parse().unwrap())).await.unwrap();
            let endpoint = server.address().to_string();
            tokio::spawn(server.run(std::future::pending()));
            endpoint
        }
    };
    let client = Client::connect(Config::new(&endpoints).unwrap()).await.unwrap();
    let root = format!("/throughput-{}", std::process::id());
    println!("writes/s, 1 writer:    {:9.0}", writes(&client, &root, 1, 300).await);
    println!("writes/s, 64 writers:  {:9.0}", writes(&client, &root, 64, 100).await);
    for start in (0..20_000).step_by(100) {
        client
            .txn(
                Txn::new()
                    .then_all((start..start + 100).map(|n| Op::put(&format!("{root}/l/{n:05}"), vec![b'x'; 300]))),
            )
            .await
            .unwrap();
    }
    let begun = Instant::now();
    assert_eq!(client.list(&format!("{root}/l/")).await.unwrap().kvs.len(), 20_000);
    println!("list of 20,000 keys:   {:9.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let key = format!("{root}/e");
    let mut watch = client.watch(Range::key(&key), client.get(&key).await.unwrap().1 + 1);
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let (put, seen) = tokio::join!(client.put(&key, "x"), watch.next());
        put.unwrap();
        seen.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    let show = |time: Duration| time.as_secs_f64() * 1e3;
    println!("write to watcher:      {:9.2} ms p50, {:.2} ms p99", show(times[100]), show(times[198]));
    println!(
        "write to 500 watchers: {:9.2} ms p50 (each with a connection of its own)",
        show(fan_out(&endpoints, &root).await)
    );
    println!("file:                  {:9} bytes", client.status().await.unwrap().db_size);
    client.delete(Range::prefix(&format!("{root}/"))).await.unwrap();
    let _ = std::fs::remove_dir_all(dir);
}
