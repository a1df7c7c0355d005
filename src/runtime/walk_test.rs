//! What a learner is sent of the tree, piece by piece.

use std::collections::BTreeSet;
use std::sync::Arc;

use jute::records::Record;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::proto::CreateRequest;
use jute::{OpCode, SessionId};

use super::snapshots::Job;
use super::snapshots_test::{StillClock, job};
use super::walk::{SLICE_BYTES, stream};
use crate::request::testing::{Asked, SESSIONS, creation_of};
use crate::snapshot::{Visitor, load_body};
use crate::tree::Cursor;

const DATA_BYTES: usize = 50_000;

/// What came.
#[derive(Debug, Default)]
struct Came {
    sessions: Vec<(SessionId, i32)>,
    lists: Vec<(i64, usize)>,
    nodes: BTreeSet<String>,
    data_bytes: usize,
}

impl Visitor for Came {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.sessions.push((id, timeout_ms));
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.lists.push((id, acl.len()));
        Ok(())
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        self.data_bytes += data.map_or(0, <[u8]>::len);
        assert!(self.nodes.insert(path.to_owned()), "{path} came twice");
        Ok(())
    }
}

/// A server with several pieces of lists, and of nodes.
fn server(directory: &tempfile::TempDir) -> Job {
    let listed = (0..100).map(|number| {
        let id = |entry| Id { scheme: Some("ip".into()), id: Some(format!("10.{number}.{entry}.1")) };
        let acl = Some((0..150).map(|entry| Acl { perms: 31, id: id(entry) }).collect());
        let create = CreateRequest { path: Some(format!("/listed-{number}")), data: None, acl, flags: 0 };
        Asked { session: SESSIONS[0], op: OpCode::CREATE, body: create.to_bytes() }
    });
    let large = (0..10).map(|number| creation_of(&format!("/large-{number}"), DATA_BYTES));
    job(directory, Arc::new(StillClock), &listed.chain(large).collect::<Vec<_>>())
}

/// Sends until `takes` refuses a piece. What was sent, and what was said of it.
fn sent(job: &Job, takes: impl Fn(usize) -> bool) -> (Vec<Vec<u8>>, bool) {
    let mut pieces = Vec::new();
    let cursor = Cursor::new(&job.state.tree());
    let is_whole = stream(&job.state, &*job.clock, cursor, &mut |piece| {
        pieces.push(piece);
        takes(pieces.len())
    });
    (pieces, is_whole)
}

#[test]
fn a_learner_is_sent_the_sessions_the_lists_and_the_nodes_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let job = server(&directory);
    let (pieces, is_whole) = sent(&job, |_| true);
    assert!(is_whole);
    let (_, first) = pieces.split_last().unwrap();
    assert!(first.iter().all(|piece| (SLICE_BYTES..SLICE_BYTES + DATA_BYTES + 200).contains(&piece.len())));
    let mut came = Came::default();
    let rest = load_body(&mut &pieces.concat()[..], "leader", 1 << 20, &mut came).unwrap();
    assert!(rest.is_empty());
    assert_eq!(came.sessions, SESSIONS.map(|session| (session, 30_000)));
    let kept = job.state.tree().acls().to_file();
    assert_eq!(came.lists, kept.into_iter().map(|(id, list)| (id, list.len())).collect::<Vec<_>>());
    assert_eq!(came.data_bytes, 10 * DATA_BYTES);
    let has = |path: &str| came.nodes.contains(path);
    assert!((0..100).all(|number| has(&format!("/listed-{number}"))) && has("") && has("/large-9"));
}

/// Its connection has ended: the tree of a large server is not walked to its end for nobody.
#[test]
fn nothing_more_is_sent_to_a_learner_that_takes_a_piece_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let job = server(&directory);
    let (pieces, _) = sent(&job, |_| true);
    assert!(pieces.len() > 5, "of lists and of nodes");
    for last in 1..=pieces.len() {
        let (few, is_whole) = sent(&job, |count| count < last);
        assert_eq!((few.len(), is_whole), (last, false));
        assert!(few == pieces[..last]);
    }
}
