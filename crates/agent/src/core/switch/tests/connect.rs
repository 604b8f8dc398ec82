//! Sessions that fail, at the begin or later: what is begun again and when, and what people are told.

use super::{
    super::connect::{LONGEST_PAUSE, RETRY_PAUSE, SAY_AGAIN},
    *,
};

#[test]
fn what_does_not_mend_itself_is_said_again_with_what_to_do() {
    let mut bench = Bench::new();
    bench.toy.tlv_in_use = true;
    bench.open();
    bench.up();
    let complaints = |bench: &Bench| bench.said.iter().filter(|t| t.contains("ovs-ofctl dump-tlv-map")).count();
    for _ in 0..SAY_AGAIN {
        bench.run();
        assert_eq!(complaints(&bench), 1, "{:?}", bench.said);
        bench.wait(LONGEST_PAUSE);
    }
    bench.run();
    assert_eq!(complaints(&bench), 2, "{:?}", bench.said);
    bench.toy.tlv_in_use = false;
    bench.wait(LONGEST_PAUSE);
    bench.run();
    bench.check();
}

#[test]
fn a_lost_bundle_or_a_failed_reading_begins_again() {
    let mut bench = Bench::started(5);
    bench.set(flow(2, 77, 1));
    let (session, _) = bench.line.pop_front().expect("a bundle");
    bench.with(|s, cx| s.handle(session, Event::Bundle(Outcome::Lost("no answer".into())), cx));
    assert!(!bench.switch.settled());
    bench.wait(RETRY_PAUSE);
    let (session, _) = bench.line.pop_front().expect("a question");
    bench.with(|s, cx| s.handle(session, Event::Tlv(Err("nonsense".into())), cx));
    bench.wait(2 * RETRY_PAUSE);
    bench.run();
    bench.check();
}

/// The connection breaks while a question is under way: its failure is told after the end of the connection, and is no news.
#[test]
fn a_question_that_fails_with_its_connection_changes_nothing() {
    let mut bench = Bench::started(5);
    bench.wait(AUDIT);
    let (session, _) = bench.line.pop_front().expect("a question");
    bench.down();
    bench.with(|s, cx| s.handle(session, Event::Groups(Err("disconnected".into())), cx));
    assert!(!bench.stats.switch_connected);
    assert!(bench.switch.wakeup().is_none(), "there is nobody to ask");
    assert!(!bench.said.iter().any(|s| s.contains("cannot be brought in step")), "{:?}", bench.said);
}

/// Beginning again, an answer to what was asked before must not be taken for one to what is asked now.
#[test]
fn it_begins_again_when_all_answers_to_what_was_asked_before_are_in() {
    let mut bench = Bench::started(5);
    bench.set(flow(1, 50, 1));
    let (session, bundle) = bench.line.pop_front().expect("a bundle");
    bench.with(|s, cx| s.handle(session, Event::Bundle(Outcome::Done), cx));
    bench.wait(AUDIT);
    assert!(bench.step(), "the meter is asked for");
    let (_, groups) = bench.line.pop_front().expect("a question");
    assert_eq!(groups, Command::ReadGroups);
    bench.toy.answer(bundle);
    let event = bench.toy.answer(groups);
    bench.with(|s, cx| s.handle(session, event, cx));
    // The tables are asked for; meanwhile a bundle goes.
    bench.set(flow(1, 51, 1));
    let (_, tables) = bench.line.pop_front().expect("a question");
    assert_eq!(tables, Command::ReadTables);
    bench.with(|s, cx| s.handle(session, Event::Tables(Err("nonsense".into())), cx));
    let (_, bundle) = bench.line.pop_front().expect("the bundle");
    bench.wait(RETRY_PAUSE);
    assert!(bench.line.is_empty(), "the bundle may yet be done or refused");
    let event = bench.toy.answer(bundle);
    bench.with(|s, cx| s.handle(session, event, cx));
    bench.run();
    bench.check();
}

#[test]
fn a_switch_that_cannot_be_brought_in_step_is_asked_and_told_of_ever_more_rarely() {
    let mut bench = Bench::started(5);
    bench.down();
    bench.up();
    let (mut asked, start) = (0, bench.now);
    while bench.now < start + Duration::from_secs(3600) {
        if let Some((session, _)) = bench.line.pop_front() {
            asked += 1;
            bench.with(|s, cx| s.handle(session, Event::Tlv(Err("nonsense".into())), cx));
        }
        bench.wait(RETRY_PAUSE);
    }
    assert!((60..300).contains(&asked), "asked {asked} times in an hour");
    let said = bench.said.iter().filter(|s| s.contains("nonsense")).count();
    assert!((2..=7).contains(&said), "said {said} times in an hour");
    bench.wait(LONGEST_PAUSE);
    bench.run();
    bench.check();
}
