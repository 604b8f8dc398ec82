//! What the agent runs by: [`Options`] checked, and filled in where they say nothing.

use super::Options;
use crate::core::{
    ovs::{DatapathType, Export, Families, Protocol},
    probe,
};
use anyhow::{Context, Result, anyhow, bail};
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
use tuplenet_openflow::connection::Target;
use tuplenet_store::network::check_prefix;

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
        let prefix = check_prefix(&prefix).map_err(|why| anyhow!("--prefix \"{prefix}\": {why}"))?.to_owned();
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
        of.parse::<Target>().map_err(|error| anyhow!("--of: {error}"))?;
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
