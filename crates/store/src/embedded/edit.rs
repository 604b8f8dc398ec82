//! Changing: what requests do to the tables, within one transaction of the file.
//!
//! Whatever can be refused is refused before the first write of a request, so that a refused request leaves nothing behind in a transaction that
//! it shares with others.

use super::{
    fault::{self, Outcome},
    file::{Meta, Record, WriteTables},
    lease::Leases,
    span::Span,
};
use crate::wire::{self, KeyValue, Request, Response};
use bytes::Bytes;
use prost::Message as _;
use redb::ReadableTable as _;
use std::sync::Arc;

/// One change of one key, for watchers.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub delete: bool,
    pub kv: KeyValue,
    pub prev: Option<KeyValue>,
}

/// The changes of one revision.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub revision: i64,
    pub changes: Vec<Change>,
}

/// What is to be told to watchers and to the clock of leases after the commit.
pub(super) struct News {
    pub meta: Meta,
    pub revisions: Vec<Arc<Revision>>,
    pub granted: Vec<(i64, i64)>,
    pub revoked: Vec<i64>,
}

/// A transaction of the file in progress.
pub(super) struct Editor<'txn, 'a> {
    pub tables: WriteTables<'txn>,
    pub meta: Meta,
    leases: &'a Leases,
    revisions: Vec<Arc<Revision>>,
    granted: Vec<(i64, i64)>,
    revoked: Vec<i64>,
    /// The changes of the request that is being done.
    current: Vec<Change>,
}

impl<'txn, 'a> Editor<'txn, 'a> {
    pub fn new(tables: WriteTables<'txn>, leases: &'a Leases) -> Outcome<Editor<'txn, 'a>> {
        let meta = Meta::read(&tables.meta)?;
        Ok(Editor {
            tables,
            meta,
            leases,
            revisions: Vec::new(),
            granted: Vec::new(),
            revoked: Vec::new(),
            current: Vec::new(),
        })
    }

    /// Writes down where the store is now, if anything changed since `before`; `None` if nothing did.
    pub fn finish(mut self, before: Meta) -> Outcome<Option<News>> {
        if self.meta == before && self.granted.is_empty() && self.revoked.is_empty() {
            return Ok(None);
        }
        self.meta.index += 1;
        self.tables.write_meta(self.meta)?;
        Ok(Some(News { meta: self.meta, revisions: self.revisions, granted: self.granted, revoked: self.revoked }))
    }

    /// The state as of the request that is being done.
    fn view_meta(&self) -> Meta {
        Meta { revision: self.revision(), ..self.meta }
    }

    /// The store's revision as of the request that is being done.
    fn revision(&self) -> i64 {
        self.meta.revision + i64::from(!self.current.is_empty())
    }

    /// Ends a request: what it changed becomes a revision.
    fn seal(&mut self) -> i64 {
        if !self.current.is_empty() {
            self.meta.revision += 1;
            let changes = std::mem::take(&mut self.current);
            self.revisions.push(Arc::new(Revision { revision: self.meta.revision, changes }));
        }
        self.meta.revision
    }

    pub fn put_one(&mut self, request: wire::PutRequest) -> Outcome<(wire::PutResponse, i64)> {
        // etcd looks for the lease first here, and last within a transaction.
        self.check_lease(&request)?;
        self.check_put(&request)?;
        let reply = self.put(request)?;
        Ok((reply, self.seal()))
    }

    pub fn delete_one(&mut self, request: wire::DeleteRangeRequest) -> Outcome<(wire::DeleteRangeResponse, i64)> {
        let reply = self.delete(&request)?;
        Ok((reply, self.seal()))
    }

    pub fn txn_one(&mut self, request: wire::TxnRequest) -> Outcome<(wire::TxnResponse, i64)> {
        // All conditions, those of inner transactions too, are on the state before.
        let path = self.path(&request)?;
        // In etcd's order: all that is to be written, then all that is to be read.
        self.each(&request, &mut path.iter().copied(), &|op| match op {
            Request::Put(put) => self.check_put(put),
            _ => Ok(()),
        })?;
        self.each(&request, &mut path.iter().copied(), &|op| match op {
            Request::Range(range) => self.tables.view(self.meta).check_revision(range),
            _ => Ok(()),
        })?;
        let reply = self.txn(request, &mut path.into_iter())?;
        Ok((reply, self.seal()))
    }

    /// Which branch each transaction takes, in the order in which they are met.
    fn path(&self, txn: &wire::TxnRequest) -> Outcome<Vec<bool>> {
        let view = self.tables.view(self.view_meta());
        let mut succeeded = true;
        for compare in &txn.compare {
            if !view.holds(compare)? {
                succeeded = false;
                break;
            }
        }
        let mut path = vec![succeeded];
        for op in if succeeded { &txn.success } else { &txn.failure } {
            if let Some(Request::Txn(inner)) = &op.request {
                path.extend(self.path(inner)?);
            }
        }
        Ok(path)
    }

    /// Visits the operations that will be done.
    fn each(
        &self,
        txn: &wire::TxnRequest,
        path: &mut dyn Iterator<Item = bool>,
        visit: &dyn Fn(&Request) -> Outcome<()>,
    ) -> Outcome<()> {
        let ops = if path.next().unwrap_or(false) { &txn.success } else { &txn.failure };
        for request in ops.iter().filter_map(|op| op.request.as_ref()) {
            match request {
                Request::Txn(inner) => self.each(inner, path, visit)?,
                request => visit(request)?,
            }
        }
        Ok(())
    }

    fn check_put(&self, put: &wire::PutRequest) -> Outcome<()> {
        if (put.ignore_value || put.ignore_lease) && self.tables.keys.get(put.key.as_ref())?.is_none() {
            return Err(fault::key_not_found().into());
        }
        self.check_lease(put)
    }

    fn check_lease(&self, put: &wire::PutRequest) -> Outcome<()> {
        if put.lease != 0 && self.tables.leases.get(put.lease)?.is_none() {
            return Err(fault::lease_not_found().into());
        }
        Ok(())
    }

    fn txn(&mut self, txn: wire::TxnRequest, path: &mut dyn Iterator<Item = bool>) -> Outcome<wire::TxnResponse> {
        let succeeded = path.next().unwrap_or(false);
        let ops = if succeeded { txn.success } else { txn.failure };
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            let response = match op.request {
                Some(Request::Put(put)) => Response::Put(self.put(put)?),
                Some(Request::DeleteRange(delete)) => Response::DeleteRange(self.delete(&delete)?),
                Some(Request::Range(range)) => {
                    let mut found = self.tables.view(self.view_meta()).range(&range)?;
                    found.header = header(self.revision());
                    Response::Range(found)
                }
                Some(Request::Txn(inner)) => {
                    let mut reply = self.txn(inner, path)?;
                    reply.header = Some(wire::ResponseHeader::default());
                    Response::Txn(reply)
                }
                None => continue,
            };
            responses.push(wire::ResponseOp { response: Some(response) });
        }
        Ok(wire::TxnResponse { header: None, succeeded, responses })
    }

    fn put(&mut self, put: wire::PutRequest) -> Outcome<wire::PutResponse> {
        let prev = self.tables.view(self.meta).get(&put.key)?;
        let revision = self.meta.revision + 1;
        let mut kv = KeyValue {
            key: put.key,
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            value: put.value,
            lease: put.lease,
        };
        if let Some(prev) = &prev {
            kv.create_revision = prev.create_revision;
            kv.version = prev.version + 1;
            if put.ignore_value {
                kv.value = prev.value.clone();
            }
            if put.ignore_lease {
                kv.lease = prev.lease;
            }
        }
        let old_lease = prev.as_ref().map_or(0, |prev| prev.lease);
        if old_lease != kv.lease {
            if old_lease != 0 {
                self.tables.attached.remove((old_lease, kv.key.as_ref()))?;
            }
            if kv.lease != 0 {
                self.tables.attached.insert((kv.lease, kv.key.as_ref()), ())?;
            }
        }
        self.tables.keys.insert(kv.key.as_ref(), kv.encode_to_vec().as_slice())?;
        self.log(false, kv, prev.clone())?;
        Ok(wire::PutResponse { header: header(revision), prev_kv: prev.filter(|_| put.prev_kv) })
    }

    fn delete(&mut self, delete: &wire::DeleteRangeRequest) -> Outcome<wire::DeleteRangeResponse> {
        let span = Span::new(delete.key.clone(), delete.range_end.clone());
        let found = self.tables.view(self.meta).now(&span, 0)?;
        for kv in &found.kvs {
            self.delete_key(kv.clone())?;
        }
        let prev_kvs = if delete.prev_kv { found.kvs } else { Vec::new() };
        Ok(wire::DeleteRangeResponse { header: header(self.revision()), deleted: found.count, prev_kvs })
    }

    fn delete_key(&mut self, prev: KeyValue) -> Outcome<()> {
        if prev.lease != 0 {
            self.tables.attached.remove((prev.lease, prev.key.as_ref()))?;
        }
        self.tables.keys.remove(prev.key.as_ref())?;
        let kv = KeyValue { key: prev.key.clone(), mod_revision: self.meta.revision + 1, ..Default::default() };
        self.log(true, kv, Some(prev))
    }

    fn log(&mut self, delete: bool, kv: KeyValue, prev: Option<KeyValue>) -> Outcome<()> {
        let revision = kv.mod_revision;
        let place = i64::try_from(self.current.len()).unwrap_or(i64::MAX);
        let (prev_revision, prev_place) = match &prev {
            Some(prev) => {
                let place =
                    self.tables.past.get((prev.key.as_ref(), prev.mod_revision))?.map_or(0, |place| place.value());
                (prev.mod_revision, place)
            }
            None => (0, 0),
        };
        self.tables.past.insert((kv.key.as_ref(), revision), place)?;
        let record = Record { delete, kv: Some(kv.clone()), prev_revision, prev_place };
        self.tables.log.insert((revision, place), record.encode_to_vec().as_slice())?;
        self.current.push(Change { delete, kv, prev });
        Ok(())
    }

    /// Forgets what was superseded at or before `revision`.
    pub fn compact(&mut self, revision: i64) -> Outcome<()> {
        if revision <= self.meta.compacted {
            return Err(fault::compacted().into());
        }
        if revision > self.meta.revision {
            return Err(fault::future_revision().into());
        }
        let mut dead: Vec<(Bytes, i64, i64)> = Vec::new();
        for entry in self.tables.log.range((self.meta.compacted + 1, 0)..=(revision, i64::MAX))? {
            let (id, value) = entry?;
            let (at, place) = id.value();
            let (record, kv) = Record::decode_stored(value.value())?;
            if record.prev_revision != 0 {
                dead.push((kv.key.clone(), record.prev_revision, record.prev_place));
            }
            if record.delete {
                dead.push((kv.key, at, place));
            }
        }
        for (key, at, place) in dead {
            self.tables.log.remove((at, place))?;
            // A key that changed twice in one revision has one entry, for the later change.
            let current = self.tables.past.get((key.as_ref(), at))?.map(|place| place.value());
            if current == Some(place) {
                self.tables.past.remove((key.as_ref(), at))?;
            }
        }
        self.meta.compacted = revision;
        Ok(())
    }

    /// A new lease: its id, and the seconds granted.
    pub fn grant(&mut self, id: i64, ttl: i64) -> Outcome<(i64, i64)> {
        let ttl = Leases::granted(ttl).ok_or_else(fault::lease_ttl_too_large)?;
        let mut id = id;
        while id == 0 {
            id = super::file::random();
            if self.tables.leases.get(id)?.is_some() {
                id = 0;
            }
        }
        if self.tables.leases.get(id)?.is_some() {
            return Err(fault::lease_exists().into());
        }
        self.tables.leases.insert(id, ttl)?;
        self.granted.push((id, ttl));
        Ok((id, ttl))
    }

    /// Ends a lease and deletes its keys. With `expired`, only if nobody has renewed it.
    pub fn revoke(&mut self, id: i64, expired: bool) -> Outcome<i64> {
        if self.tables.leases.get(id)?.is_none() || (expired && !self.leases.has_expired(id)) {
            return Err(fault::lease_not_found().into());
        }
        let mut keys = Vec::new();
        for entry in self.tables.attached.range::<(i64, &[u8])>((id, &[][..])..)? {
            let (entry, ()) = entry.map(|(entry, _)| (entry, ()))?;
            let (lease, key) = entry.value();
            if lease != id {
                break;
            }
            keys.push(key.to_vec());
        }
        for key in keys {
            if let Some(kv) = self.tables.view(self.meta).get(&key)? {
                self.delete_key(kv)?;
            }
        }
        self.tables.leases.remove(id)?;
        self.revoked.push(id);
        Ok(self.seal())
    }
}

fn header(revision: i64) -> Option<wire::ResponseHeader> {
    Some(wire::ResponseHeader { revision, ..Default::default() })
}
