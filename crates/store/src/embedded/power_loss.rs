//! A disk that forgets what was not synced: what was answered must be on it, and one sync must serve many writers.
#![allow(clippy::unwrap_used)]

use super::{Leases, Recent, Shared, file::File, latest, span::Span, writer::Writer};
use crate::wire;
use redb::{Database, StorageBackend};
use std::{
    io,
    sync::{Arc, Mutex},
};

#[derive(Debug, Default)]
struct Platters {
    written: Vec<u8>,
    /// What is there after the power was lost.
    synced: Vec<u8>,
    syncs: usize,
}

/// Keeps apart what was written and what was synced.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

impl Disk {
    fn after_power_loss(&self) -> Disk {
        let synced = self.0.lock().unwrap().synced.clone();
        Disk(Arc::new(Mutex::new(Platters { written: synced.clone(), synced, syncs: 0 })))
    }

    fn open(&self) -> File {
        File::of(Database::builder().create_with_backend(self.clone()).unwrap()).unwrap()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(platters.written.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().written.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        platters.synced = platters.written.clone();
        platters.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let place = platters.written.get_mut(from..from + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        place.copy_from_slice(data);
        Ok(())
    }
}

fn shared(disk: &Disk) -> Arc<Shared> {
    let file = disk.open();
    let revision = file.read().unwrap().meta.revision;
    Arc::new(Shared {
        leases: Leases::new(&file.leases),
        path: Default::default(),
        recent: Recent::default(),
        revision: latest::Sender::new(revision),
        keep_revisions: 1000,
        file,
    })
}

#[tokio::test]
async fn what_was_answered_was_synced_before() {
    let disk = Disk::default();
    let (writer, thread) = Writer::start(shared(&disk)).unwrap();
    for n in 0..40_i64 {
        let put = wire::PutRequest { key: format!("/{n}").into(), value: "x".into(), ..Default::default() };
        let (_, revision) = writer.submit(|editor| editor.put_one(put)).await.unwrap();
        // The power is lost in the moment of the answer.
        let file = disk.after_power_loss().open();
        let tables = file.read().unwrap();
        assert_eq!((tables.meta.revision, revision), (n + 2, n + 2));
        assert_eq!(tables.view().now(&Span::From("/".into()), 0).unwrap().count, n + 1);
    }
    let lease = writer.submit(|editor| editor.grant(7, 100)).await.unwrap();
    assert_eq!(disk.after_power_loss().open().leases, [lease]);
    writer.submit(|editor| editor.compact(30)).await.unwrap();
    assert_eq!(disk.after_power_loss().open().read().unwrap().meta.compacted, 30);
    writer.stop().await;
    thread.join().unwrap();
}

#[tokio::test]
async fn many_writers_share_a_sync() {
    let disk = Disk::default();
    let (writer, thread) = Writer::start(shared(&disk)).unwrap();
    let before = disk.0.lock().unwrap().syncs;
    // All are handed in before the first is answered: this runtime has one thread, and none of them waits before it has queued.
    let writes: Vec<_> = (0..300)
        .map(|n| {
            let writer = writer.clone();
            let put = wire::PutRequest { key: format!("/{n}").into(), ..Default::default() };
            tokio::spawn(async move { writer.submit(|editor| editor.put_one(put)).await.unwrap().1 })
        })
        .collect();
    let mut revisions = Vec::new();
    for write in writes {
        revisions.push(write.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..302).collect::<Vec<_>>(), "a revision each");
    let syncs = disk.0.lock().unwrap().syncs - before;
    assert!(syncs < 100, "{syncs} syncs for 300 writes");
    assert_eq!(disk.after_power_loss().open().read().unwrap().meta.revision, 301);

    // What changes nothing costs no sync at all.
    let before = disk.0.lock().unwrap().syncs;
    let nothing = wire::DeleteRangeRequest { key: "/none".into(), ..Default::default() };
    assert_eq!(writer.submit(|editor| editor.delete_one(nothing)).await.unwrap().1, 301);
    assert_eq!(disk.0.lock().unwrap().syncs, before);
    writer.stop().await;
    thread.join().unwrap();
}
