//! The match of a flow.
//!
//! A host keeps a hundred thousand flows, and compares what it wants with what the switch reports. So a match is kept
//! as its encoding, in *one* form for one meaning: comparing two matches is comparing bytes, encoding is copying, and up to 64
//! bytes (five fields, one of them an IPv6 address) take no allocation.
//!
//! The form: fields in the order of the registry; registers as 32-bit ones (Open vSwitch reports them in pairs,
//! `OXM_OF_PKT_REG*`); `vlan_tci` as `vlan_vid` and `vlan_pcp`; `nw_tos` as `ip_dscp`; the 16-bit `in_port` as the 32-bit one;
//! full masks dropped; fields with empty masks left out; no `packet_type` for Ethernet; no leading zeros of `tun_metadata*`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::error::{DecodeError, ValueError};
use crate::field::{self, Field};
use crate::oxm::{self, OxmRef};
use crate::port;
use crate::value::Value;
use crate::wire::{Reader, pad8};

/// What a flow matches on. See the module's head for the form in which it is kept.
#[derive(Clone, Default)]
pub struct Match {
    /// TLVs, canonical.
    oxm: SmallVec<[u8; 64]>,
    /// The place in the registry from which on a field comes after all that are here. What `oxm` says, at hand: it is asked for each field that is added.
    next: u16,
}

impl PartialEq for Match {
    fn eq(&self, other: &Match) -> bool {
        self.oxm == other.oxm
    }
}

impl Eq for Match {}

impl std::hash::Hash for Match {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.oxm.hash(state);
    }
}

/// One field of a match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldMatch {
    /// The field.
    pub field: &'static Field,
    /// The value, of the field's width; zero where the mask is.
    pub value: Value,
    /// The bits that count; `None` = all.
    pub mask: Option<Value>,
}

impl Match {
    /// Matches every packet.
    pub fn new() -> Match {
        Match::default()
    }

    /// Adds an exact match; a field that is there already is replaced.
    ///
    /// # Panics
    /// If the value is wider than the field, which is a mistake in the program. For values from outside there is
    /// [`Match::try_with`].
    #[must_use]
    #[track_caller]
    pub fn with(self, f: &'static Field, v: impl Into<Value>) -> Match {
        match self.try_with(f, v.into(), None) {
            Ok(m) => m,
            Err(e) => panic!("{e}"),
        }
    }

    /// Adds a match on the bits of `mask`; a field that is there already is replaced. An empty mask removes the
    /// field, except of `tun_metadata*`, where it means "the option is present". For the whole of an option use
    /// [`Match::with`]: how long the option is, and so what a full mask is, only the switch knows.
    ///
    /// # Panics
    /// If value or mask are wider than the field or the field takes no mask, which is a mistake in the program.
    #[must_use]
    #[track_caller]
    pub fn with_masked(self, f: &'static Field, v: impl Into<Value>, mask: impl Into<Value>) -> Match {
        match self.try_with(f, v.into(), Some(mask.into())) {
            Ok(m) => m,
            Err(e) => panic!("{e}"),
        }
    }

    /// Adds a match on a value from outside.
    pub fn try_with(mut self, f: &'static Field, value: Value, mask: Option<Value>) -> Result<Match, ValueError> {
        self.set(f, &value, mask.as_ref())?;
        Ok(self)
    }

    /// True if every packet matches.
    pub fn is_empty(&self) -> bool {
        self.oxm.is_empty()
    }

    /// The fields, in canonical order. TLVs that the registry does not know are not among them.
    pub fn fields(&self) -> impl Iterator<Item = FieldMatch> + '_ {
        self.tlvs().filter_map(|tlv| {
            let field = tlv.field()?;
            let (value, mask) = tlv.value_and_mask(field)?;
            Some(FieldMatch { field, value, mask })
        })
    }

    /// TLVs that the registry does not know, as they came.
    pub fn unknown(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.tlvs().filter(|tlv| tlv.field().is_none()).map(|tlv| tlv.bytes)
    }

    /// One field. Ask for registers by their 32-bit names, for VLANs by `vlan_vid` and `vlan_pcp`.
    pub fn get(&self, f: &'static Field) -> Option<FieldMatch> {
        self.fields().find(|m| m.field == f)
    }

    fn tlvs(&self) -> impl Iterator<Item = OxmRef<'_>> + '_ {
        let mut r = Reader::new("match", &self.oxm);
        // What is in `oxm` was checked on its way in.
        std::iter::from_fn(move || if r.is_empty() { None } else { OxmRef::read(&mut r).ok() })
    }

    /// Translates to the canonical fields and puts them in; says whether a field was there already.
    fn set(&mut self, f: &'static Field, value: &Value, mask: Option<&Value>) -> Result<bool, ValueError> {
        // The usual case: a field in its own form, after those that come before it.
        if f.index() >= self.next && oxm::is_normal(f, value, mask) && !has_another_form(f) {
            self.append(f, value, mask);
            return Ok(false);
        }
        let (value, mask) = oxm::normalise(f, value, mask)?;
        let first_reg = if f.index() >= field::XXREG0.index() && f.index() <= field::XXREG3.index() {
            Some((f.index() - field::XXREG0.index()) * 4)
        } else if f.index() >= field::XREG0.index() && f.index() <= field::XREG7.index() {
            Some((f.index() - field::XREG0.index()) * 2)
        } else {
            None
        };
        if let Some(first) = first_reg {
            return Ok(self.set_registers(first, &value, mask.as_ref()));
        }
        let small = || value.to_u64().unwrap_or_default();
        if f == field::VLAN_TCI {
            let (tci, mask) = (small(), mask.as_ref().map_or(0xffff, |m| m.to_u64().unwrap_or_default()));
            let pcp_mask = mask >> 13;
            if pcp_mask == 0 || pcp_mask == 7 {
                let mut twice = self.set(field::VLAN_VID, &(tci & 0x1fff).into(), Some(&(mask & 0x1fff).into()))?;
                // Without a tag there is no priority to match, and a switch refuses the question.
                let untagged = mask & 0x1000 != 0 && tci & 0x1000 == 0;
                if pcp_mask == 7 && !untagged {
                    twice |= self.set(field::VLAN_PCP, &(tci >> 13).into(), None)?;
                }
                return Ok(twice);
            }
        } else if f == field::NW_TOS {
            return self.set(field::IP_DSCP, &(small() >> 2).into(), None);
        } else if f == field::IN_PORT_NXM {
            return self.set(field::IN_PORT, &port::from_16(small() as u16).into(), None);
        } else if f == field::PACKET_TYPE && value.is_zero() {
            return Ok(self.remove(f));
        }
        match mask {
            Some(mask) if mask.is_zero() && !f.is_variable() => Ok(self.remove(f)),
            mask => Ok(self.insert(f, &value, mask.as_ref())),
        }
    }

    /// Wide registers are kept as the 32-bit ones that they are made of.
    fn set_registers(&mut self, first: u16, value: &Value, mask: Option<&Value>) -> bool {
        let mut twice = false;
        for (i, part) in value.as_bytes().chunks(4).enumerate() {
            let at = |m: &Value| m.as_bytes().chunks(4).nth(i).map(Value::from_bytes);
            let Some(reg) = Field::by_index(field::REG0.index() + first + i as u16) else { continue };
            let part = Value::from_bytes(part);
            twice |= match mask.map(|m| at(m).unwrap_or_else(|| 0u32.into())) {
                Some(m) if m.is_zero() => false,
                Some(m) if m != Value::from(u32::MAX) => self.insert(reg, &part, Some(&m)),
                _ => self.insert(reg, &part, None),
            };
        }
        twice
    }

    /// Puts a field at the end.
    fn append(&mut self, f: &'static Field, value: &Value, mask: Option<&Value>) {
        oxm::put(&mut self.oxm, f, value, mask);
        self.next = f.index() + 1;
    }

    /// The place in the registry after the last field; past all if that is one which the registry does not know.
    fn count_next(&self) -> u16 {
        self.tlvs().last().map_or(0, |tlv| tlv.field().map_or(u16::MAX, |field| field.index() + 1))
    }

    /// Bytes before the TLVs of `f` and after them.
    fn place(&self, f: &'static Field) -> (usize, usize) {
        let (mut start, mut end) = (0, 0);
        for tlv in self.tlvs() {
            match tlv.field() {
                Some(other) if other.index() < f.index() => start += tlv.bytes.len(),
                Some(other) if other == f => end += tlv.bytes.len(),
                _ => break,
            }
        }
        (start, start + end)
    }

    fn remove(&mut self, f: &'static Field) -> bool {
        let (start, end) = self.place(f);
        self.oxm.drain(start..end);
        self.next = self.count_next();
        end > start
    }

    fn insert(&mut self, f: &'static Field, value: &Value, mask: Option<&Value>) -> bool {
        let (start, end) = self.place(f);
        if start == self.oxm.len() {
            self.append(f, value, mask);
            return false;
        }
        let tail: SmallVec<[u8; 64]> = SmallVec::from_slice(self.oxm.get(end..).unwrap_or_default());
        self.oxm.truncate(start);
        oxm::put(&mut self.oxm, f, value, mask);
        self.oxm.extend_from_slice(&tail);
        end > start
    }

    /// Length of the TLVs in bytes.
    pub fn oxm_len(&self) -> usize {
        self.oxm.len()
    }

    /// The TLVs, without the header of `ofp_match` and without padding.
    pub fn oxm_bytes(&self) -> &[u8] {
        &self.oxm
    }

    /// Appends the `ofp_match`, padded to 8 bytes (OpenFlow 1.5.1, 7.2.3.1).
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u16(1); // OFPMT_OXM
        // A match has each of some 180 fields once at most. Its length stays below 2^16, unless somebody builds one of
        // most `tun_metadata` with masks, which no switch takes.
        out.put_u16(u16::try_from(4 + self.oxm.len()).unwrap_or(u16::MAX));
        out.put_slice(&self.oxm);
        pad8(out, start);
    }

    /// Takes a padded `ofp_match` from the front of `input`. TLVs that the registry does not know are kept raw.
    pub fn decode(input: &mut Bytes) -> Result<Match, DecodeError> {
        let mut head = Reader::new("match", input);
        let kind = head.u16()?;
        if kind != 1 {
            return Err(DecodeError::BadValue { what: "match type (1 = OXM)", value: kind.into() });
        }
        let length = usize::from(head.u16()?);
        let tlvs = length.checked_sub(4).ok_or(DecodeError::BadLength { what: "match", length })?;
        let found = Match::from_oxm(head.take(tlvs)?)?;
        head.skip(length.next_multiple_of(8) - length)?;
        input.advance(length.next_multiple_of(8));
        Ok(found)
    }

    /// A match of these TLVs, without header and padding (`packet-in`, `ofp_stats`, ...).
    pub fn from_oxm(tlvs: &[u8]) -> Result<Match, DecodeError> {
        let mut found = Match::new();
        let mut unknown: Vec<&[u8]> = Vec::new();
        let mut r = Reader::new("OXM field", tlvs);
        while !r.is_empty() {
            let tlv = OxmRef::read(&mut r)?;
            let Some(field) = tlv.field() else {
                unknown.push(tlv.bytes);
                continue;
            };
            let bad = || DecodeError::BadLength { what: field.name, length: tlv.body.len() };
            let (value, mask) = tlv.value_and_mask(field).ok_or_else(bad)?;
            match found.set(field, &value, mask.as_ref()) {
                Ok(false) => {}
                Ok(true) => return Err(DecodeError::Duplicate { field: field.name }),
                Err(_) => {
                    let value = value.to_u64().unwrap_or(u64::MAX);
                    return Err(DecodeError::BadValue { what: field.name, value });
                }
            }
        }
        unknown.sort_unstable();
        unknown.iter().for_each(|tlv| found.oxm.extend_from_slice(tlv));
        found.next = found.count_next();
        Ok(found)
    }
}

/// Whether a match on the field is kept as a match on others, or not at all.
fn has_another_form(f: &'static Field) -> bool {
    let within = |first: &'static Field, last: &'static Field| (first.index()..=last.index()).contains(&f.index());
    within(field::XXREG0, field::XXREG3)
        || within(field::XREG0, field::XREG7)
        || [field::VLAN_TCI, field::NW_TOS, field::IN_PORT_NXM, field::PACKET_TYPE].contains(&f)
}

impl std::fmt::Debug for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
