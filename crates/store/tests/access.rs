//! Getting in: users and passwords, tokens that end, TLS.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Embedded, Etcd, eventually};
use std::{path::PathBuf, process::Command, time::Duration};
use tokio::time::timeout;
use tuplenet_store::{
    Client, Config, Endpoint, Range, StoreError, Tls,
    mirror::{self, MirrorConfig, MirrorEvent},
};

fn etcdctl(endpoint: &str, args: &[&str]) {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={endpoint}"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn as_user(endpoints: &str, name: &str, password: &str) -> Config {
    Config { user: Some((name.to_owned(), password.to_owned())), ..Config::new(endpoints).unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in_and_again_when_their_token_ends() {
    if common::skip_etcd() {
        return;
    }
    let mut etcd = Etcd::start(1).await;
    let endpoint = etcd.endpoints();
    for args in [
        &["user", "add", "root:secret"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "net"],
        &["role", "grant-permission", "net", "--prefix=true", "readwrite", "/p/"],
        &["user", "add", "agent:pass"],
        &["user", "grant-role", "agent", "net"],
        &["auth", "enable"],
    ] {
        etcdctl(&endpoint, args);
    }
    let anonymous = Client::connect(Config::new(&endpoint).unwrap()).await.unwrap_err();
    assert!(
        matches!(anonymous, StoreError::Denied(_)) && anonymous.to_string().contains("user, password and role"),
        "{anonymous}"
    );
    let wrong = Client::connect(as_user(&endpoint, "agent", "wrong")).await.unwrap_err();
    assert!(matches!(wrong, StoreError::Denied(_)), "{wrong:?}");
    let client = Client::connect(as_user(&endpoint, "agent", "pass")).await.unwrap();
    client.put("/p/v1/ls/a", "1").await.unwrap();
    let denied = client.put("/elsewhere", "1").await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied(_)) && denied.to_string().contains("permission denied"), "{denied}");
    let (_handle, mut events) = mirror::start(client.clone(), MirrorConfig::new("/p"));
    let first = timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
    assert!(matches!(first, MirrorEvent::Changes { changes, .. } if changes[0].path == "ls/a"));

    // Tokens live in the memory of the member: a restart ends them. A write without a guard may be repeated then, since nothing was done.
    etcd.restart(0);
    eventually("the member is back", async || client.get("/p/x").await.is_ok()).await;
    client.put("/p/v1/ls/b", "1").await.unwrap();
    loop {
        let event = timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
        if matches!(&event, MirrorEvent::Changes { changes, .. } if changes.iter().any(|change| change.path == "ls/b"))
        {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_for_a_store_without_users_is_superfluous() {
    let store = Embedded::start().await;
    let client = Client::connect(as_user(&store.endpoint, "agent", "pass")).await.unwrap();
    assert_eq!(client.put("/a", "1").await.unwrap(), 2);
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_and_checked() {
    if common::skip_etcd() {
        return;
    }
    let file = |flag: &str, name: &str| format!("--{flag}={}", data(name).display());
    let args = [
        file("cert-file", "server.pem"),
        file("key-file", "server.key"),
        file("trusted-ca-file", "ca.pem"),
        "--client-cert-auth".to_owned(),
    ];
    let etcd = Etcd::start_with(1, &args).await;
    let endpoints = Endpoint::parse_list(&format!("https://{}", etcd.members[0].endpoint)).unwrap();
    let tls = Tls {
        ca: Some(data("ca.pem")),
        cert: Some(data("client.pem")),
        key: Some(data("client.key")),
        domain: Some("localhost".to_owned()),
    };
    let config =
        |tls: Tls| Config { endpoints: endpoints.clone(), user: None, tls: Some(tls), timeout: Duration::from_secs(5) };
    eventually("TLS is answered", async || Client::connect(config(tls.clone())).await.is_ok()).await;
    let client = Client::connect(config(tls.clone())).await.unwrap();
    client.put("/a", "1").await.unwrap();
    let mut watch = client.watch(Range::key("/a"), 2);
    assert_eq!(watch.next().await.unwrap().events.len(), 1);

    // Certificates say that TLS is meant, unless http:// says otherwise.
    let said = |scheme: &str| {
        let bare = endpoints.iter().map(|endpoint| format!("{scheme}{}:{}", endpoint.host, endpoint.port));
        Config {
            tls: Some(tls.clone()),
            timeout: Duration::from_secs(5),
            ..Config::new(&bare.collect::<Vec<_>>().join(",")).unwrap()
        }
    };
    Client::connect(said("")).await.unwrap();
    let plain = Client::connect(said("http://")).await.unwrap_err().to_string();
    assert!(plain.contains("write https://"), "{plain}");

    // What is wrong is said, and by whom.
    let refused = async |tls: Tls| Client::connect(config(tls)).await.unwrap_err().to_string();
    let no_ca = refused(Tls { ca: None, ..tls.clone() }).await;
    assert!(no_ca.contains("give the CA file"), "{no_ca}");
    let other_name = refused(Tls { domain: Some("example.org".to_owned()), ..tls.clone() }).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let other_ca = refused(Tls { ca: Some(data("client.pem")), ..tls.clone() }).await;
    assert!(other_ca.contains("look at --cacert"), "{other_ca}");
    let no_cert = refused(Tls { ca: Some(data("client.key")), ..tls.clone() }).await;
    assert!(no_cert.contains("there is no certificate in"), "{no_cert}");
    let no_key = refused(Tls { key: None, ..tls.clone() }).await;
    assert!(no_key.contains("together"), "{no_key}");
    let no_file = refused(Tls { ca: Some(data("none.pem")), ..tls }).await;
    assert!(no_file.contains("cannot read the CA certificate"), "{no_file}");
}
