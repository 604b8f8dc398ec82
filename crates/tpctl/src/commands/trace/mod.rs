//! `trace`: the path of a packet.

use super::Context;
use anyhow::Result;
use std::process::ExitCode;

/// `tpctl trace ...`
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Does it.
pub async fn trace(_context: &Context, _args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
