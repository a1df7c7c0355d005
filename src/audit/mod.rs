//! The lines of the audit log: who did what to which node, as the reference writes them (reference: `AuditHelper`,
//! `AuditEvent`). Pure: whoever applies makes the lines, and `runtime` has them written.

use jute::multi::{CreateMode, MultiOp, MultiRequest};
use jute::records::Record;
use jute::records::data::Acl;
use jute::records::proto::{CreateRequest, CreateTTLRequest, DeleteRequest, SetACLRequest, SetDataRequest};
use jute::{OpCode, Reader, SessionId};

use crate::tree::acl::perms;
use crate::tree::{Applied, Identities};

/// What is kept of a request until it is known what became of it.
#[derive(Debug)]
pub struct Note {
    op: OpCode,
    body: Vec<u8>,
    users: Option<String>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Fields and values, with tabs between them.
    pub text: String,
    /// Whether it says that something failed.
    pub is_failure: bool,
}

/// Whose requests they are.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The session.
    pub session: SessionId,
    /// The client's address.
    pub ip: &'a str,
}

/// What happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// It serves.
    Started,
    /// It could not start.
    NotStarted,
    /// It was told to stop.
    Stops,
}

impl Note {
    /// Of a request with this body, if such requests are audited.
    #[must_use]
    pub fn of(op: OpCode, body: &[u8], identities: &Identities) -> Option<Self> {
        matches!(
            op,
            OpCode::CREATE
                | OpCode::CREATE2
                | OpCode::CREATE_CONTAINER
                | OpCode::CREATE_TTL
                | OpCode::DELETE
                | OpCode::SET_DATA
                | OpCode::SET_ACL
                | OpCode::MULTI
                | OpCode::RECONFIG
        )
        .then(|| Self { op, body: body.to_vec(), users: users(identities) })
    }

    /// The lines, now that it is known what became of the request. None for a request that cannot be read: the
    /// reference writes none either.
    #[must_use]
    pub fn lines(&self, asker: Asker<'_>, applied: &Applied) -> Vec<Line> {
        let has_failed = applied.op == OpCode::ERROR;
        if self.op == OpCode::MULTI && !has_failed {
            return self.lines_of_multi(asker, applied);
        }
        let Some(asked) = Asked::read(self.op, &self.body) else { return Vec::new() };
        let path = if has_failed { asked.path } else { Some(applied.path.clone()) };
        let line = Fields {
            path: path.as_deref(),
            mode: asked.mode,
            acl: asked.acl.as_deref(),
            ..self.fields(asker, asked.operation)
        };
        vec![line.line(if has_failed { Outcome::Failure } else { Outcome::Success })]
    }

    fn lines_of_multi(&self, asker: Asker<'_>, applied: &Applied) -> Vec<Line> {
        let modes = modes_of(&self.body);
        let mut lines = Vec::new();
        for part in &applied.parts {
            let operation = match part.op {
                OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => "create",
                OpCode::DELETE | OpCode::DELETE_CONTAINER => "delete",
                OpCode::SET_DATA => "setData",
                _ => continue,
            };
            let mode = modes.iter().rev().find(|(path, _)| operation == "create" && *path == part.path);
            let line = Fields {
                path: Some(&part.path),
                mode: mode.map(|(_, mode)| *mode),
                ..self.fields(asker, operation)
            };
            lines.push(line.line(Outcome::Success));
        }
        if applied.parts.iter().any(|part| part.op == OpCode::ERROR) {
            lines.push(self.fields(asker, "multiOperation").line(Outcome::Failure));
        }
        lines
    }

    fn fields<'a>(&'a self, asker: Asker<'a>, operation: &'a str) -> Fields<'a> {
        Fields {
            session: Some(asker.session),
            user: self.users.as_deref(),
            ip: Some(asker.ip),
            operation,
            path: None,
            mode: None,
            acl: None,
        }
    }
}

/// The line of an ephemeral node that goes with its session, or was gone already. `user` is the server's.
#[must_use]
pub fn of_ephemeral(user: &str, session: SessionId, path: &str, was_there: bool) -> Line {
    let fields = Fields {
        session: Some(session),
        path: Some(path),
        ..Fields::of_server(user, "ephemeralZNodeDeletionOnSessionCloseOrExpire")
    };
    fields.line(if was_there { Outcome::Success } else { Outcome::Failure })
}

/// The line of what happens to the server.
#[must_use]
pub fn of_server(user: &str, event: ServerEvent) -> Line {
    let (operation, outcome) = match event {
        ServerEvent::Started => ("serverStart", Outcome::Success),
        ServerEvent::NotStarted => ("serverStart", Outcome::Failure),
        ServerEvent::Stops => ("serverStop", Outcome::Invoked),
    };
    Fields::of_server(user, operation).line(outcome)
}

/// The names of all identities that have one (reference: `AuthUtil.getUsers`). A `digest` has its name before the
/// colon; the superuser has none.
fn users(identities: &Identities) -> Option<String> {
    let name = |scheme: &str, id: &str| match scheme {
        "super" => None,
        "digest" => id.split(':').next().map(str::to_owned),
        _ => Some(id.to_owned()),
    };
    let names = identities.iter().filter_map(|identity| name(&identity.scheme, &identity.id));
    let names: Vec<_> = names.filter(|name| !name.trim().is_empty()).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// What a request asks for, as far as it is written.
struct Asked {
    operation: &'static str,
    path: Option<String>,
    mode: Option<&'static str>,
    acl: Option<String>,
}

impl Asked {
    fn read(op: OpCode, body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let mut asked = Self { operation: "create", path: None, mode: None, acl: None };
        match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
                let request = CreateRequest::decode(&mut reader).ok()?;
                asked.mode = Some(mode_name(request.flags)?);
                asked.path = request.path;
            }
            OpCode::CREATE_TTL => {
                let request = CreateTTLRequest::decode(&mut reader).ok()?;
                asked.mode = Some(mode_name(request.flags)?);
                asked.path = request.path;
            }
            OpCode::DELETE => {
                asked.operation = "delete";
                asked.path = DeleteRequest::decode(&mut reader).ok()?.path;
            }
            OpCode::SET_DATA => {
                asked.operation = "setData";
                asked.path = SetDataRequest::decode(&mut reader).ok()?.path;
            }
            OpCode::SET_ACL => {
                let request = SetACLRequest::decode(&mut reader).ok()?;
                asked.operation = "setAcl";
                asked.path = request.path;
                asked.acl = Some(acl_text(&request.acl.unwrap_or_default()));
            }
            OpCode::MULTI => asked.operation = "multiOperation",
            _ => asked.operation = "reconfig",
        }
        Some(asked)
    }
}

fn mode_name(flags: i32) -> Option<&'static str> {
    Some(match CreateMode::from_flags(flags)? {
        CreateMode::Persistent => "persistent",
        CreateMode::Ephemeral => "ephemeral",
        CreateMode::PersistentSequential => "persistent_sequential",
        CreateMode::EphemeralSequential => "ephemeral_sequential",
        CreateMode::Container => "container",
        CreateMode::PersistentWithTtl => "persistent_with_ttl",
        CreateMode::PersistentSequentialWithTtl => "persistent_sequential_with_ttl",
    })
}

/// The mode of each node that a multi asks for, by its path as asked. The reference leaves out nodes with a time to
/// live.
fn modes_of(body: &[u8]) -> Vec<(String, &'static str)> {
    let Ok(MultiRequest::Write(ops)) = MultiRequest::decode(&mut Reader::new(body)) else {
        return Vec::new();
    };
    let mode = |op: MultiOp| match op {
        MultiOp::Create { op, request } if op != OpCode::CREATE_TTL => {
            Some((request.path?, mode_name(request.flags)?))
        }
        _ => None,
    };
    ops.into_iter().filter_map(mode).collect()
}

/// Reference: `ZKUtil.aclToString`.
fn acl_text(list: &[Acl]) -> String {
    let mut text = String::new();
    for entry in list {
        let letters = [
            (perms::CREATE, 'c'),
            (perms::DELETE, 'd'),
            (perms::READ, 'r'),
            (perms::WRITE, 'w'),
            (perms::ADMIN, 'a'),
        ];
        text.push_str(entry.id.scheme.as_deref().unwrap_or("null"));
        text.push(':');
        text.push_str(entry.id.id.as_deref().unwrap_or("null"));
        text.push(':');
        text.extend(letters.iter().filter(|(bit, _)| entry.perms & bit != 0).map(|(_, letter)| letter));
    }
    text
}

#[derive(Clone, Copy)]
enum Outcome {
    Success,
    Failure,
    Invoked,
}

/// A line before it is text.
struct Fields<'a> {
    session: Option<SessionId>,
    user: Option<&'a str>,
    ip: Option<&'a str>,
    operation: &'a str,
    path: Option<&'a str>,
    mode: Option<&'a str>,
    acl: Option<&'a str>,
}

impl<'a> Fields<'a> {
    const fn of_server(user: &'a str, operation: &'a str) -> Self {
        Self { session: None, user: Some(user), ip: None, operation, path: None, mode: None, acl: None }
    }

    fn line(self, outcome: Outcome) -> Line {
        let session = self.session.map(|session| format!("{session}"));
        let result = match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Invoked => "invoked",
        };
        let fields = [
            ("session", session.as_deref()),
            ("user", self.user),
            ("ip", self.ip),
            ("operation", Some(self.operation)),
            ("znode", self.path),
            ("znode_type", self.mode),
            ("acl", self.acl),
            ("result", Some(result)),
        ];
        let mut text = String::new();
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            if !text.is_empty() {
                text.push('\t');
            }
            text.push_str(name);
            text.push('=');
            push_printable(&mut text, value);
        }
        Line { text, is_failure: matches!(outcome, Outcome::Failure) }
    }
}

/// A path or a name may be anything. The reference writes it as it is, and with it lines that nobody wrote: here what
/// is no character of a line is escaped.
fn push_printable(text: &mut String, value: &str) {
    for character in value.chars() {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
}

#[cfg(test)]
mod audit_test;
