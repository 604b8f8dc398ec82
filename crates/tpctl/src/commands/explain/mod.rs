//! `explain`: why.

use super::Context;
use anyhow::Result;
use std::process::ExitCode;

/// `tpctl explain ...`
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Does it.
pub async fn explain(_context: &Context, _args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
