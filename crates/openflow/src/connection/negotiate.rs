//! From an open stream to a switch that speaks OpenFlow 1.5 with us and is set up.

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use super::Config;
use super::frames::FrameReader;
use super::target::{ReadHalf, WriteHalf};
use crate::message::header::{VERSION_1_5, kind};
use crate::message::{ErrorMsg, Features, Hello, Message};

/// A connection that is ready for use.
pub(super) struct Ready {
    pub(super) reader: FrameReader<ReadHalf>,
    pub(super) writer: WriteHalf,
    pub(super) features: Features,
}

/// Connects and says hello. The error is one line for people.
pub(super) async fn establish(config: &Config) -> Result<Ready, String> {
    match tokio::time::timeout(config.request_timeout, attempt(config)).await {
        Ok(done) => done,
        Err(_) => Err(format!("{} did not finish the hello within {:?}", config.target, config.request_timeout)),
    }
}

/// xids of the hello and of what follows it; nothing else is under way yet.
const FEATURES_XID: u32 = 2;
const FIRST_SETUP_XID: u32 = 3;

async fn attempt(config: &Config) -> Result<Ready, String> {
    let (reader, mut writer) = config.target.open().await?;
    let mut reader = FrameReader::new(reader);

    write(&mut writer, &[(1, &Message::Hello(Hello::ours()))]).await?;
    let hello = match next(&mut reader).await? {
        (_, Message::Hello(hello)) => hello,
        (_, Message::Error(e)) => return Err(format!("the switch refused our hello: {e}")),
        _ => return Err("the switch did not begin with a hello".to_owned()),
    };
    if !hello.speaks(VERSION_1_5) {
        return Err(format!(
            "the switch offers {hello} but not 1.5: set protocols=OpenFlow15 on the bridge (ovs-vsctl add bridge \
             BRIDGE protocols OpenFlow15)"
        ));
    }

    let barrier_xid = FIRST_SETUP_XID + u32::try_from(config.setup.len()).unwrap_or(u32::MAX / 2);
    let mut first: Vec<(u32, &Message)> = vec![(FEATURES_XID, &Message::FeaturesRequest)];
    first.extend((FIRST_SETUP_XID..).zip(&config.setup));
    first.push((barrier_xid, &Message::BarrierRequest));
    write(&mut writer, &first).await?;

    let mut features = None;
    loop {
        match next(&mut reader).await? {
            (_, Message::FeaturesReply(f)) => features = Some(f),
            (_, Message::EchoRequest(data)) => write(&mut writer, &[(0, &Message::EchoReply(data))]).await?,
            (xid, Message::Error(e)) => return Err(refused(config, xid, &e)),
            (xid, Message::BarrierReply) if xid == barrier_xid => break,
            // What happened before the listener is told Up is in the state that it reads then.
            _ => {}
        }
    }
    let features = features.ok_or("the switch did not answer the features request")?;
    Ok(Ready { reader, writer, features })
}

fn refused(config: &Config, xid: u32, e: &ErrorMsg) -> String {
    let index = xid.checked_sub(FIRST_SETUP_XID).and_then(|i| usize::try_from(i).ok());
    match index.and_then(|i| config.setup.get(i)) {
        Some(message) => format!("the switch refused {message}: {}: {}", e.name(), e.meaning()),
        None => format!("the switch refused the connection's set-up: {e}"),
    }
}

async fn write(writer: &mut WriteHalf, messages: &[(u32, &Message)]) -> Result<(), String> {
    let mut out = BytesMut::new();
    for (xid, message) in messages {
        message.encode(*xid, &mut out).map_err(|e| format!("cannot send {message}: {e}"))?;
    }
    writer.write_all(&out).await.map_err(|e| format!("the connection broke during the hello: {e}"))
}

async fn next(reader: &mut FrameReader<ReadHalf>) -> Result<(u32, Message), String> {
    match reader.next().await {
        Ok(Some((header, frame))) => match Message::decode(frame) {
            Ok(decoded) => Ok(decoded),
            // Not for us to judge here, unless it is what we wait for.
            Err(e) if matches!(header.kind, kind::HELLO | kind::FEATURES_REPLY | kind::ERROR) => {
                Err(format!("cannot read the switch's hello: {e}"))
            }
            Err(_) => Ok((header.xid, Message::Raw { version: header.version, kind: header.kind, body: Bytes::new() })),
        },
        Ok(None) => Err("the switch closed the connection during the hello".to_owned()),
        Err(e) => Err(format!("the connection broke during the hello: {e}")),
    }
}
