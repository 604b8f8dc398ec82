//! Bytes that no client of ours would send: the embedded store refuses them and goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::{Buf as _, BufMut as _, Bytes};
use common::Embedded;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tuplenet_store::{Client, wire::path};

/// Messages as they are, without protobuf.
#[derive(Clone, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Protobuf without sense: fields 1 to 13, numbers and nested messages, now and then cut off or spoilt.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let number = (1..14_u8, prop_oneof![8 => 0..8_u8, 1 => 0..128_u8]).prop_map(|(tag, value)| vec![tag << 3, value]);
    let text = (1..14_u8, proptest::collection::vec(any::<u8>(), 0..4)).prop_map(nest);
    let field = prop_oneof![number, text].prop_recursive(3, 24, 4, |field| {
        let fields = proptest::collection::vec(field, 0..4).prop_map(|fields| fields.concat());
        (1..6_u8, fields).prop_map(nest)
    });
    let whole = proptest::collection::vec(field, 0..5).prop_map(|fields| fields.concat());
    let cut = (whole.clone(), any::<proptest::sample::Index>())
        .prop_map(|(bytes, at)| bytes[..at.index(bytes.len() + 1)].to_vec());
    prop_oneof![8 => whole, 1 => cut, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

fn nest((tag, inner): (u8, Vec<u8>)) -> Vec<u8> {
    let inner = &inner[..inner.len().min(127)];
    [&[tag << 3 | 2, inner.len() as u8], inner].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_messages_are_answered_or_refused() {
    let store = Embedded::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", store.endpoint)).unwrap().connect_lazy();
    let paths = [
        path::RANGE,
        path::PUT,
        path::DELETE_RANGE,
        path::TXN,
        path::COMPACT,
        path::LEASE_GRANT,
        path::LEASE_REVOKE,
        path::LEASE_TIME_TO_LIVE,
        path::LEASE_KEEP_ALIVE,
        path::WATCH,
        path::STATUS,
        path::AUTHENTICATE,
        "/etcdserverpb.Auth/UserAdd",
        "/nonsense",
    ];
    let mut runner = TestRunner::new(Config::default());
    let mut answered = 0;
    for round in 0..100 {
        let bytes = Bytes::from(message().new_tree(&mut runner).unwrap().current());
        for path in paths {
            let mut grpc = tonic::client::Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let request = tonic::Request::new(bytes.clone());
            let call = grpc.unary(request, http::uri::PathAndQuery::from_static(path), Plain);
            // A watch that is well-formed stays silent until something happens; all else answers.
            let limit = if path == path::WATCH { Duration::from_millis(20) } else { Duration::from_secs(10) };
            match timeout(limit, call).await {
                Ok(Ok(_)) => answered += 1,
                Ok(Err(status)) => {
                    let inner = matches!(status.code(), tonic::Code::Unknown | tonic::Code::Unavailable);
                    assert!(!inner, "round {round}, {path} {bytes:?}: {status:?}");
                }
                Err(_) => assert_eq!(path, path::WATCH, "no answer to {bytes:?}"),
            }
        }
    }
    assert!(answered > 50, "{answered}");
    let client = Client::connect(tuplenet_store::Config::new(&store.endpoint).unwrap()).await.unwrap();
    client.put("/a", "still here").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_are_hung_up_on() {
    let store = Embedded::start().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut stream = TcpStream::connect(&store.endpoint).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset: either will do, and soon.
        let _ =
            timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    }
    let client = Client::connect(tuplenet_store::Config::new(&store.endpoint).unwrap()).await.unwrap();
    client.put("/a", "still here").await.unwrap();
}
