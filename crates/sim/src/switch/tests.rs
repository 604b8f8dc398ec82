//! What the interpreter does with tables, actions and groups, one thing at a time.

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
    assert!(matches!(run.abort, Some((Abort::TooDeep(_), _))), "{:?}", run.abort);
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
    assert!(matches!(run.abort, Some((Abort::TooManyResubmits(_), _))), "{:?}", run.abort);
    assert_eq!(outputs(&run), Vec::<u32>::new());
}

/// An IPv4 packet with this TTL.
fn ip(ttl: u8) -> Packet {
    let header = [0x45, 0, 0, 28, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 53, 0, 8, 0, 0];
    Packet::parse(&[&[2; 12][..], &[8, 0], &header].concat()).unwrap()
}

fn group(id: u32, kind: GroupKind, buckets: &[(&str, Option<u16>, Option<u32>)]) -> Group {
    let bucket = |(at, (actions, weight, watch)): (usize, &(&str, Option<u16>, Option<u32>))| {
        let flow: Flow = format!("actions={actions}").parse().unwrap();
        let watch_port = *watch;
        Bucket { weight: *weight, watch_port, ..Bucket::new(at as u32, flow.actions().to_vec()) }
    };
    Group { id, kind, selection: None, buckets: buckets.iter().enumerate().map(bucket).collect() }
}

#[test]
fn a_group_works_on_copies() {
    let mut switch = switch(&["actions=group:1,output:9", "table=1,reg0=1,actions=output:3"]);
    let buckets = [
        ("output:2,set_field:1->reg0", None, None),
        ("resubmit(,1),set_field:1->reg0", None, None),
        ("resubmit(,1)", None, None),
    ];
    switch.insert_group(group(1, GroupKind::All, &buckets));
    let run = switch.run(packet(), 0).unwrap();
    // A bucket's actions run in the order of an action set: the field is set first. And each begins with the packet as it came.
    assert_eq!(outputs(&run), [2, 3, 9]);
    assert_eq!(run.last.get(field::REG0), Some(0_u32.into()));
    switch.insert_group(group(1, GroupKind::Indirect, &buckets));
    assert_eq!(outputs(&switch.run(packet(), 0).unwrap()), [2, 9]);
}

#[test]
fn a_select_group_takes_one_by_weight() {
    let mut switch = switch(&["actions=group:1"]);
    let buckets = [("output:1", Some(1), None), ("output:2", Some(2), Some(2)), ("output:3", Some(0), None)];
    switch.insert_group(group(1, GroupKind::Select, &buckets));
    let taken = |switch: &mut Switch| {
        let by_hash = (0..6).map(|hash| {
            switch.set_hash(hash);
            outputs(&switch.run(packet(), 0).unwrap())[0]
        });
        by_hash.collect::<Vec<_>>()
    };
    assert_eq!(taken(&mut switch), [1, 2, 2, 1, 2, 2]);
    switch.set_port_up(2, false);
    assert_eq!(taken(&mut switch), [1; 6]);
}

#[test]
fn fast_failover_takes_the_first_that_is_alive() {
    let mut switch = switch(&["actions=group:1"]);
    switch.insert_group(group(1, GroupKind::FastFailover, &[("output:1", None, Some(1)), ("output:2", None, Some(2))]));
    assert_eq!(outputs(&switch.run(packet(), 0).unwrap()), [1]);
    switch.set_port_up(1, false);
    assert_eq!(outputs(&switch.run(packet(), 0).unwrap()), [2]);
    switch.set_port_up(2, false);
    assert_eq!(outputs(&switch.run(packet(), 0).unwrap()), Vec::<u32>::new());
}

#[test]
fn what_no_bucket_runs_is_an_error() {
    let mut switch = switch(&["actions=group:1", "table=1,actions=group:7"]);
    switch.insert_group(group(1, GroupKind::All, &[("controller(userdata=01),output:1", None, None)]));
    assert!(switch.run(packet(), 0).unwrap_err().to_string().contains("never runs in an action set"));
    assert!(switch.run(packet(), 1).unwrap_err().to_string().contains("group 7, which does not exist"));
}

#[test]
fn a_spent_ttl_ends_the_flow_and_tells_the_controller() {
    let mut switch = switch(&["actions=resubmit(,1),output:2", "table=1,ip,actions=dec_ttl,output:1"]);
    assert_eq!(outputs(&switch.run(ip(2), 0).unwrap()), [1, 2]);
    let run = switch.run(ip(1), 0).unwrap();
    assert_eq!(outputs(&run), [2]);
    assert!(matches!(run.effects[0], Effect::Controller { reason: 2, controller_id: 0, .. }), "{:?}", run.effects);
}

#[test]
fn a_clone_changes_nothing_outside() {
    let mut switch =
        switch(&["actions=clone(set_field:5->reg0,push_vlan:0x8100,set_field:4103->vlan_vid,output:1),output:2"]);
    let run = switch.run(packet(), 0).unwrap();
    let frames: Vec<usize> = run
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Output { packet, .. } => packet.to_bytes().len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((frames, run.last.get(field::REG0)), (vec![20, 16], Some(0_u32.into())));
}

#[test]
fn tags_come_and_go() {
    let mut switch = switch(&[
        "actions=push_vlan:0x8100,set_field:4101->vlan_vid,resubmit(,1)",
        "table=1,dl_vlan=5,actions=push_vlan:0x88a8,set_field:4102->vlan_vid,output:1,pop_vlan,output:2,pop_vlan,output:3",
    ]);
    let run = switch.run(packet(), 0).unwrap();
    let frames = run.effects.iter().map(|effect| match effect {
        Effect::Output { packet, .. } => packet.to_bytes()[12..].to_vec(),
        other => panic!("{other:?}"),
    });
    let inner = [0x81, 0, 0, 5, 0x88, 0xb5, 0, 0];
    let both = [&[0x88, 0xa8, 0, 6][..], &inner].concat();
    assert_eq!(frames.collect::<Vec<_>>(), [both, inner.to_vec(), vec![0x88, 0xb5, 0, 0]]);
}

#[test]
fn registers_stacks_and_lengths() {
    let mut switch = switch(&["actions=set_field:0x11223344->reg1,push:NXM_NX_REG1[8..15],pop:NXM_NX_REG2[16..23],\
         move:NXM_NX_XXREG0[0..63]->NXM_NX_XXREG1[64..127],check_pkt_larger(15)->NXM_NX_REG8[0],check_pkt_larger(16)->NXM_NX_REG8[1]"]);
    let last = switch.run(packet(), 0).unwrap().last;
    let reg = |field| last.get(field).and_then(|v| v.to_u64()).unwrap();
    assert_eq!((reg(field::REG2), reg(field::XREG2), reg(field::REG8)), (0x0033_0000, 0x0033_0000 << 32, 1));
    assert_eq!(reg(field::XREG0), 0x1122_3344);
}

#[test]
fn a_packet_in_may_hold_the_packet() {
    let mut switch = switch(&["actions=controller(userdata=01.02,pause),output:1"]);
    let run = switch.run(packet(), 0).unwrap();
    let [Effect::Controller { userdata, pause: true, .. }] = run.effects.as_slice() else {
        panic!("{:?}", run.effects)
    };
    assert_eq!(*userdata, [1, 2]);
}

#[test]
fn an_action_set_runs_at_the_end_in_its_own_order() {
    let mut switch = switch(&[
        "actions=write_actions(output:1,set_field:3->reg0),goto_table:1",
        "table=1,actions=output:2,write_metadata:0x5,write_actions(output:4)",
    ]);
    let run = switch.run(packet(), 0).unwrap();
    assert_eq!(outputs(&run), [2, 4]);
    assert_eq!(run.last.get(field::REG0), Some(3_u32.into()));
    assert_eq!(run.last.get(field::METADATA), Some(5_u64.into()));
}
