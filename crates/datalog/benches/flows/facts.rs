//! The network that both engines derive flows for, and what can happen to it.

/// Port: id, switch, IPv4 address, MAC.
pub type Port = (u32, u32, u32, u64);
/// Flow: table, priority, two words of match, one of action.
pub type Flow = (u16, u16, u64, u64, u32);

/// One row of one input.
#[derive(Clone, Copy, Debug)]
pub enum Fact {
    /// Chassis and its tunnel address.
    Chassis(u32, u32),
    Port(Port),
    /// Port and the chassis that hosts it.
    Binding(u32, u32),
    /// Two datapaths that are joined; a router's number is above [`ROUTER`].
    Link(u32, u32),
    /// Router, prefix, length, next hop.
    Route(u32, u32, u32, u32),
    /// Router, outer and inner address.
    Nat(u32, u32, u32),
    /// Group and port.
    Member(u32, u32),
    /// Group, number of the rule, destination port.
    Acl(u32, u32, u32),
    /// A port of this host and its OpenFlow number.
    Local(u32, u32),
}

/// Numbers of routers start here, so that switches and routers are one kind of node.
pub const ROUTER: u32 = 1_000_000;
pub const CHASSIS: u32 = 2_000;
pub const PORTS: u32 = 20_000;
pub const SWITCHES: u32 = 500;
pub const ROUTERS: u32 = 100;
pub const GROUPS: u32 = 200;
pub const LOCALS: u32 = 10;
/// Ports that are in five groups instead of one: the local ones, and those that are bound as the benchmark goes.
pub const BUSY: u32 = 40;
/// The group of the mark: it has this many members and [`LARGE_RULES`] rules.
pub const LARGE: u32 = 10_000;
pub const LARGE_RULES: u32 = 1_000;

pub fn port(id: u32) -> Port {
    let switch = id % SWITCHES;
    (id, switch, 0x0a00_0000 | switch << 8 | (id / SWITCHES + 2), 0x0200_0000_0000 | u64::from(id))
}

/// The whole network: all of it can be reached from the local ports.
pub fn network() -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend((0..CHASSIS).map(|id| Fact::Chassis(id, 0xac10_0000 + id)));
    facts.extend((0..PORTS).map(|id| Fact::Port(port(id))));
    facts.extend((0..PORTS).map(|id| Fact::Binding(id, id % CHASSIS)));
    facts.extend((0..SWITCHES).map(|id| Fact::Link(id, ROUTER + id % ROUTERS)));
    facts.extend((1..ROUTERS).map(|id| Fact::Link(ROUTER, ROUTER + id)));
    facts.extend((0..2_000).map(|n| Fact::Route(ROUTER + n % ROUTERS, 0x1400_0000 + (n << 8), 24, 0x0a00_0001 + n)));
    facts.extend((0..2_000).map(|n| Fact::Nat(ROUTER + n % ROUTERS, 0x3000_0000 + n, 0x0a00_0000 + n)));
    facts.extend((0..PORTS).map(|id| Fact::Member(id % GROUPS, id)));
    facts.extend((0..BUSY).flat_map(|id| (1..5).map(move |n| Fact::Member((id + 40 * n) % GROUPS, id))));
    facts.extend((0..GROUPS).flat_map(|group| (0..4).map(move |n| Fact::Acl(group, n, 8_000 + n))));
    facts.extend((0..LOCALS).map(|id| Fact::Local(id, 100 + id)));
    facts
}

/// The facts of the large group.
pub fn large_group() -> Vec<Fact> {
    let rules = (0..LARGE_RULES).map(|n| Fact::Acl(LARGE, n, n));
    rules.chain((0..LARGE).map(|n| Fact::Member(LARGE, 1_000 + n))).collect()
}
