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
use super::unfinished::Seen;
use crate::tree::listing::SLICE_CHILDREN;
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

/// What a part of a multiRead takes besides a node's data: its header, the length, and the stat.
const PART_BYTES: usize = 9 + 4 + 68;

/// Changes the tree: a node with this data, none where it is `None`.
fn create(tree: &mut Tree, path: &str, data: Option<Vec<u8>>) {
    let txn = CreateTxn { path: Some(path.into()), data, parent_cversion: -1, ..CreateTxn::default() };
    let header = TxnHeader { zxid: Zxid(tree.last_zxid().0 + 1), ..TxnHeader::default() };
    tree.apply(&header, TxnBody::Create(txn), &mut |_| {});
}

/// A multiRead of the data of these nodes, or of the children where the path says so at its end.
fn multi_read<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut body = Vec::new();
    for path in paths {
        let (path, op) = match path.strip_suffix("/*") {
            Some(parent) => (parent, OpCode::GET_CHILDREN),
            None => (path, OpCode::GET_DATA),
        };
        MultiHeader { r#type: op.0, done: false, err: -1 }.encode(&mut body);
        GetDataRequest { path: Some(path.into()), watch: false }.encode(&mut body);
    }
    MultiHeader { r#type: -1, done: true, err: -1 }.encode(&mut body);
    body
}

/// The code and the length of the reply to a multiRead, and what it was expected to take at most.
fn answer_to(tree: &Tree, body: &[u8]) -> (Code, usize, usize) {
    let (watches, identities) = (Here::default(), Identities::default());
    let read = read(tree, &watches, &identities);
    let mut out = Replies::default();
    read.answer(1, OpCode::MULTI_READ, body, &mut out);
    let mut most = out.len();
    while out.is_unfinished() {
        assert!(out.go_on(&read));
        most = most.max(out.len());
    }
    let code = out.bytes().get(16..20).and_then(<[u8]>::first_chunk).copied();
    (Code(i32::from_be_bytes(code.expect("a reply"))), out.len(), most)
}

/// A multiRead of some kilobytes that asks for a node of a megabyte again and again made a reply of
/// many gigabytes. At the latest where its length no longer fits into four bytes, the server stopped.
#[test]
fn a_multi_read_of_the_same_large_node_has_an_end() {
    let mut tree = Tree::new(OwnerRules::default());
    create(&mut tree, "/a", Some(vec![0; 1 << 20]));
    let (code, bytes, _) = answer_to(&tree, &multi_read(["/a"; 3]));
    assert_eq!(code, Code::OK);
    assert!(bytes > 3 << 20);
    let (code, bytes, most) = answer_to(&tree, &multi_read(["/a"; 5000]));
    assert_eq!((code, bytes), (Code::MARSHALLING_ERROR, 20));
    assert!(most < 20 << 20, "{most} bytes");
}

/// It is looked at before each part: the last one may be as large as it is.
#[test]
fn the_results_of_a_multi_read_may_come_to_16_mib_before_its_last_part_and_to_no_more() {
    let mut tree = Tree::new(OwnerRules::default());
    create(&mut tree, "/mib", Some(vec![0; (1 << 20) - PART_BYTES]));
    create(&mut tree, "/more", Some(vec![0; (1 << 20) - PART_BYTES + 1]));
    let code = |last: &[&'static str]| answer_to(&tree, &multi_read([&["/mib"; 15][..], last].concat())).0;
    assert_eq!(code(&["/mib", "/mib"]), Code::OK);
    assert_eq!(code(&["/more"]), Code::OK);
    assert_eq!(code(&["/more", "/mib"]), Code::MARSHALLING_ERROR);
}

/// What is missing of long lists counts, too: none of it is in the reply when it is given up.
#[test]
fn a_multi_read_of_the_same_long_list_has_an_end() {
    let mut tree = Tree::new(OwnerRules::default());
    create(&mut tree, "/p", None);
    for child in 0..3 * SLICE_CHILDREN {
        create(&mut tree, &format!("/p/{child:0100}"), None);
    }
    let (code, bytes, _) = answer_to(&tree, &multi_read(["/p/*"; 3]));
    assert_eq!((code, bytes > 3 * 3 * SLICE_CHILDREN * 104), (Code::OK, true));
    let (code, bytes, most) = answer_to(&tree, &multi_read(["/p/*"; 40]));
    assert_eq!((code, bytes), (Code::MARSHALLING_ERROR, 20));
    assert!(most < 18 << 20, "{most} bytes");
}

/// The budget is told of what is there, also when all has to be begun again.
#[test]
fn a_multi_read_that_is_begun_again_counts_only_what_is_in_it_now() {
    let mut tree = Tree::new(OwnerRules::default());
    create(&mut tree, "/large", Some(vec![0; 200_000]));
    create(&mut tree, "/p", None);
    for child in 0..SLICE_CHILDREN + 1 {
        create(&mut tree, &format!("/p/{child:04}"), None);
    }
    let (watches, identities) = (Here::default(), Identities::default());
    let mut out = Replies::default();
    let body = multi_read(["/p/*", "/large", "/p/*", "/large", "/p"]);
    read(&tree, &watches, &identities).answer(1, OpCode::MULTI_READ, &body, &mut out);
    let list_bytes = 9 + 4 + 8 * (SLICE_CHILDREN + 1);
    let first = 20 + list_bytes + PART_BYTES + 200_000;
    assert_eq!(out.len(), first);
    create(&mut tree, "/p/new", None);
    let read = read(&tree, &watches, &identities);
    assert!(out.go_on(&read), "it finds that one has changed");
    assert!(out.go_on(&read), "and begins again");
    // The new name is shorter, but that is not known before it is written.
    assert_eq!(out.len(), first + 8);
    while out.is_unfinished() {
        assert!(out.go_on(&read));
    }
    let whole = 20 + 2 * (list_bytes + 7 + PART_BYTES + 200_000) + PART_BYTES + 9;
    assert_eq!(out.len(), whole);
}

#[test]
fn what_was_read_is_metered_by_its_bytes() {
    let mut tree = Tree::new(OwnerRules::default());
    create(&mut tree, "/null", None);
    create(&mut tree, "/abc", Some(b"abc".to_vec()));
    let (watches, identities) = (Here::default(), Identities::default());
    for (op, path, bytes) in [
        (OpCode::GET_DATA, "/null", 0),
        (OpCode::GET_DATA, "/abc", 3),
        (OpCode::EXISTS, "/abc", 0),
        (OpCode::GET_CHILDREN, "/abc", 0),
        (OpCode::GET_CHILDREN2, "/", 4 + 3 + 9),
    ] {
        let seen = RefCell::new(Vec::new());
        let meter = |came: Seen<'_>| {
            if let Seen::Node { path, bytes } = came {
                seen.borrow_mut().push((path.to_owned(), bytes));
            }
        };
        let read = Read { meter: &meter, ..read(&tree, &watches, &identities) };
        let mut body = Vec::new();
        GetDataRequest { path: Some(path.into()), watch: false }.encode(&mut body);
        assert_eq!(read.answer(1, op, &body, &mut Replies::default()), Outcome::Answered(Code::OK));
        assert_eq!(*seen.borrow(), [(path.to_owned(), bytes)], "{op}");
    }
}

/// Reference: `FinalRequestProcessor`, which stops at a part without a path, and sends what it has.
#[test]
fn a_multi_read_ends_at_a_part_without_a_path() {
    let mut tree = Tree::new(OwnerRules::default());
    create(&mut tree, "/a", Some(b"abc".to_vec()));
    let mut body = Vec::new();
    for path in [Some("/a"), None, Some("/a")] {
        MultiHeader { r#type: OpCode::GET_DATA.0, done: false, err: -1 }.encode(&mut body);
        GetDataRequest { path: path.map(str::to_owned), watch: false }.encode(&mut body);
    }
    MultiHeader { r#type: -1, done: true, err: -1 }.encode(&mut body);
    let (code, bytes, _) = answer_to(&tree, &body);
    assert_eq!((code, bytes), (Code::MARSHALLING_ERROR, 20 + PART_BYTES + 3 + 9));
}

#[test]
fn what_is_no_read_is_not_answered_as_one() {
    let (tree, watches, identities) =
        (Tree::new(OwnerRules::default()), Here::default(), Identities::default());
    let mut out = Replies::default();
    let came = read(&tree, &watches, &identities).answer(1, OpCode::CREATE, &[0; 8], &mut out);
    assert_eq!((came, out.len()), (Outcome::Answered(Code::UNIMPLEMENTED), 20));
}

#[test]
fn where_nothing_is_unfinished_there_is_nothing_to_go_on_with() {
    let (tree, watches) = (Tree::new(OwnerRules::default()), Here::default());
    let mut out = Replies::default();
    assert!(out.go_on(&read(&tree, &watches, &Identities::default())));
    assert!(out.is_empty());
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
