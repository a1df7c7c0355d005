//! What a server says on SIGQUIT, with which operators look at a Java server that is stuck (`kill -3`): what it is, how
//! far it has come, and who waits for it. A JVM prints its threads and goes on; this goes on too.
//!
//! Nothing here takes the tree, the sessions or the watches, whose locks may be what everybody waits for.

use std::sync::Arc;

use super::report::{Facts, Reporter};
use crate::logging;
use crate::runtime::Client;
use crate::runtime::client::Port;
use crate::zab::PeerState;

/// Says all of it.
pub(super) fn say(reporter: &Reporter) {
    logging::say(&standing(&reporter.facts));
    logging::say(&waiting(&reporter.facts));
}

/// Where the server stands.
fn standing(facts: &Facts) -> String {
    let state = &facts.state;
    let mut parts = vec!["SIGQUIT: this server goes on".to_owned()];
    match state.standing.told() {
        None => parts.push("mode: standalone".to_owned()),
        Some(told) => {
            let mode = match told.state {
                PeerState::Looking => "none, it looks for a leader",
                PeerState::Leading => "leader",
                PeerState::Following => "follower",
                PeerState::Observing => "observer",
            };
            parts.push(format!("mode: {mode}"));
            if let Some(leader) = told.leader {
                parts.push(format!("epoch: {}, of server {leader}", told.epoch));
            }
            if told.state == PeerState::Leading {
                let synced = told.learners.iter().filter(|(.., is_synced)| *is_synced).count();
                parts.push(format!("learners: {}, in sync: {synced}", told.learners.len()));
            }
        }
    }
    parts.push(format!("serves clients: {}", if state.standing.serves() { "yes" } else { "no" }));
    parts.push(format!("last zxid: {}", state.last_zxid()));
    parts.join("; ")
}

/// Who is there, and what waits.
fn waiting(facts: &Facts) -> String {
    let Facts { state, secure, .. } = facts;
    let clients = state.clients();
    let by_secure = clients.iter().filter(|client| client.port == Port::SecureClient).count();
    let mut parts = vec![
        format!("SIGQUIT: connections: {}, by secureClientPort: {by_secure}", clients.len()),
        format!("packets received: {}, sent: {}", state.stats.received(), state.stats.sent()),
        format!("requests outstanding: {}", state.budget.waiting()),
    ];
    parts.extend(longest(&clients));
    parts.push(format!("bytes held for clients: {}", state.budget.bytes()));
    if let Some(secure) = secure {
        parts.push(format!("TLS handshakes not done: {}", secure.handshakes()));
    }
    if state.standing.told().is_some_and(|told| told.state == PeerState::Leading) {
        let count = state.standing.pending_syncs();
        parts.push(format!("transactions for which learners wait with a sync: {count}"));
    }
    if state.is_disk_full() {
        parts.push("writes wait for space on a full disk".to_owned());
    }
    parts.join("; ")
}

/// The connection for which most is in the writer's hands, if there is any.
fn longest(clients: &[Arc<Client>]) -> Option<String> {
    let client = clients.iter().max_by_key(|client| client.in_flight())?;
    let count = Some(client.in_flight()).filter(|count| *count > 0)?;
    let session =
        client.session().map_or_else(String::new, |session| format!(" with session {}", session.id));
    Some(format!("most of them: {count}, of {}{session}", client.peer))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::server;
    use super::*;
    use crate::zab::{Serving, Standing};

    #[test]
    fn a_server_alone_says_who_waits_for_it() {
        let server = server();
        let facts = &server.facts;
        let told = "SIGQUIT: this server goes on; mode: standalone; serves clients: yes; last zxid: 0x0";
        assert_eq!(standing(facts), told);
        let begin = "SIGQUIT: connections: 2, by secureClientPort: 1; packets received: 0, sent: 0; ";
        assert_eq!(waiting(facts), format!("{begin}requests outstanding: 0; bytes held for clients: 0"));
        facts.state.clients()[1].enter(10);
        facts.state.budget.enter(1, 10);
        let most = "requests outstanding: 1; most of them: 1, of 127.0.0.1:2; bytes held for clients: 10";
        assert_eq!(waiting(facts), format!("{begin}{most}"));
    }

    #[test]
    fn a_member_says_whom_it_follows_and_a_leader_who_follows_it() {
        let server = server();
        let published = &server.facts.state.standing;
        let tell = |state, leader, learners| {
            published.tell(Standing { state, is_serving: true, leader, epoch: 3, learners });
            standing(&server.facts)
        };
        let leads = tell(PeerState::Leading, Some(2), vec![(1, false, true), (3, false, false)]);
        assert!(
            leads.contains("; mode: leader; epoch: 3, of server 2; learners: 2, in sync: 1; "),
            "{leads}"
        );
        let waits = waiting(&server.facts);
        assert!(waits.ends_with("; transactions for which learners wait with a sync: 0"), "{waits}");
        let follows = tell(PeerState::Following, Some(1), Vec::new());
        assert!(
            follows.contains("; mode: follower; epoch: 3, of server 1; serves clients: yes; "),
            "{follows}"
        );
        published.set(Serving::No);
        let looks = tell(PeerState::Looking, None, Vec::new());
        assert!(looks.contains("; mode: none, it looks for a leader; serves clients: no; "), "{looks}");
    }

    #[test]
    fn nothing_is_asked_of_what_may_be_stuck() {
        let server = server();
        let state = &server.facts.state;
        let _held = (state.sessions(), state.tree_mut(), state.watches());
        let (said, heard) = std::sync::mpsc::channel();
        let asked = Arc::clone(&server);
        std::thread::spawn(move || said.send((standing(&asked.facts), waiting(&asked.facts))));
        let told = heard.recv_timeout(std::time::Duration::from_secs(60));
        assert!(told.is_ok(), "it waits for what is held");
    }
}
