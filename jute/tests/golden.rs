//! Bytes captured from the reference decode to the values it reads from them, and encode back to the
//! same bytes. The captures are in `golden/`, as is the program that made them.

mod common;

use common::{KINDS, normalised};
use jute::multi::MultiRequest;
use jute::op::OpCode;
use jute::read::{DecodeError, Reader};
use jute::records::proto::{
    ConnectRequest, ConnectResponse, Create2Response, CreateResponse, ErrorResponse, GetChildrenResponse,
    GetDataResponse, MultiHeader, SetDataResponse,
};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Record, SessionId, write};

/// One captured value: what it is, its bytes, and how it reads.
struct Capture {
    name: &'static str,
    bytes: Vec<u8>,
    value: &'static str,
}

fn captures(text: &'static str) -> Vec<Capture> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let captures: Vec<_> = lines
        .chunks(3)
        .map(|chunk| {
            let [name, bytes, value] = chunk else { panic!("a capture has three lines: {chunk:?}") };
            Capture { name, bytes: unhex(bytes.trim()), value: value.trim() }
        })
        .collect();
    assert!(!captures.is_empty());
    captures
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A value's `Debug` without what Rust and Java write differently: case and underscores of names, and
/// the newtypes around numbers. Strings stay as they are.
fn plain(shown: &str) -> String {
    let mut out = String::new();
    let mut rest = shown;
    while let Some(quote) = rest.find('"') {
        let (before, from_quote) = rest.split_at(quote);
        out.push_str(&normalised(before));
        let mut escaped = false;
        let inside = from_quote.char_indices().skip(1).find(|(_, each)| {
            let ends = *each == '"' && !escaped;
            escaped = *each == '\\' && !escaped;
            ends
        });
        let (end, _) = inside.expect("a string ends");
        out.push_str(&from_quote[..=end]);
        rest = &from_quote[end + 1..];
    }
    out.push_str(&normalised(rest));
    for newtype in ["zxid(", "sessionid("] {
        while let Some(start) = out.find(newtype) {
            let end = start + out[start..].find(')').expect("a newtype ends");
            out.remove(end);
            out.replace_range(start..start + newtype.len(), "");
        }
    }
    out
}

#[test]
fn every_record_reads_and_writes_the_references_bytes() {
    let captures = captures(include_str!("golden/records.txt"));
    for kind in KINDS {
        let name = normalised(&format!("{}.{}", kind.module, kind.name));
        let own = captures.iter().filter(|capture| {
            capture.name.split_once(' ').is_some_and(|(record, _)| normalised(record) == name)
        });
        let mut count = 0;
        for Capture { name, bytes, value } in own {
            let decoded = (kind.decode)(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(plain(&decoded.shown), plain(value), "{name}");
            assert_eq!(decoded.encoded, *bytes, "{name}");
            assert_eq!(decoded.consumed, bytes.len(), "{name}");
            count += 1;
        }
        assert_eq!(count, 5, "{name} has a capture of each variant");
    }
}

#[test]
fn every_record_cut_short_is_refused() {
    for kind in KINDS {
        let name = normalised(&format!("{}.{}", kind.module, kind.name));
        for Capture { name: full, bytes, .. } in captures(include_str!("golden/records.txt")) {
            if full.split_once(' ').is_none_or(|(record, _)| normalised(record) != name) {
                continue;
            }
            for length in 0..bytes.len() {
                assert!((kind.decode)(&bytes[..length]).is_err(), "{full} cut to {length} bytes");
            }
        }
    }
}

#[test]
fn transactions_of_every_type_read_and_write_the_references_bytes() {
    for Capture { name, bytes, value } in captures(include_str!("golden/txns.txt")) {
        let entry = TxnEntry::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plain(&format!("{entry:?}")), plain(value), "{name}");
        let mut encoded = Vec::new();
        entry.encode(&mut encoded);
        if name.starts_with("old ") {
            assert_ne!(encoded, bytes, "{name}: an old form is not written again");
            assert_eq!(TxnEntry::decode(&encoded), Ok(entry), "{name}");
        } else {
            assert_eq!(encoded, bytes, "{name}");
        }
    }
}

/// The reference would read the digest as the missing list; ours keeps it.
#[test]
fn a_session_end_without_a_list_may_be_followed_by_a_digest() {
    let captures = captures(include_str!("golden/txns.txt"));
    let bytes_of = |wanted| &captures.iter().find(|capture| capture.name == wanted).expect(wanted).bytes;
    let mut bytes = bytes_of("closeSession without a list").clone();
    let with_digest = bytes_of("error with digest");
    bytes.extend_from_slice(&with_digest[with_digest.len() - 12..]);
    let entry = TxnEntry::decode(&bytes).expect("it decodes");
    assert_eq!(entry.body, TxnBody::CloseSession(None));
    assert_eq!(entry.digest.expect("it has a digest").tree_digest, -1_234_567_890_123);
}

#[test]
fn multi_requests_read_as_the_reference_reads_them() {
    for Capture { name, bytes, value } in captures(include_str!("golden/multi.txt")) {
        if !name.starts_with("request ") {
            continue;
        }
        match MultiRequest::decode(&mut Reader::new(&bytes)) {
            Ok(request) => assert_eq!(plain(&format!("{request:?}")), plain(value), "{name}"),
            Err(error) => assert_eq!(value, "refused", "{name}: {error}"),
        }
    }
}

#[test]
fn multi_responses_are_made_of_headers_and_records() {
    for Capture { name, bytes, value } in captures(include_str!("golden/multi.txt")) {
        if !name.starts_with("response ") {
            continue;
        }
        let mut reader = Reader::new(&bytes);
        let mut again = Vec::new();
        let mut count = 0;
        loop {
            let header = MultiHeader::decode(&mut reader).expect(name);
            header.encode(&mut again);
            if header.done {
                break;
            }
            count += 1;
            match OpCode(header.r#type) {
                OpCode::CREATE => copy::<CreateResponse>(&mut reader, &mut again),
                OpCode::CREATE2 => copy::<Create2Response>(&mut reader, &mut again),
                OpCode::DELETE | OpCode::CHECK => {}
                OpCode::SET_DATA => copy::<SetDataResponse>(&mut reader, &mut again),
                OpCode::GET_DATA => copy::<GetDataResponse>(&mut reader, &mut again),
                OpCode::GET_CHILDREN => copy::<GetChildrenResponse>(&mut reader, &mut again),
                OpCode::ERROR => copy::<ErrorResponse>(&mut reader, &mut again),
                other => panic!("{name}: {other}"),
            }
        }
        assert_eq!(format!("{count} results"), value, "{name}");
        assert_eq!(again, bytes, "{name}");
    }
}

fn copy<R: Record>(reader: &mut Reader<'_>, out: &mut Vec<u8>) {
    R::decode(reader).expect("a part of a multi's response decodes").encode(out);
}

#[test]
fn strings_are_written_and_read_as_java_does() {
    let mut counts = (0, 0);
    for line in include_str!("golden/strings.txt").lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<_> = line.split('"').collect();
        let [kind, from, _, to, _] = parts[..] else { panic!("a capture has two strings: {line}") };
        let mut bytes = Vec::new();
        if kind == "write " {
            counts.0 += 1;
            let text = String::from_utf8(unhex(from)).expect("it is UTF-8");
            write::ustring(&mut bytes, Some(&text));
            assert_eq!(bytes.split_off(4), unhex(to), "{line}");
        } else {
            counts.1 += 1;
            write::buffer(&mut bytes, Some(&unhex(from)));
            let read =
                Reader::new(&bytes).ustring().expect("any bytes are a string").expect("it is not null");
            assert_eq!(read.as_bytes(), unhex(to), "{line}");
        }
    }
    assert!(counts.0 >= 9 && counts.1 > 200, "{counts:?}");
}

/// Clients before 3.4 end their first frame where the read-only byte would stand.
#[test]
fn a_connect_request_without_the_read_only_byte_ends_exactly_there() {
    let request = ConnectRequest {
        time_out: 30_000,
        session_id: SessionId(0x0100_0000_0000_0001),
        passwd: Some(vec![7; 16]),
        read_only: true,
        ..ConnectRequest::default()
    };
    let bytes = request.to_bytes();
    assert_eq!(bytes.len(), 45);
    let old = ConnectRequest::decode(&mut Reader::new(&bytes[..44]));
    assert_eq!(old, Err(DecodeError::Truncated { offset: 44, needed: 1 }));
    assert_eq!(ConnectResponse { passwd: Some(vec![0; 16]), ..Default::default() }.to_bytes().len(), 37);
}
