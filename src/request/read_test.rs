//! Bounds of what one read can make the server hold.

use std::cell::{Cell, RefCell};

use jute::records::Record;
use jute::records::proto::{GetDataRequest, MultiHeader};
use jute::records::txn::{CreateTxn, TxnHeader};
use jute::txn::TxnBody;
use jute::{Code, OpCode, SessionId, Zxid, write};

use super::read::{Outcome, Read, WATCH_BYTES_MAX, WatchAccess};
use super::replies::Replies;
use super::testing::OPTIONS;
use crate::tree::{Identities, OwnerRules, Tree};
use crate::watch::Watches;

/// Watches of a connection that is there.
#[derive(Default)]
struct Here(RefCell<Watches>, Cell<bool>);

impl WatchAccess for Here {
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

fn read<'a>(tree: &'a Tree, watches: &'a Here, identities: &'a Identities) -> Read<'a> {
    let session = SessionId(1);
    Read { options: &OPTIONS, tree, watches, connection: 1, session, identities, meter: &|_| {} }
}

/// A multiRead of some kilobytes that asks for a node of a megabyte again and again made a reply of
/// many gigabytes. At the latest where its length no longer fits into four bytes, the server stopped.
#[test]
fn a_multi_read_of_the_same_large_node_has_an_end() {
    let mut tree = Tree::new(OwnerRules::default());
    let (path, data) = (Some("/a".to_owned()), Some(vec![0; 1 << 20]));
    let txn = CreateTxn { path: path.clone(), data, parent_cversion: 1, ..CreateTxn::default() };
    let header = TxnHeader { zxid: Zxid(1), ..TxnHeader::default() };
    tree.apply(&header, TxnBody::Create(txn), &mut |_| {});
    let watches = Here::default();
    let answer = |parts: usize| {
        let mut body = Vec::new();
        for _ in 0..parts {
            MultiHeader { r#type: OpCode::GET_DATA.0, done: false, err: -1 }.encode(&mut body);
            GetDataRequest { path: path.clone(), watch: false }.encode(&mut body);
        }
        MultiHeader { r#type: -1, done: true, err: -1 }.encode(&mut body);
        let mut out = Replies::default();
        let identities = Identities::default();
        let read = read(&tree, &watches, &identities);
        read.answer(1, OpCode::MULTI_READ, &body, &mut out);
        let mut most = out.len();
        while out.is_unfinished() {
            assert!(out.go_on(&read));
            most = most.max(out.len());
        }
        let code = out.bytes().get(16..20).and_then(<[u8]>::first_chunk).copied();
        (Code(i32::from_be_bytes(code.expect("a reply"))), out.len(), most)
    };
    let (code, bytes, _) = answer(3);
    assert_eq!(code, Code::OK);
    assert!(bytes > 3 << 20);
    let (code, bytes, most) = answer(5000);
    assert_eq!((code, bytes), (Code::MARSHALLING_ERROR, 20));
    assert!(most < 20 << 20, "{most} bytes");
}

#[test]
fn a_connection_with_watches_beyond_measure_ends() {
    let (tree, watches) = (Tree::new(OwnerRules::default()), Here::default());
    let mut out = Replies::default();
    let mut count = 0;
    loop {
        let mut body = Vec::new();
        write::ustring(&mut body, Some(&format!("/{count}{}", "x".repeat(1 << 20))));
        write::boolean(&mut body, true);
        count += 1;
        if read(&tree, &watches, &Identities::default()).answer(1, OpCode::EXISTS, &body, &mut out)
            == Outcome::TooManyWatches
        {
            break;
        }
    }
    assert_eq!(count, WATCH_BYTES_MAX >> 20);
}
