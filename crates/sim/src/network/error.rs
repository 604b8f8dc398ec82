//! Why a packet cannot be walked: the port is none to start from, or a rule asks for what the simulator does not know.

use crate::switch::Unsupported;
use tuplenet_model::name::Name;

/// Why a packet cannot be walked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// No such switch.
    #[error("switch {0} does not exist")]
    NoSwitch(Name),
    /// No such port.
    #[error("port {lsp} of switch {ls} does not exist")]
    NoPort {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
    },
    /// The end of a link: no packets of anybody enter there.
    #[error(
        "port {lsp} of switch {ls} is the end of a link to {peer}: packets come from there, not from an interface; start at a port of a VM"
    )]
    Link {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
        /// The router port at the other end.
        peer: String,
    },
    /// Nobody has the port.
    #[error(
        "port {lsp} of switch {ls} is not bound to any chassis: no host has an interface whose iface-id is {lsp} or {ls}/{lsp}"
    )]
    NotBound {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
    },
    /// The port, or its switch, is set aside by the rules.
    #[error("port {lsp} of switch {ls} cannot be used: {key} is set aside: {reason}")]
    SetAside {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
        /// The object at fault.
        key: String,
        /// What is wrong, and what mends it.
        reason: String,
    },
    /// No such host.
    #[error("no object of the network speaks of a chassis {0}")]
    NoChassis(Name),
    /// The rules ask for something that the simulator does not know.
    #[error("on {chassis}: {what}")]
    Unsupported {
        /// The host.
        chassis: Name,
        /// The flow, and what it asks for.
        what: Unsupported,
    },
}
