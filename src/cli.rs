//! The command line.
//!
//! `oxkeeper [ZOO_CFG]`, `oxkeeper check-config FILE`, and the reference's short form
//! `oxkeeper <port> <datadir> [ticktime] [maxcnxns]`. The path of the file stays in the arguments of
//! the process: operators' scripts look for it there.
//!
//! Turns words into a [`Launch`]; what the settings mean is for `config`.
//! Reference: `QuorumPeerMain`, `ZooKeeperServerMain`, `ServerConfig.parse(String[])`.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment};

/// The command line as clap sees it. Exit code of a wrong one is 2, as in the reference.
#[derive(Debug, Parser)]
#[command(
    name = "Oxkeeper",
    bin_name = "oxkeeper",
    version,
    about = "A coordination server that speaks Apache ZooKeeper's protocols",
    override_usage = "oxkeeper [ZOO_CFG]\n       oxkeeper <PORT> <DATADIR> [TICKTIME_MS] [MAXCNXNS]\n       \
                      oxkeeper check-config <FILE>",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// A zoo.cfg; or a port, a data directory, and perhaps the tick time in milliseconds and the
    /// number of connections per client. Without any: port 2181 of this machine only, data in
    /// ./oxkeeper-data or where OXKEEPER_DATA says
    #[arg(value_name = "ZOO_CFG", num_args = 0..=4)]
    args: Vec<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with a configuration file, and which of its keys do nothing
    CheckConfig {
        /// The file to check
        file: PathBuf,
    },
}

/// What the process was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// Serve with the built-in configuration.
    Embedded,
    /// Serve with this file.
    File(PathBuf),
    /// Serve with these few settings.
    Arguments {
        /// Client port.
        port: u16,
        /// Data directory, for the log too.
        data_dir: PathBuf,
        /// Tick time in milliseconds, if given.
        tick_time_ms: Option<i32>,
        /// Connections per client address, if given.
        max_client_cnxns: Option<i32>,
    },
    /// Check this file and exit: 0 when a server could start with it, 2 when not.
    CheckConfig(PathBuf),
}

impl Cli {
    /// What to do.
    ///
    /// Errors: a number of the short form is not one; clap's error prints itself and knows its
    /// exit code (`error.exit()`).
    pub fn launch(self) -> Result<Launch, clap::Error> {
        if let Some(Command::CheckConfig { file }) = self.command {
            return Ok(Launch::CheckConfig(file));
        }
        match self.args.as_slice() {
            [] => Ok(Launch::Embedded),
            [file] => Ok(Launch::File(file.into())),
            [port, data_dir, rest @ ..] => Ok(Launch::Arguments {
                port: number("PORT", port)?,
                data_dir: data_dir.into(),
                tick_time_ms: rest.first().map(|text| number("TICKTIME_MS", text)).transpose()?,
                max_client_cnxns: rest.get(1).map(|text| number("MAXCNXNS", text)).transpose()?,
            }),
        }
    }
}

impl Launch {
    /// Reads the configuration this launch means.
    ///
    /// Errors: it is wrong; the process says so and exits with [`ConfigError::EXIT_CODE`].
    pub fn config(&self, environment: &Environment) -> Result<Config, ConfigError> {
        match self {
            Self::Embedded => Config::embedded_default(environment),
            Self::File(file) | Self::CheckConfig(file) => Config::load(file, environment),
            Self::Arguments { port, data_dir, tick_time_ms, max_client_cnxns } => {
                Config::from_arguments(*port, data_dir, *tick_time_ms, *max_client_cnxns, environment)
            }
        }
    }
}

fn number<N: std::str::FromStr>(name: &str, text: &str) -> Result<N, clap::Error> {
    text.parse().map_err(|_| {
        let problem = format!("{name} must be a whole number in range, not {text:?}");
        Cli::command().error(clap::error::ErrorKind::ValueValidation, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(line: &str) -> Result<Launch, clap::Error> {
        let words = std::iter::once("oxkeeper").chain(line.split_whitespace());
        Cli::try_parse_from(words).and_then(Cli::launch)
    }

    #[test]
    fn a_file_is_served_and_nothing_means_the_built_in_one() {
        assert_eq!(launch("").unwrap(), Launch::Embedded);
        assert_eq!(launch("/etc/zookeeper/zoo.cfg").unwrap(), Launch::File("/etc/zookeeper/zoo.cfg".into()));
    }

    #[test]
    fn port_and_directory_start_a_server_as_in_the_reference() {
        let expected = |tick_time_ms, max_client_cnxns| Launch::Arguments {
            port: 2181,
            data_dir: "/data".into(),
            tick_time_ms,
            max_client_cnxns,
        };
        assert_eq!(launch("2181 /data").unwrap(), expected(None, None));
        assert_eq!(launch("2181 /data 2000").unwrap(), expected(Some(2000), None));
        assert_eq!(launch("2181 /data 2000 60").unwrap(), expected(Some(2000), Some(60)));
    }

    #[test]
    fn a_file_can_be_checked() {
        assert_eq!(launch("check-config zoo.cfg").unwrap(), Launch::CheckConfig("zoo.cfg".into()));
        assert_eq!(launch("check-config").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_wrong_line_exits_with_2() {
        for line in ["x /data", "70000 /data", "2181 /data x", "1 2 3 4 5", "--no-such-flag"] {
            assert_eq!(launch(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_version_names_the_product() {
        let error = launch("--version").unwrap_err();
        assert_eq!(error.to_string(), format!("Oxkeeper {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(error.exit_code(), 0);
    }
}
