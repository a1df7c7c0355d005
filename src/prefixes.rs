//! Hashes of a path and of all that it lies below, in one walk over its bytes.

use std::hash::{BuildHasher, Hasher};

/// Where the ancestors of `path` but the root, and then itself, end, the highest first, with their hashes. The hash goes
/// on from component to component, so that each byte is looked at once.
pub(crate) fn hashes(hasher: &impl BuildHasher, path: &str) -> impl Iterator<Item = (usize, u64)> {
    let slashes = path.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
    let mut hasher = hasher.build_hasher();
    let mut start = 0;
    slashes.chain([path.len()]).map(move |end| {
        hasher.write(path.as_bytes().get(start..end).unwrap_or_default());
        start = end;
        (end, hasher.finish())
    })
}

#[cfg(test)]
mod tests {
    use foldhash::fast::RandomState;

    use super::*;

    #[test]
    fn a_path_and_its_ancestors_have_the_hashes_that_they_have_by_themselves() {
        let hasher = RandomState::default();
        for path in ["/", "/a", "/a/b", "/ä/longer than a word/c", ""] {
            let ends: Vec<_> =
                path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at).collect();
            let found: Vec<_> = hashes(&hasher, path).collect();
            assert_eq!(
                found.iter().map(|(end, _)| *end).collect::<Vec<_>>(),
                [ends, vec![path.len()]].concat()
            );
            for (end, hash) in found {
                assert_eq!(hashes(&hasher, &path[..end]).last(), Some((end, hash)), "{path} up to {end}");
            }
        }
        let distinct =
            hashes(&hasher, "/a/b/c").map(|(_, hash)| hash).collect::<std::collections::HashSet<_>>();
        assert_eq!(distinct.len(), 3);
    }
}
