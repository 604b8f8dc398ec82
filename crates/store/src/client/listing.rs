//! Listings of any size: read in pages, all at one revision.

use super::{Client, Kv, Range};
use crate::{StoreError, wire};
use bytes::Bytes;

/// Keys a page to begin with: at 300 bytes an object some 300 kB, well within what one message may hold.
const PAGE: i64 = 1000;
/// How often a listing is begun anew because its revision was compacted away while it was read.
const RESTARTS: u32 = 5;

/// All keys of a prefix as of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The revision that the listing shows; a watch that continues it begins at the next.
    pub revision: i64,
    /// The keys, ascending.
    pub kvs: Vec<Kv>,
}

/// Reads a range page by page, at the revision of its first page (or one given).
pub(crate) struct Pager {
    range: wire::RangeRequest,
    /// The revision of the listing; 0 until the first page is there.
    pub revision: i64,
    done: bool,
}

impl Pager {
    pub fn new(range: Range) -> Pager {
        let revision = range.0.revision.max(0);
        Pager { range: wire::RangeRequest { limit: PAGE, revision, ..range.0 }, revision, done: false }
    }

    /// The next page; `None` after the last. [`StoreError::Compacted`] if the revision is gone: begin a new listing.
    pub async fn next(&mut self, client: &Client) -> Result<Option<Vec<Kv>>, StoreError> {
        while !self.done {
            let (reply, _) = match client
                .inner
                .call::<_, wire::RangeResponse>(wire::path::RANGE, &self.range, super::Again::Read)
                .await
            {
                Err(StoreError::TooLarge(_)) if self.range.limit > 1 => {
                    self.range.limit /= 4;
                    self.range.limit = self.range.limit.max(1);
                    continue;
                }
                other => other?,
            };
            if self.revision == 0 {
                self.revision = super::revision(&reply.header);
                self.range.revision = self.revision;
            }
            match reply.kvs.last() {
                Some(last) if reply.more => {
                    // The least key after `last`.
                    let mut next = last.key.to_vec();
                    next.push(0);
                    self.range.key = Bytes::from(next);
                }
                _ => self.done = true,
            }
            return Ok(Some(reply.kvs.into_iter().map(Kv::from_wire).collect()));
        }
        Ok(None)
    }
}

impl Client {
    /// All keys that begin with `prefix`, whatever their number, as of one revision.
    pub async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.list_range(Range::prefix(prefix)).await
    }

    /// As [`Client::list`], for any range. Its limit is ignored, its order must be by key.
    pub async fn list_range(&self, range: Range) -> Result<Listing, StoreError> {
        let mut restarts = 0;
        loop {
            let mut pager = Pager::new(range.clone());
            let mut kvs = Vec::new();
            let error = loop {
                match pager.next(self).await {
                    Ok(Some(page)) => kvs.extend(page),
                    Ok(None) => return Ok(Listing { revision: pager.revision, kvs }),
                    Err(error) => break error,
                }
            };
            restarts += 1;
            if !matches!(error, StoreError::Compacted { .. }) || restarts > RESTARTS || range.0.revision > 0 {
                return Err(error);
            }
        }
    }
}
