//! Random programs on the real switch and in the simulator.

use super::{
    compare::{Verdict, compare},
    endpoints,
    program::{Purpose, programs},
    real::{Question, Real},
    stimulus::Stimulus,
    try_all,
};
use std::cell::{Cell, RefCell};
use tuplenet_sim::Switch;

/// How many programs.
const CASES: u32 = 2_000;
/// Packets for each, at most.
const PACKETS: usize = 12;

/// The test.
pub fn check_all() {
    let real = RefCell::new(Real::start(endpoints(), &[]));
    let (compared, unsupported) = (Cell::new(0), Cell::new(0));
    try_all(&programs(PACKETS, Purpose::Trace), CASES, |program| {
        let mut real = real.borrow_mut();
        real.revive();
        real.install(&program.flows, &program.groups)?;
        let mut switch = Switch::new(program.flows.iter().cloned(), program.groups.iter().cloned());
        let questions: Vec<Question> = program.packets.iter().map(Stimulus::question).collect();
        for (question, answer) in questions.iter().zip(real.trace(&questions)) {
            match compare(&real, &mut switch, question, &answer?)? {
                Verdict::Same(_) => compared.set(compared.get() + 1),
                // No more is claimed.
                Verdict::Unsupported(why) if why.what.contains("third VLAN tag") => {
                    unsupported.set(unsupported.get() + 1);
                }
                Verdict::Unsupported(why) => return Err(why.to_string()),
            }
        }
        Ok(())
    });
    let (compared, unsupported) = (compared.get(), unsupported.get());
    println!("compared {compared}, beyond the simulator {unsupported}");
    assert!(unsupported * 20 < compared, "the simulator does not know {unsupported} of {compared}");
}
