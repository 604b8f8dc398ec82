//! The words of `ovs-ofctl`: printing and parsing of matches, actions and flows.
//!
//! What is printed here is, byte for byte, what `ovs-ofctl -O OpenFlow15` prints for the same message; what it
//! parses is parsed here to the same message. The tests hold both against the tool itself. Without an equal there are raw
//! actions and instructions, printed as `raw:` and hexadecimal digits.
//!
//! Where `ovs-ofctl` leaves something out, we do not: it drops the masks of `tun_gbp_flags` and of the GTP-U fields, and GTP-U fields
//! that are zero, and masks of whole low bytes of `tun_metadata*`.

mod action_parse;
mod action_print;
mod flow;
mod learn;
mod match_parse;
mod match_print;
mod names;
mod nested_parse;
mod number;
mod subfield;
mod tokens;
mod value;
