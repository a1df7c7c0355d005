//! Snapshots that are written while transactions go on, and recovery from them: the log from the
//! snapshot's zxid on must make the tree what it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use jute::multi::CreateMode;
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::disk::{Disk, RealDisk};
use crate::request::prepare::Preparer;
use crate::request::testing::{Asked, OPTIONS, SESSIONS, asked, creation, deletion, prepare, quota_change};
use crate::session::Sessions;
use crate::snapshot::{Compression, Writer, format};
use crate::store::{self, Directories, Step};
use crate::tree::model_test::contents;
use crate::tree::{Cursor, OwnerRules, Tree, digest};
use crate::txnlog::{self, Io, Log};

const RULES: OwnerRules = OwnerRules { extended_types: true, emulate_353: false };

/// A running server, as far as files are concerned.
struct Live {
    tree: Tree,
    preparer: Preparer,
    tracked: Sessions,
    /// Committed sessions.
    sessions: BTreeMap<SessionId, i32>,
    log: Log,
}

impl Live {
    fn new(disk: &Arc<dyn Disk>, directories: &Directories) -> Self {
        let mut tracked = Sessions::new(2000, 1, 0);
        SESSIONS.iter().for_each(|session| drop(tracked.track(*session, 30_000, 0)));
        let options = txnlog::Options {
            prealloc_bytes: 0,
            force_sync: false,
            io: Io::Plain,
            ..txnlog::Options::new(directories.logs.clone())
        };
        let log = Log::open(Arc::clone(disk), options, Zxid::ZERO).unwrap();
        let preparer = Preparer::new(OPTIONS, Zxid::ZERO);
        let sessions = SESSIONS.iter().map(|session| (*session, 30_000)).collect();
        Self { tree: Tree::new(RULES), preparer, tracked, sessions, log }
    }

    fn serve(&mut self, asked: &Asked) {
        let time = self.tree.last_zxid().0 * 10;
        let Ok(entry) = prepare(&mut self.preparer, &self.tree, &mut self.tracked, asked.request(), time)
        else {
            return;
        };
        self.log.append(&entry).unwrap();
        let TxnEntry { header, body, .. } = entry;
        match &body {
            TxnBody::CloseSession(_) => drop(self.sessions.remove(&header.client_id)),
            TxnBody::CreateSession(txn) => drop(self.sessions.insert(header.client_id, txn.time_out)),
            _ => {}
        }
        self.tree.apply(&header, body, &mut |_| {});
        self.preparer.applied(self.tree.last_zxid());
    }
}

/// When a snapshot is taken, in requests.
#[derive(Clone, Debug)]
struct Plan {
    before: Vec<Asked>,
    /// While the lists are visited, before the nodes.
    lists_later_by: Vec<Asked>,
    /// Nodes that are written before each request.
    during: Vec<(usize, Asked)>,
    after: Vec<Asked>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let any = || prop_oneof![8 => asked().boxed(), 1 => quota_change().boxed()];
    (vec(any(), 0..40), vec(any(), 0..4), vec((0..3usize, any()), 0..40), vec(any(), 0..10))
        .prop_map(|(before, lists_later_by, during, after)| Plan { before, lists_later_by, during, after })
}

fn check_recovery_gives_the_live_tree(plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let home = directory.path().to_owned();
    let options = store::Options { rules: RULES, ..store::Options::new(home.clone(), home) };
    let directories = Directories::open(&disk, &options).unwrap();
    let mut live = Live::new(&disk, &directories);
    for path in ["/zookeeper/quota/a", "/zookeeper/quota/q", "/a", "/q"] {
        live.serve(&creation(path, CreateMode::Persistent));
    }
    plan.before.iter().for_each(|asked| live.serve(asked));

    let mut cursor = Cursor::new(&live.tree);
    let began_at = cursor.began_at();
    let mut lists = Vec::new();
    for asked in &plan.lists_later_by {
        cursor.lists(&live.tree, 1, &mut lists);
        live.serve(asked);
    }
    while cursor.lists(&live.tree, 3, &mut lists) {}
    let sessions: Vec<_> = live.sessions.iter().map(|(id, timeout)| (*id, *timeout)).collect();
    let mut writer = Writer::create(&disk, &directories.snapshots, began_at, Compression::None).unwrap();
    writer.begin_lists(&sessions, lists.len()).unwrap();
    lists.iter().try_for_each(|(id, list)| writer.list(*id, list)).unwrap();
    let mut nodes = Vec::new();
    for (count, asked) in &plan.during {
        cursor.slice(&live.tree, *count, &mut |path, data, acl, stat| {
            format::put_node(&mut nodes, path, data, acl, stat);
        });
        live.serve(asked);
    }
    while cursor.slice(&live.tree, 100, &mut |path, data, acl, stat| {
        format::put_node(&mut nodes, path, data, acl, stat);
    }) > 0
    {}
    writer.raw_nodes(&nodes).unwrap();
    let digest = (live.tree.last_zxid(), digest::VERSION, live.tree.digest().cast_signed());
    writer.finish(Some(digest), None).unwrap();
    plan.after.iter().for_each(|asked| live.serve(asked));
    live.log.sync().unwrap();
    drop(live.log);

    let mut differing = Vec::new();
    let recovered = store::recover(&disk, &directories, &options, &mut |step| {
        if let Step::DigestDiffers(zxid) = step {
            differing.push(zxid);
        }
    });
    let recovered = recovered.unwrap().found;
    assert_eq!(recovered.snapshot, Some(began_at));
    assert_eq!(recovered.sessions, live.sessions);
    assert_eq!(contents(&recovered.tree), contents(&live.tree));
    assert_eq!(differing, []);
}

proptest! {
    // As many cases as PROPTEST_CASES says.
    #[test]
    fn a_snapshot_taken_under_load_and_the_log_give_the_live_tree(plan in plan()) {
        check_recovery_gives_the_live_tree(&plan);
    }
}

/// The walk remembers where nodes are to be found. A place that is given to another node in the meantime
/// must not put that node under the name of the first one's parent.
#[test]
fn a_node_in_the_place_of_a_deleted_one_is_left_to_the_log() {
    let plan = Plan {
        before: vec![creation("/a/b", CreateMode::Persistent)],
        lists_later_by: Vec::new(),
        during: vec![(3, deletion("/a/b")), (0, creation("/q/n", CreateMode::Persistent))],
        after: Vec::new(),
    };
    check_recovery_gives_the_live_tree(&plan);
}
