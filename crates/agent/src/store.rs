//! The embedded store in this process: for `tuplenet store`, and for `tuplenet agent --with-store`.

use anyhow::{Context, Result};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_local},
    time::timeout,
};
use tuplenet_store::embedded::{Options, Server};

use crate::driver::signals::Signals;

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store that serves.
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it; what was answered is on the disk.
    pub async fn stop(self) {
        // If it has ended already, all the better.
        let _ = self.stop.send(());
        if timeout(PATIENCE, self.task).await.is_err() {
            tracing::warn!("the embedded store does not end in time: leaving it; what it answered is on the disk");
        }
    }
}

/// Opens the file, made if it does not exist, and begins to serve.
pub async fn start(file: &Path, listen: SocketAddr) -> Result<Running> {
    if let Some(directory) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {} for the store", directory.display()))?;
    }
    let server = Server::open(Options::new(file, listen)).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let task = spawn_local(server.run(async move {
        let _ = stopped.await;
    }));
    Ok(Running { stop, task })
}

/// `tuplenet store`: serves until a signal comes.
pub async fn run(file: &Path, listen: SocketAddr) -> Result<()> {
    let mut signals = Signals::new()?;
    let store = start(file, listen).await?;
    crate::notify::ready();
    let signal = signals.next().await;
    tracing::info!("{signal}: ending the store");
    store.stop().await;
    Ok(())
}
