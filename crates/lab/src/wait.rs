//! Waiting for a condition instead of sleeping: fast when things go well, and a failure that shows the last state.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Shortest and longest pause between two looks at the condition. A look often starts a process (`ovs-vsctl`, `ping`),
/// so that looking more often would slow down what is being waited for.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Calls `condition` until it answers `Ok`, and returns what it answered.
///
/// `what` completes the sentence "waited for ...". The condition's error is its *last state*, written for people.
///
/// # Errors
/// After `timeout`: what was waited for, how long, and the last error of the condition.
pub fn wait_until<T>(what: &str, timeout: Duration, mut condition: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let mut pause = PAUSE.0;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() >= timeout => {
                return Err(anyhow!("waited {timeout:?} for {what}, in vain; last state: {last:#}"));
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(PAUSE.1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_value_of_the_first_success() {
        let mut looks = 0;
        let found = wait_until("the third look", Duration::from_secs(5), || {
            looks += 1;
            if looks < 3 { Err(anyhow!("look {looks}")) } else { Ok(looks) }
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn the_error_names_what_was_awaited_and_the_last_state() {
        let error = wait_until::<()>("the impossible", Duration::from_millis(1), || Err(anyhow!("still 7 flows")));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("the impossible") && text.contains("still 7 flows"), "{text}");
    }
}
