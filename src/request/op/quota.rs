//! Quotas at admission (reference: `ZooKeeperServer.checkQuota`).

use jute::Code;

use crate::fault::{self, Fault};
use crate::logging::shown;
use crate::request::prepare::Context;
use crate::tree::quota::{StatsTrack, limits_path, stats_path};

/// Whether `nodes` and `bytes` more fit under the quota that governs `path`. Usage is what is applied;
/// soft limits only warn.
pub(super) fn check(context: &Context<'_>, path: &str, nodes: i64, bytes: i64) -> Result<(), Code> {
    if !context.options.enforce_quota {
        return Ok(());
    }
    let Some(governed) = context.tree.governing_quota(path) else { return Ok(()) };
    let track = |path: &str| context.tree.get(path).map(|node| StatsTrack::parse(node.data()));
    let Some(limits) = track(&limits_path(governed)) else { return Ok(()) };
    let Some(usage) = track(&stats_path(governed)) else { return Ok(()) };
    exceeds(nodes, usage.count(), limits.count(), limits.count_hard_limit(), governed, "nodes")?;
    exceeds(bytes, usage.bytes(), limits.bytes(), limits.byte_hard_limit(), governed, "bytes")
}

fn exceeds(more: i64, used: i64, soft: i64, hard: i64, path: &str, what: &str) -> Result<(), Code> {
    let limit = if hard > -1 { hard } else { soft };
    let wanted = used.wrapping_add(more); // usage is text that clients may set; Java wraps around
    let overlooked = i64::from(fault::is_on(Fault::QuotaOverlooked));
    if more == 0 || limit <= -1 || wanted.wrapping_sub(overlooked) <= limit {
        return Ok(());
    }
    let kind = if hard > -1 { "hard" } else { "soft" };
    let path = shown(path);
    tracing::warn!("quota on {path}: {wanted} {what} would exceed the {kind} limit of {limit}");
    if hard > -1 { Err(Code::QUOTA_EXCEEDED) } else { Ok(()) }
}
