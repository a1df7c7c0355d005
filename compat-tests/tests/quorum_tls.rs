//! Members of both kinds that speak TLS to each other (`sslQuorum`), the switch to it, and who does not get in.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::certificates::{Certificates, PASSWORD};
use compat_tests::ensemble::{Ensemble, Load, Mix, PATIENCE, Plan, answer, assert_same, mixes};
use compat_tests::systems::until;

/// What `cargo test` tries without being asked for more.
const SHORT: &str = "AAO OOA";
const WRITES: u64 = 50;

fn available() -> Result<bool> {
    artifacts::available(&["java", "mvn", "openssl", "keytool"])
}

fn plan(mix: &Mix, certificates: &Certificates) -> Plan {
    mix.plan().line("preAllocSize=1024").stores(certificates)
}

fn single() -> Load {
    Load { sessions: 1, window: 1, ..Load::default() }
}

/// Runs a test, and keeps the logs if it fails.
fn watched(
    name: &str,
    mix: &Mix,
    mut ensemble: Ensemble,
    run: impl FnOnce(&mut Ensemble) -> Result<()>,
) -> Result<()> {
    let result = run(&mut ensemble);
    if result.is_err() {
        let kept = ensemble.keep_logs(&format!("{name}-{}", mix.name()))?;
        eprintln!("the logs are in {}", kept.display());
    }
    for member in ensemble.members() {
        ensure!(member.is_reference() || !member.log().contains(PASSWORD), "{member} shows a password");
    }
    result.with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))
}

/// How a voter introduces itself on the election port, without TLS.
fn plain_voter() -> Vec<u8> {
    [&(-65_536_i64).to_be_bytes()[..], &1_i64.to_be_bytes(), &11_i32.to_be_bytes(), b"127.0.0.1:1"].concat()
}

/// What openssl says of a handshake with a port; it says nothing more, and leaves.
fn shake(addr: SocketAddr, certificate: Option<&str>, certificates: &Certificates) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &addr.to_string()]).current_dir(certificates.dir());
    if let Some(name) = certificate {
        command.args(["-cert", &format!("{name}.crt"), "-key", &format!("{name}.key")]);
    }
    let ended = command.stdin(Stdio::null()).output().context("run openssl")?;
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// The place of one of ours that runs.
fn one_of_ours(ensemble: &Ensemble) -> Option<usize> {
    ensemble.running().into_iter().find(|at| !ensemble.members()[*at].is_reference())
}

/// A line comes into a member's log behind what is there, while something is done.
fn told(ensemble: &Ensemble, at: usize, line: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let member = &ensemble.members()[at];
    let before = member.log().len();
    act()?;
    until(&format!("{member} says {line:?}"), PATIENCE, || {
        Ok(member.log().get(before..).is_some_and(|log| log.contains(line)).then_some(()))
    })
}

/// Nobody gets in who proves nothing, and each is told of in a line with the reason.
fn refuse(ensemble: &Ensemble, certificates: &Certificates) -> Result<()> {
    let Some(at) = one_of_ours(ensemble) else { return Ok(()) };
    let mut ports = vec![("election", ensemble.members()[at].election_addr())];
    if ensemble.leader()? == at {
        ports.push(("quorum", ensemble.members()[at].quorum_addr()));
    }
    for (port, addr) in ports {
        let closed = |why: &str| format!("a connection to the {port} port is closed: {why}");
        told(ensemble, at, &closed("what came is not TLS"), || {
            ensure!(answer(addr, &plain_voter())?.is_empty(), "a plain peer is answered");
            Ok(())
        })?;
        for (name, why) in [
            (None, "its TLS handshake failed: peer sent no certificates"),
            (Some("impostor"), "its TLS handshake failed: invalid peer certificate: UnknownIssuer"),
            (Some("serverauth"), "its TLS handshake failed: invalid peer certificate"),
            (Some("astray"), "its certificate names neither its address 127.0.0.1"),
        ] {
            told(ensemble, at, &closed(why), || shake(addr, name, certificates).map(drop))
                .with_context(|| format!("{name:?}"))?;
        }
    }
    Ok(())
}

fn serve_over_tls(ensemble: &mut Ensemble, certificates: &Certificates) -> Result<()> {
    let load = Load::default().start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    refuse(ensemble, certificates)?;
    load.wait_for(WRITES)?;
    let leader = ensemble.leader()?;
    let follower = ensemble.voters().into_iter().find(|at| *at != leader).context("a follower")?;
    // One is sent everything; then another leads, and the one that led is sent what it lacks.
    ensemble.kill(follower)?;
    ensemble.members()[follower].wipe()?;
    load.wait_for(WRITES)?;
    ensemble.bring_back(follower)?;
    ensemble.kill(leader)?;
    ensemble.wait_for(&load, WRITES)?;
    ensemble.bring_back(leader)?;
    ensemble.wait_for(&load, WRITES)?;
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    assert_same(ensemble)?;
    for member in ensemble.members().iter().filter(|member| !member.is_reference()) {
        let log = member.log();
        ensure!(log.contains("on the election port in TLSv1_3"), "{member} does not say that it speaks TLS");
        ensure!(!log.contains("in plain text"), "{member} speaks plain text");
    }
    Ok(())
}

#[test]
fn members_of_both_kinds_speak_tls_and_nobody_else_gets_in() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    for mix in mixes(SHORT)? {
        let ensemble = Ensemble::start(&plan(&mix, &certificates).line("sslQuorum=true"))?;
        watched("tls", &mix, ensemble, |ensemble| serve_over_tls(ensemble, &certificates))?;
    }
    Ok(())
}

/// The steps that the reference documents, server by server.
const STEPS: [&str; 3] = [
    "portUnification=true\nsslQuorum=false\n",
    "portUnification=true\nsslQuorum=true\n",
    "portUnification=false\nsslQuorum=true\n",
];

fn switch(ensemble: &mut Ensemble) -> Result<()> {
    let load = single().start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    for lines in STEPS {
        ensemble.reconfigure_each(lines, || load.wait_for(WRITES))?;
    }
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    for at in ensemble.running() {
        let member = &ensemble.members()[at];
        summary.verify(member.addr())?;
        ensure!(answer(member.election_addr(), &plain_voter())?.is_empty(), "{member} answers a plain peer");
    }
    assert_same(ensemble)?;
    ensure!(summary.expired() == 0, "{} sessions expired", summary.expired());
    Ok(())
}

#[test]
fn an_ensemble_is_switched_to_tls_in_three_steps_under_load() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    for mix in mixes("OAO")? {
        let ensemble = Ensemble::start(&plan(&mix, &certificates))?;
        watched("tls-steps", &mix, ensemble, switch)?;
    }
    Ok(())
}

fn replace(ensemble: &mut Ensemble, certificates: &Certificates) -> Result<()> {
    let load = single().start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    let leader = ensemble.leader()?;
    let follower = ensemble.voters().into_iter().find(|at| *at != leader).context("a follower")?;
    // A member with the certificate of another authority takes no part, and disturbs nobody.
    ensemble.stop(follower)?;
    let keys = |name: &str| format!("ssl.quorum.keyStore.location={}\n", certificates.path(name));
    ensemble.members()[follower].add_lines(&keys("impostor.p12"))?;
    ensemble.launch(follower)?;
    told(ensemble, leader, "invalid peer certificate: UnknownIssuer", || Ok(()))?;
    load.wait_for(WRITES)?;
    ensure!(ensemble.status(follower).is_err(), "a member of another authority serves");
    ensemble.kill(follower)?;
    ensemble.members()[follower].add_lines(&keys("member.p12"))?;
    ensemble.bring_back(follower)?;
    // New certificates are shown without a restart, and members that come meet them.
    let shown = || shake(ensemble.members()[leader].election_addr(), Some("member"), certificates);
    ensure!(shown()?.contains("CN = member"), "the first certificate: {}", shown()?);
    told(ensemble, leader, "the stores of TLS of members have changed", || {
        certificates.renew_member("/CN=renewed")
    })?;
    ensure!(shown()?.contains("CN = renewed"), "the new certificate: {}", shown()?);
    ensemble.kill(follower)?;
    ensemble.bring_back(follower)?;
    load.wait_for(WRITES)?;
    let summary = load.stop()?;
    summary.verify_everywhere(ensemble)?;
    ensure!(ensemble.leader()? == leader, "another server leads than before");
    assert_same(ensemble).map(drop)
}

#[test]
fn certificates_are_replaced_while_members_run_and_wrong_ones_disturb_nobody() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    for mix in mixes("OOO")?.into_iter().filter(|mix| mix.name() == "OOO") {
        let certificates = Certificates::new()?;
        let ensemble = Ensemble::start(&plan(&mix, &certificates).line("sslQuorum=true"))?;
        watched("tls-replace", &mix, ensemble, |ensemble| replace(ensemble, &certificates))?;
    }
    Ok(())
}
