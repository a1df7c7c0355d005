//! The server with the feature `faults`, under a name of its own.

#[path = "main.rs"]
mod server;

fn main() -> std::process::ExitCode {
    server::main()
}
