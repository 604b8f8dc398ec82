//! Tables for people: a number, what it is, and the mark that it is to meet.

use std::time::Duration;

/// A line of a series of times: n, median, 99th percentile, longest.
pub fn times_head(what: &str) {
    println!("\n{what:<46} {:>6} {:>9} {:>9} {:>9}  mark", "n", "p50 ms", "p99 ms", "max ms");
}

/// One series; `mark` is the 99th percentile that is asked for.
pub fn times(what: &str, times: &mut [Duration], mark: Option<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let last = times.len().saturating_sub(1) as f64;
        times.get((last * share).round() as usize).copied().unwrap_or_default()
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let mark = mark.map(|mark| format!("p99 < {} ms: {}", ms(mark), verdict(at(0.99) < mark)));
    println!(
        "{what:<46} {:>6} {:>9.2} {:>9.2} {:>9.2}  {}",
        times.len(),
        ms(at(0.5)),
        ms(at(0.99)),
        ms(at(1.0)),
        mark.unwrap_or_default()
    );
}

/// One number; `mark` is what it is to stay below.
pub fn value(what: &str, value: f64, unit: &str, mark: Option<f64>) {
    let mark = mark.map(|mark| format!("  mark < {mark} {unit}: {}", verdict(value < mark)));
    let shown = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    println!("{what:<46} {shown:>16} {unit:<7}{}", mark.unwrap_or_default());
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
