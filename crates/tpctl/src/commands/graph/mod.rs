//! `graph`: the network, drawn.

use super::Context;
use anyhow::Result;
use std::process::ExitCode;

/// `tpctl graph ...`
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Does it.
pub async fn graph(_context: &Context, _args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
