//! `echo`: answers every frame with a frame of the size of a getData reply, and does nothing else. What
//! it costs is the floor for any server on the same runtime.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Parser;
use jute::Record;
use jute::records::proto::{GetDataResponse, ReplyHeader};
use jute::write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers every frame with one of a getData reply's size.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:2180")]
    address: SocketAddr,
    /// Bytes of data in each reply.
    #[arg(long, default_value_t = 100)]
    size: usize,
}

/// A frame above this ends the connection, as in the servers that are compared.
const FRAME_BYTES_MAX: usize = 1_048_575;

fn main() -> Result<()> {
    let options = Options::parse();
    let mut reply = Vec::new();
    let start = write::begin_frame(&mut reply);
    ReplyHeader::default().encode(&mut reply);
    GetDataResponse { data: Some(vec![b'x'; options.size]), ..Default::default() }.encode(&mut reply);
    write::patch_length(&mut reply, start);
    let reply: &'static [u8] = reply.leak();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.address).await.context("the address is taken")?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // A connection that breaks is over; there is nobody to tell.
                let _ = serve(stream, reply).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream, reply: &[u8]) -> Result<()> {
    let mut input = vec![0; 64 * 1024];
    let mut filled = 0;
    let mut out = Vec::new();
    loop {
        if filled == input.len() {
            input.resize(filled * 2, 0);
        }
        let count = stream.read(&mut input[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let mut at = 0;
        while let [a, b, c, d, body @ ..] = &input[at..filled] {
            let length = usize::try_from(i32::from_be_bytes([*a, *b, *c, *d]))?;
            anyhow::ensure!((8..=FRAME_BYTES_MAX).contains(&length), "a frame of {length} bytes");
            let Some(request) = body.get(..length) else { break };
            let start = out.len();
            out.extend_from_slice(reply);
            out[start + 4..start + 8].copy_from_slice(&request[..4]);
            at += 4 + length;
        }
        input.copy_within(at..filled, 0);
        filled -= at;
        stream.write_all(&out).await?;
        out.clear();
    }
}
