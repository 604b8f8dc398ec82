//! The lab on the command line: the demo, and what ends one that was left running.

mod common;
mod demo;
mod edge;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str =
    "usage: tuplenet-lab demo          two hosts and one virtual network; KEEP=1 in the environment leaves it running
       tuplenet-lab demo-edge     two edges between a virtual and a physical network; KEEP=1 as well
       tuplenet-lab stop [NAME]   end the labs that were left running and whose name starts so, or all";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let keep = std::env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0");
    let done = match words.as_slice() {
        ["demo"] => demo::run(keep),
        ["demo-edge"] => edge::run(keep),
        ["stop"] => stop(""),
        ["stop", name] => stop(name),
        ["-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ntuplenet-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn stop(name: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("labs are root's: run this as root");
    }
    let stopped = tuplenet_lab::stop_kept(name)?;
    match stopped.as_slice() {
        [] => println!("nothing was left running"),
        some => println!("ended {}", some.join(", ")),
    }
    Ok(())
}
