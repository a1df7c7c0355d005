//! Error codes (reference: `KeeperException.Code`).

/// A result code as it stands in a reply header. It is the only error of the state machine: what
/// went wrong inside is exactly what the client is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Code(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The reference's name, or `None` for a number it does not know.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

codes! {
    /// Success.
    OK = 0;
    /// Unspecified failure of the system.
    SYSTEM_ERROR = -1;
    /// A later part of a multi that failed earlier.
    RUNTIME_INCONSISTENCY = -2;
    /// Corruption was found.
    DATA_INCONSISTENCY = -3;
    /// Client side: connection lost.
    CONNECTION_LOSS = -4;
    /// The request could not be decoded.
    MARSHALLING_ERROR = -5;
    /// The server does not know the operation.
    UNIMPLEMENTED = -6;
    /// Client side: gave up waiting.
    OPERATION_TIMEOUT = -7;
    /// Bad path, flag or value.
    BAD_ARGUMENTS = -8;
    /// The session is not known here.
    UNKNOWN_SESSION = -12;
    /// No quorum of the new configuration is connected and synced.
    NEW_CONFIG_NO_QUORUM = -13;
    /// Another reconfiguration is under way.
    RECONFIG_IN_PROGRESS = -14;
    /// Codes below this are errors a user's request can cause.
    API_ERROR = -100;
    /// The node, or its parent, does not exist.
    NO_NODE = -101;
    /// The ACL forbids it.
    NO_AUTH = -102;
    /// The version does not match.
    BAD_VERSION = -103;
    /// Ephemerals cannot have children.
    NO_CHILDREN_FOR_EPHEMERALS = -108;
    /// The node exists.
    NODE_EXISTS = -110;
    /// The node has children.
    NOT_EMPTY = -111;
    /// The session has ended.
    SESSION_EXPIRED = -112;
    /// Client side: bad callback.
    INVALID_CALLBACK = -113;
    /// The ACL is malformed.
    INVALID_ACL = -114;
    /// Authentication failed.
    AUTH_FAILED = -115;
    /// The session moved to another connection or server.
    SESSION_MOVED = -118;
    /// A write on a read-only server.
    NOT_READ_ONLY = -119;
    /// An ephemeral on a local session.
    EPHEMERAL_ON_LOCAL_SESSION = -120;
    /// No such watch.
    NO_WATCHER = -121;
    /// Client side: request timed out.
    REQUEST_TIMEOUT = -122;
    /// Reconfiguration is switched off.
    RECONFIG_DISABLED = -123;
    /// The connection lacks required authentication.
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124;
    /// A hard quota would be exceeded.
    QUOTA_EXCEEDED = -125;
    /// The request waited too long in the throttle.
    THROTTLED_OP = -127;
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl std::error::Error for Code {}
