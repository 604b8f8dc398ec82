//! What the agent was told: command line over environment over one TOML file, made into [`Settings`] whose values are checked.
//!
//! One struct, [`Options`], is read by clap (flags and `TUPLENET_*` variables) and by serde (the file, same names in kebab case), so that the
//! three cannot drift apart.

use crate::core::{
    ovs::{Export, Protocol, own_stack::Families},
    probe,
};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tuplenet_model::{
    entity::{Encap, EncapKind},
    mtu::{LEAST_UNDERLAY, MOST_UNDERLAY},
    name::Name,
};

/// Where the embedded store listens when nothing else was said: etcd's own port, on this machine only.
pub const STORE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);
/// Where metrics are served when nothing else was said.
pub const METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);

/// Between two packets of a BFD session, in milliseconds, when nothing else was said, and what may be. Below that Open vSwitch is late by itself.
const BFD_INTERVAL: u64 = 100;
const BFD_INTERVALS: std::ops::RangeInclusive<u64> = 10..=10_000;

/// Between two probes of an address, in milliseconds, when nothing else was said, and what may be.
const PROBE_INTERVAL: u64 = 1_000;
const PROBE_INTERVALS: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Addresses that may be probed.
const MAX_PROBES: usize = 16;

/// The longest time between two audits, in seconds.
const MAX_AUDIT_INTERVAL: u64 = 86_400;

/// Options of `tuplenet agent`, as given; every one of them also in the environment and in the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// The store: comma-separated host:port, each with or without http:// or https://
    #[arg(long, value_name = "URLS", env = "TUPLENET_STORE")]
    pub store: Option<String>,
    /// Prefix of all keys in the store [default: /tuplenet]
    #[arg(long, value_name = "P", env = "TUPLENET_PREFIX")]
    pub prefix: Option<String>,
    /// Address of this host on the underlay, to which other hosts send their tunnels
    #[arg(long, value_name = "IP", env = "TUPLENET_ENCAP_IP")]
    pub encap_ip: Option<IpAddr>,
    /// The longest IP packet that the underlay carries, in bytes, 68 to 65536 [default: the MTU of the device that has --encap-ip]
    #[arg(long, value_name = "BYTES", env = "TUPLENET_UNDERLAY_MTU")]
    pub underlay_mtu: Option<u32>,
    /// Tunnel types, comma-separated, best first: geneve, vxlan, gre [default: geneve]
    #[arg(long, value_name = "TYPES", env = "TUPLENET_ENCAP_TYPE")]
    pub encap_type: Option<String>,
    /// Name of this host [default: external_ids:system-id of Open vSwitch]
    #[arg(long, value_name = "NAME", env = "TUPLENET_CHASSIS")]
    pub chassis: Option<String>,
    /// The database of Open vSwitch: unix:PATH or tcp:IP:PORT [default: unix:$OVS_RUNDIR/db.sock]
    #[arg(long, value_name = "TARGET", env = "TUPLENET_OVSDB")]
    pub ovsdb: Option<String>,
    /// The OpenFlow socket of the bridge [default: unix:BRIDGE.mgmt beside the database's socket]
    #[arg(long, value_name = "TARGET", env = "TUPLENET_OF")]
    pub of: Option<String>,
    /// The integration bridge, made if it is missing [default: br-int]
    #[arg(long, value_name = "BRIDGE", env = "TUPLENET_BRIDGE")]
    pub bridge: Option<String>,
    /// Datapath of the bridge: system or netdev [default: the kernel's if present, else userspace]
    #[arg(long, value_name = "TYPE", env = "TUPLENET_DATAPATH_TYPE")]
    pub datapath_type: Option<String>,
    /// Where to serve metrics for Prometheus: IP:PORT, PORT on 127.0.0.1, or off [default: 127.0.0.1:9477]
    #[arg(long, value_name = "ADDR", env = "TUPLENET_METRICS")]
    pub metrics: Option<String>,
    /// Form of the log: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "TUPLENET_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// What to log: error, warn, info, debug, trace, or directives of tracing [default: info]
    #[arg(long, value_name = "LEVEL", env = "TUPLENET_LOG")]
    pub log: Option<String>,
    /// Seconds between two audits of the switch; 0 for none [default: 60]
    #[arg(long, value_name = "SECONDS", env = "TUPLENET_AUDIT_INTERVAL")]
    pub audit_interval: Option<u64>,
    /// Export flow records by IPFIX: IP[:PORT] of collectors and settings of Open vSwitch's table IPFIX, with commas between them
    #[arg(long, value_name = "TARGET[,sampling=N,...]", env = "TUPLENET_IPFIX")]
    pub ipfix: Option<String>,
    /// Export samples and counters by sFlow: IP[:PORT] of collectors and settings of Open vSwitch's table sFlow, with commas between them
    #[arg(long, value_name = "TARGET[,sampling=N,...]", env = "TUPLENET_SFLOW")]
    pub sflow: Option<String>,
    /// Milliseconds between two packets by which edges and those that use them watch each other, 10 to 10000: after three that are missing the other end is dead [default: 100]
    #[arg(long, value_name = "MS", env = "TUPLENET_BFD_INTERVAL")]
    pub bfd_interval: Option<u64>,
    /// Send what VMs send to the outside through this host's own IP stack instead of the tunnel to an edge: ipv4, ipv6, or both
    #[arg(
        long,
        value_name = "FAMILIES",
        env = "TUPLENET_UNTUNNEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "ipv4,ipv6"
    )]
    pub untunnel: Option<String>,
    /// Addresses outside, with commas between them or each with an option of its own: while none of them answers echo requests, this host is no edge
    #[arg(long, value_name = "IP", env = "TUPLENET_PROBE", value_delimiter = ',')]
    pub probe: Option<Vec<IpAddr>>,
    /// Milliseconds between two echo requests to each of them, 100 to 60000: three without an answer are silence [default: 1000]
    #[arg(long, value_name = "MS", env = "TUPLENET_PROBE_INTERVAL")]
    pub probe_interval: Option<u64>,
    /// Run the embedded store in this process, over this file
    #[arg(long, value_name = "FILE", env = "TUPLENET_WITH_STORE")]
    pub with_store: Option<PathBuf>,
    /// Where the embedded store listens [default: 127.0.0.1:2379]
    #[arg(long, value_name = "ADDR", env = "TUPLENET_STORE_LISTEN")]
    pub store_listen: Option<SocketAddr>,
    /// Certificates (PEM) of the authorities that the store's certificate must come from
    #[arg(long, value_name = "FILE", env = "TUPLENET_CACERT")]
    pub cacert: Option<PathBuf>,
    /// Certificate (PEM) that we show to the store
    #[arg(long, value_name = "FILE", env = "TUPLENET_CERT")]
    pub cert: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", env = "TUPLENET_KEY")]
    pub key: Option<PathBuf>,
    /// User of the store
    #[arg(long, value_name = "NAME", env = "TUPLENET_USER")]
    pub user: Option<String>,
    /// File that holds that user's password
    #[arg(long, value_name = "FILE", env = "TUPLENET_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
}

/// Who we are to the store.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// Files of our side of TLS with the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities, PEM. A store at `https://` needs it: those that the system trusts are not asked.
    pub cacert: Option<PathBuf>,
    /// Our certificate and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which datapath the bridge gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatapathType {
    /// The kernel's if Open vSwitch offers it, else userspace.
    Auto,
    /// The kernel's.
    System,
    /// Userspace.
    Netdev,
    /// None at all: Open vSwitch's own, for tests (`ovs-vswitchd --enable-dummy`).
    Dummy,
}

impl DatapathType {
    /// As Open vSwitch calls it; `None` for [`DatapathType::Auto`].
    pub fn name(self) -> Option<&'static str> {
        match self {
            DatapathType::Auto => None,
            DatapathType::System => Some("system"),
            DatapathType::Netdev => Some("netdev"),
            DatapathType::Dummy => Some("dummy"),
        }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The embedded store, when it runs in our process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedStore {
    /// Its file.
    pub file: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Where metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListen {
    /// Nowhere.
    Off,
    /// Here, and if that cannot be had, nowhere.
    Try(SocketAddr),
    /// Here, as was asked for: not to start is better than not to be seen.
    Must(SocketAddr),
}

/// What the agent runs by, checked.
#[derive(Clone)]
pub struct Settings {
    /// Members of the store.
    pub store: Vec<String>,
    /// Prefix of all keys, without a `/` at its end.
    pub prefix: String,
    /// How other hosts reach us, best first.
    pub encaps: Vec<Encap>,
    /// The address of all of them.
    pub encap_ip: IpAddr,
    /// What the underlay carries, if it was said.
    pub underlay_mtu: Option<u32>,
    /// Our name, if it does not come from Open vSwitch.
    pub chassis: Option<Name>,
    /// Target of the database of Open vSwitch.
    pub ovsdb: String,
    /// Target of the bridge's OpenFlow socket.
    pub of: String,
    /// Name of the bridge.
    pub bridge: String,
    /// Its datapath.
    pub datapath_type: DatapathType,
    /// Where metrics go.
    pub metrics: MetricsListen,
    /// Between two audits; `None` for none.
    pub audit_interval: Option<Duration>,
    /// To whom what passes the bridge is told.
    pub exports: Vec<Export>,
    /// Between two packets of a BFD session, in milliseconds.
    pub bfd_interval: u16,
    /// Addresses outside, one of which must answer.
    pub probe: probe::Wanted,
    /// What leaves by the host's own IP stack.
    pub untunnel: Option<Families>,
    /// The embedded store.
    pub embedded: Option<EmbeddedStore>,
    /// TLS with the store.
    pub tls: Tls,
    /// User of the store.
    pub user: Option<User>,
}

/// How to log; known before the rest, because the rest may have something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Its form.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

impl Options {
    /// Reads the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::from_toml(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Reads the text of a file.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| anyhow!("{}", e.to_string().trim_end()))
    }

    /// Ours, and where we have nothing, that of `other`.
    pub fn or(self, other: Self) -> Self {
        macro_rules! merge {
            ($($field:ident),*) => { Self { $($field: self.$field.or(other.$field)),* } };
        }
        merge!(
            store,
            prefix,
            encap_ip,
            underlay_mtu,
            encap_type,
            chassis,
            ovsdb,
            of,
            bridge,
            datapath_type,
            metrics,
            log_format,
            log,
            audit_interval,
            ipfix,
            sflow,
            bfd_interval,
            probe,
            probe_interval,
            untunnel,
            with_store,
            store_listen,
            cacert,
            cert,
            key,
            user,
            password_file
        )
    }

    /// How to log.
    pub fn logging(&self) -> Result<Logging> {
        let format = match self.log_format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => bail!("--log-format {other}: use text or json"),
        };
        Ok(Logging { format, filter: self.log.clone().unwrap_or_else(|| "info".into()) })
    }

    /// Checks all and fills in what was left out. `rundir` is where Open vSwitch keeps its sockets, `password` what the environment says.
    pub fn settings(self, rundir: &str, password: Option<String>) -> Result<Settings> {
        let embedded =
            self.with_store.map(|file| EmbeddedStore { file, listen: self.store_listen.unwrap_or(STORE_LISTEN) });
        if embedded.is_none() && self.store_listen.is_some() {
            bail!("--store-listen needs --with-store FILE: it is the embedded store that listens");
        }
        let store = match (self.store, &embedded) {
            (Some(urls), _) => urls.split(',').map(str::trim).filter(|u| !u.is_empty()).map(str::to_owned).collect(),
            (None, Some(embedded)) => vec![embedded.listen.to_string()],
            (None, None) => Vec::new(),
        };
        if store.is_empty() {
            bail!(
                "no store: name it with --store host:port[,host:port...], or run the embedded one with --with-store FILE"
            );
        }
        let prefix = self.prefix.unwrap_or_else(|| "/tuplenet".into());
        let prefix = prefix.trim_end_matches('/').to_owned();
        if !prefix.starts_with('/') {
            bail!("--prefix \"{prefix}\": it must begin with / and name something, like /tuplenet");
        }
        let ip = self.encap_ip.context(
            "no --encap-ip: name the address of this host on the underlay, to which other hosts send their tunnels",
        )?;
        if ip.is_unspecified() || ip.is_multicast() {
            bail!("--encap-ip {ip} is no address of a host: use the one that other hosts reach this host by");
        }
        let mtus = LEAST_UNDERLAY..=MOST_UNDERLAY;
        if let Some(mtu) = self.underlay_mtu.filter(|mtu| !mtus.contains(mtu)) {
            bail!("--underlay-mtu {mtu}: use {LEAST_UNDERLAY} to {MOST_UNDERLAY} bytes");
        }
        let encaps = encap_kinds(self.encap_type.as_deref().unwrap_or("geneve"))?
            .into_iter()
            .map(|kind| Encap { kind, ip })
            .collect();
        let chassis = self.chassis.map(|c| c.parse::<Name>().map_err(|e| anyhow!("--chassis: {e}"))).transpose()?;
        let ovsdb = self.ovsdb.unwrap_or_else(|| format!("unix:{rundir}/db.sock"));
        let bridge = self.bridge.unwrap_or_else(|| "br-int".into());
        if bridge.is_empty()
            || bridge.len() > 15
            || !bridge.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            bail!("--bridge \"{bridge}\": a bridge is a network device; use 1 to 15 of A-Z a-z 0-9 . _ -");
        }
        let of = match self.of {
            Some(of) => of,
            None => beside(&ovsdb, &bridge).unwrap_or_else(|| format!("unix:{rundir}/{bridge}.mgmt")),
        };
        let datapath_type = match self.datapath_type.as_deref() {
            None | Some("auto" | "") => DatapathType::Auto,
            Some("system") => DatapathType::System,
            Some("netdev") => DatapathType::Netdev,
            Some("dummy") => DatapathType::Dummy,
            Some(other) => bail!("--datapath-type {other}: use system or netdev"),
        };
        let metrics = match self.metrics.as_deref() {
            None => MetricsListen::Try(METRICS_LISTEN),
            Some("off") => MetricsListen::Off,
            Some(text) => MetricsListen::Must(match text.parse::<u16>() {
                Ok(port) => SocketAddr::new(METRICS_LISTEN.ip(), port),
                Err(_) => text.parse().map_err(|_| anyhow!("--metrics {text}: use IP:PORT, PORT or off"))?,
            }),
        };
        let audit_interval = match self.audit_interval.unwrap_or(60) {
            0 => None,
            seconds @ 1..=MAX_AUDIT_INTERVAL => Some(Duration::from_secs(seconds)),
            seconds => {
                bail!("--audit-interval {seconds}: use up to {MAX_AUDIT_INTERVAL} seconds (a day), or 0 for no audits")
            }
        };
        let bfd_interval = match self.bfd_interval.unwrap_or(BFD_INTERVAL) {
            ms if BFD_INTERVALS.contains(&ms) => u16::try_from(ms).unwrap_or(u16::MAX),
            ms => bail!("--bfd-interval {ms}: use {} to {} milliseconds", BFD_INTERVALS.start(), BFD_INTERVALS.end()),
        };
        let targets: BTreeSet<IpAddr> = self.probe.unwrap_or_default().into_iter().collect();
        if let Some(ip) = targets.iter().find(|ip| ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()) {
            bail!("--probe {ip} is no address of a host outside");
        }
        if targets.len() > MAX_PROBES {
            bail!("--probe: {} addresses; use up to {MAX_PROBES}", targets.len());
        }
        let interval = match self.probe_interval.unwrap_or(PROBE_INTERVAL) {
            ms if PROBE_INTERVALS.contains(&ms) => Duration::from_millis(ms),
            ms => {
                let (least, most) = (PROBE_INTERVALS.start(), PROBE_INTERVALS.end());
                bail!("--probe-interval {ms}: use {least} to {most} milliseconds")
            }
        };
        let probe = probe::Wanted { targets, interval };
        // An option that says nothing, as in an environment file, is none.
        let exports = [(Protocol::Ipfix, self.ipfix), (Protocol::Sflow, self.sflow)];
        let exports =
            exports.into_iter().filter_map(|(protocol, text)| Some((protocol, text?))).filter(|(_, t)| !t.is_empty());
        let exports = exports.map(|(protocol, text)| Export::parse(protocol, &text, ip)).collect::<Result<_>>()?;
        let untunnel = self.untunnel.map(|families| Families::parse(&families)).transpose()?.flatten();
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => bail!("--cert and --key go together: a certificate is nothing without its key"),
        };
        let user = match (self.user, self.password_file, password) {
            (Some(name), Some(file), _) => {
                let password = std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read the password in {}", file.display()))?;
                Some(User { name, password: password.trim_end_matches(['\r', '\n']).to_owned() })
            }
            (Some(name), None, Some(password)) => Some(User { name, password }),
            (Some(name), None, None) => bail!(
                "no password for the user {name} of the store: use --password-file FILE, or TUPLENET_PASSWORD in the environment"
            ),
            (None, Some(_), _) => bail!("--password-file needs --user NAME"),
            (None, None, _) => None,
        };
        let tls = Tls { cacert: self.cacert, identity };
        Ok(Settings {
            store,
            prefix,
            encaps,
            encap_ip: ip,
            underlay_mtu: self.underlay_mtu,
            chassis,
            ovsdb,
            of,
            bridge,
            datapath_type,
            metrics,
            audit_interval,
            exports,
            bfd_interval,
            probe,
            untunnel,
            embedded,
            tls,
            user,
        })
    }
}

fn encap_kinds(text: &str) -> Result<Vec<EncapKind>> {
    let mut kinds = Vec::new();
    for word in text.split(',').map(str::trim) {
        let kind = match word {
            "geneve" => EncapKind::Geneve,
            "vxlan" => EncapKind::Vxlan,
            "gre" => EncapKind::Gre,
            other => bail!("--encap-type \"{other}\": use geneve, vxlan, gre, or several with commas between them"),
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// The management socket of a bridge is made beside the database's socket.
fn beside(ovsdb: &str, bridge: &str) -> Option<String> {
    let dir = Path::new(ovsdb.strip_prefix("unix:")?).parent()?;
    Some(format!("unix:{}", dir.join(format!("{bridge}.mgmt")).display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(toml: &str) -> Options {
        Options::from_toml(toml).unwrap()
    }

    fn settings(toml: &str) -> Result<Settings> {
        options(toml).settings("/run/openvswitch", None)
    }

    fn complaint(toml: &str) -> String {
        match settings(toml) {
            Ok(_) => panic!("accepted: {toml}"),
            Err(e) => format!("{e:#}"),
        }
    }

    const LEAST: &str = "store = \"10.0.0.1:2379, https://etcd2:2379\"\nencap-ip = \"10.0.0.9\"\n";

    #[test]
    fn the_least_that_is_needed_gives_sane_defaults() {
        let s = settings(LEAST).unwrap();
        assert_eq!(s.store, ["10.0.0.1:2379", "https://etcd2:2379"]);
        assert_eq!((s.prefix.as_str(), s.bridge.as_str()), ("/tuplenet", "br-int"));
        assert_eq!(
            (s.ovsdb.as_str(), s.of.as_str()),
            ("unix:/run/openvswitch/db.sock", "unix:/run/openvswitch/br-int.mgmt")
        );
        assert_eq!(s.encaps, [Encap { kind: EncapKind::Geneve, ip: "10.0.0.9".parse().unwrap() }]);
        assert_eq!(s.metrics, MetricsListen::Try(METRICS_LISTEN));
        assert_eq!(s.audit_interval, Some(Duration::from_secs(60)));
        assert!(s.embedded.is_none() && s.user.is_none() && s.chassis.is_none());
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let merged = options("bridge = \"br-flag\"")
            .or(options("bridge = \"br-file\"\nprefix = \"/x/\"\nstore = \"a:1\"\nencap-ip = \"::1\""));
        let s = merged.settings("/run", None).unwrap();
        assert_eq!((s.bridge.as_str(), s.prefix.as_str()), ("br-flag", "/x"));
        assert_eq!(s.of, "unix:/run/br-flag.mgmt");
    }

    #[test]
    fn the_openflow_socket_is_beside_the_database_s() {
        let s = settings(&format!("{LEAST}ovsdb = \"unix:/tmp/hv1/db.sock\"")).unwrap();
        assert_eq!(s.of, "unix:/tmp/hv1/br-int.mgmt");
    }

    #[test]
    fn the_embedded_store_is_its_own_endpoint() {
        let s = settings("with-store = \"/var/lib/tuplenet/store.db\"\nencap-ip = \"10.0.0.9\"").unwrap();
        assert_eq!(s.store, ["127.0.0.1:2379"]);
        assert_eq!(s.embedded.unwrap().listen, STORE_LISTEN);
    }

    #[test]
    fn complaints_name_the_option_and_the_remedy() {
        for (toml, part) in [
            ("", "no store: name it with --store"),
            ("store = \"a:1\"", "no --encap-ip"),
            ("store = \"a:1\"\nencap-ip = \"0.0.0.0\"", "is no address of a host"),
            (
                "store = \"a:1\"\nstore-listen = \"127.0.0.1:1\"\nencap-ip = \"10.0.0.9\"",
                "--store-listen needs --with-store",
            ),
        ] {
            assert!(complaint(toml).contains(part), "{}", complaint(toml));
        }
        for (line, part) in [
            ("encap-type = \"stt\"", "use geneve, vxlan, gre"),
            ("metrics = \"here\"", "use IP:PORT, PORT or off"),
            ("datapath-type = \"dpdk\"", "use system or netdev"),
            ("bridge = \"a bridge\"", "a bridge is a network device"),
            ("chassis = \"-x\"", "is not a name"),
            ("cert = \"c.pem\"", "--cert and --key go together"),
            ("user = \"root\"", "no password for the user root"),
            ("prefix = \"tuplenet\"", "must begin with /"),
            ("underlay-mtu = 60", "use 68 to 65536 bytes"),
            ("bfd-interval = 9", "use 10 to 10000 milliseconds"),
            ("probe-interval = 5", "use 100 to 60000 milliseconds"),
            ("probe = [\"224.0.0.1\"]", "is no address of a host"),
            // A time that far away is no time.
            ("audit-interval = 9223372036854775807", "use up to 86400 seconds"),
        ] {
            let toml = format!("{LEAST}{line}");
            assert!(complaint(&toml).contains(part), "{}", complaint(&toml));
        }
        let typo = Options::from_toml("encap-ipp = \"1.1.1.1\"").unwrap_err().to_string();
        assert!(typo.contains("encap-ipp"), "{typo}");
    }

    #[test]
    fn metrics_by_port_are_on_loopback() {
        let s = settings(&format!("{LEAST}metrics = \"0\"")).unwrap();
        assert_eq!(s.metrics, MetricsListen::Must("127.0.0.1:0".parse().unwrap()));
    }
}
