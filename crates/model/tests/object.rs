//! Objects as the store has them: what is read, what is set aside, and with which words.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tuplenet_model::{key::Key, object::Object};

fn key(path: &str) -> Key {
    Key::parse(path).unwrap().unwrap()
}

const NAT: &str = "lr/LR/lnat/rule";

fn reason(path: &str, value: &str) -> String {
    Object::parse(&key(path), value.as_bytes()).expect_err("this object must be set aside").to_string()
}

#[test]
fn the_objects_of_the_layout_are_read_and_written_again() {
    for (path, value) in [
        ("ls/LS-A", r#"{"id":7}"#),
        ("ls/LS-A", r#"{"id":7,"flood":true,"description":"d","labels":{"a":"b"}}"#),
        ("ls/LS-A/lsp/vm1", r#"{"port_id":3,"mac":"f2:01:0a:01:00:02","ips":["10.1.0.2","fd00::2"]}"#),
        ("ls/LS-A/lsp/up", r#"{"port_id":7,"patch":{"chassis":"hv1","bridge":"br-ex","vlan":100}}"#),
        ("ls/LS-A/lsp/up", r#"{"port_id":7,"patch":{"chassis":"hv1","bridge":"br-ex"},"labels":{"a":"b"}}"#),
        ("lr/LR/lnat/out", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.5"}"#),
        ("lr/LR/lnat/web", r#"{"type":"dnat","prefix":"2001:db8::5/128","xlate_ip":"fd00::2"}"#),
        ("lr/LR/lnat/vm", r#"{"type":"floating","prefix":"10.0.0.2/32","xlate_ip":"203.0.113.5","distributed":true}"#),
        ("lr/LR", r#"{"id":9,"chassis":null}"#),
        ("lr/LR", r#"{"id":9,"chassis":"hv1"}"#),
        (
            "lr/LR/lrp/p",
            r#"{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["10.1.0.1/24"],"peer":{"ls":"a","lsp":"b"}}"#,
        ),
        ("lr/LR/lsr/r", r#"{"prefix":"0.0.0.0/0","next_hop":"100.64.0.2","outport":"p"}"#),
        ("chassis/hv1", r#"{"encaps":[{"type":"geneve","ip":"192.0.2.1"}],"roles":[]}"#),
        ("binding/LS-A/vm1", r#"{"chassis":"hv1","generation":3}"#),
    ] {
        let object = Object::parse(&key(path), value.as_bytes()).unwrap();
        let written = serde_json::Value::Object(object.to_json());
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(value).unwrap(), "{path}");
        assert!(object.to_json().keys().all(|field| object.fields().contains(&field.as_str())), "{path}");
    }
}

#[test]
fn a_bad_object_is_named_with_its_field_and_the_remedy() {
    let lsp = "ls/LS-A/lsp/vm1";
    for (path, value, words) in [
        (lsp, "", &["ls/LS-A/lsp/vm1", "empty"][..]),
        (lsp, "[1]", &["no JSON object"]),
        ("ls/LS-A", r#"{"id":"7"}"#, &["ls/LS-A: id:", "expected a whole number"]),
        ("ls/LS-A", r#"{"id":7,"description":5}"#, &["ls/LS-A: description:", "expected a string"]),
        ("ls/LS-A", r#"{"id":7,"labels":["a"]}"#, &["ls/LS-A: labels:", "expected an object, {...}"]),
        ("ls/LS-A", r#"{"id":7,"labels":{"a":1}}"#, &["ls/LS-A: labels.a:", "expected a string"]),
        ("ls/LS-A", r#"{"labels":{"a":1}}"#, &["ls/LS-A: missing field `id`"]),
        ("binding/LS-A/vm1", r#"{"labels":[]}"#, &["vm1: missing field `chassis`"]),
        (
            lsp,
            r#"{"port_id":70000,"mac":"f2:01:0a:01:00:02","ips":[]}"#,
            &["port_id:", "integer `70000`, expected one from 0 to 65535"],
        ),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":"10.0.0.1"}"#, &["ips:", "expected a list, [...]"]),
        (lsp, r#"{"port_id":1,"patch":"br-ex"}"#, &["patch:", "expected an object, {...}"]),
        (lsp, "{", &["EOF", "valid JSON"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02"}"#, &["ips:", "at least one"]),
        (lsp, r#"{"port_id":1,"ips":["10.1.0.2"]}"#, &["mac:", "there is none"]),
        (
            lsp,
            r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","patch":{"chassis":"h","bridge":"b"}}"#,
            &["mac:", "patch port"],
        ),
        (lsp, r#"{"port_id":1,"ips":["10.1.0.2"],"patch":{"chassis":"h","bridge":"b"}}"#, &["ips:", "patch port"]),
        (lsp, r#"{"port_id":1,"peer":{"lr":"r","lrp":"p"},"patch":{"chassis":"h","bridge":"b"}}"#, &["peer:", "link"]),
        (lsp, r#"{"port_id":1,"patch":{"chassis":"h","bridge":"b","vlan":0}}"#, &["patch.vlan:", "1 to 4094"]),
        (lsp, r#"{"port_id":1,"patch":{"chassis":"h","bridge":"b","vlan":4095}}"#, &["patch.vlan:", "1 to 4094"]),
        (lsp, r#"{"port_id":1,"patch":{"chassis":"h","bridge":"b","vlna":7}}"#, &["patch.vlna:", "unknown field"]),
        (
            lsp,
            r#"{"port_id":1,"patch":{"chassis":"h","bridge":"br-int"}}"#,
            &["patch.bridge:", "virtual network itself"],
        ),
        (
            lsp,
            r#"{"port_id":1,"patch":{"chassis":"h","bridge":"br-with-a-long-name"}}"#,
            &["patch.bridge:", "more than 15"],
        ),
        (lsp, r#"{"port_id":1,"patch":{"chassis":"h","bridge":"br ex"}}"#, &["patch.bridge:", "is not a name"]),
        (NAT, r#"{"type":"both","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.5"}"#, &["type:", "snat"]),
        (NAT, r#"{"type":"snat","prefix":"10.0.0.1/8","xlate_ip":"203.0.113.5"}"#, &["prefix:", "write 10.0.0.0/8"]),
        (NAT, r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"2001:db8::1"}"#, &["xlate_ip:", "families"]),
        (NAT, r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"224.0.0.1"}"#, &["xlate_ip:", "multicast"]),
        (NAT, r#"{"type":"snat","prefix":"224.0.0.0/8","xlate_ip":"203.0.113.5"}"#, &["prefix:", "multicast"]),
        (
            NAT,
            r#"{"type":"dnat","prefix":"203.0.113.0/24","xlate_ip":"10.0.0.2"}"#,
            &["prefix:", "external address, with /32"],
        ),
        (
            NAT,
            r#"{"type":"floating","prefix":"fd00::/64","xlate_ip":"2001:db8::1"}"#,
            &["prefix:", "inner address, with /128"],
        ),
        (NAT, r#"{"type":"floating","prefix":"10.0.0.2/32","xlate_ip":"10.0.0.2"}"#, &["xlate_ip:", "itself"]),
        (
            NAT,
            r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.5","distributed":true}"#,
            &["distributed:", "floating"],
        ),
        (lsp, r#"{"port_id":"1","mac":"f2:01:0a:01:00:02","ips":["10.1.0.2"]}"#, &["port_id:", "string"]),
        (lsp, r#"{"port_id":65535,"mac":"f2:01:0a:01:00:02","ips":["10.1.0.2"]}"#, &["port_id:", "1 to 65279"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00","ips":["10.1.0.2"]}"#, &["mac:", "six bytes"]),
        (lsp, r#"{"port_id":1,"mac":"00:00:00:00:00:00","ips":["10.1.0.2"]}"#, &["mac:", "nobody"]),
        (lsp, r#"{"port_id":1,"mac":"ff:ff:ff:ff:ff:ff","ips":["10.1.0.2"]}"#, &["mac:", "multicast", "unicast"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":[]}"#, &["ips:", "at least one"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["10.1.0.2","10.1.0.2"]}"#, &["ips[1]:", "twice"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["10.1.0.2","nonsense"]}"#, &["ips[1]"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["224.0.0.1"]}"#, &["ips[0]:", "multicast"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["ff02::1"]}"#, &["multicast"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["0.0.0.0"]}"#, &["unspecified"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["127.0.0.1"]}"#, &["loopback"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["::1"]}"#, &["loopback"]),
        (lsp, r#"{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":["::ffff:10.0.0.1"]}"#, &["IPv4 address in IPv6"]),
        ("ls/LS-A", r#"{"id":0}"#, &["ls/LS-A: id:", "1 to 16777215"]),
        ("ls/LS-A", r#"{"id":16777216}"#, &["id:"]),
        ("ls/LS-A", r#"{"id":1,"labels":{"":"x"}}"#, &["labels:"]),
        ("lr/LR", r#"{"id":1,"chassis":"a/b"}"#, &["chassis:", "not a name"]),
        (
            "lr/R/lrp/p",
            r#"{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["10.1.0.0/24"]}"#,
            &["nets[0]:", "network itself"],
        ),
        ("lr/R/lrp/p", r#"{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["10.1.0.255/24"]}"#, &["broadcast"]),
        ("lr/R/lrp/p", r#"{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["10.1.0.1/0"]}"#, &["everything"]),
        ("lr/R/lrp/p", r#"{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["fd00::/64"]}"#, &["network itself"]),
        ("lr/R/lrp/p", r#"{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["fd00::1/64","fd00::1/48"]}"#, &["twice"]),
        (
            "lr/R/lsr/r",
            r#"{"prefix":"10.0.0.1/8","next_hop":"10.1.0.1","outport":"p"}"#,
            &["prefix:", "write 10.0.0.0/8"],
        ),
        ("lr/R/lsr/r", r#"{"prefix":"::/0","next_hop":"10.1.0.1","outport":"p"}"#, &["next_hop:", "families"]),
        ("lr/R/lsr/r", r#"{"prefix":"10.0.0.0/8","next_hop":"224.0.0.1","outport":"p"}"#, &["next_hop:", "multicast"]),
        ("chassis/c", r#"{"encaps":[{"type":"geneve","ip":"0.0.0.0"}]}"#, &["encaps[0].ip"]),
        ("chassis/c", r#"{"encaps":[{"type":"stt","ip":"192.0.2.1"}]}"#, &["encaps[0].type", "stt"]),
        ("binding/a/b", r#"{"chassis":"c","generation":-1}"#, &["generation"]),
    ] {
        let text = reason(path, value);
        assert!(text.starts_with(path), "{text}");
        for word in words {
            assert!(text.contains(word), "{value} must be refused with \"{word}\", not: {text}");
        }
    }
}

#[test]
fn a_reason_reads_as_one_sentence() {
    for (value, wanted) in [
        (
            r#"{"port_id":1,"mac":"nonsense","ips":["10.1.0.2"]}"#,
            r#"mac: "nonsense" is not a MAC address: write six bytes in hex, like f2:01:0a:14:01:02"#,
        ),
        (r#"{"mac":"f2:01:0a:01:00:02","ips":["10.1.0.2"]}"#, "missing field `port_id`: correct the object"),
        (
            r#"{"port_id":"1","mac":"f2:01:0a:01:00:02","ips":["10.1.0.2"]}"#,
            r#"port_id: invalid type: string "1", expected a whole number: correct that field"#,
        ),
        ("{", "line 1, column 1: EOF while parsing an object: write valid JSON, or delete the key"),
    ] {
        assert_eq!(reason("ls/a/lsp/b", value), format!("ls/a/lsp/b: {wanted}"));
    }
}

#[test]
fn two_address_networks_use_both_addresses() {
    for net in ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32", "fd00::/127", "fd00::1/128"] {
        let value = format!(r#"{{"port_id":1,"mac":"f2:01:0a:01:00:01","nets":["{net}"]}}"#);
        Object::parse(&key("lr/R/lrp/p"), value.as_bytes()).unwrap();
    }
}

#[test]
fn size_is_bounded() {
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    let said = reason("ls/LS-A", &deep);
    assert!(said.len() < 200 && said.contains("recursion limit"), "{said}");
    let big = format!(r#"{{"id":1,"x":"{}"}}"#, "y".repeat(64 * 1024));
    assert!(reason("ls/a", &big).contains("at most 65536"));
    let ips = (0..65).map(|i| format!("\"10.0.0.{}\"", i + 1)).collect::<Vec<_>>().join(",");
    let many = format!(r#"{{"port_id":1,"mac":"f2:01:0a:01:00:02","ips":[{ips}]}}"#);
    assert!(reason("ls/a/lsp/b", &many).contains("at most 64"));
}

#[test]
fn unknown_fields_survive_an_update_and_known_ones_are_ours() {
    let present = br#"{"id":7,"flood":true,"description":"old","colour":{"of":"later"},"labels":{"a":"b"}}"#;
    let update = Object::parse(&key("ls/a"), br#"{"id":8}"#).unwrap();
    let merged = serde_json::Value::Object(update.merged_into(present));
    assert_eq!(merged, serde_json::json!({"id": 8, "colour": {"of": "later"}}));
    assert_eq!(serde_json::Value::Object(update.merged_into(b"nonsense")), serde_json::json!({"id": 8}));
}

fn any_key() -> impl Strategy<Value = Key> {
    let paths = ["ls/a", "ls/a/lsp/b", "lr/a", "lr/a/lrp/b", "lr/a/lsr/b", "chassis/a", "binding/a/b"];
    proptest::sample::select(paths.to_vec()).prop_map(key)
}

/// JSON-like text made of the pieces that our objects are made of, so that many get past the parser.
fn jsonish() -> impl Strategy<Value = Vec<u8>> {
    let field =
        proptest::sample::select(vec!["id", "port_id", "mac", "ips", "nets", "peer", "prefix", "next_hop", "labels"]);
    let value = proptest::sample::select(vec![
        "1",
        "-1",
        "1e99",
        "null",
        "\"\"",
        "[]",
        "{}",
        "\"10.0.0.1\"",
        "[\"10.0.0.1\"]",
        "[\"fd00::1/64\"]",
        "\"f2:01:00:00:00:01\"",
        "[[]]",
        "{\"ls\":\"a\",\"lsp\":\"b\"}",
        "{\"a\":\"b\"}",
        "[\"10.0.0.1/99\"]",
        "\"::/0\"",
    ]);
    proptest::collection::vec((field, value), 0..6).prop_map(|pairs| {
        let body = pairs.iter().map(|(f, v)| format!("\"{f}\":{v}")).collect::<Vec<_>>().join(",");
        format!("{{{body}}}").into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(key in any_key(), value in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), jsonish()]) {
        match Object::parse(&key, &value) {
            Ok(object) => {
                prop_assert!(object.fits(&key));
                let written = serde_json::to_vec(&object.to_json()).unwrap();
                prop_assert_eq!(Object::parse(&key, &written).unwrap(), object);
            }
            Err(invalid) => prop_assert!(invalid.to_string().starts_with(&key.to_string())),
        }
    }

    #[test]
    fn any_path_is_a_key_or_refused(path in "[a-z/.-]{0,20}|(ls|lr|chassis|binding)(/[a-zA-Z0-9_.-]{0,4}){0,4}") {
        if let Ok(Some(key)) = Key::parse(&path) {
            prop_assert_eq!(key.to_string(), path);
        }
    }
}
