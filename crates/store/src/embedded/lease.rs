//! How long each lease still lasts. Kept in memory: after a restart every lease begins anew with all its time, as in etcd.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Shortest lease, as etcd grants with its default election time.
const MIN_TTL: i64 = 2;
/// Longest, as in etcd.
const MAX_TTL: i64 = 9_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: i64,
    deadline: Instant,
}

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    all: Mutex<HashMap<i64, Lease>>,
    changed: Notify,
}

impl Leases {
    pub fn new(stored: &[(i64, i64)]) -> Leases {
        let leases = Leases::default();
        for &(id, ttl) in stored {
            leases.add(id, ttl);
        }
        leases
    }

    /// The seconds granted to who asks for `ttl`; `None` if that is too much.
    pub fn granted(ttl: i64) -> Option<i64> {
        (ttl <= MAX_TTL).then_some(ttl.max(MIN_TTL))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Lease>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, id: i64, ttl: i64) {
        self.lock().insert(id, Lease { ttl, deadline: Instant::now() + seconds(ttl) });
        self.changed.notify_one();
    }

    pub fn remove(&self, id: i64) {
        self.lock().remove(&id);
    }

    /// Removes a lease that the file does not know (any more).
    pub fn remove_expired(&self, id: i64) {
        let now = Instant::now();
        self.lock().retain(|other, lease| *other != id || lease.deadline > now);
    }

    /// Gives the lease all its time again; the seconds, or `None` if it has ended. One that has ended is not brought back, even if its keys are
    /// not yet deleted.
    pub fn renew(&self, id: i64) -> Option<i64> {
        let now = Instant::now();
        let mut leases = self.lock();
        let lease = leases.get_mut(&id).filter(|lease| lease.deadline > now)?;
        lease.deadline = now + seconds(lease.ttl);
        Some(lease.ttl)
    }

    /// Seconds left and seconds granted.
    pub fn time_left(&self, id: i64) -> Option<(i64, i64)> {
        let now = Instant::now();
        let lease = *self.lock().get(&id).filter(|lease| lease.deadline > now)?;
        let left = (lease.deadline - now).as_secs_f64().round() as i64;
        Some((left, lease.ttl))
    }

    pub fn has_expired(&self, id: i64) -> bool {
        self.lock().get(&id).is_none_or(|lease| lease.deadline <= Instant::now())
    }

    /// Ids, ascending.
    pub fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.lock().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Waits until leases have expired; which.
    pub async fn expired(&self) -> Vec<i64> {
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let next = {
                let leases = self.lock();
                let expired: Vec<i64> =
                    leases.iter().filter(|(_, lease)| lease.deadline <= now).map(|(id, _)| *id).collect();
                if !expired.is_empty() {
                    return expired;
                }
                leases.values().map(|lease| lease.deadline).min()
            };
            match next {
                Some(next) => tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
