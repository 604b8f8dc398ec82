//! One byte stream to a server: whole messages in, whole messages out, neither direction waiting for the other.

use crate::config::{Config, Target};
use crate::framing::{Framer, FramingError};
use crate::tls;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};

/// More than this unsent, and no new request is taken up.
const OUT_SOFT_LIMIT: usize = 1 << 20;
/// More than this unsent, and the server is taken for dead: it asks for echoes and reads no answers.
const OUT_HARD_LIMIT: usize = 16 << 20;
/// How much room to offer a read.
const READ_SIZE: usize = 64 << 10;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The stream ended or cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the server closed the connection")]
    Closed,
    #[error("the server closed the connection in the middle of a message")]
    Truncated,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// Connects by the target's method. The error is in words for people.
pub(crate) async fn open(config: &Config) -> Result<Link, String> {
    let connecting = async {
        let stream: Box<dyn Stream> = match &config.target {
            Target::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|error| explain(&error))?),
            Target::Tcp(address) => Box::new(tcp(TcpStream::connect(address).await)?),
            Target::Tls { host, port } => {
                let plain = tcp(TcpStream::connect((host.as_str(), *port)).await)?;
                Box::new(tls::secure(plain, host, config.tls.as_ref()).await?)
            }
        };
        Ok(Link::new(stream, config.max_message))
    };
    match tokio::time::timeout(config.connect_timeout, connecting).await {
        Ok(result) => result,
        Err(_) => Err(format!("no connection within {:?}", config.connect_timeout)),
    }
}

fn tcp(result: io::Result<TcpStream>) -> Result<TcpStream, String> {
    let stream = result.map_err(|error| explain(&error))?;
    // Requests are small and wait for replies: sent late they only cost time. Failing to say so is no reason not to
    // connect.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket; is ovsdb-server running?".into(),
        io::ErrorKind::ConnectionRefused => "nobody listens there; is ovsdb-server running?".into(),
        io::ErrorKind::PermissionDenied => {
            "no permission for the socket; run as root or as a member of its group".into()
        }
        _ => error.to_string(),
    }
}

/// An open stream.
pub(crate) struct Link {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    framer: Framer,
    out: BytesMut,
    unflushed: bool,
    /// Bytes received so far: a sign of life even in the middle of a long message.
    pub(crate) received: u64,
}

impl Link {
    pub(crate) fn new(stream: Box<dyn Stream>, max_message: usize) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self { read, write, framer: Framer::new(max_message), out: BytesMut::new(), unflushed: false, received: 0 }
    }

    /// Queues a message; [`Link::next`] sends it.
    pub(crate) fn send(&mut self, message: &serde_json::Value) -> Result<(), LinkError> {
        // Looked at before adding: one large transaction is no sign of a server that does not read.
        if self.out.len() > OUT_HARD_LIMIT {
            return Err(LinkError::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server does not read what is sent to it",
            )));
        }
        self.out.extend_from_slice(message.to_string().as_bytes());
        Ok(())
    }

    /// Whether more requests should be taken up.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < OUT_SOFT_LIMIT
    }

    /// The next message, sending meanwhile. Loses nothing when dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Result<Bytes, LinkError> {
        loop {
            if let Some(message) = self.framer.next()? {
                return Ok(message);
            }
            self.framer.buffer.reserve(READ_SIZE);
            let writing = async {
                if self.out.is_empty() {
                    self.write.flush().await.map(|()| 0)
                } else {
                    self.write.write(&self.out).await
                }
            };
            tokio::select! {
                read = self.read.read_buf(&mut self.framer.buffer) => match read? {
                    0 if self.framer.buffer.is_empty() => return Err(LinkError::Closed),
                    0 => return Err(LinkError::Truncated),
                    length => self.received += length as u64,
                },
                written = writing, if self.unflushed || !self.out.is_empty() => {
                    let written = written?;
                    if written == 0 && !self.out.is_empty() {
                        return Err(LinkError::Closed);
                    }
                    // Once all is handed over, one flush: a TLS stream may hold the last record back.
                    self.unflushed = !self.out.is_empty() || written > 0;
                    self.out.advance(written);
                }
            }
        }
    }
}
