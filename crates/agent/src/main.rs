//! `tuplenet`: the agent of a host, and the embedded store.
//!
//! - [`core`]: the agent without I/O; [`driver`]: its hands. [`agent`]: the loop that joins them; [`sources`]: what it waits for.
//! - [`config`]: what it was told. [`boot`]: what it must know first. [`cleanup`]: taking everything back.
//! - [`store`]: the embedded store in this process. [`metrics`]: for Prometheus.

mod agent;
mod boot;
mod cleanup;
mod config;
mod core;
mod driver;
mod metrics;
mod notify;
mod sources;
mod store;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use config::{LogFormat, Logging, Options};
use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode};
use tokio::task::LocalSet;
use tracing_subscriber::EnvFilter;

/// The TupleNet agent and store.
#[derive(Debug, Parser)]
#[command(name = "tuplenet", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent of this host. Options are also read from TUPLENET_* variables and from the file of --config; flags win over variables,
    /// variables over the file
    Agent(Box<AgentArgs>),
    /// Run the embedded store: etcd v3's protocol over one file, for a single machine
    Store(StoreArgs),
}

#[derive(Debug, clap::Args)]
struct AgentArgs {
    #[command(flatten)]
    options: Options,
    /// Read more options from this TOML file
    #[arg(long, value_name = "FILE.toml", env = "TUPLENET_CONFIG")]
    config: Option<PathBuf>,
    /// Remove what the agent made on this host and wrote to the store, then exit
    #[arg(long, env = "TUPLENET_CLEANUP")]
    cleanup: bool,
}

#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// The file that holds everything; made if it is missing
    #[arg(long, value_name = "FILE", env = "TUPLENET_DATA")]
    data: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDR", env = "TUPLENET_LISTEN", default_value_t = config::STORE_LISTEN)]
    listen: SocketAddr,
    /// Form of the log: text or json
    #[arg(long, value_name = "FORMAT", env = "TUPLENET_LOG_FORMAT", default_value = "text")]
    log_format: String,
    /// What to log: error, warn, info, debug, trace, or directives of tracing
    #[arg(long, value_name = "LEVEL", env = "TUPLENET_LOG", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, also where a cause has several.
            let text = format!("{error:#}").replace('\n', " ");
            eprintln!("tuplenet: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Agent(args) => {
            let AgentArgs { mut options, config, cleanup } = *args;
            if let Some(file) = config {
                options = options.or(Options::from_file(&file)?);
            }
            start_log(&options.logging()?)?;
            let rundir = std::env::var("OVS_RUNDIR").unwrap_or_else(|_| "/var/run/openvswitch".into());
            let settings = options.settings(&rundir, std::env::var("TUPLENET_PASSWORD").ok())?;
            block_on(async move { if cleanup { cleanup::run(settings).await } else { agent::run(settings).await } })
        }
        Command::Store(args) => {
            let options = Options { log_format: Some(args.log_format), log: Some(args.log), ..Options::default() };
            start_log(&options.logging()?)?;
            block_on(async move { store::run(&args.data, args.listen).await })
        }
    }
}

/// Everything runs on this one thread; the embedded store brings a thread of its own for its file.
fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let result = LocalSet::new().block_on(&runtime, work);
    // Nothing that is still under way may keep the process from ending.
    runtime.shutdown_background();
    result
}

fn start_log(logging: &Logging) -> Result<()> {
    // What these say of their connections the core says, too, and of which it is part.
    let quiet = ",tuplenet_openflow::connection=off,tuplenet_store::mirror=off";
    let level = logging.filter.as_str();
    let directives =
        if matches!(level, "error" | "warn" | "info") { format!("{level}{quiet}") } else { level.to_owned() };
    let filter = EnvFilter::try_new(directives).map_err(|e| anyhow!("--log {}: {e}", logging.filter))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match logging.format {
        LogFormat::Text => log.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
