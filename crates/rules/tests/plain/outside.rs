//! What is said of patch ports, and of ports towards a physical network.

use crate::{common::ME, facts::Plain};
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::{
    entity::{Patch, SwitchPort},
    name::Name,
};

impl Plain {
    /// What is said of a port towards a physical network: it is at `remote` or here, and its router is on all hosts or not.
    pub fn outside(
        &self,
        present: &BTreeSet<String>,
        ls: &Name,
        remote: Option<IpAddr>,
        distributed: bool,
        port: &SwitchPort,
    ) -> Vec<String> {
        let patches: Vec<_> = self
            .lsp
            .iter()
            .filter(|(l, _, port, _)| l == ls && port.patch.is_some())
            .filter_map(|(l, p, ..)| Some((self.port(present, l, p)?.1, self.port(present, l, p)?.1.patch.clone()?)))
            .collect();
        if !patches.iter().any(|(_, patch)| patch.chassis.as_str() == ME) {
            return Vec::new();
        }
        let id = self.valid_ls(ls).expect("the switch of a valid port").id;
        let mac = port.mac_or_zero();
        let mut said = vec![format!("own {id} {mac}")];
        let designated = self.designated(&patches);
        let here = designated.is_some_and(|(_, patch)| patch.chassis.as_str() == ME);
        let theirs = |ip: IpAddr| {
            patches.iter().any(|(_, patch)| patch.chassis.as_str() != ME && self.endpoint(&patch.chassis) == Some(ip))
        };
        let elsewhere = match remote {
            Some(ip) => !here || theirs(ip),
            None => distributed && !here,
        };
        if elsewhere {
            said.push(format!("elsewhere {id} {mac}"));
            said.extend(port.ips.iter().map(|ip| format!("silent {id} {ip}")));
        }
        if let Some((way, patch)) = designated.filter(|_| remote.is_none() && distributed && !here)
            && let Some(ip) = self.endpoint(&patch.chassis)
        {
            said.push(format!("router {id} {mac}: {} at {ip}", way.port_id));
        }
        said
    }

    /// The first by name of those whose chassis exists.
    fn designated<'a>(&self, patches: &'a [(&'a SwitchPort, Patch)]) -> Option<&'a (&'a SwitchPort, Patch)> {
        let exist = patches.iter().filter(|(_, patch)| self.chassis.iter().any(|(n, _)| *n == patch.chassis));
        exist.min_by_key(|(_, patch)| patch.chassis.clone())
    }

    /// Where the designated chassis is, if this host has no patch port of the switch.
    pub fn speaker(&self, present: &BTreeSet<String>, ls: &Name) -> Option<IpAddr> {
        let ports = self.lsp.iter().filter(|(l, ..)| l == ls).filter_map(|(l, p, ..)| self.port(present, l, p));
        let patches: Vec<_> = ports.filter_map(|(_, port)| Some((port, port.patch.clone()?))).collect();
        let mine = patches.iter().any(|(_, patch)| patch.chassis.as_str() == ME);
        let (_, patch) = self.designated(&patches).filter(|_| !mine)?;
        self.endpoint(&patch.chassis)
    }

    /// What is said of a switch's patch ports.
    pub fn patch_ports(&self, present: &BTreeSet<String>, ls: &Name) -> Vec<String> {
        let ports = self.lsp.iter().filter(|(l, ..)| l == ls).filter_map(|(l, p, ..)| self.port(present, l, p));
        let patches: Vec<_> = ports.filter_map(|(_, port)| Some((port, port.patch.clone()?))).collect();
        let Some(id) = self.valid_ls(ls).map(|ls| ls.id) else { return Vec::new() };
        let designated = self.designated(&patches);
        let Some((port, patch)) = patches.iter().find(|(_, patch)| patch.chassis.as_str() == ME) else {
            let way = designated.and_then(|(port, patch)| Some((port.port_id, self.endpoint(&patch.chassis)?)));
            return way.map(|(port, ip)| format!("unknown {id}: {port} at {ip}")).into_iter().collect();
        };
        let here = designated.is_some_and(|(_, patch)| patch.chassis.as_str() == ME);
        let mut said = vec![format!("unknown {id}: {}{}", port.port_id, if here { "" } else { " not from tunnels" })];
        let name = format!("tp-{:x}-{:x}", id.get(), port.port_id.get());
        if let Some((_, found)) = self.patch.iter().find(|(n, found)| *n == name && found.bridge == *patch.bridge) {
            let (ofport, vlan) = (found.ofport, patch.vlan.unwrap_or(0));
            said.push(format!("patch in {ofport} {vlan}: {id} {}", port.port_id));
            said.push(format!("patch out {id} {}: {ofport} {vlan}", port.port_id));
        }
        said
    }
}
