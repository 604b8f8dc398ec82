//! Errors for people: one clear line that says what to do.

use super::{
    host::{Host, tuplenet},
    network::Store,
};
use std::net::TcpListener;
use tuplenet_fixture::{Dir, text};

#[test]
fn what_cannot_work_is_one_line_and_exit_code_1() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    let base = ["agent", "--ovsdb", &host.target(), "--encap-ip", "192.0.2.1"];
    let with = |more: &[&str]| {
        let arguments: Vec<&str> = base.iter().copied().chain(more.iter().copied()).collect();
        let (code, said) = tuplenet(&arguments);
        assert_eq!(code, Some(1), "{said}");
        said.lines().last().unwrap_or_default().to_owned()
    };
    assert!(with(&[]).contains("no store: name it with --store"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(with(&["--store", &store.url, "--metrics", &address]).contains("cannot serve metrics on"));
    let dir = Dir::new("err");
    let file = text(&dir.file("store.db"));
    assert!(with(&["--with-store", &file, "--store-listen", &address]).contains("port is in use"));
    host.vsctl(&["--no-wait", "remove", "Open_vSwitch", ".", "external_ids", "system-id"]);
    assert!(with(&["--store", &store.url, "--metrics", "off"]).contains("this host has no name"));
    assert!(with(&["--store", "somewhere"]).contains("there is no port"));
    assert!(
        with(&["--store", &store.url, "--config", "/nonexistent.toml"])
            .contains("cannot read the configuration /nonexistent.toml")
    );
    std::fs::write(dir.file("agent.toml"), "encap-ipp = 1\n").unwrap();
    assert!(with(&["--config", &text(&dir.file("agent.toml"))]).contains("encap-ipp"));
}

#[test]
fn an_absent_open_vswitch_is_waited_for() {
    let host = Host::start("hv1", 1);
    let nowhere = format!("unix:{}/none.sock", host.dir().path().display());
    let mut agent = host.agent("127.0.0.1:1", &["--of", &nowhere]);
    agent.says("the store is away");
    assert!(agent.process.is_running());
    agent.process.signal("TERM");
    assert_eq!(agent.process.wait(), Some(0));
}
