//! The tree against a model that is slow and obvious, under transactions that no server would log: applying
//! must be total, deterministic, and keep every count, set and sum that is kept beside the nodes.

mod model;
pub(crate) mod transactions;

use std::collections::{BTreeMap, BTreeSet};

use jute::records::data::{Acl, StatPersisted};
use jute::records::txn::{DeleteTxn, TxnHeader};
use jute::txn::TxnBody;
use jute::{SessionId, Zxid};
use proptest::prelude::*;

use self::model::Model;
use self::transactions::{PATHS, rules, transactions};
use super::{Change, Cursor, NodeId, OwnerRules, Tree};

/// Data, access control list and stat.
pub(crate) type NodeParts = (Option<Vec<u8>>, Vec<Acl>, StatPersisted);

/// All that can be asked of a tree, to be compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) nodes: BTreeMap<String, NodeParts>,
    pub(crate) ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    pub(crate) containers: BTreeSet<String>,
    pub(crate) ttls: BTreeSet<String>,
    pub(crate) quotas: BTreeSet<String>,
    pub(crate) digest: u64,
    pub(crate) last_zxid: Zxid,
}

/// What `tree` holds. Asserts on the way that its parts agree with each other.
pub(crate) fn contents(tree: &Tree) -> Contents {
    let owned = |paths: &mut dyn Iterator<Item = &str>| paths.map(str::to_owned).collect();
    let mut nodes = BTreeMap::new();
    let mut stack = vec![String::new()];
    while let Some(path) = stack.pop() {
        let id = tree.find(&path).unwrap_or_else(|| panic!("{path:?} is listed by its parent"));
        let node = tree.node(id);
        stack.extend(node.children().iter().map(|child| format!("{path}/{}", tree.node(*child).name())));
        let entry =
            (node.data().map(<[u8]>::to_vec), tree.acls().list(node.acl()).to_vec(), node.persisted());
        assert!(nodes.insert(path.clone(), entry).is_none(), "{path:?} is there twice");
    }
    assert_eq!(tree.node_count(), nodes.len() + 1);
    for (path, (data, ..)) in &nodes {
        let node = tree.get(path).unwrap();
        let below: Vec<_> = nodes
            .iter()
            .filter(|(other, _)| other.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/')))
            .collect();
        let bytes = below.iter().map(|(_, (data, ..))| data.as_ref().map_or(0, Vec::len) as u64).sum();
        assert_eq!((node.nodes_below(), node.bytes_below()), (below.len(), bytes), "below {path:?}");
        assert_eq!(node.data_length(), data.as_ref().map_or(0, Vec::len));
        assert_eq!(tree.path_of(tree.find(path).unwrap()), *path);
    }
    let ephemerals = tree
        .ephemerals()
        .filter(|(_, paths)| !paths.is_empty())
        .map(|(session, paths)| (session, paths.iter().map(ToString::to_string).collect()))
        .collect();
    Contents {
        nodes,
        ephemerals,
        containers: tree.containers().collect(),
        ttls: tree.ttls().collect(),
        quotas: owned(&mut tree.quota_paths()),
        digest: tree.digest(),
        last_zxid: tree.last_zxid(),
    }
}

/// A line for each thing that watchers would hear of.
fn heard(change: &Change<'_>) -> String {
    match change {
        Change::Created { path, acl, parent_acl } => format!("created {path:?} {acl:?} {parent_acl:?}"),
        Change::Deleted { path, acl, parent_acl } => format!("deleted {path:?} {acl:?} {parent_acl:?}"),
        Change::DataChanged { path, acl } => format!("changed {path:?} {acl:?}"),
    }
}

fn check_same(tree: &Tree, model: &Model) {
    assert_eq!(contents(tree), model.contents());
    assert_eq!(tree.approximate_data_size(), model.data_size());
    assert_eq!(tree.acls().to_file().len(), model.distinct_lists(), "lists live as long as their users");
    for path in PATHS {
        let node = tree.get(path);
        assert_eq!(node.is_some(), model.node(path).is_some(), "{path:?}");
        if let (Some(node), Some(id)) = (node, tree.find(path)) {
            assert_eq!(Some(tree.stat(node)), model.stat(path), "{path:?}");
            assert_eq!(tree.descendants(id), model.descendants(path), "{path:?}");
        }
        assert_eq!(tree.governing_quota(path), model.governing(path), "{path:?}");
    }
}

/// Writes the tree down and reads it back.
fn reloaded(tree: &Tree) -> Tree {
    let mut loaded = Tree::for_loading(tree.rules());
    tree.acls().to_file().into_iter().for_each(|(id, list)| loaded.load_acl(id, list.to_vec()));
    let mut cursor = Cursor::new(tree);
    while cursor.slice(tree, 3, &mut |path, data, acl, stat| {
        loaded.load_node(path, data, acl, stat).unwrap();
    }) > 0
    {}
    loaded.finish_loading(tree.last_zxid()).unwrap();
    loaded
}

fn apply_all(rules: OwnerRules, transactions: &[(TxnHeader, TxnBody)]) -> Tree {
    let mut tree = Tree::new(rules);
    for (header, body) in transactions {
        tree.apply(header, body.clone(), &mut |_| {});
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_does_what_the_model_does(rules in rules(), transactions in transactions(50)) {
        let mut tree = Tree::new(rules);
        let mut model = Model::new(rules);
        check_same(&tree, &model);
        for (header, body) in transactions {
            let mut events = Vec::new();
            let applied = tree.apply(&header, body.clone(), &mut |change| events.push(heard(&change)));
            let (expected, expected_events) = model.apply(&header, body);
            prop_assert_eq!(applied, expected);
            prop_assert_eq!(events, expected_events);
            check_same(&tree, &model);
        }
    }

    #[test]
    fn the_same_transactions_give_the_same_tree(rules in rules(), transactions in transactions(80)) {
        let (first, second) = (apply_all(rules, &transactions), apply_all(rules, &transactions));
        prop_assert_eq!(contents(&first), contents(&second));
        prop_assert_eq!(first.approximate_data_size(), second.approximate_data_size());
        prop_assert_eq!(first.acls().to_file(), second.acls().to_file());
    }

    #[test]
    fn whatever_was_applied_can_be_written_and_loaded(rules in rules(), transactions in transactions(80)) {
        let tree = apply_all(rules, &transactions);
        let (mut before, mut after) = (contents(&tree), contents(&reloaded(&tree)));
        // Loading counts usage anew and knows a quota by its limits node alone.
        for contents in [&mut before, &mut after] {
            contents.nodes.retain(|path, _| !path.ends_with("zookeeper_stats"));
            contents.quotas.clear();
        }
        prop_assert_eq!(before, after);
    }
}

/// Usage is text that a client may set, so that it can stand at the largest number there is. Counting on
/// from there once stopped the server, and each start after it. Java wraps around.
#[test]
fn usage_at_the_largest_number_wraps_around() {
    let mut tree = Tree::new(OwnerRules::default());
    let largest = format!("count={},bytes={}", i64::MAX, i64::MAX);
    for (zxid, (path, data)) in [
        ("/zookeeper/quota/a", ""),
        ("/zookeeper/quota/a/zookeeper_limits", "count=5,bytes=-1"),
        ("/zookeeper/quota/a/zookeeper_stats", ""),
        ("/a", "x"),
    ]
    .into_iter()
    .enumerate()
    {
        tree.apply(&transactions::header(zxid), transactions::creation(path, data), &mut |_| {});
    }
    let usage = "/zookeeper/quota/a/zookeeper_stats";
    tree.apply(&transactions::header(10), transactions::new_data(usage, &largest), &mut |_| {});
    tree.apply(&transactions::header(11), transactions::creation("/a/b", "x"), &mut |_| {});
    let text = tree.get(usage).unwrap().data().unwrap();
    assert_eq!(std::str::from_utf8(text).unwrap(), format!("count={},bytes={}", i64::MIN, i64::MIN));
}

/// The root answers to `/` too, so `//a` was created beside `/a`, under the same name; the snapshot
/// then held a node twice and no server could load it.
#[test]
fn nothing_is_created_under_the_roots_other_name() {
    let mut tree = Tree::new(OwnerRules::default());
    for (zxid, path) in ["/a", "//a", "//"].into_iter().enumerate() {
        tree.apply(&transactions::header(zxid), transactions::creation(path, ""), &mut |_| {});
    }
    assert_eq!(contents(&reloaded(&tree)), contents(&tree));
    assert!(tree.find("//a").is_none() && tree.find("//").is_none());
    let stat = StatPersisted::default();
    assert!(Tree::for_loading(OwnerRules::default()).load_node("//a", None, -1, &stat).is_err());
}

/// What the paths in this order, after a root, make.
fn loaded(paths: &[&str]) -> Result<Tree, String> {
    let mut tree = Tree::for_loading(OwnerRules::default());
    for path in [""].iter().chain(paths) {
        tree.load_node(path, Some(path.as_bytes()), -1, &StatPersisted::default())?;
    }
    tree.finish_loading(Zxid(1))?;
    Ok(tree)
}

/// The reference and we write depth first; only that is fast.
#[test]
fn a_snapshot_loads_in_any_order_that_has_parents_first() {
    let depth_first = loaded(&["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/b"]).unwrap();
    let breadth_first = loaded(&["/e", "/a", "/e/b", "/a/d", "/a/b", "/a/b/c"]).unwrap();
    assert_eq!(contents(&breadth_first), contents(&depth_first));
    assert!(loaded(&["/a", "/b/c", "/b"]).unwrap_err().contains("\"/b/c\" comes before its parent"));
}

#[test]
fn a_snapshot_with_a_node_twice_is_refused() {
    for paths in [["/a", "/b", "/a"], ["/a", "/a", "/b"]] {
        assert_eq!(loaded(&paths).unwrap_err(), "node \"/a\" is there twice");
    }
    assert_eq!(loaded(&["/a", "/a/b", "/c", "/a/b"]).unwrap_err(), "node \"/a/b\" is there twice");
    assert!(loaded(&["/a", ""]).is_err());
}

/// New lists count on from the largest id of the snapshot, and there is none above this one.
#[test]
fn a_snapshot_that_uses_up_the_ids_of_lists_is_refused() {
    let mut tree = Tree::for_loading(OwnerRules::default());
    tree.load_acl(i64::MAX, Vec::new());
    tree.load_node("", None, -1, &StatPersisted::default()).unwrap();
    assert!(tree.finish_loading(Zxid(1)).is_err());
}

/// Deletion went down by recursion, and a chain of nodes that is deep enough ended the server.
#[test]
fn a_deep_chain_is_deleted_without_recursion() {
    const DEPTH: usize = 4000;
    let paths: Vec<_> = (1..=DEPTH).map(|depth| "/a".repeat(depth)).collect();
    let mut tree = loaded(&paths.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!(tree.get("/a").unwrap().nodes_below(), DEPTH - 1);
    let delete = DeleteTxn { path: Some("/a".into()) };
    let shallow = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        tree.apply(&transactions::header(1), TxnBody::Delete(delete), &mut |_| {});
        tree
    });
    let tree = shallow.unwrap().join().unwrap();
    assert_eq!((tree.node_count(), tree.node(NodeId::ROOT).nodes_below()), (2, 0));
}
