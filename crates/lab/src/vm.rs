//! A guest: a network namespace whose `eth0` is plugged into its host's `br-int`.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context, Result, ensure};

use crate::{Host, netns::Netns};

/// What a guest is to be.
#[derive(Clone, Debug)]
pub struct VmSpec {
    name: String,
    iface_id: String,
    mac: Option<String>,
    addresses: Vec<String>,
    gateways: Vec<String>,
    mtu: u32,
}

impl VmSpec {
    /// A guest with this name, which is also its `iface-id`.
    pub fn new(name: &str) -> VmSpec {
        VmSpec {
            name: name.to_owned(),
            iface_id: name.to_owned(),
            mac: None,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mtu: 1500,
        }
    }

    /// The logical switch port that it is plugged into, when that has another name.
    pub fn iface_id(mut self, iface_id: &str) -> VmSpec {
        iface_id.clone_into(&mut self.iface_id);
        self
    }

    /// Its MAC; left out, it is `f2:01` and the four bytes of its first IPv4 address.
    pub fn mac(mut self, mac: &str) -> VmSpec {
        self.mac = Some(mac.to_owned());
        self
    }

    /// An address with the length of its network, like `10.1.0.2/24` or `fd00::2/64`.
    pub fn address(mut self, address: &str) -> VmSpec {
        self.addresses.push(address.to_owned());
        self
    }

    /// A default route.
    pub fn gateway(mut self, gateway: &str) -> VmSpec {
        self.gateways.push(gateway.to_owned());
        self
    }

    /// The MTU of its `eth0`, bytes; 1500 when not set, which fits the lab's tunnels.
    pub fn mtu(mut self, mtu: u32) -> VmSpec {
        self.mtu = mtu;
        self
    }

    fn ips(&self) -> Result<Vec<IpAddr>> {
        let parse = |text: &String| {
            let (ip, _) = text.split_once('/').with_context(|| format!("`{text}` has no /LENGTH"))?;
            ip.parse().with_context(|| format!("`{text}` is no address"))
        };
        self.addresses.iter().map(parse).collect()
    }
}

/// A guest of a lab. Clones are the same guest.
#[derive(Clone, Debug)]
pub struct Vm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: Host,
    name: String,
    netns: Netns,
    device: String,
    iface_id: String,
    mac: String,
    ips: Vec<IpAddr>,
}

/// Makes guests on a host; see [`Host::vms`].
pub(crate) fn create(host: &Host, specs: &[VmSpec]) -> Result<Vec<Vm>> {
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    host.ensure_br_int()?;
    let host_netns = host.netns()?;
    let devices = host.devices(specs.iter().map(|spec| &spec.name));
    let names: Vec<String> =
        specs.iter().map(|spec| format!("{}-{}-{}", host.lab().id, host.name(), spec.name)).collect();
    let namespaces = Netns::create(&host.lab().registry, &names)?;

    let mut vms = Vec::new();
    let (mut cables, mut plug) = (String::new(), Vec::new());
    for ((spec, device), netns) in specs.iter().zip(devices).zip(namespaces) {
        let ips = spec.ips().with_context(|| format!("the guest {}", spec.name))?;
        let mac = spec.mac.clone().or_else(|| derived_mac(&ips));
        let mac =
            mac.with_context(|| format!("the guest {} has no MAC, and no IPv4 address to make one", spec.name))?;
        let (mtu, guest) = (spec.mtu, netns.name());
        cables += &format!(
            "link add {device} mtu {mtu} type veth peer name eth0 address {mac} mtu {mtu} netns {guest}\n\
             link set {device} up\n"
        );
        if !plug.is_empty() {
            plug.push("--".to_owned());
        }
        plug.extend(
            ["--may-exist", "add-port", "br-int", &device, "--", "set", "Interface", &device].map(str::to_owned),
        );
        plug.extend([
            format!("external_ids:iface-id={}", spec.iface_id),
            format!("external_ids:vm-name={}", spec.name),
        ]);
        let (name, iface_id) = (spec.name.clone(), spec.iface_id.clone());
        vms.push(Vm { inner: Arc::new(Inner { host: host.clone(), name, netns, device, iface_id, mac, ips }) });
    }
    host_netns.ip(&cables)?;
    for (vm, spec) in vms.iter().zip(specs) {
        vm.configure(spec).with_context(|| format!("the guest {}", spec.name))?;
    }
    // Plugged in last: when its port appears to the agent, the guest is ready to talk.
    host.vsctl(&plug)?;
    Ok(vms)
}

fn derived_mac(ips: &[IpAddr]) -> Option<String> {
    ips.iter().find_map(|ip| match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            Some(format!("f2:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}"))
        }
        IpAddr::V6(_) => None,
    })
}

impl Vm {
    fn configure(&self, spec: &VmSpec) -> Result<()> {
        let netns = self.netns();
        // An address under duplicate detection does not answer for seconds, and nobody here duplicates by accident.
        netns.sysctl("net/ipv6/conf/eth0/accept_dad", "0")?;
        netns.sysctl("net/ipv6/conf/eth0/router_solicitations", "0")?;
        // Linux tells one peer of six undeliverable packets at once, and then of one a second: a ping whose first answer is late uses up what the next one waits for.
        netns.sysctl("net/ipv4/icmp_ratelimit", "0")?;
        netns.sysctl("net/ipv6/icmp/ratelimit", "0")?;
        let mut lines = "link set lo up\n".to_owned();
        for address in &spec.addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            lines += &format!("address add {address} dev eth0{nodad}\n");
        }
        lines += "link set eth0 up\n";
        for gateway in &spec.gateways {
            lines += &format!("route add default via {gateway} dev eth0\n");
        }
        netns.ip(&lines)?;
        // Checksums left to hardware that is not there: the userspace datapath would pass them on unfinished, and TCP
        // would never connect although ping works.
        netns.run(&["ethtool", "-K", "eth0", "tx", "off"]).map(drop)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its host.
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Netns {
        &self.inner.netns
    }

    /// The host's end of its cable, which is its port on `br-int`.
    pub fn device(&self) -> &str {
        &self.inner.device
    }

    /// The `iface-id` with which it was made.
    pub fn iface_id(&self) -> &str {
        &self.inner.iface_id
    }

    /// The MAC with which it was made.
    pub fn mac(&self) -> &str {
        &self.inner.mac
    }

    /// The addresses with which it was made.
    pub fn ips(&self) -> &[IpAddr] {
        &self.inner.ips
    }

    /// The first IPv4 address, as text.
    ///
    /// # Errors
    /// It has none.
    pub fn ipv4(&self) -> Result<String> {
        let found = self.ips().iter().find(|ip| ip.is_ipv4());
        found.map(ToString::to_string).with_context(|| format!("the guest {} has no IPv4 address", self.name()))
    }

    /// The first IPv6 address, as text.
    ///
    /// # Errors
    /// It has none.
    pub fn ipv6(&self) -> Result<String> {
        let found = self.ips().iter().find(|ip| ip.is_ipv6());
        found.map(ToString::to_string).with_context(|| format!("the guest {} has no IPv6 address", self.name()))
    }

    /// The OpenFlow number of its port.
    ///
    /// # Errors
    /// It is unplugged, or OVS could not make the port.
    pub fn ofport(&self) -> Result<u32> {
        self.host().ofport(self.device())
    }

    /// Runs a short command inside.
    ///
    /// # Errors
    /// As for [`crate::command::run`].
    pub fn run<S: AsRef<str>>(&self, argv: &[S]) -> Result<String> {
        self.netns().run(argv)
    }

    /// Changes its port's `iface-id`.
    ///
    /// # Errors
    /// It is unplugged.
    pub fn set_iface_id(&self, iface_id: &str) -> Result<()> {
        self.host().vsctl(&["set", "Interface", self.device(), &format!("external_ids:iface-id={iface_id}")]).map(drop)
    }

    /// Takes its port off `br-int`; [`Vm::plug`] puts it back.
    ///
    /// # Errors
    /// It is unplugged already.
    pub fn unplug(&self) -> Result<()> {
        self.host().vsctl(&["del-port", "br-int", self.device()]).map(drop)
    }

    /// Puts its port on `br-int` (again), with this `iface-id`.
    ///
    /// # Errors
    /// OVS refuses it.
    pub fn plug(&self, iface_id: &str) -> Result<()> {
        let device = self.device();
        let id = format!("external_ids:iface-id={iface_id}");
        self.host().vsctl(&["add-port", "br-int", device, "--", "set", "Interface", device, &id]).map(drop)
    }

    /// Gives it another address in place of one that it has, each with its length; IPv4 or IPv6.
    ///
    /// # Errors
    /// It does not have the old one.
    pub fn readdress(&self, old: &str, new: &str) -> Result<()> {
        ensure!(old.contains(':') == new.contains(':'), "{old} and {new} are of different families");
        let nodad = if new.contains(':') { " nodad" } else { "" };
        self.netns().ip(&format!("address del {old} dev eth0\naddress add {new} dev eth0{nodad}\n"))
    }
}
