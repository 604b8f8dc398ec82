//! A physical network: a switch with VLANs that knows nothing of ours, cables from it to hosts' bridges, and plain machines on it.
//!
//! The switch is a bridge of a further Open vSwitch that learns MAC addresses and nothing else: Linux' own bridge knows VLANs on some kernels only.

use anyhow::{Context, Result, ensure};

use crate::{Host, Lab, Vm, VmSpec, lab::UNDERLAY_MTU, netns::Netns};

/// The interface of a host that is cabled to the switch.
const CARD: &str = "eth-ext";
/// Linux' numbers of the switch's ports begin here, above what hosts' devices have.
const FIRST_NUMBER: u32 = 10_000;

/// The switch. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Physical {
    switch: Host,
}

impl Lab {
    /// Makes a physical switch without cables.
    ///
    /// # Errors
    /// As for [`Lab::host`].
    pub fn physical(&self, name: &str) -> Result<Physical> {
        let switch = self.host(name)?;
        switch.ensure_br_int()?;
        switch.add_flows("br-int", "actions=NORMAL")?;
        Ok(Physical { switch })
    }
}

impl Physical {
    /// The host that is the switch: its `br-int` forwards by learned MAC addresses.
    pub fn switch(&self) -> &Host {
        &self.switch
    }

    /// The switch's port to a host. It carries untagged frames and all VLANs.
    pub fn port(host: &Host) -> String {
        format!("x{}", host.number())
    }

    /// Gives a host a network card on this switch, on a bridge of that name, which is made if there is none.
    ///
    /// # Errors
    /// The host has such a card, or OVS refuses the bridge.
    pub fn cable(&self, host: &Host, bridge: &str) -> Result<()> {
        let port = Self::port(host);
        let switch = self.switch.netns()?.name();
        // With one number at both ends Linux takes a change of the link for nothing urgent (linkwatch_urgent_event), and tells of it up to a second later where links of
        // other tests have just changed.
        let number = FIRST_NUMBER + u32::from(host.number());
        host.netns()?.ip(&format!(
            "link add {CARD} mtu {UNDERLAY_MTU} type veth peer name {port} index {number} netns {switch} mtu {UNDERLAY_MTU}\nlink set {CARD} up\n"
        ))?;
        self.switch.netns()?.ip(&format!("link set {port} up\n"))?;
        self.switch.vsctl(&["add-port", "br-int", &port])?;
        self.bridge(host, bridge)
    }

    /// Makes the bridge with the host's network card (again).
    ///
    /// # Errors
    /// The host has no card on this switch; OVS refuses it.
    pub fn bridge(&self, host: &Host, bridge: &str) -> Result<()> {
        let make = ["--may-exist", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"];
        host.vsctl(&[&make[..], &["--", "--may-exist", "add-port", bridge, CARD]].concat()).map(drop)
    }

    /// Cuts the cable to a host, or joins it again.
    ///
    /// # Errors
    /// There is no such cable.
    pub fn carrier(&self, host: &Host, up: bool) -> Result<()> {
        let port = Self::port(host);
        self.switch.netns()?.ip(&format!("link set {port} {}\n", if up { "up" } else { "down" }))
    }

    /// A machine on the switch, in a VLAN or untagged. It is no guest of ours: nobody knows its MAC and addresses.
    ///
    /// # Errors
    /// As for [`Host::vm`].
    pub fn machine(&self, spec: &VmSpec, vlan: Option<u16>) -> Result<Vm> {
        let machine = self.switch.vm(spec)?;
        // A port without a tag is a trunk; VLAN 0 stands for untagged frames.
        let membership = vlan.map_or_else(|| "trunks=0".to_owned(), |vlan| format!("tag={vlan}"));
        self.switch.vsctl(&["set", "Port", machine.device(), &membership])?;
        Ok(machine)
    }

    /// Gives a machine another network card, `device`, in a VLAN or untagged, as a router has.
    ///
    /// # Errors
    /// It has a card of that name; OVS refuses the port.
    pub fn card(&self, machine: &Vm, device: &str, vlan: Option<u16>) -> Result<()> {
        let name = format!("{}-{device}", machine.name());
        let port = self.switch.devices([&name].into_iter()).pop().context("no name for a port")?;
        let guest = machine.netns().name();
        self.switch
            .netns()?
            .ip(&format!("link add {port} type veth peer name {device} netns {guest}\nlink set {port} up\n"))?;
        machine.netns().sysctl(&format!("net/ipv6/conf/{device}/accept_dad"), "0")?;
        machine.netns().ip(&format!("link set {device} up\n"))?;
        // As for a guest's `eth0`: nobody would finish the checksums.
        machine.run(&["ethtool", "-K", device, "tx", "off"])?;
        let membership = vlan.map_or_else(|| "trunks=0".to_owned(), |vlan| format!("tag={vlan}"));
        self.switch.vsctl(&["add-port", "br-int", &port, &membership]).map(drop)
    }

    /// The port of the switch at which it learned a MAC, or `None`.
    ///
    /// # Errors
    /// OVS does not answer.
    pub fn learned(&self, mac: &str) -> Result<Option<String>> {
        let table = self.switch.appctl(&["fdb/show", "br-int"])?;
        let Some(line) = table.lines().find(|line| line.contains(mac)) else { return Ok(None) };
        let number = line.split_whitespace().next().context("a line of fdb/show is empty")?;
        let found = self.switch.vsctl(&[
            "--bare",
            "--no-headings",
            "--columns=name",
            "find",
            "Interface",
            &format!("ofport={number}"),
        ])?;
        // Numbers are those of a bridge, and this one's ports begin like no other's.
        let ports: Vec<&str> = found.split_whitespace().filter(|name| name.starts_with(['x', 'v'])).collect();
        ensure!(ports.len() == 1, "{number} is the number of {ports:?}");
        Ok(ports.first().map(|port| (*port).to_owned()))
    }

    /// Forgets what it learned.
    ///
    /// # Errors
    /// OVS does not answer.
    pub fn forget(&self) -> Result<()> {
        self.switch.appctl(&["fdb/flush", "br-int"]).map(drop)
    }

    /// The namespace of the switch.
    ///
    /// # Errors
    /// None in practice: it is no dummy host.
    pub fn netns(&self) -> Result<&Netns> {
        self.switch.netns()
    }
}
