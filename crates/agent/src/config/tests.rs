//! Options as a file has them, and what becomes of them.

#![allow(clippy::unwrap_used)]
use super::{settings::METRICS_LISTEN, *};
use std::time::Duration;
use tuplenet_model::entity::{Encap, EncapKind};

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
        ("of = \"br-int\"", "--of: \"br-int\" is no address of a switch: write unix:PATH"),
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
    assert!(typo.starts_with("line 1, column 1: unknown field `encap-ipp`") && !typo.contains('\n'), "{typo}");
    let wrong = Options::from_toml("prefix = \"/ü\"\nstore = 5\n").unwrap_err().to_string();
    assert_eq!(wrong, "line 2, column 9: invalid type: integer `5`, expected a string");
    let open = Options::from_toml("store = \"a").unwrap_err().to_string();
    assert!(open.starts_with("line 1, column ") && !open.contains('\n'), "{open}");
}

#[test]
fn metrics_by_port_are_on_loopback() {
    let s = settings(&format!("{LEAST}metrics = \"0\"")).unwrap();
    assert_eq!(s.metrics, MetricsListen::Must("127.0.0.1:0".parse().unwrap()));
}
