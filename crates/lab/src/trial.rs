//! Trials that measure losses, on a machine that has other things to do as well.

use anyhow::Result;
use std::time::Duration;

/// A probe that sent a packet so late ([`crate::ProbeReport::late`]) tells of the machine rather than of what it watches.
pub const BUSY: Duration = Duration::from_millis(30);
/// After so many trials what went wrong counts, however busy the machine was.
const TRIALS: usize = 3;

/// What went wrong in a trial, if anything. `once` gives that, and by how much the machine was late meanwhile: a machine that lets even the sender wait loses packets
/// between processes, whatever we do. Then that says nothing, and it is tried again.
///
/// # Errors
/// Those of `once`.
pub fn trials(mut once: impl FnMut() -> Result<(Vec<String>, Duration)>) -> Result<Vec<String>> {
    let mut left = TRIALS;
    loop {
        let (wrong, late) = once()?;
        left -= 1;
        if wrong.is_empty() || late < BUSY || left == 0 {
            return Ok(wrong);
        }
        println!("the machine was late by {late:.0?}: again, after {wrong:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_while_the_machine_is_busy_is_tried_again_but_not_for_ever() {
        let count = |wrong: &[bool], late: Duration| -> Result<(usize, usize)> {
            let mut tried = 0;
            let found = trials(|| {
                tried += 1;
                Ok((if wrong[tried - 1] { vec!["lost".to_owned()] } else { Vec::new() }, late))
            })?;
            Ok((tried, found.len()))
        };
        assert_eq!(count(&[false], BUSY).ok(), Some((1, 0)));
        assert_eq!(count(&[true], BUSY / 2).ok(), Some((1, 1)));
        assert_eq!(count(&[true, false], BUSY).ok(), Some((2, 0)));
        assert_eq!(count(&[true, true, true], BUSY).ok(), Some((3, 1)));
    }
}
