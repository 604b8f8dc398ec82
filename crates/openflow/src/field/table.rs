//! The table itself: one line a field, in canonical order.
//!
//! Columns: constant, name of `ovs-ofctl`, aliases, bytes on the wire, significant bits, text format, mask, access,
//! prerequisite, code points. The first code point is the one that OpenFlow 1.5 uses towards Open vSwitch; the others
//! are accepted when decoding. Source: ovs-fields(7) of Open vSwitch 3.1. A field stands below its prerequisites,
//! because a switch reads the TLVs of a match in order and refuses a field whose prerequisite it has not yet seen.

use super::{Access, Class, Code, Field, Format, Mask, Prerequisite};

macro_rules! code {
    ($name:ident BASIC $n:literal) => {
        Code { name: stringify!($name), class: Class::BASIC, experimenter: 0, number: $n }
    };
    ($name:ident NXM_0 $n:literal) => {
        Code { name: stringify!($name), class: Class::NXM_0, experimenter: 0, number: $n }
    };
    ($name:ident NXM_1 $n:literal) => {
        Code { name: stringify!($name), class: Class::NXM_1, experimenter: 0, number: $n }
    };
    ($name:ident ERICSSON $n:literal) => {
        Code { name: stringify!($name), class: Class::ERICSSON, experimenter: 0, number: $n }
    };
    ($name:ident PACKET_REGS $n:literal) => {
        Code { name: stringify!($name), class: Class::PACKET_REGS, experimenter: 0, number: $n }
    };
    ($name:ident NX $n:literal) => {
        Code { name: stringify!($name), class: Class::EXPERIMENTER, experimenter: 0x2320, number: $n }
    };
    ($name:ident NSH $n:literal) => {
        Code { name: stringify!($name), class: Class::EXPERIMENTER, experimenter: 0x5a_d650, number: $n }
    };
    ($name:ident ONF $n:literal) => {
        Code { name: stringify!($name), class: Class::EXPERIMENTER, experimenter: 0x4f4e_4600, number: $n }
    };
}

macro_rules! fields {
    ($($const:ident $name:literal [$($alias:literal),*] $bytes:literal $bits:literal $format:ident $mask:ident $access:ident
       $pre:ident [$($code:ident $space:ident $number:literal),+];)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy)]
        enum Index { $($const),* }

        pub(super) const TABLE: &[Field] = &[$(Field {
            id: Index::$const as u16,
            name: $name,
            aliases: &[$($alias),*],
            bytes: $bytes,
            bits: $bits,
            format: Format::$format,
            mask: Mask::$mask,
            access: Access::$access,
            prerequisite: Prerequisite::$pre,
            codes: &[$(code!($code $space $number)),+],
        }),*];

        /// Every field that Open vSwitch 3.1 knows and that can stand in a message, in canonical order.
        pub static REGISTRY: &[Field] = TABLE;

        $(
            #[doc = concat!("`", $name, "`, see ovs-fields(7).")]
            pub const $const: &Field = &REGISTRY[Index::$const as usize];
        )*
    };
}

#[rustfmt::skip]
fields! {
    PACKET_TYPE "packet_type" [] 4 32 PacketType Exact ReadOnly None [OXM_OF_PACKET_TYPE BASIC 44];
    IN_PORT "in_port_oxm" [] 4 32 Port Exact ReadWrite None [OXM_OF_IN_PORT BASIC 0];
    IN_PORT_NXM "in_port" [] 2 16 Port10 Exact ReadWrite None [NXM_OF_IN_PORT NXM_0 0];
    ETH_DST "eth_dst" ["dl_dst"] 6 48 Ethernet Any ReadWrite Ethernet [OXM_OF_ETH_DST BASIC 3, NXM_OF_ETH_DST NXM_0 1];
    ETH_SRC "eth_src" ["dl_src"] 6 48 Ethernet Any ReadWrite Ethernet [OXM_OF_ETH_SRC BASIC 4, NXM_OF_ETH_SRC NXM_0 2];
    ETH_TYPE "eth_type" ["dl_type"] 2 16 Hexadecimal Exact ReadOnly Ethernet [OXM_OF_ETH_TYPE BASIC 5, NXM_OF_ETH_TYPE NXM_0 3];
    VLAN_TCI "vlan_tci" [] 2 16 Hexadecimal Any ReadWrite Ethernet [NXM_OF_VLAN_TCI NXM_0 4];
    VLAN_VID "vlan_vid" [] 2 12 Decimal Any ReadWrite Ethernet [OXM_OF_VLAN_VID BASIC 6];
    VLAN_PCP "vlan_pcp" [] 1 3 Decimal Exact ReadWrite VlanVid [OXM_OF_VLAN_PCP BASIC 7];
    MPLS_LABEL "mpls_label" [] 4 20 Decimal Exact ReadWrite Mpls [OXM_OF_MPLS_LABEL BASIC 34];
    MPLS_TC "mpls_tc" [] 1 3 Decimal Exact ReadWrite Mpls [OXM_OF_MPLS_TC BASIC 35];
    MPLS_BOS "mpls_bos" [] 1 1 Decimal Exact ReadOnly Mpls [OXM_OF_MPLS_BOS BASIC 36];
    MPLS_TTL "mpls_ttl" [] 1 8 Decimal Exact ReadWrite Mpls [NXM_NX_MPLS_TTL NXM_1 30];
    IPV4_SRC "ip_src" ["nw_src"] 4 32 Ipv4 Any ReadWrite Ipv4 [OXM_OF_IPV4_SRC BASIC 11, NXM_OF_IP_SRC NXM_0 7];
    IPV4_DST "ip_dst" ["nw_dst"] 4 32 Ipv4 Any ReadWrite Ipv4 [OXM_OF_IPV4_DST BASIC 12, NXM_OF_IP_DST NXM_0 8];
    IPV6_SRC "ipv6_src" [] 16 128 Ipv6 Any ReadWrite Ipv6 [OXM_OF_IPV6_SRC BASIC 26, NXM_NX_IPV6_SRC NXM_1 19];
    IPV6_DST "ipv6_dst" [] 16 128 Ipv6 Any ReadWrite Ipv6 [OXM_OF_IPV6_DST BASIC 27, NXM_NX_IPV6_DST NXM_1 20];
    IPV6_LABEL "ipv6_label" [] 4 20 Hexadecimal Any ReadWrite Ipv6 [OXM_OF_IPV6_FLABEL BASIC 28, NXM_NX_IPV6_LABEL NXM_1 27];
    IP_PROTO "nw_proto" ["ip_proto"] 1 8 Decimal Exact ReadOnly Ip [OXM_OF_IP_PROTO BASIC 10, NXM_OF_IP_PROTO NXM_0 6];
    NW_TOS "nw_tos" [] 1 8 Decimal Exact ReadWrite Ip [NXM_OF_IP_TOS NXM_0 5];
    IP_DSCP "ip_dscp" [] 1 6 Decimal Exact ReadWrite Ip [OXM_OF_IP_DSCP BASIC 8];
    IP_ECN "nw_ecn" ["ip_ecn"] 1 2 Decimal Exact ReadWrite Ip [OXM_OF_IP_ECN BASIC 9, NXM_NX_IP_ECN NXM_1 28];
    NW_TTL "nw_ttl" [] 1 8 Decimal Exact ReadWrite Ip [NXM_NX_IP_TTL NXM_1 29];
    IP_FRAG "ip_frag" ["nw_frag"] 1 2 Frag Any ReadOnly Ip [NXM_NX_IP_FRAG NXM_1 26];
    ARP_OP "arp_op" [] 2 16 Decimal Exact ReadWrite Arp [OXM_OF_ARP_OP BASIC 21, NXM_OF_ARP_OP NXM_0 15];
    ARP_SPA "arp_spa" [] 4 32 Ipv4 Any ReadWrite Arp [OXM_OF_ARP_SPA BASIC 22, NXM_OF_ARP_SPA NXM_0 16];
    ARP_TPA "arp_tpa" [] 4 32 Ipv4 Any ReadWrite Arp [OXM_OF_ARP_TPA BASIC 23, NXM_OF_ARP_TPA NXM_0 17];
    ARP_SHA "arp_sha" [] 6 48 Ethernet Any ReadWrite Arp [OXM_OF_ARP_SHA BASIC 24, NXM_NX_ARP_SHA NXM_1 17];
    ARP_THA "arp_tha" [] 6 48 Ethernet Any ReadWrite Arp [OXM_OF_ARP_THA BASIC 25, NXM_NX_ARP_THA NXM_1 18];
    TCP_SRC "tcp_src" ["tp_src"] 2 16 Decimal Any ReadWrite Tcp [OXM_OF_TCP_SRC BASIC 13, NXM_OF_TCP_SRC NXM_0 9];
    TCP_DST "tcp_dst" ["tp_dst"] 2 16 Decimal Any ReadWrite Tcp [OXM_OF_TCP_DST BASIC 14, NXM_OF_TCP_DST NXM_0 10];
    TCP_FLAGS "tcp_flags" [] 2 12 TcpFlags Any ReadOnly Tcp [OXM_OF_TCP_FLAGS BASIC 42, NXM_NX_TCP_FLAGS NXM_1 34, ONFOXM_ET_TCP_FLAGS ONF 42];
    UDP_SRC "udp_src" [] 2 16 Decimal Any ReadWrite Udp [OXM_OF_UDP_SRC BASIC 15, NXM_OF_UDP_SRC NXM_0 11];
    UDP_DST "udp_dst" [] 2 16 Decimal Any ReadWrite Udp [OXM_OF_UDP_DST BASIC 16, NXM_OF_UDP_DST NXM_0 12];
    SCTP_SRC "sctp_src" [] 2 16 Decimal Any ReadWrite Sctp [OXM_OF_SCTP_SRC BASIC 17];
    SCTP_DST "sctp_dst" [] 2 16 Decimal Any ReadWrite Sctp [OXM_OF_SCTP_DST BASIC 18];
    ICMPV4_TYPE "icmp_type" [] 1 8 Decimal Exact ReadWrite Icmpv4 [OXM_OF_ICMPV4_TYPE BASIC 19, NXM_OF_ICMP_TYPE NXM_0 13];
    ICMPV4_CODE "icmp_code" [] 1 8 Decimal Exact ReadWrite Icmpv4 [OXM_OF_ICMPV4_CODE BASIC 20, NXM_OF_ICMP_CODE NXM_0 14];
    ICMPV6_TYPE "icmpv6_type" [] 1 8 Decimal Exact ReadWrite Icmpv6 [OXM_OF_ICMPV6_TYPE BASIC 29, NXM_NX_ICMPV6_TYPE NXM_1 21];
    ICMPV6_CODE "icmpv6_code" [] 1 8 Decimal Exact ReadWrite Icmpv6 [OXM_OF_ICMPV6_CODE BASIC 30, NXM_NX_ICMPV6_CODE NXM_1 22];
    ND_TARGET "nd_target" [] 16 128 Ipv6 Any ReadWrite Nd [OXM_OF_IPV6_ND_TARGET BASIC 31, NXM_NX_ND_TARGET NXM_1 23];
    ND_SLL "nd_sll" [] 6 48 Ethernet Any ReadWrite NdSolicit [OXM_OF_IPV6_ND_SLL BASIC 32, NXM_NX_ND_SLL NXM_1 24];
    ND_TLL "nd_tll" [] 6 48 Ethernet Any ReadWrite NdAdvert [OXM_OF_IPV6_ND_TLL BASIC 33, NXM_NX_ND_TLL NXM_1 25];
    ND_RESERVED "nd_reserved" [] 4 32 Decimal Exact ReadWrite Nd [ERICOXM_OF_ICMPV6_ND_RESERVED ERICSSON 1];
    ND_OPTIONS_TYPE "nd_options_type" [] 1 8 Decimal Exact ReadWrite Nd [ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE ERICSSON 2];
    NSH_FLAGS "nsh_flags" [] 1 8 Decimal Any ReadWrite Nsh [NXOXM_NSH_FLAGS NSH 1];
    NSH_TTL "nsh_ttl" [] 1 8 Decimal Exact ReadWrite Nsh [NXOXM_NSH_TTL NSH 10];
    NSH_MDTYPE "nsh_mdtype" [] 1 8 Decimal Exact ReadOnly Nsh [NXOXM_NSH_MDTYPE NSH 2];
    NSH_NP "nsh_np" [] 1 8 Decimal Exact ReadOnly Nsh [NXOXM_NSH_NP NSH 3];
    NSH_SPI "nsh_spi" ["nsp"] 4 24 Hexadecimal Exact ReadWrite Nsh [NXOXM_NSH_SPI NSH 4];
    NSH_SI "nsh_si" ["nsi"] 1 8 Decimal Exact ReadWrite Nsh [NXOXM_NSH_SI NSH 5];
    NSH_C1 "nsh_c1" ["nshc1"] 4 32 Hexadecimal Any ReadWrite Nsh [NXOXM_NSH_C1 NSH 6];
    NSH_C2 "nsh_c2" ["nshc2"] 4 32 Hexadecimal Any ReadWrite Nsh [NXOXM_NSH_C2 NSH 7];
    NSH_C3 "nsh_c3" ["nshc3"] 4 32 Hexadecimal Any ReadWrite Nsh [NXOXM_NSH_C3 NSH 8];
    NSH_C4 "nsh_c4" ["nshc4"] 4 32 Hexadecimal Any ReadWrite Nsh [NXOXM_NSH_C4 NSH 9];
    TUN_ID "tun_id" ["tunnel_id"] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_TUNNEL_ID BASIC 38, NXM_NX_TUN_ID NXM_1 16];
    TUN_SRC "tun_src" [] 4 32 Ipv4 Any ReadWrite None [NXM_NX_TUN_IPV4_SRC NXM_1 31];
    TUN_DST "tun_dst" [] 4 32 Ipv4 Any ReadWrite None [NXM_NX_TUN_IPV4_DST NXM_1 32];
    TUN_IPV6_SRC "tun_ipv6_src" [] 16 128 Ipv6 Any ReadWrite None [NXM_NX_TUN_IPV6_SRC NXM_1 109];
    TUN_IPV6_DST "tun_ipv6_dst" [] 16 128 Ipv6 Any ReadWrite None [NXM_NX_TUN_IPV6_DST NXM_1 110];
    TUN_FLAGS "tun_flags" [] 2 1 TunFlags Any ReadWrite None [NXM_NX_TUN_FLAGS NXM_1 104];
    TUN_GBP_ID "tun_gbp_id" [] 2 16 Decimal Any ReadWrite None [NXM_NX_TUN_GBP_ID NXM_1 38];
    TUN_GBP_FLAGS "tun_gbp_flags" [] 1 8 Hexadecimal Any ReadWrite None [NXM_NX_TUN_GBP_FLAGS NXM_1 39];
    TUN_ERSPAN_IDX "tun_erspan_idx" [] 4 20 Hexadecimal Any ReadWrite None [NXOXM_ET_ERSPAN_IDX NX 11];
    TUN_ERSPAN_VER "tun_erspan_ver" [] 1 4 Decimal Any ReadWrite None [NXOXM_ET_ERSPAN_VER NX 12];
    TUN_ERSPAN_DIR "tun_erspan_dir" [] 1 1 Decimal Any ReadWrite None [NXOXM_ET_ERSPAN_DIR NX 13];
    TUN_ERSPAN_HWID "tun_erspan_hwid" [] 1 6 Hexadecimal Any ReadWrite None [NXOXM_ET_ERSPAN_HWID NX 14];
    TUN_GTPU_FLAGS "tun_gtpu_flags" [] 1 8 Hexadecimal Any ReadOnly None [NXOXM_ET_GTPU_FLAGS NX 15];
    TUN_GTPU_MSGTYPE "tun_gtpu_msgtype" [] 1 8 Decimal Any ReadOnly None [NXOXM_ET_GTPU_MSGTYPE NX 16];
    TUN_METADATA0 "tun_metadata0" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA0 NXM_1 40];
    TUN_METADATA1 "tun_metadata1" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA1 NXM_1 41];
    TUN_METADATA2 "tun_metadata2" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA2 NXM_1 42];
    TUN_METADATA3 "tun_metadata3" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA3 NXM_1 43];
    TUN_METADATA4 "tun_metadata4" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA4 NXM_1 44];
    TUN_METADATA5 "tun_metadata5" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA5 NXM_1 45];
    TUN_METADATA6 "tun_metadata6" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA6 NXM_1 46];
    TUN_METADATA7 "tun_metadata7" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA7 NXM_1 47];
    TUN_METADATA8 "tun_metadata8" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA8 NXM_1 48];
    TUN_METADATA9 "tun_metadata9" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA9 NXM_1 49];
    TUN_METADATA10 "tun_metadata10" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA10 NXM_1 50];
    TUN_METADATA11 "tun_metadata11" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA11 NXM_1 51];
    TUN_METADATA12 "tun_metadata12" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA12 NXM_1 52];
    TUN_METADATA13 "tun_metadata13" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA13 NXM_1 53];
    TUN_METADATA14 "tun_metadata14" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA14 NXM_1 54];
    TUN_METADATA15 "tun_metadata15" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA15 NXM_1 55];
    TUN_METADATA16 "tun_metadata16" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA16 NXM_1 56];
    TUN_METADATA17 "tun_metadata17" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA17 NXM_1 57];
    TUN_METADATA18 "tun_metadata18" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA18 NXM_1 58];
    TUN_METADATA19 "tun_metadata19" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA19 NXM_1 59];
    TUN_METADATA20 "tun_metadata20" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA20 NXM_1 60];
    TUN_METADATA21 "tun_metadata21" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA21 NXM_1 61];
    TUN_METADATA22 "tun_metadata22" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA22 NXM_1 62];
    TUN_METADATA23 "tun_metadata23" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA23 NXM_1 63];
    TUN_METADATA24 "tun_metadata24" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA24 NXM_1 64];
    TUN_METADATA25 "tun_metadata25" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA25 NXM_1 65];
    TUN_METADATA26 "tun_metadata26" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA26 NXM_1 66];
    TUN_METADATA27 "tun_metadata27" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA27 NXM_1 67];
    TUN_METADATA28 "tun_metadata28" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA28 NXM_1 68];
    TUN_METADATA29 "tun_metadata29" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA29 NXM_1 69];
    TUN_METADATA30 "tun_metadata30" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA30 NXM_1 70];
    TUN_METADATA31 "tun_metadata31" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA31 NXM_1 71];
    TUN_METADATA32 "tun_metadata32" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA32 NXM_1 72];
    TUN_METADATA33 "tun_metadata33" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA33 NXM_1 73];
    TUN_METADATA34 "tun_metadata34" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA34 NXM_1 74];
    TUN_METADATA35 "tun_metadata35" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA35 NXM_1 75];
    TUN_METADATA36 "tun_metadata36" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA36 NXM_1 76];
    TUN_METADATA37 "tun_metadata37" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA37 NXM_1 77];
    TUN_METADATA38 "tun_metadata38" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA38 NXM_1 78];
    TUN_METADATA39 "tun_metadata39" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA39 NXM_1 79];
    TUN_METADATA40 "tun_metadata40" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA40 NXM_1 80];
    TUN_METADATA41 "tun_metadata41" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA41 NXM_1 81];
    TUN_METADATA42 "tun_metadata42" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA42 NXM_1 82];
    TUN_METADATA43 "tun_metadata43" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA43 NXM_1 83];
    TUN_METADATA44 "tun_metadata44" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA44 NXM_1 84];
    TUN_METADATA45 "tun_metadata45" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA45 NXM_1 85];
    TUN_METADATA46 "tun_metadata46" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA46 NXM_1 86];
    TUN_METADATA47 "tun_metadata47" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA47 NXM_1 87];
    TUN_METADATA48 "tun_metadata48" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA48 NXM_1 88];
    TUN_METADATA49 "tun_metadata49" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA49 NXM_1 89];
    TUN_METADATA50 "tun_metadata50" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA50 NXM_1 90];
    TUN_METADATA51 "tun_metadata51" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA51 NXM_1 91];
    TUN_METADATA52 "tun_metadata52" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA52 NXM_1 92];
    TUN_METADATA53 "tun_metadata53" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA53 NXM_1 93];
    TUN_METADATA54 "tun_metadata54" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA54 NXM_1 94];
    TUN_METADATA55 "tun_metadata55" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA55 NXM_1 95];
    TUN_METADATA56 "tun_metadata56" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA56 NXM_1 96];
    TUN_METADATA57 "tun_metadata57" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA57 NXM_1 97];
    TUN_METADATA58 "tun_metadata58" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA58 NXM_1 98];
    TUN_METADATA59 "tun_metadata59" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA59 NXM_1 99];
    TUN_METADATA60 "tun_metadata60" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA60 NXM_1 100];
    TUN_METADATA61 "tun_metadata61" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA61 NXM_1 101];
    TUN_METADATA62 "tun_metadata62" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA62 NXM_1 102];
    TUN_METADATA63 "tun_metadata63" [] 124 992 Hexadecimal Any ReadWrite None [NXM_NX_TUN_METADATA63 NXM_1 103];
    METADATA "metadata" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_METADATA BASIC 2];
    REG0 "reg0" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG0 NXM_1 0];
    REG1 "reg1" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG1 NXM_1 1];
    REG2 "reg2" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG2 NXM_1 2];
    REG3 "reg3" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG3 NXM_1 3];
    REG4 "reg4" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG4 NXM_1 4];
    REG5 "reg5" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG5 NXM_1 5];
    REG6 "reg6" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG6 NXM_1 6];
    REG7 "reg7" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG7 NXM_1 7];
    REG8 "reg8" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG8 NXM_1 8];
    REG9 "reg9" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG9 NXM_1 9];
    REG10 "reg10" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG10 NXM_1 10];
    REG11 "reg11" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG11 NXM_1 11];
    REG12 "reg12" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG12 NXM_1 12];
    REG13 "reg13" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG13 NXM_1 13];
    REG14 "reg14" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG14 NXM_1 14];
    REG15 "reg15" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_REG15 NXM_1 15];
    XREG0 "xreg0" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG0 PACKET_REGS 0];
    XREG1 "xreg1" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG1 PACKET_REGS 1];
    XREG2 "xreg2" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG2 PACKET_REGS 2];
    XREG3 "xreg3" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG3 PACKET_REGS 3];
    XREG4 "xreg4" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG4 PACKET_REGS 4];
    XREG5 "xreg5" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG5 PACKET_REGS 5];
    XREG6 "xreg6" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG6 PACKET_REGS 6];
    XREG7 "xreg7" [] 8 64 Hexadecimal Any ReadWrite None [OXM_OF_PKT_REG7 PACKET_REGS 7];
    XXREG0 "xxreg0" [] 16 128 Hexadecimal Any ReadWrite None [NXM_NX_XXREG0 NXM_1 111];
    XXREG1 "xxreg1" [] 16 128 Hexadecimal Any ReadWrite None [NXM_NX_XXREG1 NXM_1 112];
    XXREG2 "xxreg2" [] 16 128 Hexadecimal Any ReadWrite None [NXM_NX_XXREG2 NXM_1 113];
    XXREG3 "xxreg3" [] 16 128 Hexadecimal Any ReadWrite None [NXM_NX_XXREG3 NXM_1 114];
    PKT_MARK "pkt_mark" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_PKT_MARK NXM_1 33];
    CT_STATE "ct_state" [] 4 32 CtState Any ReadOnly None [NXM_NX_CT_STATE NXM_1 105];
    CT_ZONE "ct_zone" [] 2 16 Hexadecimal Exact ReadOnly None [NXM_NX_CT_ZONE NXM_1 106];
    CT_MARK "ct_mark" [] 4 32 Hexadecimal Any ReadWrite None [NXM_NX_CT_MARK NXM_1 107];
    CT_LABEL "ct_label" [] 16 128 Hexadecimal Any ReadWrite None [NXM_NX_CT_LABEL NXM_1 108];
    CT_NW_PROTO "ct_nw_proto" [] 1 8 Decimal Exact ReadOnly Ct [NXM_NX_CT_NW_PROTO NXM_1 119];
    CT_NW_SRC "ct_nw_src" [] 4 32 Ipv4 Any ReadOnly Ct [NXM_NX_CT_NW_SRC NXM_1 120];
    CT_NW_DST "ct_nw_dst" [] 4 32 Ipv4 Any ReadOnly Ct [NXM_NX_CT_NW_DST NXM_1 121];
    CT_IPV6_SRC "ct_ipv6_src" [] 16 128 Ipv6 Any ReadOnly Ct [NXM_NX_CT_IPV6_SRC NXM_1 122];
    CT_IPV6_DST "ct_ipv6_dst" [] 16 128 Ipv6 Any ReadOnly Ct [NXM_NX_CT_IPV6_DST NXM_1 123];
    CT_TP_SRC "ct_tp_src" [] 2 16 Decimal Any ReadOnly Ct [NXM_NX_CT_TP_SRC NXM_1 124];
    CT_TP_DST "ct_tp_dst" [] 2 16 Decimal Any ReadOnly Ct [NXM_NX_CT_TP_DST NXM_1 125];
    CONJ_ID "conj_id" [] 4 32 Decimal Exact ReadOnly None [NXM_NX_CONJ_ID NXM_1 37];
    ACTSET_OUTPUT "actset_output" [] 4 32 Port Exact ReadOnly None [OXM_OF_ACTSET_OUTPUT BASIC 43, ONFOXM_ET_ACTSET_OUTPUT ONF 43];
    DP_HASH "dp_hash" [] 4 32 Hexadecimal Any ReadOnly None [NXM_NX_DP_HASH NXM_1 35, NXOXM_ET_DP_HASH NX 0];
    RECIRC_ID "recirc_id" [] 4 32 Decimal Exact ReadOnly None [NXM_NX_RECIRC_ID NXM_1 36];
}
