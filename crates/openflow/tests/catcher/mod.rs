//! A switch that only listens: it tells what `ovs-ofctl add-flows` sends it.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;
use tuplenet_fixture::{Dir, Process, text};

/// The flow mods into which `ovs-ofctl -O OpenFlow15 add-flows` turns these lines, whole messages.
pub fn add_flows(lines: &[String]) -> Vec<Vec<u8>> {
    let dir = Dir::new("ofctl");
    let (socket, file) = (dir.file("switch"), dir.file("flows"));
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let target = format!("unix:{}", text(&socket));
    let argv = ["ovs-ofctl", "-O", "OpenFlow15", "--timeout=30", "add-flows", &target, &text(&file)];
    let mut ofctl = Process::start(&argv, &[], &dir.file("log"));
    // It connects once to ask for names, and again to send the flows.
    let mut caught = Vec::new();
    listener.set_nonblocking(true).unwrap();
    while caught.len() < lines.len() {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                caught.extend(listen(&mut stream, lines.len()));
            }
            Err(_) if !ofctl.is_running() => break,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    drop(listener);
    ofctl.wait();
    assert!(caught.len() == lines.len(), "ovs-ofctl sent {} of {} flows: {}", caught.len(), lines.len(), ofctl.log());
    caught
}

fn listen(stream: &mut UnixStream, n: usize) -> Vec<Vec<u8>> {
    const HELLO: u8 = 0;
    const FLOW_MOD: u8 = 14;
    const MULTIPART_REQUEST: u8 = 18;
    const BARRIER_REQUEST: u8 = 20;
    send(stream, HELLO, &[0; 4], &[]);
    let mut caught = Vec::new();
    while caught.len() < n {
        let mut message = vec![0; 8];
        if stream.read_exact(&mut message).is_err() {
            break;
        }
        let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
        message.resize(length, 0);
        stream.read_exact(&mut message[8..]).unwrap();
        let xid = message[4..8].to_vec();
        match message[1] {
            FLOW_MOD => caught.push(message),
            BARRIER_REQUEST => send(stream, BARRIER_REQUEST + 1, &xid, &[]),
            // It asks for the tables' names: there is one, without a name worth knowing; or for the ports' names: there are none.
            MULTIPART_REQUEST => {
                let mut body = vec![message[8], message[9], 0, 0, 0, 0, 0, 0];
                if message[9] == 12 {
                    let mut table = [0u8; 64];
                    table[1] = 64;
                    table[8] = b't';
                    body.extend(table);
                }
                send(stream, MULTIPART_REQUEST + 1, &xid, &body);
            }
            _ => {}
        }
    }
    caught
}

fn send(stream: &mut UnixStream, kind: u8, xid: &[u8], body: &[u8]) {
    let mut message = vec![6, kind];
    message.extend((8 + body.len() as u16).to_be_bytes());
    message.extend(xid);
    message.extend(body);
    stream.write_all(&message).unwrap();
}
