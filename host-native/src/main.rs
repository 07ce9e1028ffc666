//! The command `omendb`: reads the command line and the settings, and starts what was asked for.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use omendb::config::{Config, Flags, LogFormat};
use omendb::{cli, serve};

/// Statements allocate much that is small and soon given back, often on another thread: here this takes
/// less time than with the system's allocator, and memory goes back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A PostgreSQL-compatible database for transactions and analytics.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (what happens without a command)
    Serve(ServeArgs),
    /// Run SQL against a data directory, without a server
    Sql(SqlArgs),
    /// Verify a data directory
    Check {
        /// The data directory
        #[arg(value_name = "DIR", default_value = "omendb-data")]
        directory: PathBuf,
        #[command(flatten)]
        source: Source,
    },
}

/// Where settings come from besides the command line.
#[derive(Args)]
struct Source {
    /// Configuration file [default: ./omendb.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
#[command(
    after_help = "Every setting can also stand in omendb.toml, or in an environment variable \
    OMENDB_<SETTING>, such as OMENDB_SUPERUSER_PASSWORD. See omendb.example.toml."
)]
struct ServeArgs {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args)]
struct SqlArgs {
    /// SQL to run; without it and without FILE, a prompt (or standard input)
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    command: Option<String>,
    /// File with SQL
    #[arg(value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    format: cli::OutputFormat,
    #[arg(long, value_name = "FILE")]
    /// Configuration file [default: ./omendb.toml, if it is there]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, String> {
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    match command {
        Command::Serve(args) => {
            let config = load(args.source.config, &args.flags)?;
            start_log(&config)?;
            let runtime = runtime(&config)?;
            let served = runtime.block_on(serve::serve(config));
            // A query that does not end does not keep the server from ending.
            runtime.shutdown_background();
            served.map(|()| ExitCode::SUCCESS)
        }
        Command::Sql(args) => {
            let mut config = load(args.config, &args.flags)?;
            if args.flags.log.is_none() {
                config.log = "warn".into();
            }
            start_log(&config)?;
            let input = match (args.command, args.file) {
                (Some(sql), _) => cli::Input::Text(sql),
                (None, Some(file)) => cli::Input::File(file),
                (None, None) => cli::Input::Standard,
            };
            runtime(&config)?.block_on(cli::sql(&config, input, args.format))
        }
        Command::Check { directory, source } => {
            let flags = Flags {
                data_dir: Some(directory),
                log: Some("warn".into()),
                ..Flags::default()
            };
            let config = load(source.config, &flags)?;
            start_log(&config)?;
            runtime(&config)?.block_on(cli::check(&config))
        }
    }
}

fn load(file: Option<PathBuf>, flags: &Flags) -> Result<Config, String> {
    // A variable that is not UTF-8 cannot be a setting.
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    Config::load(file.as_deref(), variables, flags).map_err(|error| error.to_string())
}

fn runtime(config: &Config) -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_stack_size(serve::THREAD_STACK)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))
}

/// Logs to standard error.
fn start_log(config: &Config) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log)
        .map_err(|error| format!("log: \"{}\" is not a log filter: {error}", config.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
