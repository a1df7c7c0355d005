//! Listings of what may be millions: in steps, each under a short hold of its lock, for as long as somebody
//! wants more.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use jute::SessionId;

use crate::admin::report::Watch;
use crate::runtime::{Client, State};
use crate::watch::Listing;

/// So many are looked at under one hold of a lock: some tenths of a millisecond.
const AT_ONCE: usize = 1000;

/// Sessions by the end of their bucket on the monotonic clock, each bucket sorted.
pub(super) fn sessions_by_expiry(state: &State) -> BTreeMap<i64, Vec<i64>> {
    let mut ids = state.sessions().ids();
    ids.sort_unstable();
    let mut buckets = BTreeMap::<i64, Vec<i64>>::new();
    for some in ids.chunks(AT_ONCE) {
        let sessions = state.sessions();
        for id in some {
            if let Some(end) = sessions.bucket_end_of(*id) {
                buckets.entry(end).or_default().push(id.0);
            }
        }
    }
    buckets
}

/// Sessions that own ephemerals, sorted.
pub(super) fn ephemeral_owners(state: &State) -> Vec<i64> {
    let mut owners: Vec<_> = state.tree().ephemeral_owners().map(|session| session.0).collect();
    owners.sort_unstable();
    owners
}

/// The ephemerals of a session, sorted.
pub(super) fn ephemerals_of(
    state: &State,
    session: SessionId,
    tell: &mut dyn FnMut(&str) -> ControlFlow<()>,
) {
    let mut last = String::new();
    loop {
        let some: Vec<_> =
            state.tree().ephemerals_after(session, &last).take(AT_ONCE).map(ToOwned::to_owned).collect();
        if some.iter().try_for_each(|path| tell(path)).is_break() {
            return;
        }
        let Some(path) = some.into_iter().next_back() else { return };
        last = path;
    }
}

/// The session of a connection, 0 before it has one.
pub(super) fn session_of(client: &Client) -> i64 {
    client.session().map_or(0, |session| session.id.0)
}

/// Each session, followed by what it watches.
pub(super) fn watches_by_session(state: &State, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
    for client in state.clients() {
        let mut listing = Listing::default();
        let mut told = false;
        while !listing.is_over() {
            let Some(paths) = state.watches().paths_of(client.id, &mut listing, AT_ONCE) else { break };
            if !told && tell(Watch::Session(session_of(&client))).is_break() {
                return;
            }
            told = true;
            if paths.iter().try_for_each(|path| tell(Watch::Path(path))).is_break() {
                return;
            }
        }
    }
}

/// Each path that is watched, followed by the sessions that do.
pub(super) fn watches_by_path(state: &State, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
    let sessions: HashMap<_, _> =
        state.clients().iter().map(|client| (client.id, session_of(client))).collect();
    let mut listing = Listing::default();
    while !listing.is_over() {
        let paths = state.watches().paths(&mut listing, AT_ONCE);
        for (path, watchers) in paths {
            let ids = watchers.iter().filter_map(|watcher| sessions.get(watcher));
            let told = tell(Watch::Path(&path));
            let told = told.is_continue().then(|| ids.copied().try_for_each(|id| tell(Watch::Session(id))));
            if told != Some(ControlFlow::Continue(())) {
                return;
            }
        }
    }
}
