//! The largest of everything that Oxkeeper accepts is read again: by itself, and by the reference with the
//! same settings.
//!
//! The reference accepts more (lists of `auth` entries that grow in a multi, ends of sessions with very many
//! ephemerals), writes it, and then does not start any more.

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, op};

/// `jute.maxbuffer` as it is by default.
const FRAME: usize = 0xf_ffff;
/// `xid` and type.
const HEADER: usize = 8;
const MARSHALLING_ERROR: i32 = -5;
const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;
/// Identities of the client: an `auth` entry becomes as many.
const IDENTITIES: usize = 40;

struct Session {
    client: Client,
    xid: i32,
}

impl Session {
    fn open(server: &Server) -> Result<Self> {
        Ok(Self { client: Client::connect(server.addr(), 30_000)?, xid: 0 })
    }

    fn code(&mut self, op: i32, body: &Body) -> Result<i32> {
        self.xid += 1;
        Ok(self.client.call(self.xid, op, body)?.err)
    }

    fn accepted(&mut self, what: &str, op: i32, body: &Body) -> Result<()> {
        let code = self.code(op, body)?;
        ensure!(code == 0, "{what}: code {code}");
        Ok(())
    }
}

/// Fills a body up to the largest frame: the filler's length depends on what else is in it.
fn largest(body: impl Fn(usize) -> Body) -> Body {
    let rest = body(0).0.len();
    body(FRAME - HEADER - rest)
}

fn auth_acl(body: Body, entries: i32) -> Body {
    (0..entries).fold(body.int(entries), |body, n| body.int(n + 1).string("auth").string(""))
}

/// A multi of creates, each with a list that the server makes longer.
fn multi_of_auth(prefix: &str, creates: usize) -> Body {
    let body = (0..creates).fold(Body::new(), |body, n| {
        let part = body.int(op::CREATE).bool(false).int(-1).string(&format!("/{prefix}{n}")).buffer(b"");
        auth_acl(part, 10).int(0)
    });
    body.int(-1).bool(true).int(-1)
}

fn nodes(server: &Server) -> Result<String> {
    let answer = server.ask("srvr")?;
    let line = answer.lines().find(|line| line.starts_with("Node count: "));
    Ok(line.with_context(|| format!("no node count in {answer}"))?.to_owned())
}

fn write_the_largest(server: &Server) -> Result<Session> {
    let mut session = Session::open(server)?;
    session.accepted("data", op::CREATE, &largest(|n| Body::create("/data", &vec![b'x'; n], 0)))?;
    session.accepted("new data", op::SET_DATA, &largest(|n| Body::set_data("/data", &vec![b'y'; n], -1)))?;
    session.accepted(
        "a path",
        op::CREATE,
        &largest(|n| Body::create(&format!("/{}", "p".repeat(n)), b"", 0)),
    )?;
    // The number in front of the name counts, and comes on top.
    let numbered = largest(|n| Body::create(&format!("/{}-", "s".repeat(n)), b"", SEQUENTIAL));
    session.accepted("a numbered path", op::CREATE, &numbered)?;
    let list = |path: &str, room: usize| {
        let entries = room / 32;
        let body = Body::new().string(path).buffer(b"").int(entries as i32);
        (0..entries)
            .fold(body, |body, n| {
                body.int(31).string("ip").string(&format!("10.{:03}.{:03}.1", n / 250 % 250, n % 250))
            })
            .int(0)
    };
    session.accepted("a list", op::CREATE, &list("/list", FRAME - 1000))?;
    let mut path = String::new();
    for _ in 0..1500 {
        path.push_str("/d");
        session.accepted("a deep path", op::CREATE, &Body::create(&path, b"", 0))?;
    }
    let names = (0..20_900).fold(Body::new(), |body, _| {
        let part = body.int(op::CREATE).bool(false).int(-1).string("/n").buffer(b"");
        part.open_acl().int(SEQUENTIAL)
    });
    let names = names.int(-1).bool(true).int(-1);
    ensure!(names.0.len() < FRAME && names.0.len() > FRAME - 60_000, "{} bytes", names.0.len());
    session.accepted("a multi of numbered names", op::MULTI, &names)?;

    for n in 0..IDENTITIES {
        let credentials = format!("user-with-a-long-name-{n:04}:password");
        session.accepted(
            "credentials",
            op::AUTH,
            &Body::new().int(0).string("digest").buffer(credentials.as_bytes()),
        )?;
    }
    // The largest such multi, found by halving: what is refused leaves nothing behind.
    let (mut fits, mut refused) = (0, 1000);
    while refused - fits > 1 {
        let creates = (fits + refused) / 2;
        match session.code(op::MULTI, &multi_of_auth(&format!("m{creates}-"), creates))? {
            0 => fits = creates,
            MARSHALLING_ERROR => refused = creates,
            code => anyhow::bail!("a multi of {creates}: code {code}"),
        }
    }
    ensure!(fits > 10, "{fits} creates fit");
    let one = session.code(op::CREATE, &auth_acl(Body::new().string("/auth").buffer(b""), 300).int(0))?;
    ensure!(one == 0, "one long list: code {one}");
    Ok(session)
}

/// As many ephemerals as a session may have.
fn fill_with_ephemerals(session: &mut Session) -> Result<usize> {
    for n in 0.. {
        match session
            .code(op::CREATE, &Body::create(&format!("/{n:06}{}", "e".repeat(2000)), b"", EPHEMERAL))?
        {
            0 => {}
            MARSHALLING_ERROR => return Ok(n),
            code => anyhow::bail!("ephemeral {n}: code {code}"),
        }
    }
    unreachable!("there is an end to numbers")
}

/// Ends the session, which must leave `before` nodes, also after a kill, and stops the server.
fn end_session(mut client: Client, xid: i32, server: &mut Server, before: &str) -> Result<()> {
    let end = client.call(xid, op::CLOSE_SESSION, &Body::new())?;
    ensure!(end.err == 0, "the end of the session: code {}", end.err);
    ensure!(nodes(server)? == before, "{} and {before} before", nodes(server)?);
    server.kill()?;
    server.launch().context("after the end of the session")?;
    ensure!(nodes(server)? == before, "{} and {before} before", nodes(server)?);
    server.stop()?;
    Ok(())
}

#[test]
fn the_largest_of_everything_that_is_accepted_is_read_again() -> Result<()> {
    if judged() != Kind::Oxkeeper || !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let home = tempfile::tempdir().context("a directory")?;
    // All of it stays in the log, where the limit of the reader is.
    let options = Options::default().data_dir(home.path()).line("snapCount=10000000");
    let mut server = Server::start(judged(), &options)?;
    let mut session = write_the_largest(&server)?;
    let before = nodes(&server)?;
    let ephemerals = fill_with_ephemerals(&mut session)?;
    ensure!((900..1100).contains(&ephemerals), "{ephemerals} ephemerals of 2 kB");
    let with_ephemerals = nodes(&server)?;
    server.kill()?;
    server.launch()?;
    ensure!(nodes(&server)? == with_ephemerals, "{} and {with_ephemerals} before", nodes(&server)?);
    let Session { client, .. } = session;
    let again = Client::reconnect(server.addr(), 30_000, client.session, &client.password, 0)?;
    end_session(again, 1, &mut server, &before)?;
    // The newest snapshots hold it too; without them the reference reads the log, record by record.
    for keep_snapshots in [false, true] {
        let copy = tempfile::tempdir().context("a directory")?;
        let (from, to) = (home.path().join("version-2"), copy.path().join("version-2"));
        std::fs::create_dir(&to).context("create a directory")?;
        for entry in std::fs::read_dir(&from).context("list")? {
            let name = entry.context("list")?.file_name();
            let text = name.to_string_lossy().into_owned();
            if keep_snapshots || !text.starts_with("snapshot.") || text == "snapshot.0" {
                std::fs::copy(from.join(&name), to.join(&name)).context("copy")?;
            }
        }
        let options = Options::default().data_dir(copy.path());
        let reference = Server::start(Kind::Apache(REFERENCE), &options)
            .with_context(|| format!("the reference, with our snapshots: {keep_snapshots}"))?;
        ensure!(nodes(&reference)? == before, "{} and {before} before", nodes(&reference)?);
    }
    Ok(())
}

/// A session that came by its ephemerals under a larger `jute.maxbuffer` ends all the same, and what that
/// leaves is read again by both servers.
#[test]
fn a_session_with_more_ephemerals_than_its_end_can_list_ends() -> Result<()> {
    if judged() != Kind::Oxkeeper || !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let home = tempfile::tempdir().context("a directory")?;
    let options = || Options::default().data_dir(home.path()).line("snapCount=10000000");
    let mut server = Server::start(judged(), &options().property("jute.maxbuffer", "3000000"))?;
    let before = nodes(&server)?;
    let mut session = Session::open(&server)?;
    let ephemerals = fill_with_ephemerals(&mut session)?;
    ensure!(ephemerals > 1800, "{ephemerals} ephemerals of 2 kB");
    server.kill()?;
    let mut server = Server::start(judged(), &options())?;
    let Session { client, .. } = session;
    let mut again = Client::reconnect(server.addr(), 30_000, client.session, &client.password, 0)?;
    let one_more = again.call(1, op::CREATE, &Body::create("/one-more", b"", EPHEMERAL))?;
    ensure!(one_more.err == MARSHALLING_ERROR, "one ephemeral more: code {}", one_more.err);
    end_session(again, 2, &mut server, &before)?;
    let reference = Server::start(Kind::Apache(REFERENCE), &options()).context("the reference")?;
    ensure!(nodes(&reference)? == before, "{} and {before} before", nodes(&reference)?);
    Ok(())
}
