//! What simulated clients prove to be, and the access control lists of the nodes they guard: few of both, so that
//! they meet. Who may do what is said plainly here, and not by the server's own code.

use jute::records::data::{Acl, Id};

use crate::auth::digest::{Algorithm, identity};
use crate::sim::random::Random;
use crate::tree::{Identities, Identity};

/// Whom a client can prove to be.
pub(in crate::sim) const USERS: [&str; 2] = ["ada:lovelace", "bob:marley"];
/// Where every client comes from.
const ADDRESS: &str = "127.0.0.1";

/// Of whom a connection has proven to be who.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Proven(u8);

impl Proven {
    /// With one of [`USERS`].
    pub(in crate::sim) const fn with(self, user: usize) -> Self {
        Self(self.0 | 1 << user)
    }

    fn ids(self) -> impl Iterator<Item = String> {
        (0..USERS.len()).filter(move |user| self.0 & 1 << user != 0).map(id_of)
    }

    /// As the server keeps it.
    pub(in crate::sim) fn identities(self) -> Identities {
        let of = |scheme: &str, id: String| Identity { scheme: scheme.into(), id };
        let mut all = vec![of("ip", ADDRESS.into())];
        all.extend(self.ids().map(|id| of("digest", id)));
        all.as_slice().into()
    }

    /// Whether this list lets it do any of `wanted`.
    pub(in crate::sim) fn may(self, wanted: i32, list: &[Acl]) -> bool {
        list.is_empty()
            || list.iter().filter(|acl| acl.perms & wanted != 0).any(|acl| {
                let id = acl.id.id.as_deref().unwrap_or_default();
                match acl.id.scheme.as_deref() {
                    Some("world") => true,
                    Some("digest") => self.ids().any(|mine| mine == id),
                    _ => id == ADDRESS,
                }
            })
    }
}

fn id_of(user: usize) -> String {
    identity(USERS[user], Algorithm::default())
}

/// Whether the node is one whose list is not open to all.
pub(in crate::sim) fn is_guarded(path: &str) -> bool {
    path.starts_with("/g")
}

/// The list of a guarded node.
pub(super) fn list(random: &mut Random) -> Option<Vec<Acl>> {
    let entry = |perms, scheme: &str, id: &str| Acl {
        perms,
        id: Id { scheme: Some(scheme.into()), id: Some(id.into()) },
    };
    let (ada, bob) = (id_of(0), id_of(1));
    Some(match random.below(6) {
        0 => vec![entry(31, "auth", "")],
        1 => vec![entry(31, "digest", &ada)],
        2 => vec![entry(1, "world", "anyone"), entry(31, "digest", &bob)],
        3 => vec![entry(31, "ip", ADDRESS)],
        4 => vec![entry(31, "ip", "10.1.2.3"), entry(24, "digest", &ada), entry(8, "world", "anyone")],
        _ => vec![entry(15, "world", "anyone"), entry(16, "digest", &ada)],
    })
}
