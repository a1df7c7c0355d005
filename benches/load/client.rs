//! A small blocking client: one session, one request at a time or a pipeline of them.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jute::op::OpCode;
use jute::read::Reader;
use jute::records::Record;
use jute::records::proto::{
    ConnectRequest, ConnectResponse, DeleteRequest, ExistsRequest, GetChildrenRequest, GetChildrenResponse,
    GetSASLRequest, ReplyHeader, RequestHeader, SetSASLResponse,
};
use jute::{Code, write};

use crate::socket::{Socket, Target};
use crate::workload::{append_frame, create_request};

/// Requests a pipeline sends before it reads their replies.
const BATCH: usize = 500;

/// No answer for so long means there will be none.
const PATIENCE: Duration = Duration::from_secs(60);

/// The session timeout asked for, in milliseconds.
const SESSION_TIMEOUT_MS: i32 = 40_000;

/// Larger frames than this are not replies.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// A connection with a session.
#[derive(Debug)]
pub struct Client {
    stream: Socket,
    next_xid: i32,
}

impl Client {
    /// Opens a session.
    ///
    /// # Errors
    /// When nobody listens, or the server refuses.
    pub fn connect(target: &Target) -> Result<Self> {
        Self::connect_within(target, PATIENCE)
    }

    /// The same, but gives up when an answer takes longer than `patience`, now and later. A server that
    /// is just starting may accept a connection and never answer on it.
    ///
    /// # Errors
    /// When nobody listens, or the server refuses or does not answer.
    pub fn connect_within(target: &Target, patience: Duration) -> Result<Self> {
        let stream = target.connect()?;
        stream.stream().set_read_timeout(Some(patience))?;
        let mut client = Self { stream, next_xid: 1 };
        let request = ConnectRequest {
            time_out: SESSION_TIMEOUT_MS,
            passwd: Some(vec![0; 16]),
            ..ConnectRequest::default()
        };
        let mut out = Vec::new();
        let start = write::begin_frame(&mut out);
        request.encode(&mut out);
        write::patch_length(&mut out, start);
        client.stream.write_all(&out)?;
        let reply = client.read_frame()?;
        let response = ConnectResponse::decode(&mut Reader::new(&reply))?;
        ensure!(response.time_out > 0, "{} gave no session", target.address);
        if let Some(login) = &target.login {
            let challenge = client.sasl(Vec::new())?;
            client.sasl(login.answer(&challenge)?)?;
        }
        Ok(client)
    }

    /// Hands over a token and returns the server's.
    fn sasl(&mut self, token: Vec<u8>) -> Result<Vec<u8>> {
        let (code, body) = self.call(OpCode::SASL, &GetSASLRequest { token: Some(token) })?;
        ensure!(code == Code::OK, "the login was refused: {code}");
        Ok(SetSASLResponse::decode(&mut Reader::new(&body))?.token.unwrap_or_default())
    }

    /// The socket with its session; requests begin at xid 1 or later.
    #[must_use]
    pub fn into_stream(self) -> Socket {
        self.stream
    }

    /// Sends a request and waits for its reply: the code, and the body after the header.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call(&mut self, op: OpCode, body: &impl Record) -> Result<(Code, Vec<u8>)> {
        let mut out = Vec::new();
        let xid = self.take_xid();
        append_frame(&mut out, xid, op, body);
        self.stream.write_all(&out)?;
        self.reply(xid)
    }

    /// Creates a node; the code says whether.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn create(&mut self, path: &str, data: &[u8]) -> Result<Code> {
        Ok(self.call(OpCode::CREATE, &create_request(path.to_owned(), data.to_vec()))?.0)
    }

    /// Whether the node exists: any successful read.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn exists(&mut self, path: &str) -> Result<bool> {
        let request = ExistsRequest { path: Some(path.to_owned()), watch: false };
        Ok(self.call(OpCode::EXISTS, &request)?.0 == Code::OK)
    }

    /// Sends many requests, up to two batches ahead of their replies.
    ///
    /// # Errors
    /// When the connection breaks, or a request fails.
    pub fn pipeline<R: Record>(&mut self, requests: impl Iterator<Item = (OpCode, R)>) -> Result<()> {
        let mut requests = requests.peekable();
        let mut unanswered = Vec::new();
        while requests.peek().is_some() || !unanswered.is_empty() {
            let mut out = Vec::new();
            let mut sent = Vec::new();
            for (op, body) in requests.by_ref().take(BATCH) {
                let xid = self.take_xid();
                append_frame(&mut out, xid, op, &body);
                sent.push(xid);
            }
            self.stream.write_all(&out)?;
            for xid in std::mem::replace(&mut unanswered, sent) {
                let (code, _) = self.reply(xid)?;
                ensure!(code == Code::OK, "request {xid} of a pipeline failed: {code}");
            }
        }
        Ok(())
    }

    /// Deletes a node and everything below it, if it is there.
    ///
    /// # Errors
    /// When the connection breaks, or a node cannot be deleted.
    pub fn delete_tree(&mut self, path: &str) -> Result<()> {
        let request = GetChildrenRequest { path: Some(path.to_owned()), watch: false };
        let (code, body) = self.call(OpCode::GET_CHILDREN, &request)?;
        if code == Code::NO_NODE {
            return Ok(());
        }
        ensure!(code == Code::OK, "{path} cannot be listed: {code}");
        let children = GetChildrenResponse::decode(&mut Reader::new(&body))?.children.unwrap_or_default();
        let children: Vec<_> = children.into_iter().flatten().map(|name| format!("{path}/{name}")).collect();
        // Most trees here are flat: ask each child only when there are few.
        if children.len() <= 100 || children.first().is_some_and(|child| child.contains("/folder-")) {
            for child in children {
                self.delete_tree(&child)?;
            }
        } else {
            self.pipeline(children.into_iter().map(|child| (OpCode::DELETE, delete_request(child))))?;
        }
        let (code, _) = self.call(OpCode::DELETE, &delete_request(path.to_owned()))?;
        ensure!(code == Code::OK, "{path} cannot be deleted: {code}");
        Ok(())
    }

    /// Ends the session and waits until the server has closed the connection.
    ///
    /// # Errors
    /// When the connection breaks before.
    pub fn close(mut self) -> Result<()> {
        let xid = self.take_xid();
        self.stream.write_all(&close_frame(xid))?;
        self.reply(xid)?;
        let rest = self.stream.read(&mut [0; 1])?;
        ensure!(rest == 0, "the server sent something after the end of the session");
        Ok(())
    }

    fn take_xid(&mut self) -> i32 {
        self.next_xid += 1;
        self.next_xid
    }

    fn reply(&mut self, xid: i32) -> Result<(Code, Vec<u8>)> {
        let mut frame = self.read_frame()?;
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader)?;
        if header.xid != xid {
            bail!("a reply to {} where one to {xid} was due", header.xid);
        }
        let body = frame.split_off(reader.offset());
        Ok((Code(header.err), body))
    }

    fn read_frame(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("the server closed the connection")?;
        let length = usize::try_from(i32::from_be_bytes(length)).context("a frame of negative length")?;
        ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).context("the server closed the connection inside a frame")?;
        Ok(frame)
    }
}

/// The frame that ends a session.
#[must_use]
pub fn close_frame(xid: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let start = write::begin_frame(&mut out);
    RequestHeader { xid, r#type: OpCode::CLOSE_SESSION.0 }.encode(&mut out);
    write::patch_length(&mut out, start);
    out
}

fn delete_request(path: String) -> DeleteRequest {
    DeleteRequest { path: Some(path), version: -1 }
}
