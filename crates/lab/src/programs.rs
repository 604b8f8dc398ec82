//! Where the programs under test are: beside the program that runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Finds a program of this workspace, `tuplenet` or `tpctl`.
///
/// In this order: the directory in `TUPLENET_BIN_DIR`; what cargo says in `CARGO_BIN_EXE_<name>`; the directory of
/// the running program, or the one above (test programs stand in `deps/` of the target directory).
///
/// # Errors
/// It is in none of them, with the command that builds it.
pub fn program(name: &str) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("TUPLENET_BIN_DIR") {
        let path = Path::new(&directory).join(name);
        if path.is_file() {
            return Ok(path);
        }
        bail!("TUPLENET_BIN_DIR={} has no program {name}", directory.to_string_lossy());
    }
    if let Some(path) = std::env::var_os(format!("CARGO_BIN_EXE_{name}")) {
        return Ok(path.into());
    }
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let found = this.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.is_file());
    let package = if name == "tuplenet" { "agent" } else { name };
    found.with_context(|| {
        format!("no program {name} beside {}: build it by `cargo build -p tuplenet-{package}`", this.display())
    })
}
