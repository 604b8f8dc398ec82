//! The ways to reach a server: TCP, TLS, and none.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, Server, User, config, run, text};
use std::path::Path;
use tuplenet_ovsdb::{Config, Target, TlsFiles};

#[tokio::test]
async fn tcp() {
    let server = Server::start_with(&["--remote=ptcp:0:127.0.0.1".into()]);
    let target: Target = format!("tcp:127.0.0.1:{}", server.port()).parse().unwrap();
    let mut user = User::new(config(target.clone()));
    user.up().await;
    user.init().await;
    user.update().await;
    drop(server);
    // A server that is about to end may take one more connection, and then resets it: other reasons come before the last one.
    loop {
        let why = user.down().await;
        assert!(why.starts_with(&format!("OVSDB server {target}: ")), "{why}");
        if why.contains("nobody listens there") {
            break;
        }
    }
}

/// Keys and certificates as `ovs-pki` makes them, which is what users of Open vSwitch have.
fn certify(dir: &Path) {
    let place = format!("--dir={}", text(&dir.join("pki")));
    let log = format!("--log={}", text(&dir.join("pki.log")));
    // What it makes for a name it puts where it runs.
    let pki = |words: &[&str]| run(&[&["env", "-C", &text(dir), "ovs-pki", &place, &log], words].concat());
    pki(&["--force", "init"]);
    pki(&["req+sign", "server", "switch"]);
    pki(&["req+sign", "client", "switch"]);
}

fn files(dir: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        private_key: dir.join(format!("{name}-privkey.pem")),
        certificate: dir.join(format!("{name}-cert.pem")),
        ca_certificate: dir.join("pki/switchca/cacert.pem"),
        verify_host: false,
    }
}

#[tokio::test]
async fn tls() {
    let dir = Dir::new("tls");
    certify(dir.path());
    let of_server = files(dir.path(), "server");
    let server = Server::start_with(&[
        "--remote=pssl:0:127.0.0.1".into(),
        format!("--private-key={}", of_server.private_key.display()),
        format!("--certificate={}", of_server.certificate.display()),
        format!("--ca-cert={}", of_server.ca_certificate.display()),
    ]);
    let target: Target = format!("ssl:127.0.0.1:{}", server.port()).parse().unwrap();
    let with = |tls: TlsFiles| Config { tls: Some(tls), ..config(target.clone()) };
    let good = files(dir.path(), "client");

    let mut user = User::new(with(good.clone()));
    user.up().await;
    user.init().await;
    user.add_bridge("br0").await;
    // More than fits in one record, both ways.
    user.add_ports("br0", &(0..500).map(|i| format!("vm{i}")).collect::<Vec<_>>()).await;
    user.drain();
    let mut fresh = User::new(with(good.clone()));
    assert_eq!(fresh.up().await.1.interfaces.len(), 500);
    assert_eq!(fresh.mirror, user.mirror);

    // The certificate is not made out for 127.0.0.1: only who asks for that minds.
    let why = User::new(with(TlsFiles { verify_host: true, ..good.clone() })).down().await;
    assert!(why.contains("TLS failed") && why.contains("not valid for name"), "{why}");
    // Of another CA.
    let other = Dir::new("tls");
    certify(other.path());
    let why = User::new(with(TlsFiles { ca_certificate: other.file("pki/switchca/cacert.pem"), ..good.clone() }))
        .down()
        .await;
    assert!(why.contains("TLS failed: invalid peer certificate"), "{why}");
    let why =
        User::new(with(TlsFiles { ca_certificate: good.ca_certificate.clone(), ..files(other.path(), "client") }))
            .down()
            .await;
    assert!(why.contains("OVSDB server ssl:127.0.0.1"), "{why}");
    // Without files, with unreadable ones, with ones that hold something else.
    let why = User::new(config(target.clone())).down().await;
    assert!(why.contains("TLS needs a private key"), "{why}");
    let why = User::new(with(TlsFiles { private_key: dir.file("absent.pem"), ..good.clone() })).down().await;
    assert!(why.contains("absent.pem"), "{why}");
    let why = User::new(with(TlsFiles { certificate: good.private_key.clone(), ..good.clone() })).down().await;
    assert!(why.contains("holds no certificate"), "{why}");
    // A server that speaks no TLS.
    let plain = Server::start_with(&["--remote=ptcp:0:127.0.0.1".into()]);
    let target: Target = format!("ssl:127.0.0.1:{}", plain.port()).parse().unwrap();
    let why = User::new(Config { target, ..with(good.clone()) }).down().await;
    assert!(why.contains("TLS failed"), "{why}");
    // None of that hurt the good one.
    user.add_bridge("br1").await;
}
