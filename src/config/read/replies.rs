//! The sizes of the reference's caches of replies, of which the counters tell.

use super::Reading;

/// Entries of the caches of serialised replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyCacheSizes {
    /// Of getData.
    pub data: i64,
    /// Of getChildren2.
    pub children: i64,
}

impl Reading<'_> {
    pub(super) fn reply_cache_sizes(&mut self) -> ReplyCacheSizes {
        ReplyCacheSizes {
            data: self.source.property_number("maxResponseCacheSize", 400),
            children: self.source.property_number("maxGetChildrenResponseCacheSize", 400),
        }
    }
}
