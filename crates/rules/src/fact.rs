//! The facts: rows of the input relations, and rows that several rule modules share.
//!
//! Objects of the store come under their names. Once judged, they are referred to by the ids that travel on the wire,
//! which are small and are what flows need.

use crate::{change::LocalInterface, output::Selection, register};
use rustc_hash::FxHasher;
use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
    ops::Deref,
    rc::Rc,
};
use tuplenet_model::{
    entity::{
        self, Encap, EncapKind, LogicalRouter, LogicalSwitch, NatRule, Patch, RouterPort, StaticRoute, SwitchPort,
    },
    id::{DatapathId, PortId},
    key::Key,
    name::Name,
};

/// An object of the store under its name(s).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Stored<N, T> {
    /// Its name, or its parent's and its own.
    pub name: N,
    /// What the rules need of it.
    pub value: T,
    /// The revision that made it.
    pub created: i64,
}

/// A value that many rows of many relations hold: kept once, hashed once.
#[derive(Debug)]
pub struct Shared<T>(Rc<(u64, T)>);

impl<T: Hash> Shared<T> {
    fn new(value: T) -> Self {
        let mut hasher = FxHasher::default();
        value.hash(&mut hasher);
        Self(Rc::new((hasher.finish(), value)))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Eq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.0);
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.1
    }
}

/// `parent/child`.
pub type Child = (Name, Name);

/// `ls/<ls>`
pub type Ls = Shared<Stored<Name, LsFact>>;
/// `lr/<lr>`
pub type Lr = Shared<Stored<Name, LrFact>>;
/// `ls/<ls>/lsp/<lsp>`
pub type Lsp = Shared<Stored<Child, LspFact>>;
/// `lr/<lr>/lrp/<lrp>`
pub type Lrp = Shared<Stored<Child, LrpFact>>;
/// `lr/<lr>/lsr/<route>`
pub type Lsr = Shared<Stored<Child, LsrFact>>;
/// `lr/<lr>/lnat/<rule>`
pub type Lnat = Shared<Stored<Child, LnatFact>>;

/// What the rules need of a switch. Descriptions and labels stay outside: changing them changes no fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LsFact {
    pub id: DatapathId,
    pub flood: bool,
    /// What was set; otherwise it follows from the hosts.
    pub mtu: Option<u16>,
}

/// What the rules need of a router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LrFact {
    pub id: DatapathId,
    pub chassis: Option<Name>,
    pub selection: Selection,
}

/// What the rules need of a switch port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LspFact {
    pub port: PortId,
    /// All zero for a patch port, which has none.
    pub mac: [u8; 6],
    /// None for a patch port.
    pub ips: Box<[IpAddr]>,
    /// Boxed, as few ports have one.
    pub peer: Option<Box<Child>>,
    /// What a patch port joins the switch to: such a port has no MAC, no addresses, no peer, and no binding. Boxed, as few ports have it.
    pub patch: Option<Box<Patch>>,
}

/// What the rules need of a router port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LrpFact {
    /// What stands for the port in registers; see [`register::router_port`].
    pub number: u32,
    pub mac: [u8; 6],
    pub nets: Box<[ipnet::IpNet]>,
    pub peer: Option<Child>,
}

/// What the rules need of a static route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LsrFact {
    pub prefix: ipnet::IpNet,
    pub next_hop: IpAddr,
    pub outport: Name,
}

/// What the rules need of a NAT rule: all but its meta. Its methods say what is external and what is inner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LnatFact(pub NatRule);

impl Hash for LnatFact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let NatRule { kind, prefix, xlate_ip, distributed, meta: _ } = &self.0;
        (kind, prefix, xlate_ip, distributed).hash(state);
    }
}

impl Deref for LnatFact {
    type Target = NatRule;
    fn deref(&self) -> &NatRule {
        &self.0
    }
}

/// `chassis/<chassis>`
pub type Chassis = Shared<ChassisFact>;

/// A chassis' tunnel end points, best first.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ChassisFact {
    pub name: Name,
    pub encaps: Box<[Encap]>,
    /// MTU of its underlay, if it says.
    pub mtu: Option<u32>,
}

/// `binding/<ls>/<lsp>`
pub type Binding = Shared<BindingFact>;

/// Which chassis claims a port.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct BindingFact {
    pub lsp: Child,
    pub chassis: Name,
    pub generation: u64,
}

/// An Interface of the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceFact {
    pub id: u128,
    pub interface: Rc<LocalInterface>,
}

/// Who has an address in the physical network that a switch meets here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NeighbourFact {
    pub ls: Name,
    pub ip: IpAddr,
    pub mac: [u8; 6],
}

/// A bridge that patch ports may lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BridgeFact {
    pub name: String,
    /// The largest IP packet that gets out of it.
    pub mtu: u32,
}

/// A session of BFD that was up, and that the other end did not take back: while it is down, the tunnel is dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionFact {
    pub kind: EncapKind,
    pub remote: IpAddr,
}

/// A tunnel port of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelFact {
    pub kind: EncapKind,
    /// `None`: the flow-based port, by which all packets leave. An address: the port with BFD to that end point, by which packets of it come in.
    pub remote: Option<IpAddr>,
    pub ofport: u32,
}

/// The host's own IP stack takes what is for the outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UntunnelFact {
    pub ofport: u32,
    pub mac: [u8; 6],
    pub ipv4: bool,
    pub ipv6: bool,
}

impl UntunnelFact {
    /// Whether it takes packets for such an address.
    pub fn takes(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// A fact that the store tells. One pointer, as an agent holds tens of thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Ls(Ls),
    Lr(Lr),
    Lsp(Lsp),
    Lrp(Lrp),
    Lsr(Lsr),
    Lnat(Lnat),
    Chassis(Chassis),
    Binding(Binding),
}

impl Fact {
    /// The fact that an object of the store tells. `None` if the key is of another kind than the object.
    pub fn new(key: Key, object: tuplenet_model::object::Object, created: i64) -> Option<Self> {
        use tuplenet_model::object::Object;
        fn stored<N: Hash, T: Hash>(name: N, value: T, created: i64) -> Shared<Stored<N, T>> {
            Shared::new(Stored { name, value, created })
        }
        Some(match (key, object) {
            (Key::Ls(name), Object::Ls(LogicalSwitch { id, flood, mtu, .. })) => {
                Fact::Ls(stored(name, LsFact { id, flood, mtu }, created))
            }
            (Key::Lr(name), Object::Lr(LogicalRouter { id, chassis, ecmp_hash, .. })) => {
                Fact::Lr(stored(name, LrFact { id, chassis, selection: Selection::of(&ecmp_hash) }, created))
            }
            (Key::Lsp(ls, lsp), Object::Lsp(SwitchPort { port_id, mac, ips, peer, patch, .. })) => {
                let peer = peer.map(|p| Box::new((p.lr, p.lrp)));
                let mac = mac.map(|mac| mac.0).unwrap_or_default();
                let fact = LspFact { port: port_id, mac, ips: ips.into(), peer, patch: patch.map(Box::new) };
                Fact::Lsp(stored((ls, lsp), fact, created))
            }
            (Key::Lrp(lr, lrp), Object::Lrp(RouterPort { port_id, mac, nets, peer, .. })) => {
                let peer = peer.map(|p| (p.ls, p.lsp));
                let number = register::router_port(&lrp, port_id);
                Fact::Lrp(stored((lr, lrp), LrpFact { number, mac: mac.0, nets: nets.into(), peer }, created))
            }
            (Key::Lsr(lr, lsr), Object::Lsr(StaticRoute { prefix, next_hop, outport, .. })) => {
                Fact::Lsr(stored((lr, lsr), LsrFact { prefix, next_hop, outport }, created))
            }
            (Key::Lnat(lr, name), Object::Lnat(rule)) => {
                let rule = NatRule { meta: entity::Meta::default(), ..rule };
                Fact::Lnat(stored((lr, name), LnatFact(rule), created))
            }
            (Key::Chassis(name), Object::Chassis(entity::Chassis { encaps, mtu, .. })) => {
                Fact::Chassis(Shared::new(ChassisFact { name, encaps: encaps.into(), mtu }))
            }
            (Key::Binding(ls, lsp), Object::Binding(binding)) => {
                let (chassis, generation) = (binding.chassis, binding.generation);
                Fact::Binding(Shared::new(BindingFact { lsp: (ls, lsp), chassis, generation }))
            }
            _ => return None,
        })
    }
}

/// What tells a fact from all others: its kind, its name, its parent's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity<'a>(u8, &'a str, &'a str);

impl<'a> Identity<'a> {
    /// Of the fact that an object under this key tells.
    pub fn of_key(key: &'a Key) -> Self {
        match key {
            Key::Ls(name) => Self(0, name, ""),
            Key::Lr(name) => Self(1, name, ""),
            Key::Lsp(parent, name) => Self(2, name, parent),
            Key::Lrp(parent, name) => Self(3, name, parent),
            Key::Lsr(parent, name) => Self(4, name, parent),
            Key::Chassis(name) => Self(5, name, ""),
            Key::Binding(parent, name) => Self(6, name, parent),
            Key::Lnat(parent, name) => Self(7, name, parent),
        }
    }

    /// Of a switch's port.
    pub fn of_port(port: &'a Lsp) -> Self {
        Self(2, &port.name.1, &port.name.0)
    }

    /// Of a binding.
    pub fn of_binding(binding: &'a Binding) -> Self {
        Self(6, &binding.lsp.1, &binding.lsp.0)
    }
}

impl From<Lsp> for Fact {
    fn from(port: Lsp) -> Self {
        Fact::Lsp(port)
    }
}

impl From<Binding> for Fact {
    fn from(binding: Binding) -> Self {
        Fact::Binding(binding)
    }
}

impl Fact {
    /// Equal to that of the key that it came under.
    pub fn identity(&self) -> Identity<'_> {
        match self {
            Fact::Ls(f) => Identity(0, &f.name, ""),
            Fact::Lr(f) => Identity(1, &f.name, ""),
            Fact::Lsp(f) => Identity::of_port(f),
            Fact::Lrp(f) => Identity(3, &f.name.1, &f.name.0),
            Fact::Lsr(f) => Identity(4, &f.name.1, &f.name.0),
            Fact::Chassis(f) => Identity(5, &f.name, ""),
            Fact::Binding(f) => Identity::of_binding(f),
            Fact::Lnat(f) => Identity(7, &f.name.1, &f.name.0),
        }
    }
}
