//! The real switch: a bridge to fill with flows over OpenFlow, as an agent does, and to ask what it would do with a packet.

use super::{
    control::Control,
    daemon::Daemons,
    datapath::Ports,
    trace::{self, Pass, UNDERLAY},
};
use std::net::IpAddr;
use tokio::runtime::Runtime;
use tuplenet_model::entity::EncapKind;
use tuplenet_openflow::{
    Action, Flow, Match,
    connection::{Config, Event, Switch, Target, connect},
    message::{
        FlowMod, GroupMod, Message, MeterBand, MeterCommand, MeterMod, TlvMap, TlvTableCommand, flow_mod::ALL_TABLES,
        meter::meter_flags,
    },
};
use tuplenet_rules::register::option;

/// Bridge ports 1 to this are plain ones.
pub const LOCAL_PORTS: u32 = 16;
/// The flow-based tunnel ports.
pub const TUNNELS: [(EncapKind, &str, u32); 3] =
    [(EncapKind::Geneve, "geneve", 100), (EncapKind::Vxlan, "vxlan", 101), (EncapKind::Gre, "gre", 102)];

const BRIDGE: &str = "br-int";
const UNDERLAY_BRIDGE: &str = "br-phy";

/// A question: what becomes of this packet?
pub struct Question {
    /// The port that it comes from, OpenFlow number.
    pub in_port: u32,
    /// More of what only the switch knows: `tun_id=...`, `metadata=...`, as `ofproto/trace` takes it.
    pub more: String,
    /// The frame.
    pub bytes: Vec<u8>,
    /// States of connections that `ct` is to find, one a recirculation (`--ct-next`).
    pub ct_next: Vec<String>,
}

impl Question {
    fn words(&self) -> Vec<String> {
        let mut flow = format!("in_port={}", self.in_port);
        if !self.more.is_empty() {
            flow = format!("{flow},{}", self.more);
        }
        let mut words = vec!["ofproto/trace".to_owned(), BRIDGE.to_owned(), flow];
        words.extend(self.ct_next.iter().map(|state| format!("--ct-next={state}")));
        words.push(hex(&self.bytes));
        words
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A switch of its own for one test.
pub struct Real {
    // In the order in which they end.
    switch: Switch,
    runtime: Runtime,
    control: Control,
    /// Datapath ports to OpenFlow ports.
    pub ports: Ports,
    _daemons: Daemons,
}

impl Real {
    /// Starts it; `endpoints` are the addresses that tunnels may lead to, all in 192.0.2.0/24 or 2001:db8::/64.
    pub fn start(endpoints: impl IntoIterator<Item = IpAddr>, meters: &[u32]) -> Real {
        let daemons = Daemons::start();
        let mut words = words("add-br br-phy -- set bridge br-phy datapath_type=dummy protocols=[OpenFlow15]");
        words.extend(self::words("-- add-port br-phy phy0 -- set interface phy0 type=dummy ofport_request=1"));
        words.extend(self::words("-- add-br br-int -- set bridge br-int datapath_type=dummy fail_mode=secure"));
        words.extend(self::words("protocols=[OpenFlow15]"));
        for n in 1..=LOCAL_PORTS {
            words.extend(self::words(&format!(
                "-- add-port br-int p{n} -- set interface p{n} type=dummy ofport_request={n}"
            )));
        }
        for (_, kind, n) in TUNNELS {
            words.extend(self::words(&format!(
                "-- add-port br-int tun-{kind} -- set interface tun-{kind} type={kind} ofport_request={n} \
                 options:remote_ip=flow options:key=flow"
            )));
        }
        daemons.vsctl(&words);
        let mut control = Control::connect(&daemons.path().join("ctl"));
        // What it takes to send into a tunnel: an address of ours, a route, and the neighbour's MAC.
        for address in ["ip4addr br-phy 192.0.2.254/24", "ip6addr br-phy 2001:db8::ffff/64"] {
            let words: Vec<_> = format!("netdev-dummy/{address}").split(' ').map(str::to_owned).collect();
            control.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        control.ask(&["ovs/route/add", "192.0.2.0/24", UNDERLAY_BRIDGE]);
        control.ask(&["ovs/route/add", "2001:db8::/64", UNDERLAY_BRIDGE]);
        for ip in endpoints {
            control.ask(&["tnl/neigh/set", UNDERLAY_BRIDGE, &ip.to_string(), "aa:55:aa:55:00:01"]);
        }
        let ports = ports(&control.ask(&["dpif/show"]));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let underlay = runtime.block_on(connected(&daemons, UNDERLAY_BRIDGE));
        let out = Flow { cookie: UNDERLAY, ..Flow::new(0, 1, Match::new(), vec![Action::output(1)]) };
        runtime.block_on(underlay.request(FlowMod::add(out).into())).expect("a flow of the underlay");
        let switch = runtime.block_on(connected(&daemons, BRIDGE));
        let map = TlvMap { class: option::CLASS, kind: option::TYPE, len: option::LEN, index: 0 };
        runtime.block_on(switch.tlv_table_mod(TlvTableCommand::Add, vec![map])).expect("the option is mapped");
        for id in meters {
            let bands = vec![MeterBand::drop(1000, 1000)];
            let meter = MeterMod { command: MeterCommand::Add, flags: meter_flags::PKTPS, meter_id: *id, bands };
            runtime.block_on(switch.request(Message::MeterMod(meter))).expect("a meter");
        }
        Real { switch, runtime, control, ports, _daemons: daemons }
    }

    /// Makes these the only flows and groups, in one bundle.
    ///
    /// # Errors
    /// The switch refuses one of them: which, and why.
    pub fn install(
        &mut self,
        flows: impl IntoIterator<Item = Flow>,
        groups: impl IntoIterator<Item = GroupMod>,
    ) -> Result<(), String> {
        let mut messages = vec![FlowMod::delete_all(ALL_TABLES, 0, 0).into()];
        messages.push(Message::GroupMod(GroupMod::delete(GroupMod::ALL)));
        messages.extend(groups.into_iter().map(Message::GroupMod));
        messages.extend(flows.into_iter().map(|flow| Message::from(FlowMod::add(flow))));
        self.runtime.block_on(self.switch.bundle(messages)).map_err(|error| error.to_string())
    }

    /// What becomes of each of these packets; what it cannot read of an answer, it tells with the answer.
    pub fn trace(&mut self, questions: &[Question]) -> Vec<Result<Traced, String>> {
        let words: Vec<Vec<String>> = questions.iter().map(Question::words).collect();
        let answers = self.control.ask_all(&words).into_iter().zip(&words);
        answers
            .map(|(answer, words)| {
                let text = answer.map_err(|why| format!("{words:?}: {why}"))?;
                let passes = trace::parse(&text).map_err(|why| format!("{why}\n{words:?}\n{text}"))?;
                Ok(Traced { passes, text })
            })
            .collect()
    }
}

/// An answer: read, and as it was.
#[derive(Debug)]
pub struct Traced {
    /// The passes of the packet.
    pub passes: Vec<Pass>,
    /// For people.
    pub text: String,
}

async fn connected(daemons: &Daemons, bridge: &str) -> Switch {
    let target = Target::Unix(daemons.path().join(format!("{bridge}.mgmt")));
    let (switch, mut events) = connect(Config::new(target));
    loop {
        match events.recv().await {
            Some(Event::Up(_)) => break,
            Some(_) => {}
            None => panic!("the connection's task ended"),
        }
    }
    // Nobody reads what the switch says unasked; it says nothing, since no packet passes.
    switch
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Reads lines like `    p1 1/2: (dummy)`: name, OpenFlow port, datapath port. The underlay's own do not matter.
fn ports(text: &str) -> Ports {
    let (_, own) = text.split_once(&format!("{BRIDGE}:\n")).expect("the bridge is shown");
    let own: Vec<&str> = own.lines().take_while(|line| line.starts_with("    ")).collect();
    let numbers = own.iter().filter_map(|line| {
        let (of, datapath) = line.split_whitespace().nth(1)?.trim_end_matches(':').split_once('/')?;
        Some((datapath.parse().ok()?, of.parse().ok()?))
    });
    numbers.collect()
}
