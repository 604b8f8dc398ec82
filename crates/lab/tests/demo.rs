//! The demo, as a user runs it. It needs `tuplenet` and `tpctl` beside it: `make test` builds them.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tuplenet_lab::wait_until;

const LAB: &str = env!("CARGO_BIN_EXE_tuplenet-lab");

fn run(demo: &str, keep: bool) -> Result<(Output, String)> {
    let output = Command::new(LAB).arg(demo).env("KEEP", if keep { "1" } else { "" }).output()?;
    let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    ensure!(output.status.success(), "{text}");
    Ok((output, text))
}

#[test]
fn it_pings_everyone_and_ends_clean() -> Result<()> {
    for _ in 0..2 {
        let (_, text) = run("demo", false)?;
        // Three answers each, or more: `ping` asks again when one is slow.
        let good =
            text.lines().filter(|line| line.trim_start().starts_with("ok ") && line.contains(" answered")).count();
        assert_eq!(good, 10, "five targets in two families:\n{text}");
        assert!(!text.contains("FAIL"), "{text}");
        for word in [
            "$ tpctl ls add LS-A",
            "LR-central",
            "delivered to b2 on hv2, 10 hops",
            "dropped at LR-central on hv1: no route to 10.9.9.9",
            "router LR-central  distributed",
            "chassis hv1  alive",
            "All processes and namespaces are removed",
        ] {
            assert!(text.contains(word), "no `{word}` in:\n{text}");
        }
    }
    Ok(())
}

#[test]
fn the_one_with_edges_loses_an_edge_and_ends_clean() -> Result<()> {
    let (_, text) = run("demo-edge", false)?;
    let good = text.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
    assert_eq!(good, 15, "pings, pages, shares, and what was lost:\n{text}");
    for word in [
        "$ tpctl edge init --chassis hv2",
        "whose log says that 203.0.113.2 asked",
        "delivered to outside1_patch on hv2",
        "www got the page from 203.0.113.10",
        "$ tpctl edge add --chassis hv3",
        "pings lost, the last",
        "ok   0 of ",
        "`make demo-edge KEEP=1` leaves them running",
    ] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    assert!(!text.contains("FAIL"), "{text}");
    Ok(())
}

#[test]
fn kept_it_can_be_used_and_ended() -> Result<()> {
    let (_, text) = run("demo", true)?;
    let (_, rest) = text.split_once("Use it:  source ").context("no line that tells how to use it")?;
    let environment = rest.split(';').next().unwrap_or_default();
    let script = format!(
        "source {environment} && tpctl ls show && on a1 ping -c 1 -W 5 10.20.2.12 && on hv1 ovs-ofctl dump-flows br-int | grep -q priority"
    );
    let used = Command::new("bash").args(["-c", &script]).output()?;
    let id = Path::new(environment).parent().and_then(|path| path.file_name()).unwrap().to_str().unwrap();
    // Ended by its own name: another test's demo may run beside.
    let stopped = Command::new(LAB).args(["stop", id]).output()?;
    ensure!(used.status.success(), "{used:?}");
    ensure!(stopped.status.success() && String::from_utf8_lossy(&stopped.stdout).contains(id), "{stopped:?}");
    wait_until("nothing to be left", Duration::from_secs(5), || {
        let namespaces = Command::new("ip").args(["netns", "list"]).output()?;
        ensure!(!String::from_utf8_lossy(&namespaces.stdout).contains(id), "{namespaces:?}");
        ensure!(!Path::new(environment).exists());
        Ok(())
    })
}
