//! Values of the command line, and what is said of one that cannot be read.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;
use std::{net::IpAddr, str::FromStr};
use tuplenet_model::{ecmp::EcmpField, entity::NatKind};
use tuplenet_store::{client::Endpoint, network::check_prefix};

/// What the packets of a switch may be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu(pub Option<u16>);

impl FromStr for Mtu {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = || text.parse().ok().filter(|bytes| *bytes >= tuplenet_model::mtu::LEAST);
        match text {
            "auto" => Ok(Mtu(None)),
            _ => bytes().map(|bytes| Mtu(Some(bytes))).ok_or_else(|| "use 1280 to 65535, or auto".to_owned()),
        }
    }
}

/// By what a router chooses among equal routes.
#[derive(Clone, Debug)]
pub struct EcmpHash(pub Vec<EcmpField>);

impl FromStr for EcmpHash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(EcmpHash(Vec::new())),
            _ => text.parse::<List<EcmpField>>().map(|fields| EcmpHash(fields.0)),
        }
    }
}

/// Values separated by commas.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

/// What can be written in a list, and how.
pub trait Item: FromStr {
    /// Two of them.
    const EXAMPLE: &str;
}

impl Item for IpAddr {
    const EXAMPLE: &str = "addresses like 10.20.1.2,fd00:20:1::2";
}

impl Item for EcmpField {
    const EXAMPLE: &str = "some of nw_src,nw_dst,ip_proto,l4_src,l4_dst";
}

impl Item for IpNet {
    const EXAMPLE: &str = "addresses with prefix lengths like 10.20.1.1/24,fd00:20:1::1/64";
}

impl<T: Item> FromStr for List<T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let one =
            |part: &str| part.trim().parse().map_err(|_| format!("\"{part}\" cannot be read: write {}", T::EXAMPLE));
        text.split(',').map(one).collect::<Result<_, _>>().map(List)
    }
}

pub(super) fn store_prefix(text: &str) -> Result<String, String> {
    check_prefix(text).map(str::to_owned)
}

/// Kept as written; what cannot be read is wrong usage, before anybody is asked.
pub(super) fn store_endpoints(text: &str) -> Result<String, String> {
    Endpoint::parse_list(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

pub(super) fn prefix(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| "write an address and a prefix length, like 0.0.0.0/0 or fd00:20:1::/64".to_owned())
}

pub(super) fn prefix_or_address(text: &str) -> Result<IpNet, String> {
    let alone = |_| text.parse::<IpAddr>().map(IpNet::from);
    let wanted = |_| "write a network like 10.20.0.0/16 or fd00:20::/32, or one address".to_owned();
    text.parse().or_else(alone).map_err(wanted)
}

pub(super) fn nat_kind() -> impl TypedValueParser<Value = NatKind> {
    PossibleValuesParser::new(["snat", "dnat", "floating"]).try_map(|text| text.parse::<NatKind>())
}

pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "write an address, like 10.20.1.2 or fd00:20:1::2".to_owned())
}

/// A label with its value.
#[derive(Clone, Debug)]
pub struct Label(pub String, pub String);

impl FromStr for Label {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((k, v)) if !k.is_empty() => Ok(Label(k.to_owned(), v.to_owned())),
            _ => Err("write a label as KEY=VALUE".into()),
        }
    }
}
