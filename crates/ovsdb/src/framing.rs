//! Finds where a JSON text ends in a stream that has no other frames (RFC 7047 section 4).
//!
//! Every byte is looked at once, however many reads a message takes: the state between reads is the depth of nesting
//! and whether a string is open. Whether the text is right JSON is left to the parser, which then gets it whole.

use bytes::{Bytes, BytesMut};

/// Deeper than anything that OVSDB says (about 12), and safe for a recursive parser.
const MAX_DEPTH: u32 = 64;

/// The stream is not a sequence of acceptable JSON objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("it sent something that is not JSON: {0:?}")]
    NotAnObject(String),
    #[error("it sent JSON nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("it sent a message of more than {0} bytes")]
    TooLong(usize),
}

/// Cuts a stream into JSON objects.
#[derive(Debug)]
pub(crate) struct Framer {
    /// Bytes received and not yet given out.
    pub(crate) buffer: BytesMut,
    scanned: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
    max: usize,
    /// Bytes looked at, to prove that it is each one once.
    #[cfg(test)]
    looked: usize,
}

impl Framer {
    /// Accepts messages of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            depth: 0,
            in_string: false,
            escaped: false,
            max,
            #[cfg(test)]
            looked: 0,
        }
    }

    /// The next whole object, or `None` until more bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FramingError> {
        if self.depth == 0 {
            let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let _ = self.buffer.split_to(blank);
            match self.buffer.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(_) => {
                    let sample = self.buffer.get(..self.buffer.len().min(40)).unwrap_or_default();
                    return Err(FramingError::NotAnObject(String::from_utf8_lossy(sample).into_owned()));
                }
            }
        }
        let Some(rest) = self.buffer.get(self.scanned..) else { return Ok(None) };
        let mut end = None;
        for (i, &byte) in rest.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(FramingError::TooDeep);
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        end = Some(self.scanned + i + 1);
                        break;
                    }
                }
                _ => {}
            }
        }
        let length = end.unwrap_or(self.buffer.len());
        #[cfg(test)]
        {
            self.looked += length - self.scanned;
        }
        if length > self.max {
            return Err(FramingError::TooLong(self.max));
        }
        if end.is_none() {
            self.scanned = length;
            return Ok(None);
        }
        self.scanned = 0;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-z\"\\\\\\[\\]{}\u{0}-\u{1f}é]{0,8}".prop_map(Into::into),
        ];
        let tree = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[\"\\\\a{}]{0,3}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[\"\\\\a{}]{0,3}", tree, 0..4)
            .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn cuts_any_stream_anywhere(objects in prop::collection::vec(json(), 0..5), step in 1usize..40) {
            let stream = objects.iter().map(|object| format!("{object}\n ")).collect::<String>();
            let mut framer = Framer::new(1 << 20);
            let mut found = Vec::new();
            for chunk in stream.as_bytes().chunks(step) {
                framer.buffer.extend_from_slice(chunk);
                while let Some(frame) = framer.next().unwrap() {
                    found.push(serde_json::from_slice::<serde_json::Value>(&frame).unwrap());
                }
            }
            prop_assert_eq!(found, objects);
        }

        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(prop::sample::select(b"{}[]\"\\ a".to_vec()), 0..200)) {
            let mut framer = Framer::new(100);
            framer.buffer.extend_from_slice(&bytes);
            while let Ok(Some(_)) = framer.next() {}
        }
    }

    #[test]
    fn looks_at_every_byte_once() {
        let message = format!("{{\"a\":[{}\"end\"]}}", "\"[ some text \\\" \",".repeat(50_000));
        let mut framer = Framer::new(usize::MAX);
        let mut found = 0;
        for chunk in message.repeat(3).as_bytes().chunks(1000) {
            framer.buffer.extend_from_slice(chunk);
            while let Some(frame) = framer.next().unwrap() {
                assert_eq!(frame, message);
                found += 1;
            }
        }
        assert_eq!((found, framer.looked), (3, 3 * message.len()));
    }

    #[test]
    fn bounds() {
        let check = |bytes: &[u8]| {
            let mut framer = Framer::new(100);
            framer.buffer.extend_from_slice(bytes);
            framer.next()
        };
        assert_eq!(check(&b"{\"a\":".repeat(65)), Err(FramingError::TooDeep));
        assert_eq!(check(&[b"{\"".as_slice(), &[b'a'; 200]].concat()), Err(FramingError::TooLong(100)));
        assert_eq!(check(b"HTTP/1.1 400"), Err(FramingError::NotAnObject("HTTP/1.1 400".into())));
        assert_eq!(check(b"  "), Ok(None));
        assert_eq!(check(b"{\"a\""), Ok(None));
    }
}
