//! Members of both kinds that need both: a certificate (`sslQuorum`) and a login (`quorum.auth.*`). One without the other
//! is not enough.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::certificates::{Certificates, PASSWORD};
use compat_tests::ensemble::{Ensemble, Load, PATIENCE, SECRET, assert_same, mixes, write_login};
use compat_tests::systems::until;

const WRITES: u64 = 50;

/// The leader tells in one of these words why somebody does not get in, and the member `at` does not serve.
fn stays_out(ensemble: &Ensemble, leader: usize, at: usize, from: usize, words: &[&str]) -> Result<()> {
    let member = &ensemble.members()[leader];
    until(&format!("{member} says one of {words:?}"), PATIENCE, || {
        let log = member.log();
        let new = log.get(from..).unwrap_or_default();
        Ok(words.iter().any(|text| new.contains(text)).then_some(()))
    })?;
    ensure!(ensemble.status(at).is_err(), "a member that proves one of two things serves");
    Ok(())
}

fn both_are_needed(ensemble: &mut Ensemble, login: &Path, certificates: &Certificates) -> Result<()> {
    let load = Load { sessions: 2, ..Load::default() }.start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    let leader = ensemble.leader()?;
    ensemble.kill(leader)?;
    ensemble.wait_for(&load, WRITES)?;
    ensemble.bring_back(leader)?;
    ensemble.wait_for(&load, WRITES)?;

    let leader = ensemble.leader()?;
    let follower = ensemble.voters().into_iter().find(|at| *at != leader).context("a follower")?;
    let said = |ensemble: &Ensemble| ensemble.members()[leader].log().len();
    ensemble.stop(follower)?;
    // The certificate of a member, and a wrong password.
    write_login(login, "wrong")?;
    let from = said(ensemble);
    ensemble.launch(follower)?;
    let words = ["login failed", "Failed to authenticate using SASL"];
    stays_out(ensemble, leader, follower, from, &words)?;
    ensemble.kill(follower)?;
    // The password, and the certificate of another authority.
    write_login(login, SECRET)?;
    let keys = |name: &str| format!("ssl.quorum.keyStore.location={}\n", certificates.path(name));
    ensemble.members()[follower].add_lines(&keys("impostor.p12"))?;
    let from = said(ensemble);
    ensemble.launch(follower)?;
    // The reference calls a connection accepted whose handshake has failed, without a protocol.
    let words = ["invalid peer certificate: UnknownIssuer", " - NONE - "];
    stays_out(ensemble, leader, follower, from, &words)?;
    ensemble.kill(follower)?;
    ensemble.members()[follower].add_lines(&keys("member.p12"))?;
    ensemble.bring_back(follower)?;
    load.wait_for(WRITES)?;

    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    assert_same(ensemble)?;
    for member in ensemble.members().iter().filter(|member| !member.is_reference()) {
        let log = member.log();
        ensure!(!log.contains("in plain text"), "{member} speaks plain text");
        ensure!(!log.contains(SECRET) && !log.contains(PASSWORD), "{member} shows a password");
    }
    Ok(())
}

#[test]
fn members_that_need_a_certificate_and_a_login_take_nobody_with_one_of_them() -> Result<()> {
    if !artifacts::available(&["java", "mvn", "openssl", "keytool"])? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let login = certificates.dir().join("quorum.jaas");
    for mix in mixes("OOO OAA")? {
        let plan = mix.plan().line("preAllocSize=1024").stores(&certificates).line("sslQuorum=true");
        let mut ensemble = Ensemble::start(&plan.login(&login)?.require_logins())?;
        let result = both_are_needed(&mut ensemble, &login, &certificates);
        if result.is_err() {
            eprintln!(
                "the logs are in {}",
                ensemble.keep_logs(&format!("secured-{}", mix.name()))?.display()
            );
        }
        result.with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}
