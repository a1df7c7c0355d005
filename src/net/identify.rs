//! Requests by which a connection proves who it is, and refusals that end it.

use jute::records::Record;
use jute::records::proto::AuthPacket;
use jute::{Code, Reader, Zxid, write};

use super::Shared;
use super::protocol::End;
use crate::runtime::Client;
use crate::runtime::outbox::Closing;

/// Reference: `ZooKeeperServer.processPacket`. The answer does not wait for earlier requests. False when the
/// connection ends, and nothing behind it is carried out.
pub(super) fn authenticate(shared: &Shared, client: &Client, xid: i32, body: &[u8]) -> Result<bool, End> {
    let packet = AuthPacket::decode(&mut Reader::new(body))
        .map_err(|error| End::Refused(format!("malformed credentials: {error}")))?;
    let scheme = packet.scheme.unwrap_or_default();
    let is_proven = shared.auth.authenticate(client, &scheme, packet.auth.as_deref());
    if is_proven {
        client.outbox().append(|out| {
            out.reply(xid, Zxid::ZERO, |_| Ok(()));
        });
    } else {
        let shown: String = scheme.chars().take(64).collect();
        tracing::warn!(peer = %client.peer, "authentication with scheme {shown:?} failed");
        refuse(client, xid, Zxid::ZERO, Code::AUTH_FAILED);
    }
    Ok(is_proven)
}

/// Replies with an error and closes.
pub(super) fn refuse(client: &Client, xid: i32, zxid: Zxid, code: Code) {
    let mut outbox = client.outbox();
    outbox.append(|out| {
        out.reply(xid, zxid, |_| Err(code));
    });
    outbox.close(Closing::AfterReplies);
}

/// Without a login configuration the reference answers SASL steps with a null token. A null token it
/// does not survive itself: it closes.
pub(super) fn answer_sasl(client: &Client, xid: i32, body: &[u8]) -> Result<bool, End> {
    let token = Reader::new(body).buffer();
    if token.map_err(|error| End::Refused(format!("malformed SASL token: {error}")))?.is_none() {
        return Err(End::Refused("a SASL step without a token".into()));
    }
    client.outbox().append(|out| {
        out.reply(xid, Zxid::ZERO, |out| {
            write::buffer(out, None);
            Ok(())
        });
    });
    Ok(true)
}
