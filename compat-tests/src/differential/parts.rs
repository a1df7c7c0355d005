//! What requests are made of: paths, data and access control lists, good and bad.

use super::random::Random;
use super::script::Field;

/// Names of which most paths are made: few, so that requests meet.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e1", "node-with-a-longer-name"];

/// Paths that no rule of the protocol lets through, or only just.
const ODD_PATHS: [&str; 34] = [
    "",
    "/",
    "//",
    "a",
    "a/b",
    "/a/",
    "/a//b",
    "/.",
    "/..",
    "/a/.",
    "/a/..",
    "/a/./b",
    "/a/../b",
    "/...",
    "/a\0b",
    "\0",
    "/a\u{1}",
    "/a\u{1f}b",
    "/a\u{7f}",
    "/a\u{9f}",
    "/a\u{a0}",
    "/\u{e000}x",
    "/\u{f8ff}",
    "/\u{f900}",
    "/\u{ffef}",
    "/\u{fff0}",
    "/\u{ffff}",
    "/\u{10000}",
    "/a b",
    "/é",
    "/日本",
    "/a/ ",
    "/a\n",
    "/😀/b",
];

/// Paths that every server has.
const SPECIAL_PATHS: [&str; 9] = [
    "/",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/nothing",
    "/zookeeper/config/x",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/a/b/zookeeper_limits",
    "/zookeeper/quota/a",
];

/// Digest ids with the passwords that make them; see [`digest_credentials`].
pub(super) const DIGESTS: [&str; 2] = ["ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=", "bob:not-a-hash-anybody-has="];

/// What to send to become `ann`, or somebody else.
const CREDENTIALS: [&str; 7] = ["ann:secret", "ann:wrong", "bob:x", "nocolon", ":", "", "ann:secret:more"];

/// Credentials for the scheme `digest`.
pub(super) fn digest_credentials(random: &mut Random) -> String {
    random.pick(&CREDENTIALS).to_owned()
}

/// A path of which the parent and the children are likely to exist too.
pub(super) fn good_path(random: &mut Random, depth_max: usize) -> String {
    let depth = 1 + random.below(depth_max);
    let mut path = String::new();
    for _ in 0..depth {
        path.push('/');
        path.push_str(NAMES[random.weighted(&[8, 6, 4, 2, 1, 1])]);
    }
    if random.chance(8) {
        path.push_str(&format!("{:010}", random.below(12)));
    }
    path
}

/// Any path: mostly good, sometimes special, sometimes odd.
pub(super) fn path(random: &mut Random) -> String {
    match random.weighted(&[90, 4, 4, 2]) {
        0 => good_path(random, 3),
        1 => random.pick(&SPECIAL_PATHS).to_owned(),
        2 => odd_path(random),
        _ => good_path(random, 6),
    }
}

/// A path with something wrong, perhaps below a good one.
pub(super) fn odd_path(random: &mut Random) -> String {
    let odd = random.pick(&ODD_PATHS);
    if random.chance(30) { format!("{}{odd}", good_path(random, 2)) } else { odd.to_owned() }
}

/// A path for a write, which must not reach below the quota nodes: what is not a quota there ends the
/// reference (see `exceptions.toml`).
pub(super) fn path_to_write(random: &mut Random) -> String {
    loop {
        let path = path(random);
        if !path.starts_with("/zookeeper/quota/") {
            return path;
        }
    }
}

/// A path, or null.
pub(super) fn maybe_null(random: &mut Random, path: String) -> Field {
    if random.below(300) == 0 { Field::Null } else { Field::Text(path) }
}

/// Data of a node.
pub(super) fn data(random: &mut Random) -> Field {
    match random.weighted(&[50, 10, 10, 20, 2]) {
        0 => Field::Text(format!("data{}", random.below(1000))),
        1 => Field::Null,
        2 => Field::Text(String::new()),
        3 => Field::Fill(random.below(300)),
        _ => Field::Fill(random.pick(&[1024, 5000, 70_000])),
    }
}

/// An expected version.
pub(super) fn version(random: &mut Random) -> Field {
    Field::Int(match random.weighted(&[60, 30, 5, 5]) {
        0 => -1,
        1 => random.below(4) as i32,
        2 => random.pick(&[i32::MAX, i32::MIN, -2, 1000]),
        _ => 0,
    })
}

/// A boolean, sometimes one that is neither 0 nor 1.
pub(super) fn flag(random: &mut Random, percent: usize) -> Field {
    Field::Byte(if random.below(200) == 0 { 7 } else { u8::from(random.chance(percent)) })
}

/// An access control list.
pub(super) fn acl(random: &mut Random, odd_percent: usize) -> Vec<Field> {
    let entry = |perms: i32, scheme: &str, id: &str| {
        vec![Field::Int(perms), Field::Text(scheme.into()), Field::Text(id.into())]
    };
    let list = |entries: Vec<Vec<Field>>| {
        let count = Field::Int(entries.len() as i32);
        [count].into_iter().chain(entries.into_iter().flatten()).collect::<Vec<_>>()
    };
    if !random.chance(odd_percent) {
        return list(vec![entry(31, "world", "anyone")]);
    }
    match random.weighted(&[4, 4, 8, 80]) {
        0 => vec![Field::Null],
        1 => vec![Field::Int(0)],
        // Neighbours that stay in this order, unlike those that an entry `auth` becomes.
        2 => {
            let first = random.below(DIGESTS.len());
            let second = (first + 1) % DIGESTS.len();
            let [first, second] = [first, second].map(|at| entry(31, "digest", DIGESTS[at]));
            list(vec![first, second, entry(31, "world", "anyone")])
        }
        _ => {
            let count = 1 + random.weighted(&[60, 25, 10, 5]);
            let mut entries: Vec<_> = (0..count).map(|_| acl_entry(random)).collect();
            if random.chance(10) {
                entries.push(entries[0].clone());
            }
            // Whoever shuts everybody out ends the test of that node.
            if random.chance(50) {
                entries.push(entry(31, "world", "anyone"));
            }
            list(entries)
        }
    }
}

fn acl_entry(random: &mut Random) -> Vec<Field> {
    const IPS: [&str; 16] = [
        "127.0.0.1",
        "127.0.0.0/8",
        "10.0.0.1",
        "0.0.0.0/0",
        "127.0.0.1/32",
        "127.0.0.1/33",
        "127.0.0.1/-1",
        "::1",
        "::1/128",
        "fe80::/10",
        "localhost",
        "1.2.3",
        "",
        "127.0.0.1/",
        "1.2.3.4/8/8",
        "256.0.0.1",
    ];
    let perms = match random.weighted(&[50, 30, 10, 5]) {
        0 => 31,
        1 => random.below(32) as i32,
        2 => random.pick(&[1, 2, 4, 8, 16]),
        _ => random.pick(&[-1, 64, 0, i32::MIN]),
    };
    let (scheme, id) = match random.weighted(&[30, 25, 15, 15, 12, 3]) {
        0 => ("world", random.pick(&["anyone", "anyone", "anyone", "anyone", "somebody", ""])),
        1 => (
            "digest",
            random.pick(&[DIGESTS[0], DIGESTS[0], DIGESTS[0], DIGESTS[1], "nocolon", "a:b:c", "", ":"]),
        ),
        2 => ("ip", random.pick(&IPS)),
        3 => ("auth", random.pick(&["", "anything"])),
        4 => (
            random.pick(&["super", "x509", "sasl", "key", "ensemble", "", "nonsense", "WORLD", "host"]),
            random.pick(&["", "anyone", "bob", "super"]),
        ),
        _ => {
            let null_scheme = random.chance(50);
            let scheme = if null_scheme {
                Field::Null
            } else {
                Field::Text(random.pick(&["world", "digest", "ip", "auth"]).into())
            };
            return vec![Field::Int(perms), scheme, Field::Null];
        }
    };
    vec![Field::Int(perms), Field::Text(scheme.into()), Field::Text(id.into())]
}

/// Breaks a body in one of the ways in which bytes can be wrong.
pub(super) fn spoil(random: &mut Random, body: &mut Vec<Field>) {
    match random.below(5) {
        0 => body.push(Field::Cut(1 + random.below(12))),
        1 => body.push(Field::Raw(vec![0xAB; 1 + random.below(9)])),
        2 => body.clear(),
        kind => {
            let lengths: Vec<usize> = (0..body.len())
                .filter(|at| matches!(body[*at], Field::Text(_) | Field::Fill(_) | Field::Null))
                .collect();
            if lengths.is_empty() {
                body.push(Field::Cut(1));
                return;
            }
            let at = random.pick(&lengths);
            body[at] = if kind == 3 {
                Field::Null
            } else {
                Field::Int(random.pick(&[-2, i32::MIN, i32::MAX, 1 << 20, 3 << 20, 500]))
            };
        }
    }
}
