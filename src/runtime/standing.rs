//! How this server serves, for whoever must not ask the writer: connections, operators, metrics.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::zab::{self, Serving};

/// How this server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A quorum of one.
    Alone,
    /// A member of an ensemble.
    Member(Serving),
}

/// The standing, published by the writer.
#[derive(Debug)]
pub struct Published {
    /// What connections look at with each turn.
    flags: AtomicU8,
    whole: RwLock<Standing>,
    told: RwLock<Option<Arc<zab::Standing>>>,
}

/// Clients are served.
const SERVES: u8 = 1;
/// Writes go to a leader elsewhere.
const FORWARDS: u8 = 2;

impl Default for Published {
    /// Alone.
    fn default() -> Self {
        Self { flags: AtomicU8::new(SERVES), whole: RwLock::new(Standing::Alone), told: RwLock::new(None) }
    }
}

impl Published {
    /// From here on clients are served like this. For members, the server's assembly says [`Serving::No`] before
    /// anybody can connect.
    pub fn set(&self, serving: Serving) {
        *self.whole.write().unwrap_or_else(PoisonError::into_inner) = Standing::Member(serving);
        let flags = match serving {
            Serving::No => 0,
            Serving::Leading { .. } => SERVES,
            Serving::Following { .. } | Serving::Observing { .. } => SERVES | FORWARDS,
        };
        self.flags.store(flags, Ordering::Release);
    }

    /// All of it.
    #[must_use]
    pub fn get(&self) -> Standing {
        *self.whole.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What operators may be told of a member, its learners included. Published from time to time.
    pub fn tell(&self, standing: zab::Standing) {
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(standing));
    }

    /// What operators may be told; nothing of a server that is alone.
    #[must_use]
    pub fn told(&self) -> Option<Arc<zab::Standing>> {
        self.told.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether clients are served.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.flags.load(Ordering::Acquire) & SERVES != 0
    }

    /// Whether writes go to a leader elsewhere.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.flags.load(Ordering::Acquire) & FORWARDS != 0
    }
}
