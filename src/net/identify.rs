//! Requests by which a connection proves who it is, and refusals that end it.

use jute::records::Record;
use jute::records::proto::AuthPacket;
use jute::{Code, Reader, Zxid, write};

use super::Shared;
use super::protocol::End;
use crate::auth::sasl::{Answer, Conversation};
use crate::auth::{Attempt, NameCheck, Outcome};
use crate::logging::shown;
use crate::runtime::Client;
use crate::runtime::outbox::Closing;

/// Answers an auth packet (reference: `ZooKeeperServer.processPacket`). The answer does not wait for earlier
/// requests. False when the connection ends, and nothing behind the packet is carried out.
///
/// # Errors
/// Why the connection closes without a reply.
pub(super) fn authenticate(shared: &Shared, client: &Client, xid: i32, body: &[u8]) -> Result<bool, End> {
    let packet = AuthPacket::decode(&mut Reader::new(body))
        .map_err(|error| End::Refused(format!("malformed credentials: {error}")))?;
    let scheme = packet.scheme.unwrap_or_default();
    let data_of = |path: &str| shared.state.tree().get(path)?.data().map(<[u8]>::to_vec);
    let certified: Vec<_> =
        client.identities().iter().filter(|identity| identity.scheme == "x509").cloned().collect();
    let attempt = Attempt {
        peer: client.peer.ip(),
        certified: &certified,
        credentials: packet.auth.as_deref(),
        data_of: &data_of,
    };
    let failure = match shared.auth.authenticate(&scheme, &attempt) {
        Outcome::Proven(identities) => {
            if identities.iter().any(|identity| identity.scheme == "super") {
                tracing::info!(peer = %client.peer, "the client has proven to be the superuser");
            } else if shared.auth.misses_superuser(&scheme, attempt.credentials.unwrap_or_default()) {
                tracing::warn!(
                    peer = %client.peer,
                    "a wrong password for the superuser of scheme {}: the client goes on as somebody else",
                    shown(&scheme)
                );
            }
            if identities.into_iter().all(|identity| client.add_identity(identity)) {
                None
            } else {
                Some("identities of this connection exceed 1 MiB".to_owned())
            }
        }
        Outcome::Failed => Some(format!("the credentials for scheme {} prove nothing", shown(&scheme))),
        Outcome::UnknownScheme => {
            Some(format!("no scheme {}; this server has {}", shown(&scheme), shared.auth.schemes()))
        }
        Outcome::Ensemble(NameCheck::Matches) => {
            shared.metrics.ensemble_auth_success.increment();
            None
        }
        Outcome::Ensemble(NameCheck::Skipped) => {
            shared.metrics.ensemble_auth_skip.increment();
            None
        }
        Outcome::Ensemble(NameCheck::Differs) => {
            shared.metrics.ensemble_auth_fail.increment();
            let name = String::from_utf8_lossy(attempt.credentials.unwrap_or_default());
            return Err(End::Refused(format!("the client means the ensemble {}", shown(&name))));
        }
    };
    let is_refused = failure.is_some();
    if let Some(why) = failure {
        tracing::warn!(peer = %client.peer, "authentication refused: {why}");
        refuse(client, xid, Zxid::ZERO, Code::AUTH_FAILED);
    } else {
        client.outbox().append(|out| {
            out.reply(xid, Zxid::ZERO, |_| Ok(()));
        });
    }
    Ok(!is_refused)
}

/// Replies with an error and closes.
pub(super) fn refuse(client: &Client, xid: i32, zxid: Zxid, code: Code) {
    let mut outbox = client.outbox();
    outbox.append(|out| {
        out.reply(xid, zxid, |_| Err(code));
    });
    outbox.close(Closing::AfterReplies);
}

/// Answers a step of a SASL exchange (reference: `ZooKeeperServer.processSasl`). The answer does not wait for earlier
/// requests. False when the connection ends, and nothing behind the step is carried out.
///
/// # Errors
/// Why the connection closes without a reply: a malformed token, and a null one, which the reference does not survive.
pub(super) fn answer_sasl(
    shared: &Shared,
    client: &Client,
    conversation: &mut Conversation,
    xid: i32,
    body: &[u8],
) -> Result<bool, End> {
    let token = Reader::new(body).buffer();
    let token = token.map_err(|error| End::Refused(format!("malformed SASL token: {error}")))?;
    let token = token.ok_or_else(|| End::Refused("a SASL step without a token".into()))?;
    let mut reply_token = None;
    match shared.auth.answer_sasl(conversation, token) {
        Answer::NotOffered => {}
        Answer::Challenge(token) => reply_token = Some(token),
        Answer::Proven(token, identities) => {
            for identity in identities {
                let id = shown(&identity.id).to_string();
                let scheme = identity.scheme.clone();
                if !client.add_identity(identity) {
                    return Err(End::Refused("identities of this connection exceed 1 MiB".into()));
                }
                tracing::info!(peer = %client.peer, "the client has proven to be {scheme}:{id}");
            }
            reply_token = token;
        }
        Answer::Forgiven(why) => {
            tracing::warn!(
                peer = %client.peer,
                "SASL authentication failed, and the client goes on without: {why}"
            );
        }
        Answer::Refused(why, code) => {
            tracing::warn!(peer = %client.peer, "SASL authentication failed: {why}");
            let mut outbox = client.outbox();
            outbox.append(|out| {
                out.reply_whole(xid, Zxid::ZERO, |out| {
                    write::buffer(out, None);
                    code
                });
            });
            outbox.close(Closing::AfterReplies);
            return Ok(false);
        }
    }
    client.outbox().append(|out| {
        out.reply(xid, Zxid::ZERO, |out| {
            write::buffer(out, reply_token.as_deref());
            Ok(())
        });
    });
    Ok(true)
}
