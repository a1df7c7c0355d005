//! The lines, for every kind of request and what may become of it.

use jute::Code;
use jute::records::data::{Acl, Id};

use super::*;
use crate::request::testing::multi_body;
use crate::tree::Identity;

const ASKER: Asker<'static> = Asker { session: SessionId(0x1000), ip: "10.0.0.7" };

fn identities(of: &[(&str, &str)]) -> Identities {
    let of: Vec<_> =
        of.iter().map(|(scheme, id)| Identity { scheme: (*scheme).into(), id: (*id).into() }).collect();
    of.as_slice().into()
}

fn encoded(record: &impl Record) -> Vec<u8> {
    let mut body = Vec::new();
    record.encode(&mut body);
    body
}

fn acl() -> Option<Vec<Acl>> {
    let id = Id { scheme: Some("digest".into()), id: Some("u:h".into()) };
    let world = Id { scheme: Some("world".into()), id: Some("anyone".into()) };
    Some(vec![Acl { perms: perms::ALL, id }, Acl { perms: perms::READ | perms::WRITE, id: world }])
}

fn create(path: &str, flags: i32) -> CreateRequest {
    CreateRequest { path: Some(path.into()), data: None, acl: acl(), flags }
}

fn applied(op: OpCode, path: &str) -> Applied {
    Applied { op, path: path.into(), ..Applied::default() }
}

fn failed() -> Applied {
    Applied { op: OpCode::ERROR, code: Code::NO_NODE, ..Applied::default() }
}

/// The text of each line, with `!` before a failure, of a client known by its address.
fn lines(op: OpCode, body: &[u8], applied: &Applied) -> Vec<String> {
    let note = Note::of(op, body, &identities(&[("ip", "10.0.0.7")])).expect("it is audited");
    let shown = |line: Line| if line.is_failure { format!("!{}", line.text) } else { line.text };
    note.lines(ASKER, applied).into_iter().map(shown).collect()
}

const WHO: &str = "session=0x1000\tuser=10.0.0.7\tip=10.0.0.7";

#[test]
fn what_was_done_is_told_with_the_path_that_came_of_it() {
    let modes = [
        (0, "persistent"),
        (1, "ephemeral"),
        (2, "persistent_sequential"),
        (3, "ephemeral_sequential"),
        (4, "container"),
    ];
    for (flags, mode) in modes {
        let done = applied(OpCode::CREATE2, "/a0000000001");
        let found = lines(OpCode::CREATE2, &encoded(&create("/a", flags)), &done);
        let expected = "operation=create\tznode=/a0000000001\tznode_type";
        assert_eq!(found, [format!("{WHO}\t{expected}={mode}\tresult=success")]);
    }
    let ttl = CreateTTLRequest { path: Some("/a".into()), data: None, acl: acl(), flags: 5, ttl: 9 };
    let found = lines(OpCode::CREATE_TTL, &encoded(&ttl), &applied(OpCode::CREATE_TTL, "/a"));
    let expected = "operation=create\tznode=/a\tznode_type=persistent_with_ttl\tresult=success";
    assert_eq!(found, [format!("{WHO}\t{expected}")]);
    let delete = DeleteRequest { path: Some("/a".into()), version: -1 };
    let found = lines(OpCode::DELETE, &encoded(&delete), &applied(OpCode::DELETE, "/a"));
    assert_eq!(found, [format!("{WHO}\toperation=delete\tznode=/a\tresult=success")]);
    let set = SetDataRequest { path: Some("/a".into()), data: None, version: -1 };
    let found = lines(OpCode::SET_DATA, &encoded(&set), &applied(OpCode::SET_DATA, "/a"));
    assert_eq!(found, [format!("{WHO}\toperation=setData\tznode=/a\tresult=success")]);
    let set = SetACLRequest { path: Some("/a".into()), acl: acl(), version: -1 };
    let found = lines(OpCode::SET_ACL, &encoded(&set), &applied(OpCode::SET_ACL, "/a"));
    let expected = "operation=setAcl\tznode=/a\tacl=digest:u:h:cdrwaworld:anyone:rw\tresult=success";
    assert_eq!(found, [format!("{WHO}\t{expected}")]);
}

#[test]
fn what_failed_is_told_with_the_path_that_was_asked_for() {
    let found = lines(OpCode::CREATE, &encoded(&create("/a", 2)), &failed());
    let expected = "operation=create\tznode=/a\tznode_type=persistent_sequential\tresult=failure";
    assert_eq!(found, [format!("!{WHO}\t{expected}")]);
    let delete = DeleteRequest { path: Some("/a".into()), version: -1 };
    let found = lines(OpCode::DELETE, &encoded(&delete), &failed());
    assert_eq!(found, [format!("!{WHO}\toperation=delete\tznode=/a\tresult=failure")]);
    let found = lines(OpCode::MULTI, &[], &failed());
    assert_eq!(found, [format!("!{WHO}\toperation=multiOperation\tresult=failure")]);
}

#[test]
fn each_part_of_a_multi_has_its_line_and_a_failed_one_has_one_in_all() {
    let ttl = CreateTTLRequest { path: Some("/t".into()), data: None, acl: acl(), flags: 5, ttl: 9 };
    let body = multi_body([
        (OpCode::CREATE, encoded(&create("/a", 1))),
        (OpCode::CREATE, encoded(&create("/s", 2))),
        (OpCode::CREATE_TTL, encoded(&ttl)),
    ]);
    let parts = vec![
        applied(OpCode::CREATE, "/a"),
        applied(OpCode::CREATE, "/s0000000000"),
        applied(OpCode::CREATE_TTL, "/t"),
        applied(OpCode::CHECK, "/a"),
        applied(OpCode::SET_DATA, "/a"),
        applied(OpCode::DELETE, "/a"),
    ];
    let done = Applied { op: OpCode::MULTI, parts, ..Applied::default() };
    let of = |rest: &str| format!("{WHO}\toperation={rest}\tresult=success");
    let expected = [
        of("create\tznode=/a\tznode_type=ephemeral"),
        of("create\tznode=/s0000000000"),
        of("create\tznode=/t"),
        of("setData\tznode=/a"),
        of("delete\tznode=/a"),
    ];
    assert_eq!(lines(OpCode::MULTI, &body, &done), expected);
    let done = Applied { op: OpCode::MULTI, parts: vec![failed(), failed()], ..Applied::default() };
    let expected = format!("!{WHO}\toperation=multiOperation\tresult=failure");
    assert_eq!(lines(OpCode::MULTI, &body, &done), [expected]);
}

#[test]
fn a_client_is_named_by_all_its_identities_and_no_secret_is_among_them() {
    let users = |of: &[(&str, &str)]| users(&identities(of));
    assert_eq!(users(&[("ip", "1.2.3.4"), ("digest", "me:hash"), ("super", "")]).unwrap(), "1.2.3.4,me");
    assert_eq!(users(&[("sasl", "kafka"), ("x509", "CN=a,O=b")]).unwrap(), "kafka,CN=a,O=b");
    assert_eq!(users(&[("super", ""), ("sasl", " ")]), None);
}

#[test]
fn no_path_writes_a_line_that_nobody_wrote() {
    let path = "/a\nsession=0x1\tresult=success\u{2028}\u{1b}[1m";
    let found = lines(OpCode::CREATE, &encoded(&create(path, 0)), &failed());
    let shown = "/a\\u{a}session=0x1\\u{9}result=success\\u{2028}\\u{1b}[1m";
    let expected = format!("operation=create\tznode={shown}\tznode_type=persistent\tresult=failure");
    assert_eq!(found, [format!("!{WHO}\t{expected}")]);
}

#[test]
fn what_cannot_be_read_and_what_is_no_change_has_no_line() {
    assert!(lines(OpCode::CREATE, &[1, 2], &failed()).is_empty());
    assert!(lines(OpCode::CREATE, &encoded(&create("/a", 99)), &failed()).is_empty());
    for op in [OpCode::GET_DATA, OpCode::SYNC, OpCode::CLOSE_SESSION, OpCode::CHECK] {
        assert!(Note::of(op, &[], &identities(&[])).is_none(), "{op}");
    }
}

#[test]
fn the_server_tells_of_itself_and_of_what_sessions_leave() {
    let line = of_ephemeral("zk", SessionId(-1), "/e", true);
    let operation = "operation=ephemeralZNodeDeletionOnSessionCloseOrExpire";
    assert_eq!(
        line.text,
        format!("session=0xffffffffffffffff\tuser=zk\t{operation}\tznode=/e\tresult=success")
    );
    assert!(of_ephemeral("zk", SessionId(1), "/e", false).is_failure);
    let said = |event| of_server("zk", event).text;
    assert_eq!(said(ServerEvent::Started), "user=zk\toperation=serverStart\tresult=success");
    assert_eq!(said(ServerEvent::NotStarted), "user=zk\toperation=serverStart\tresult=failure");
    assert_eq!(said(ServerEvent::Stops), "user=zk\toperation=serverStop\tresult=invoked");
}
