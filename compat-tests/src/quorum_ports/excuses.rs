//! Known differences on the quorum ports, explained in `exceptions.toml`: what in the part of a story that tells of
//! one peer may differ.

use crate::differential::exceptions::Exceptions;

/// What one entry allows: from the parts of the reference's and the judged server's story that differ, those in
/// which it no longer shows.
type Soften = fn([&str; 2]) -> [String; 2];

const EXCUSES: [(&str, Soften); 9] = [
    ("early-acknowledgement", in_order_of_acknowledgements),
    ("ping-tells-new-sessions", without_touched_sessions),
    ("nothing-to-send", without_useless_snapshots),
    ("no-trunc-across-epochs", without_doubtful_cuts),
    ("memory-reaches-further", without_early_snapshots),
    ("memory-of-two-log-files", without_late_snapshots),
    ("aborted-sync-is-logged", without_further_records),
    ("config-node-of-a-snap", without_config_data),
    ("the-new-epoch-as-a-zxid", without_zxid_of_snap),
];

/// Whether the stories are the same but for what is explained. What was needed for it is counted.
pub fn are_excused(stories: [&str; 2], exceptions: &mut Exceptions) -> bool {
    let [expected, actual] = stories.map(parts);
    expected.len() == actual.len()
        && expected.iter().zip(&actual).all(|(a, b)| a == b || is_excused([a, b], exceptions))
}

/// A story in parts: each begins with a line that is not indented.
fn parts(story: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in story.lines() {
        match parts.last_mut() {
            Some(part) if line.starts_with(' ') => {
                part.push('\n');
                part.push_str(line);
            }
            _ => parts.push(line.to_owned()),
        }
    }
    parts
}

fn is_excused(parts: [&str; 2], exceptions: &mut Exceptions) -> bool {
    let mut parts = parts.map(str::to_owned);
    let mut met = Vec::new();
    for (name, soften) in EXCUSES {
        let next = soften([&parts[0], &parts[1]]);
        // One that changes both alike was not needed.
        if distance(&next) < distance(&parts) {
            met.push(name);
            parts = next;
        }
    }
    parts[0] == parts[1] && met.into_iter().all(|name| exceptions.excuse(name))
}

/// In how many lines two parts differ.
fn distance(parts: &[String; 2]) -> usize {
    let [a, b] = parts.each_ref().map(|part| part.lines().collect::<Vec<_>>());
    a.iter().zip(&b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}

fn each_line(parts: [&str; 2], soften: impl Fn(&str) -> String) -> [String; 2] {
    parts.map(|part| part.lines().map(&soften).collect::<Vec<_>>().join("\n"))
}

/// A learner may acknowledge a transaction before it acknowledges the epoch for the second time.
fn in_order_of_acknowledgements(parts: [&str; 2]) -> [String; 2] {
    parts.map(|part| {
        let mut lines: Vec<&str> = part.lines().collect();
        let is_ack = |line: &&str| line.starts_with("  ACK ");
        for run in lines.chunk_by_mut(|a, b| is_ack(a) == is_ack(b)) {
            if run.first().is_some_and(is_ack) {
                run.sort_unstable();
            }
        }
        lines.join("\n")
    })
}

/// The answer to a ping names sessions that were heard from.
fn without_touched_sessions(parts: [&str; 2]) -> [String; 2] {
    each_line(parts, |line| match line.strip_prefix("  PING ") {
        Some(rest) => format!("  PING {}", rest.split(' ').next().unwrap_or_default()),
        None => line.to_owned(),
    })
}

/// The node that each server fills by itself.
fn without_config_data(parts: [&str; 2]) -> [String; 2] {
    each_line(parts, |line| {
        let is_config = line.starts_with("  \"/zookeeper/config\"");
        if is_config { String::from("  \"/zookeeper/config\"") } else { line.to_owned() }
    })
}

/// Where a leader stands that has written nothing yet.
fn without_zxid_of_snap(parts: [&str; 2]) -> [String; 2] {
    each_line(
        parts,
        |line| {
            if line.starts_with("  SNAP ") { String::from("  SNAP") } else { line.to_owned() }
        },
    )
}

/// A learner that has everything gets an empty DIFF, where the reference sends the whole tree.
fn without_useless_snapshots(parts: [&str; 2]) -> [String; 2] {
    let [expected, actual] = parts;
    let claimed = expected.split("zxid: ").nth(1).and_then(|rest| rest.split(',').next());
    let nothing = format!("\n  DIFF 0x{} null\n  NEWLEADER", claimed.unwrap_or_default());
    let is_met = expected.contains("\n  SNAP ") && actual.contains(&nothing);
    if is_met { parts.map(without_sync) } else { parts.map(str::to_owned) }
}

/// A learner of another epoch gets SNAP where the reference lets it cut its log, at a place it may not have.
fn without_doubtful_cuts(parts: [&str; 2]) -> [String; 2] {
    let [expected, actual] = parts;
    let is_met = expected.contains("\n  TRUNC ") && actual.contains("\n  SNAP ");
    if is_met { parts.map(without_sync) } else { parts.map(str::to_owned) }
}

/// A learner gets what it lacks from memory or disk, where the reference sends the whole tree. There may be no gap.
fn without_early_snapshots(parts: [&str; 2]) -> [String; 2] {
    let [expected, actual] = parts;
    let is_met = expected.contains("\n  SNAP ") && is_whole_diff(actual);
    if is_met { parts.map(without_sync) } else { parts.map(str::to_owned) }
}

/// A learner gets the whole tree where the reference has what it lacks in memory.
fn without_late_snapshots(parts: [&str; 2]) -> [String; 2] {
    let [expected, actual] = parts;
    let is_met = is_whole_diff(expected) && actual.contains("\n  SNAP ");
    if is_met { parts.map(without_sync) } else { parts.map(str::to_owned) }
}

/// Whether DIFF brings everything from what the learner claims to have up to what it announces.
fn is_whole_diff(part: &str) -> bool {
    let number = |text: &str| i64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let claimed = part.split("zxid: ").nth(1).and_then(|rest| rest.split(',').next()).and_then(number);
    let of = |kind: &str| -> Vec<i64> {
        let lines = part.lines().filter_map(|line| line.strip_prefix(kind));
        lines.filter_map(|rest| number(rest.split(' ').next()?)).collect()
    };
    let (announced, proposed, committed) = (of("  DIFF "), of("  PROPOSAL "), of("  COMMIT "));
    let follows = |pair: &[i64]| {
        let is_next = pair[1] == pair[0] + 1;
        is_next || (pair[1] >> 32 > pair[0] >> 32 && pair[1] & 0xffff_ffff == 1)
    };
    let all: Vec<i64> = claimed.into_iter().chain(proposed.iter().copied()).collect();
    claimed.is_some()
        && announced.first() == proposed.last()
        && proposed == committed
        && all.windows(2).all(follows)
}

/// What came before a leader was left is in the log already, in its order, and the epoch with it.
fn without_further_records(parts: [&str; 2]) -> [String; 2] {
    let [expected, actual] = parts.map(|part| {
        part.lines().filter(|line| !line.starts_with("  currentEpoch ")).collect::<Vec<_>>().join("\n")
    });
    let is_met = expected.starts_with("on disk, as the sync was aborted") && actual.starts_with(&expected);
    if is_met { [expected.clone(), expected] } else { parts.map(str::to_owned) }
}

/// What stands before LEADERINFO and from NEWLEADER on.
fn without_sync(part: &str) -> String {
    let mut is_sync = false;
    let kept = part.lines().filter(|line| {
        is_sync = !line.starts_with("  NEWLEADER") && (is_sync || is_start(line));
        !is_sync
    });
    kept.collect::<Vec<_>>().join("\n")
}

fn is_start(line: &str) -> bool {
    ["  DIFF ", "  TRUNC ", "  SNAP "].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_explained_is_excused() -> anyhow::Result<()> {
        let mut exceptions = Exceptions::load_of_quorum_ports()?;
        let mut excused = |a: &str, b: &str| are_excused([a, b], &mut exceptions);
        assert!(excused("l\n  SNAP 0x2 null\n  x", "l\n  SNAP 0x1 null\n  x"));
        assert!(excused("l\n  ACK 0x2 null\n  ACK 0x1 null", "l\n  ACK 0x1 null\n  ACK 0x2 null"));
        let claim = "learner Claim { zxid: 7, config: 0 }";
        let whole = format!("{claim}\n  SNAP 0x8 null\n  tree\n  NEWLEADER 0x8\n  UPTODATE");
        assert!(excused(&whole, &format!("{claim}\n  DIFF 0x7 null\n  NEWLEADER 0x8\n  UPTODATE")));
        assert!(!excused(&whole, &format!("{claim}\n  DIFF 0x6 null\n  NEWLEADER 0x8\n  UPTODATE")));
        assert!(!excused(&whole, &format!("{claim}\n  DIFF 0x7 null\n  NEWLEADER 0x9\n  UPTODATE")));
        let diff = |zxid: i64| {
            format!(
                "{claim}\n  DIFF {zxid:#x} null\n  PROPOSAL {zxid:#x} p\n  COMMIT {zxid:#x} null\n  NEWLEADER 0x8\n  UPTODATE"
            )
        };
        assert!(excused(&whole, &diff(8)));
        assert!(!excused(&whole, &diff(9)));
        assert!(!excused("l\n  SNAP 0x2 null\n  x", "l\n  SNAP 0x1 null\n  y"));
        assert!(!excused("l\n  ACK 0x2 null", "l\n  ACK 0x1 null"));
        assert_eq!(exceptions.counts().get("the-new-epoch-as-a-zxid"), Some(&1));
        assert_eq!(exceptions.counts().get("nothing-to-send"), Some(&1));
        assert_eq!(exceptions.counts().get("ping-tells-new-sessions"), Some(&0));
        Ok(())
    }
}
