//! Edges, made and taken away: each in one transaction.

use super::{NetworkError, NetworkStore, claims, edit::Change, plan::Plan, snapshot::Snapshot};
use std::net::IpAddr;
use tuplenet_model::{
    edge::{self, Edge, EdgeError, NewEdge, Taken},
    key::Key,
    name::Name,
    network::Network,
};

/// What is going to be done about an edge.
#[derive(Debug)]
pub struct EdgePlan {
    /// The edge's router.
    pub edge: Name,
    plan: Plan,
    snapshot: Snapshot,
}

impl EdgePlan {
    /// The changes, in the order of the objects' paths.
    pub fn changes(&self) -> &[Change] {
        &self.plan.changes
    }
}

impl From<EdgeError> for NetworkError {
    fn from(error: EdgeError) -> Self {
        NetworkError::Refused(error.to_string())
    }
}

impl NetworkStore {
    /// A first edge, or another one beside those that are there.
    pub async fn plan_edge(&self, new: &NewEdge) -> Result<EdgePlan, NetworkError> {
        let chassis = &new.patch.chassis;
        let status = self.get_paths(&[format!("status/{chassis}/alive")]).await?.pop().flatten();
        let snapshot = self.snapshot().await?;
        if !snapshot.objects.contains_key(&Key::Chassis(chassis.clone())) {
            return Err(NetworkError::missing(&Key::Chassis(chassis.clone())));
        }
        let Some(status) = status else {
            return Err(NetworkError::Refused(format!(
                "chassis {chassis} is dead: start its agent first; \"tpctl ch show\" shows which are alive"
            )));
        };
        // An agent says which bridges it sees; one of an older version does not.
        let status: serde_json::Value = serde_json::from_slice(&status.value).unwrap_or_default();
        let bridges = status.get("bridges").and_then(|bridges| bridges.as_array());
        if let Some(bridges) = bridges
            && !bridges.iter().any(|bridge| bridge.as_str() == Some(&new.patch.bridge))
        {
            let bridges: Vec<&str> = bridges.iter().filter_map(|bridge| bridge.as_str()).collect();
            return Err(NetworkError::Refused(format!(
                "chassis {chassis} has no bridge {}: make it there with \"ovs-vsctl add-br {} -- add-port {} NIC\"{}",
                new.patch.bridge,
                new.patch.bridge,
                new.patch.bridge,
                if bridges.is_empty() { String::new() } else { format!("; it has {}", bridges.join(", ")) }
            )));
        }
        let network = snapshot.network();
        let (edge, wanted) = new.build(&network, &taken(&snapshot))?;
        self.edge_plan(edge, snapshot, &network, &wanted)
    }

    /// The edge with an address outside goes, with all that was made for it.
    pub async fn plan_edge_removal(&self, vip: IpAddr) -> Result<EdgePlan, NetworkError> {
        let snapshot = self.snapshot().await?;
        let network = snapshot.network();
        let found = edge::edges(&network).into_iter().find(|edge| edge.vips.iter().any(|net| net.addr() == vip));
        let Some(edge) = found else {
            let what = format!("an edge with the address {vip}");
            return Err(NetworkError::NotFound { what, remedy: "see \"tpctl edge show\"".into() });
        };
        if !edge.made {
            return Err(NetworkError::Refused(format!(
                "router {0} was not made by \"tpctl edge\": delete it with \"tpctl lr del -r {0}\"",
                edge.router
            )));
        }
        let wanted = edge::without(&network, &edge);
        self.edge_plan(edge.router, snapshot, &network, &wanted)
    }

    /// All edges.
    pub async fn edges(&self) -> Result<Vec<Edge>, NetworkError> {
        Ok(edge::edges(&self.snapshot().await?.network()))
    }

    /// Makes what was planned. Refused if it is no longer as it was shown.
    pub async fn make_edge(&self, plan: &EdgePlan) -> Result<(), NetworkError> {
        self.apply(&plan.plan, &plan.snapshot).await
    }

    fn edge_plan(
        &self,
        edge: Name,
        snapshot: Snapshot,
        network: &Network,
        wanted: &Network,
    ) -> Result<EdgePlan, NetworkError> {
        // Only what the edge changes: not what cannot be read, nor claims that somebody else left undone.
        let touched = |key: &Key| network.get(key) != wanted.get(key);
        let mut concerned = snapshot.clone();
        concerned.objects.retain(|key, _| touched(key));
        let mut part = Network::default();
        for (key, object) in wanted.iter().filter(|(key, _)| touched(key)) {
            part.insert(key.clone(), object.clone());
        }
        let plan = Plan::new(&concerned, &part)?;
        if plan.steps.len() > 1 {
            return Err(NetworkError::Refused(format!(
                "edge {edge} needs {} changes at once, more than the store takes in one transaction: name fewer networks, or delete what was \
                 added to the edge first",
                plan.changes.len()
            )));
        }
        Ok(EdgePlan { edge, plan, snapshot })
    }
}

/// Numbers that are claimed, by whoever it is.
fn taken(snapshot: &Snapshot) -> Taken {
    let mut taken = Taken::default();
    for claim in snapshot.claims.keys() {
        let Some(number) = claims::number(claim) else { continue };
        match claim.split('/').collect::<Vec<_>>()[..] {
            ["claim", "id", _] => drop(taken.datapaths.insert(number)),
            ["claim", "lr", lr, "port", _] => {
                if let (Ok(lr), Ok(number)) = (lr.parse::<Name>(), u16::try_from(number)) {
                    taken.router_ports.entry(lr).or_default().insert(number);
                }
            }
            _ => {}
        }
    }
    taken
}
