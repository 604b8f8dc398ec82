//! Allocation of ids: the highest claimed plus one, or, when the highest possible is taken, the first gap.
//!
//! etcd answers "the highest" by reading them all, 50 ms for 20,000. So who adds a port leaves a note with its id, and the next one
//! begins there. The note is a hint, read first and never believed: a claim decides.

use super::{
    NetworkError, NetworkStore, claims,
    io::{back_off, random},
    unclaimed::Scope,
};
use crate::Op;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::id::{DatapathId, PortId};

/// How often a command begins anew when others change what it read. Each round of N who collide has at least one winner, so
/// this is also how many may add to one switch at the same moment.
const ATTEMPTS: u32 = 64;

impl NetworkStore {
    /// Runs a command until it is made, fails, or has lost too often. `Ok(None)` of the command: lost, try again.
    pub(super) async fn retry<T>(
        &self,
        what: &str,
        mut command: impl AsyncFnMut(u32) -> Result<Option<T>, NetworkError>,
    ) -> Result<T, NetworkError> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                back_off(attempt).await;
            }
            if let Some(done) = command(attempt).await? {
                return Ok(done);
            }
        }
        Err(NetworkError::Conflict(what.to_owned()))
    }

    /// A free id for a datapath. Only a proposal: the transaction claims it.
    pub(super) async fn free_id(&self, attempt: u32) -> Result<DatapathId, NetworkError> {
        let number = self.free_number(claims::IDS, DatapathId::MAX, attempt).await?;
        number.and_then(DatapathId::new).ok_or_else(|| {
            NetworkError::Refused(format!("all {} ids are in use: delete switches or routers", DatapathId::MAX))
        })
    }

    /// A free id for a port of the datapath whose claims are at `of`. Only a proposal: the transaction claims it, and leaves the note.
    pub(super) async fn free_port(&self, of: &str, attempt: u32) -> Result<(PortId, Op), NetworkError> {
        let note = claims::last_port(of);
        let hint = match attempt {
            0 => self.get_paths(std::slice::from_ref(&note)).await?.pop().flatten(),
            _ => None, // somebody was faster, or wrote ids without leaving a note
        };
        let hint: Option<u16> = hint.and_then(|kv| std::str::from_utf8(&kv.value).ok()?.parse().ok());
        let next = hint.and_then(|last| PortId::new(last.checked_add(1)?));
        let port = match next {
            Some(next) => Some(next),
            None => {
                let number = self.free_number(&claims::ports(of), PortId::MAX.into(), attempt).await?;
                number.and_then(|n| u16::try_from(n).ok()).and_then(PortId::new)
            }
        };
        let port = port.ok_or_else(|| full(of))?;
        Ok((port, Op::put(&self.at(note), port.to_string())))
    }

    /// The smallest free port id, for what is seldom made and may come again: a link that was taken away and is made again then gives the
    /// same flows as before. Reads all port ids of the datapath. Only a proposal, as well.
    pub(super) async fn first_free_port(&self, of: &str, attempt: u32) -> Result<PortId, NetworkError> {
        let path = claims::ports(of);
        let mut taken = self.unclaimed_numbers(&path, attempt).await?;
        let (claimed, _) = self.list(&path).await?;
        taken.extend(claimed.iter().filter_map(|kv| claims::number(&kv.key)));
        let spread = random(u64::from(attempt.clamp(1, 16))) as u32;
        let number = gap(taken.into_iter(), PortId::MAX.into(), spread);
        number.and_then(|n| u16::try_from(n).ok()).and_then(PortId::new).ok_or_else(|| full(of))
    }

    /// Objects of other tools may have numbers that they did not claim; only who lost one to them needs to look.
    async fn unclaimed_numbers(&self, path: &str, attempt: u32) -> Result<BTreeSet<u32>, NetworkError> {
        let unclaimed = match Scope::of(&format!("{path}0")).filter(|_| attempt > 0) {
            Some(scope) => self.unclaimed(&scope).await?,
            None => BTreeMap::new(),
        };
        let of_path = unclaimed.keys().filter(|claim| claim.starts_with(path));
        Ok(of_path.filter_map(|claim| claims::number(claim)).collect())
    }

    async fn free_number(&self, path: &str, max: u32, attempt: u32) -> Result<Option<u32>, NetworkError> {
        let unclaimed = self.unclaimed_numbers(path, attempt).await?;
        let last = self.last_path(path).await?.as_deref().and_then(claims::number).unwrap_or(0);
        let last = unclaimed.last().copied().unwrap_or(0).max(last);
        // Who has lost twice looks a little further, so that many who add at once do not all want the same number.
        let spread = random(u64::from(attempt.clamp(1, 16))) as u32;
        let next = last.saturating_add(1);
        if next <= max {
            return Ok(Some(next.saturating_add(spread).min(max)));
        }
        // Full at the top: the only case that reads more than one key.
        let (claimed, _) = self.list(path).await?;
        let mut taken = unclaimed;
        taken.extend(claimed.iter().filter_map(|kv| claims::number(&kv.key)));
        Ok(gap(taken.into_iter(), max, spread))
    }
}

fn full(of: &str) -> NetworkError {
    let datapath = of.trim_start_matches("claim/").trim_end_matches('/');
    NetworkError::Refused(format!("all {} port ids of {datapath} are in use: delete ports", PortId::MAX))
}

/// The first number from 1 to `max` that is not in an ascending list; `skip` gaps are passed over if there are as many.
fn gap(taken: impl Iterator<Item = u32>, max: u32, mut skip: u32) -> Option<u32> {
    let mut found = None;
    let mut candidate = 1u32;
    for number in taken.chain([max.saturating_add(1)]) {
        while candidate < number && candidate <= max {
            found = Some(candidate);
            if skip == 0 {
                return found;
            }
            (skip, candidate) = (skip - 1, candidate + 1);
        }
        candidate = candidate.max(number.saturating_add(1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::gap;

    #[test]
    fn gaps_are_found_in_order() {
        assert_eq!(gap([1, 2, 4, 7].into_iter(), 7, 0), Some(3));
        assert_eq!(gap([1, 2, 4, 7].into_iter(), 7, 1), Some(5));
        assert_eq!(gap([1, 2, 4, 7].into_iter(), 7, 9), Some(6));
        assert_eq!(gap([1, 2, 3].into_iter(), 3, 0), None);
        assert_eq!(gap([].into_iter(), 3, 0), Some(1));
        assert_eq!(gap([0, 1, 9].into_iter(), 3, 0), Some(2));
    }
}
