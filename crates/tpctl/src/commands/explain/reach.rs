//! stub
use crate::commands::Context;
use anyhow::Result;
use std::process::ExitCode;
/// `explain reach A B`
#[derive(clap::Args, Debug)]
pub struct Args {}
pub async fn explain(_context: &Context, _args: &Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
