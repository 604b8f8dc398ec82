//! The messages of OpenFlow 1.5 (chapter 7) and of Open vSwitch's extensions that this crate decodes; all others are
//! kept raw, so that decoding and encoding again gives the same bytes.
//!
//! One file a message, or a family of them; [`Message`] joins them and reads and writes the header.

pub mod bundle;
mod config;
mod error;
mod features;
pub mod flow_mod;
pub mod group;
pub mod group_mod;
pub mod header;
mod hello;
pub mod meter;
pub mod monitor;
pub mod multipart;
mod oxs;
pub mod packet_in;
mod packet_out;
mod port_desc;
mod quote;
mod tlv_table;
mod wire;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

pub use bundle::{BundleAction, BundleAdd, BundleControl};
pub use config::{AsyncConfig, PacketInFormat, Role, SwitchConfig};
pub use error::ErrorMsg;
pub use features::{Features, SwitchDesc};
pub use flow_mod::{FlowMod, FlowModCommand, FlowRemoved};
pub use group::{Bucket, GroupDesc, GroupKind, GroupProperties, GroupStats, SelectionMethod};
pub use group_mod::{GroupCommand, GroupMod};
pub use header::Header;
pub use hello::{Hello, version_name};
pub use meter::{MeterBand, MeterCommand, MeterConfig, MeterMod, MeterStats};
pub use monitor::{FlowEvent, FlowMonitor, FlowUpdate, MonitorCommand};
pub use multipart::{FlowFilter, FlowStats, MultipartReply, MultipartRequest, ReplyBody, TableStats};
pub use oxs::FlowCounters;
pub use packet_in::{PacketIn, PacketIn2};
pub use packet_out::PacketOut;
pub use port_desc::{Port, PortReason, PortStats, PortStatus};
pub use tlv_table::{TlvMap, TlvTable, TlvTableCommand, TlvTableMod};

use crate::error::{DecodeError, EncodeError};
use header::{HEADER_LEN, NX_VENDOR, VERSION_1_5, kind, kind_name};
use wire::{Reader, patch_len};

pub(crate) use bundle::put_add_head;
pub(crate) use multipart::readable_flows;
pub(crate) use wire::patch_len as patch_frame_len;

/// Any message. The names are those of the standard without `OFPT_`, or of Open vSwitch without `NXT_`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is explained at its type.
pub enum Message {
    Hello(Hello),
    Error(ErrorMsg),
    EchoRequest(Bytes),
    EchoReply(Bytes),
    FeaturesRequest,
    FeaturesReply(Features),
    GetConfigRequest,
    GetConfigReply(SwitchConfig),
    SetConfig(SwitchConfig),
    PacketIn(PacketIn),
    FlowRemoved(FlowRemoved),
    PortStatus(PortStatus),
    PacketOut(PacketOut),
    FlowMod(FlowMod),
    GroupMod(GroupMod),
    MultipartRequest(MultipartRequest),
    MultipartReply(MultipartReply),
    BarrierRequest,
    BarrierReply,
    RoleRequest(Role),
    RoleReply(Role),
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    SetAsync(AsyncConfig),
    MeterMod(MeterMod),
    BundleControl(BundleControl),
    BundleAdd(BundleAdd),
    SetPacketInFormat(PacketInFormat),
    /// The id by which controller actions name this connection.
    SetControllerId(u16),
    TlvTableMod(TlvTableMod),
    TlvTableRequest,
    TlvTableReply(TlvTable),
    Resume(PacketIn2),
    /// Forget all tracked connections of a zone.
    CtFlushZone(u16),
    PacketIn2(PacketIn2),
    /// One that this crate does not decode.
    Raw {
        /// Wire version of its header.
        version: u8,
        /// Its type.
        kind: u8,
        /// What follows the header.
        body: Bytes,
    },
}

/// Subtypes under Nicira's vendor id.
mod nxt {
    pub const SET_PACKET_IN_FORMAT: u32 = 16;
    pub const SET_CONTROLLER_ID: u32 = 20;
    pub const TLV_TABLE_MOD: u32 = 24;
    pub const TLV_TABLE_REQUEST: u32 = 25;
    pub const TLV_TABLE_REPLY: u32 = 26;
    pub const RESUME: u32 = 28;
    pub const CT_FLUSH_ZONE: u32 = 29;
    pub const PACKET_IN2: u32 = 30;
}

impl Message {
    /// Reads one whole message: its xid and itself.
    ///
    /// # Errors
    /// If the length in the header is not that of `frame`, or if the body of a known message is malformed. A message of
    /// unknown type or of another version is no error: it comes back as [`Message::Raw`].
    pub fn decode(frame: Bytes) -> Result<(u32, Message), DecodeError> {
        let (header, body) = split(frame)?;
        let Header { version, kind: number, xid, .. } = header;
        let raw = |body| Message::Raw { version, kind: number, body };
        let message = match number {
            kind::HELLO => Message::Hello(Hello::decode_body(version, body)?),
            kind::ERROR => Message::Error(ErrorMsg::decode_body(body)?),
            kind::ECHO_REQUEST => Message::EchoRequest(body),
            kind::ECHO_REPLY => Message::EchoReply(body),
            _ if version != VERSION_1_5 => raw(body),
            kind::EXPERIMENTER => Self::decode_experimenter(version, body)?,
            kind::FEATURES_REQUEST if body.is_empty() => Message::FeaturesRequest,
            kind::FEATURES_REPLY => Message::FeaturesReply(Features::decode_body(body)?),
            kind::GET_CONFIG_REQUEST if body.is_empty() => Message::GetConfigRequest,
            kind::GET_CONFIG_REPLY => Message::GetConfigReply(SwitchConfig::decode_body(body)?),
            kind::SET_CONFIG => Message::SetConfig(SwitchConfig::decode_body(body)?),
            kind::PACKET_IN => Message::PacketIn(PacketIn::decode_body(body)?),
            kind::FLOW_REMOVED => Message::FlowRemoved(FlowRemoved::decode_body(body)?),
            kind::PORT_STATUS => Message::PortStatus(PortStatus::decode_body(body)?),
            kind::PACKET_OUT => Message::PacketOut(PacketOut::decode_body(body)?),
            kind::FLOW_MOD => Message::FlowMod(FlowMod::decode_body(body)?),
            kind::GROUP_MOD => Message::GroupMod(GroupMod::decode_body(body)?),
            // A question in many parts is nothing that we ask: keep it as it is.
            kind::MULTIPART_REQUEST if body.get(2..4) != Some(&[0, 0]) => raw(body),
            kind::MULTIPART_REQUEST => Message::MultipartRequest(MultipartRequest::decode_body(body)?),
            kind::MULTIPART_REPLY => Message::MultipartReply(MultipartReply::decode_body(body)?),
            kind::BARRIER_REQUEST if body.is_empty() => Message::BarrierRequest,
            kind::BARRIER_REPLY if body.is_empty() => Message::BarrierReply,
            kind::ROLE_REQUEST => Message::RoleRequest(Role::decode_body(body)?),
            kind::ROLE_REPLY => Message::RoleReply(Role::decode_body(body)?),
            kind::GET_ASYNC_REQUEST if body.is_empty() => Message::GetAsyncRequest,
            kind::GET_ASYNC_REPLY => Message::GetAsyncReply(AsyncConfig::decode_body(body)?),
            kind::SET_ASYNC => Message::SetAsync(AsyncConfig::decode_body(body)?),
            kind::METER_MOD => Message::MeterMod(MeterMod::decode_body(body)?),
            kind::BUNDLE_CONTROL => Message::BundleControl(BundleControl::decode_body(body)?),
            kind::BUNDLE_ADD_MESSAGE => Message::BundleAdd(BundleAdd::decode_body(body)?),
            _ => raw(body),
        };
        Ok((xid, message))
    }

    /// One whole message, kept as it is whatever its type.
    fn raw(frame: Bytes) -> Result<Message, DecodeError> {
        let (header, body) = split(frame)?;
        Ok(Message::Raw { version: header.version, kind: header.kind, body })
    }

    fn decode_experimenter(version: u8, body: Bytes) -> Result<Message, DecodeError> {
        let mut r = Reader::new("experimenter message", body.clone());
        if r.remaining() < 8 || r.u32()? != NX_VENDOR {
            return Ok(Message::Raw { version, kind: kind::EXPERIMENTER, body });
        }
        Ok(match r.u32()? {
            nxt::SET_PACKET_IN_FORMAT => Message::SetPacketInFormat(PacketInFormat::from_number(r.u32()?)),
            nxt::SET_CONTROLLER_ID => {
                r.skip(6)?;
                Message::SetControllerId(r.u16()?)
            }
            nxt::TLV_TABLE_MOD => Message::TlvTableMod(TlvTableMod::decode_body(r.rest())?),
            nxt::TLV_TABLE_REQUEST if r.is_empty() => Message::TlvTableRequest,
            nxt::TLV_TABLE_REPLY => Message::TlvTableReply(TlvTable::decode_body(r.rest())?),
            nxt::RESUME => Message::Resume(PacketIn2::decode_body(r.rest())?),
            nxt::CT_FLUSH_ZONE => {
                r.skip(6)?;
                Message::CtFlushZone(r.u16()?)
            }
            nxt::PACKET_IN2 => Message::PacketIn2(PacketIn2::decode_body(r.rest())?),
            _ => Message::Raw { version, kind: kind::EXPERIMENTER, body },
        })
    }

    /// Appends the whole message, header included.
    ///
    /// # Errors
    /// If it, or a part of it, is longer than its 16-bit length can say. What was appended until then is taken back.
    pub fn encode(&self, xid: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        let version = match self {
            Message::Hello(hello) => hello.version,
            Message::Raw { version, .. } => *version,
            _ => VERSION_1_5,
        };
        Header { version, kind: self.kind(), length: 0, xid }.put(out);
        let done = self.encode_body(xid, out).and_then(|()| patch_len(out, "message", start + 2, start));
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// The number of its type.
    pub fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => kind::HELLO,
            Message::Error(_) => kind::ERROR,
            Message::EchoRequest(_) => kind::ECHO_REQUEST,
            Message::EchoReply(_) => kind::ECHO_REPLY,
            Message::FeaturesRequest => kind::FEATURES_REQUEST,
            Message::FeaturesReply(_) => kind::FEATURES_REPLY,
            Message::GetConfigRequest => kind::GET_CONFIG_REQUEST,
            Message::GetConfigReply(_) => kind::GET_CONFIG_REPLY,
            Message::SetConfig(_) => kind::SET_CONFIG,
            Message::PacketIn(_) => kind::PACKET_IN,
            Message::FlowRemoved(_) => kind::FLOW_REMOVED,
            Message::PortStatus(_) => kind::PORT_STATUS,
            Message::PacketOut(_) => kind::PACKET_OUT,
            Message::FlowMod(_) => kind::FLOW_MOD,
            Message::GroupMod(_) => kind::GROUP_MOD,
            Message::MultipartRequest(_) => kind::MULTIPART_REQUEST,
            Message::MultipartReply(_) => kind::MULTIPART_REPLY,
            Message::BarrierRequest => kind::BARRIER_REQUEST,
            Message::BarrierReply => kind::BARRIER_REPLY,
            Message::RoleRequest(_) => kind::ROLE_REQUEST,
            Message::RoleReply(_) => kind::ROLE_REPLY,
            Message::GetAsyncRequest => kind::GET_ASYNC_REQUEST,
            Message::GetAsyncReply(_) => kind::GET_ASYNC_REPLY,
            Message::SetAsync(_) => kind::SET_ASYNC,
            Message::MeterMod(_) => kind::METER_MOD,
            Message::BundleControl(_) => kind::BUNDLE_CONTROL,
            Message::BundleAdd(_) => kind::BUNDLE_ADD_MESSAGE,
            Message::SetPacketInFormat(_)
            | Message::SetControllerId(_)
            | Message::TlvTableMod(_)
            | Message::TlvTableRequest
            | Message::TlvTableReply(_)
            | Message::Resume(_)
            | Message::CtFlushZone(_)
            | Message::PacketIn2(_) => kind::EXPERIMENTER,
            Message::Raw { kind, .. } => *kind,
        }
    }

    fn encode_body(&self, xid: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut nx = |subtype: u32| {
            out.put_u32(NX_VENDOR);
            out.put_u32(subtype);
        };
        match self {
            Message::FeaturesRequest
            | Message::GetConfigRequest
            | Message::BarrierRequest
            | Message::BarrierReply
            | Message::GetAsyncRequest => {}
            Message::Hello(m) => m.encode_body(out)?,
            Message::Error(m) => m.encode_body(out),
            Message::EchoRequest(body) | Message::EchoReply(body) | Message::Raw { body, .. } => out.put_slice(body),
            Message::FeaturesReply(m) => m.encode_body(out),
            Message::GetConfigReply(m) | Message::SetConfig(m) => m.encode_body(out),
            Message::PacketIn(m) => m.encode_body(out),
            Message::FlowRemoved(m) => m.encode_body(out)?,
            Message::PortStatus(m) => m.encode_body(out)?,
            Message::PacketOut(m) => m.encode_body(out)?,
            Message::FlowMod(m) => m.encode_body(out)?,
            Message::GroupMod(m) => m.encode_body(out)?,
            Message::MultipartRequest(m) => m.encode_body(out),
            Message::MultipartReply(m) => m.encode_body(out)?,
            Message::RoleRequest(m) | Message::RoleReply(m) => m.encode_body(out),
            Message::GetAsyncReply(m) | Message::SetAsync(m) => m.encode_body(out)?,
            Message::MeterMod(m) => m.encode_body(out)?,
            Message::BundleControl(m) => m.encode_body(out)?,
            Message::BundleAdd(m) => m.encode_body(xid, out)?,
            Message::SetPacketInFormat(format) => {
                nx(nxt::SET_PACKET_IN_FORMAT);
                out.put_u32(format.number());
            }
            Message::SetControllerId(id) => {
                nx(nxt::SET_CONTROLLER_ID);
                out.put_bytes(0, 6);
                out.put_u16(*id);
            }
            Message::TlvTableMod(m) => {
                nx(nxt::TLV_TABLE_MOD);
                m.encode_body(out);
            }
            Message::TlvTableRequest => nx(nxt::TLV_TABLE_REQUEST),
            Message::TlvTableReply(m) => {
                nx(nxt::TLV_TABLE_REPLY);
                m.encode_body(out);
            }
            Message::Resume(m) => {
                nx(nxt::RESUME);
                m.encode_body(out)?;
            }
            Message::CtFlushZone(zone) => {
                nx(nxt::CT_FLUSH_ZONE);
                out.put_bytes(0, 6);
                out.put_u16(*zone);
            }
            Message::PacketIn2(m) => {
                nx(nxt::PACKET_IN2);
                m.encode_body(out)?;
            }
        }
        Ok(())
    }

    /// Whether the switch answers it, other than by an error.
    pub fn has_reply(&self) -> bool {
        matches!(
            self,
            Message::EchoRequest(_)
                | Message::FeaturesRequest
                | Message::GetConfigRequest
                | Message::MultipartRequest(_)
                | Message::BarrierRequest
                | Message::RoleRequest(_)
                | Message::GetAsyncRequest
                | Message::BundleControl(_)
                | Message::TlvTableRequest
        )
    }
}

impl From<FlowMod> for Message {
    fn from(m: FlowMod) -> Self {
        Message::FlowMod(m)
    }
}

impl From<GroupMod> for Message {
    fn from(m: GroupMod) -> Self {
        Message::GroupMod(m)
    }
}

impl From<MeterMod> for Message {
    fn from(m: MeterMod) -> Self {
        Message::MeterMod(m)
    }
}

impl From<PacketOut> for Message {
    fn from(m: PacketOut) -> Self {
        Message::PacketOut(m)
    }
}

/// Header and body of a whole message.
fn split(mut frame: Bytes) -> Result<(Header, Bytes), DecodeError> {
    let Some(header) = Header::peek(&frame) else {
        return Err(DecodeError::Truncated { what: "message header", need: HEADER_LEN, have: frame.len() });
    };
    if usize::from(header.length) != frame.len() {
        return Err(DecodeError::BadLength { what: "message", length: usize::from(header.length) });
    }
    let body = frame.split_off(HEADER_LEN);
    Ok((header, body))
}

/// One line for people: the type, and what makes this message different from others of its type.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Hello(m) => write!(f, "HELLO {m}"),
            Message::Error(m) => write!(f, "ERROR {m}"),
            Message::FeaturesReply(m) => write!(f, "FEATURES_REPLY {m}"),
            Message::FlowMod(m) => write!(f, "FLOW_MOD {m}"),
            Message::GroupMod(m) => write!(f, "GROUP_MOD {m}"),
            Message::MeterMod(m) => write!(f, "METER_MOD {m}"),
            Message::PacketOut(m) => write!(f, "PACKET_OUT {m}"),
            Message::PortStatus(m) => write!(f, "PORT_STATUS {:?}: {}({})", m.reason, m.port.port_no, m.port.name),
            Message::FlowRemoved(m) => {
                write!(
                    f,
                    "FLOW_REMOVED table={},cookie={:#x},priority={},{}",
                    m.table, m.cookie, m.priority, m.matching
                )
            }
            Message::BundleControl(m) => write!(f, "BUNDLE_CONTROL bundle_id={:#x} {:?}", m.bundle_id, m.action),
            // Not an error's own quotation: bytes from outside could nest these without end.
            Message::BundleAdd(BundleAdd { bundle_id, message, .. }) => match &**message {
                Message::Error(e) => write!(f, "BUNDLE_ADD_MESSAGE bundle_id={bundle_id:#x} ERROR {}", e.name()),
                inner => write!(f, "BUNDLE_ADD_MESSAGE bundle_id={bundle_id:#x} {inner}"),
            },
            Message::SetPacketInFormat(m) => write!(f, "NXT_SET_PACKET_IN_FORMAT {m:?}"),
            Message::SetControllerId(id) => write!(f, "NXT_SET_CONTROLLER_ID {id}"),
            Message::TlvTableMod(m) => write!(f, "NXT_TLV_TABLE_MOD {m}"),
            Message::TlvTableRequest => f.write_str("NXT_TLV_TABLE_REQUEST"),
            Message::TlvTableReply(m) => write!(f, "NXT_TLV_TABLE_REPLY {} maps", m.maps.len()),
            Message::Resume(m) => write!(f, "NXT_RESUME {m}"),
            Message::CtFlushZone(zone) => write!(f, "NXT_CT_FLUSH_ZONE zone={zone}"),
            Message::PacketIn2(m) => write!(f, "NXT_PACKET_IN2 {m}"),
            Message::MultipartRequest(m) => write!(f, "MULTIPART_REQUEST {m:?}"),
            Message::Raw { kind, body, .. } => write!(f, "{} of {} bytes", kind_name(*kind), body.len() + HEADER_LEN),
            other => f.write_str(&kind_name(other.kind())),
        }
    }
}
