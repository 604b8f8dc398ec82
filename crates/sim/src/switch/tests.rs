#![allow(clippy::unwrap_used)]
use super::*;

fn packet() -> Packet {
    Packet::parse(&[0xf2, 1, 0, 0, 0, 2, 0xf2, 1, 0, 0, 0, 1, 0x88, 0xb5, 0, 0]).unwrap()
}

fn switch(flows: &[&str]) -> Switch {
    Switch::new(flows.iter().map(|flow| flow.parse().unwrap()), [])
}

fn outputs(run: &Run) -> Vec<u32> {
    let port = |effect: &Effect| match effect {
        Effect::Output { port, .. } => Some(*port),
        _ => None,
    };
    run.effects.iter().filter_map(port).collect()
}

#[test]
fn the_highest_priority_wins() {
    let mut switch =
        switch(&["table=0,priority=1,actions=output:1", "table=0,priority=2,dl_type=0x88b5,actions=output:2"]);
    assert_eq!(outputs(&switch.run(packet(), 0).unwrap()), [2]);
}

#[test]
fn resubmit_goes_on_and_comes_back() {
    let mut switch = switch(&["table=0,actions=resubmit(,1),output:3", "table=1,actions=output:2"]);
    let run = switch.run(packet(), 0).unwrap();
    assert_eq!(outputs(&run), [2, 3]);
    assert_eq!(run.steps.iter().map(|s| s.table).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn an_endless_loop_ends_without_effect() {
    let mut switch = switch(&["table=0,actions=output:2,resubmit(,0)"]);
    let run = switch.run(packet(), 0).unwrap();
    assert!(matches!(run.abort, Some(Abort::TooDeep(_))), "{:?}", run.abort);
    assert_eq!(outputs(&run), Vec::<u32>::new());
}

#[test]
fn a_packet_does_not_return_where_it_came_from() {
    let mut switch = switch(&["table=0,actions=output:1,in_port,set_field:0->in_port,output:1"]);
    let mut packet = packet();
    packet.set(field::IN_PORT, 1_u32);
    assert_eq!(outputs(&switch.run(packet, 0).unwrap()), [1, 1]);
}

#[test]
fn what_it_does_not_know_is_an_error() {
    let mut switch = switch(&["table=0,actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"]);
    let error = switch.run(packet(), 0).unwrap_err().to_string();
    assert!(error.contains("table 0") && error.contains("learn"), "{error}");
}

/// A loop that TTL ends, as two routers make that point at each other: 60 times through 50 tables.
#[test]
fn a_long_way_needs_no_deep_stack() {
    let work = || {
        let chain = (0..49_u8).map(|t| format!("table={t},actions=resubmit(,{})", t + 1));
        let mut switch = Switch::new(chain.map(|flow| flow.parse().unwrap()), []);
        switch.insert("table=49,priority=1,ip,actions=dec_ttl,resubmit(,0)".parse().unwrap());
        switch.insert("table=49,priority=2,ip,nw_ttl=1,actions=output:1".parse().unwrap());
        let header = [0x45, 0, 0, 20, 0, 0, 0, 0, 60, 99, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let frame = [&[2; 12][..], &[8, 0], &header].concat();
        outputs(&switch.run(Packet::parse(&frame).unwrap(), 0).unwrap())
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(work);
    assert_eq!(thread.unwrap().join().unwrap(), [1]);
}

#[test]
fn too_many_lookups_end_without_effect() {
    let flows = (0..13_u8).map(|t| format!("table={t},actions=output:1,resubmit(,{0}),resubmit(,{0})", t + 1));
    let mut switch =
        Switch::new(flows.chain(["table=13,actions=output:2".into()]).map(|flow| flow.parse().unwrap()), []);
    let run = switch.run(packet(), 0).unwrap();
    assert!(matches!(run.abort, Some(Abort::TooManyResubmits(_))), "{:?}", run.abort);
    assert_eq!(outputs(&run), Vec::<u32>::new());
}
