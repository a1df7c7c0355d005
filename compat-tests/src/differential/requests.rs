//! Bodies for every kind of request.

use super::parts::{
    DIGESTS, acl, data, digest_credentials, flag, good_path, maybe_null, odd_path, path, path_to_write,
    version,
};
use super::random::Random;
use super::script::{Field, op};

/// What a seed likes to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taste {
    /// How many in a hundred lists are not the open one.
    pub(super) odd_acls: usize,
    /// How many in a hundred paths of writes are not checked for plausibility.
    pub(super) spoiled: usize,
}

/// A request: its kind and what follows the header.
pub(super) type Asked = (i32, Vec<Field>);

/// Flags of a create that its op can be sent with.
fn create_flags(random: &mut Random, kind: i32) -> i32 {
    if kind == op("createTTL") {
        // Anything else in here ends the reference; see `exceptions.toml`.
        return random.pick(&[5, 6]);
    }
    match random.weighted(&[88, 8, 4]) {
        0 if kind == op("createContainer") => 4,
        0 => random.pick(&[0, 0, 0, 1, 2, 3]),
        1 => random.pick(&[0, 1, 2, 3, 4, 5, 6]),
        _ => random.pick(&[-1, 7, 8, i32::MAX, i32::MIN, 100]),
    }
}

/// A container that is asked for with the flags of an ephemeral must be applied before anything follows;
/// see `ephemeral-container-ahead` in `exceptions.toml`.
pub(super) fn avoid_ephemeral_container(kind: i32, body: &mut [Field]) {
    if kind == op("createContainer")
        && let Some(flags @ Field::Int(1 | 3)) = body.last_mut()
    {
        *flags = Field::Int(4);
    }
}

/// One of the creates.
pub(super) fn create(random: &mut Random, taste: Taste, in_multi: bool) -> Asked {
    let kind = op(random.pick(&["create", "create", "create2", "createContainer", "createTTL"]));
    let path = path_to_write(random);
    let mut body = vec![maybe_null(random, path), data(random)];
    body.extend(acl(random, taste.odd_acls));
    let mut flags = create_flags(random, kind);
    if in_multi && kind == op("createTTL") && random.chance(10) {
        flags = random.pick(&[0, 1, 2, 4, 9]);
    }
    body.push(Field::Int(flags));
    if in_multi {
        avoid_ephemeral_container(kind, &mut body);
    }
    if kind == op("createTTL") {
        body.push(Field::Long(match random.weighted(&[80, 20]) {
            0 => 3_600_000 + random.below(1_000_000) as i64,
            _ => random.pick(&[0, -1, 0xFF_FFFF_FFFF, 0x100_0000_0000, i64::MAX, i64::MIN]),
        }));
    }
    (kind, body)
}

/// A delete.
pub(super) fn delete(random: &mut Random) -> Asked {
    let path = path_to_write(random);
    (op("delete"), vec![maybe_null(random, path), version(random)])
}

/// A setData.
pub(super) fn set_data(random: &mut Random) -> Asked {
    let path = path_to_write(random);
    (op("setData"), vec![maybe_null(random, path), data(random), version(random)])
}

/// A setACL.
pub(super) fn set_acl(random: &mut Random) -> Asked {
    let path = path_to_write(random);
    let mut body = vec![maybe_null(random, path)];
    body.extend(acl(random, 60));
    body.push(version(random));
    (op("setACL"), body)
}

fn check(random: &mut Random) -> Asked {
    let path = path(random);
    (op("check"), vec![maybe_null(random, path), version(random)])
}

/// A read with a path, and perhaps a watch.
pub(super) fn read(random: &mut Random) -> Asked {
    let kind = random.pick(&[
        "exists",
        "exists",
        "getData",
        "getData",
        "getChildren",
        "getChildren2",
        "getChildren2",
        "getACL",
        "getAllChildrenNumber",
        "getEphemerals",
        "sync",
        "ping",
        "whoAmI",
    ]);
    let path = path(random);
    let mut body = Vec::new();
    if !matches!(kind, "ping" | "whoAmI") {
        body.push(maybe_null(random, path));
    }
    if matches!(kind, "exists" | "getData" | "getChildren" | "getChildren2") {
        body.push(flag(random, 45));
    }
    if kind == "getEphemerals" && random.chance(60) {
        body[0] = Field::Text(random.pick(&["/", "", " ", "/a", "/a/", "a"]).into());
    }
    (op(kind), body)
}

/// Watches beyond those of reads.
pub(super) fn watch(random: &mut Random) -> Asked {
    let text = path(random);
    match random.below(10) {
        0..=3 => {
            let mode =
                if random.chance(92) { random.below(2) as i32 } else { random.pick(&[2, -1, i32::MAX]) };
            (op("addWatch"), vec![maybe_null(random, text), Field::Int(mode)])
        }
        4..=7 => {
            let kind = op(random.pick(&["removeWatches", "checkWatches"]));
            let which = if random.chance(94) { 1 + random.below(5) as i32 } else { random.pick(&[0, 6, -1]) };
            (kind, vec![maybe_null(random, text), Field::Int(which)])
        }
        _ => set_watches(random),
    }
}

/// Whether a request of this kind changes nothing but watches, and takes its turn behind others.
pub(super) fn is_read(kind: i32) -> bool {
    const READS: [&str; 16] = [
        "exists",
        "getData",
        "getChildren",
        "getChildren2",
        "getACL",
        "getAllChildrenNumber",
        "getEphemerals",
        "sync",
        "ping",
        "whoAmI",
        "addWatch",
        "checkWatches",
        "removeWatches",
        "setWatches",
        "setWatches2",
        "multiRead",
    ];
    READS.iter().any(|name| op(name) == kind)
}

/// Whether a request of this kind is a read or one of the usual writes.
pub(super) fn is_ordinary(kind: i32) -> bool {
    const WRITES: [&str; 8] =
        ["create", "create2", "createContainer", "createTTL", "delete", "setData", "setACL", "multi"];
    is_read(kind) || WRITES.iter().any(|name| op(name) == kind)
}

/// One of each difference that `exceptions.toml` knows, so that an entry that does not occur is one that
/// no longer does.
pub(super) fn known_differences() -> [Asked; 3] {
    let create = |path: &str, id: Field| {
        let mut part = vec![Field::Text(path.into()), Field::Null, Field::Int(1), Field::Int(31)];
        part.extend([Field::Text("world".into()), id, Field::Int(0)]);
        part
    };
    let header = || vec![Field::Int(op("create")), Field::Byte(0), Field::Int(-1)];
    let good = create("/never-there", Field::Text("anyone".into()));
    let multi = [header(), good.clone(), header(), create("/nor-this", Field::Null), end_of_multi()].concat();
    let undecodable = [good, vec![Field::Cut(3)]].concat();
    let mut container = create("/with-other-flags", Field::Text("anyone".into()));
    container.extend([Field::Cut(4), Field::Int(4)]);
    [(op("multi"), multi), (op("create"), container), (op("create"), undecodable)]
}

/// What a client sends after a reconnect.
pub(super) fn set_watches(random: &mut Random) -> Asked {
    let second = random.chance(60);
    let seen = match random.weighted(&[60, 20, 20]) {
        0 => Field::Zxid(random.below(4000) as i64),
        1 => Field::Zxid(0),
        _ => Field::Long(random.pick(&[0, -1, i64::MAX, i64::MIN])),
    };
    let mut body = vec![seen];
    for _ in 0..if second { 5 } else { 3 } {
        if random.below(60) == 0 {
            body.push(Field::Null);
            continue;
        }
        let count = random.below(4);
        body.push(Field::Int(count as i32));
        for _ in 0..count {
            let text = path(random);
            body.push(maybe_null(random, text));
        }
    }
    (op(if second { "setWatches2" } else { "setWatches" }), body)
}

/// Several writes, sometimes with something in between that does not belong there.
pub(super) fn multi(random: &mut Random, taste: Taste) -> Asked {
    let count = random.weighted(&[3, 20, 30, 25, 12, 6, 4]);
    let mut body = Vec::new();
    for _ in 0..count {
        let (kind, part) = match random.weighted(&[40, 20, 20, 18, 1]) {
            0 => create(random, taste, true),
            1 => delete(random),
            2 => set_data(random),
            3 => check(random),
            _ => odd_part(random),
        };
        body.extend(header(random, kind));
        body.extend(part);
    }
    end(random, &mut body);
    (op("multi"), body)
}

fn odd_part(random: &mut Random) -> Asked {
    match random.below(4) {
        0 => read(random),
        1 => set_acl(random),
        2 => (random.pick(&[0, -1, -11, -10, 999, 14, 9]), vec![]),
        _ => (op("check"), vec![Field::Text(odd_path(random)), Field::Int(-1)]),
    }
}

/// Several reads.
pub(super) fn multi_read(random: &mut Random, taste: Taste) -> Asked {
    let mut body = Vec::new();
    for _ in 0..random.below(5) {
        let (kind, part) = if random.below(60) == 0 {
            if random.chance(50) { create(random, taste, true) } else { read(random) }
        } else {
            let text = path(random);
            (op(random.pick(&["getData", "getChildren"])), vec![maybe_null(random, text), flag(random, 30)])
        };
        body.extend(header(random, kind));
        body.extend(part);
    }
    end(random, &mut body);
    (op("multiRead"), body)
}

fn header(random: &mut Random, kind: i32) -> Vec<Field> {
    let error = if random.below(100) == 0 { 5 } else { -1 };
    vec![Field::Int(kind), Field::Byte(0), Field::Int(error)]
}

fn end(random: &mut Random, body: &mut Vec<Field>) {
    if random.below(150) > 0 {
        body.extend(end_of_multi());
    }
}

fn end_of_multi() -> Vec<Field> {
    vec![Field::Int(-1), Field::Byte(1), Field::Int(-1)]
}

/// Who one is.
pub(super) fn auth(random: &mut Random) -> Asked {
    let scheme = random.pick(&[
        "digest", "digest", "digest", "digest", "digest", "digest", "digest", "digest", "ip", "world",
        "super", "auth", "sasl", "x509", "", "nonsense",
    ]);
    let credentials = if scheme == "digest" { digest_credentials(random) } else { "127.0.0.1".into() };
    let credentials = if random.below(40) == 0 { Field::Null } else { Field::Text(credentials) };
    let scheme = if random.below(80) == 0 { Field::Null } else { Field::Text(scheme.into()) };
    (op("auth"), vec![Field::Int(random.pick(&[0, 0, 0, -1, 4])), scheme, credentials])
}

/// What no ordinary client sends.
pub(super) fn rare(random: &mut Random) -> Asked {
    match random.below(8) {
        0 | 1 => (op("sasl"), vec![random.pick(&[&Field::Null, &Field::Text(String::new())]).clone()]),
        // A short timeout would end the session some day after, at no certain moment.
        2 => (op("createSession"), vec![Field::Int(random.pick(&[900_000, 3_000_000, i32::MAX]))]),
        3 => (random.pick(&[10, 13, 0, -1, -2, 23, 99, 108, 12345, i32::MAX, i32::MIN]), vec![]),
        4 => {
            let (_, body) = check(random);
            (op("check"), body)
        }
        _ => reconfig(random),
    }
}

fn reconfig(random: &mut Random) -> Asked {
    let mut member = || match random.below(3) {
        0 => Field::Null,
        1 => Field::Text("server.1=127.0.0.1:2888:3888;2181".into()),
        _ => Field::Text("nonsense".into()),
    };
    let mut body = vec![member(), member(), member()];
    body.push(Field::Long(random.pick(&[-1, 0, 1])));
    (op("reconfig"), body)
}

/// A node with few permissions, and everything that asks for one of them. It is opened again, if that is
/// permitted, and swept away.
pub(super) fn permissions(random: &mut Random) -> Vec<Asked> {
    let home = format!("{}/p", good_path(random, 1));
    let (child, other) = (format!("{home}/k"), format!("{home}/l"));
    let list = |perms: i32, scheme: &str, id: &str| {
        vec![Field::Int(1), Field::Int(perms), Field::Text(scheme.into()), Field::Text(id.into())]
    };
    let of = |path: &str, kind: &str, rest: Vec<Field>| {
        (op(kind), [vec![Field::Text(path.to_owned())], rest].concat())
    };
    let create = |path: &str| {
        let rest = [vec![Field::Null], list(31, "world", "anyone"), vec![Field::Int(0)]].concat();
        of(path, "create", rest)
    };
    let any = || vec![Field::Int(-1)];
    let set_list = |list: Vec<Field>| of(&home, "setACL", [list, any()].concat());
    let (scheme, id) =
        random.pick(&[("world", "anyone"), ("world", "anyone"), ("digest", DIGESTS[0]), ("ip", "127.0.0.1")]);
    let mut all = vec![create(&home), create(&child), set_list(list(random.below(32) as i32, scheme, id))];
    let watch = || vec![Field::Byte(1)];
    let mut asking = vec![
        create(&other),
        of(&child, "delete", any()),
        of(&home, "setData", [vec![Field::Null], any()].concat()),
        of(&home, "getData", watch()),
        of(&home, "getChildren", watch()),
        of(&home, "getChildren2", watch()),
        of(&home, "exists", watch()),
        of(&home, "getACL", vec![]),
        of(&home, "getAllChildrenNumber", vec![]),
    ];
    while !asking.is_empty() {
        all.push(asking.swap_remove(random.below(asking.len())));
    }
    all.push(set_list(list(31, "world", "anyone")));
    all.extend([&child, &other, &home].map(|path| of(path, "delete", any())));
    all
}

/// Quota nodes as the command line's `setquota` and `delquota` make them.
pub(super) fn quota(random: &mut Random) -> Vec<Asked> {
    let of = random.pick(&["/a", "/b", "/a/b", "/c", "/d"]);
    let home = format!("/zookeeper/quota{of}");
    let open =
        || vec![Field::Int(1), Field::Int(31), Field::Text("world".into()), Field::Text("anyone".into())];
    let make = |path: String, data: String| {
        let mut body = vec![Field::Text(path), Field::Text(data)];
        body.extend(open());
        body.push(Field::Int(0));
        (op("create"), body)
    };
    let number = |random: &mut Random| random.pick(&[-1, 0, 1, 3, 10, 100, 1000]);
    let mut limits = format!("count={},bytes={}", number(random), number(random));
    if random.chance(70) {
        limits.push_str(&format!("=;byteHardLimit={};countHardLimit={}", number(random), number(random)));
    }
    let (limits_path, stats_path) = (format!("{home}/zookeeper_limits"), format!("{home}/zookeeper_stats"));
    match random.below(6) {
        0..=2 => {
            let mut all = vec![];
            let below = home.match_indices('/').map(|(at, _)| at).filter(|at| *at > "/zookeeper/quota".len());
            all.extend(below.map(|at| make(home[..at].to_owned(), String::new())));
            all.push(make(home, String::new()));
            all.push(make(limits_path, limits));
            all.push(make(stats_path, "count=0,bytes=0".into()));
            all
        }
        3 => vec![(op("setData"), vec![Field::Text(limits_path), Field::Text(limits), Field::Int(-1)])],
        4 => vec![(op("delete"), vec![Field::Text(limits_path), Field::Int(-1)])],
        _ => vec![
            (op("delete"), vec![Field::Text(limits_path), Field::Int(-1)]),
            (op("delete"), vec![Field::Text(stats_path), Field::Int(-1)]),
            (op("delete"), vec![Field::Text(home), Field::Int(-1)]),
        ],
    }
}
