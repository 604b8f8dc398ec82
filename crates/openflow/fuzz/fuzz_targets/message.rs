//! Whole messages: no bytes panic, and what was decoded can be shown.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tuplenet_openflow::message::Message;

fuzz_target!(|data: &[u8]| {
    if let Ok((_, message)) = Message::decode(Bytes::copy_from_slice(data)) {
        let _ = message.to_string();
    }
});
