//! Nothing stays behind: not after success, a panic, TERM, or (from the next lab on) SIGKILL.
//!
//! Each case runs in a process of its own: this test program again, told by the environment to make a lab and then to
//! end in some way. What it made is read from the lab's registry, so only that is looked for.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use tuplenet_lab::{Lab, VmSpec, wait_until};

const FATE: &str = "TUPLENET_LAB_TEST_FATE";

/// Not a test by itself: what the other tests run as their child.
#[test]
fn child() {
    let Ok(fate) = std::env::var(FATE) else { return };
    let lab = Lab::new("cleanup").unwrap();
    let host = lab.host("hv1").unwrap();
    host.vm(&VmSpec::new("a").address("10.0.0.1/24")).unwrap();
    println!("\nLAB {}", lab.directory().display());
    match fate.as_str() {
        "return" => {}
        "panic" => panic!("as the test wants it"),
        _ => std::thread::sleep(Duration::from_secs(60)),
    }
}

/// What a lab has made, as its registry says.
struct Made {
    directory: PathBuf,
    namespaces: Vec<String>,
    /// Pids and start times.
    processes: Vec<(i64, u64)>,
}

fn read(directory: &Path) -> Made {
    let text = fs::read_to_string(directory.join("registry")).unwrap();
    let entries: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let namespaces = entries.iter().filter_map(|entry| Some(entry.get("namespace")?.as_str()?.to_owned()));
    let processes = entries.iter().filter_map(|entry| {
        let process = entry.get("process")?;
        Some((process["pid"].as_i64()?, process["start"].as_u64()?))
    });
    Made { directory: directory.to_owned(), namespaces: namespaces.collect(), processes: processes.collect() }
}

impl Made {
    /// What is left of it, in words.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for name in &self.namespaces {
            if Path::new("/run/netns").join(name).exists() {
                left.push(format!("namespace {name}"));
            }
        }
        for (pid, start) in &self.processes {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
            let state = fields.next().unwrap_or("Z").to_owned();
            // A zombie has ended; whoever inherited it has not looked yet.
            if state != "Z" && fields.nth(18).and_then(|field| field.parse().ok()) == Some(*start) {
                left.push(format!("process {pid}"));
            }
        }
        if self.directory.exists() {
            left.push(format!("directory {}", self.directory.display()));
        }
        left
    }

    fn must_be_gone(&self) -> Result<()> {
        wait_until("nothing to be left", Duration::from_secs(10), || {
            let left = self.left();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
    }
}

/// Starts a child and waits until its lab stands.
fn start(fate: &str) -> Result<(Child, Made)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(FATE, fate)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let directory = lines.find_map(|line| line.ok()?.strip_prefix("LAB ").map(PathBuf::from));
    let Some(directory) = directory else {
        child.kill()?;
        return Err(anyhow!("the child made no lab: {}", child.wait()?));
    };
    // The rest of its output must go somewhere, or it ends by a broken pipe.
    std::thread::spawn(move || lines.for_each(drop));
    // A child that ends by itself may have cleaned already.
    let made =
        if fate == "wait" { read(&directory) } else { Made { directory, namespaces: vec![], processes: vec![] } };
    Ok((child, made))
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn what_a_lab_makes_is_there_and_then_gone() -> Result<()> {
    let lab = Lab::new("cleanup")?;
    lab.host("hv1")?.vm(&VmSpec::new("a").address("10.0.0.1/24"))?;
    let made = read(lab.directory());
    assert_eq!(made.namespaces.len(), 4, "underlay, management, host, guest");
    assert_eq!(made.processes.len(), 2, "ovsdb-server, ovs-vswitchd");
    assert_eq!(made.left().len(), 7, "with the directory: {:?}", made.left());
    drop(lab);
    assert_eq!(made.left(), Vec::<String>::new());
    Ok(())
}

#[test]
fn nothing_stays_after_a_panic() -> Result<()> {
    let lab = std::sync::Mutex::new(None);
    let result = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let made = Lab::new("cleanup").unwrap();
                made.host("hv1").unwrap();
                *lab.lock().unwrap() = Some(read(made.directory()));
                panic!("as the test wants it");
            })
            .join()
    });
    assert!(result.is_err());
    let made = lab.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).unwrap();
    assert_eq!(made.left(), Vec::<String>::new());
    // And in a program that fails by it.
    let (mut child, made) = start("panic")?;
    assert!(!child.wait()?.success());
    made.must_be_gone()
}

#[test]
fn nothing_stays_after_term_and_interrupt() -> Result<()> {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let (mut child, made) = start("wait")?;
        assert_eq!(made.processes.len(), 2);
        signal(&child, name);
        assert_eq!(child.wait()?.code(), Some(128 + number));
        made.must_be_gone()?;
    }
    Ok(())
}

#[test]
fn the_next_lab_removes_what_a_killed_one_left() -> Result<()> {
    let (mut child, made) = start("wait")?;
    signal(&child, "KILL");
    assert_eq!(child.wait()?.signal(), Some(9));
    // Another test's lab may sweep before this one does: what counts is that all is gone after ours was made.
    let lab = Lab::new("cleanup")?;
    made.must_be_gone()?;
    // A lab that lives is never swept.
    let ours = lab.host("hv1").map(|_| read(lab.directory()))?;
    drop(Lab::new("cleanup")?);
    assert_eq!(ours.left().len(), 3 + 2 + 1, "{:?}", ours.left());
    Ok(())
}
