//! Where to connect, what to watch, and how patient to be.

use crate::error::TargetError;
use crate::value::Condition;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The port of OVSDB registered with IANA (RFC 7047 section 4.1), used when a target names none.
pub const DEFAULT_PORT: u16 = 6640;

/// An OVSDB server, in the notation of ovsdb(7) "Active" connection methods: `unix:PATH`, `tcp:ADDRESS[:PORT]`,
/// `ssl:HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A Unix domain socket.
    Unix(PathBuf),
    /// TCP without protection.
    Tcp(SocketAddr),
    /// TLS; needs [`Config::tls`].
    Tls {
        /// Address or DNS name.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// What to watch of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableMonitor {
    /// Name of the table.
    pub table: String,
    /// Names of the columns. One that the server's schema lacks is left out, with a warning.
    pub columns: Vec<String>,
    /// A row is watched if it meets any of these; all rows if there are none.
    pub condition: Vec<Condition>,
}

/// The ways to monitor, oldest first; the newest that the server knows is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonitorMethod {
    /// `monitor` of RFC 7047 section 4.1.5. Knows no conditions.
    Plain,
    /// `monitor_cond` of OVS 2.6: conditions, and differences on the wire.
    Cond,
    /// `monitor_cond_since` of OVS 2.12: and resumption after the last transaction known.
    CondSince,
}

/// PEM files for TLS. They are read at each connection, so that renewed ones are used without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our private key.
    pub private_key: PathBuf,
    /// Our certificate, and intermediate ones.
    pub certificate: PathBuf,
    /// The CA that the server's certificate must come from.
    pub ca_certificate: PathBuf,
    /// Whether the server's certificate must be made out for the target's host, too. Open vSwitch does not ask for
    /// that, and the certificates that `ovs-pki` makes never are; so `false` is usual, and the CA is the whole of the
    /// trust.
    pub verify_host: bool,
}

/// All about one connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub target: Target,
    /// The database, `Open_vSwitch` for a switch.
    pub database: String,
    /// What to watch, at most one entry a table; may be empty.
    pub monitor: Vec<TableMonitor>,
    /// The newest method to try; lower it only to test, or to avoid a defect of a server.
    pub newest_monitor: MonitorMethod,
    /// After this long without a byte from the server it is asked for a sign of life, and given up after as long again.
    pub echo_interval: Duration,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// The first pause before a new attempt; doubled each time, with a random quarter more or less.
    pub backoff_min: Duration,
    /// The longest pause before a new attempt.
    pub backoff_max: Duration,
    /// The largest message to accept, in bytes. 20,000 interfaces are about 10 MB.
    pub max_message: usize,
    /// Needed for [`Target::Tls`].
    pub tls: Option<TlsFiles>,
}

impl Config {
    /// The defaults for a switch's database, with nothing watched.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            database: "Open_vSwitch".into(),
            monitor: Vec::new(),
            newest_monitor: MonitorMethod::CondSince,
            // The server's own probe interval (ovsdb-server(1), inactivity_probe).
            echo_interval: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            // The server is usually on the same machine: soon again costs nothing.
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            max_message: 256 << 20,
            tls: None,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let error = |why: &str| TargetError { text: text.into(), why: why.into() };
        let (method, rest) = text.split_once(':').ok_or_else(|| error("there is no colon"))?;
        if rest.is_empty() {
            return Err(error("there is nothing after the colon"));
        }
        match method {
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" => {
                let address = rest.parse().or_else(|_| {
                    let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
                    bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, DEFAULT_PORT))
                });
                address.map(Self::Tcp).map_err(|_| error("not an IP address and a port"))
            }
            "ssl" => {
                let (host, port) = match rest.strip_prefix('[') {
                    Some(rest) => {
                        let (host, port) = rest.split_once(']').ok_or_else(|| error("a bracket is not closed"))?;
                        (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("")) })
                    }
                    None => match rest.rsplit_once(':') {
                        Some((host, port)) => (host, Some(port)),
                        None => (rest, None),
                    },
                };
                let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| error("not a port number"))?;
                if host.is_empty() {
                    return Err(error("there is no host"));
                }
                Ok(Self::Tls { host: host.into(), port })
            }
            _ => Err(error("unknown connection method")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Tls { host, port } if host.contains(':') => write!(f, "ssl:[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "ssl:{host}:{port}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, canonical) in [
            ("unix:/run/openvswitch/db.sock", "unix:/run/openvswitch/db.sock"),
            ("tcp:127.0.0.1:6641", "tcp:127.0.0.1:6641"),
            ("tcp:127.0.0.1", "tcp:127.0.0.1:6640"),
            ("tcp:[::1]:7", "tcp:[::1]:7"),
            ("tcp:[::1]", "tcp:[::1]:6640"),
            ("ssl:db.example:7", "ssl:db.example:7"),
            ("ssl:db.example", "ssl:db.example:6640"),
            ("ssl:[::1]:7", "ssl:[::1]:7"),
            ("ssl:[::1]", "ssl:[::1]:6640"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), canonical);
        }
        for bad in [
            "",
            "unix:",
            "/run/db.sock",
            "tcp:host:1",
            "tcp:1.2.3.4:99999",
            "ssl::1",
            "ssl:[::1]7",
            "ssl:[::1",
            "punix:x",
            "ssl:h:p",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
