//! The auth packet of a connection (reference: `ZooKeeperServer.processPacket`).

use jute::records::Record;
use jute::records::proto::AuthPacket;
use jute::{Code, Reader, Zxid};

use super::Shared;
use super::connection::refuse;
use crate::auth::{Attempt, NameCheck, Outcome, shown};
use crate::request::Client;

/// Answers an auth packet. The answer does not wait for earlier requests.
///
/// # Errors
/// Why the connection closes without a reply.
pub(super) fn authenticate(shared: &Shared, client: &Client, xid: i32, body: &[u8]) -> Result<(), String> {
    let packet = AuthPacket::decode(&mut Reader::new(body))
        .map_err(|error| format!("malformed credentials: {error}"))?;
    let scheme = packet.scheme.unwrap_or_default();
    let data_of = |path: &str| shared.state.tree().get(path)?.data().map(<[u8]>::to_vec);
    let attempt = Attempt { peer: client.peer.ip(), credentials: packet.auth.as_deref(), data_of: &data_of };
    let failure = match shared.auth.authenticate(&scheme, &attempt) {
        Outcome::Proven(identities) => {
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
            return Err(format!("the client means the ensemble {}", shown(&name)));
        }
    };
    if let Some(why) = failure {
        tracing::warn!(peer = %client.peer, "authentication refused: {why}");
        refuse(client, xid, Zxid::ZERO, Code::AUTH_FAILED);
    } else {
        client.outbox().reply(xid, Zxid::ZERO, |_| Ok(()));
    }
    Ok(())
}
