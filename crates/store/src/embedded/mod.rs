//! The embedded store: the part of etcd v3 that we use, in one process over one file, so that a single machine needs no etcd.
//!
//! What it promises: a change that was answered is on the disk (synced) and survives `kill -9` and power loss; revisions and leases survive a
//! restart; reads see every change that was answered before they were asked. It is not distributed and has no users: past one machine, run etcd.
//!
//! - `file`: the tables, and how the file is opened. `view` reads them, `edit` changes them, `check` refuses nonsense before.
//! - `writer`: one thread that changes, many requests a sync. Reads run beside it on snapshots.
//! - `watch`, `recent`: watches, pulled from the latest revisions in memory or from the log.
//! - `lease`: time. `service`: the methods. `fault`: errors, etcd's word for word.

mod check;
mod edit;
mod fault;
mod file;
mod lease;
mod recent;
mod service;
mod span;
mod view;
mod watch;
mod writer;

#[cfg(test)]
mod power_loss;

pub use fault::EmbeddedError;

use crate::wire;
use file::File;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lease::Leases;
use recent::Recent;
use service::Service;
use std::{convert::Infallible, future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch as latest},
    task::JoinSet,
};
use writer::Writer;

/// How long requests may take to end when the store is told to.
const GRACE: Duration = Duration::from_millis(500);
/// A client that is silent this long is asked for life, and given up after as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How to run the embedded store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file; made if it does not exist. Its directory must exist.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many revisions of history are kept at least; older history is compacted away by itself.
    pub keep_revisions: i64,
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// Connections at a time; more wait.
    pub max_connections: usize,
}

impl Options {
    /// With the defaults for all but file and address.
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Options {
        Options { data: data.into(), listen, keep_revisions: 10_000, cache_bytes: 64 << 20, max_connections: 4096 }
    }
}

/// What all parts share.
struct Shared {
    file: File,
    path: PathBuf,
    leases: Leases,
    recent: Recent,
    /// The last committed revision.
    revision: latest::Sender<i64>,
    keep_revisions: i64,
}

impl Shared {
    fn header(&self, revision: i64) -> wire::ResponseHeader {
        wire::ResponseHeader {
            cluster_id: self.file.identity.cluster,
            member_id: self.file.identity.member,
            revision,
            raft_term: 1,
        }
    }
}

/// Runs the embedded store until `shutdown` completes. What was answered by then is on the disk.
pub async fn serve(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), EmbeddedError> {
    Server::open(options).await?.run(shutdown).await;
    Ok(())
}

/// An embedded store that has its file and its port, and does not serve yet: connections wait.
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    max_connections: usize,
}

impl Server {
    /// Opens the file and binds the port. After a crash the file is checked and put in order first, which takes time in proportion to its size.
    pub async fn open(options: Options) -> Result<Server, EmbeddedError> {
        let listen_error = |error: std::io::Error| EmbeddedError::Listen {
            address: options.listen,
            reason: match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "the port is in use: is a store running already? end it, or choose another port".to_owned()
                }
                _ => error.to_string(),
            },
        };
        let listener = TcpListener::bind(options.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let (path, reason) = (options.data.clone(), "opening it failed".to_owned());
        let (keep_revisions, max_connections) = (options.keep_revisions.max(0), options.max_connections.max(1));
        let opened = tokio::task::spawn_blocking(move || {
            let file = File::open(&options)?;
            let read = file.read().map_err(|fault| EmbeddedError::Open {
                path: options.data,
                reason: tonic::Status::from(fault).message().to_owned(),
            })?;
            Ok((file, read.meta))
        });
        let (file, meta) = opened.await.unwrap_or(Err(EmbeddedError::Open { path: path.clone(), reason }))?;
        tracing::info!(path = %path.display(), %address, revision = meta.revision, "the embedded store is open");
        let shared = Shared {
            leases: Leases::new(&file.leases),
            path,
            recent: Recent::default(),
            revision: latest::Sender::new(meta.revision),
            keep_revisions,
            file,
        };
        Ok(Server { shared: Arc::new(shared), listener, address, max_connections })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (writer, thread) = match Writer::start(self.shared.clone()) {
            Ok(started) => started,
            Err(error) => {
                tracing::error!(%error, "the embedded store cannot start its writer thread");
                return;
            }
        };
        let service = Service {
            shared: self.shared.clone(),
            writer: writer.clone(),
            url: format!("http://{}", self.address).into(),
        };
        let connections = Arc::new(Semaphore::new(self.max_connections));
        let (stop, stopped) = latest::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut expiry = std::pin::pin!(expire(&self.shared, writer));
        loop {
            let accept = async {
                // Closing the semaphore is nothing that we do.
                let permit = connections.clone().acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut expiry => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                (permit, accepted) = accept => match accepted {
                    Ok((stream, peer)) => {
                        let connection = connection(stream, service.clone(), stopped.clone());
                        tasks.spawn(async move {
                            connection.await;
                            drop(permit);
                            tracing::debug!(%peer, "a client of the embedded store has gone");
                        });
                    }
                    // Out of descriptors, most likely: wait for some to be given back.
                    Err(error) => {
                        tracing::warn!(%error, "the embedded store cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        stop.send_replace(true);
        let _ = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
        tasks.shutdown().await;
        service.writer.stop().await;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        tracing::info!("the embedded store is closed");
    }
}

/// Ends the leases that nobody renewed.
async fn expire(shared: &Shared, writer: Writer) {
    loop {
        for id in shared.leases.expired().await {
            match writer.submit(move |editor| editor.revoke(id, true)).await {
                Ok(_) => tracing::debug!(lease = id, "a lease has ended"),
                Err(status) if status.code() == tonic::Code::NotFound => shared.leases.remove_expired(id),
                Err(status) => {
                    tracing::warn!(
                        lease = id,
                        error = status.message(),
                        "a lease has ended and cannot be removed; trying again"
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, service: Service, mut stopped: latest::Receiver<bool>) {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let serve = hyper::service::service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.serve(request).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(1024)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), serve));
    tokio::select! {
        outcome = &mut connection => {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection to the embedded store broke");
            }
            return;
        }
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    // Watches never end by themselves: they end with the task.
    let _ = connection.await;
}
