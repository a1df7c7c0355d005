//! Removing containers that have emptied and nodes that have aged (reference: `ContainerManager`).

use crate::tree::{NodeId, Owner, Tree};

/// Nodes looked at under one hold of the tree: that takes some tenths of a millisecond.
const LOOKS_MAX: usize = 1024;
/// Rest between two such holds.
const REST_MS: i64 = 5;
/// Removals that could not be made in time are made later, but none from longer ago.
const CATCH_UP_MS: i64 = 1000;

/// When and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between the starts of two passes over all containers and aging nodes.
    pub interval_ms: i64,
    /// Removals per minute at most.
    pub per_minute: i64,
    /// Age at which a container goes that never had a child; 0 for never.
    pub never_used_ms: i64,
}

/// A walk over all containers and aging nodes that stops at each one to be removed, and goes on when the
/// next may be.
#[derive(Debug)]
pub(super) struct Sweep {
    options: Options,
    next_pass_ms: i64,
    next_removal_ms: i64,
    pass: Option<Pass>,
}

/// One walk.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    /// The node looked at last.
    after: Option<NodeId>,
    /// When it goes on.
    next_ms: i64,
}

/// What a walk came upon.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A node to be removed.
    Due(NodeId),
    /// It has looked at as many as it may under one hold.
    Rest,
    /// There are no more.
    End,
}

impl Sweep {
    /// The first pass begins one interval after `now_ms`.
    pub(super) const fn new(options: Options, now_ms: i64) -> Self {
        let next_pass_ms = now_ms + options.interval_ms;
        Self { options, next_pass_ms, next_removal_ms: now_ms, pass: None }
    }

    /// When there is something to do.
    pub(super) fn next_ms(&self) -> i64 {
        self.pass.map_or(self.next_pass_ms, |pass| pass.next_ms.max(self.next_removal_ms))
    }

    /// The paths to try to remove now. Looks at no more than [`LOOKS_MAX`] nodes; `now_ms` is the monotonic
    /// clock, `wall_ms` what nodes were stamped with.
    pub(super) fn due(&mut self, tree: &Tree, now_ms: i64, wall_ms: i64) -> Vec<String> {
        let mut due = Vec::new();
        if self.pass.is_none() && now_ms >= self.next_pass_ms {
            self.pass = Some(Pass::default());
            self.next_pass_ms = now_ms + self.options.interval_ms;
            self.next_removal_ms = now_ms;
        }
        self.next_removal_ms = self.next_removal_ms.max(now_ms - CATCH_UP_MS);
        let pause_ms = (60_000 / self.options.per_minute.max(1)).max(1);
        let mut looks = LOOKS_MAX;
        while let Some(pass) = &mut self.pass
            && now_ms >= pass.next_ms.max(self.next_removal_ms)
        {
            match pass.go_on(tree, wall_ms, self.options, &mut looks) {
                Found::Due(id) => {
                    due.push(tree.path_of(id));
                    self.next_removal_ms += pause_ms;
                }
                Found::Rest => pass.next_ms = now_ms + REST_MS,
                Found::End => self.pass = None,
            }
        }
        due
    }
}

impl Pass {
    /// Walks on to the next node that is due.
    fn go_on(&mut self, tree: &Tree, wall_ms: i64, options: Options, looks: &mut usize) -> Found {
        for id in tree.sweepable(self.after) {
            if *looks == 0 {
                return Found::Rest;
            }
            *looks -= 1;
            self.after = Some(id);
            if is_due(tree, id, wall_ms, options.never_used_ms) {
                return Found::Due(id);
            }
        }
        Found::End
    }
}

/// Whether a node is to be removed: an empty container that once had a child or was never used for too
/// long, or a node that nobody has written for its time to live.
fn is_due(tree: &Tree, id: NodeId, wall_ms: i64, never_used_ms: i64) -> bool {
    let node = tree.node(id);
    let age_ms = wall_ms.wrapping_sub(node.persisted().mtime); // any number can be in a snapshot
    node.children().is_empty()
        && match Owner::from_field(node.owner(), tree.rules()) {
            Owner::Container => node.cversion() > 0 || (never_used_ms > 0 && age_ms > never_used_ms),
            Owner::Ttl(ms) => ms != 0 && age_ms > ms,
            Owner::None | Owner::Session(_) => false,
        }
}

#[cfg(test)]
mod tests {
    use jute::records::txn::{CreateContainerTxn, CreateTTLTxn, CreateTxn, DeleteTxn, SetDataTxn, TxnHeader};
    use jute::txn::TxnBody;
    use jute::{SessionId, Zxid};

    use super::*;
    use crate::tree::OwnerRules;

    const OPTIONS: Options = Options { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 };
    /// Long after everything was made.
    const WALL_MS: i64 = 1_000_000;

    fn apply(tree: &mut Tree, time: i64, body: TxnBody) {
        let zxid = Zxid(tree.last_zxid().0 + 1);
        tree.apply(&TxnHeader { zxid, time, ..TxnHeader::default() }, body, &mut |_| {});
    }

    fn with_ttl(path: String, ttl: i64) -> TxnBody {
        let (path, data, acl, parent_cversion) = (Some(path), None, None, -1);
        TxnBody::CreateTtl(CreateTTLTxn { path, data, acl, parent_cversion, ttl })
    }

    fn container(path: &str) -> TxnBody {
        let (path, data, acl, parent_cversion) = (Some(path.into()), None, None, -1);
        TxnBody::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
    }

    fn delete(path: &str) -> TxnBody {
        TxnBody::Delete(DeleteTxn { path: Some(path.into()) })
    }

    fn tree() -> Tree {
        Tree::new(OwnerRules { extended_types: true, emulate_353: false })
    }

    /// A tree of `count` nodes with this time to live.
    fn aging(count: usize, ttl: i64) -> Tree {
        let mut tree = tree();
        (0..count).for_each(|n| apply(&mut tree, 0, with_ttl(format!("/{n}"), ttl)));
        tree
    }

    /// What a whole pass from the first interval on removes; nothing of it is carried out.
    fn pass(tree: &Tree, options: Options) -> Vec<String> {
        let mut sweep = Sweep::new(options, 0);
        let mut due = sweep.due(tree, options.interval_ms, WALL_MS);
        while sweep.pass.is_some() {
            due.append(&mut sweep.due(tree, sweep.next_ms(), WALL_MS));
        }
        due
    }

    #[test]
    fn containers_that_have_emptied_and_nodes_that_have_aged_are_due() {
        let mut tree = tree();
        for path in ["/unused", "/emptied", "/full"] {
            apply(&mut tree, 0, container(path));
        }
        for path in ["/emptied/child", "/full/child"] {
            apply(&mut tree, 0, with_ttl(path.into(), WALL_MS));
        }
        apply(&mut tree, 0, delete("/emptied/child"));
        for path in ["/aged", "/written", "/parent", "/parent/child"] {
            apply(&mut tree, 0, with_ttl(path.into(), WALL_MS - 1));
        }
        let written = SetDataTxn { path: Some("/written".into()), data: None, version: 1 };
        apply(&mut tree, 1, TxnBody::SetData(written));
        assert_eq!(pass(&tree, OPTIONS), ["/emptied", "/aged", "/parent/child"]);
        let never_used_ms = WALL_MS - 1;
        assert_eq!(pass(&tree, Options { never_used_ms, ..OPTIONS })[0], "/unused");
        let never_used_ms = WALL_MS;
        assert_eq!(pass(&tree, Options { never_used_ms, ..OPTIONS })[0], "/emptied", "it is not older yet");
    }

    #[test]
    fn a_node_that_is_no_container_and_does_not_age_is_never_due() {
        let mut tree = tree();
        for (path, is_ephemeral) in [("/plain", false), ("/ephemeral", true)] {
            let (acl, parent_cversion) = (None, -1);
            let path = Some(path.to_owned());
            let txn = CreateTxn { path, data: None, acl, ephemeral: is_ephemeral, parent_cversion };
            let zxid = Zxid(tree.last_zxid().0 + 1);
            let header = TxnHeader { client_id: SessionId(5), zxid, ..TxnHeader::default() };
            tree.apply(&header, TxnBody::Create(txn), &mut |_| {});
        }
        for path in ["/plain", "/ephemeral"] {
            assert!(!is_due(&tree, tree.find(path).unwrap(), WALL_MS, 1), "{path}");
        }
    }

    /// Each removal looked at all of half a million nodes: 109 ms for one that was due every 6 ms.
    #[test]
    fn a_removal_does_not_look_at_nodes_again() {
        let tree = aging(5000, 1);
        let mut pass = Pass::default();
        for removals in 1..=5000 {
            let mut looks = LOOKS_MAX;
            assert!(matches!(pass.go_on(&tree, WALL_MS, OPTIONS, &mut looks), Found::Due(_)));
            assert_eq!(looks, LOOKS_MAX - 1, "removal {removals}");
        }
        assert_eq!(pass.go_on(&tree, WALL_MS, OPTIONS, &mut 1), Found::End);
    }

    #[test]
    fn as_many_nodes_are_looked_at_as_may_be() {
        let tree = aging(2, 1);
        let mut pass = Pass::default();
        let mut looks = 1;
        assert!(matches!(pass.go_on(&tree, WALL_MS, OPTIONS, &mut looks), Found::Due(_)));
        assert_eq!(pass.go_on(&tree, WALL_MS, OPTIONS, &mut looks), Found::Rest);
        assert!(
            matches!(pass.go_on(&tree, WALL_MS, OPTIONS, &mut 1), Found::Due(_)),
            "the one it stopped before"
        );
    }

    #[test]
    fn neither_the_nodes_of_sessions_nor_those_of_nobody_are_ever_due() {
        let mut tree = tree();
        for (path, ephemeral) in [("/of-session", true), ("/of-nobody", false)] {
            let path = Some(path.to_owned());
            apply(&mut tree, 0, TxnBody::Create(CreateTxn { path, ephemeral, ..CreateTxn::default() }));
        }
        for path in ["/of-session", "/of-nobody"] {
            assert!(!is_due(&tree, tree.find(path).unwrap(), WALL_MS, 1), "{path}");
        }
        assert_eq!(pass(&tree, Options { never_used_ms: 1, ..OPTIONS }), [""; 0]);
    }

    #[test]
    fn a_pass_over_many_nodes_rests_between_holds_of_the_tree() {
        let mut tree = aging(5000, WALL_MS);
        apply(&mut tree, 0, with_ttl("/due".into(), 1));
        let mut sweep = Sweep::new(OPTIONS, 0);
        let mut now = OPTIONS.interval_ms;
        for _ in 0..5000 / LOOKS_MAX {
            assert_eq!(sweep.due(&tree, now, WALL_MS), [""; 0]);
            assert_eq!(sweep.next_ms(), now + REST_MS, "it goes on soon");
            assert_eq!(sweep.due(&tree, now, WALL_MS), [""; 0], "but not at once");
            now = sweep.next_ms();
        }
        assert_eq!(sweep.due(&tree, now, WALL_MS), ["/due"]);
    }

    #[test]
    fn as_many_nodes_are_looked_at_under_one_hold_as_may_be() {
        for (others, due) in [(LOOKS_MAX - 1, &["/due"][..]), (LOOKS_MAX, &[])] {
            let mut tree = aging(others, WALL_MS);
            apply(&mut tree, 0, with_ttl("/due".into(), 1));
            assert_eq!(Sweep::new(OPTIONS, 0).due(&tree, OPTIONS.interval_ms, WALL_MS), due);
        }
    }

    #[test]
    fn removals_keep_their_rate_and_passes_their_interval() {
        let tree = aging(100, 1);
        let mut sweep = Sweep::new(OPTIONS, 0);
        let start = OPTIONS.interval_ms;
        assert_eq!(sweep.due(&tree, start - 1, WALL_MS).len(), 0);
        assert_eq!(sweep.due(&tree, start, WALL_MS).len(), 1);
        assert_eq!((sweep.next_ms(), sweep.due(&tree, start + 5, WALL_MS).len()), (start + 6, 0));
        assert_eq!(sweep.due(&tree, start + 6, WALL_MS).len(), 1);
        assert_eq!(sweep.due(&tree, start + 60, WALL_MS).len(), 9, "what was late is made up for");
        assert_eq!(sweep.due(&tree, start + 10_000, WALL_MS).len(), 89);
        assert_eq!(sweep.next_ms(), 2 * start);
    }

    /// A server that was stopped for an hour must not remove an hour's worth at once.
    #[test]
    fn after_a_long_pause_few_removals_are_made_up_for() {
        let tree = aging(1010, 1);
        let mut sweep = Sweep::new(Options { per_minute: 60_000, ..OPTIONS }, 0);
        assert_eq!(sweep.due(&tree, OPTIONS.interval_ms, WALL_MS).len(), 1);
        let made_up_for = sweep.due(&tree, OPTIONS.interval_ms + 3_600_000, WALL_MS).len();
        assert_eq!(made_up_for as i64, 1 + CATCH_UP_MS, "one each millisecond");
    }

    #[test]
    fn a_pass_goes_on_where_it_was_though_nodes_came_and_went() {
        let mut tree = aging(10, 1);
        let mut pass = Pass::default();
        let mut next = |tree: &Tree| match pass.go_on(tree, WALL_MS, OPTIONS, &mut 100) {
            Found::Due(id) => tree.path_of(id),
            other => format!("{other:?}"),
        };
        assert_eq!([next(&tree), next(&tree)], ["/0", "/1"]);
        for path in ["/1", "/2", "/3"] {
            apply(&mut tree, 0, delete(path));
        }
        assert_eq!(next(&tree), "/4");
        // It takes the place of one of those, which may lie before or behind.
        apply(&mut tree, 0, with_ttl("/new".into(), WALL_MS));
        assert_eq!([next(&tree), next(&tree)], ["/5", "/6"]);
    }
}
