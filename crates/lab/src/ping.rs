//! Ping, by the `ping` of iputils, with what it reports read back.

use std::{net::IpAddr, str::FromStr, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{Vm, wait::wait_until};

/// How to ping.
#[derive(Clone, Debug)]
pub struct PingSpec {
    /// How many requests.
    pub count: u32,
    /// Time between two requests; 2 ms at least (iputils).
    pub interval: Duration,
    /// How long to wait for the last answer.
    pub wait: Duration,
    /// The TTL or hop limit that requests leave with.
    pub ttl: Option<u8>,
    /// Bytes of payload; with `dont_fragment` and 28 (IPv4) or 48 (IPv6) more it is the size of the packet.
    pub size: u32,
    /// Forbid fragments.
    pub dont_fragment: bool,
    /// The source address, if not the one that the kernel picks.
    pub source: Option<IpAddr>,
}

impl Default for PingSpec {
    fn default() -> PingSpec {
        PingSpec {
            count: 3,
            interval: Duration::from_millis(20),
            wait: Duration::from_secs(1),
            ttl: None,
            size: 56,
            dont_fragment: false,
            source: None,
        }
    }
}

impl PingSpec {
    /// So many requests.
    pub fn count(count: u32) -> PingSpec {
        PingSpec { count, ..PingSpec::default() }
    }

    /// One request with this TTL.
    pub fn ttl(ttl: u8) -> PingSpec {
        PingSpec { count: 1, ttl: Some(ttl), ..PingSpec::default() }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct PingReport {
    /// Requests sent, without those at the end that were more than asked for and have no answer: with a bound on all of it `ping` goes
    /// on until so many answers have come, so that a slow answer makes it send another request, and end before that one's answer.
    pub sent: u32,
    /// All requests that left, those as well.
    pub transmitted: u32,
    /// Answers received, without duplicates.
    pub received: u32,
    /// Answers that came twice: a loop, or a flood that is none of ours.
    pub duplicates: u32,
    /// The TTL or hop limit of each answer, as it arrived.
    pub ttls: Vec<u8>,
    /// All that `ping` wrote; among it are ICMP errors.
    pub text: String,
}

impl PingReport {
    /// Whether every request was answered once.
    pub fn all(&self) -> bool {
        self.sent > 0 && self.sent == self.received && self.duplicates == 0
    }
}

impl Vm {
    /// Pings an address.
    ///
    /// # Errors
    /// `ping` could not run; not that answers are missing.
    pub fn ping(&self, address: &str, spec: &PingSpec) -> Result<PingReport> {
        let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
        let mut argv = vec!["ping".to_owned(), "-n".to_owned()];
        let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
        option("-c", spec.count.to_string());
        option("-i", seconds(spec.interval));
        option("-W", seconds(spec.wait));
        option("-s", spec.size.to_string());
        // -W stretches to twice the round trip when answers come, and counts only after the last request: bound it all.
        let all = spec.interval * spec.count + spec.wait;
        option("-w", (all.as_secs() + 1).to_string());
        if let Some(ttl) = spec.ttl {
            option("-t", ttl.to_string());
        }
        if spec.dont_fragment {
            option("-M", "do".to_owned());
        }
        if let Some(source) = spec.source {
            option("-I", source.to_string());
        }
        argv.push(address.to_owned());
        let output = self.netns().output(&argv)?;
        let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        read(&text, spec.count).with_context(|| format!("ping of {address} from {}", self.name()))
    }

    /// Pings three times.
    ///
    /// # Errors
    /// An answer is missing or came twice: what `ping` wrote.
    pub fn must_ping(&self, address: &str) -> Result<PingReport> {
        let report = self.ping(address, &PingSpec::default())?;
        self.fail_unless(report.all());
        ensure!(report.all(), "{} does not reach {address}:\n{}", self.name(), report.text);
        Ok(report)
    }

    /// Pings three times. Of what has just changed wait for it ([`Vm::wait_no_ping`], [`Host::wait_cache`](crate::Host::wait_cache)).
    ///
    /// # Errors
    /// There was an answer.
    pub fn must_not_ping(&self, address: &str) -> Result<PingReport> {
        let spec = PingSpec { wait: Duration::from_millis(300), ..PingSpec::default() };
        let report = self.ping(address, &spec)?;
        self.fail_unless(report.received == 0);
        ensure!(report.received == 0, "{} reaches {address}, and must not:\n{}", self.name(), report.text);
        Ok(report)
    }

    /// Pings until an answer comes.
    ///
    /// # Errors
    /// None came before `timeout`: what `ping` wrote last. The lab's end then shows the state of all hosts.
    pub fn wait_ping(&self, address: &str, timeout: Duration) -> Result<PingReport> {
        let spec = PingSpec { count: 1, wait: Duration::from_millis(200), ..PingSpec::default() };
        wait_until(&format!("{} to reach {address}", self.name()), timeout, || {
            let report = self.ping(address, &spec)?;
            ensure!(report.all(), "{}", report.text.trim());
            Ok(report)
        })
        .inspect_err(|_| self.fail_unless(false))
    }

    /// Pings until no answer comes any more.
    ///
    /// # Errors
    /// There still was one after `timeout`: what `ping` wrote last. The lab's end then shows the state of all hosts.
    pub fn wait_no_ping(&self, address: &str, timeout: Duration) -> Result<()> {
        let spec = PingSpec { wait: Duration::from_millis(300), ..PingSpec::default() };
        wait_until(&format!("{} to reach {address} no more", self.name()), timeout, || {
            let report = self.ping(address, &spec)?;
            ensure!(report.received == 0, "{}", report.text.trim());
            Ok(())
        })
        .inspect_err(|_| self.fail_unless(false))
    }

    fn fail_unless(&self, good: bool) {
        if !good {
            self.host().lab().fail();
        }
    }
}

/// Reads the output of iputils' ping, of which `count` requests were asked.
fn read(text: &str, count: u32) -> Result<PingReport> {
    let summary = text.lines().find(|line| line.contains(" packets transmitted"));
    let summary = summary.with_context(|| format!("ping did not run: {}", text.trim()))?;
    let number = |end: &str| {
        let part = summary.split(", ").find(|part| part.contains(end));
        part.and_then(|part| part.trim_start_matches('+').split(' ').next()?.parse().ok())
    };
    fn field<T: FromStr>(answer: &str, name: &str) -> Option<T> {
        answer.split(' ').find_map(|word| word.strip_prefix(name))?.parse().ok()
    }
    let answers = || text.lines().filter(|line| line.contains("bytes from"));
    let ttls = answers().filter_map(|answer| field(answer, "ttl="));
    let last_answered: u32 = answers().filter_map(|answer| field(answer, "icmp_seq=")).max().unwrap_or(0);
    let transmitted: u32 = number("packets transmitted").context("ping's summary has no count")?;
    Ok(PingReport {
        sent: transmitted.min(count.max(last_answered)),
        transmitted,
        received: number("received").context("ping's summary has no count")?,
        duplicates: number("duplicates").unwrap_or(0),
        ttls: ttls.collect(),
        text: text.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ping_reports() {
        let text = "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n\
                    64 bytes from 10.0.0.2: icmp_seq=1 ttl=63 time=0.5 ms\n\
                    64 bytes from 10.0.0.2: icmp_seq=1 ttl=63 time=0.6 ms (DUP!)\n\n\
                    --- 10.0.0.2 ping statistics ---\n\
                    3 packets transmitted, 1 received, +1 duplicates, 66.6667% packet loss, time 40ms\n";
        let report = read(text, 3).unwrap();
        assert_eq!((report.sent, report.received, report.duplicates), (3, 1, 1));
        assert_eq!(report.ttls, [63, 63]);
        assert!(!report.all());
    }

    #[test]
    fn a_request_that_only_a_slow_answer_caused_is_not_lost() {
        let answer = |sequence: u32| format!("64 bytes from 10.0.0.2: icmp_seq={sequence} ttl=64 time=21.5 ms\n");
        let summary = |sent: u32, received: u32| {
            format!("{sent} packets transmitted, {received} received, 0% packet loss, time 60ms\n")
        };
        let report = |answered: &[u32], sent: u32| {
            let answers: String = answered.iter().map(|sequence| answer(*sequence)).collect();
            read(&(answers + &summary(sent, answered.len() as u32)), 3).unwrap()
        };
        let slow = report(&[1, 2, 3], 4);
        assert!(slow.all() && (slow.sent, slow.transmitted) == (3, 4), "{slow:?}");
        assert!(report(&[1, 2, 3, 4], 4).all());
        assert!(!report(&[1, 3, 4], 4).all(), "the second is lost");
        assert!(!report(&[1, 2], 5).all(), "the third is lost");
        assert_eq!(report(&[5], 6).received, 1, "late, but an answer");
    }

    #[test]
    fn a_ping_that_did_not_run_says_why() {
        let error = read("ping: connect: Network is unreachable\n", 3).unwrap_err().to_string();
        assert!(error.contains("Network is unreachable"), "{error}");
    }
}
