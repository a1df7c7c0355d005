//! The command line.
//!
//! `oxkeeper [ZOO_CFG]`, `oxkeeper check-config FILE`, the tools of operators, and the reference's short
//! form `oxkeeper <port> <datadir> [ticktime] [maxcnxns]`. The path of the file stays in the arguments of
//! the process: operators' scripts look for it there.
//!
//! Turns words into a [`Launch`]; what the settings mean is for `config`.
//! Reference: `QuorumPeerMain`, `ZooKeeperServerMain`, `ServerConfig.parse(String[])`.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment};
use crate::tools::Tool;

/// The command line as clap sees it. Exit code of a wrong one is 2, as in the reference.
#[derive(Debug, Parser)]
#[command(
    name = "Oxkeeper",
    bin_name = "oxkeeper",
    version,
    about = "A coordination server that speaks Apache ZooKeeper's protocols",
    override_usage = "oxkeeper [ZOO_CFG]\n       oxkeeper <PORT> <DATADIR> [TICKTIME_MS] [MAXCNXNS]\n       \
                      oxkeeper check-config <FILE>\n       \
                      oxkeeper txnlog|snapshot|purge|doctor|hash ...",
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
    /// Look into a transaction log, or copy it repaired or shortened
    #[command(subcommand)]
    Txnlog(TxnlogCommand),
    /// Look into snapshots
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Remove old snapshots and the logs that only they need
    Purge {
        /// The dataLogDir of the configuration
        log_dir: PathBuf,
        /// The dataDir, when it is another
        data_dir: Option<PathBuf>,
        /// How many snapshots stay, at least 3
        #[arg(short = 'n', long = "count")]
        keep: usize,
    },
    /// Say whether a data directory is healthy, and what a start would do with it
    Doctor {
        /// The dataDir; without it, the directories of the configuration file
        #[arg(required_unless_present = "config")]
        dir: Option<PathBuf>,
        /// The dataLogDir, when it is another
        log_dir: Option<PathBuf>,
        /// The server's zoo.cfg: what it says about reading (jute.maxbuffer, extended types) counts too
        #[arg(short, long, value_name = "ZOO_CFG")]
        config: Option<PathBuf>,
    },
    /// Print the digest for access control lists of the scheme digest
    Hash {
        /// user:password
        #[arg(required = true)]
        pairs: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum TxnlogCommand {
    /// Print every transaction
    Dump {
        /// A log file
        file: PathBuf,
    },
    /// Say whether a start could read the file
    Verify {
        /// A log file
        file: PathBuf,
    },
    /// Write FILE.fixed, with right checksums
    Repair {
        /// A log file
        file: PathBuf,
        /// Repair all without asking
        #[arg(short, long)]
        yes: bool,
        /// Print all transactions, not only repaired ones
        #[arg(short, long)]
        verbose: bool,
    },
    /// Write FILE.chopped<ZXID>, which ends with this transaction
    Chop {
        /// A log file
        file: PathBuf,
        /// The last transaction to keep, decimal or 0x and hexadecimal
        #[arg(short, long, value_parser = zxid)]
        zxid: i64,
    },
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Print nodes and sessions
    Dump {
        /// Print data too, in base64
        #[arg(short)]
        data: bool,
        /// A snapshot
        file: PathBuf,
    },
    /// Print sizes for the disk usage viewer ncdu
    Json {
        /// A snapshot
        file: PathBuf,
    },
    /// Print where two snapshots differ
    Compare {
        /// A snapshot
        #[arg(short, long)]
        left: PathBuf,
        /// Another
        #[arg(short, long)]
        right: PathBuf,
        /// Differences of up to so many bytes are not printed
        #[arg(short, long)]
        bytes: i64,
        /// Differences of up to so many nodes are not printed
        #[arg(short, long)]
        nodes: i64,
        /// Print what is not printed otherwise
        #[arg(short, long)]
        debug: bool,
    },
    /// Print nodes and bytes below each node
    Summary {
        /// A snapshot
        file: PathBuf,
        /// Where to start
        #[arg(default_value = "/")]
        start: String,
        /// How deep to print; 0 for all
        #[arg(default_value_t = 0)]
        max_depth: usize,
    },
}

/// As Java's `Long.decode`, for the forms that occur.
fn zxid(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.ok().filter(|zxid| *zxid >= 0).ok_or_else(|| format!("{text} is not a zxid"))
}

impl Command {
    fn launch(self) -> Launch {
        Launch::Tool(match self {
            Self::CheckConfig { file } => return Launch::CheckConfig(file),
            Self::Txnlog(TxnlogCommand::Dump { file }) => Tool::LogDump { file },
            Self::Txnlog(TxnlogCommand::Verify { file }) => Tool::LogVerify { file },
            Self::Txnlog(TxnlogCommand::Repair { file, yes, verbose }) => {
                Tool::LogRepair { file, all: yes, verbose }
            }
            Self::Txnlog(TxnlogCommand::Chop { file, zxid }) => Tool::LogChop { file, zxid },
            Self::Snapshot(SnapshotCommand::Dump { data, file }) => {
                Tool::SnapshotDump { file, with_data: data }
            }
            Self::Snapshot(SnapshotCommand::Json { file }) => Tool::SnapshotJson { file },
            Self::Snapshot(SnapshotCommand::Compare { left, right, bytes, nodes, debug }) => {
                Tool::SnapshotCompare { left, right, bytes, nodes, debug }
            }
            Self::Snapshot(SnapshotCommand::Summary { file, start, max_depth }) => {
                Tool::SnapshotSummary { file, start, max_depth }
            }
            Self::Purge { log_dir, data_dir, keep } => {
                Tool::Purge { data_dir: data_dir.unwrap_or_else(|| log_dir.clone()), log_dir, keep }
            }
            Self::Doctor { dir, log_dir, config } => {
                return Launch::Doctor { data_dir: dir, log_dir, config };
            }
            Self::Hash { pairs } => Tool::Hash { pairs },
        })
    }
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
    /// Say whether a server could start with a data directory, and exit: 0 when it could, 1 when not.
    Doctor {
        /// The data directory; `None` for that of the configuration.
        data_dir: Option<PathBuf>,
        /// The log's directory, when it is another.
        log_dir: Option<PathBuf>,
        /// The server's configuration; `None` for the built-in one.
        config: Option<PathBuf>,
    },
    /// Work on files and exit.
    Tool(Tool),
}

impl Cli {
    /// What to do.
    ///
    /// Errors: a number of the short form is not one; clap's error prints itself and knows its
    /// exit code (`error.exit()`).
    pub fn launch(self) -> Result<Launch, clap::Error> {
        if let Some(command) = self.command {
            return Ok(command.launch());
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
            // Tools need none.
            Self::Embedded | Self::Tool(_) | Self::Doctor { config: None, .. } => {
                Config::embedded_default(environment)
            }
            Self::File(file) | Self::CheckConfig(file) | Self::Doctor { config: Some(file), .. } => {
                Config::load(file, environment)
            }
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
    fn tools_are_subcommands_with_the_reference_s_options() {
        let chop = Tool::LogChop { file: "log.1".into(), zxid: 0x1f };
        assert_eq!(launch("txnlog chop -z 0x1f log.1").unwrap(), Launch::Tool(chop));
        let repair = Tool::LogRepair { file: "log.1".into(), all: true, verbose: false };
        assert_eq!(launch("txnlog repair -y log.1").unwrap(), Launch::Tool(repair));
        let purge = Tool::Purge { log_dir: "logs".into(), data_dir: "data".into(), keep: 3 };
        assert_eq!(launch("purge logs data -n 3").unwrap(), Launch::Tool(purge));
        let dump = Tool::SnapshotDump { file: "snapshot.1".into(), with_data: true };
        assert_eq!(launch("snapshot dump -d snapshot.1").unwrap(), Launch::Tool(dump));
        assert_eq!(launch("txnlog chop -z x log.1").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_doctor_takes_a_directory_or_a_configuration() {
        let doctor = |data_dir: Option<&str>, config: Option<&str>| Launch::Doctor {
            data_dir: data_dir.map(Into::into),
            log_dir: None,
            config: config.map(Into::into),
        };
        assert_eq!(launch("doctor data").unwrap(), doctor(Some("data"), None));
        assert_eq!(launch("doctor -c zoo.cfg").unwrap(), doctor(None, Some("zoo.cfg")));
        assert_eq!(launch("doctor data -c zoo.cfg").unwrap(), doctor(Some("data"), Some("zoo.cfg")));
        assert_eq!(launch("doctor").unwrap_err().exit_code(), 2);
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
