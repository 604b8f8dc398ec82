//! Telling systemd that we are ready (sd_notify(3)), when it asks for that by `Type=notify`.

use std::os::unix::net::UnixDatagram;

/// Sends `READY=1` to the socket in `NOTIFY_SOCKET`; does nothing where there is none.
pub fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // An abstract address (systemd may use one) begins with @.
    let sent = match path.to_str().and_then(|p| p.strip_prefix('@')) {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(name)
                .and_then(|address| socket.send_to_addr(b"READY=1", &address))
        }
        None => socket.send_to(b"READY=1", path),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "systemd was not told that we are ready");
    }
}
