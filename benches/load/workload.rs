//! What a run asks of the server, and the nodes it asks about.

use std::time::Duration;

use anyhow::Result;
use jute::op::OpCode;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    CreateRequest, GetChildren2Request, GetDataRequest, RequestHeader, SetDataRequest,
};
use jute::{Code, Record, write};

use crate::client::Client;
use crate::socket::Target;

/// Everything a run creates is below this node.
pub const ROOT: &str = "/bench";

/// How many nodes `get` and `set` take in turn.
const DATA_NODES: u32 = 64;

/// How many children `get-children` lists.
const CHILDREN: u32 = 1000;

/// One in so many operations of `mixed` is a `set`.
const MIXED_WRITE_EVERY: u64 = 10;

/// The operation a run repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// getData of one of 64 nodes.
    Get,
    /// setData of one of 64 nodes.
    Set,
    /// create of a persistent node that was not there.
    Create,
    /// Nine gets, one set.
    Mixed,
    /// getChildren2 of a node with 1000 children.
    GetChildren,
    /// TCP connect, new session, closeSession, end of stream; one at a time on each connection.
    Connect,
    /// As `get`, for the `echo` server: no session and nothing set up.
    Echo,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After this time.
    Time(Duration),
    /// After so many operations.
    Operations(u64),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The server.
    pub target: Target,
    /// The operation.
    pub op: Op,
    /// Connections, each with a session of its own.
    pub connections: usize,
    /// Requests each connection keeps in flight.
    pub in_flight: usize,
    /// Bytes of data in each node.
    pub size: usize,
    /// Load before measuring begins.
    pub warm_up: Duration,
    /// What is measured.
    pub length: Length,
    /// The server's process, when its CPU time and memory are wanted.
    pub pid: Option<u32>,
}

/// Everybody may do everything.
#[must_use]
pub fn open_acl() -> Option<Vec<Acl>> {
    Some(vec![Acl { perms: 31, id: Id { scheme: Some("world".to_owned()), id: Some("anyone".to_owned()) } }])
}

/// A create of a persistent node.
#[must_use]
pub fn create_request(path: String, data: Vec<u8>) -> CreateRequest {
    CreateRequest { path: Some(path), data: Some(data), acl: open_acl(), flags: 0 }
}

/// Appends one frame: header and body.
pub fn append_frame(out: &mut Vec<u8>, xid: i32, op: OpCode, body: &impl Record) {
    let start = write::begin_frame(out);
    RequestHeader { xid, r#type: op.0 }.encode(out);
    body.encode(out);
    write::patch_length(out, start);
}

impl Workload {
    /// Creates the nodes the run needs.
    ///
    /// # Errors
    /// When the server refuses, or cannot be reached.
    pub fn set_up(&self) -> Result<()> {
        if matches!(self.op, Op::Echo | Op::Connect) {
            return Ok(());
        }
        let mut client = Client::connect(&self.target)?;
        client.delete_tree(ROOT)?;
        client.create(ROOT, &[])?;
        match self.op {
            Op::Get | Op::Set | Op::Mixed => {
                client.create(&format!("{ROOT}/data"), &[])?;
                for node in 0..DATA_NODES {
                    client.create(&data_path(node), &vec![b'x'; self.size])?;
                }
            }
            Op::Create => {
                for connection in 0..self.connections {
                    client.create(&format!("{ROOT}/{connection:04}"), &[])?;
                }
            }
            Op::GetChildren => {
                let paths = (0..CHILDREN).map(|child| format!("{ROOT}/child-{child:06}"));
                client.pipeline(paths.map(|path| (OpCode::CREATE, create_request(path, Vec::new()))))?;
            }
            Op::Connect | Op::Echo => {}
        }
        client.close()
    }

    /// Deletes what [`Workload::set_up`] and the run created.
    ///
    /// # Errors
    /// When the server refuses, or cannot be reached.
    pub fn clean_up(&self) -> Result<()> {
        if matches!(self.op, Op::Echo | Op::Connect) {
            return Ok(());
        }
        let mut client = Client::connect(&self.target)?;
        client.delete_tree(ROOT)?;
        client.close()
    }
}

/// Creates `count` nodes of `size` bytes below `parent`, a thousand to a folder.
///
/// # Errors
/// When the server refuses one, or cannot be reached.
pub fn fill(target: &Target, parent: &str, count: u32, size: usize) -> Result<()> {
    let mut client = Client::connect(target)?;
    let code = client.create(parent, &[])?;
    anyhow::ensure!(code == Code::OK, "{parent} cannot be created: {code}");
    let requests = (0..count).flat_map(|node| {
        let folder = node.is_multiple_of(1000).then(|| (folder_path(parent, node), Vec::new()));
        let node = (format!("{}/node-{node:07}", folder_path(parent, node)), vec![b'x'; size]);
        folder.into_iter().chain([node])
    });
    client.pipeline(requests.map(|(path, data)| (OpCode::CREATE, create_request(path, data))))?;
    client.close()
}

fn folder_path(parent: &str, node: u32) -> String {
    format!("{parent}/folder-{:04}", node / 1000)
}

fn data_path(node: u32) -> String {
    format!("{ROOT}/data/{node:04}")
}

/// Writes the frames of one connection, one after the other.
#[derive(Debug)]
pub struct Requests {
    op: Op,
    /// Whole frames, taken in turn; only the xid differs.
    reads: Vec<Vec<u8>>,
    /// The same for writes.
    writes: Vec<Vec<u8>>,
    connection: usize,
    size: usize,
    count: u64,
}

impl Requests {
    /// For the connection of this number.
    #[must_use]
    pub fn new(workload: &Workload, connection: usize) -> Self {
        fn frames<R: Record>(op: OpCode, body: impl Fn(u32) -> R, nodes: u32) -> Vec<Vec<u8>> {
            let frame = |node| {
                let mut out = Vec::new();
                append_frame(&mut out, 0, op, &body(node));
                out
            };
            (0..nodes).map(frame).collect()
        }
        let get = |node| GetDataRequest { path: Some(data_path(node)), watch: false };
        let set = |node| SetDataRequest {
            path: Some(data_path(node)),
            data: Some(vec![b'y'; workload.size]),
            version: -1,
        };
        let list = |_| GetChildren2Request { path: Some(ROOT.to_owned()), watch: false };
        let reads = match workload.op {
            Op::GetChildren => frames(OpCode::GET_CHILDREN2, list, 1),
            _ => frames(OpCode::GET_DATA, get, DATA_NODES),
        };
        let writes = frames(OpCode::SET_DATA, set, DATA_NODES);
        // Connections start at different nodes, so that they do not march in step.
        let count = connection as u64 * 7;
        Self { op: workload.op, reads, writes, connection, size: workload.size, count }
    }

    /// Appends the next frame; says whether it is a write.
    pub fn append_next(&mut self, out: &mut Vec<u8>, xid: i32) -> bool {
        let count = self.count;
        self.count += 1;
        let is_write = match self.op {
            Op::Get | Op::GetChildren | Op::Echo | Op::Connect => false,
            Op::Set | Op::Create => true,
            Op::Mixed => count.is_multiple_of(MIXED_WRITE_EVERY),
        };
        if self.op == Op::Create {
            let path = format!("{ROOT}/{:04}/{count:010}", self.connection);
            append_frame(out, xid, OpCode::CREATE, &create_request(path, vec![b'x'; self.size]));
            return true;
        }
        let frames = if is_write { &self.writes } else { &self.reads };
        let frame = &frames[count as usize % frames.len()];
        let start = out.len();
        out.extend_from_slice(frame);
        out[start + 4..start + 8].copy_from_slice(&xid.to_be_bytes());
        is_write
    }
}
