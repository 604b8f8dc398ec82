//! Where the store is and how to get in.

use crate::StoreError;
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// Where a TupleNet store is looked for when nothing is said.
pub const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";
/// How long a call may take, fail-over included, when nothing is said. An election of etcd takes 1 to 2 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// One member of the store's cluster: `host:port`, with or without `http://` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address; IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `https://` or `http://`; without either, TLS is spoken if certificates are given, as etcdctl does.
    pub tls: Option<bool>,
}

impl Endpoint {
    /// Parses a comma-separated list, as `--endpoints` takes it. Empty parts are skipped; no endpoint at all is an error.
    pub fn parse_list(list: &str) -> Result<Vec<Endpoint>, StoreError> {
        let endpoints: Vec<Endpoint> =
            list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(StoreError::Config(format!("no endpoint of the store is given: try {DEFAULT_ENDPOINT}")));
        }
        Ok(endpoints)
    }

    /// As a URI; `certificates`: whether any are given.
    pub(crate) fn uri(&self, certificates: bool) -> String {
        let tls = self.tls.unwrap_or(certificates);
        format!("{}://{}:{}", if tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = |why: &str| {
            StoreError::Config(format!(
                "\"{text}\" is no endpoint ({why}): write host:port, http://host:port or https://host:port"
            ))
        };
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some(_) => return Err(bad("the scheme is neither http nor https")),
            None => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| bad("there is no port"))?;
        let port = port
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| bad("the port is not a number from 1 to 65535"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let valid = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            }
        };
        if !valid {
            return Err(bad("the host is no name, IPv4 address, or IPv6 address in brackets"));
        }
        Ok(Endpoint { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", if self.tls == Some(true) { "https://" } else { "" }, self.host, self.port)
    }
}

/// Certificates, as paths of PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whom to trust. Needed for `https://`.
    pub ca: Option<PathBuf>,
    /// Our own certificate, where the store asks for one; together with `key`.
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    pub key: Option<PathBuf>,
    /// The name that the store's certificate must show; the endpoint's host if not given.
    pub domain: Option<String>,
}

/// How to reach the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// All members that we know; at least one.
    pub endpoints: Vec<Endpoint>,
    /// User and password, where the store has them on.
    pub user: Option<(String, String)>,
    /// Certificates for `https://` endpoints, and for those without a scheme.
    pub tls: Option<Tls>,
    /// How long a call may take in all, fail-over included.
    pub timeout: Duration,
}

impl Config {
    /// With the defaults for all but the endpoints (see [`Endpoint::parse_list`]).
    pub fn new(endpoints: &str) -> Result<Config, StoreError> {
        Ok(Config { endpoints: Endpoint::parse_list(endpoints)?, user: None, tls: None, timeout: DEFAULT_TIMEOUT })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_parse_and_print() {
        let list = Endpoint::parse_list("127.0.0.1:2379, http://etcd-1.example:1/,https://[fd00::1]:65535,").unwrap();
        let shown: Vec<String> = list.iter().map(|endpoint| endpoint.to_string()).collect();
        assert_eq!(shown, ["127.0.0.1:2379", "etcd-1.example:1", "https://[fd00::1]:65535"]);
        let uris = |certificates| list.iter().map(|endpoint| endpoint.uri(certificates)).collect::<Vec<_>>();
        assert_eq!(uris(false), ["http://127.0.0.1:2379", "http://etcd-1.example:1", "https://[fd00::1]:65535"]);
        assert_eq!(uris(true), ["https://127.0.0.1:2379", "http://etcd-1.example:1", "https://[fd00::1]:65535"]);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "no endpoint"),
            (" , ", "no endpoint"),
            ("localhost", "no port"),
            ("localhost:0", "not a number"),
            ("localhost:99999", "not a number"),
            ("ftp://localhost:1", "scheme"),
            ("fd00::1:2379", "host"),
            ("a b:1", "host"),
            (":1", "host"),
            ("http://u@h/path:1", "host"),
        ] {
            let error = Endpoint::parse_list(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
