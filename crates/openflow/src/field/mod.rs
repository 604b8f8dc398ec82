//! The registry of match fields: what OXM and NXM call them, how wide they are, what they need.
//!
//! One table ([`REGISTRY`]) is the only place that knows a field; the codec, the text form and the checks read it.
//! Each field is also a constant of its own: `field::ETH_DST`, `field::REG0`, ...
//!
//! Two of them are one to people: the ingress port is matched as [`IN_PORT`] (32 bits) and set as [`IN_PORT_NXM`] (16 bits; 0 =
//! "from nowhere", so that a packet may go back where it came from). Open vSwitch refuses to set the former.

mod table;

pub use table::*;

/// The 16-bit class (OXM) or vendor (NXM) of a code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(pub u16);

impl Class {
    /// Nicira's fields of OpenFlow 1.0, `NXM_OF_*`.
    pub const NXM_0: Class = Class(0x0000);
    /// Nicira's extensions, `NXM_NX_*`.
    pub const NXM_1: Class = Class(0x0001);
    /// Ericsson's extensions, `ERICOXM_OF_*`.
    pub const ERICSSON: Class = Class(0x1000);
    /// OpenFlow's own, `OXM_OF_*`.
    pub const BASIC: Class = Class(0x8000);
    /// OpenFlow's packet registers, `OXM_OF_PKT_REG*`.
    pub const PACKET_REGS: Class = Class(0x8001);
    /// A 32-bit experimenter id follows the header.
    pub const EXPERIMENTER: Class = Class(0xffff);
}

/// One way to name a field on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Name in the specifications, `OXM_OF_ETH_DST`.
    pub name: &'static str,
    /// Class or vendor.
    pub class: Class,
    /// Experimenter id, 0 unless the class is [`Class::EXPERIMENTER`].
    pub experimenter: u32,
    /// Number in the class, 0..=127.
    pub number: u8,
}

impl Code {
    /// Length of the header on the wire: 4 bytes, 8 with an experimenter.
    pub const fn header_len(&self) -> usize {
        if self.class.0 == Class::EXPERIMENTER.0 { 8 } else { 4 }
    }
}

/// How a value is written in text, see ovs-fields(7), "Format".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Decimal number.
    Decimal,
    /// Hexadecimal number.
    Hexadecimal,
    /// `aa:bb:cc:dd:ee:ff`.
    Ethernet,
    /// Dotted quad, with prefix length or mask.
    Ipv4,
    /// IPv6 address, with prefix length or mask.
    Ipv6,
    /// 16-bit OpenFlow 1.0 port.
    Port10,
    /// 32-bit OpenFlow port.
    Port,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
    /// `oam`.
    TunFlags,
    /// `syn`, `ack`, ...
    TcpFlags,
    /// `new`, `est`, `trk`, ...
    CtState,
    /// `(namespace,type)`.
    PacketType,
}

/// Whether a match may cover only some bits of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Exact match only.
    Exact,
    /// Any bitwise mask.
    Any,
}

/// Whether actions may write a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only to be matched on and read.
    ReadOnly,
    /// Actions may write it.
    ReadWrite,
}

/// What a match must also match on, see ovs-fields(7), "Prerequisites".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prerequisite {
    /// Nothing.
    None,
    /// An Ethernet packet (the default packet type).
    Ethernet,
    /// A VLAN header, `vlan_tci=0x1000/0x1000`.
    VlanVid,
    /// `eth_type` 0x0806 or 0x8035.
    Arp,
    /// `eth_type` 0x0800.
    Ipv4,
    /// `eth_type` 0x86dd.
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    /// `eth_type` 0x8847 or 0x8848.
    Mpls,
    /// IP and `nw_proto` 6.
    Tcp,
    /// IP and `nw_proto` 17.
    Udp,
    /// IP and `nw_proto` 132.
    Sctp,
    /// IPv4 and `nw_proto` 1.
    Icmpv4,
    /// IPv6 and `nw_proto` 58.
    Icmpv6,
    /// Neighbour solicitation or advertisement.
    Nd,
    /// ICMPv6 type 135, code 0.
    NdSolicit,
    /// ICMPv6 type 136, code 0.
    NdAdvert,
    /// `eth_type` 0x894f.
    Nsh,
    /// `ct_state` with a bit that only a valid connection has (`+new`, `+est`, ...), or `+trk-inv`.
    Ct,
}

/// A field of a packet or of its metadata.
#[derive(Debug)]
pub struct Field {
    id: u16,
    /// The name that `ovs-ofctl` uses, for instance `eth_dst`.
    pub name: &'static str,
    /// Other names that are accepted, for instance `dl_dst`.
    pub aliases: &'static [&'static str],
    /// Width on the wire in bytes, 1..=16; 124 for `tun_metadata*`, which may be shorter (see [`Field::is_variable`]).
    pub bytes: u8,
    /// Significant bits, at most 8 times `bytes`.
    pub bits: u16,
    /// How text shows it.
    pub format: Format,
    /// Whether it can be matched in part.
    pub mask: Mask,
    /// Whether actions may write it.
    pub access: Access,
    /// What else a match must have.
    pub prerequisite: Prerequisite,
    /// Code points, the one that we send first.
    pub codes: &'static [Code],
}

impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        self.id == other.id
    }
}

impl Eq for Field {}

impl std::hash::Hash for Field {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Field {
    /// Place in [`REGISTRY`], which is also the canonical order of the fields of a match.
    pub const fn index(&self) -> u16 {
        self.id
    }

    /// The code point that we send.
    pub const fn code(&self) -> &'static Code {
        // Every line of the table has one at least: the macro asks for it.
        match self.codes {
            [first, ..] => first,
            [] => panic!("a field without a code point"),
        }
    }

    /// The code point of NXM, or the oldest there is: what Nicira's own actions use, and what text calls parts of the field.
    pub fn nxm_code(&self) -> &'static Code {
        let nxm = self.codes.iter().find(|c| c.class == Class::NXM_0 || c.class == Class::NXM_1);
        nxm.or(self.codes.last()).unwrap_or(self.code())
    }

    /// The name that actions print for a part of the field, `NXM_OF_ETH_SRC[]`.
    pub fn subfield_name(&self) -> &'static str {
        self.nxm_code().name
    }

    /// True for `tun_metadata*`: the length is that of the Geneve option which the switch's TLV map gives it.
    pub const fn is_variable(&self) -> bool {
        self.bytes == 124
    }

    /// The bits that a match on the whole field covers. `vlan_vid` has one more than `bits`: "a VLAN tag is present".
    /// Of `ct_state` only 8 mean anything, and Open vSwitch keeps no others.
    pub const fn match_bits(&self) -> u16 {
        if self.id == VLAN_VID.id {
            13
        } else if self.id == CT_STATE.id {
            8
        } else {
            self.bits
        }
    }

    /// The field of this name or alias, or of this code point's name (`NXM_OF_ETH_SRC`).
    pub fn by_name(name: &str) -> Option<&'static Field> {
        REGISTRY
            .iter()
            .find(|f| f.name == name || f.aliases.contains(&name))
            .or_else(|| REGISTRY.iter().find(|f| f.codes.iter().any(|c| c.name == name)))
    }

    /// The field at a place of the registry.
    pub(crate) fn by_index(index: u16) -> Option<&'static Field> {
        REGISTRY.get(usize::from(index))
    }

    /// The field of a code point, `experimenter` being 0 unless the class asks for one.
    pub fn by_code(class: Class, experimenter: u32, number: u8) -> Option<&'static Field> {
        let number = usize::from(number);
        let slot = match class {
            Class::NXM_0 => NXM_0_INDEX.get(number),
            Class::NXM_1 => NXM_1_INDEX.get(number),
            Class::BASIC => BASIC_INDEX.get(number),
            // The rest is rare and short: no index for it.
            _ => {
                let same =
                    |c: &Code| c.class == class && c.experimenter == experimenter && usize::from(c.number) == number;
                return REGISTRY.iter().find(|f| f.codes.iter().any(same));
            }
        };
        slot.and_then(|&i| REGISTRY.get(usize::from(i)))
    }
}

/// Marks a number that no field has.
const ABSENT: u16 = u16::MAX;

static NXM_0_INDEX: [u16; 128] = index_of(Class::NXM_0);
static NXM_1_INDEX: [u16; 128] = index_of(Class::NXM_1);
static BASIC_INDEX: [u16; 128] = index_of(Class::BASIC);

/// Number -> place in the registry, for one class: decoding a dump asks this for each TLV.
const fn index_of(class: Class) -> [u16; 128] {
    let mut index = [ABSENT; 128];
    let mut i = 0;
    while i < table::TABLE.len() {
        let codes = table::TABLE[i].codes;
        let mut j = 0;
        while j < codes.len() {
            if codes[j].class.0 == class.0 {
                index[codes[j].number as usize] = i as u16;
            }
            j += 1;
        }
        i += 1;
    }
    index
}
