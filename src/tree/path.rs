//! Path rules (reference: `PathUtils.validatePath`, `PathTrie`).

/// Whether `path` may name a node: absolute, no empty or dot component, no trailing slash and none of
/// the characters the reference refuses.
#[must_use]
pub fn is_valid(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(components) = path.strip_prefix('/') else { return false };
    components.split('/').all(|name| !matches!(name, "" | "." | "..")) && !components.chars().any(is_refused)
}

/// Control characters, surrogates with the private use area behind them, and the specials block.
/// Characters beyond the basic plane are surrogates to the reference, so they are refused too.
const fn is_refused(character: char) -> bool {
    matches!(character, '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{E000}'..='\u{F8FF}' | '\u{FFF0}'..)
}

/// Splits at the last slash: parent (`""` for children of the root) and name. `None` without a slash.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/')
}

/// The path of the parent, where there is one.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    split(path).map(|(parent, _)| parent)
}

/// The parent as clients write it: `/` for children of the root.
#[must_use]
pub fn parent_for_events(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => path.get(..slash).unwrap_or("/"),
    }
}

/// The first component, by which some metrics are kept.
#[must_use]
pub fn top_namespace(path: &str) -> Option<&str> {
    path.split('/').nth(1).filter(|name| !name.is_empty())
}

/// `path` and each of its ancestors, deepest first, ending with `/`.
pub fn self_and_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rfind('/') {
        Some(0) if path.len() > 1 => Some("/"),
        None | Some(0) => None,
        Some(slash) => path.get(..slash),
    })
}

/// Whether the reference protects the path from deletion.
#[must_use]
pub fn is_special(path: &str) -> bool {
    matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config")
}

/// Length in UTF-16 units, as Java counts it.
#[must_use]
pub fn utf16_length(path: &str) -> usize {
    if path.is_ascii() { path.len() } else { path.encode_utf16().count() }
}

/// The name of a sequential node: `counter` in ten digits, sign included, as Java's `%010d` prints it.
#[must_use]
pub fn with_sequence(path: &str, counter: i32) -> String {
    format!("{path}{counter:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_rules_are_the_references() {
        for good in ["/", "/a", "/a/b", "/a.b", "/..a", "/a..", "/...", "/ ", "/\u{A0}", "/ü", "/\u{FFEF}"] {
            assert!(is_valid(good), "{good:?}");
        }
        for bad in [
            "",
            "a",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/..",
            "/a\0",
            "/\u{1F}",
            "/\u{7F}",
            "/\u{9F}",
            "/\u{E000}",
            "/\u{FFF0}",
            "/😀",
        ] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn ancestors_end_at_the_root() {
        assert_eq!(self_and_ancestors("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(self_and_ancestors("/").collect::<Vec<_>>(), ["/"]);
        assert_eq!(self_and_ancestors("x").collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn sequence_numbers_are_ten_wide_with_their_sign() {
        assert_eq!(with_sequence("/q/", 7), "/q/0000000007");
        assert_eq!(with_sequence("/q", -1), "/q-000000001");
        assert_eq!(with_sequence("/q", i32::MIN), "/q-2147483648");
    }

    /// The reference's loop, unit by unit.
    fn is_valid_to_the_reference(path: &str) -> bool {
        let chars: Vec<u16> = path.encode_utf16().collect();
        let (slash, dot) = (u16::from(b'/'), u16::from(b'.'));
        if chars.is_empty() || chars[0] != slash {
            return false;
        }
        if chars.len() == 1 {
            return true;
        }
        if chars[chars.len() - 1] == slash {
            return false;
        }
        let mut last = slash;
        for at in 1..chars.len() {
            let this = chars[at];
            let ends = at + 1 == chars.len() || chars[at + 1] == slash;
            if this == 0 || this == slash && last == slash {
                return false;
            } else if this == dot && last == dot {
                if chars[at - 2] == slash && ends {
                    return false;
                }
            } else if this == dot {
                if chars[at - 1] == slash && ends {
                    return false;
                }
            } else if matches!(this, 1..=0x1F | 0x7F..=0x9F | 0xD800..=0xF8FF | 0xFFF0..=0xFFFF) {
                return false;
            }
            last = this;
        }
        true
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 4000, ..Default::default() })]

        #[test]
        fn path_rules_are_the_references_for_any_string(
            near in "/?[/.a\u{0}\u{1f}\u{20}\u{7f}\u{9f}\u{a0}\u{e000}\u{f8ff}\u{f900}\u{ffef}\u{fff0}\u{ffff}😀]{0,8}",
            dots in "/[/.a]{0,9}",
            any in ".{0,6}",
        ) {
            for path in [near, dots, format!("/{any}"), any] {
                assert_eq!(is_valid(&path), is_valid_to_the_reference(&path), "{path:?}");
            }
        }
    }
}
