//! The eight bytes in front of every OpenFlow message (OpenFlow 1.5, 7.1.1) and the numbers of the message types.

use bytes::{BufMut, BytesMut};

/// The wire number of OpenFlow 1.5, the only version this crate speaks after the hello.
pub const VERSION_1_5: u8 = 6;

/// Length of a header, which is also the least length of a message.
pub const HEADER_LEN: usize = 8;

/// The vendor id under which Nicira and Open vSwitch keep their extensions.
pub const NX_VENDOR: u32 = 0x0000_2320;

/// The vendor id of the Open Networking Foundation's extensions.
pub const ONF_VENDOR: u32 = 0x4f4e_4600;

/// The vendor id of Netronome's extension of select groups, which Open vSwitch speaks.
pub const NTR_VENDOR: u32 = 0x0000_154d;

/// `ofp_header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Wire version: 1 is OpenFlow 1.0, 6 is 1.5.
    pub version: u8,
    /// One of the numbers in [`kind`].
    pub kind: u8,
    /// Length of the whole message in bytes, this header included.
    pub length: u16,
    /// Transaction id: a reply carries that of its request.
    pub xid: u32,
}

impl Header {
    /// Reads the header off the front of `bytes`; `None` if there are fewer than eight. Checks nothing else.
    pub fn peek(bytes: &[u8]) -> Option<Header> {
        let (head, _) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let [version, kind, l0, l1, x0, x1, x2, x3] = *head;
        Some(Header { version, kind, length: u16::from_be_bytes([l0, l1]), xid: u32::from_be_bytes([x0, x1, x2, x3]) })
    }

    /// Appends the eight bytes.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.version);
        out.put_u8(self.kind);
        out.put_u16(self.length);
        out.put_u32(self.xid);
    }
}

/// Message types, `OFPT_*` of OpenFlow 1.5.
#[allow(missing_docs)] // The names are those of the standard, which explains them.
pub mod kind {
    pub const HELLO: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const ECHO_REQUEST: u8 = 2;
    pub const ECHO_REPLY: u8 = 3;
    pub const EXPERIMENTER: u8 = 4;
    pub const FEATURES_REQUEST: u8 = 5;
    pub const FEATURES_REPLY: u8 = 6;
    pub const GET_CONFIG_REQUEST: u8 = 7;
    pub const GET_CONFIG_REPLY: u8 = 8;
    pub const SET_CONFIG: u8 = 9;
    pub const PACKET_IN: u8 = 10;
    pub const FLOW_REMOVED: u8 = 11;
    pub const PORT_STATUS: u8 = 12;
    pub const PACKET_OUT: u8 = 13;
    pub const FLOW_MOD: u8 = 14;
    pub const GROUP_MOD: u8 = 15;
    pub const PORT_MOD: u8 = 16;
    pub const TABLE_MOD: u8 = 17;
    pub const MULTIPART_REQUEST: u8 = 18;
    pub const MULTIPART_REPLY: u8 = 19;
    pub const BARRIER_REQUEST: u8 = 20;
    pub const BARRIER_REPLY: u8 = 21;
    pub const ROLE_REQUEST: u8 = 24;
    pub const ROLE_REPLY: u8 = 25;
    pub const GET_ASYNC_REQUEST: u8 = 26;
    pub const GET_ASYNC_REPLY: u8 = 27;
    pub const SET_ASYNC: u8 = 28;
    pub const METER_MOD: u8 = 29;
    pub const ROLE_STATUS: u8 = 30;
    pub const TABLE_STATUS: u8 = 31;
    pub const REQUESTFORWARD: u8 = 32;
    pub const BUNDLE_CONTROL: u8 = 33;
    pub const BUNDLE_ADD_MESSAGE: u8 = 34;
    pub const CONTROLLER_STATUS: u8 = 35;
}

/// The name of a message type as `ovs-ofctl` prints it without its `OFPT_`, or its number.
pub fn kind_name(kind: u8) -> String {
    const NAMES: [&str; 36] = [
        "HELLO",
        "ERROR",
        "ECHO_REQUEST",
        "ECHO_REPLY",
        "EXPERIMENTER",
        "FEATURES_REQUEST",
        "FEATURES_REPLY",
        "GET_CONFIG_REQUEST",
        "GET_CONFIG_REPLY",
        "SET_CONFIG",
        "PACKET_IN",
        "FLOW_REMOVED",
        "PORT_STATUS",
        "PACKET_OUT",
        "FLOW_MOD",
        "GROUP_MOD",
        "PORT_MOD",
        "TABLE_MOD",
        "MULTIPART_REQUEST",
        "MULTIPART_REPLY",
        "BARRIER_REQUEST",
        "BARRIER_REPLY",
        "",
        "",
        "ROLE_REQUEST",
        "ROLE_REPLY",
        "GET_ASYNC_REQUEST",
        "GET_ASYNC_REPLY",
        "SET_ASYNC",
        "METER_MOD",
        "ROLE_STATUS",
        "TABLE_STATUS",
        "REQUESTFORWARD",
        "BUNDLE_CONTROL",
        "BUNDLE_ADD_MESSAGE",
        "CONTROLLER_STATUS",
    ];
    match NAMES.get(usize::from(kind)) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ => format!("message type {kind}"),
    }
}
