//! The address that metrics are read at: HTTP/1.1, GET only, one answer a connection. All that a scraper needs fits here, so no HTTP library is
//! carried along; what comes from outside is bounded in size, time and number.

use anyhow::{Context, Result};
use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The longest request head that is read. Scrapers send a few hundred bytes.
const MAX_HEAD: usize = 8 * 1024;
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many exchanges may go on at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 16;

/// What is served: a path gives a content type and a body, or is not found.
pub type Pages = Rc<dyn Fn(&str) -> Option<(&'static str, String)>>;

/// Listens; [`serve`] then answers.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot serve metrics on {address}: choose another address with --metrics, or --metrics off")
    })
}

/// Answers until it is dropped. Must run in a `LocalSet`: the pages are those of this thread.
pub async fn serve(listener: TcpListener, pages: Pages) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Rc::clone(&pages);
                tokio::task::spawn_local(async move {
                    // A scraper that went away is its own problem.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, &pages)).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, most likely: that passes, and a busy loop would not help it pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Ok(());
        }
        head.extend_from_slice(chunk.get(..n).unwrap_or_default());
        if head.len() > MAX_HEAD {
            return respond(
                &mut stream,
                "431 Request Header Fields Too Large",
                "text/plain",
                "the request is too long\n",
            )
            .await;
        }
    }
    match request_path(&head) {
        Err(status) => respond(&mut stream, status, "text/plain", "only GET is served here\n").await,
        Ok(path) => match pages(path) {
            Some((kind, body)) => respond(&mut stream, "200 OK", kind, &body).await,
            None => respond(&mut stream, "404 Not Found", "text/plain", "try /metrics or /healthz\n").await,
        },
    }
}

/// The path of a GET's request line (RFC 9112, section 3), without its query.
fn request_path(head: &[u8]) -> Result<&str, &'static str> {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "400 Bad Request")?;
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("GET"), Some(target), Some(version), None) if version.starts_with("HTTP/1.") => {
            Ok(target.split('?').next().unwrap_or(target))
        }
        (Some(_), Some(_), Some(version), None) if version.starts_with("HTTP/1.") => Err("405 Method Not Allowed"),
        _ => Err("400 Bad Request"),
    }
}

async fn respond(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_well_formed_gets_have_a_path() {
        assert_eq!(request_path(b"GET /metrics?x=1 HTTP/1.1\r\n\r\n"), Ok("/metrics"));
        assert_eq!(request_path(b"POST /metrics HTTP/1.1\r\n\r\n"), Err("405 Method Not Allowed"));
        for bad in [&b""[..], b"GET\r\n", b"GET / HTTP/2\r\n", b"GET / x HTTP/1.1\r\n", b"\xff\xfe / HTTP/1.1\r\n"] {
            assert_eq!(request_path(bad), Err("400 Bad Request"));
        }
    }

    async fn exchange(request: &[u8]) -> String {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let local = tokio::task::LocalSet::new();
        let request = request.to_vec();
        local
            .run_until(async move {
                let pages: Pages = Rc::new(|path| (path == "/metrics").then(|| ("text/plain", "up 1\n".to_owned())));
                let server = tokio::task::spawn_local(serve(listener, pages));
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(&request).await.unwrap();
                let mut reply = Vec::new();
                // An answer to a request that is too long may be cut short by a reset: what came before it counts.
                while let Ok(n) = stream.read_buf(&mut reply).await {
                    if n == 0 {
                        break;
                    }
                }
                server.abort();
                String::from_utf8(reply).unwrap()
            })
            .await
    }

    #[tokio::test]
    async fn pages_are_served_and_others_are_not_found() {
        let reply = exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\nup 1\n"), "{reply}");
        assert!(exchange(b"GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
        assert!(exchange(b"PUT /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let reply = exchange(&vec![b'a'; MAX_HEAD + 1]).await;
        assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
    }
}
