//! Cutting a byte stream into messages.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::message::Header;
use crate::message::header::HEADER_LEN;

/// Wire versions up to here are taken for OpenFlow; 6 is the highest that there is. What follows the hello is checked
/// by its readers.
const MAX_VERSION: u8 = 15;

/// Room for the longest message.
const CHUNK: usize = 64 * 1024;

/// Reads whole messages off a stream. Holds at most one incomplete message, which is at most 64 KiB.
pub(super) struct FrameReader<R> {
    io: R,
    buf: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(io: R) -> Self {
        FrameReader { io, buf: BytesMut::new() }
    }

    /// The next message; `None` when the peer has closed the stream between two messages.
    ///
    /// May be dropped and called again without losing bytes.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Header, Bytes)>> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(Some(frame));
            }
            self.buf.reserve(CHUNK);
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return if self.buf.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended inside a message"))
                };
            }
        }
    }

    fn cut(&mut self) -> io::Result<Option<(Header, Bytes)>> {
        let Some(header) = Header::peek(&self.buf) else { return Ok(None) };
        let len = usize::from(header.length);
        // Without this, whatever else listens there would be waited for until it has sent a "whole message".
        if len < HEADER_LEN || !(1..=MAX_VERSION).contains(&header.version) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the other end does not speak OpenFlow"));
        }
        if self.buf.len() < len {
            return Ok(None);
        }
        Ok(Some((header, self.buf.split_to(len).freeze())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn block<F: Future>(f: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
    }

    #[test]
    fn messages_come_whole_however_the_stream_is_cut() {
        let stream = [&[6, 2, 0, 10, 0, 0, 0, 1, 9, 9][..], &[6, 20, 0, 8, 0, 0, 0, 2][..]].concat();
        for cut in 0..stream.len() {
            let (a, b) = stream.split_at(cut);
            let mut r = FrameReader::new(a.chain(b));
            let (h, frame) = block(r.next()).unwrap().unwrap();
            assert_eq!((h.xid, &frame[..]), (1, &stream[..10]));
            let (h, frame) = block(r.next()).unwrap().unwrap();
            assert_eq!((h.xid, &frame[..]), (2, &stream[10..]));
            assert!(block(r.next()).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_no_openflow_and_what_ends_early_are_errors() {
        assert!(
            block(FrameReader::new(&b"HTTP/1.1"[..]).next()).unwrap_err().to_string().contains("not speak OpenFlow")
        );
        assert!(block(FrameReader::new(&[6u8, 0, 0, 7, 0, 0, 0, 0][..]).next()).is_err());
        assert!(block(FrameReader::new(&[6u8, 0, 0][..]).next()).is_err());
    }
}
