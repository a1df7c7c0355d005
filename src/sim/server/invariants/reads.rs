//! A read shows the whole state at the zxid in its reply, and nothing of a later one. As zxids of one session
//! never go back, a client reads its own writes.

use std::cell::{Cell, RefCell};

use jute::OpCode;
use jute::txn::TxnEntry;

use crate::request::read::{Read, WatchAccess};
use crate::request::replies::Replies;
use crate::sim::server::history::{History, Item};
use crate::sim::server::machine::REQUEST_OPTIONS;
use crate::tree::{OwnerRules, Tree};
use crate::watch::Watches;

/// Watches that nobody is told of.
#[derive(Default)]
struct Unheard(RefCell<Watches>, Cell<bool>);

impl WatchAccess for Unheard {
    fn with(&self, act: &mut dyn FnMut(&mut Watches)) {
        act(&mut self.0.borrow_mut());
    }
    fn set_over_limit(&self) {
        self.1.set(true);
    }
    fn is_over_limit(&self) -> bool {
        self.1.get()
    }
}

pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    let mut reads = Vec::new();
    for stream in &history.streams {
        for item in &stream.items {
            if let Item::Reply { xid, asked, zxid, err, body } = item
                && is_judged(asked.op)
            {
                reads.push((*zxid, stream.session, *xid, asked, *err, body.as_slice()));
            }
        }
    }
    reads.sort_by_key(|(zxid, ..)| *zxid);
    let mut tree = Tree::new(OwnerRules::default());
    let mut entries = logged.iter().peekable();
    for (zxid, session, xid, asked, err, body) in reads {
        while let Some(entry) = entries.next_if(|entry| entry.header.zxid <= zxid) {
            tree.replay(entry.clone());
        }
        assert_eq!(tree.last_zxid(), zxid, "a reply tells a zxid that never was");
        let watches = Unheard::default();
        let read = Read {
            options: &REQUEST_OPTIONS,
            tree: &tree,
            watches: &watches,
            connection: 1,
            session,
            identities: &asked.proven.identities(),
            meter: &|_| {},
        };
        let mut out = Replies::default();
        read.answer(xid, asked.op, &asked.body, &mut out);
        let expected = &out.bytes()[16..];
        let (code, rest) = expected.split_first_chunk::<4>().expect("a reply has a code");
        assert_eq!(err, i32::from_be_bytes(*code), "{} {xid} of {session} at {zxid}", asked.op);
        assert!(
            sorted(asked.op, body) == sorted(asked.op, rest),
            "{} {xid} of {session} at {zxid}",
            asked.op
        );
    }
}

const fn is_judged(op: OpCode) -> bool {
    matches!(op, OpCode::GET_DATA | OpCode::EXISTS | OpCode::GET_CHILDREN2 | OpCode::GET_EPHEMERALS)
}

/// Lists of names come in any order, so their bytes are compared in one.
fn sorted(op: OpCode, body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    if matches!(op, OpCode::GET_CHILDREN2 | OpCode::GET_EPHEMERALS) {
        bytes.sort_unstable();
    }
    bytes
}
