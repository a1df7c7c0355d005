//! Kill -9 at random moments under write load: what was acknowledged is there after a restart.
//!
//! Several sessions pipeline creates and sets, and note every acknowledgement. After each kill
//! the same directory is opened again and every noted write is read back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::acknowledged::{self, History, Random, Seed};
use compat_tests::artifacts;
use compat_tests::compare::judged;
use compat_tests::server::{Options, Server};

/// Rounds on one data directory, which grows with each.
const ROUNDS_PER_DIRECTORY: u64 = 20;
/// Every so many rounds, and after a directory's last, all its rounds are read back and not only the last.
const READ_ALL_EVERY: u64 = 5;

#[test]
fn acknowledged_writes_survive_kills() -> Result<()> {
    if std::env::var_os("OXKEEPER_COMPAT_SELF").is_some() && !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let rounds = acknowledged::number("OXKEEPER_KILL_ROUNDS", || 10)?;
    let seed = Seed::choose("durability", &[("OXKEEPER_KILL_ROUNDS", rounds)])?;
    let mut random = Random::new(seed.number, 0);
    let options = Options::default().line("snapCount=2000").line("preAllocSize=1024");
    let mut total = 0;
    let mut done = 0;
    while done < rounds {
        let count = ROUNDS_PER_DIRECTORY.min(rounds - done);
        let mut server = Server::start(judged(), &options)?;
        let mut history = History::default();
        for round in done..done + count {
            let context = || format!("round {round}; repeat it with: {}", seed.replay);
            total += live_and_die(&mut server, round, &mut random, &mut history).with_context(context)?;
            let last = round + 1 == done + count;
            if last || round % READ_ALL_EVERY == 0 {
                history.verify_all(server.addr()).with_context(context)?;
            } else {
                history.verify_new(server.addr()).with_context(context)?;
            }
        }
        done += count;
    }
    println!("{done} kills, {total} acknowledged paths, every one read back");
    ensure!(total > 0, "nothing was acknowledged, so nothing was tested");
    Ok(())
}

/// One life under load, its end, and a new start; what was acknowledged goes to the history.
fn live_and_die(
    server: &mut Server,
    round: u64,
    random: &mut Random,
    history: &mut History,
) -> Result<usize> {
    let life = Duration::from_millis(50 + random.below(1500));
    let knowns = acknowledged::load(server.addr(), &format!("/r{round}"), || {
        // The random length of the server's life is the point of the test.
        std::thread::sleep(life);
        server.kill()
    })?;
    server.launch().context("start again")?;
    let acknowledged = history.extend(knowns);
    println!("round {round}: killed after {life:?}, {acknowledged} acknowledged paths");
    Ok(acknowledged)
}
