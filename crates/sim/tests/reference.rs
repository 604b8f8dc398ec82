//! A reference of what a packet should experience, against the tables that the rules compute.

mod generate;

use proptest::prelude::*;

proptest! {
    #[test]
    fn every_frame_has_a_header(case in generate::cases(6)) {
        prop_assert!(case.packets.iter().all(|sent| sent.frame.to_bytes().len() > 14), "{case:?}");
    }
}
