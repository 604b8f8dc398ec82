//! Flows as text: no line panics, and what is printed is parsed as what is printed so. (Not as an equal flow: `enqueue` gives outputs
//! a length of 65535, as `ovs-ofctl` has it, which no text shows.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use tuplenet_openflow::Flow;

fuzz_target!(|line: &str| {
    if let Ok(flow) = line.parse::<Flow>() {
        let text = flow.to_string();
        assert_eq!(text.parse::<Flow>().map(|f| f.to_string()), Ok(text));
    }
});
