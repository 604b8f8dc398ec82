//! Matches, actions and instructions: no bytes panic, and what was decoded is encoded as it was.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use tuplenet_openflow::{Match, action, instruction};

/// Equal but for the length in the name of a tunnel option, which is the longest in ours.
fn equal(ours: &[u8], theirs: &[u8]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a == b || *a == 124)
}

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let input = Bytes::copy_from_slice(data);
    let mut out = BytesMut::new();
    match which % 3 {
        0 => {
            if let Ok(m) = Match::from_oxm(data) {
                assert_eq!(Match::from_oxm(m.oxm_bytes()).as_ref(), Ok(&m));
                let _ = m.to_string();
            }
        }
        1 => {
            if let Ok(actions) = action::decode_list(input) {
                action::encode_list(&actions, &mut out).expect("what was decoded can be encoded");
                assert!(equal(&out, data));
                actions.iter().for_each(|a| drop(a.to_string()));
            }
        }
        _ => {
            if let Ok(instructions) = instruction::decode_list(input) {
                instruction::encode_list(&instructions, &mut out).expect("what was decoded can be encoded");
                assert!(equal(&out, data));
                instructions.iter().for_each(|i| drop(i.to_string()));
            }
        }
    }
});
