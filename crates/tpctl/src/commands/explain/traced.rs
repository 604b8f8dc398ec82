//! What `ovs-appctl ofproto/trace` prints, as the flows that it names: a user who has it in front of him may paste it.
//!
//! A flow is a line `17. metadata=0x1, priority 100, cookie 0x54...`, and its actions stand below it, four columns to the right. What the actions
//! lead to stands between them, again further to the right unless it is the last.

/// The flows, one a line, as `ovs-ofctl` has them. `None`: it is other text.
pub fn flows(text: &str) -> Option<Vec<String>> {
    if !text.lines().any(|line| line.trim_start().starts_with("bridge(\"")) {
        return None;
    }
    let mut found: Vec<Found> = Vec::new();
    for line in text.lines() {
        if let Some(flow) = Found::read(line) {
            found.push(flow);
            continue;
        }
        let action = line.trim();
        let note = ["->", ">>", "Final flow", "Megaflow", "Datapath actions", "-----", "bridge(", "Flow:", "No match"];
        let column = line.len() - line.trim_start().len();
        // An empty line ends a bridge's flows.
        if action.is_empty() || note.iter().any(|note| action.starts_with(note)) {
            continue;
        }
        if let Some(flow) = found.iter_mut().rev().find(|flow| flow.column + STEP == column) {
            flow.actions.push(action);
        }
    }
    Some(found.iter().map(Found::text).collect())
}

/// How much further to the right the actions of a flow stand.
const STEP: usize = 4;

struct Found<'a> {
    column: usize,
    table: u8,
    /// As it stands there: match, priority, cookie.
    head: &'a str,
    actions: Vec<&'a str>,
}

impl<'a> Found<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (number, head) = line.split_once(". ")?;
        let digits = number.trim_start();
        let table = digits.parse().ok()?;
        // The table's number is written in two columns at least.
        let column = number.len().saturating_sub(2) / STEP * STEP;
        head.contains("priority ").then_some(Self { column, table, head, actions: Vec::new() })
    }

    fn text(&self) -> String {
        let (mut matching, mut rest) = ("", self.head);
        if let Some((before, after)) = self.head.rsplit_once(", priority ") {
            (matching, rest) = (before, after);
        }
        let rest = rest.trim_start_matches("priority ");
        let (priority, cookie) = rest.split_once(", cookie ").unwrap_or((rest, "0x0"));
        let actions = if self.actions.is_empty() { "drop".to_owned() } else { self.actions.join(",") };
        format!("cookie={cookie}, table={}, priority={priority},{matching} actions={actions}", self.table)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_trace_of_the_switch_is_its_flows() {
        let text = r#"Flow: arp,in_port=16

bridge("br0")
-------------
 0. in_port=16, priority 100, cookie 0x5402000001000002
    set_field:0x1->metadata
    resubmit(,10)
    10. priority 0, cookie 0x5401000000000000
            resubmit(,201)
        201. priority 0, cookie 0x5401000000000000
            resubmit(,11)
    move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]
     -> NXM_OF_ETH_DST[] is now 00:00:00:00:00:00
14. arp,metadata=0x1, priority 100
    drop

Final flow: arp,reg0=0xa140101
Datapath actions: 16
"#;
        let flows = flows(text).unwrap();
        assert_eq!(
            flows,
            [
                "cookie=0x5402000001000002, table=0, priority=100,in_port=16 \
                 actions=set_field:0x1->metadata,resubmit(,10),move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
                "cookie=0x5401000000000000, table=10, priority=0, actions=drop",
                "cookie=0x5401000000000000, table=201, priority=0, actions=resubmit(,11)",
                "cookie=0x0, table=14, priority=100,arp,metadata=0x1 actions=drop",
            ]
        );
        assert_eq!(super::flows("cookie=0x1 actions=drop"), None);
    }
}
