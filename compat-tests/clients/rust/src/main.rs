//! What the zookeeper-client crate can ask. Arguments: the server's address, a file to make when the
//! server may be restarted, and a file that appears once it has been.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, CreateOptions, EnsembleUpdate, Error, LockOptions,
    LockPrefix, MultiWriteResult, OneshotWatcher, Permission, PersistentWatcher, SessionState, Stat,
};

const LIMIT: Duration = Duration::from_secs(20);
/// How long a restart of the server may take.
const RESTART: Duration = Duration::from_secs(60);
const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

fn with(mode: CreateMode) -> CreateOptions<'static> {
    mode.with_acls(Acls::anyone_all())
}

fn stat(s: &Stat) -> String {
    format!(
        "v={} cv={} av={} kids={} len={} owned={} zxids={}",
        s.version,
        s.cversion,
        s.aversion,
        s.num_children,
        s.data_length,
        s.ephemeral_owner != 0,
        s.czxid > 0 && s.mzxid >= s.czxid && s.pzxid >= s.czxid
    )
}

/// Prints what came back, shown by `show`, or the error.
fn say<T, E: Debug>(label: &str, result: Result<T, E>, show: impl FnOnce(T) -> String) {
    match result {
        Ok(value) => println!("{label} -> {}", show(value)),
        Err(error) => println!("{label} -> ! {error:?}"),
    }
}

fn done(_: ()) -> String {
    "done".to_owned()
}

fn sorted(mut names: Vec<String>) -> String {
    names.sort();
    format!("{names:?}")
}

async fn connect(address: &str, timeout: Duration) -> Result<Client, Error> {
    Client::connector().with_session_timeout(timeout).connect(address).await
}

/// The result of `future`, or the end of the program: nothing here may wait for ever.
async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => {
            eprintln!("{what}: nothing after {limit:?}");
            std::process::exit(1);
        }
    }
}

async fn once(label: &str, watcher: OneshotWatcher) {
    let event = within(label, LIMIT, watcher.changed()).await;
    println!("{label}: {:?} {} zxid={}", event.event_type, event.path, event.zxid > 0);
}

async fn next(label: &str, watcher: &mut PersistentWatcher) {
    let event = within(label, LIMIT, watcher.changed()).await;
    println!("{label}: {:?} {} zxid={}", event.event_type, event.path, event.zxid > 0);
}

async fn nodes(c: &Client) {
    for mode in [CreateMode::Persistent, CreateMode::Ephemeral, CreateMode::Container] {
        let path = format!("/rust/{mode:?}");
        say(&format!("create {path}"), c.create(&path, b"x", &with(mode)).await, |(s, _)| stat(&s));
    }
    for mode in [CreateMode::PersistentSequential, CreateMode::EphemeralSequential] {
        let made = c.create("/rust/s-", b"", &with(mode)).await;
        say("create a sequence", made, |(s, number)| format!("{number} {}", stat(&s)));
    }
    let mortal = OPEN.with_ttl(Duration::from_secs(3600));
    say("create with a lifetime", c.create("/rust/ttl", b"", &mortal).await, |(s, _)| stat(&s));
    say("create again", c.create("/rust/Persistent", b"", &OPEN).await, |(s, _)| stat(&s));
    say("create below an ephemeral", c.create("/rust/Ephemeral/x", b"", &OPEN).await, |(s, _)| stat(&s));
    say("create without a parent", c.create("/rust/none/x", b"", &OPEN).await, |(s, _)| stat(&s));
    say("mkdir", c.mkdir("/rust/a/b/c", &OPEN).await, done);
    say("set", c.set_data("/rust/Persistent", b"new", Some(0)).await, |s| stat(&s));
    say("set with a stale version", c.set_data("/rust/Persistent", b"newer", Some(0)).await, |s| stat(&s));
    let read = c.get_data("/rust/Persistent").await;
    say("get", read, |(data, s)| format!("{:?} {}", String::from_utf8_lossy(&data), stat(&s)));
    say("check nothing", c.check_stat("/rust/none").await, |s| format!("{}", s.is_some()));
    say("check", c.check_stat("/rust/a").await, |s| s.as_ref().map_or(String::new(), stat));
    say("list", c.list_children("/rust").await, sorted);
    let children = c.get_children("/rust").await;
    say("children", children, |(names, s)| format!("{} {}", sorted(names), stat(&s)));
    say("descendants", c.count_descendants_number("/rust").await, |count| count.to_string());
    say("ephemerals", c.list_ephemerals("/rust").await, sorted);
    say("delete with children", c.delete("/rust/a", None).await, done);
    say("delete with a stale version", c.delete("/rust/a/b/c", Some(7)).await, done);
    say("delete", c.delete("/rust/a/b/c", Some(0)).await, done);
    say("delete nothing", c.delete("/rust/none", None).await, done);
    say("sync", c.sync("/rust").await, done);
    say("config", c.get_config().await, |(data, s)| format!("{} bytes {}", data.len(), stat(&s)));
    let update = EnsembleUpdate::New { ensemble: ["server.1=localhost:1:2;3"].into_iter() };
    say("reconfig", c.update_ensemble(update, None).await, |(data, _)| format!("{} bytes", data.len()));
    let below = match c.clone().chroot("/rust/a") {
        Ok(below) => below,
        Err(_) => return println!("chroot -> refused"),
    };
    say("create below a root of its own", below.create("/d", b"", &OPEN).await, |(s, _)| stat(&s));
    say("list its root", below.list_children("/").await, sorted);
}

async fn transactions(c: &Client) -> Result<(), Error> {
    let shown = |results: Vec<MultiWriteResult>| {
        let parts = results.iter().map(|result| match result {
            MultiWriteResult::Create { path, stat: s } => format!("create {path} {}", stat(s)),
            MultiWriteResult::SetData { stat: s } => format!("set {}", stat(s)),
            other => format!("{other:?}"),
        });
        parts.collect::<Vec<_>>().join("; ")
    };
    let mut multi = c.new_multi_writer();
    multi.add_create("/rust/m", b"1", &OPEN)?;
    multi.add_create("/rust/m/s-", b"", &with(CreateMode::PersistentSequential))?;
    multi.add_create("/rust/m/container", b"", &with(CreateMode::Container))?;
    multi.add_set_data("/rust/m", b"2", Some(0))?;
    multi.add_check_version("/rust/m", 1)?;
    multi.add_delete("/rust/m/container", Some(0))?;
    say("multi", multi.commit().await, shown);
    multi.add_set_data("/rust/m", b"3", None)?;
    multi.add_check_version("/rust/m", 77)?;
    multi.add_delete("/rust/m", None)?;
    say("failed multi", multi.commit().await, shown);
    for version in [0, 1] {
        let mut writer = c.new_check_writer("/rust/m", Some(version))?;
        writer.add_create(&format!("/rust/checked-{version}"), b"", &OPEN)?;
        say(&format!("check writer at {version}"), writer.commit().await, shown);
    }
    let mut reader = c.new_multi_reader();
    reader.add_get_data("/rust/m")?;
    reader.add_get_children("/rust/m")?;
    reader.add_get_data("/rust/none")?;
    say("multi read", reader.commit().await, |results| {
        results
            .iter()
            .map(|result| format!("{result:?}").split(" stat").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join("; ")
    });
    Ok(())
}

async fn access(c: &Client, other: &Client) {
    say("auth", c.auth("digest", b"me:pw").await, done);
    say("who am I", c.list_auth_users().await, |users| {
        sorted(users.iter().map(|user| format!("{}:{}", user.scheme(), user.user())).collect())
    });
    let own = CreateMode::Persistent.with_acls(Acls::creator_all());
    say("create a closed node", c.create("/rust/closed", b"s", &own).await, |(s, _)| stat(&s));
    say("its list", c.get_acl("/rust/closed").await, |(list, s)| format!("{list:?} {}", stat(&s)));
    say("another reads", other.get_data("/rust/closed").await, |(_, s)| stat(&s));
    let readable = [Acl::new(Permission::READ, AuthId::anyone())];
    say("open it", c.set_acl("/rust/closed", &readable, Some(0)).await, |s| stat(&s));
    say("again", c.set_acl("/rust/closed", &readable, Some(0)).await, |s| stat(&s));
    say("another reads", other.get_data("/rust/closed").await, |(_, s)| stat(&s));
    say("another writes", other.set_data("/rust/closed", b"", None).await, |s| stat(&s));
}

async fn watches(c: &Client, other: &Client) -> Result<(), Error> {
    let (_, _, data) = c.get_and_watch_data("/rust/m").await?;
    let (_, absent) = c.check_and_watch_stat("/rust/new").await?;
    let (_, children) = c.list_and_watch_children("/rust").await?;
    let (_, _, gone) = c.get_and_watch_children("/rust/checked-1").await?;
    let mut persistent = c.watch("/rust/m", AddWatchMode::Persistent).await?;
    let mut recursive = c.watch("/rust", AddWatchMode::PersistentRecursive).await?;
    other.set_data("/rust/m", b"w", None).await?;
    other.create("/rust/new", b"", &OPEN).await?;
    other.create("/rust/m/child", b"", &OPEN).await?;
    other.delete("/rust/checked-1", None).await?;
    once("data", data).await;
    once("created", absent).await;
    once("children", children).await;
    once("deleted", gone).await;
    for _ in 0..2 {
        next("persistent", &mut persistent).await;
    }
    for _ in 0..4 {
        next("recursive", &mut recursive).await;
    }
    drop(persistent);
    other.set_data("/rust/m", b"unseen by the first", None).await?;
    next("recursive", &mut recursive).await;
    Ok(())
}

async fn locks(c: &Client, other: &Client) -> Result<(), Error> {
    let options = LockOptions::new(Acls::anyone_all()).with_ancestor_options(OPEN)?;
    let held = c.lock(LockPrefix::new_curator("/rust/locks", "lock-")?, b"", options.clone()).await?;
    let wanted = other.lock(LockPrefix::new_curator("/rust/locks", "lock-")?, b"", options);
    tokio::pin!(wanted);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut wanted).await.is_ok();
    println!("both hold the lock: {early}");
    say("create as the holder", held.create("/rust/held", b"", &OPEN).await, |(s, _)| stat(&s));
    drop(held);
    let second = within("the second lock", LIMIT, &mut wanted).await?;
    let write = second.set_data("/rust/held", b"second", None).await;
    say("write as the second holder", write, |s| stat(&s));
    Ok(())
}

/// The server goes away and comes back: sessions, ephemerals and watches are as they were. Watches of one
/// event only: release 0.11.2 of the client does not tell a server that it comes back to of the others.
async fn restart(c: Client, other: Client, ready: &Path, restarted: &Path) -> Result<(), Error> {
    let (_, _, data) = c.get_and_watch_data("/rust/m").await?;
    let (_, absent) = c.check_and_watch_stat("/rust/later").await?;
    let (_, children) = c.list_and_watch_children("/rust/new").await?;
    let session = c.session_id();
    std::fs::write(ready, "").map_err(|error| Error::UnexpectedError(error.to_string()))?;
    let deadline = Instant::now() + RESTART;
    while !restarted.exists() {
        if Instant::now() > deadline {
            return Err(Error::UnexpectedError("the server was not restarted".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for client in [&c, &other] {
        let mut state = client.state_watcher();
        within("the connection", LIMIT, async {
            while state.state() != SessionState::SyncConnected || client.sync("/").await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    println!("the same session: {}", session == c.session_id());
    other.set_data("/rust/m", b"after", None).await?;
    other.create("/rust/later", b"", &OPEN).await?;
    other.create("/rust/new/child", b"", &OPEN).await?;
    once("kept data watch", data).await;
    once("kept exists watch", absent).await;
    once("kept child watch", children).await;
    say("the ephemeral is still there", other.check_stat("/rust/Ephemeral").await, |s| {
        s.is_some().to_string()
    });
    drop(c);
    within("the ephemeral's end", LIMIT, async {
        while !matches!(other.check_stat("/rust/Ephemeral").await, Ok(None)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    println!("and goes with its session");
    Ok(())
}

async fn run(address: &str, ready: &Path, restarted: &Path) -> Result<(), Error> {
    let c = within("connecting", LIMIT, connect(address, Duration::from_secs(8))).await?;
    let other = within("connecting", LIMIT, connect(address, Duration::from_secs(10))).await?;
    println!("timeouts {:?} {:?}", c.session_timeout(), other.session_timeout());
    say("create", c.create("/rust", b"", &OPEN).await, |(s, _)| stat(&s));
    nodes(&c).await;
    transactions(&c).await?;
    access(&c, &other).await;
    watches(&c, &other).await?;
    locks(&c, &other).await?;
    restart(c, other, ready, restarted).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, ready, restarted] = &args[..] else {
        eprintln!("address, file to make, file to wait for");
        std::process::exit(2);
    };
    let everything = run(address, Path::new(ready), Path::new(restarted));
    if let Err(error) = within("everything", 2 * RESTART, everything).await {
        eprintln!("{error:?}");
        std::process::exit(1);
    }
}
