//! The server's binary: arguments, configuration, server, exit code.

use std::io::{BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use oxkeeper::cli::{Cli, Launch};
use oxkeeper::config::{Config, ConfigError, Environment};
use oxkeeper::logging;
use oxkeeper::server::{Server, ServerError, store_options};
use oxkeeper::tools::{ToolError, doctor};

fn main() -> ExitCode {
    let launch = Cli::parse().launch().unwrap_or_else(|error| error.exit());
    match &launch {
        Launch::Tool(tool) => return run_tool(|out| tool.run(out)),
        Launch::Doctor { .. } => return run_tool(|out| examine(&launch, out)),
        _ => give_memory_back(),
    }
    // Until the last line: dropped, it waits for what was logged.
    let _log = match logging::start() {
        Ok(log) => log,
        Err(error) => {
            let _nobody_listens = writeln!(std::io::stderr(), "cannot start the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let config = match launch.config(&Environment::of_process()) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(ConfigError::EXIT_CODE);
        }
    };
    for remark in config.remarks() {
        tracing::warn!("{remark}");
    }
    match run(&launch, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Starts the program anew, in the same process, with settings under which glibc gives freed memory back to the
/// system: it reads them when a process starts, and otherwise keeps tens of megabytes of what one burst of large
/// replies took. Where that does not work the server runs without.
fn give_memory_back() {
    const SETTINGS: [(&str, &str); 2] =
        [("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];
    let is_set = |(name, _): &(&str, &str)| std::env::var_os(name).is_some();
    let mut arguments = std::env::args_os();
    let (false, Some(name), Ok(program)) =
        (SETTINGS.iter().any(is_set), arguments.next(), std::env::current_exe())
    else {
        return;
    };
    let _only_if_it_failed = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).exec();
}

/// What it finds goes to standard output, what keeps it from its work to standard error.
fn run_tool(run: impl FnOnce(&mut dyn Write) -> Result<(), ToolError>) -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = run(&mut out);
    let flushed = out.flush();
    match done.and_then(|()| flushed.map_err(ToolError::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_listens = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code)
        }
    }
}

/// Looks at a data directory as a server with this configuration would.
fn examine(launch: &Launch, out: &mut dyn Write) -> Result<(), ToolError> {
    let Launch::Doctor { data_dir, log_dir, .. } = launch else { return Ok(()) };
    let config = launch
        .config(&Environment::of_process())
        .map_err(|error| ToolError { message: error.to_string(), exit_code: ConfigError::EXIT_CODE })?;
    let mut options = store_options(&config);
    if let Some(data_dir) = data_dir {
        options.log_dir = doctor::home_of(log_dir.as_ref().unwrap_or(data_dir));
        options.data_dir = doctor::home_of(data_dir);
    }
    doctor::examine(&options, out)
}

fn run(launch: &Launch, config: Config) -> Result<(), ServerError> {
    tracing::info!("Oxkeeper {}, data in {}", env!("CARGO_PKG_VERSION"), config.data_dir.display());
    let server = Server::new(config)?;
    if let Launch::CheckConfig(file) = launch {
        tracing::info!("{}: this configuration is valid", file.display());
        return Ok(());
    }
    server.run()
}
