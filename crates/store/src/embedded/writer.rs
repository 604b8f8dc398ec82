//! The one writer: a thread that takes what has queued up, does it in one transaction of the file, syncs it once, and then answers all of it.

use super::{
    Shared,
    edit::{Editor, News},
    fault::{Fault, Outcome, storage},
    file::WriteTables,
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// Requests that may wait; more wait at their connections.
const QUEUE: usize = 1024;
/// Requests that share a sync of the disk.
const BATCH: usize = 512;
/// Automatic compaction begins when so many more revisions are kept than need be.
const SLACK: i64 = 1000;

/// Tells the asker, once the commit has succeeded or failed.
type Answer = Box<dyn FnOnce(Result<(), &Status>) + Send>;
/// Does one request; how to answer it, or why the whole batch must be dropped.
type Job = Box<dyn FnOnce(&mut Editor<'_, '_>) -> (Answer, Option<redb::Error>) + Send>;

/// Where requests that change something are handed in.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Option<Job>>);

impl Writer {
    /// Starts the thread. It ends when it is told to, see [`Writer::stop`].
    pub fn start(shared: Arc<Shared>) -> std::io::Result<(Writer, std::thread::JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || run(&shared, queue))?;
        Ok((Writer(jobs), thread))
    }

    /// Ends the thread once what was handed in before is done. What comes later is refused.
    pub async fn stop(&self) {
        // It may have ended by itself.
        let _ = self.0.send(None).await;
    }

    /// Does `change` and waits until it is on the disk. Once handed in it is done even if the asker goes away.
    pub async fn submit<T, F>(&self, change: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&mut Editor<'_, '_>) -> Outcome<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |editor| {
            let (outcome, failure) = match change(editor) {
                Ok(value) => (Ok(value), None),
                Err(Fault::Refused(status)) => (Err(status), None),
                Err(Fault::Storage(error)) => (Err(storage(&error)), Some(error)),
            };
            let reply: Answer = Box::new(move |committed| {
                let outcome = outcome.and_then(|value| committed.map(|()| value).map_err(Status::clone));
                // The asker may have gone.
                let _ = answer.send(outcome);
            });
            (reply, failure)
        });
        self.0.send(Some(job)).await.map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Status {
    Status::unavailable("etcdserver: server stopped")
}

fn run(shared: &Shared, mut queue: mpsc::Receiver<Option<Job>>) {
    let mut stop = false;
    while !stop && let Some(Some(first)) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < BATCH
            && let Ok(job) = queue.try_recv()
        {
            match job {
                Some(job) => jobs.push(job),
                None => {
                    stop = true;
                    break;
                }
            }
        }
        let mut answers = Vec::with_capacity(jobs.len());
        let outcome = batch(shared, jobs, &mut answers).map_err(Status::from);
        for answer in answers {
            answer(outcome.as_ref().map(|_| ()));
        }
    }
}

/// Does all jobs in one transaction. On `Ok` they are on the disk and published. Jobs that were not begun because an earlier one met a fault of the
/// file are dropped, which tells their askers that the store failed.
fn batch(shared: &Shared, jobs: Vec<Job>, answers: &mut Vec<Answer>) -> Outcome<()> {
    let txn = shared.file.begin()?;
    let mut editor = Editor::new(WriteTables::open(&txn)?, &shared.leases)?;
    let before = editor.meta;
    for job in jobs {
        let (answer, failure) = job(&mut editor);
        answers.push(answer);
        if let Some(error) = failure {
            return Err(Fault::Storage(error));
        }
    }
    let keep = shared.keep_revisions;
    if editor.meta.revision - editor.meta.compacted.max(0) > keep.saturating_add(SLACK) {
        editor.compact(editor.meta.revision - keep)?;
    }
    let Some(News { meta, revisions, granted, revoked }) = editor.finish(before)? else {
        return txn.abort().map_err(Fault::from);
    };
    txn.commit()?;
    for (id, ttl) in granted {
        shared.leases.add(id, ttl);
    }
    for id in revoked {
        shared.leases.remove(id);
    }
    shared.recent.push(&revisions, meta.compacted);
    shared.revision.send_replace(meta.revision);
    Ok(())
}
