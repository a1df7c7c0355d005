//! Four-letter words, reduced to what two servers can be held to.

/// Lines of `mntr` that depend on nothing but what was asked of the server.
const MNTR: [&str; 9] = [
    "zk_znode_count",
    "zk_watch_count",
    "zk_ephemerals_count",
    "zk_approximate_data_size",
    "zk_num_alive_connections",
    "zk_server_state",
    "zk_global_sessions",
    "zk_local_sessions",
    "zk_outstanding_requests",
];

/// What quotas write is not counted until a start from a snapshot, which members take when it suits them.
const COUNTED_ANEW: &str = "zk_approximate_data_size";

/// The lines of an answer that must be equal, in an order that both have.
#[must_use]
pub(super) fn comparable(word: &str, answer: &str, in_ensemble: bool) -> String {
    match word {
        "srvr" => keep(answer, |line| {
            ["Connections", "Outstanding", "Zxid", "Mode", "Node count"]
                .iter()
                .any(|key| line.starts_with(key))
        }),
        "mntr" => keep(answer, |line| {
            line.split_whitespace()
                .next()
                .is_some_and(|key| MNTR.contains(&key) && !(in_ensemble && key == COUNTED_ANEW))
        }),
        "wchp" => groups(answer, |line| !line.starts_with('\t')),
        // A path may hold the end of a line, so a heading is known by the session it names.
        "wchc" => groups(&keep(answer, |line| !line.is_empty()), |line| line.starts_with("0x")),
        "dump" => {
            let ephemerals = answer.split_once("ephemeral nodes dump:").map_or(answer, |(_, rest)| rest);
            let ephemerals =
                ephemerals.split_once("Connections dump:").map_or(ephemerals, |(ephemerals, _)| ephemerals);
            if in_ensemble {
                // Sessions that once had ephemerals are listed until a start from a snapshot, which members take
                // when it suits them.
                return groups(&of_those_that_have_any(ephemerals), |line| !line.starts_with('\t'));
            }
            groups(ephemerals, |line| !line.starts_with('\t'))
        }
        _ => answer.to_owned(),
    }
}

fn keep(answer: &str, wanted: impl Fn(&str) -> bool) -> String {
    answer.lines().filter(|line| wanted(line)).map(|line| format!("{line}\n")).collect()
}

/// Sessions with the paths of their ephemerals, if they have any.
fn of_those_that_have_any(ephemerals: &str) -> String {
    let mut lines = ephemerals.lines().peekable();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line.starts_with('\t') || lines.peek().is_some_and(|next| next.starts_with('\t')) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Headings with lines below them, both without an order.
fn groups(answer: &str, is_heading: impl Fn(&str) -> bool) -> String {
    let mut groups: Vec<Vec<&str>> = vec![Vec::new()];
    for line in answer.lines() {
        if is_heading(line) {
            groups.push(Vec::new());
        }
        groups.last_mut().expect("one group at least").push(line);
    }
    for group in &mut groups {
        if let Some((_, rest)) = group.split_first_mut() {
            rest.sort_unstable();
        }
    }
    groups.sort_unstable();
    groups.concat().iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_watchers_have_no_order() {
        assert_eq!(
            comparable("wchp", "/b\n\t0x2\n\t0x1\n/a\n\t0x1\n", false),
            comparable("wchp", "/a\n\t0x1\n/b\n\t0x1\n\t0x2\n", false)
        );
    }

    #[test]
    fn sessions_without_ephemerals_do_not_count_in_an_ensemble() {
        let dump = |empty: &str| format!("ephemeral nodes dump:\n{empty}0x2:\n\t/a\nConnections dump:\n");
        assert_eq!(comparable("dump", &dump("0x1:\n"), true), comparable("dump", &dump(""), true));
        assert_ne!(comparable("dump", &dump("0x1:\n"), false), comparable("dump", &dump(""), false));
    }
}
