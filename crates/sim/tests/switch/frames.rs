//! How a frame is read: odd frames, each cut at every length and with each byte changed, are the same packet to the simulator and to the switch.

use super::{
    compare::{Verdict, compare},
    real::{Question, Real},
    stimulus,
};
use std::collections::BTreeMap;
use tuplenet_sim::Switch;

/// Differences that are listed when there are more.
const SHOWN: usize = 20;

/// The test.
pub fn check_all() {
    let mut real = Real::start(Vec::new(), &[]);
    let mut questions = Vec::new();
    let mut names = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| {
        names.push(name);
        questions.push(Question::new(1, bytes));
    };
    for (name, bytes) in stimulus::samples() {
        for length in 14..bytes.len() {
            add(format!("{name}, cut after {length}"), bytes[..length].to_vec());
        }
        for at in 12..bytes.len() {
            for change in [0x01, 0x02, 0x0f, 0x40, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                add(format!("{name}, byte {at} is {:#04x}", changed[at]), changed);
            }
        }
        add(name, bytes);
    }
    real.install(&[], &[]).expect("nothing is installed");
    let mut switch = Switch::new([], []);
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let answers = real.trace(&questions);
    for ((question, name), answer) in questions.iter().zip(&names).zip(answers) {
        let result = answer.and_then(|answer| compare(&real, &mut switch, question, &answer));
        if let Err(why) = result.map(|_: Verdict| ()) {
            // Those of one frame that differ in one field are of one kind.
            let frame = name.split(", ").next().unwrap_or_default();
            let kind = why.lines().nth(1).and_then(|line| line.split(':').next()).unwrap_or(&why);
            failures.entry(format!("{frame} {kind}")).or_default().push(format!("{name}\n{why}"));
        }
    }
    println!("{} frames", questions.len());
    let text: Vec<String> =
        failures.iter().take(SHOWN).map(|(_, all)| format!("{} times, as for {}", all.len(), all[0])).collect();
    assert!(text.is_empty(), "frames are read otherwise:\n{}", text.join("\n"));
}
