//! A host: a network namespace with an Open vSwitch of its own, a port on the underlay and one on the management network.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    Process, Vm, VmSpec,
    lab::{self, GATEWAY, MANAGEMENT, UNDERLAY, UNDERLAY_MTU, address},
    lock::locked,
    netns::Netns,
    ovs::{self, Ovs},
    vm,
    wait::wait_until,
};

/// A host of a lab. Clones are the same host.
///
/// ```text
///   VM eth0 --- br-int --- (tunnel port) ... br-phy [LOCAL has the tunnel's IP] --- eth-under --- u<n> on br0 of the underlay
///   eth-mgmt ------------------------------------------------------------------------------------ m<n>, routed, of management
/// ```
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lab: Arc<lab::Inner>,
    name: String,
    number: u8,
    directory: PathBuf,
    netns: Option<Netns>,
    ovs: Mutex<Option<Arc<Ovs>>>,
    devices: Mutex<Vec<String>>,
}

impl Host {
    pub(crate) fn create(lab: &Arc<lab::Inner>, name: &str, dummy: bool) -> Result<Host> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        ensure!(!name.is_empty() && name.len() <= 20 && name.chars().all(plain), "`{name}` is no name for a host");
        let host = {
            let mut hosts = locked(&lab.hosts);
            ensure!(hosts.iter().all(|host| host.name() != name), "this lab has a host {name} already");
            let inner = Inner {
                lab: lab.clone(),
                name: name.to_owned(),
                number: lab::Inner::next_number(&hosts)?,
                directory: lab.directory.join(name),
                netns: (!dummy).then(|| Netns::named(&format!("{}-{name}", lab.id))),
                ovs: Mutex::default(),
                devices: Mutex::default(),
            };
            let host = Host { inner: Arc::new(inner) };
            hosts.push(host.clone());
            host
        };
        host.start().with_context(|| format!("cannot make the host {name}"))?;
        Ok(host)
    }

    fn start(&self) -> Result<()> {
        let Inner { lab, netns, directory, name, .. } = &*self.inner;
        if let Some(netns) = netns {
            Netns::create(&lab.registry, &[netns.name().to_owned()])?;
            self.wire(netns)?;
        }
        let ovs = Ovs::start(lab, name, directory, netns.clone())?;
        *locked(&self.inner.ovs) = Some(Arc::new(ovs));
        if netns.is_some() {
            // The tunnel's IP belongs on the LOCAL port of a bridge of the same vswitchd that holds the underlay port:
            // OVS looks for the way out of a tunnel in its own route table, and for a port of its own there.
            self.vsctl(&[
                "add-br",
                "br-phy",
                "--",
                "set",
                "Bridge",
                "br-phy",
                "datapath_type=netdev",
                &format!("other-config:hwaddr={}", self.underlay_mac()),
                "--",
                "set",
                "Interface",
                "br-phy",
                &format!("mtu_request={UNDERLAY_MTU}"),
                "--",
                "add-port",
                "br-phy",
                "eth-under",
            ])?;
            self.address_underlay()?;
        }
        Ok(())
    }

    /// Cables to the two networks.
    fn wire(&self, netns: &Netns) -> Result<()> {
        let number = self.inner.number;
        let (management, gateway) = (self.management_ip(), address(MANAGEMENT, GATEWAY));
        let [x, y, z] = MANAGEMENT;
        // Nothing here needs IPv6 but guests, and its router solicitations and multicast reports are noise. A test of an
        // IPv6 underlay sets net/ipv6/conf/br-phy/disable_ipv6 to 0.
        netns.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        netns.ip(&format!(
            "link set lo up\n\
             link add eth-under mtu {UNDERLAY_MTU} type veth peer name u{number} netns {underlay} mtu {UNDERLAY_MTU}\n\
             link add eth-mgmt type veth peer name m{number} netns {mgmt}\n\
             address add {management}/32 dev eth-mgmt\n\
             link set eth-under up\n\
             link set eth-mgmt up\n\
             route add {x}.{y}.{z}.0/24 via {gateway} dev eth-mgmt onlink\n",
            underlay = self.inner.lab.underlay.name(),
            mgmt = self.inner.lab.management.name(),
        ))?;
        // The card belongs to Open vSwitch's bridge, but the kernel sees its packets too, and would answer ARP for br-phy's address with
        // the card's MAC: whoever believes that sends tunnels to a MAC by which Open vSwitch does not know them (ip-sysctl: 8, for no address).
        netns.sysctl("net/ipv4/conf/eth-under/arp_ignore", "8")?;
        self.inner.lab.underlay.ip(&format!("link set u{number} master br0 up\n"))?;
        self.inner.lab.management.ip(&format!(
            "link set m{number} up\n\
             route add {management}/32 dev m{number} src {gateway}\n"
        ))
    }

    /// Waits until the underlay passes this host's packets.
    ///
    /// A bridge hears of a port's carrier up to a second late, and drops what comes before: packets, and whole seconds
    /// of a TCP connection, that a test would count as lost by the product.
    pub(crate) fn wait_underlay(&self) -> Result<()> {
        if self.inner.netns.is_none() {
            return Ok(());
        }
        let port = format!("u{}", self.inner.number);
        wait_until(&format!("the underlay's port {port} to forward"), Duration::from_secs(10), || {
            let state = self.inner.lab.underlay.run(&["bridge", "link", "show", "dev", &port])?;
            ensure!(state.contains("state forwarding"), "{}", state.trim());
            Ok(())
        })
    }

    /// Cuts the cable to the underlay, as when the power fails, or joins it again and waits until it passes packets.
    ///
    /// # Errors
    /// It is a dummy host, which has none.
    pub fn underlay_carrier(&self, up: bool) -> Result<()> {
        self.netns()?;
        let state = if up { "up" } else { "down" };
        self.inner.lab.underlay.ip(&format!("link set u{} {state}\n", self.inner.number))?;
        if up { self.wait_underlay() } else { Ok(()) }
    }

    /// Gives `br-phy` its address and Open vSwitch its route, and makes this host and all others know each other's MAC.
    ///
    /// A tunnel's first packet to a host whose MAC OVS does not know is lost; tests that count losses want none of that.
    fn address_underlay(&self) -> Result<()> {
        let netns = self.netns()?;
        ovs::wait_device(netns, "br-phy")?;
        netns.ip(&format!("address replace {}/24 dev br-phy\nlink set br-phy up\n", self.encap_ip()))?;
        let [x, y, z] = UNDERLAY;
        // Refused until Open vSwitch itself has seen the address.
        let add = || self.appctl(&["ovs/route/add", &format!("{x}.{y}.{z}.0/24"), "br-phy"]);
        wait_until("Open vSwitch to take its route", Duration::from_secs(10), add)?;
        let others = locked(&self.inner.lab.hosts).clone();
        for other in others.iter().filter(|other| other.number() != self.number() && other.inner.netns.is_some()) {
            if let Ok(their) = other.ovs() {
                let _ = their.appctl(&["tnl/neigh/set", "br-phy", &self.encap_ip().to_string(), &self.underlay_mac()]);
            }
            let ip = other.encap_ip().to_string();
            self.appctl(&["tnl/neigh/set", "br-phy", &ip, &other.underlay_mac()])?;
        }
        Ok(())
    }

    /// Its name, which is also its OVS `system-id`: the chassis's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its number in the lab, from 1: the last byte of its addresses.
    pub fn number(&self) -> u8 {
        self.inner.number
    }

    /// Its address on the underlay: the value for `--encap-ip`.
    pub fn encap_ip(&self) -> Ipv4Addr {
        address(UNDERLAY, self.inner.number)
    }

    /// The MAC of its address on the underlay.
    pub fn underlay_mac(&self) -> String {
        format!("02:a0:00:00:00:{:02x}", self.inner.number)
    }

    /// Its address on the management network.
    pub fn management_ip(&self) -> Ipv4Addr {
        address(MANAGEMENT, self.inner.number)
    }

    /// Where its files are: `run`, `db`, `log`.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Its network namespace.
    ///
    /// # Errors
    /// It is a dummy host, which has none.
    pub fn netns(&self) -> Result<&Netns> {
        self.inner.netns.as_ref().with_context(|| format!("{} is a dummy host, without a network", self.name()))
    }

    pub(crate) fn lab(&self) -> &Arc<lab::Inner> {
        &self.inner.lab
    }

    fn ovs(&self) -> Result<Arc<Ovs>> {
        locked(&self.inner.ovs).clone().with_context(|| format!("{} has no Open vSwitch yet", self.name()))
    }

    /// The socket of its ovsdb-server (for agents: `--ovsdb unix:PATH`).
    pub fn ovsdb_socket(&self) -> PathBuf {
        self.inner.directory.join("run/db.sock")
    }

    /// The OpenFlow socket of its `br-int` (for agents: `--of unix:PATH`).
    pub fn of_socket(&self) -> PathBuf {
        self.inner.directory.join("run/br-int.mgmt")
    }

    /// Runs `ovs-vsctl` on it.
    ///
    /// # Errors
    /// It fails, or vswitchd does not follow within 20 seconds.
    pub fn vsctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        self.ovs()?.vsctl(arguments)
    }

    /// Runs `ovs-ofctl -O OpenFlow15` on it.
    ///
    /// # Errors
    /// It fails: its words.
    pub fn ofctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        self.ovs()?.ofctl(arguments, "")
    }

    /// Adds flows, in the text of ovs-ofctl, one a line, in one bundle.
    ///
    /// # Errors
    /// OVS refuses one: its words.
    pub fn add_flows(&self, bridge: &str, flows: &str) -> Result<()> {
        self.ovs()?.ofctl(&["--bundle", "add-flows", bridge, "-"], flows).map(drop)
    }

    /// Does what `ovs-appctl -t ovs-vswitchd` does.
    ///
    /// # Errors
    /// It fails: its words.
    pub fn appctl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        self.ovs()?.appctl(arguments)
    }

    /// Waits until packets meet what the flow tables hold now: Open vSwitch forwards by a cache, which follows a changed table by and by, on a busy machine a second later.
    ///
    /// # Errors
    /// vswitchd is down, or busy for half a minute.
    pub fn wait_cache(&self) -> Result<()> {
        // The first round may have begun before the change.
        for _ in 0..2 {
            self.appctl(&["revalidator/wait"])?;
        }
        Ok(())
    }

    /// The path of a packet through `br-int`, as `ofproto/trace` tells it.
    ///
    /// # Errors
    /// The description of the packet is refused.
    pub fn trace(&self, packet: &str) -> Result<String> {
        self.appctl(&["ofproto/trace", "br-int", packet])
    }

    /// The flows of `br-int`, one a line, without statistics, in a stable order.
    ///
    /// # Errors
    /// There is no `br-int`, or vswitchd is down.
    pub fn flows(&self) -> Result<Vec<String>> {
        let text = self.ofctl(&["--no-stats", "--sort", "dump-flows", "br-int"])?;
        Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }

    /// The OpenFlow number of an interface.
    ///
    /// # Errors
    /// There is no such interface, or OVS could not make it (with OVS's reason).
    pub fn ofport(&self, interface: &str) -> Result<u32> {
        let text = self.vsctl(&["get", "Interface", interface, "ofport", "error"])?;
        let (number, error) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
        number.parse().with_context(|| format!("{interface} on {} has no port: {error}", self.name()))
    }

    /// Its ovs-vswitchd.
    ///
    /// # Errors
    /// It was never started.
    pub fn vswitchd(&self) -> Result<Process> {
        Ok(self.ovs()?.vswitchd())
    }

    /// Its ovsdb-server.
    ///
    /// # Errors
    /// It was never started.
    pub fn ovsdb(&self) -> Result<Process> {
        Ok(self.ovs()?.ovsdb())
    }

    /// Starts ovs-vswitchd again after it was ended, and gives `br-phy` its address and neighbours again.
    ///
    /// # Errors
    /// It does not start (with its log).
    pub fn start_vswitchd(&self) -> Result<()> {
        self.ovs()?.start_vswitchd(&self.inner.lab)?;
        if self.inner.netns.is_some() { self.address_underlay() } else { Ok(()) }
    }

    /// Kills ovs-vswitchd and starts it again.
    ///
    /// # Errors
    /// It does not start (with its log).
    pub fn restart_vswitchd(&self) -> Result<()> {
        self.vswitchd()?.kill9()?;
        self.start_vswitchd()
    }

    /// Starts ovsdb-server again after it was ended.
    ///
    /// # Errors
    /// It does not start (with its log).
    pub fn start_ovsdb(&self) -> Result<()> {
        self.ovs()?.start_ovsdb(&self.inner.lab)
    }

    /// Makes `br-int` if there is none, as an agent would: secure, so that it passes nothing without flows.
    ///
    /// # Errors
    /// OVS refuses it.
    pub fn ensure_br_int(&self) -> Result<()> {
        let exists =
            self.vsctl(&["--columns=name", "--format=csv", "--no-headings", "find", "Bridge", "name=br-int"])?;
        if exists.trim().is_empty() {
            let kind = if self.inner.netns.is_some() { "datapath_type=netdev" } else { "datapath_type=system" };
            let make = ["--may-exist", "add-br", "br-int", "--", "set", "Bridge", "br-int", "fail_mode=secure", kind];
            self.vsctl(&make)?;
        }
        Ok(())
    }

    /// Makes a guest.
    ///
    /// # Errors
    /// The name is taken on this host, an address is none, or OVS refuses the port.
    pub fn vm(&self, spec: &VmSpec) -> Result<Vm> {
        self.vms(std::slice::from_ref(spec))?.pop().context("no guest was made")
    }

    /// Makes many guests, with one change of the host's OVSDB.
    ///
    /// # Errors
    /// As for [`Host::vm`]. What was made before the error stays.
    pub fn vms(&self, specs: &[VmSpec]) -> Result<Vec<Vm>> {
        vm::create(self, specs)
    }

    /// Names for the host's ends of guests' cables, at most 15 bytes (`IFNAMSIZ`), none used before.
    pub(crate) fn devices(&self, names: impl Iterator<Item = impl AsRef<str>>) -> Vec<String> {
        let mut used = locked(&self.inner.devices);
        let mut devices = Vec::new();
        for name in names {
            let wanted = format!("v-{}", name.as_ref());
            let fits = wanted.len() <= 15 && !used.contains(&wanted);
            let device = if fits { wanted } else { format!("v~{}", used.len()) };
            used.push(device.clone());
            devices.push(device);
        }
        devices
    }

    /// What is known of it when something goes wrong: ports and flows.
    pub fn state(&self) -> String {
        let said = |result: Result<String>| result.unwrap_or_else(|error| format!("{error:#}"));
        let flows = self.ovs().and_then(|ovs| ovs.ofctl(&["dump-flows", "br-int"], "")).map(|text| {
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains("n_packets=0,")).collect();
            let shown = lines.len().min(60);
            format!(
                "{} flows, {} were used, of these:\n{}",
                text.lines().count(),
                lines.len(),
                lines[..shown].join("\n")
            )
        });
        // What Open vSwitch itself dropped, and what it did meanwhile that may be why.
        let counted = self.appctl(&["coverage/show"]).map(|text| {
            let telling = |line: &&str| ["drop", "route_table", "tnl", "upcall"].iter().any(|word| line.contains(word));
            text.lines().filter(telling).collect::<Vec<_>>().join("\n")
        });
        format!("{}\n{}\n{}", said(self.vsctl(&["--no-wait", "show"])).trim_end(), said(flows), said(counted))
    }
}
