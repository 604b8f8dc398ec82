//! Actions: what a flow does to a packet.
//!
//! Those of OpenFlow 1.5 and the extensions of Open vSwitch 3.1 are typed; every other one, and every one whose bytes are not exactly what
//! we would have sent, is kept as raw bytes, so that decoding and encoding again always gives the same bytes. See ovs-actions(7) for
//! what each of them does.

mod codec;
mod nicira;
mod parts;
mod set_field;

pub(crate) use codec::same;
pub use codec::{decode_list, encode_list};
pub use parts::*;
pub use set_field::SetField;

use smallvec::SmallVec;

use crate::field::Field;
use crate::value::Value;

/// One action. Kept small (32 bytes), since a host holds some for each of its flows: rare and big ones are boxed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To a port ([`crate::port`]). `max_len` (bytes of the packet-in, 0xffff = all) counts for the controller only.
    Output {
        /// OpenFlow port.
        port: u32,
        /// Bytes that go to the controller.
        max_len: u16,
    },
    /// To a group.
    Group(u32),
    /// Sets a field, or some bits of it.
    SetField(SetField),
    /// Copies bits from field to field; both parts have the same number of bits. OpenFlow's `copy_field`.
    Move {
        /// From.
        src: Subfield,
        /// To.
        dst: Subfield,
    },
    /// Searches a table again and does what it says before going on.
    Resubmit {
        /// As if the packet had come from this port (OpenFlow 1.0 number); `None` = from where it came.
        in_port: Option<u16>,
        /// The table; 255 = this one. `None` = this one as well, in an older form of the action (`NXAST_RESUBMIT`).
        table: Option<u8>,
        /// Matches the original direction's tuple of the tracked connection instead of the packet's.
        ct: bool,
    },
    /// Decrements the TTL or hop limit; at 0 or 1 it ends the processing, with a packet-in to controller 0.
    DecTtl,
    /// The same, with a packet-in to these controllers.
    DecTtlIds(SmallVec<[u16; 4]>),
    /// Sets the TTL or hop limit (deprecated: [`SetField`] on `nw_ttl`).
    SetTtl(u8),
    /// Pushes a VLAN header of this Ethertype.
    PushVlan(u16),
    /// Pops the outer VLAN header.
    PopVlan,
    /// Pushes an MPLS header of this Ethertype.
    PushMpls(u16),
    /// Pops the outer MPLS header, leaving this Ethertype.
    PopMpls(u16),
    /// Sets the MPLS TTL.
    SetMplsTtl(u8),
    /// Decrements the MPLS TTL.
    DecMplsTtl,
    /// Sets the queue of later outputs.
    SetQueue(u32),
    /// Back to the default queue.
    PopQueue,
    /// Drops what is over the rate of a meter.
    Meter(u32),
    /// A packet-in, with what `Output` to the controller has no room for.
    Controller(Box<Controller>),
    /// One dimension of a conjunctive match.
    Conjunction {
        /// Value of `conj_id` that the conjunction sets.
        id: u32,
        /// Dimension, from 0.
        clause: u8,
        /// Number of dimensions, 2..=64.
        n_clauses: u8,
    },
    /// Through the connection tracker.
    Ct(Box<Ct>),
    /// Address translation; stands in [`Ct::actions`] only.
    Nat(Box<Nat>),
    /// Forgets what the connection tracker said.
    CtClear,
    /// Adds or changes a flow, made from this packet.
    Learn(Box<Learn>),
    /// Does the actions on a copy of the packet.
    Clone(Vec<Action>),
    /// Does nothing; bytes for whoever reads the flow. On the wire there are 6, 14, 22, ... of them: fewer are filled with zeros,
    /// and come back from the switch so.
    Note(Vec<u8>),
    /// Hashes the packet and stores the choice of a link.
    Multipath(Box<Multipath>),
    /// Hashes the packet and outputs to one of several ports, or stores it.
    Bundle(Box<Bundle>),
    /// Samples packets to IPFIX collectors.
    Sample(Box<Sample>),
    /// Sets a bit if the packet is longer than so many bytes.
    CheckPktLarger {
        /// Length in bytes.
        pkt_len: u16,
        /// Where the one bit goes.
        dst: Subfield,
    },
    /// Pushes a field's bits on a stack.
    StackPush(Subfield),
    /// Pops them.
    StackPop(Subfield),
    /// Outputs to the port that a field names.
    OutputReg {
        /// Where the port's number is.
        src: Subfield,
        /// Bytes that go to the controller.
        max_len: u16,
    },
    /// Outputs at most so many bytes of the packet.
    OutputTrunc {
        /// Port (OpenFlow 1.0 number).
        port: u16,
        /// Bytes, 14 at least.
        max_len: u32,
    },
    /// Shortens the flow's timeouts once the TCP connection ends.
    FinTimeout {
        /// Idle timeout in seconds, 0 = leave it.
        idle: u16,
        /// Hard timeout in seconds, 0 = leave it.
        hard: u16,
    },
    /// Ends this list of actions, and those that called it.
    Exit,
    /// Pushes a header.
    Encap(Box<Encap>),
    /// Pops the outer header; the packet type that then is outermost, 0xfffe = whatever it is.
    Decap(u32),
    /// Decrements the TTL of the NSH header.
    DecNshTtl,
    /// Removes a tunnel option from the packet.
    DeleteField(&'static Field),
    /// Anything else, header included, a multiple of 8 bytes.
    Raw(Box<[u8]>),
}

impl Action {
    /// Outputs to a port.
    pub const fn output(port: u32) -> Action {
        // Open vSwitch reports 0 for all ports but the controller's.
        Action::Output { port, max_len: if port == crate::port::CONTROLLER { u16::MAX } else { 0 } }
    }

    /// Sets a whole field.
    ///
    /// # Panics
    /// If the value is wider than the field, which is a mistake in the program. For values from outside there is
    /// [`SetField::new`].
    #[track_caller]
    pub fn set_field(field: &'static Field, value: impl Into<Value>) -> Action {
        match SetField::new(field, value.into(), None) {
            Ok(set) => Action::SetField(set),
            Err(e) => panic!("{e}"),
        }
    }

    /// Sets the bits of `mask`.
    ///
    /// # Panics
    /// If value or mask are wider than the field, which is a mistake in the program.
    #[track_caller]
    pub fn set_field_masked(field: &'static Field, value: impl Into<Value>, mask: impl Into<Value>) -> Action {
        match SetField::new(field, value.into(), Some(mask.into())) {
            Ok(set) => Action::SetField(set),
            Err(e) => panic!("{e}"),
        }
    }

    /// Sets a part of a field: `load:value->field[ofs..ofs+n_bits-1]`.
    ///
    /// # Panics
    /// If the value is wider than the part, which is a mistake in the program.
    #[track_caller]
    pub fn load(dst: Subfield, value: u64) -> Action {
        match SetField::load(dst, value.into()) {
            Ok(set) => Action::SetField(set),
            Err(e) => panic!("{e}"),
        }
    }

    /// Copies all bits of `src` to the low bits of `dst` (or as many as fit).
    pub fn move_field(src: &'static Field, dst: &'static Field) -> Action {
        let n_bits = src.bits.min(dst.bits);
        Action::Move { src: Subfield::new(src, 0, n_bits), dst: Subfield::new(dst, 0, n_bits) }
    }

    /// Continues in another table, then returns: `resubmit(,table)`.
    pub const fn resubmit(table: u8) -> Action {
        Action::Resubmit { in_port: None, table: Some(table), ct: false }
    }
}
