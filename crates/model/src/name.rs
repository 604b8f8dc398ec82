//! Names of objects.

use crate::text;
use serde::{Deserialize, Deserializer, Serialize};
use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

/// The name of an object, unique among its siblings: one segment of a store key.
///
/// 1 to 255 of `A-Z a-z 0-9 . _ -`, not beginning with `.` or `-`. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes. Long enough for the port that links two objects with UUIDs for names.
    pub const MAX_LEN: usize = 255;
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if s.is_empty() {
            Err("a name is empty: use 1 to 255 of A-Z a-z 0-9 . _ -".into())
        } else if s.len() > Self::MAX_LEN {
            Err(format!(
                "the name \"{}...\" has {} bytes: use at most {}",
                &s.chars().take(32).collect::<String>(),
                s.len(),
                Self::MAX_LEN
            ))
        } else if !s.bytes().all(legal) || s.starts_with(['.', '-']) {
            Err(format!("\"{s}\" is not a name: use A-Z a-z 0-9 . _ - and begin with a letter, a digit or _"))
        } else {
            Ok(Self(s.into()))
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.as_ref().into()
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
