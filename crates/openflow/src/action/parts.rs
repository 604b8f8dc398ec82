//! What the bigger actions are made of.

use smallvec::SmallVec;
use std::net::IpAddr;

use super::Action;
use crate::field::Field;
use crate::value::Value;

/// Some bits of a field, `reg0[0..15]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subfield {
    /// Place of the field in the registry: six bytes instead of sixteen for the whole.
    field: u16,
    /// Lowest bit, 0 = the field's least significant.
    pub ofs: u16,
    /// Number of bits, 1 at least.
    pub n_bits: u16,
}

impl Subfield {
    /// `n_bits` bits of `field` from bit `ofs` on.
    pub const fn new(field: &'static Field, ofs: u16, n_bits: u16) -> Subfield {
        Subfield { field: field.index(), ofs, n_bits }
    }

    /// The whole field.
    pub const fn all(field: &'static Field) -> Subfield {
        Subfield::new(field, 0, field.bits)
    }

    /// The field.
    pub fn field(&self) -> &'static Field {
        Field::by_index(self.field).unwrap_or(crate::field::METADATA)
    }

    /// True if it is all of the field.
    pub fn is_all(&self) -> bool {
        self.ofs == 0 && self.n_bits == self.field().bits
    }
}

impl std::fmt::Debug for Subfield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = u32::from(self.ofs) + u32::from(self.n_bits);
        write!(f, "{}[{}..{}]", self.field().name, self.ofs, last.saturating_sub(1))
    }
}

/// A packet-in (`NXAST_CONTROLLER`, `NXAST_CONTROLLER2`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Bytes of the packet to send, 0xffff = all.
    pub max_len: u16,
    /// The controller connection that gets it, by the id that it gave itself; 0 = those that gave none.
    pub controller_id: u16,
    /// `OFPR_*`; 1 = "an action said so".
    pub reason: u8,
    /// Comes back in the packet-in.
    pub userdata: Vec<u8>,
    /// Holds the packet until the controller resumes it.
    pub pause: bool,
    /// Meter that limits these packet-ins; 0 = none.
    pub meter_id: u32,
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: Controller::REASON_ACTION,
            userdata: Vec::new(),
            pause: false,
            meter_id: 0,
        }
    }
}

impl Controller {
    /// `OFPR_ACTION`.
    pub const REASON_ACTION: u8 = 1;
}

/// Through the connection tracker (`NXAST_CT`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ct {
    /// Commits the connection.
    pub commit: bool,
    /// Commits it even if it exists in the other direction.
    pub force: bool,
    /// The zone.
    pub zone: Zone,
    /// Continues a copy of the packet in this table, with `ct_state` set; `None` = does not.
    pub table: Option<u8>,
    /// Port number of the protocol whose helper to use: 21 = FTP, 69 = TFTP, 0 = none.
    pub alg: u16,
    /// `nat`, and `set_field` on `ct_mark` and `ct_label`.
    pub actions: Vec<Action>,
}

/// A zone of the connection tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// This one.
    Fixed(u16),
    /// The one that 16 bits of a field name.
    From(Subfield),
}

/// Address translation (`NXAST_NAT`). Without range: translate by what the connection already has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nat {
    /// `NX_NAT_F_*`: 1 source, 2 destination, 4 persistent, 8 by hash, 16 at random.
    pub flags: u16,
    /// Lowest address; its family is that of the range.
    pub addr_min: Option<IpAddr>,
    /// Highest address.
    pub addr_max: Option<IpAddr>,
    /// Lowest port.
    pub port_min: Option<u16>,
    /// Highest port.
    pub port_max: Option<u16>,
}

impl Nat {
    /// Translate the source.
    pub const SRC: u16 = 1;
    /// Translate the destination.
    pub const DST: u16 = 2;
    /// The same translation for one client after a restart.
    pub const PERSISTENT: u16 = 4;
    /// The port by hash.
    pub const HASH: u16 = 8;
    /// The port at random.
    pub const RANDOM: u16 = 16;
}

/// A flow made from the packet (`NXAST_LEARN`, `NXAST_LEARN2`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    /// Idle timeout in seconds.
    pub idle_timeout: u16,
    /// Hard timeout in seconds.
    pub hard_timeout: u16,
    /// Priority of the learned flow.
    pub priority: u16,
    /// Cookie of the learned flow.
    pub cookie: u64,
    /// Its table.
    pub table: u8,
    /// Idle timeout after FIN or RST.
    pub fin_idle_timeout: u16,
    /// Hard timeout after FIN or RST.
    pub fin_hard_timeout: u16,
    /// Sends flow-removed for the learned flow.
    pub send_flow_rem: bool,
    /// Deletes the learned flows with this one.
    pub delete_learned: bool,
    /// Highest number of learned flows, 0 = any.
    pub limit: u32,
    /// One bit that says whether a flow was learned within the limit.
    pub result_dst: Option<Subfield>,
    /// What the flow consists of.
    pub specs: Vec<LearnSpec>,
}

/// One piece of a learned flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    /// Number of bits, 1..=1023.
    pub n_bits: u16,
    /// Where the bits come from.
    pub src: LearnSrc,
    /// What they are for.
    pub dst: LearnDst,
}

/// Where the bits of a learned flow come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LearnSrc {
    /// From the packet's field, from a bit on.
    Field(&'static Field, u16),
    /// A constant, of a multiple of 16 bits.
    Immediate(Value),
}

/// What bits of a learned flow are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LearnDst {
    /// The flow matches them in this field, from a bit on.
    Match(&'static Field, u16),
    /// The flow loads them into this field, from a bit on.
    Load(&'static Field, u16),
    /// The flow outputs to this port.
    Output,
}

/// Which fields a hash covers, `NX_HASH_FIELDS_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashFields(pub u16);

/// The choice of a link by hash (`NXAST_MULTIPATH`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// Seed.
    pub basis: u16,
    /// `NX_MP_ALG_*`: 0 modulo, 1 threshold, 2 highest random weight, 3 iterative.
    pub algorithm: u16,
    /// Number of links - 1.
    pub max_link: u16,
    /// For the algorithm.
    pub arg: u32,
    /// Where the link's number goes.
    pub dst: Subfield,
}

/// The choice of a port by hash (`NXAST_BUNDLE`, `NXAST_BUNDLE_LOAD`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    /// `NX_BD_ALG_*`: 0 the first that is up, 1 highest random weight.
    pub algorithm: u16,
    /// What is hashed.
    pub fields: HashFields,
    /// Seed.
    pub basis: u16,
    /// The ports (OpenFlow 1.0 numbers).
    pub members: SmallVec<[u16; 4]>,
    /// Stores the port here; `None` = outputs to it.
    pub dst: Option<Subfield>,
}

/// Samples to IPFIX (`NXAST_SAMPLE`, `NXAST_SAMPLE2`, `NXAST_SAMPLE3`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Probability, of 65535.
    pub probability: u16,
    /// The set of collectors.
    pub collector_set_id: u32,
    /// Observation domain.
    pub obs_domain_id: u32,
    /// Observation point.
    pub obs_point_id: u32,
    /// Port that is sampled (OpenFlow 1.0 number), 0xffff = none.
    pub sampling_port: u16,
    /// 0 = default, 1 = ingress, 2 = egress.
    pub direction: u8,
}

/// A header to push (`NXAST_ENCAP`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encap {
    /// Size of the header, 0 = default.
    pub hdr_size: u16,
    /// Its packet type: namespace (16) and type (16).
    pub packet_type: u32,
    /// What the header consists of.
    pub properties: Vec<EncapProperty>,
}

/// A property of a header to push, `ofp_ed_prop_header`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncapProperty {
    /// Class, 4 = NSH.
    pub class: u16,
    /// Type in the class.
    pub kind: u8,
    /// What follows the four bytes of header, padding left out.
    pub data: Vec<u8>,
}
