//! What users paste: lines of `ovs-ofctl dump-flows`, of `ofproto/trace`, or a cookie alone. Text from outside: any.

use super::traced;
use anyhow::{Context as _, Error, Result, bail, ensure};
use std::{collections::BTreeMap, io::Read};
use tuplenet_openflow::{Action, Flow, Instruction, Value, action::SetField};

/// The most that is read from standard input, in bytes.
const MOST: u64 = 16 << 20;
/// The longest line, in bytes: a flow of ours has some hundred.
const LONGEST: usize = 64 << 10;

/// A flow, as far as the text tells.
#[derive(Debug, Default)]
pub struct Pasted {
    /// 0 if there is none.
    pub cookie: u64,
    /// Whether the text has a cookie; some commands leave it out.
    pub says_cookie: bool,
    /// The table, if the text has one.
    pub table: Option<u8>,
    /// Match and actions; `None`: a cookie alone, or they cannot be read.
    pub flow: Option<Flow>,
    /// Packets counted.
    pub packets: Option<u64>,
    /// Bytes counted.
    pub bytes: Option<u64>,
    /// What could not be read, and why.
    pub unread: Option<String>,
    /// Ports of the bridge that the text calls by name, by the numbers that they have here instead.
    ports: BTreeMap<u32, String>,
}

/// Numbers that stand for names of ports: no switch has so many ports.
const NAMED: u32 = 0x7ead_0000;

impl Pasted {
    /// What is said of the flow, with the names of ports where the text had names.
    pub fn with_names(&self, said: Vec<String>) -> Vec<String> {
        let named = |text: String| {
            self.ports
                .iter()
                .fold(text, |text, (number, name)| text.replace(&format!("port {number} "), &format!("port {name} ")))
        };
        said.into_iter().map(named).collect()
    }
}

/// Whether standard input was meant.
pub fn is_stdin(text: &[String]) -> bool {
    matches!(text, [dash] if dash == "-")
}

/// The lines that arguments or standard input give: without headers and empty ones.
pub fn lines(text: &[String]) -> Result<Vec<String>> {
    let joined = match text {
        _ if is_stdin(text) => {
            let mut read = Vec::new();
            std::io::stdin().lock().take(MOST + 1).read_to_end(&mut read).context("cannot read standard input")?;
            ensure!(read.len() as u64 <= MOST, "standard input has more than {} MiB: select with grep", MOST >> 20);
            String::from_utf8_lossy(&read).into_owned()
        }
        // The shell took a line without quotes apart.
        words => words.join(" "),
    };
    if let Some(flows) = traced::flows(&joined).filter(|flows| !flows.is_empty()) {
        return Ok(flows);
    }
    let lines: Vec<String> = joined.lines().map(str::trim).filter(|line| !is_header(line)).map(str::to_owned).collect();
    ensure!(
        !lines.is_empty(),
        "there is no text to explain{}: give a line of \"ovs-ofctl dump-flows br-int\", or a cookie (0x...)",
        if is_stdin(text) { " in standard input (did grep find nothing?)" } else { "" }
    );
    Ok(lines)
}

/// Reads all lines: those that can be read, and why the first of the others cannot.
pub fn read_all(lines: &[String]) -> (Vec<Pasted>, Option<Error>) {
    let (mut read, mut failed) = (Vec::with_capacity(lines.len()), None);
    for line in lines {
        match self::read(line) {
            Ok(pasted) => read.push(pasted),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    (read, failed)
}

/// What `ovs-ofctl` prints before the flows.
fn is_header(line: &str) -> bool {
    line.is_empty() || ((line.starts_with("OFPST_FLOW") || line.starts_with("NXST_FLOW")) && line.ends_with("):"))
}

/// Reads a line. What has no cookie and is no flow is refused.
pub fn read(line: &str) -> Result<Pasted> {
    ensure!(line.len() <= LONGEST, "the line has {} bytes: no flow has more than {LONGEST}", line.len());
    if let Some(cookie) = number(line) {
        return Ok(Pasted { cookie, says_cookie: true, ..Pasted::default() });
    }
    // The tables of ovs-appctl bridge/dump-flows have another word for the table.
    let line = line.replace("table_id=", "table=");
    let mut pasted = Pasted {
        cookie: after(&line, "cookie").unwrap_or(0),
        says_cookie: after(&line, "cookie").is_some(),
        packets: after(&line, "n_packets"),
        bytes: after(&line, "n_bytes"),
        table: after(&line, "table").or_else(|| traced_table(&line)).and_then(|table| u8::try_from(table).ok()),
        ..Pasted::default()
    };
    if !line.contains("actions") {
        // A cookie with a mask, or a line of ofproto/trace: what it did stands in the lines below.
        ensure!(pasted.cookie != 0, unreadable(&line, "it has no actions and no cookie"));
        return Ok(pasted);
    }
    ensure!(pasted.cookie != 0 || !line.starts_with("actions"), unreadable(&line, "it has no match and no cookie"));
    let flow = line.parse::<Flow>().or_else(|error| {
        // On a terminal ovs-ofctl shows ports by name.
        let (numbered, ports) = numbered(&line);
        pasted.ports = ports;
        if pasted.ports.is_empty() { Err(error) } else { numbered.parse() }
    });
    match flow {
        Ok(mut flow) => {
            for instruction in &mut flow.instructions {
                if let Instruction::ApplyActions(actions) = instruction {
                    *actions = whole(std::mem::take(actions));
                }
            }
            // Where none is said it is table 0.
            pasted.table = Some(flow.table);
            pasted.flow = Some(flow);
        }
        Err(error) if pasted.cookie != 0 => pasted.unread = Some(error.to_string()),
        Err(error) => bail!(unreadable(&line, &error.to_string())),
    }
    Ok(pasted)
}

/// Joins what one action sets in pieces: so OpenFlow 1.0, which ovs-ofctl speaks unless told otherwise, sets what has more than 64 bits.
fn whole(actions: Vec<Action>) -> Vec<Action> {
    let mut joined: Vec<Action> = Vec::with_capacity(actions.len());
    for action in actions {
        let both = match (joined.last(), &action) {
            (Some(Action::SetField(first)), Action::SetField(second)) if first.field() == second.field() => {
                both(first, second)
            }
            _ => None,
        };
        match both {
            Some(both) => {
                joined.pop();
                joined.push(Action::SetField(both));
            }
            None => joined.push(action),
        }
    }
    joined
}

fn both(first: &SetField, second: &SetField) -> Option<SetField> {
    let bits = |set: &SetField| Some((set.value().to_u128()?, set.mask()?.to_u128()?));
    let ((a, a_mask), (b, b_mask)) = (bits(first)?, bits(second)?);
    let apart = a_mask & b_mask == 0;
    let value = |bits: u128| Value::from_bytes(&bits.to_be_bytes());
    apart.then(|| SetField::new(first.field(), value(a | b), Some(value(a_mask | b_mask))).ok()).flatten()
}

/// Puts a number for each name of a port.
fn numbered(line: &str) -> (String, BTreeMap<u32, String>) {
    let (mut text, mut ports) = (String::new(), BTreeMap::new());
    let mut rest = line;
    while let Some(at) = ["in_port=", "output:"].iter().filter_map(|word| Some(rest.find(word)? + word.len())).min() {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let (name, length) = match after.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let length = after.find([',', ' ', ')']).unwrap_or(after.len());
                (after.get(..length).unwrap_or_default(), length)
            }
        };
        // Reserved ports have upper case names, which the parser knows.
        let known =
            name.is_empty() || number(name).is_some() || name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        if known {
            text.push_str(after.get(..length).unwrap_or_default());
        } else {
            let stands_for = NAMED + ports.len() as u32;
            ports.insert(stands_for, name.to_owned());
            text.push_str(&stands_for.to_string());
        }
        rest = after.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    (text, ports)
}

fn unreadable(line: &str, why: &str) -> String {
    const SHOWN: usize = 60;
    let more = if line.chars().nth(SHOWN).is_some() { "..." } else { "" };
    let shown: String = line.chars().take(SHOWN).collect();
    format!(
        "\"{shown}{more}\" is neither a cookie (0x...) nor a flow ({}): give a line of \"ovs-ofctl -O OpenFlow15 dump-flows br-int\"",
        why.chars().take(200).collect::<String>()
    )
}

/// A number by itself; a cookie is written in hexadecimal.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(',');
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// The number after a word, `word=0x12` or `word 0x12`, before the match begins to have fields of that name.
fn after(line: &str, word: &str) -> Option<u64> {
    let mut rest = line;
    loop {
        let at = rest.find(word)?;
        let (before, found) = rest.split_at(at);
        let tail = found.get(word.len()..)?;
        let begins = before.chars().next_back().is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        let value = tail.strip_prefix(['=', ' ', ':']);
        if let (true, Some(value)) = (begins, value) {
            let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
            return number(value.get(..end)?);
        }
        rest = tail;
    }
}

/// A line of ofproto/trace begins with its table: "17. metadata=0x1, priority 100, cookie 0x54...".
fn traced_table(line: &str) -> Option<u64> {
    let (table, rest) = line.split_once(". ")?;
    rest.contains("priority").then(|| table.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_switches_print_is_read() {
        let dump = " cookie=0x5408000001000002, duration=12.3s, table=17, n_packets=12, n_bytes=1176, priority=100,metadata=0x1,dl_dst=f2:01:0a:14:01:02 \
                    actions=set_field:0x2->reg5,resubmit(,18)";
        let pasted = read(dump.trim()).unwrap();
        assert_eq!((pasted.cookie, pasted.table), (0x5408000001000002, Some(17)));
        assert_eq!((pasted.packets, pasted.bytes), (Some(12), Some(1176)));
        assert_eq!(pasted.flow.unwrap().priority, 100);
        for (text, table) in [
            ("0x5408000001000002", None),
            ("0x5408000001000002,", None),
            ("cookie=0x5408000001000002", None),
            ("cookie=0x5408000001000002/-1", None),
            ("6055089699016409090", None),
            ("17. metadata=0x1,dl_dst=f2:01:0a:14:01:02, priority 100, cookie 0x5408000001000002", Some(17)),
            (
                "table_id=17, duration=1s, n_packets=0, n_bytes=0, priority=100,actions=drop cookie=0x5408000001000002",
                Some(17),
            ),
        ] {
            let pasted = read(text).unwrap();
            assert_eq!((pasted.cookie, pasted.table), (0x5408000001000002, table), "{text}");
        }
    }

    #[test]
    fn a_flow_that_cannot_be_read_still_has_its_cookie() {
        let pasted = read("cookie=0x5408000001000002, table=17, in_port=\"a b\" actions=frobnicate").unwrap();
        assert!(pasted.flow.is_none());
        assert_eq!((pasted.cookie, pasted.table, pasted.flow.is_none()), (0x5408000001000002, Some(17), true));
        assert!(pasted.unread.is_some());
    }

    #[test]
    fn what_is_set_in_pieces_is_one() {
        let set = |text: &str| {
            read(&format!("cookie=0x1, table=15, ipv6 actions={text}")).unwrap().flow.unwrap().actions().to_vec()
        };
        assert_eq!(
            set("load:0x1->NXM_NX_IPV6_DST[0..63],load:0xff02000000000000->NXM_NX_IPV6_DST[64..127]"),
            set("set_field:ff02::1->ipv6_dst")
        );
        assert_eq!(set("load:0x1->NXM_NX_REG0[0..3],load:0x2->NXM_NX_REG0[0..3]").len(), 2);
        assert_eq!(set("load:0x1->NXM_NX_REG0[0..3],load:0x2->NXM_NX_REG1[4..7]").len(), 2);
    }

    #[test]
    fn ports_may_have_names() {
        let pasted = read("cookie=0x1, table=34, in_port=\"eth 0\",metadata=0x1 actions=set_field:0->in_port,output:tap7,output:3,LOCAL").unwrap();
        assert_eq!(pasted.flow.as_ref().unwrap().actions().len(), 4);
        let said = pasted.with_names(vec![
            format!("by port {} of the bridge", NAMED),
            format!("port {} of", NAMED + 1),
            "port 3 of".to_owned(),
        ]);
        assert_eq!(said, ["by port eth 0 of the bridge", "port tap7 of", "port 3 of"]);
        assert!(read("in_port= actions=output:").is_err());
    }

    #[test]
    fn garbage_is_refused_in_one_line() {
        for text in [
            "garbage",
            "0x",
            "0xzz",
            "0x11223344556677889",
            "actions=",
            "cookie=",
            "(((",
            "é=é actions=é",
            "table=300 actions=drop",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(!error.contains('\n') && error.len() < 600, "{text}: {error}");
        }
        assert!(read(&"x".repeat(LONGEST + 1)).is_err());
        assert!(lines(&["  \n".to_owned()]).is_err());
        assert_eq!(lines(&["OFPST_FLOW reply (OF1.5) (xid=0x2):\n 0x1\n".to_owned()]).unwrap(), ["0x1"]);
    }
}
