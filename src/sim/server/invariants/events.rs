//! A watch event comes before any reply that shows its change, and only when there was such a change.

use std::collections::{BTreeMap, HashSet};

use jute::records::txn::DeleteTxn;
use jute::txn::{TxnBody, TxnEntry};
use jute::{OpCode, Zxid};

use crate::sim::server::guarded::is_guarded;
use crate::sim::server::history::{History, Item};
use crate::sim::server::requests::{Watch, WatchKind};
use crate::tree::path;

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

/// What happened to a path, in which transaction.
type Changes = BTreeMap<Zxid, Vec<(String, i32)>>;

pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    let mut changes = Changes::new();
    for entry in logged {
        let of = changes.entry(entry.header.zxid).or_default();
        note(&entry.body, of);
    }
    for stream in &history.streams {
        check_stream(&stream.items, &changes);
    }
}

fn note(body: &TxnBody, changes: &mut Vec<(String, i32)>) {
    let mut on = |path: &Option<String>, kind: i32| {
        let path = path.clone().unwrap_or_default();
        if kind != CHANGED {
            changes.push((path::parent_for_events(&path).to_owned(), CHILDREN));
        }
        changes.push((path, kind));
    };
    match body {
        TxnBody::Create(txn) | TxnBody::Create2(txn) => on(&txn.path, CREATED),
        TxnBody::CreateContainer(txn) => on(&txn.path, CREATED),
        TxnBody::CreateTtl(txn) => on(&txn.path, CREATED),
        TxnBody::Delete(DeleteTxn { path }) | TxnBody::DeleteContainer(DeleteTxn { path }) => {
            on(path, DELETED)
        }
        TxnBody::SetData(txn) => on(&txn.path, CHANGED),
        TxnBody::CloseSession(Some(txn)) => {
            txn.paths2delete.iter().flatten().for_each(|path| on(path, DELETED));
        }
        TxnBody::Multi(parts) if !parts.iter().any(|part| matches!(part, TxnBody::Error(_))) => {
            parts.iter().for_each(|part| note(part, changes));
        }
        _ => {}
    }
}

fn check_stream(items: &[Item], changes: &Changes) {
    let told: HashSet<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Event { kind, path, zxid, .. } if zxid.0 > 0 => Some((*zxid, path.as_str(), *kind)),
            _ => None,
        })
        .collect();
    for (zxid, path, kind) in &told {
        let has = changes.get(zxid).is_some_and(|of| of.iter().any(|(at, what)| at == path && what == kind));
        assert!(has, "an event {kind} of {path:?} at {zxid}, where nothing of the kind happened");
    }
    for (position, item) in items.iter().enumerate() {
        let Item::Reply { asked, zxid, err, .. } = item else { continue };
        // Who may not read a guarded node hears nothing of it.
        let Some(watch) = asked.watch.as_ref().filter(|watch| !is_guarded(&watch.path)) else { continue };
        if *err == 0 || (asked.op == OpCode::EXISTS && *err == -101) {
            check_watch(watch, *zxid, &items[position + 1..], changes);
        }
    }
}

/// The first change behind the watch's beginning must be told before the first reply that shows it. Watches of
/// other requests may have been used up by the same change, which is told once.
fn check_watch(watch: &Watch, set_at: Zxid, later: &[Item], changes: &Changes) {
    let fires = |(path, kind): &&(String, i32)| match watch.kind {
        WatchKind::Data => *path == watch.path && *kind != CHILDREN,
        WatchKind::Child => *path == watch.path && matches!(*kind, DELETED | CHILDREN),
        WatchKind::Persistent => *path == watch.path,
        WatchKind::Recursive => {
            let is_below =
                path.strip_prefix(&watch.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            is_below && *kind != CHILDREN
        }
    };
    let mut behind = changes.range((std::ops::Bound::Excluded(set_at), std::ops::Bound::Unbounded));
    let Some((zxid, change)) =
        behind.find_map(|(zxid, of)| of.iter().find(fires).map(|change| (*zxid, change)))
    else {
        return;
    };
    for item in later {
        match item {
            Item::Event { path, zxid: at, kind, .. }
                if *at == zxid && (path, kind) == (&change.0, &change.1) =>
            {
                return;
            }
            Item::Reply { zxid: shown, asked, .. } if *shown >= zxid => {
                panic!(
                    "{watch:?}, set at {set_at}: {change:?} of {zxid} was not told before the reply to {} that shows {shown}",
                    asked.op
                );
            }
            _ => {}
        }
    }
}
