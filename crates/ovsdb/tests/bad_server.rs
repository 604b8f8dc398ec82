//! Servers that send what no OVSDB server should: each is given up with a reason, and tried again; nothing panics.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, PATIENCE, User, config};
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tuplenet_ovsdb::{Config, Event, Operation, Target, TransactError, connect};

const SCHEMA: &str = r#"{"id":1,"error":null,"result":{"name":"Open_vSwitch","version":"1.0.0","tables":{"Bridge":{"columns":{
    "name":{"type":"string"},"ports":{"type":{"key":"uuid","min":0,"max":"unlimited"}}}}}}}"#;
const EMPTY: &str = r#"{"id":2,"error":null,"result":[false,"00000000-0000-0000-0000-000000000000",{}]}"#;

/// Listens in a directory of its own.
fn listen() -> (Dir, UnixListener, Config) {
    let dir = Dir::new("bad");
    let path = dir.file("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let config = Config { max_message: 1 << 20, backoff_max: Duration::from_millis(40), ..config(Target::Unix(path)) };
    (dir, listener, config)
}

/// Takes a connection and the first request, which asks for the schema.
async fn accept(listener: &UnixListener) -> UnixStream {
    let mut stream = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0;
    expect(&mut stream, "get_schema").await;
    stream
}

/// Reads until the text was seen.
async fn expect(stream: &mut UnixStream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut bytes = [0; 4096];
        let length = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert_ne!(length, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    seen
}

/// Sends bytes for an answer to the first request, and ends; gives the reason that the client tells.
async fn answered(bytes: &[u8]) -> String {
    let (_dir, listener, config) = listen();
    let mut user = User::new(config);
    let mut stream = accept(&listener).await;
    // The client may hang up before it has read all.
    let _ = stream.write_all(bytes).await;
    drop(stream);
    let why = user.down().await;
    // It comes again.
    accept(&listener).await;
    why
}

#[tokio::test]
async fn bad_bytes() {
    let uuid = "a2a498b1-e376-40a2-91a5-2d9a98cb442b";
    let monitored = |updates: &str| format!("{SCHEMA}{}", EMPTY.replace("{}", updates));
    let updated = |params: &str| format!(r#"{SCHEMA}{EMPTY}{{"id":null,"method":"update3","params":{params}}}"#);
    let zero = "00000000-0000-0000-0000-000000000000";
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "closed the connection"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n".into(), "not JSON: \"HTTP/1.1 400"),
        ("\0\0\0\0".into(), "not JSON"),
        ("[1]".into(), "not JSON"),
        ("{]".into(), "no message of OVSDB"),
        ("{\"a\":".repeat(1000), "nested deeper"),
        (format!("{{\"id\":{}", "[".repeat(1 << 19)), "nested deeper"),
        (format!("{{\"a\":\"{}", "x".repeat(2 << 20)), "more than 1048576 bytes"),
        (format!("{{\"a\":[{}0]}}", "0,".repeat(1 << 20)), "more than 1048576 bytes"),
        ("{\"id\":1,\"result\":".into(), "in the middle of a message"),
        ("{\"id\":1,\"id\":1}".into(), "duplicate field"),
        ("{}".into(), "neither method nor id"),
        ("{\"id\":99,\"result\":{}}".into(), "a reply to request 99"),
        ("{\"id\":1}".into(), "no message of OVSDB"),
        ("{\"id\":1,\"result\":{}}".into(), "missing field `tables`"),
        (r#"{"id":1,"result":{"tables":{}}}"#.into(), "none of the tables"),
        (
            r#"{"id":1,"result":{"tables":{"Bridge":{"columns":{"name":{"type":"text"}}}}}}"#.into(),
            "no message of OVSDB",
        ),
        (r#"{"id":1,"error":"canceled"}"#.into(), "cannot serve database Open_vSwitch: canceled"),
        (r#"{"id":null,"method":"update3","params":[]}"#.into(), "no message of OVSDB"),
        (format!(r#"{{"id":null,"method":"update3","params":["x","{zero}",{{}}]}}"#), "news of rows"),
        (r#"{"id":null,"method":"monitor_canceled","params":["x"]}"#.into(), "ended our monitor"),
        (format!("{SCHEMA}{SCHEMA}"), "a reply to request 1"),
        (format!("{SCHEMA}{EMPTY}{EMPTY}"), "a second reply"),
        (format!(r#"{SCHEMA}{{"id":2,"error":"no"}}"#), "refused to let tables be watched: no"),
        (format!(r#"{SCHEMA}{{"id":2,"result":[true]}}"#), "no message of OVSDB"),
        (format!(r#"{SCHEMA}{{"id":2,"result":[true,"x",{{}}]}}"#), "is not a UUID"),
        (monitored(r#"{"Bridge":[]}"#), "no message of OVSDB"),
        (monitored(r#"{"Bridge":{"x":{"insert":{}}}}"#), "is not a UUID"),
        (monitored(&format!(r#"{{"Bridge":{{"{uuid}":{{"explode":{{}}}}}}}}"#)), "no message of OVSDB"),
        (
            monitored(&format!(r#"{{"Bridge":{{"{uuid}":{{"insert":{{"name":7}}}}}}}}"#)),
            "another type than its schema says, for column name",
        ),
        (monitored(&format!(r#"{{"Bridge":{{"{uuid}":{{"insert":{{"ports":["map",[]]}}}}}}}}"#)), "another type"),
        (
            monitored(&format!(r#"{{"Bridge":{{"{uuid}":{{"insert":{{"ports":["set",[["set",[]]]]}}}}}}}}"#)),
            "no message of OVSDB",
        ),
        (
            updated(&format!(r#"["x","{zero}",{{"Bridge":{{"{uuid}":{{"modify":{{"name":"x"}}}}}}}}]"#)),
            "never told before",
        ),
        (updated("null"), "no message of OVSDB"),
        (updated(r#"["x"]"#), "no message of OVSDB"),
    ];
    for (bytes, reason) in cases {
        let why = answered(bytes.as_bytes()).await;
        assert!(why.contains(reason), "{:?}: {why}", bytes.chars().take(300).collect::<String>());
    }
}

/// What makes no sense and does no harm is passed over.
#[tokio::test]
async fn harmless_oddities() {
    let (_dir, listener, config) = listen();
    let mut user = User::new(config);
    let mut stream = accept(&listener).await;
    let uuid = "a2a498b1-e376-40a2-91a5-2d9a98cb442b";
    let zero = "00000000-0000-0000-0000-000000000000";
    let odd = format!(
        r#" {{"id":"echo","method":"echo","params":["é\u0000",{{}}]}} {{"id":7,"method":"dance","params":[]}}
           {{"id":null,"method":"locked","params":["x"]}} {{"id":"stray","result":[]}}
           {SCHEMA}{EMPTY}
           {{"id":null,"method":"update3","params":["x","{zero}",{{"Other":{{"{uuid}":{{"modify":{{}}}}}},"Bridge":{{"{uuid}":{{"delete":null}}}}}}],"more":1}}
           {{"id":null,"method":"update3","params":["x","{zero}",{{"Bridge":{{"{uuid}":{{"insert":{{"name":"br0","other":1}}}}}}}}]}}"#
    );
    // Byte by byte, so that every message is cut everywhere.
    for byte in odd.bytes() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    user.up().await;
    user.update().await;
    assert_eq!(user.mirror.bridge_by_name("br0").map(|(uuid, _)| uuid.to_string()).as_deref(), Some(uuid));
    let seen = expect(&mut stream, "unknown method").await;
    assert!(seen.contains(r#"{"error":null,"id":"echo","result":["é\u0000",{}]}"#), "{seen}");
}

#[tokio::test]
async fn silence_is_noticed() {
    let (_dir, listener, config) = listen();
    let mut user = User::new(Config { echo_interval: Duration::from_millis(50), ..config });
    let mut stream = accept(&listener).await;
    expect(&mut stream, r#""method":"echo""#).await;
    let why = user.down().await;
    assert!(why.contains("no sign of life for 100ms"), "{why}");
}

/// A program that was stopped for longer than its patience finds the answer and the end of its patience at once.
#[tokio::test]
async fn our_own_sleep_is_not_the_servers_silence() {
    let (_dir, listener, config) = listen();
    let mut user = User::new(Config { echo_interval: Duration::from_millis(400), ..config });
    let mut stream = accept(&listener).await;
    stream.write_all(format!("{SCHEMA}{EMPTY}").as_bytes()).await.unwrap();
    user.up().await;
    for _ in 0..6 {
        expect(&mut stream, r#""method":"echo""#).await;
        stream.write_all(br#"{"id":"echo","error":null,"result":[]}"#).await.unwrap();
        // The client's task is on this thread.
        std::thread::sleep(Duration::from_millis(450));
    }
    assert!(user.events.try_recv().is_err());
}

#[tokio::test]
async fn strange_replies_to_a_transaction() {
    for (reply, reason) in [
        ("[]", "fewer results"),
        ("[null]", "no result"),
        ("[{},{}]", "more results"),
        ("7", "invalid type"),
        (r#"[{"rows":[{"a":{}}]}]"#, "no OVSDB value"),
        (r#"[{"uuid":["uuid","x"]}]"#, "not a UUID"),
    ] {
        let (_dir, listener, config) = listen();
        let (client, mut events) = connect(Config { monitor: Vec::new(), ..config });
        let transacting = tokio::spawn(async move { client.transact(vec![Operation::comment("x")]).await });
        let mut stream = accept(&listener).await;
        stream.write_all(SCHEMA.as_bytes()).await.unwrap();
        assert_eq!(events.recv().await, Some(Event::Up));
        expect(&mut stream, "transact").await;
        stream.write_all(format!(r#"{{"id":2,"result":{reply}}}"#).as_bytes()).await.unwrap();
        let error = transacting.await.unwrap().unwrap_err();
        assert!(matches!(&error, TransactError::Reply { why } if why.contains(reason)), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A good conversation with some bytes changed: whatever becomes of it, it is no panic and no hang.
    #[test]
    fn damaged_conversations(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
        let uuid = "a2a498b1-e376-40a2-91a5-2d9a98cb442b";
        let news = format!(r#"{{"id":null,"method":"update3","params":["x","{uuid}",{{"Bridge":{{"{uuid}":{{"insert":{{"name":"br0","ports":["set",[]]}}}}}}}}]}}"#);
        let mut bytes = format!("{SCHEMA}{EMPTY}{news}").into_bytes();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 4).min(bytes.len()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let why = runtime.block_on(answered(&bytes));
        prop_assert!(why.starts_with("OVSDB server unix:"));
    }
}
