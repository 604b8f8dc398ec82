//! Flows as text: no line panics, and what was parsed is printed as what means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tuplenet_openflow::Flow;

fuzz_target!(|line: &str| {
    if let Ok(flow) = line.parse::<Flow>() {
        assert_eq!(flow.to_string().parse::<Flow>(), Ok(flow));
    }
});
