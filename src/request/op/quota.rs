//! Quotas at admission (reference: `ZooKeeperServer.checkQuota`).

use jute::Code;

use crate::logging::shown;
use crate::request::context::Context;
use crate::tree::path;
use crate::tree::quota::{LIMITS, ROOT, STATS, StatsTrack, is_readable, limits_path, stats_path};

/// Whether `nodes` and `bytes` more fit under the quota that governs `path`. Usage is what is applied;
/// soft limits only warn. What is refused is counted for the first component of the path.
pub(super) fn check(context: &mut Context<'_>, path: &str, nodes: i64, bytes: i64) -> Result<(), Code> {
    if !context.options.enforce_quota {
        return Ok(());
    }
    let outcome = check_enforced(context, path, nodes, bytes);
    if outcome == Err(Code::QUOTA_EXCEEDED) {
        *context.quota_exceeded = path::top_namespace(path).map(str::to_owned);
    }
    outcome
}

fn check_enforced(context: &Context<'_>, path: &str, nodes: i64, bytes: i64) -> Result<(), Code> {
    let Some(governed) = context.tree.governing_quota(path) else { return Ok(()) };
    let track = |path: &str| context.tree.get(path).map(|node| StatsTrack::parse(node.data()));
    let Some(limits) = track(&limits_path(governed)) else { return Ok(()) };
    let Some(usage) = track(&stats_path(governed)) else { return Ok(()) };
    exceeds(nodes, usage.count(), limits.count(), limits.count_hard_limit(), governed, "nodes")?;
    exceeds(bytes, usage.bytes(), limits.bytes(), limits.byte_hard_limit(), governed, "bytes")
}

fn exceeds(more: i64, used: i64, soft: i64, hard: i64, path: &str, what: &str) -> Result<(), Code> {
    let (limit, kind, excess) =
        if hard > -1 { (hard, "hard", Err(Code::QUOTA_EXCEEDED)) } else { (soft, "soft", Ok(())) };
    let wanted = used.wrapping_add(more); // usage is text that clients may set; Java wraps around
    if more == 0 || limit <= -1 || wanted <= limit {
        return Ok(());
    }
    let path = shown(path);
    tracing::warn!("quota on {path}: {wanted} {what} would exceed the {kind} limit of {limit}");
    excess
}

/// Refuses to create what a server of the reference would not survive to apply.
pub(super) fn check_creation(context: &Context<'_>, path: &str, data: Option<&[u8]>) -> Result<(), Code> {
    check_place(context, path)?;
    match path::split(path) {
        // Whatever a usage node is created with is overwritten at once.
        Some((_, STATS)) => Ok(()),
        _ => check_text(context, path, data),
    }
}

/// Refuses a limits node where a server of the reference ends when it comes or goes: it cuts the length of
/// `/zookeeper/quota` off its parent's path and keeps the rest, which must not be empty (reference:
/// `DataTree.createNode`, `deleteNode`, `PathTrie`).
pub(super) fn check_place(context: &Context<'_>, path: &str) -> Result<(), Code> {
    let Some((parent, LIMITS)) = path::split(path) else { return Ok(()) };
    let is_fatal = parent.starts_with("/zookeeper") && parent.encode_utf16().count() <= ROOT.len();
    if context.options.in_ensemble && is_fatal { Err(Code::BAD_ARGUMENTS) } else { Ok(()) }
}

/// Refuses text in a limits or usage node that ends a server of the reference when it next looks at the quota
/// (reference: `StatsTrack`).
pub(super) fn check_text(context: &Context<'_>, path: &str, data: Option<&[u8]>) -> Result<(), Code> {
    let is_its = path.starts_with(ROOT) && matches!(path::split(path), Some((_, LIMITS | STATS)));
    if context.options.in_ensemble && is_its && !is_readable(data) {
        Err(Code::BAD_ARGUMENTS)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jute::multi::CreateMode;
    use jute::records::Record;
    use jute::records::proto::SetDataRequest;
    use jute::{OpCode, Zxid};

    use super::*;
    use crate::logging::testing::logged_by;
    use crate::request::Options;
    use crate::request::prepare::Preparer;
    use crate::request::testing::{Asked, OPTIONS, SESSIONS, creation, multi_body, prepare};
    use crate::session::Sessions;
    use crate::tree::{OwnerRules, Tree};

    struct Server {
        tree: Tree,
        sessions: Sessions,
        preparer: Preparer,
    }

    impl Server {
        fn serve(&mut self, asked: &Asked) -> Option<String> {
            let (tree, sessions) = (&mut self.tree, &mut self.sessions);
            let entry = prepare(&mut self.preparer, tree, sessions, asked.request(), 5).unwrap();
            tree.replay(entry);
            self.preparer.applied(tree.last_zxid());
            self.preparer.take_quota_exceeded()
        }
    }

    #[test]
    fn what_a_hard_quota_refuses_is_counted_for_its_namespace() {
        let mut sessions = Sessions::new(2000, 1, 0);
        sessions.track(SESSIONS[0], 30_000, 0);
        let options = Options { enforce_quota: true, ..OPTIONS };
        let preparer = Preparer::new(options, Zxid::ZERO);
        let mut server = Server { tree: Tree::new(OwnerRules::default()), sessions, preparer };
        let limits = SetDataRequest {
            path: Some(limits_path("/ns")),
            data: Some(b"count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=2".to_vec()),
            version: -1,
        };
        let nodes = ["/ns", "/zookeeper/quota/ns", &limits_path("/ns"), &stats_path("/ns")];
        for path in nodes {
            assert_eq!(server.serve(&creation(path, CreateMode::Persistent)), None);
        }
        let of = |op, body| Asked { session: SESSIONS[0], op, body };
        assert_eq!(server.serve(&of(OpCode::SET_DATA, limits.to_bytes())), None);
        assert_eq!(server.serve(&creation("/ns/a", CreateMode::Persistent)), None);
        let too_many = creation("/ns/a/b", CreateMode::Persistent);
        let namespace = Some("ns".to_owned());
        assert_eq!(server.serve(&too_many), namespace);
        assert_eq!(server.serve(&of(OpCode::MULTI, multi_body([(too_many.op, too_many.body)]))), namespace);
        let too_much = SetDataRequest { path: Some("/ns/a".into()), data: Some(vec![0; 4]), version: -1 };
        assert_eq!(server.serve(&of(OpCode::SET_DATA, too_much.to_bytes())), namespace);
        assert_eq!(server.serve(&creation("/elsewhere", CreateMode::Persistent)), None);
    }

    #[test]
    fn only_a_hard_limit_refuses_and_only_what_passes_it() {
        let check = |more, used, soft, hard| exceeds(more, used, soft, hard, "/a", "nodes");
        let refused = Err(Code::QUOTA_EXCEEDED);
        // More, used, soft limit, hard limit.
        for (case, wanted) in [
            ((1, 9, -1, 10), Ok(())),
            ((1, 10, -1, 10), refused),
            ((1, 0, -1, 0), refused),
            ((1, 10, 5, 100), Ok(())),
            ((1, 100, 1000, 100), refused),
            ((1, 100, 5, -1), Ok(())),
            ((1, 100, -1, -1), Ok(())),
            ((0, 100, -1, 10), Ok(())),
            ((-1, 100, -1, 10), refused),
            ((-95, 100, -1, 10), Ok(())),
            ((1, i64::MAX, -1, 10), Ok(())),
        ] {
            let (more, used, soft, hard) = case;
            assert_eq!(check(more, used, soft, hard), wanted, "{case:?}");
        }
    }

    #[test]
    fn what_passes_a_limit_is_told_of_with_the_kind_of_limit() {
        let told = |soft, hard| logged_by(|| exceeds(1, 100, soft, hard, "/a", "nodes")).0;
        for ((soft, hard), kind) in [
            ((5, -1), "the soft limit of 5"),
            ((5, 50), "the hard limit of 50"),
            ((5, 0), "the hard limit of 0"),
        ] {
            let lines = told(soft, hard);
            assert!(lines.contains(&format!("101 nodes would exceed {kind}")), "{lines}");
        }
        assert_eq!([told(-1, -1), told(101, -1), told(5, 101)], [""; 3]);
    }

    /// Trap 26: each ends a server of the reference when it applies it, or when it next looks at the quota. With the server
    /// alone they are harmless.
    #[test]
    fn in_an_ensemble_is_refused_what_would_end_a_server_of_the_reference() {
        let of = |op, body| Asked { session: SESSIONS[0], op, body };
        let set = |path: &str, data: &str| {
            let data = Some(data.as_bytes().to_vec());
            of(OpCode::SET_DATA, SetDataRequest { path: Some(path.into()), data, version: -1 }.to_bytes())
        };
        let refused = |in_ensemble, before: &[Asked], asked: &Asked| {
            let mut sessions = Sessions::new(2000, 1, 0);
            sessions.track(SESSIONS[0], 30_000, 0);
            let mut tree = Tree::new(OwnerRules::default());
            let mut alone = Preparer::new(OPTIONS, Zxid::ZERO);
            for asked in before {
                let entry = prepare(&mut alone, &tree, &mut sessions, asked.request(), 5).unwrap();
                tree.replay(entry);
                alone.applied(tree.last_zxid());
            }
            let options = Options { in_ensemble, ..OPTIONS };
            let mut preparer = Preparer::new(options, tree.last_zxid());
            prepare(&mut preparer, &tree, &mut sessions, asked.request(), 5).unwrap().body.op()
                == OpCode::ERROR
        };
        let create = |path: &str| creation(path, CreateMode::Persistent);
        let (limits, stats) = (limits_path("/a"), stats_path("/a"));
        let quota = [create("/zookeeper/quota/a"), create(&stats)];
        let root = create("/zookeeper/quota/zookeeper_limits");
        let beside = [create("/zookeeperx"), create("/zookeeperx/zookeeper_limits")];
        for (before, asked) in [
            (&[][..], &root),
            (
                std::slice::from_ref(&root),
                &crate::request::testing::deletion("/zookeeper/quota/zookeeper_limits"),
            ),
            (
                std::slice::from_ref(&root),
                &of(
                    OpCode::DELETE_CONTAINER,
                    Some("/zookeeper/quota/zookeeper_limits".to_owned()).to_bytes(),
                ),
            ),
            (&beside[..1], &beside[1]),
            (&beside, &crate::request::testing::deletion("/zookeeperx/zookeeper_limits")),
            (&quota, &create(&limits)),
            (&quota, &set(&stats, "count=one")),
        ] {
            assert!(refused(true, before, asked), "{asked:?}");
            assert!(!refused(false, before, asked), "{asked:?}");
        }
        assert!(!refused(true, &quota, &set(&stats, "count=1,bytes=2")));
        assert!(!refused(true, &quota[..1], &quota[1]));
    }
}
