//! Every stage has its words, and whole ones.

use super::*;
use tuplenet_rules::stage;

#[test]
fn every_stage_is_explained_once_in_order() {
    let tables: Vec<&str> = ALL.iter().map(|explained| explained.stage.name).collect();
    let stages: Vec<&str> = stage::ALL.iter().map(|stage| stage.name).collect();
    assert_eq!(tables, stages, "each stage needs one explanation, in the table");
}

#[test]
fn stages_that_end_what_they_do_not_know_say_so() {
    for Explained { stage, ends, .. } in ALL {
        let counted = ends.iter().any(|end| end.rule == Rule::Drop);
        assert_eq!(counted, stage.next.is_none() && !stage.returns(), "{}", stage.name);
    }
}

#[test]
fn explanations_are_sentences() {
    for Explained { about, ends, .. } in ALL {
        for text in [*about].into_iter().chain(ends.iter().flat_map(|end| [end.why, end.check])) {
            assert!(text.ends_with(['.', '?']) && !text.contains("  "), "{text}");
        }
    }
}
