//! What a server is to the others, and what that makes of a request.
//!
//! Prepared state lives inside the role and goes with it; the tree and the log stay.

use jute::Code;

use super::host::{Close, Host, Observation};
use super::leading::Leading;
use super::learning::Learning;
use super::proposals::{Prepared, Step};
use super::{Now, Replica};
use crate::request::prepare::Preparer;
use crate::request::{Body, Origin, Request};
use crate::session::Sessions;
use crate::tree::Tree;

/// A role.
#[derive(Debug)]
pub(super) enum Role {
    /// A quorum of one.
    Alone {
        /// Gives out zxids.
        preparer: Preparer,
    },
    /// Transactions are made here.
    Leading(Leading),
    /// Writes go to a leader.
    Learning(Learning),
    /// A member that has no leader, or is not in sync with it: nobody is served.
    Looking,
}

impl Role {
    /// Who gives out zxids, where that is here.
    pub(super) const fn preparer(&self) -> Option<&Preparer> {
        match self {
            Self::Alone { preparer } | Self::Leading(Leading { preparer, .. }) => Some(preparer),
            Self::Learning(_) | Self::Looking => None,
        }
    }

    /// Who gives out zxids, where that is here.
    pub(super) const fn preparer_mut(&mut self) -> Option<&mut Preparer> {
        match self {
            Self::Alone { preparer } | Self::Leading(Leading { preparer, .. }) => Some(preparer),
            Self::Learning(_) | Self::Looking => None,
        }
    }
}

impl Replica {
    /// Gives a request its place: a transaction, a read behind it, an answer at once, or none.
    pub(super) fn take(
        &mut self,
        request: Request,
        now: Now,
        tree: &Tree,
        sessions: &mut Sessions,
        host: &mut impl Host,
    ) {
        if matches!(self.role, Role::Looking) {
            return refuse_service(&request, host);
        }
        if let Origin::Client(connection) = request.head.origin
            && !matches!(request.body, Body::Connect(_))
            && self.connected.get(&request.head.session) != Some(&connection)
        {
            // The session has moved to another connection, or ended: nothing may come through the old one.
            host.drop_request(&request.head);
            host.close(connection, Close::Now);
            return;
        }
        if matches!(self.role, Role::Learning(_)) && !matches!(request.body, Body::Connect(_)) {
            return self.forward(request, now, host);
        }
        if let Origin::Learner(link) = request.head.origin
            && (Self::is_end(&request) || matches!(request.body, Body::Ordered(_)))
        {
            return self.take_in_order(link, request, now, tree, sessions);
        }
        if Self::is_end(&request) {
            sessions.set_closing(request.head.session);
            self.ending.push_back(request);
            return;
        }
        let Request { head, identities, body } = request;
        let body = match body {
            // It was made for another role.
            Body::Raw(bytes) => Body::decode(head.op, &bytes),
            body => body,
        };
        let step = match (body, head.origin) {
            (Body::Connect(connect), Origin::Client(connection)) => {
                return self.connect(connection, head, connect, now, tree, sessions, host);
            }
            (Body::Write(write), _) => {
                let write = self.admit(&head, write, sessions, now);
                let Some(preparer) = self.role.preparer_mut() else { return };
                let entry = preparer.prepare(tree, sessions, &head, write, &identities, now.wall_ms);
                if let Some(namespace) = preparer.take_quota_exceeded() {
                    host.observe(Observation::QuotaExceeded(&namespace));
                }
                Step::of(entry)
            }
            (Body::Ordered(bytes), _) => Step::Read { bytes, identities },
            (Body::Connect(_) | Body::Malformed | Body::Raw(_), _) => Step::Refused(Code::MARSHALLING_ERROR),
        };
        self.proposals.push(Prepared { head, step });
    }
}

/// A request came while nobody is served (reference: `ZooKeeperServer.processConnectRequest`, "ZooKeeperServer not
/// running").
fn refuse_service(request: &Request, host: &mut impl Host) {
    host.drop_request(&request.head);
    if let Origin::Client(connection) = request.head.origin {
        host.close(connection, Close::Now);
    }
}
