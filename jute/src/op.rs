//! Operation codes (reference: `ZooDefs.OpCode`).

/// An operation code as it stands on the wire. Unknown numbers are kept: they must be answered,
/// relayed and printed too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpCode(pub i32);

macro_rules! op_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl OpCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Every code that has a name.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The reference's name for the code, or `None` for a number it does not know.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some($text),)* _ => None }
            }
        }
    };
}

op_codes! {
    /// Server push of a watch event.
    NOTIFICATION = 0, "notification";
    /// Create a node; the reply carries the path.
    CREATE = 1, "create";
    /// Delete a childless node.
    DELETE = 2, "delete";
    /// Stat of a node, absent or not.
    EXISTS = 3, "exists";
    /// Data and stat.
    GET_DATA = 4, "getData";
    /// Replace the data.
    SET_DATA = 5, "setData";
    /// ACL and stat.
    GET_ACL = 6, "getACL";
    /// Replace the ACL.
    SET_ACL = 7, "setACL";
    /// Child names.
    GET_CHILDREN = 8, "getChildren";
    /// Flush the path to the leader.
    SYNC = 9, "sync";
    /// Heartbeat.
    PING = 11, "ping";
    /// Child names and stat.
    GET_CHILDREN2 = 12, "getChildren2";
    /// Version check, only inside a multi.
    CHECK = 13, "check";
    /// Several writes as one transaction.
    MULTI = 14, "multi";
    /// Create; the reply carries path and stat.
    CREATE2 = 15, "create2";
    /// Change of membership.
    RECONFIG = 16, "reconfig";
    /// Is this connection watching?
    CHECK_WATCHES = 17, "checkWatches";
    /// Stop watching.
    REMOVE_WATCHES = 18, "removeWatches";
    /// Create a node that vanishes after its last child.
    CREATE_CONTAINER = 19, "createContainer";
    /// Removal of an empty container or an aged TTL node.
    DELETE_CONTAINER = 20, "deleteContainer";
    /// Create a node with a time to live.
    CREATE_TTL = 21, "createTTL";
    /// Several reads in one request.
    MULTI_READ = 22, "multiRead";
    /// Add an identity to the connection.
    AUTH = 100, "auth";
    /// Re-register watches after a reconnect.
    SET_WATCHES = 101, "setWatches";
    /// One step of a SASL exchange.
    SASL = 102, "sasl";
    /// This session's ephemerals.
    GET_EPHEMERALS = 103, "getEphemerals";
    /// Count of descendants.
    GET_ALL_CHILDREN_NUMBER = 104, "getAllChildrenNumber";
    /// As `SET_WATCHES`, with persistent ones.
    SET_WATCHES2 = 105, "setWatches2";
    /// Add a persistent or recursive watch.
    ADD_WATCH = 106, "addWatch";
    /// The identities of this connection.
    WHO_AM_I = 107, "whoAmI";
    /// A session begins.
    CREATE_SESSION = -10, "createSession";
    /// A session ends.
    CLOSE_SESSION = -11, "closeSession";
    /// A failed write in the log, a failed part of a multi.
    ERROR = -1, "error";
}

impl OpCode {
    /// Whether the server serves this code when a client sends it as a request of its own
    /// (reference: `Request.isValid`).
    #[must_use]
    pub const fn is_valid_request(self) -> bool {
        matches!(self.0, 1..=9 | 11 | 12 | 14..=22 | 101 | 103..=107 | -10 | -11)
            || self.0 == 100
            || self.0 == 102
    }
}

impl std::fmt::Display for OpCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown op {}", self.0),
        }
    }
}
