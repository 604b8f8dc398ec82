//! Where a switch listens, and opening a stream to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The address of a switch's OpenFlow server, in the syntax of Open vSwitch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `unix:PATH`. A bridge's own socket is `BRIDGE.mgmt` in the run directory of Open vSwitch.
    Unix(PathBuf),
    /// `tcp:ADDRESS:PORT`, for a bridge whose controller is set to `ptcp:PORT`; IPv6 addresses stand in brackets.
    Tcp(SocketAddr),
}

/// A text that is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of a switch: write unix:PATH or tcp:ADDRESS:PORT")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(s: &str) -> Result<Self, TargetError> {
        let error = || TargetError(s.to_owned());
        match s.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Target::Unix(PathBuf::from(path))),
            Some(("tcp", addr)) => addr.parse().map(Target::Tcp).map_err(|_| error()),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
            Target::Tcp(addr) => write!(f, "tcp:{addr}"),
        }
    }
}

pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

impl Target {
    /// Opens a stream; the error says what to look at.
    pub(super) async fn open(&self) -> Result<(ReadHalf, WriteHalf), String> {
        match self {
            Target::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => {
                    let (r, w) = stream.into_split();
                    Ok((Box::new(r), Box::new(w)))
                }
                Err(e) => Err(self.explain(&e)),
            },
            Target::Tcp(addr) => match TcpStream::connect(addr).await {
                Ok(stream) => {
                    // Requests are small and somebody waits for each answer.
                    stream.set_nodelay(true).map_err(|e| self.explain(&e))?;
                    let (r, w) = stream.into_split();
                    Ok((Box::new(r), Box::new(w)))
                }
                Err(e) => Err(self.explain(&e)),
            },
        }
    }

    fn explain(&self, e: &io::Error) -> String {
        let hint = match (self, e.kind()) {
            (Target::Unix(_), io::ErrorKind::NotFound) => ": is ovs-vswitchd running, and does the bridge exist?",
            (Target::Unix(_), io::ErrorKind::PermissionDenied) => {
                ": run as root, or as the user that runs Open vSwitch"
            }
            (Target::Unix(_), io::ErrorKind::ConnectionRefused) => ": ovs-vswitchd is not running",
            (Target::Tcp(_), io::ErrorKind::ConnectionRefused) => {
                ": does the bridge listen there? (ovs-vsctl set-controller)"
            }
            _ => "",
        };
        format!("cannot connect to {self}: {e}{hint}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_syntax_of_open_vswitch() {
        for text in ["unix:/run/openvswitch/br-int.mgmt", "tcp:127.0.0.1:6653", "tcp:[::1]:6653"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "unix", "tcp:localhost", "ssl:127.0.0.1:6653", "tcp:127.0.0.1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
