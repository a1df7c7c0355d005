//! The compatibility suites: Apache ZooKeeper and Oxkeeper run side by side and are asked the same questions.
//!
//! A test starts both servers on loopback, runs one client program against each, and compares
//! what the program printed. Nothing here is shared with the server's own code: the small wire
//! client is written from the protocol, so that a mistake in one is not hidden by the other.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `OXKEEPER_BIN` | the server to judge; without it one is built from the workspace |
//! | `OXKEEPER_C_CLIENT` | an unpacked release of Apache ZooKeeper whose C client is taken, in place of Debian's sources |
//! | `OXKEEPER_COMPAT_CACHE` | where fetched jars and compiled programs live |
//! | `OXKEEPER_COMPAT_SELF` | set: the reference takes both seats (tests the tests) |
//! | `OXKEEPER_DIFF_OPS` | requests of the differential test |
//! | `OXKEEPER_DISK_FULL` | `all`: the disk fills at every block of two log files |
//! | `OXKEEPER_GOLDEN` | `all`: damaged directories of every release, compressed ones too |
//! | `OXKEEPER_HOSTILE` | `long`: hostile clients in the sizes they were first measured with |
//! | `OXKEEPER_HOSTILE_GAP_MS` | the longest that a polite client may wait meanwhile |
//! | `OXKEEPER_KILL_ROUNDS` | rounds of the durability test |
//! | `OXKEEPER_MIXES` | ensembles to try, as `AAO+O OOA`, or `all` |
//! | `OXKEEPER_POWER_CUTS`, `OXKEEPER_POWER_IMAGES` | power cuts to make, and disks to make them on at the same time |
//! | `OXKEEPER_ENSEMBLE` | `leader`, `follower` or `observer`: clients and systems meet this server of an ensemble of three, on both sides |
//! | `OXKEEPER_FAULTS` | `all`, or names: these deliberate faults are tried on the in-process tests, not one in ten |
//! | `OXKEEPER_SEED` | the seed of the durability test and of the power cuts; without it, one from the clock |
//! | `OXKEEPER_SILENT_SECONDS` | how long a follower reads nothing in the test of the leader's memory |
//! | `OXKEEPER_SYSTEM_CALLS_FULL` | set: every n of the injected faults |
//! | `OXKEEPER_SYSTEMS` | Kafka, HBase and Solr: `short` on Oxkeeper; `both`: on the reference too, compared; `long`: and with more nodes, records and rounds; `off`: not at all. Without it as `short`, but of the secured ones only Kafka with DIGEST-MD5 |
//! | `OXKEEPER_QUORUM_SEEDS` | conversations of the differential run on the quorum ports |
//! | `OXKEEPER_ROLLING_SESSIONS` | sessions of the rolling replacement |
//! | `OXKEEPER_ROLLING_ROUNDS` | how often the rolling replacement is timed beside a rolling restart of the reference |
//! | `OXKEEPER_SHOW_LOG` | set: the log of the server on the quorum ports is shown after each conversation |
//! | `OXKEEPER_RESULTS` | a file that what came of each comparison is added to, for the report |
//! | `CI` | `true`: a missing Java, Maven, Python, strace, Kerberos or `fallocate` is a failure and not a skip; for root with loop devices, a file system that cannot be mounted is too |

pub mod acknowledged;
pub mod artifacts;
pub mod bundles;
pub mod c_client;
pub mod certificates;
pub mod class_data;
pub mod clock;
pub mod compare;
pub mod differential;
pub mod ensemble;
pub mod four_letter;
pub mod golden;
pub mod host;
pub mod hostile;
pub mod kafka;
pub mod kdc;
pub mod kerberos;
pub mod log_files;
pub mod mutants;
pub mod native;
mod options;
pub mod owner;
pub mod peer;
pub mod power;
pub mod programs;
pub mod quorum_ports;
pub mod report;
pub mod results;
pub mod revocation;
pub mod sasl;
pub mod seat;
pub mod security;
pub mod server;
pub mod shell;
pub mod skip;
pub mod systems;
pub mod versions;
pub mod volume;
pub mod wire;
