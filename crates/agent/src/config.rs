//! What the agent was told: command line over environment over one TOML file, made into [`Settings`] whose values are checked.
//!
//! One struct, [`Options`], is read by clap (flags and `TUPLENET_*` variables) and by serde (the file, same names in kebab case), so that the
//! three cannot drift apart.

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{EmbeddedStore, LogFormat, Logging, MetricsListen, STORE_LISTEN, Settings};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Options of `tuplenet agent`, as given; every one of them also in the environment and in the file.
// What is written at its fields is what `--help` says: no Markdown.
#[allow(rustdoc::broken_intra_doc_links)]
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

impl Options {
    /// Reads the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::from_toml(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Reads the text of a file.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let place = before.map(|before| {
                let (lines, column) =
                    (before.matches('\n').count(), before.chars().rev().take_while(|c| *c != '\n').count());
                format!("line {}, column {}: ", lines + 1, column + 1)
            });
            let words = error.message().lines().collect::<Vec<_>>().join(", ");
            anyhow!("{}{words}", place.unwrap_or_default())
        })
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
}
