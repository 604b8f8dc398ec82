//! No table of a host leaves a choice: where two flows of one priority match one packet, they do the same with it. What a switch does otherwise
//! nobody can tell, and no comparison of packets finds reliably.

use crate::{
    generate::{self, Network},
    packets::{name, simulated},
};
use std::collections::BTreeMap;
use tuplenet_openflow::{FieldMatch, Flow};

/// The bits that a flow wants of a field, and which of them count.
fn bits(wanted: &FieldMatch) -> (Vec<u8>, Vec<u8>) {
    let value = wanted.value.as_bytes().to_vec();
    let mask = wanted.mask.as_ref().map_or_else(|| vec![0xff; value.len()], |mask| mask.as_bytes().to_vec());
    (value, mask)
}

/// Whether a packet can match both.
fn overlap(a: &Flow, b: &Flow) -> bool {
    a.matching.fields().all(|one| {
        let Some(other) = b.matching.get(one.field) else { return true };
        let ((value, mask), (other_value, other_mask)) = (bits(&one), bits(&other));
        let both = mask.iter().zip(&other_mask).map(|(m, n)| m & n);
        both.zip(value.iter().zip(&other_value)).all(|(both, (v, w))| (v ^ w) & both == 0)
    })
}

/// What is wrong with the tables of a network's hosts, if something is.
pub fn check(described: &Network) -> Result<(), String> {
    let mut network = simulated(described);
    for stored in &described.objects {
        let Some(chassis) = stored.path.strip_prefix("chassis/") else { continue };
        let Some(host) = network.host(&name(chassis)) else { continue };
        let mut equals: BTreeMap<(u8, u16), Vec<&Flow>> = BTreeMap::new();
        for flow in host.switch().flows() {
            equals.entry((flow.table, flow.priority)).or_default().push(flow);
        }
        for flows in equals.values() {
            for (i, a) in flows.iter().enumerate() {
                let rival = flows[i + 1..].iter().find(|b| a.instructions != b.instructions && overlap(a, b));
                if let Some(b) = rival {
                    return Err(format!("on {chassis} a packet may match both\n  {a}\n  {b}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_packet_has_two_flows_of_one_priority_to_choose_from() {
    generate::try_cases(&generate::cases(1), 150, |case| check(&case.network));
}
