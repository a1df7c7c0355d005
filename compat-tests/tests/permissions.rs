//! Every operation by everybody, at nodes that give one permission each, beside the reference: alone, in a multi, and
//! through a follower. What is refused changes nothing, and what may not be read is not heard of either.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use compat_tests::compare::side_by_side;
use compat_tests::results::Case;
use compat_tests::seat::Seat;
use compat_tests::server::{Options, Server};
use compat_tests::wire::{Body, Client, Reply, op};

const SET_ACL: i32 = 7;
const CHECK: i32 = 13;
const RECONFIG: i32 = 16;
const CHECK_WATCHES: i32 = 17;
const REMOVE_WATCHES: i32 = 18;
const SASL: i32 = 102;
const GET_EPHEMERALS: i32 = 103;
const SET_WATCHES2: i32 = 105;

const NO_AUTH: i32 = -102;
const STAT_BYTES: usize = 68;
/// `super:test`, as documents of the reference have it.
const SUPER: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
const LETTERS: [(char, i32); 5] = [('r', 1), ('w', 2), ('c', 4), ('d', 8), ('a', 16)];
/// Who asks, and with which password.
const EVERYBODY: [(&str, Option<&str>); 4] = [
    ("nobody", None),
    ("wrong", Some("me:wrong")),
    ("right", Some("me:right")),
    ("super", Some("super:test")),
];

/// A connection with identities. Events are passed over, unless they are asked for.
struct Caller {
    client: Client,
    xid: i32,
}

impl Caller {
    fn new(server: &Server, credentials: Option<&str>) -> Result<Self> {
        let mut caller = Self { client: Client::connect(server.addr(), 30_000)?, xid: 0 };
        if let Some(credentials) = credentials {
            let reply = caller.call(op::AUTH, &Body::auth("digest", credentials.as_bytes()))?;
            ensure!(reply.err == 0, "auth: code {}", reply.err);
        }
        Ok(caller)
    }

    /// The reply, and the events before it.
    fn call_and_hear(&mut self, op: i32, body: &Body) -> Result<(Reply, Vec<String>)> {
        self.xid += 1;
        self.client.send(self.xid, op, body)?;
        let mut events = Vec::new();
        loop {
            let reply = self.client.receive().with_context(|| format!("the answer to operation {op}"))?;
            if reply.xid != -1 {
                return Ok((reply, events));
            }
            events.push(event(&reply)?);
        }
    }

    fn call(&mut self, op: i32, body: &Body) -> Result<Reply> {
        self.call_and_hear(op, body).map(|(reply, _)| reply)
    }

    fn must(&mut self, op: i32, body: &Body) -> Result<Reply> {
        let reply = self.call(op, body)?;
        ensure!(reply.err == 0, "operation {op}: code {}", reply.err);
        Ok(reply)
    }
}

/// An event's type and path.
fn event(reply: &Reply) -> Result<String> {
    let (kind, rest) = reply.body.split_first_chunk::<4>().context("an event")?;
    let path = rest.get(8..).context("an event with a path")?;
    Ok(format!("{} {}", i32::from_be_bytes(*kind), String::from_utf8_lossy(path)))
}

fn list(perms: i32, id: &str) -> Body {
    Body::new().int(1).int(perms).string("digest").string(id)
}

fn joined(parts: &[&Body]) -> Body {
    Body(parts.iter().flat_map(|part| part.0.iter().copied()).collect())
}

/// What makes the nodes, and undoes what was allowed.
struct Keeper {
    caller: Caller,
    /// The id of who is right.
    right: String,
}

/// One permission, given by the parent or by the node.
#[derive(Clone, Copy)]
struct Layout {
    letter: char,
    perms: i32,
    of_parent: bool,
}

impl Layout {
    fn all() -> impl Iterator<Item = Self> {
        let of =
            |(letter, perms): (char, i32)| [true, false].map(|of_parent| Self { letter, perms, of_parent });
        LETTERS.into_iter().flat_map(of)
    }

    fn parent(self) -> String {
        format!("/{}-{}", if self.of_parent { "parent" } else { "node" }, self.letter)
    }

    fn node(self) -> String {
        format!("{}/n", self.parent())
    }

    fn fresh(self) -> String {
        format!("{}/new", self.parent())
    }
}

impl Keeper {
    fn new(server: &Server) -> Result<Self> {
        let mut me = Caller::new(server, Some("me:right"))?;
        let mine = Body::new().int(1).int(31).string("auth").string("");
        me.must(op::CREATE, &joined(&[&Body::new().string("/me").buffer(b""), &mine, &Body::new().int(0)]))?;
        let found = me.must(op::GET_ACL, &Body::new().string("/me"))?;
        // Behind number, permissions and scheme.
        let id = found.body.get(4 + 4 + 4 + "digest".len()..).context("a list")?;
        let right = Reply { body: id.to_vec(), ..found.clone() };
        let right = String::from_utf8(right.first_buffer()?.to_vec())?;
        let mut keeper = Self { caller: Caller::new(server, Some("super:test"))?, right };
        keeper.caller.must(op::CREATE, &Body::create("/open", b"", 0))?;
        for layout in Layout::all() {
            keeper.create(&layout.parent(), layout, layout.of_parent)?;
            keeper.create(&layout.node(), layout, !layout.of_parent)?;
        }
        Ok(keeper)
    }

    /// The list of a node: one permission for who is right, or everything for somebody who never comes.
    fn list(&self, layout: Layout, gives: bool) -> Body {
        if gives { list(layout.perms, &self.right) } else { list(31, "nobody:aGFzaA==") }
    }

    fn create(&mut self, path: &str, layout: Layout, gives: bool) -> Result<()> {
        let node = Body::new().string(path).buffer(b"data");
        let body = joined(&[&node, &self.list(layout, gives), &Body::new().int(0)]);
        self.caller.must(op::CREATE, &body).map(drop)
    }

    /// Stats, data and lists of a layout's nodes, as bytes; asked for all at once, as it is asked for often.
    fn state(&mut self, layout: Layout) -> Result<Vec<u8>> {
        let paths = [layout.parent(), layout.node(), layout.fresh(), "/open".to_owned()];
        for path in &paths {
            self.caller.client.send(0, op::GET_DATA, &Body::path_and_watch(path, false))?;
            self.caller.client.send(0, op::GET_ACL, &Body::new().string(path))?;
        }
        let mut state = Vec::new();
        for _ in 0..2 * paths.len() {
            let reply = self.caller.client.receive()?;
            state.extend(reply.err.to_be_bytes());
            state.extend(reply.body);
        }
        Ok(state)
    }

    /// The nodes as they were, but for their versions.
    fn restore(&mut self, layout: Layout) -> Result<()> {
        let path = |path: &str| Body::new().string(path);
        let gone = self.caller.call(op::DELETE, &path(&layout.fresh()).int(-1))?;
        ensure!(matches!(gone.err, 0 | -101), "delete: code {}", gone.err);
        if self.caller.call(op::EXISTS, &Body::path_and_watch(&layout.node(), false))?.err != 0 {
            self.create(&layout.node(), layout, !layout.of_parent)?;
        }
        let acl = self.list(layout, !layout.of_parent);
        self.caller.must(SET_ACL, &joined(&[&path(&layout.node()), &acl, &Body::new().int(-1)])).map(drop)
    }
}

/// What of a reply is the same everywhere.
#[derive(Clone, Copy)]
enum Shown {
    Code,
    /// All of the body but the node's stat at its end.
    BeforeStat,
    Body,
    /// So many bytes.
    First(usize),
}

struct Asked {
    name: String,
    op: i32,
    body: Body,
    shown: Shown,
}

fn create(path: &str, flags: i32) -> Body {
    let body = Body::create(path, b"x", flags);
    if flags == 5 { body.long(100_000) } else { body }
}

fn part(op: i32, body: &Body) -> Body {
    joined(&[&Body::new().int(op).bool(false).int(-1), body])
}

fn multi(parts: &[Body]) -> Body {
    let end = Body::new().int(-1).bool(true).int(-1);
    joined(&parts.iter().chain([&end]).collect::<Vec<_>>())
}

/// Every operation that a client may send, in a form that works where it is allowed.
fn requests(layout: Layout) -> Vec<Asked> {
    let (node, new) = (layout.node(), layout.fresh());
    let path = || Body::new().string(&node);
    let flagged = || Body::path_and_watch(&node, false);
    let no_paths = |lists: usize| (0..lists).fold(Body::new().long(i64::MAX), |body, _| body.int(0));
    let writes = [
        ("create", op::CREATE, create(&new, 0)),
        ("create ephemeral", op::CREATE, create(&new, 1)),
        ("create2", op::CREATE2, create(&new, 0)),
        ("createContainer", op::CREATE_CONTAINER, create(&new, 4)),
        ("createTTL", op::CREATE_TTL, create(&new, 5)),
        ("setData", op::SET_DATA, Body::set_data(&node, b"y", -1)),
        ("delete", op::DELETE, path().int(-1)),
    ];
    let mut asked = Vec::new();
    let mut ask = |name: &str, op, body, shown| asked.push(Asked { name: name.to_owned(), op, body, shown });
    ask("exists", op::EXISTS, flagged(), Shown::Code);
    ask("getData", op::GET_DATA, flagged(), Shown::BeforeStat);
    ask("getACL", op::GET_ACL, path(), Shown::BeforeStat);
    ask("getChildren", op::GET_CHILDREN, flagged(), Shown::Body);
    ask("getChildren2", op::GET_CHILDREN2, flagged(), Shown::BeforeStat);
    ask("getAllChildrenNumber", op::GET_ALL_CHILDREN_NUMBER, path(), Shown::Body);
    ask("getEphemerals", GET_EPHEMERALS, path(), Shown::Body);
    ask("sync", op::SYNC, path(), Shown::Body);
    ask("ping", op::PING, Body::new(), Shown::Code);
    ask("checkWatches, none", CHECK_WATCHES, path().int(3), Shown::Code);
    ask("addWatch", op::ADD_WATCH, path().int(0), Shown::Code);
    ask("checkWatches", CHECK_WATCHES, path().int(3), Shown::Code);
    ask("removeWatches", REMOVE_WATCHES, path().int(3), Shown::Code);
    ask("setWatches", op::SET_WATCHES, no_paths(3), Shown::Code);
    ask("setWatches2", SET_WATCHES2, no_paths(5), Shown::Code);
    ask("reconfig", RECONFIG, Body::new().int(-1).int(-1).string("server.1=h:1:2;3").long(-1), Shown::Code);
    let reads = |op| multi(&[part(op, &flagged())]);
    ask("multiRead of getData", op::MULTI_READ, reads(op::GET_DATA), Shown::First(9));
    ask("multiRead of getChildren", op::MULTI_READ, reads(op::GET_CHILDREN), Shown::Body);
    let check = ("check", CHECK, path().int(-1));
    let open = part(op::SET_DATA, &Body::set_data("/open", b"z", -1));
    for (name, op, body) in writes.iter().chain([&check]) {
        let parts = [open.clone(), part(*op, body)];
        ask(&format!("multi of {name}"), op::MULTI, multi(&parts), Shown::Code);
    }
    for (name, op, body) in writes {
        ask(name, op, body, Shown::Code);
    }
    let acl = Body::new().open_acl().int(-1);
    ask("setACL", SET_ACL, joined(&[&path(), &acl]), Shown::Code);
    asked
}

fn shown(shown: Shown, reply: &Reply) -> String {
    let body = match shown {
        // A multi that was refused says which of its parts was.
        Shown::Code if reply.err == NO_AUTH => &reply.body[..],
        Shown::Code => &[],
        Shown::Body => &reply.body,
        Shown::BeforeStat => &reply.body[..reply.body.len().saturating_sub(STAT_BYTES)],
        Shown::First(count) => reply.body.get(..count).unwrap_or_default(),
    };
    format!("{} {}", reply.err, body.escape_ascii())
}

/// The operation each by each, and what came of it.
fn matrix(server: &Server) -> Result<String> {
    let mut keeper = Keeper::new(server)?;
    let mut callers = Vec::new();
    for (who, credentials) in EVERYBODY {
        callers.push((who, Caller::new(server, credentials)?));
    }
    let mut out = String::new();
    let mut counts = [0, 0];
    for layout in Layout::all() {
        for asked in requests(layout) {
            for (who, caller) in &mut callers {
                let before = keeper.state(layout)?;
                let reply = caller.call(asked.op, &asked.body)?;
                let refused = reply.err == NO_AUTH || asked.op == op::MULTI && reply.err != 0;
                counts[usize::from(refused)] += 1;
                writeln!(out, "{} {} by {who}: {}", layout.node(), asked.name, shown(asked.shown, &reply))?;
                if refused {
                    // The caller's server has applied the failure; the keeper's is the same.
                    let after = keeper.state(layout)?;
                    ensure!(before == after, "{} by {who} is refused and changes something", asked.name);
                } else if keeper.state(layout)? != before {
                    keeper.restore(layout)?;
                }
            }
        }
    }
    ensure!(counts[0] > 500 && counts[1] > 300, "allowed and refused: {counts:?}");
    for (who, credentials) in EVERYBODY {
        for (name, op, body) in [
            ("whoAmI", op::WHO_AM_I, Body::new()),
            ("check alone", CHECK, Body::new().string("/open").int(-1)),
            ("an operation that is not there", 999, Body::new().string("/open")),
            ("sasl", SASL, Body::new().buffer(b"")),
            ("closeSession", op::CLOSE_SESSION, Body::new()),
        ] {
            let reply = Caller::new(server, credentials)?.call(op, &body);
            let said = reply.as_ref().map_or("closed".into(), |reply| reply.err.to_string());
            writeln!(out, "{name} by {who}: {said}")?;
        }
    }
    Ok(out)
}

fn options(seat: Option<Seat>) -> Options {
    Options::default()
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER)
        .property("zookeeper.extendedTypesEnabled", "true")
        .seat(seat)
}

fn compare(name: &str, seat: Option<Seat>, script: fn(&Server) -> Result<String>) -> Result<()> {
    let case = Case::new(name, "raw requests", "every operation by everybody at every list");
    side_by_side(&case, &options(seat), |server| script(server))
}

/// etcd CVE-2026-33413, where some calls needed no permission, and CVE-2026-33343 and CVE-2026-44283, where those inside
/// a transaction needed none.
#[test]
fn every_operation_by_everybody_is_allowed_where_the_reference_allows_it() -> Result<()> {
    compare("permissions", None, matrix)
}

/// The same where the leader has to believe what a follower says of a client.
#[test]
fn every_operation_by_everybody_through_a_follower() -> Result<()> {
    compare("permissions-follower", Some(Seat::Follower), matrix)
}

/// Everything that watches of a caller heard of until the node of an end is created.
fn heard(caller: &mut Caller, end: &str) -> Result<Vec<String>> {
    let mut events = Vec::new();
    loop {
        let event = event(&caller.client.receive()?)?;
        if event.ends_with(end) && event.starts_with('1') {
            return Ok(events);
        }
        events.push(event);
    }
}

fn overheard(server: &Server) -> Result<String> {
    let mut keeper = Keeper::new(server)?;
    let mut out = String::new();
    let mut callers = Vec::new();
    for (who, credentials) in EVERYBODY {
        for mode in [0, 1] {
            let mut caller = Caller::new(server, credentials)?;
            if mode == 1 {
                caller.must(op::ADD_WATCH, &Body::new().string("/").int(1))?;
            } else {
                for layout in Layout::all() {
                    for path in [layout.parent(), layout.node(), layout.fresh()] {
                        caller.must(op::ADD_WATCH, &Body::new().string(&path).int(0))?;
                    }
                }
                caller.must(op::ADD_WATCH, &Body::new().string("/end").int(0))?;
            }
            callers.push((who, mode, caller));
        }
    }
    for layout in Layout::all() {
        keeper.caller.must(op::SET_DATA, &Body::set_data(&layout.node(), b"y", -1))?;
        keeper.create(&layout.fresh(), layout, !layout.of_parent)?;
        let parts = [
            part(op::DELETE, &Body::new().string(&layout.fresh()).int(-1)),
            part(op::SET_DATA, &Body::set_data(&layout.parent(), b"y", -1)),
            part(op::DELETE, &Body::new().string(&layout.node()).int(-1)),
        ];
        keeper.caller.must(op::MULTI, &multi(&parts))?;
    }
    keeper.caller.must(op::CREATE, &Body::create("/end", b"", 0))?;
    let mut of_right = 0;
    for (who, mode, caller) in &mut callers {
        let events = heard(caller, "/end")?;
        ensure!(*who == "super" || *who == "right" || events.is_empty(), "{who} hears {events:?}");
        of_right += usize::from(*who == "right") * events.len();
        writeln!(out, "{who} with watches of mode {mode}:\n{}", events.join("\n"))?;
    }
    ensure!(of_right > 0, "who may read hears nothing");
    Ok(out)
}

/// ZooKeeper CVE-2024-23944, where persistent watches told of nodes that their owner may not read; etcd
/// GHSA-xg4h-6gfc-h4m8, where the right to read one key sufficed to watch others.
#[test]
fn watches_tell_nothing_of_nodes_that_may_not_be_read() -> Result<()> {
    compare("permissions-events", None, overheard)
}

#[test]
fn watches_at_a_follower_tell_nothing_of_nodes_that_may_not_be_read() -> Result<()> {
    compare("permissions-events-follower", Some(Seat::Follower), overheard)
}
