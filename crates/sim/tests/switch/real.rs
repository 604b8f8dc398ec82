//! The real switch: a bridge to fill with flows over OpenFlow, as an agent does, and to ask what it would do with a packet.

use super::{
    control::Control,
    datapath::Ports,
    trace::{self, Pass, UNDERLAY},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};
use tokio::runtime::Runtime;
use tuplenet_fixture::Ovs;
use tuplenet_model::entity::EncapKind;
use tuplenet_openflow::{
    Action, Field, Flow, Match, Value,
    connection::{Config, Event, Switch, Target, connect},
    field,
    message::{
        FlowMod, GroupCommand, GroupMod, GroupProperties, Message, MeterBand, MeterCommand, MeterMod, TlvMap,
        TlvTableCommand, flow_mod::ALL_TABLES, meter::meter_flags,
    },
};
use tuplenet_rules::register::option;
use tuplenet_sim::{Group, Packet};

/// Bridge ports 1 to this are plain ones.
pub const LOCAL_PORTS: u32 = 16;
/// The flow-based tunnel ports.
pub const TUNNELS: [(EncapKind, &str, u32); 3] =
    [(EncapKind::Geneve, "geneve", 100), (EncapKind::Vxlan, "vxlan", 101), (EncapKind::Gre, "gre", 102)];

/// Questions that ovs-vswitchd answers before it looks at anything else (`run_connection` of its `lib/unixctl.c`).
const QUESTIONS_A_ROUND: usize = 10;

const BRIDGE: &str = "br-int";
const UNDERLAY_BRIDGE: &str = "br-phy";

/// A question: what becomes of this packet?
#[derive(Clone, Debug)]
pub struct Question {
    /// The port that it comes from, OpenFlow number.
    pub in_port: u32,
    /// What the tunnel told, if it came by one.
    pub tunnel: Option<Arrival>,
    /// The actions of the packet-out that sends it, if one does.
    pub injected: Option<Vec<Action>>,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// What a tunnel tells beside the packet.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub vni: u32,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub option: Option<u64>,
}

impl Question {
    /// A frame that comes from a port.
    pub fn new(in_port: u32, bytes: Vec<u8>) -> Question {
        Question { in_port, tunnel: None, injected: None, bytes }
    }

    /// What the simulator has to be told beside the frame.
    pub fn fields(&self) -> Vec<(&'static Field, Value)> {
        let mut fields = vec![(field::IN_PORT, self.in_port.into())];
        if let Some(Arrival { vni, src, dst, option }) = self.tunnel {
            fields.push((field::TUN_ID, u64::from(vni).into()));
            for (ip, four, six) in
                [(src, field::TUN_SRC, field::TUN_IPV6_SRC), (dst, field::TUN_DST, field::TUN_IPV6_DST)]
            {
                match ip {
                    IpAddr::V4(ip) => fields.push((four, ip.into())),
                    IpAddr::V6(ip) => fields.push((six, ip.into())),
                }
            }
            fields.extend(option.map(|option| (field::TUN_METADATA0, option.into())));
        }
        fields
    }

    /// The question in the words of ovs-appctl.
    pub fn words(&self) -> Vec<String> {
        let mut flow = format!("in_port={}", self.in_port);
        if let Some(Arrival { vni, src, dst, option }) = self.tunnel {
            let family = if dst.is_ipv6() { "tun_ipv6" } else { "tun" };
            flow = format!("{flow},tun_id={vni},{family}_src={src},{family}_dst={dst}");
            flow.extend(option.map(|option| format!(",tun_metadata0={option:#x}")));
        }
        let name = if self.injected.is_some() { "ofproto/trace-packet-out" } else { "ofproto/trace" };
        let mut words = vec![name.to_owned(), BRIDGE.to_owned(), flow];
        words.push(hex(&self.bytes));
        if let Some(actions) = &self.injected {
            let text = Flow::new(0, 0, Match::new(), actions.clone()).to_string();
            words.extend(text.split_once("actions=").map(|(_, actions)| actions.to_owned()));
        }
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
    endpoints: Vec<IpAddr>,
    meters: Vec<u32>,
    daemons: Ovs,
}

impl Real {
    /// Starts it; `endpoints` are the addresses that tunnels may lead to, all in 192.0.2.0/24 or 2001:db8::/64.
    pub fn start(endpoints: Vec<IpAddr>, meters: &[u32]) -> Real {
        let daemons = Ovs::start("sim");
        let capture = |name: &str| format!("options:tx_pcap={}", daemons.file(&format!("{name}.pcap")).display());
        let mut words = words("add-br br-phy -- set bridge br-phy datapath_type=dummy protocols=[OpenFlow15]");
        words.extend(self::words("-- add-port br-phy phy0 -- set interface phy0 type=dummy ofport_request=1"));
        words.push(capture("phy0"));
        words.extend(self::words("-- add-br br-int -- set bridge br-int datapath_type=dummy fail_mode=secure"));
        words.extend(self::words("protocols=[OpenFlow15]"));
        for n in 1..=LOCAL_PORTS {
            words.extend(self::words(&format!(
                "-- add-port br-int p{n} -- set interface p{n} type=dummy ofport_request={n}"
            )));
            words.push(capture(&format!("p{n}")));
        }
        for (_, kind, n) in TUNNELS {
            words.extend(self::words(&format!(
                "-- add-port br-int tun-{kind} -- set interface tun-{kind} type={kind} ofport_request={n} \
                 options:remote_ip=flow options:key=flow"
            )));
        }
        daemons.vsctl(&words);
        let mut control = Control::connect(&daemons.control());
        // What it takes to send into a tunnel: an address of ours, a route, and the neighbour's MAC.
        for address in ["ip4addr br-phy 192.0.2.254/24", "ip6addr br-phy 2001:db8::ffff/64"] {
            let words: Vec<_> = format!("netdev-dummy/{address}").split(' ').map(str::to_owned).collect();
            control.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        control.ask(&["ovs/route/add", "192.0.2.0/24", UNDERLAY_BRIDGE]);
        control.ask(&["ovs/route/add", "2001:db8::/64", UNDERLAY_BRIDGE]);
        for ip in &endpoints {
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
        Real { switch, runtime, control, ports, endpoints, meters: meters.to_vec(), daemons }
    }

    /// Whether a tunnel can lead there.
    pub fn reaches(&self, ip: IpAddr) -> bool {
        self.endpoints.contains(&ip)
    }

    /// Where a tunnel leads that a packet leaves by, if a route leads there: of two addresses the IPv4 one counts, and a mark chooses other routes.
    pub fn leads(&self, packet: &Packet) -> Option<IpAddr> {
        let number = |field| packet.get(field).and_then(|value| value.to_u128()).unwrap_or(0);
        if number(field::PKT_MARK) != 0 {
            return None;
        }
        let ip: IpAddr = match number(field::TUN_DST) {
            0 => Ipv6Addr::from(number(field::TUN_IPV6_DST)).into(),
            four => Ipv4Addr::from(four as u32).into(),
        };
        self.reaches(ip).then_some(ip)
    }

    /// The file that has what a port sent.
    pub fn capture(&self, port: &str) -> PathBuf {
        self.daemons.file(&format!("{port}.pcap"))
    }

    /// Forgets what earlier packets taught: the datapath's cache and the connections.
    pub fn forget(&mut self) {
        for word in ["revalidator/purge", "dpctl/flush-conntrack"] {
            self.control.ask(&[word]);
        }
    }

    /// Starts all anew if ovs-vswitchd has died, so that what killed it can be made smaller.
    pub fn revive(&mut self) -> bool {
        let dead = !self.daemons.is_alive();
        if dead {
            *self = Real::start(self.endpoints.clone(), &self.meters);
        }
        dead
    }

    /// Lets a frame come in by a port, and waits until it is through.
    pub fn send(&mut self, port: u32, frame: &[u8]) {
        let receive = ["netdev-dummy/receive".to_owned(), format!("p{port}"), hex(frame)].to_vec();
        // In each round of its loop the daemon takes packets in first, then ten questions at most.
        let more = std::iter::repeat_n(vec!["version".to_owned()], 2 * QUESTIONS_A_ROUND);
        let questions: Vec<Vec<String>> = std::iter::once(receive).chain(more).collect();
        for (answer, question) in self.control.ask_all(&questions).into_iter().zip(questions) {
            answer.unwrap_or_else(|e| panic!("{question:?}: {e}"));
        }
    }

    /// Asks the daemon something, as ovs-appctl does.
    pub fn ask(&mut self, words: &[&str]) -> String {
        self.control.ask(words)
    }

    /// Tells the bridge, in one bundle.
    pub fn tell(&mut self, messages: Vec<Message>) {
        self.runtime.block_on(self.switch.bundle(messages)).expect("the switch takes it");
    }

    /// Makes these the only flows and groups, in one bundle.
    ///
    /// # Errors
    /// The switch refuses one of them: which, and why.
    pub fn install(&mut self, flows: &[Flow], groups: &[Group]) -> Result<(), String> {
        let mut messages = vec![FlowMod::delete_all(ALL_TABLES, 0, 0).into()];
        messages.push(Message::GroupMod(GroupMod::delete(GroupMod::ALL)));
        messages.extend(groups.iter().cloned().map(|Group { id, kind, selection, buckets }| {
            let properties = GroupProperties { selection, ..GroupProperties::default() };
            let command = GroupMod { properties, ..GroupMod::new(GroupCommand::Add, kind, id, buckets) };
            Message::GroupMod(command)
        }));
        messages.extend(flows.iter().map(|flow| Message::from(FlowMod::add(flow.clone()))));
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
pub struct Traced {
    /// The passes of the packet.
    pub passes: Vec<Pass>,
    /// For people.
    pub text: String,
}

async fn connected(daemons: &Ovs, bridge: &str) -> Switch {
    let target = Target::Unix(daemons.bridge(bridge));
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
