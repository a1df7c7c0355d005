//! Requests in a few bytes, so that mutations walk through states and not only through the codec.

use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest,
    ExistsRequest, GetACLRequest, GetChildren2Request, GetDataRequest, MultiHeader, RemoveWatchesRequest,
    RequestHeader, SetACLRequest, SetDataRequest, SetWatches2,
};
use jute::{OpCode, Zxid, write};

/// Few, so that requests meet.
const PATHS: [&str; 20] = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/",
    "/q",
    "/q/n-",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/q",
    "/zookeeper/quota/q/zookeeper_limits",
    "/zookeeper/quota/q/zookeeper_stats",
    "/zookeeper/config",
    "/zookeeper",
    "",
    "no/slash",
    "/a//b",
    "/ü",
    "/a/b/../c",
];
const DATA: [Option<&[u8]>; 8] = [
    None,
    Some(b""),
    Some(b"x"),
    Some(b"twenty bytes of data"),
    Some(b"count=2,bytes=10"),
    Some(b"count=9223372036854775807,bytes=-9223372036854775808"),
    Some(b"count=1,bytes=2=;byteHardLimit=30;countHardLimit=3"),
    Some(b"count=,bytes=x;;=,"),
];
const LISTS: [(i32, &str, &str); 8] = [
    (31, "world", "anyone"),
    (1, "world", "anyone"),
    (31, "auth", ""),
    (31, "digest", "u:h"),
    (5, "ip", "10.0.0.0/8"),
    (31, "nobody", "knows"),
    (0, "world", "anyone"),
    (30, "ip", "127.0.0.1"),
];

/// Reads the next byte, zero at the end.
fn next(rest: &mut &[u8]) -> u8 {
    let Some((first, tail)) = rest.split_first() else { return 0 };
    *rest = tail;
    *first
}

fn pick<T: Copy>(choices: &[T], rest: &mut &[u8]) -> T {
    choices[usize::from(next(rest)) % choices.len()]
}

fn path(rest: &mut &[u8]) -> Option<String> {
    Some(pick(&PATHS, rest).to_owned())
}

fn data(rest: &mut &[u8]) -> Option<Vec<u8>> {
    pick(&DATA, rest).map(<[u8]>::to_vec)
}

fn acl(rest: &mut &[u8]) -> Option<Vec<Acl>> {
    let (perms, scheme, id) = pick(&LISTS, rest);
    Some(vec![Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }])
}

fn version(rest: &mut &[u8]) -> i32 {
    i32::from(next(rest) % 4) - 1
}

/// A request frame without its length.
pub(crate) fn request(rest: &mut &[u8]) -> Vec<u8> {
    let kind = next(rest);
    let (op, body) = match kind % 24 {
        0 => multi(rest),
        1 => (OpCode::GET_DATA, GetDataRequest { path: path(rest), watch: true }.to_bytes()),
        2 => (OpCode::EXISTS, ExistsRequest { path: path(rest), watch: true }.to_bytes()),
        3 => (OpCode::GET_CHILDREN2, GetChildren2Request { path: path(rest), watch: true }.to_bytes()),
        4 => (OpCode::ADD_WATCH, AddWatchRequest { path: path(rest), mode: version(rest) }.to_bytes()),
        5 => {
            let request = RemoveWatchesRequest { path: path(rest), r#type: i32::from(next(rest) % 7) };
            (if kind & 32 == 0 { OpCode::REMOVE_WATCHES } else { OpCode::CHECK_WATCHES }, request.to_bytes())
        }
        6 => (OpCode::SET_ACL, {
            SetACLRequest { path: path(rest), acl: acl(rest), version: version(rest) }.to_bytes()
        }),
        7 => (OpCode::GET_ACL, GetACLRequest { path: path(rest) }.to_bytes()),
        8 => (OpCode::CLOSE_SESSION, Vec::new()),
        9 => (OpCode::AUTH, {
            let auth = Some(vec![b'u', b':', next(rest)]);
            AuthPacket { r#type: 0, scheme: Some("digest".into()), auth }.to_bytes()
        }),
        10 => (OpCode::PING, Vec::new()),
        11 => (OpCode::GET_EPHEMERALS, GetACLRequest { path: path(rest) }.to_bytes()),
        12 => (OpCode::GET_ALL_CHILDREN_NUMBER, GetACLRequest { path: path(rest) }.to_bytes()),
        13 => (OpCode::SET_WATCHES2, {
            let mut list = || Some(vec![path(rest), path(rest)]);
            let (data_watches, exist_watches, child_watches) = (list(), list(), list());
            let (persistent_watches, persistent_recursive_watches) = (list(), list());
            let relative_zxid = Zxid(i64::from(next(rest)));
            SetWatches2 {
                relative_zxid,
                data_watches,
                exist_watches,
                child_watches,
                persistent_watches,
                persistent_recursive_watches,
            }
            .to_bytes()
        }),
        14 => (OpCode::SYNC, GetACLRequest { path: path(rest) }.to_bytes()),
        15 => (OpCode::DELETE_CONTAINER, GetACLRequest { path: path(rest) }.to_bytes()),
        16 => (OpCode::MULTI_READ, {
            let mut body = Vec::new();
            for _ in 0..next(rest) % 4 {
                let op = pick(&[OpCode::GET_DATA, OpCode::GET_CHILDREN], rest);
                MultiHeader { r#type: op.0, done: false, err: -1 }.encode(&mut body);
                GetDataRequest { path: path(rest), watch: false }.encode(&mut body);
            }
            MultiHeader { r#type: -1, done: true, err: -1 }.encode(&mut body);
            body
        }),
        17 => (OpCode::CREATE_SESSION, i32::from(next(rest)).to_be_bytes().to_vec()),
        _ => write_request(rest),
    };
    let mut frame = RequestHeader { xid: i32::from(kind), r#type: op.0 }.to_bytes();
    frame.extend(body);
    frame
}

/// One of the writes that may also stand in a multi.
fn write_request(rest: &mut &[u8]) -> (OpCode, Vec<u8>) {
    let kind = next(rest);
    match kind % 8 {
        0 | 1 => (OpCode::DELETE, DeleteRequest { path: path(rest), version: version(rest) }.to_bytes()),
        2 | 3 => (OpCode::SET_DATA, {
            SetDataRequest { path: path(rest), data: data(rest), version: version(rest) }.to_bytes()
        }),
        4 => (OpCode::CREATE_TTL, {
            let (path, data, acl) = (path(rest), data(rest), acl(rest));
            let (flags, ttl) = (i32::from(next(rest) % 7), i64::from(next(rest)) * 100);
            CreateTTLRequest { path, data, acl, flags, ttl }.to_bytes()
        }),
        _ => {
            let op = pick(&[OpCode::CREATE, OpCode::CREATE2, OpCode::CREATE_CONTAINER], rest);
            let (path, data, acl) = (path(rest), data(rest), acl(rest));
            (op, CreateRequest { path, data, acl, flags: i32::from(next(rest) % 7) }.to_bytes())
        }
    }
}

fn multi(rest: &mut &[u8]) -> (OpCode, Vec<u8>) {
    let mut body = Vec::new();
    for _ in 0..next(rest) % 6 {
        let (op, part) = if next(rest).is_multiple_of(8) {
            let check = CheckVersionRequest { path: path(rest), version: version(rest) };
            (OpCode::CHECK, check.to_bytes())
        } else {
            write_request(rest)
        };
        MultiHeader { r#type: op.0, done: false, err: -1 }.encode(&mut body);
        body.extend(part);
    }
    MultiHeader { r#type: -1, done: true, err: -1 }.encode(&mut body);
    (OpCode::MULTI, body)
}

/// A frame with its length.
pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::buffer(&mut bytes, Some(frame));
    bytes
}
