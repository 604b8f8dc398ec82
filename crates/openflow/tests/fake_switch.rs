//! The connection against switches that a real one never is: silent, deaf, endless, of the wrong version.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{Events, connected};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tuplenet_fixture::Dir;
use tuplenet_openflow::Flow;
use tuplenet_openflow::connection::{Config, Event, RequestError, Target, connect};
use tuplenet_openflow::message::header::kind;
use tuplenet_openflow::message::{
    BundleAction, BundleControl, Features, FlowCounters, FlowStats, Header, Hello, Message, MultipartReply, ReplyBody,
};

const FEATURES: Features = Features { datapath_id: 7, n_buffers: 0, n_tables: 254, auxiliary_id: 0, capabilities: 0 };

/// The switch's end of a connection.
struct Fake(UnixStream);

impl Fake {
    async fn read(&mut self) -> (Header, Bytes) {
        let mut head = [0; 8];
        self.0.read_exact(&mut head).await.unwrap();
        let header = Header::peek(&head).unwrap();
        let mut frame = head.to_vec();
        frame.resize(usize::from(header.length), 0);
        self.0.read_exact(&mut frame[8..]).await.unwrap();
        (header, frame.into())
    }

    async fn write(&mut self, xid: u32, message: &Message) -> std::io::Result<()> {
        let mut out = BytesMut::new();
        message.encode(xid, &mut out).unwrap();
        self.0.write_all(&out).await
    }

    /// Hello, features, and the barrier behind the set-up.
    async fn accept(listener: &UnixListener) -> Fake {
        let mut fake = Fake(listener.accept().await.unwrap().0);
        fake.write(1, &Message::Hello(Hello::ours())).await.unwrap();
        loop {
            let (header, _) = fake.read().await;
            match header.kind {
                kind::FEATURES_REQUEST => fake.write(header.xid, &Message::FeaturesReply(FEATURES)).await.unwrap(),
                kind::BARRIER_REQUEST => {
                    fake.write(header.xid, &Message::BarrierReply).await.unwrap();
                    return fake;
                }
                _ => {}
            }
        }
    }
}

fn listen(dir: &Dir) -> (UnixListener, Config) {
    let path = dir.file("fake.mgmt");
    let listener = UnixListener::bind(&path).unwrap();
    (listener, Config { backoff_min: Duration::from_millis(5), ..Config::new(Target::Unix(path)) })
}

#[tokio::test]
async fn echo_requests_of_the_switch_are_answered_with_their_data() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let (fake, (_switch, _events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    fake.write(99, &Message::EchoRequest(Bytes::from_static(b"ping"))).await.unwrap();
    let (header, frame) = fake.read().await;
    assert_eq!((header.kind, header.xid, &frame[8..]), (kind::ECHO_REPLY, 99, &b"ping"[..]));
}

#[tokio::test]
async fn a_silent_switch_is_asked_and_then_given_up() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let config = Config { echo_interval: Duration::from_millis(40), ..config };
    let (fake, (_switch, mut events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    // As long as it answers, it lives.
    for _ in 0..5 {
        let (header, _) = fake.read().await;
        assert_eq!(header.kind, kind::ECHO_REQUEST);
        fake.write(header.xid, &Message::EchoReply(Bytes::new())).await.unwrap();
    }
    let why = events.down().await;
    assert!(why.starts_with("the switch has said nothing for "), "{why}");
    let _again = Fake::accept(&listener).await;
    events.up().await;
}

#[tokio::test]
async fn a_request_without_answer_times_out_and_leaves_the_connection_usable() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let config = Config { request_timeout: Duration::from_millis(300), ..config };
    let (fake, (switch, _events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    let err = switch.barrier().await.unwrap_err();
    assert_eq!(err.to_string(), "the switch did not answer within 300ms to BARRIER_REQUEST");
    let (late, _) = fake.read().await;
    let answer = async {
        let (header, _) = fake.read().await;
        // The late answer to the first is not taken for one to the second.
        fake.write(late.xid, &Message::BarrierReply).await.unwrap();
        fake.write(header.xid, &Message::BarrierReply).await.unwrap();
    };
    let (done, ()) = tokio::join!(switch.barrier(), answer);
    done.unwrap();
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let config = Config { max_reply_bytes: 100_000, ..config };
    let (fake, (switch, _events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    let endless = async {
        let (header, _) = fake.read().await;
        // A part of an answer to a question of unknown type, with "more" set.
        let mut part = BytesMut::from(&[6, 19, 0xff, 0xf8, 0, 0, 0, 0, 0xff, 0xff, 0, 1, 0, 0, 0, 0][..]);
        part[4..8].copy_from_slice(&header.xid.to_be_bytes());
        part.resize(0xfff8, 0);
        for _ in 0..10 {
            fake.0.write_all(&part).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(switch.flows(None, None), endless);
    assert!(matches!(answer.unwrap_err(), RequestError::TooLarge { limit: 100_000, .. }));
}

/// Other software's flow, of which we understand nothing, must not hide our own.
#[tokio::test]
async fn a_flow_that_cannot_be_read_is_left_out_and_counted() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let (fake, (switch, _events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    let stats = |cookie| FlowStats { flow: Flow { cookie, ..Flow::default() }, counters: FlowCounters::default() };
    let answer = async {
        let (header, _) = fake.read().await;
        let body = ReplyBody::Flows(vec![stats(1), stats(2), stats(3)]);
        let mut part = BytesMut::new();
        Message::MultipartReply(MultipartReply { more: false, body }).encode(header.xid, &mut part).unwrap();
        // Of the second of three entries after the 16 bytes in front of them, the match's type.
        let entry = (part.len() - 16) / 3;
        part[16 + entry + 25] = 7;
        fake.0.write_all(&part).await.unwrap();
    };
    let (flows, ()) = tokio::join!(switch.flows(None, None), answer);
    let cookies: Vec<u64> = flows.unwrap().iter().map(|f| f.flow.cookie).collect();
    assert_eq!(cookies, [1, 3]);
    assert_eq!(switch.stats().unreadable, 1);
}

/// A switch that says more than its socket can hold before it reads on would block a client that writes before it
/// reads.
#[tokio::test]
async fn a_switch_that_answers_every_message_at_once_does_not_block_a_bundle() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let (fake, (switch, _events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    let chatty = async {
        let mut adds = 0;
        let noise = Message::EchoReply(Bytes::from(vec![0; 2000]));
        loop {
            let (header, frame) = fake.read().await;
            match Message::decode(frame).unwrap().1 {
                Message::BundleControl(m) => {
                    let action = match m.action {
                        BundleAction::OpenRequest => BundleAction::OpenReply,
                        BundleAction::CloseRequest => BundleAction::CloseReply,
                        BundleAction::CommitRequest => BundleAction::CommitReply,
                        other => panic!("{other:?}"),
                    };
                    let reply = Message::BundleControl(BundleControl { action, ..m });
                    fake.write(header.xid, &reply).await.unwrap();
                    if action == BundleAction::CommitReply {
                        return adds;
                    }
                }
                Message::BundleAdd(_) => {
                    adds += 1;
                    fake.write(header.xid, &noise).await.unwrap();
                }
                other => panic!("{other}"),
            }
        }
    };
    // Anything can be in the bundle, as far as this switch is concerned.
    let messages = vec![Message::EchoRequest(Bytes::from(vec![1; 500])); 3000];
    let (done, adds) = tokio::join!(switch.bundle(messages), chatty);
    done.unwrap();
    assert_eq!(adds, 3000);
}

#[tokio::test]
async fn requests_that_were_under_way_are_told_of_the_end() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let (fake, (switch, mut events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let bundle = switch.bundle(vec![Message::BarrierRequest; 200_000]);
    let cut = async {
        let mut fake = fake;
        fake.read().await;
    };
    let (barrier, bundle, ()) = tokio::join!(switch.barrier(), bundle, cut);
    assert!(matches!(barrier, Err(RequestError::Disconnected(_))), "{barrier:?}");
    assert!(matches!(bundle, Err(RequestError::Disconnected(_))), "{bundle:?}");
    events.down().await;
}

#[tokio::test]
async fn too_many_unread_events_end_the_connection_and_start_it_anew() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let config = Config { max_events: 100, ..config };
    let (fake, (_switch, mut events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    // ROLE_STATUS, which is kept raw. The write fails when the other end has had enough.
    let noise = Message::Raw { version: 6, kind: kind::ROLE_STATUS, body: Bytes::from_static(&[0; 16]) };
    let mut sent = 0;
    while sent < 100_000 && fake.write(0, &noise).await.is_ok() {
        sent += 1;
    }
    let _again = Fake::accept(&listener).await;
    // What is in the listener's channel comes, what waited behind it is forgotten.
    let mut seen = 0;
    let why = loop {
        match events.next().await {
            Event::Message(_) => seen += 1,
            Event::Down(why) => break why,
            Event::Up(_) => panic!("up without down"),
        }
    };
    assert!(seen <= 65, "{seen}");
    assert!(why.contains("not read in time"), "{why}");
    events.up().await;
}

#[tokio::test]
async fn what_is_no_openflow_is_told() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let (_switch, events) = connect(config);
    let mut events = Events(events);
    let (mut other, _) = listener.accept().await.unwrap();
    other.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
    let why = events.down().await;
    assert!(why.contains("does not speak OpenFlow"), "{why}");
}

#[tokio::test]
async fn the_connection_ends_with_the_last_handle() {
    let dir = Dir::new("fake");
    let (listener, config) = listen(&dir);
    let (fake, (switch, mut events)) = tokio::join!(Fake::accept(&listener), connected(config));
    let mut fake = fake;
    let other = switch.clone();
    drop(switch);
    let ((), done) = tokio::join!(
        async {
            let (header, _) = fake.read().await;
            fake.write(header.xid, &Message::BarrierReply).await.unwrap();
        },
        other.barrier()
    );
    done.unwrap();
    drop(other);
    let mut byte = [0];
    assert_eq!(fake.0.read(&mut byte).await.unwrap(), 0);
    assert!(tokio::time::timeout(tuplenet_fixture::PATIENCE, events.0.recv()).await.unwrap().is_none());
}
