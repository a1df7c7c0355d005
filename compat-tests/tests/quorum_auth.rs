//! Members of both kinds that log in to each other by DIGEST-MD5 (`quorum.auth.*`), and the upgrade to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::ensemble::{
    Ensemble, Load, Mix, PATIENCE, Plan, SECRET, answer, assert_same, mixes, write_login,
};
use compat_tests::systems::until;

/// What `cargo test` tries without being asked for more.
const SHORT: &str = "AAO+O OOA+A";
const WRITES: u64 = 100;

/// A plan whose members have a login configuration, at the path that is returned too.
fn plan(mix: &Mix, home: &Path) -> Result<(Plan, PathBuf)> {
    let path = home.join("jaas.conf");
    Ok((mix.plan().line("preAllocSize=1024").login(&path)?, path))
}

/// A follower that says who it is, and proves nothing.
fn stranger() -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(11_i32.to_be_bytes());
    packet.extend(0_i64.to_be_bytes());
    packet.extend(20_i32.to_be_bytes());
    packet.extend([&1_i64.to_be_bytes()[..], &0x10000_i32.to_be_bytes(), &0_i64.to_be_bytes()].concat());
    packet.extend((-1_i32).to_be_bytes());
    packet
}

/// A login that nobody answers well: the name is right, and nothing else.
fn impostor() -> Vec<u8> {
    let magic = [0x5f, 0x24, 0x35, 0x01, 0x35, 0x01, 0xed, 0xcc];
    let response = b"username=\"member\",realm=\"zk-quorum-sasl-md5\",nonce=\"x\",cnonce=\"y\",response=z";
    let packet = |token: &[u8]| {
        [&magic[..], &0_i32.to_be_bytes(), &(token.len() as i32).to_be_bytes(), token].concat()
    };
    [packet(b""), packet(response)].concat()
}

fn kill_each(ensemble: &mut Ensemble, jaas: &Path) -> Result<()> {
    let load = Load::default().start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    let leader = ensemble.leader()?;
    let order = std::iter::once(leader).chain((0..ensemble.members().len()).filter(|at| *at != leader));
    for at in order {
        ensemble.kill(at)?;
        ensemble.wait_for(&load, WRITES)?;
        ensemble.bring_back(at)?;
        ensemble.wait_for(&load, WRITES)?;
    }
    // Whoever does not know the password is nobody.
    let leader = ensemble.leader()?;
    let member = &ensemble.members()[leader];
    let (quorum, election) = (member.quorum_addr(), member.election_addr());
    ensure!(answer(quorum, &stranger())?.is_empty(), "a stranger is answered on the quorum port");
    let challenge = answer(quorum, &impostor())?;
    let refused = challenge.windows(4).any(|bytes| bytes == (-1_i32).to_be_bytes());
    ensure!(refused && challenge.len() < 400, "an impostor hears {challenge:?}");
    let hello =
        [&(-65_536_i64).to_be_bytes()[..], &99_i64.to_be_bytes(), &11_i32.to_be_bytes(), b"127.0.0.1:1"];
    let unproven = [&hello.concat()[..], &[0; 60]].concat();
    ensure!(answer(election, &unproven)?.is_empty(), "a stranger is answered on the election port");
    let follower = ensemble.voters().into_iter().find(|at| *at != leader).context("a follower")?;
    ensemble.stop(follower)?;
    write_login(jaas, "wrong")?;
    ensemble.launch(follower)?;
    until("a login with a wrong password fails", PATIENCE, || {
        let log = ensemble.members()[leader].log();
        let failed = ["login failed", "Failed to authenticate using SASL"];
        Ok(failed.iter().any(|text| log.contains(text)).then_some(()))
    })?;
    ensure!(ensemble.status(follower).is_err(), "a member with a wrong password serves");
    load.wait_for(WRITES)?;
    ensemble.kill(follower)?;
    write_login(jaas, SECRET)?;
    ensemble.bring_back(follower)?;
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    assert_same(ensemble)?;
    for member in ensemble.members() {
        ensure!(member.is_reference() || !member.log().contains(SECRET), "{member} shows a password");
    }
    Ok(())
}

/// ZooKeeper CVE-2018-8012, where whoever reached the port became a member.
#[test]
fn members_of_both_kinds_log_in_to_each_other_and_nobody_else_gets_in() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for mix in mixes(SHORT)? {
        let home = tempfile::tempdir().context("a directory")?;
        let (plan, jaas) = plan(&mix, home.path())?;
        let mut ensemble = Ensemble::start(&plan.require_logins())?;
        let result = kill_each(&mut ensemble, &jaas);
        if result.is_err() {
            eprintln!("the logs are in {}", ensemble.keep_logs(&format!("auth-{}", mix.name()))?.display());
        }
        result.with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}

/// The three steps that the reference documents, server by server.
const STEPS: [&str; 3] = [
    "quorum.auth.enableSasl=true\n",
    "quorum.auth.learnerRequireSasl=true\n",
    "quorum.auth.serverRequireSasl=true\n",
];

fn upgrade(ensemble: &mut Ensemble) -> Result<()> {
    let load = Load::default().start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    for lines in STEPS {
        ensemble.reconfigure_each(lines, || load.wait_for(WRITES))?;
    }
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    let leader = ensemble.leader()?;
    let quorum = ensemble.members()[leader].quorum_addr();
    ensure!(answer(quorum, &stranger())?.is_empty(), "a stranger is answered after the last step");
    summary.verify_everywhere(ensemble)?;
    assert_same(ensemble)?;
    ensure!(summary.expired() == 0, "{} sessions expired", summary.expired());
    Ok(())
}

#[test]
fn an_ensemble_is_brought_to_logins_in_three_steps_under_load() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for mix in mixes("OAO")? {
        let home = tempfile::tempdir().context("a directory")?;
        let (plan, _) = plan(&mix, home.path())?;
        let mut ensemble = Ensemble::start(&plan)?;
        let result = upgrade(&mut ensemble);
        if result.is_err() {
            eprintln!(
                "the logs are in {}",
                ensemble.keep_logs(&format!("auth-steps-{}", mix.name()))?.display()
            );
        }
        result.with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}
