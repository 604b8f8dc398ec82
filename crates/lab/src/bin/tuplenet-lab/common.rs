//! What the demos share: how they begin and end, agents, `tpctl` shown as it is typed, a file for the shell of who wants to try.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Vm, command, program};

use crate::story::Story;

/// Longest wait for anything, on a machine that is busy with something else too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a lab, tells a story in it, and ends it or leaves it running (`keep`), with words on how to use it.
///
/// # Errors
/// Those of the story.
pub fn frame(
    story: &mut Story,
    name: &str,
    keep: bool,
    try_it: &str,
    tell: impl FnOnce(&mut Story, &Lab) -> Result<()>,
) -> Result<()> {
    for name in ["tuplenet", "tpctl"] {
        program(name)?;
    }
    story.say("All of it in network namespaces of this machine, whose own network is left alone.");
    let lab = Lab::new(name)?;
    let done = tell(story, &lab);
    match &done {
        Ok(()) if keep => {
            lab.keep()?;
            let directory = lab.directory().display();
            story.step("It runs on");
            story.say(&format!("Use it:  source {directory}/env; {try_it}"));
            story.say("End it:  make demo-stop");
        }
        Ok(()) => {
            story.step("The end");
            let start = Instant::now();
            drop(lab);
            story.say(&format!(
                "All processes and namespaces are removed ({:.1?}). `make {name} KEEP=1` leaves them running.",
                start.elapsed()
            ));
        }
        // Then its end shows what the hosts look like.
        Err(_) => lab.fail(),
    }
    done
}

/// Starts an agent on each host, on the first one with the store, and waits until the store knows them all.
///
/// # Errors
/// One does not start.
pub fn start_agents(story: &mut Story, lab: &Lab, hosts: &[Host]) -> Result<Vec<Agent>> {
    let mut agents = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let mut spec = AgentSpec::new();
        let mut shown = format!("{}# tuplenet agent --encap-ip {}", host.name(), host.encap_ip());
        if index == 0 {
            spec = spec.with_store();
            shown += &format!(" --with-store store.db --store-listen {}:2379", host.management_ip());
        } else {
            shown += &format!(" --store {}", lab.endpoints()?);
        }
        story.command(&shown);
        let agent = host.agent(&spec)?;
        agent.process().wait_ready(PATIENCE, || {
            let known = lab.tpctl(&["ch", "show"])?;
            ensure!(known.contains(host.name()), "the store does not know {} yet", host.name());
            Ok(())
        })?;
        agents.push(agent);
    }
    show(story, lab, &["ch", "show"])?;
    Ok(agents)
}

/// Runs `tpctl`, shown as a person would type it, and shows what it prints.
///
/// # Errors
/// It fails: its words.
pub fn show(story: &Story, lab: &Lab, arguments: &[&str]) -> Result<()> {
    story.command(&format!("tpctl {}", command::text(arguments)));
    story.output(&lab.tpctl(arguments)?);
    Ok(())
}

/// A file to be sourced, with functions that act in the lab.
///
/// # Errors
/// It cannot be written.
pub fn write_environment(lab: &Lab, hosts: &[Host], vms: &[Vm]) -> Result<()> {
    let mut text = format!(
        "# To be sourced by a shell: `tpctl ARGUMENTS`, and `on NAME COMMAND` where NAME is a host or a VM.\n\
         export TUPLENET_ENDPOINTS={}\n\
         tpctl() {{ nsenter --net={} -- {} \"$@\"; }}\n\
         on() {{\n  local name=$1\n  shift\n  case $name in\n",
        lab.endpoints()?,
        lab.management().path().display(),
        command::text(&[program("tpctl")?.to_string_lossy()]),
    );
    for host in hosts {
        text += &format!(
            "  {}) OVS_RUNDIR={} nsenter --net={} -- \"$@\" ;;\n",
            host.name(),
            host.directory().join("run").display(),
            host.netns()?.path().display()
        );
    }
    for vm in vms {
        text += &format!("  {}) nsenter --net={} -- \"$@\" ;;\n", vm.name(), vm.netns().path().display());
    }
    text += "  *) echo \"no host or VM $name\" >&2; return 2 ;;\n  esac\n}\n";
    fs::write(lab.directory().join("env"), text).context("cannot write the demo's env file")
}
