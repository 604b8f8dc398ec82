//! What `--untunnel` needs of the host's kernel: that it forwards what comes in by one device, and nothing more than that takes.
//!
//! IPv4 is forwarded by the device that a packet comes in by (`net.ipv4.conf.DEVICE.forwarding`): that concerns our device alone, and goes with it. So does IPv6 with
//! Linux 6.17 and later (`force_forwarding`). Before, IPv6 is forwarded for all devices or none (`net.ipv6.conf.all.forwarding`): what it was is remembered before it
//! is switched on. That switch would also make a router of each device, one that listens to no router advertisements and forgets its default route: the others are
//! kept what they are.

use super::device;
use crate::core::{
    self,
    ovs::{Answer, Command, Families},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::ErrorKind,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};
use tokio::{sync::mpsc, task::spawn_blocking};

/// Where sysctl(8) has its variables.
const ROOT: &str = "/proc/sys";
/// All devices' switch for IPv6.
const ALL_IPV6: &str = "net/ipv6/conf/all/forwarding";
/// Of link-local addresses (RFC 3927), for a device that has none: see [`Sysctl::ipv4`].
const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 84, 78);

/// Does it; the answer comes back as an event. Beside the loop: the kernel may be busy with its devices.
pub fn ask(command: Command, done: &mpsc::UnboundedSender<core::Event>) {
    let done = done.clone();
    spawn_blocking(move || {
        // The loop may have ended meanwhile.
        let _ = done.send(core::Event::OwnStack(run(&command)));
    });
}

/// Does it.
pub fn run(command: &Command) -> Answer {
    let sysctl = Sysctl { root: ROOT.into() };
    let done = match command {
        Command::Prepare { device, families, remembered } => prepare(&sysctl, device, *families, *remembered),
        Command::Restore { device, was } => sysctl.restore(device, was).map(|()| Answer::Restored),
    };
    done.unwrap_or_else(|error| Answer::Failed(format!("{error:#}")))
}

fn prepare(sysctl: &Sysctl, device: &str, families: Families, remembered: bool) -> Result<Answer> {
    if families.ipv6
        && let Some(was) = sysctl.ipv6(device, remembered)?
    {
        return Ok(Answer::Remember(was));
    }
    let address = families.ipv4 && sysctl.ipv4(device)?;
    device::up(device)?;
    if address {
        device::add_address(device, ADDRESS)?;
    }
    Ok(Answer::Ready)
}

/// The variables below a directory.
struct Sysctl {
    root: PathBuf,
}

impl Sysctl {
    fn read(&self, variable: &str) -> Result<String> {
        let path = self.root.join(variable);
        Ok(fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?.trim().to_owned())
    }

    /// Writes what is not so.
    fn set(&self, variable: &str, value: &str) -> Result<()> {
        if self.read(variable)? == value {
            return Ok(());
        }
        let path = self.root.join(variable);
        fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
    }

    /// The same, of a variable that not every kernel has. Whether this one has it.
    fn set_if_any(&self, variable: &str, value: &str) -> Result<bool> {
        let there = self.root.join(variable).exists();
        if there {
            self.set(variable, value)?;
        }
        Ok(there)
    }

    /// Lets IPv4 pass that comes in by a device. Whether the device needs an address.
    ///
    /// The kernel may look whether the way back to a packet's source leads by the device that it came in by (RFC 3704), and it never does. Where that is asked for
    /// everywhere (`all`), one device can only ask for less (any way back), and that it does only with an address.
    fn ipv4(&self, device: &str) -> Result<bool> {
        let of = |variable: &str| format!("net/ipv4/conf/{device}/{variable}");
        let everywhere = self.read("net/ipv4/conf/all/rp_filter")? != "0";
        self.set(&of("rp_filter"), if everywhere { "2" } else { "0" })?;
        self.set(&of("forwarding"), "1")?;
        Ok(everywhere)
    }

    /// Lets IPv6 pass. What must be remembered first, if anything.
    fn ipv6(&self, device: &str, remembered: bool) -> Result<Option<String>> {
        if !self.root.join(ALL_IPV6).exists() {
            bail!("this host has no IPv6: use --untunnel=ipv4");
        }
        let of = |variable: &str| format!("net/ipv6/conf/{device}/{variable}");
        // No address, and no words: who listens there is our switch.
        for (variable, value) in [("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0")] {
            self.set(&of(variable), value)?;
        }
        self.set_if_any(&of("addr_gen_mode"), "1")?;
        self.set(&of("disable_ipv6"), "0")?;
        if self.set_if_any(&of("force_forwarding"), "1")? {
            return Ok(None);
        }
        if self.read(ALL_IPV6)? == "0" {
            if !remembered {
                return Ok(Some(format!("{ALL_IPV6}=0")));
            }
            self.switch_all(device, true)?;
        }
        self.set(&of("forwarding"), "1")?;
        Ok(None)
    }

    /// Puts back what [`Sysctl::ipv6`] wanted to be remembered.
    fn restore(&self, device: &str, was: &str) -> Result<()> {
        // Nothing else was ever changed: what is kept in a database that others write to is no order to write anything.
        if was != format!("{ALL_IPV6}=0") {
            bail!("what it remembers of this host is not what it wrote: {was}");
        }
        if self.root.join(ALL_IPV6).exists() && self.read(ALL_IPV6)? != "0" {
            self.switch_all(device, false)?;
        }
        Ok(())
    }

    /// Switches IPv6 forwarding for all devices, and keeps each what it was, but for ours.
    fn switch_all(&self, device: &str, on: bool) -> Result<()> {
        let mut others = Vec::new();
        let conf = self.root.join("net/ipv6/conf");
        for entry in fs::read_dir(&conf).with_context(|| format!("cannot read {}", conf.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "all" && name != device {
                others.push(format!("net/ipv6/conf/{name}"));
            }
        }
        let mut before = Vec::new();
        for other in others {
            let (forwarding, accept_ra) = (format!("{other}/forwarding"), format!("{other}/accept_ra"));
            // A device may go at any moment.
            let Some((was, ra)) = self.read(&forwarding).ok().zip(self.read(&accept_ra).ok()) else { continue };
            // 2: also of a router. Else the kernel would throw away the default routes that it learned.
            let listens = on && was == "0" && ra == "1" && self.set(&accept_ra, "2").is_ok();
            before.push((forwarding, was, listens.then_some(accept_ra)));
        }
        let switched = self.set(ALL_IPV6, if on { "1" } else { "0" });
        for (forwarding, was, listened) in before {
            let kept = self.set(&forwarding, &was);
            let kept = kept.and_then(|()| listened.map_or(Ok(()), |accept_ra| self.set(&accept_ra, "1")));
            match kept {
                Err(error) if is_there(&self.root.join(&forwarding)) => return Err(error),
                _ => {}
            }
        }
        switched
    }
}

fn is_there(path: &Path) -> bool {
    fs::metadata(path).map_or_else(|error| error.kind() != ErrorKind::NotFound, |_| true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tuplenet_fixture::Dir;

    /// Variables as a kernel before 6.17 has them, in a directory of the test's own. What a kernel does when one is written does not happen here.
    struct Kernel {
        sysctl: Sysctl,
        _dir: Dir,
    }

    impl Kernel {
        fn new(variables: &[(&str, &str)]) -> Self {
            let dir = Dir::new("sysctl");
            let kernel = Self { sysctl: Sysctl { root: dir.path().to_owned() }, _dir: dir };
            for device in ["all", "default", "eth0", "eth1", "tnout"] {
                for (variable, value) in [
                    ("forwarding", "0"),
                    ("accept_ra", "1"),
                    ("autoconf", "1"),
                    ("accept_dad", "1"),
                    ("disable_ipv6", "1"),
                ] {
                    kernel.write(&format!("net/ipv6/conf/{device}/{variable}"), value);
                }
                for variable in ["forwarding", "rp_filter"] {
                    kernel.write(&format!("net/ipv4/conf/{device}/{variable}"), "0");
                }
            }
            variables.iter().for_each(|(variable, value)| kernel.write(variable, value));
            kernel
        }
        fn write(&self, variable: &str, value: &str) {
            let path = self.sysctl.root.join(variable);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        fn get(&self, variable: &str) -> String {
            self.sysctl.read(variable).unwrap()
        }
    }

    #[test]
    fn what_concerns_all_devices_is_remembered_first_and_put_back() {
        let kernel = Kernel::new(&[("net/ipv6/conf/eth1/accept_ra", "0")]);
        let was = kernel.sysctl.ipv6("tnout", false).unwrap();
        assert_eq!(was.as_deref(), Some("net/ipv6/conf/all/forwarding=0"));
        assert_eq!(kernel.get(ALL_IPV6), "0", "nothing before it is written down");
        assert_eq!(kernel.sysctl.ipv6("tnout", true).unwrap(), None);
        let now = |device: &str| {
            [
                kernel.get(&format!("net/ipv6/conf/{device}/forwarding")),
                kernel.get(&format!("net/ipv6/conf/{device}/accept_ra")),
            ]
        };
        // Of the other devices none is a router now, and each listens as before.
        assert_eq!([kernel.get(ALL_IPV6), kernel.get("net/ipv6/conf/tnout/forwarding")], ["1", "1"]);
        assert_eq!([now("eth0"), now("eth1"), now("default")], [["0", "1"], ["0", "0"], ["0", "1"]]);
        assert_eq!(now("tnout")[1], "0");
        assert_eq!(kernel.sysctl.ipv6("tnout", true).unwrap(), None, "asked again it changes nothing");
        kernel.sysctl.restore("tnout", &was.unwrap()).unwrap();
        assert_eq!([kernel.get(ALL_IPV6), kernel.get("net/ipv6/conf/eth0/accept_ra")], ["0", "1"]);
        // Nothing else is ever written on the word of a database.
        for order in ["net/ipv6/conf/all/forwarding=1", "kernel/core_pattern=|/bin/sh", ""] {
            assert!(kernel.sysctl.restore("tnout", order).is_err(), "{order}");
        }
    }

    #[test]
    fn what_the_owner_switched_on_stays_on() {
        let kernel = Kernel::new(&[(ALL_IPV6, "1"), ("net/ipv6/conf/eth0/forwarding", "1")]);
        assert_eq!(kernel.sysctl.ipv6("tnout", false).unwrap(), None, "there is nothing to put back");
        assert_eq!(kernel.get("net/ipv6/conf/eth0/forwarding"), "1");
    }

    #[test]
    fn a_kernel_that_can_do_it_for_one_device_is_asked_for_no_more() {
        let kernel =
            Kernel::new(&[("net/ipv6/conf/tnout/force_forwarding", "0"), ("net/ipv6/conf/tnout/addr_gen_mode", "0")]);
        assert_eq!(kernel.sysctl.ipv6("tnout", false).unwrap(), None);
        let of = |variable: &str| kernel.get(&format!("net/ipv6/conf/tnout/{variable}"));
        assert_eq!(["force_forwarding", "addr_gen_mode", "disable_ipv6"].map(of), ["1", "1", "0"]);
        assert_eq!(kernel.get(ALL_IPV6), "0");
    }

    #[test]
    fn the_way_back_is_looked_at_as_little_as_the_host_allows() {
        for (all, ours, address) in [("0", "0", false), ("1", "2", true), ("2", "2", true)] {
            let kernel = Kernel::new(&[("net/ipv4/conf/all/rp_filter", all), ("net/ipv4/conf/tnout/rp_filter", "1")]);
            assert_eq!(kernel.sysctl.ipv4("tnout").unwrap(), address, "{all}");
            let of = |variable: &str| kernel.get(&format!("net/ipv4/conf/tnout/{variable}"));
            assert_eq!([of("rp_filter"), of("forwarding")], [ours, "1"], "{all}");
            assert_eq!(kernel.get("net/ipv4/conf/eth0/forwarding"), "0");
        }
        let without = Kernel::new(&[]);
        fs::remove_dir_all(without.sysctl.root.join("net/ipv6")).unwrap();
        let error = without.sysctl.ipv6("tnout", false).unwrap_err().to_string();
        assert!(error.contains("--untunnel=ipv4"), "{error}");
    }
}
