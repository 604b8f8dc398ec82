//! HTTP by programs that are none of ours: the server and the client of Python's library, which `openvswitch-switch` needs anyway.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{Process, Vm};

/// Debian's: another one that comes first in `PATH` may start slowly.
const PYTHON: &str = "/usr/bin/python3";
/// Where servers listen, in both families.
const PORT: u16 = 8080;
/// Asks for the first argument, and compares the answer with the file that is the second.
const CLIENT: &str = "
import sys, urllib.request
url, path = sys.argv[1:]
body = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=15).read()
wanted = open(path, 'rb').read()
if body != wanted: sys.exit(f'{len(body)} bytes came, which are not the {len(wanted)} of {path}')
";

/// A web server of a guest, which serves one directory.
#[derive(Clone, Debug)]
pub struct WebServer {
    process: Process,
}

impl Vm {
    /// Starts a web server that serves `directory` on port 8080 of all addresses.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve_http(&self, directory: &Path) -> Result<WebServer> {
        let directory = directory.to_str().context("a directory's name is no UTF-8")?;
        let port = PORT.to_string();
        let argv = [PYTHON, "-u", "-m", "http.server", &port, "--bind", "::", "--directory", directory];
        let lab = self.host().lab();
        let log = lab.directory.join(format!("{}-http.log", self.name()));
        let name = format!("{}'s web server", self.name());
        let process = lab.start(&name, &self.netns().enter(&argv), &[], &log)?;
        process.wait_ready(std::time::Duration::from_secs(30), || {
            ensure!(process.log_text().contains("Serving HTTP"), "it does not listen yet");
            Ok(())
        })?;
        Ok(WebServer { process })
    }

    /// Gets `/NAME` from the web server at `address`, and compares it with the file of that name below `directory`.
    ///
    /// # Errors
    /// No answer, an error of the server, or another content.
    pub fn get_http(&self, address: &str, directory: &Path, name: &str) -> Result<()> {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let path = directory.join(name);
        let argv = [PYTHON, "-c", CLIENT, &format!("http://{host}:{PORT}/{name}"), &path.to_string_lossy()];
        let got = self.run(&argv).map(drop);
        got.with_context(|| format!("HTTP from {} to {address}", self.name())).inspect_err(|_| self.host().lab().fail())
    }
}

impl WebServer {
    /// Who asked until now, one address a request, in order.
    pub fn clients(&self) -> Vec<String> {
        let log = self.process.log_text();
        let asked = log.lines().filter(|line| line.contains("\"GET "));
        let client = |line: &str| line.split(' ').next().unwrap_or_default().trim_start_matches("::ffff:").to_owned();
        asked.map(client).collect()
    }
}
