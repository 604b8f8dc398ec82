//! The file: one redb database, its tables, and how it is opened.
//!
//! Every change of a key is one record in `LOG`, under its revision and its place in it. `KEYS` is the state now. `PAST` finds the record of a key
//! at a revision. A record knows the one that it superseded, so compaction costs as much as there is to forget: it walks the records between the
//! old mark and the new and deletes what each superseded.

use super::{
    Options,
    fault::{EmbeddedError, Fault, Outcome, corrupt},
};
use crate::wire;
use bytes::Bytes;
use prost::Message as _;
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use std::{
    hash::{BuildHasher as _, Hasher as _},
    path::{Path, PathBuf},
};

/// The format of the file that this code reads and writes.
const FORMAT: i64 = 1;

/// Single numbers, see [`Meta`].
const META: TableDefinition<&str, i64> = TableDefinition::new("meta");
/// Key -> `wire::KeyValue`.
const KEYS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("keys");
/// Key and revision -> place within the revision.
const PAST: TableDefinition<(&[u8], i64), i64> = TableDefinition::new("past");
/// Revision and place -> [`Record`].
const LOG: TableDefinition<(i64, i64), &[u8]> = TableDefinition::new("log");
/// Lease -> seconds granted.
const LEASES: TableDefinition<i64, i64> = TableDefinition::new("leases");
/// Lease and key that dies with it.
const ATTACHED: TableDefinition<(i64, &[u8]), ()> = TableDefinition::new("attached");

/// One change of one key, as logged.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(bool, tag = "1")]
    pub delete: bool,
    /// The key afterwards; of a deletion only key and `mod_revision`.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<wire::KeyValue>,
    /// Where the record is that this one superseded; revision 0 if the key did not exist.
    #[prost(int64, tag = "3")]
    pub prev_revision: i64,
    #[prost(int64, tag = "4")]
    pub prev_place: i64,
}

impl Record {
    pub fn decode_stored(bytes: &[u8]) -> Outcome<(Record, wire::KeyValue)> {
        let mut record = Record::decode(Bytes::copy_from_slice(bytes)).map_err(|_| corrupt("a record of the log"))?;
        let kv = record.kv.take().ok_or_else(|| corrupt("a record of the log"))?;
        Ok((record, kv))
    }
}

pub(super) fn decode_kv(bytes: &[u8]) -> Outcome<wire::KeyValue> {
    wire::KeyValue::decode(Bytes::copy_from_slice(bytes)).map_err(|_| corrupt("a key"))
}

/// Single numbers of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// The revision of the last change; 1 before the first, as in etcd.
    pub revision: i64,
    /// What was superseded at or before this is forgotten; -1 before the first compaction, as in etcd.
    pub compacted: i64,
    /// Counts committed changes of any kind: stands for the index of the raft log.
    pub index: i64,
}

impl Meta {
    pub fn read(table: &impl ReadableTable<&'static str, i64>) -> Outcome<Meta> {
        let get = |name: &str| -> Outcome<i64> { Ok(table.get(name)?.ok_or_else(|| corrupt("the revision"))?.value()) };
        Ok(Meta { revision: get("revision")?, compacted: get("compacted")?, index: get("index")? })
    }
}

/// Who answers: ids as etcd has them, made when the file was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub cluster: u64,
    pub member: u64,
}

/// The tables that a snapshot reads.
pub(super) struct ReadTables {
    pub meta: Meta,
    pub keys: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub past: ReadOnlyTable<(&'static [u8], i64), i64>,
    pub log: ReadOnlyTable<(i64, i64), &'static [u8]>,
    pub attached: ReadOnlyTable<(i64, &'static [u8]), ()>,
}

/// The tables of a transaction in progress.
pub(super) struct WriteTables<'txn> {
    pub meta: Table<'txn, &'static str, i64>,
    pub keys: Table<'txn, &'static [u8], &'static [u8]>,
    pub past: Table<'txn, (&'static [u8], i64), i64>,
    pub log: Table<'txn, (i64, i64), &'static [u8]>,
    pub leases: Table<'txn, i64, i64>,
    pub attached: Table<'txn, (i64, &'static [u8]), ()>,
}

impl<'txn> WriteTables<'txn> {
    pub fn open(txn: &'txn WriteTransaction) -> Outcome<WriteTables<'txn>> {
        Ok(WriteTables {
            meta: txn.open_table(META)?,
            keys: txn.open_table(KEYS)?,
            past: txn.open_table(PAST)?,
            log: txn.open_table(LOG)?,
            leases: txn.open_table(LEASES)?,
            attached: txn.open_table(ATTACHED)?,
        })
    }

    pub fn write_meta(&mut self, meta: Meta) -> Outcome<()> {
        self.meta.insert("revision", meta.revision)?;
        self.meta.insert("compacted", meta.compacted)?;
        self.meta.insert("index", meta.index)?;
        Ok(())
    }
}

/// The open file. Reads see what is committed, and only that.
pub(super) struct File {
    db: Database,
    pub identity: Identity,
    /// As they were when the file was opened.
    pub leases: Vec<(i64, i64)>,
}

impl File {
    pub fn open(options: &Options) -> Result<File, EmbeddedError> {
        let path = options.data.clone();
        let bad = |reason: String| EmbeddedError::Open { path: path.clone(), reason };
        let failed = |fault: Fault| match fault {
            Fault::Storage(error) => bad(error.to_string()),
            Fault::Refused(status) => bad(status.message().to_owned()),
        };
        if !path.exists() {
            create(&path, options.cache_bytes)
                .map_err(failed)?
                .map_err(|error| bad(format!("it cannot be made: {error}")))?;
        }
        let db = database(&path, options.cache_bytes).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => EmbeddedError::InUse(path.clone()),
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                bad(format!("it is no store file ({error}); name another, or move it away"))
            }
            DatabaseError::Storage(redb::StorageError::Io(error)) => bad(error.to_string()),
            DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
                bad(format!("it is damaged ({what}); move it away and put a backup in its place"))
            }
            other => bad(other.to_string()),
        })?;
        let format = prepare(&db).map_err(failed)?;
        if format != FORMAT {
            return Err(EmbeddedError::Format { path, found: format, known: FORMAT });
        }
        let (identity, leases) = load(&db).map_err(failed)?;
        Ok(File { db, identity, leases })
    }

    /// Takes a database that is no file.
    #[cfg(test)]
    pub fn of(db: Database) -> Outcome<File> {
        prepare(&db)?;
        let (identity, leases) = load(&db)?;
        Ok(File { db, identity, leases })
    }

    pub fn begin(&self) -> Outcome<WriteTransaction> {
        Ok(self.db.begin_write()?)
    }

    pub fn read(&self) -> Outcome<ReadTables> {
        let txn = self.db.begin_read()?;
        Ok(ReadTables {
            meta: Meta::read(&txn.open_table(META)?)?,
            keys: txn.open_table(KEYS)?,
            past: txn.open_table(PAST)?,
            log: txn.open_table(LOG)?,
            attached: txn.open_table(ATTACHED)?,
        })
    }
}

fn database(path: &Path, cache_bytes: usize) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(cache_bytes).create(path)
}

/// Makes a new file beside its place, whole and synced, and only then puts it there: a process that is killed meanwhile leaves no broken store
/// (but perhaps the file beside it, `<file>.new-<process id>`, which may be deleted). Who else makes it at the same time wins or is opened.
fn create(path: &Path, cache_bytes: usize) -> Outcome<std::io::Result<()>> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = PathBuf::from(name);
    let made = || -> Outcome<()> {
        let db = database(&beside, cache_bytes).map_err(redb::Error::from)?;
        prepare(&db)?;
        Ok(())
    };
    if let Err(fault) = made() {
        let _ = std::fs::remove_file(&beside);
        return Err(fault);
    }
    let placed = match std::fs::hard_link(&beside, path) {
        Ok(()) => std::fs::remove_file(&beside),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => std::fs::remove_file(&beside),
        // A file system without links.
        Err(_) => std::fs::rename(&beside, path),
    };
    // A new file is there after a power loss only if its directory was synced, too.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(placed.and_then(|()| std::fs::File::open(directory)?.sync_all()))
}

/// Makes the tables of a new file; the format of the file.
fn prepare(db: &Database) -> Outcome<i64> {
    let txn = db.begin_write()?;
    let format = {
        let mut tables = WriteTables::open(&txn)?;
        let format = tables.meta.get("format")?.map(|format| format.value());
        if format.is_none() {
            tables.meta.insert("format", FORMAT)?;
            tables.meta.insert("cluster", random())?;
            tables.meta.insert("member", random())?;
            tables.write_meta(Meta { revision: 1, compacted: -1, index: 0 })?;
        }
        format
    };
    match format {
        Some(format) => {
            txn.abort()?;
            Ok(format)
        }
        None => {
            txn.commit()?;
            Ok(FORMAT)
        }
    }
}

fn load(db: &Database) -> Outcome<(Identity, Vec<(i64, i64)>)> {
    let txn = db.begin_read()?;
    let meta = txn.open_table(META)?;
    let id = |name: &str| -> Outcome<u64> {
        Ok(meta.get(name)?.ok_or_else(|| corrupt("the id of the store"))?.value().cast_unsigned())
    };
    let identity = Identity { cluster: id("cluster")?, member: id("member")? };
    let mut leases = Vec::new();
    for entry in txn.open_table(LEASES)?.iter()? {
        let (id, ttl) = entry?;
        leases.push((id.value(), ttl.value()));
    }
    Ok((identity, leases))
}

/// A positive number that nobody else has, for ids. The standard library seeds its hasher at random; that is random enough for a name.
pub(super) fn random() -> i64 {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        hasher.write_u128(now.as_nanos());
    }
    ((hasher.finish() >> 1) | 1).cast_signed()
}
