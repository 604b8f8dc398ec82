//! A switch that only listens: it tells what `ovs-ofctl add-flows` sends it.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A directory that goes when it is dropped.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tuplenet-ofctl-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The flow mods into which `ovs-ofctl -O OpenFlow15 add-flows` turns these lines, whole messages.
pub fn add_flows(lines: &[String]) -> Vec<Vec<u8>> {
    let dir = Dir::new();
    let (socket, file) = (dir.path().join("switch"), dir.path().join("flows"));
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let child = Command::new("ovs-ofctl")
        .args(["-O", "OpenFlow15", "--timeout=30", "add-flows"])
        .arg(format!("unix:{}", socket.display()))
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let mut child =
        Running(child.unwrap_or_else(|e| panic!("ovs-ofctl: {e}: these tests need the package openvswitch-switch")));
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
            Err(_) if child.0.try_wait().unwrap().is_some() => break,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    drop(listener);
    let _ = child.0.wait();
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(caught.len() == lines.len(), "ovs-ofctl sent {} of {} flows: {log}", caught.len(), lines.len());
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
