//! `load`: one workload against one server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use load::Target;
use load::crowd::Crowd;
use load::digest::Login;
use load::workload::{Length, Op, Workload, fill};

/// Drives any server that speaks ZooKeeper's client protocol, and measures it.
#[derive(Debug, Parser)]
struct Options {
    /// The server's client port.
    #[arg(long, default_value = "127.0.0.1:2181")]
    address: SocketAddr,
    /// Connections, each with a session of its own.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests each connection keeps in flight.
    #[arg(long, default_value_t = 100)]
    in_flight: usize,
    /// Bytes of data in each node.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// What to repeat.
    #[arg(long, value_enum, default_value = "get")]
    op: Op,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0, conflicts_with = "requests")]
    seconds: f64,
    /// How many operations to measure, instead of a time.
    #[arg(long)]
    requests: Option<u64>,
    /// Load before measuring; a JVM needs 10 or more.
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
    /// The server's process: adds its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// The report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Speak TLS to a server that this authority vouches for (PEM); the server's certificate names its IP address.
    #[arg(long)]
    tls_authority: Option<PathBuf>,
    /// With TLS: our own certificate and its key (PEM).
    #[arg(long, requires = "tls_authority")]
    tls_identity: Option<PathBuf>,
    /// With TLS: version 1.2 in place of 1.3.
    #[arg(long, requires = "tls_authority")]
    tls12: bool,
    /// With TLS: take up sessions of TLS that the server remembers.
    #[arg(long, requires = "tls_authority")]
    tls_resume: bool,
    /// Sessions log in by DIGEST-MD5, as user:password.
    #[arg(long, value_parser = Login::parse)]
    digest: Option<Login>,
    /// So many more sessions stand there and ask for nothing.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// So many more connections stop inside the handshake of TLS.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Instead of a run: create so many nodes of --size below /filled, and leave them there.
    #[arg(long)]
    fill: Option<u32>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut target = match &options.tls_authority {
        None => options.address.into(),
        Some(authority) => {
            let version = if options.tls12 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
            let identity = options.tls_identity.as_deref();
            Target::with_tls(options.address, authority, identity, version, options.tls_resume)?
        }
    };
    target.login = options.digest;
    let crowd = Crowd::gather(&target, options.idle, options.stalled, options.pid)?;
    if let Some(bytes) = crowd.bytes_each.filter(|bytes| bytes.is_finite()) {
        eprintln!("memory of the server for each that stands there: {:.1} KiB", bytes / 1024.0);
    }
    if let Some(count) = options.fill {
        return fill(&target, "/filled", count, options.size);
    }
    let workload = Workload {
        target,
        op: options.op,
        connections: options.connections,
        in_flight: options.in_flight,
        size: options.size,
        warm_up: Duration::try_from_secs_f64(options.warm_up_seconds)?,
        length: match options.requests {
            Some(count) => Length::Operations(count),
            None => Length::Time(Duration::try_from_secs_f64(options.seconds)?),
        },
        pid: options.pid,
    };
    let report = load::run(&workload)?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
