//! IPFIX and sFlow of real traffic: collectors of the test's own hear of the pings between two guests, in both families, and again after the export was
//! deleted by hand.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};
use tuplenet_lab::{AgentSpec, Host, Lab};

const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
";
const DOMAIN: u32 = 7;
const POINT: u32 = 11;

/// Bytes of a datagram, from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).context("the datagram is too short")?;
        self.0 = rest;
        Ok(head)
    }
    fn number(&mut self, length: usize) -> Result<u64> {
        Ok(self.take(length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
    fn u16(&mut self) -> Result<usize> {
        Ok(self.number(2)? as usize)
    }
    fn u32(&mut self) -> Result<u32> {
        Ok(self.number(4)? as u32)
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// From whom to whom, and by which protocol.
type Flow = (IpAddr, IpAddr, u8);

/// A collector of IPFIX: RFC 7011, as much as is needed.
struct Ipfix {
    socket: UdpSocket,
    /// The fields of each template: element (with the enterprise bit, if it is none of IANA's) and length, 65,535 if it varies.
    templates: HashMap<usize, Vec<(usize, usize)>>,
    /// Those of them that are options templates: what is told by them is of the exporter, not of a flow.
    options: HashSet<usize>,
    /// What was told since the exporter began, and how often one began: each tells of its statistics first.
    flows: Vec<Flow>,
    begun: usize,
    /// Sets that told of no flow, but of the exporter itself.
    statistics: usize,
    /// Messages that were not as they are to be. They are kept, as whoever waits for a flow asks again after an error.
    faults: Vec<String>,
}

impl Ipfix {
    fn new(socket: UdpSocket) -> Self {
        Ipfix {
            socket,
            templates: HashMap::new(),
            options: HashSet::new(),
            flows: Vec::new(),
            begun: 0,
            statistics: 0,
            faults: Vec::new(),
        }
    }

    /// Takes in what has come.
    fn read(&mut self) {
        let mut bytes = [0; 65_536];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            if let Err(error) = self.message(&bytes[..length]) {
                self.faults.push(format!("{error:#} in {:02x?}", &bytes[..length]));
            }
        }
    }

    /// RFC 7011 section 3.1, 3.3 and 3.4.
    fn message(&mut self, bytes: &[u8]) -> Result<()> {
        let mut message = Reader(bytes);
        ensure!(message.u16()? == 10, "the version of IPFIX is 10");
        ensure!(message.u16()? == bytes.len(), "the length of the message");
        let (_export_time, _sequence, domain) = (message.u32()?, message.u32()?, message.u32()?);
        let mut of_the_exporter = true;
        while !message.0.is_empty() {
            let (id, length) = (message.u16()?, message.u16()?);
            let mut set = Reader(message.take(length.checked_sub(4).context("a set is shorter than its header")?)?);
            match id {
                2 | 3 => {
                    of_the_exporter &= id == 3;
                    if id == 3 {
                        self.flows.clear();
                        self.begun += 1;
                    }
                    while set.0.len() >= 4 {
                        self.template(&mut set, id == 3)?;
                    }
                }
                256.. if self.options.contains(&id) => self.statistics += 1,
                256.. => {
                    of_the_exporter = false;
                    let fields = self.templates.get(&id).context("data of a template that was not told")?;
                    let shortest: usize =
                        fields.iter().map(|(_, length)| if *length == 65_535 { 1 } else { *length }).sum();
                    while set.0.len() >= shortest {
                        let flow = record(&mut set, fields)?;
                        self.flows.extend(flow);
                    }
                }
                _ => of_the_exporter = false,
            }
        }
        // Section 3.1: what the exporter tells of itself is of no domain.
        ensure!(domain == if of_the_exporter { 0 } else { DOMAIN }, "observation domain {domain}");
        Ok(())
    }

    /// A template record, or one of an options template, which also tells how many of its fields are the scope: sections 3.4.1 and 3.4.2.2.
    fn template(&mut self, set: &mut Reader<'_>, options: bool) -> Result<()> {
        let (template, count) = (set.u16()?, set.u16()?);
        if options {
            set.u16()?;
            self.options.insert(template);
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            let (element, length) = (set.u16()?, set.u16()?);
            if element & 0x8000 != 0 {
                set.u32()?;
            }
            fields.push((element, length));
        }
        self.templates.insert(template, fields);
        Ok(())
    }
}

/// A data record; the numbers are IANA's.
fn record(set: &mut Reader<'_>, fields: &[(usize, usize)]) -> Result<Option<Flow>> {
    let (mut from, mut to, mut protocol) = (None, None, None);
    for (element, length) in fields {
        let length = match length {
            65_535 => match set.number(1)? {
                255 => set.u16()?,
                short => short as usize,
            },
            fixed => *fixed,
        };
        let value = set.take(length)?;
        match element {
            8 | 27 => from = address(value),
            12 | 28 => to = address(value),
            4 => protocol = value.first().copied(),
            138 => ensure!(value.ends_with(&POINT.to_be_bytes()), "observation point {value:02x?}"),
            _ => {}
        }
    }
    Ok(from.zip(to).zip(protocol).map(|((from, to), protocol)| (from, to, protocol)))
}

/// What sFlow told since the agent of Open vSwitch began, and how often one began: each counts its datagrams from 1.
#[derive(Default)]
struct Told {
    begun: usize,
    sequence: u32,
    headers: Vec<Vec<u8>>,
    counters: usize,
    /// Datagrams that were not as they are to be; see [`Ipfix::faults`].
    faults: Vec<String>,
}

/// Takes in what has come.
fn sflow(socket: &UdpSocket, agent: Ipv4Addr, told: &mut Told) {
    let mut bytes = [0; 65_536];
    while let Ok(length) = socket.recv(&mut bytes) {
        if let Err(error) = datagram(&bytes[..length], agent, told) {
            told.faults.push(format!("{error:#} in {:02x?}", &bytes[..length]));
        }
    }
}

/// sFlow version 5 (sflow.org, "sFlow Version 5", section 5).
fn datagram(bytes: &[u8], agent: Ipv4Addr, told: &mut Told) -> Result<()> {
    let mut datagram = Reader(bytes);
    ensure!(datagram.u32()? == 5 && datagram.u32()? == 1, "version 5 of an agent with an IPv4 address");
    ensure!(datagram.u32()? == u32::from(agent), "the agent's address");
    let (_sub_agent, sequence, _uptime, samples) = (datagram.u32()?, datagram.u32()?, datagram.u32()?, datagram.u32()?);
    if sequence <= told.sequence || told.begun == 0 {
        told.headers.clear();
        told.counters = 0;
        told.begun += 1;
    }
    told.sequence = sequence;
    for _ in 0..samples {
        let (kind, length) = (datagram.u32()?, datagram.u32()?);
        let mut sample = Reader(datagram.take(length as usize)?);
        match kind {
            1 => {
                let (_sequence, _source, rate) = (sample.u32()?, sample.u32()?, sample.u32()?);
                ensure!(rate == 1, "a sampling rate of {rate}");
                let (_pool, _drops, _input, _output) = (sample.u32()?, sample.u32()?, sample.u32()?, sample.u32()?);
                for _ in 0..sample.u32()? {
                    let (format, length) = (sample.u32()?, sample.u32()?);
                    let mut record = Reader(sample.take(length as usize)?);
                    // A raw packet header, Ethernet.
                    if format == 1 && record.u32()? == 1 {
                        let (_frame, _stripped, length) = (record.u32()?, record.u32()?, record.u32()?);
                        told.headers.push(record.take(length as usize)?.to_vec());
                    }
                }
            }
            2 => told.counters += 1,
            _ => {}
        }
    }
    Ok(())
}

/// A socket in the host's namespace, and its address.
fn collector(host: &Host) -> Result<(UdpSocket, String)> {
    let socket = host.netns()?.inside(|| Ok(UdpSocket::bind("127.0.0.1:0")?))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?.to_string();
    Ok((socket, address))
}

fn holds(header: &[u8], ip: &str) -> Result<bool> {
    let bytes = match ip.parse()? {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    Ok(header.windows(bytes.len()).any(|part| part == bytes))
}

#[test]
fn collectors_hear_of_the_guests_traffic() -> Result<()> {
    let lab = Lab::new("export")?;
    lab.store()?;
    apply(&lab, NETWORK)?;
    let hosts = lab.hosts(&["hv1", "hv2"])?;
    let (flows, flows_at) = collector(&hosts[0])?;
    let (second, second_at) = collector(&hosts[0])?;
    let (samples, samples_at) = collector(&hosts[0])?;
    let agent = hosts[0].agent(&AgentSpec::new().arguments(&[
        "--ipfix",
        &format!("{flows_at},{second_at},sampling=1,obs_domain_id={DOMAIN},obs_point_id={POINT}"),
        "--sflow",
        &format!("{samples_at},sampling=1,polling=1"),
    ]))?;
    let other = hosts[1].agent(&AgentSpec::new())?;
    let (a1, a2) = (hosts[0].vm(&spec("a1", 1, 1))?, hosts[1].vm(&spec("a2", 1, 2))?);
    for agent in [&agent, &other] {
        agent.wait_settled(PATIENCE)?;
    }
    reaches(&a1, &a2, 64)?;

    let (mut ipfix, mut again) = (Ipfix::new(flows), Ipfix::new(second));
    let mut told = Told::default();
    let mut begun = [0; 3];
    for round in ["at first", "after it was deleted by hand"] {
        for (from, to, protocol) in [(a1.ipv4()?, a2.ipv4()?, 1), (a1.ipv6()?, a2.ipv6()?, 58)] {
            let there: Flow = (from.parse()?, to.parse()?, protocol);
            let back: Flow = (there.1, there.0, protocol);
            lab.wait_until(&format!("IPFIX to tell of {from} -> {to} {round}"), PATIENCE, || {
                a1.must_ping(&to)?;
                for (name, collector, before) in [("first", &mut ipfix, begun[0]), ("second", &mut again, begun[1])] {
                    collector.read();
                    ensure!(collector.begun > before, "to the {name} collector nothing has begun to tell");
                    let flows = &collector.flows;
                    ensure!(flows.contains(&there) && flows.contains(&back), "the {name} collector was told {flows:?}");
                }
                Ok(())
            })?;
            lab.wait_until(&format!("sFlow to tell of {from} -> {to} {round}"), PATIENCE, || {
                a1.must_ping(&to)?;
                sflow(&samples, hosts[0].encap_ip(), &mut told);
                ensure!(told.begun > begun[2], "nothing has begun to tell");
                let mut found = false;
                for header in &told.headers {
                    found |= holds(header, &from)? && holds(header, &to)?;
                }
                ensure!(found && told.counters > 0, "{} headers, {} counters", told.headers.len(), told.counters);
                Ok(())
            })?;
        }
        println!(
            "{round}: {} flow records by {} templates, {} statistics, {} headers and {} counters",
            ipfix.flows.len(),
            ipfix.templates.len(),
            ipfix.statistics,
            told.headers.len(),
            told.counters
        );
        for collector in [&mut ipfix, &mut again] {
            collector.read();
            ensure!(collector.faults.is_empty(), "{round}: {:#?}", collector.faults);
            ensure!(collector.statistics >= collector.begun, "{round}: no statistics of the exporter");
        }
        sflow(&samples, hosts[0].encap_ip(), &mut told);
        ensure!(told.faults.is_empty(), "{round}: {:#?}", told.faults);
        begun = [ipfix.begun, again.begun, told.begun];
        hosts[0].vsctl(&["clear", "Bridge", "br-int", "ipfix", "--", "clear", "Bridge", "br-int", "sflow"])?;
        lab.wait_until("both exports to be back", PATIENCE, || {
            for column in ["ipfix", "sflow"] {
                let row = hosts[0].vsctl(&["get", "Bridge", "br-int", column])?;
                ensure!(row.trim() != "[]", "no {column}");
            }
            Ok(())
        })?;
    }
    Ok(())
}
