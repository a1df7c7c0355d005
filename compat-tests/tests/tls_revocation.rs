//! Revocation lists and OCSP on client ports and between members, on both servers: which certificates still prove something when their
//! issuer is asked, and what counts when nobody answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::slice::from_ref;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::certificates::PASSWORD;
use compat_tests::compare::on_both;
use compat_tests::ensemble::{Ensemble, Load, PATIENCE, assert_same, mixes};
use compat_tests::programs;
use compat_tests::results::Case;
use compat_tests::revocation::Revocation;
use compat_tests::server::{Kind, Options, Server, free_port};
use compat_tests::systems::until;

const WRITES: u64 = 50;

/// A certificate: its name, where it says to ask, and whether it was revoked; None where its authority never heard of it.
type Client<'a> = (&'a str, &'a [String], Option<bool>);

fn available() -> Result<bool> {
    artifacts::available(&["java", "javac", "mvn", "openssl", "keytool"])
}

fn lists(urls: &[&str]) -> String {
    let names: Vec<_> = urls.iter().map(|url| format!("URI:{url}")).collect();
    format!("crlDistributionPoints={}\n", names.join(","))
}

fn responder(url: &str) -> String {
    format!("authorityInfoAccess=OCSP;URI:{url}\n")
}

/// A server with these settings, and clients with each of these stores; what each came to.
fn outcomes(kind: Kind, revocation: &Revocation, lines: &[&str], stores: &[String]) -> Result<String> {
    let certificates = &revocation.certificates;
    let port = free_port()?;
    let mut options = Options::default()
        .line("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory")
        .line(&format!("secureClientPort={port}"));
    for (which, name) in [("keyStore", "server.p12"), ("trustStore", "trust.jks")] {
        options = options.line(&format!("ssl.{which}.location={}", certificates.path(name)));
        options = options.line(&format!("ssl.{which}.password={PASSWORD}"));
    }
    options.lines.extend(lines.iter().map(|line| (*line).to_owned()));
    let server = Server::start(kind, &options)?;
    let (plain, secure) = (server.addr().port().to_string(), port.to_string());
    let dir = certificates.dir().display().to_string();
    let mut args = vec![plain.as_str(), &secure, &dir, PASSWORD];
    args.extend(stores.iter().map(String::as_str));
    let came = programs::java(REFERENCE, "tls", "Tls", &[], &args);
    came.with_context(|| format!("{kind}, whose log ends:\n{}", programs::tail(&server.log(), 40)))
}

/// Fails unless both servers let in who should be let in, and nobody else.
fn check(
    name: &str,
    what: &str,
    revocation: &Revocation,
    lines: &[&str],
    expected: &BTreeMap<&str, bool>,
) -> Result<()> {
    let stores: Vec<_> = expected.keys().map(|name| format!("{name}.p12")).collect();
    let mut wanted = String::new();
    for (name, is_let_in) in expected {
        writeln!(wanted, "{name}.p12: {}", if *is_let_in { "session" } else { "end" })?;
    }
    let case = Case::new(&format!("tls-{name}"), &format!("Java's sockets, as of {REFERENCE}"), what);
    on_both(&case, |kind| {
        let came = outcomes(kind, revocation, lines, &stores)?;
        ensure!(came == wanted, "{kind}:\n{came}\nand not\n{wanted}");
        Ok(came)
    })
}

/// Issues certificates for clients.
fn issue(revocation: &Revocation, clients: &[Client<'_>]) -> Result<()> {
    for (name, extensions, is_revoked) in clients {
        revocation.issue(name, &format!("extendedKeyUsage=clientAuth\n{}", extensions.concat()), "ca")?;
        if let Some(is_revoked) = is_revoked {
            revocation.enter(name, "ca", *is_revoked)?;
        }
    }
    revocation.publish()
}

#[test]
fn a_list_says_who_is_let_in_and_without_one_nobody_is() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let revocation = Revocation::new()?;
    let url = |path: &str| revocation.url(path);
    let ca = lists(&[&url("ca.crl")]);
    let dead = format!("http://127.0.0.1:{}/ca.crl", free_port()?);
    let file = format!("file://{}", revocation.certificates.path("www/ca.crl"));
    let of = |path: &str| [lists(&[&url(path)])];
    issue(
        &revocation,
        &[
            ("crl-good", from_ref(&ca), Some(false)),
            ("crl-revoked", from_ref(&ca), Some(true)),
            ("crl-none", &[], Some(false)),
            ("crl-dead", &[lists(&[&dead])], Some(false)),
            ("crl-stale", &of("stale.crl"), Some(false)),
            ("crl-missing", &of("missing.crl"), Some(false)),
            ("crl-broken", &of("broken.crl"), Some(false)),
            ("crl-forged", &of("forged.crl"), Some(false)),
            ("crl-other", &of("other.crl"), Some(false)),
            ("crl-pem", &of("ca.pem.crl"), Some(false)),
            ("crl-file", &[lists(&[&file])], Some(false)),
            ("crl-file-revoked", &[lists(&[&file])], Some(true)),
            ("crl-second", &[lists(&[&dead, &url("ca.crl")])], Some(false)),
            ("crl-second-revoked", &[lists(&[&dead, &url("ca.crl")])], Some(true)),
            ("crl-responder", &[responder(&url("ocsp/ca"))], Some(false)),
        ],
    )?;
    revocation.intermediate("sub", &ca)?;
    revocation.enter("sub", "ca", false)?;
    revocation.intermediate("sub-revoked", &ca)?;
    revocation.enter("sub-revoked", "ca", true)?;
    revocation.intermediate("sub-silent", "")?;
    revocation.publish()?;
    for sub in ["sub", "sub-revoked", "sub-silent"] {
        let name = format!("below-{sub}");
        let extensions = format!("extendedKeyUsage=clientAuth\n{}", lists(&[&url(&format!("{sub}.crl"))]));
        revocation.issue(&name, &extensions, sub)?;
    }
    let mut expected = BTreeMap::from([
        ("crl-good", true),
        ("crl-revoked", false),
        ("crl-none", false),
        ("crl-dead", false),
        ("crl-stale", false),
        ("crl-missing", false),
        ("crl-broken", false),
        ("crl-forged", false),
        ("crl-other", false),
        ("crl-pem", true),
        ("crl-file", true),
        ("crl-file-revoked", false),
        ("crl-second", true),
        ("crl-second-revoked", false),
        ("crl-responder", false),
        ("below-sub", true),
        ("below-sub-revoked", false),
        ("below-sub-silent", false),
    ]);
    check("crl", "certificates and revocation lists", &revocation, &["ssl.crl=true"], &expected)?;
    // Without the setting nobody is asked.
    let asked = revocation.asked();
    expected.values_mut().for_each(|is_let_in| *is_let_in = true);
    check("crl-off", "the same certificates without revocation", &revocation, &[], &expected)?;
    ensure!(revocation.asked() == asked, "somebody was asked all the same");
    Ok(())
}

#[test]
fn a_responder_is_asked_first_and_then_a_list() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let revocation = Revocation::new()?;
    let url = |path: &str| revocation.url(path);
    let list = lists(&[&url("ca.crl")]);
    let dead = responder(&format!("http://127.0.0.1:{}/", free_port()?));
    let ask = |path: &str| responder(&url(path));
    issue(
        &revocation,
        &[
            ("ocsp-good", &[ask("ocsp/ca")], Some(false)),
            ("ocsp-revoked", &[ask("ocsp/ca")], Some(true)),
            ("ocsp-revoked-listed", &[ask("ocsp/ca"), lists(&[&url("other.crl")])], Some(true)),
            ("ocsp-unknown", &[ask("ocsp/ca")], None),
            ("ocsp-unknown-listed", &[ask("ocsp/ca"), list.clone()], None),
            ("ocsp-none", &[], Some(false)),
            ("ocsp-dead", from_ref(&dead), Some(false)),
            ("ocsp-dead-listed", &[dead.clone(), list.clone()], Some(false)),
            ("ocsp-dead-revoked", &[dead.clone(), list.clone()], Some(true)),
            ("ocsp-list", from_ref(&list), Some(false)),
            ("ocsp-list-revoked", from_ref(&list), Some(true)),
            ("ocsp-delegate", &[ask("ocsp/delegate")], Some(false)),
            ("ocsp-delegate-revoked", &[ask("ocsp/delegate")], Some(true)),
            ("ocsp-usurper", &[ask("ocsp/usurper")], Some(false)),
            ("ocsp-forged", &[ask("ocsp/twin")], Some(false)),
            ("ocsp-wrong", &[ask("wrong")], Some(false)),
            ("ocsp-later", &[ask("later")], Some(false)),
            ("ocsp-later-listed", &[ask("later"), list.clone()], Some(false)),
            ("ocsp-missing", &[ask("missing")], Some(false)),
        ],
    )?;
    let expected = BTreeMap::from([
        ("ocsp-good", true),
        ("ocsp-revoked", false),
        ("ocsp-revoked-listed", false),
        ("ocsp-unknown", false),
        ("ocsp-unknown-listed", true),
        ("ocsp-none", false),
        ("ocsp-dead", false),
        ("ocsp-dead-listed", true),
        ("ocsp-dead-revoked", false),
        ("ocsp-list", true),
        ("ocsp-list-revoked", false),
        ("ocsp-delegate", true),
        ("ocsp-delegate-revoked", false),
        ("ocsp-usurper", false),
        ("ocsp-forged", false),
        ("ocsp-wrong", false),
        ("ocsp-later", false),
        ("ocsp-later-listed", true),
        ("ocsp-missing", false),
    ]);
    check("ocsp", "certificates and an OCSP responder", &revocation, &["ssl.ocsp=true"], &expected)?;
    let expected = BTreeMap::from([
        ("ocsp-good", true),
        ("ocsp-revoked", false),
        ("ocsp-list", true),
        ("ocsp-dead", false),
    ]);
    let both = ["ssl.crl=true", "ssl.ocsp=true"];
    check("ocsp-crl", "both settings", &revocation, &both, &expected)
}

/// Whoever is not of the authority makes the server ask nobody: it would be sent anywhere.
#[test]
fn a_stranger_sends_the_server_nowhere() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let revocation = Revocation::new()?;
    let url = |path: &str| revocation.url(path);
    let extensions =
        format!("extendedKeyUsage=clientAuth\n{}{}", lists(&[&url("ca.crl")]), responder(&url("ocsp/ca")));
    revocation.issue("foreign", &extensions, "other")?;
    let expected = BTreeMap::from([("foreign", false)]);
    check("ocsp-stranger", "a client of another authority", &revocation, &["ssl.ocsp=true"], &expected)?;
    ensure!(revocation.asked() == 0, "somebody was asked for a stranger's sake");
    Ok(())
}

fn take_no_part(ensemble: &mut Ensemble, revocation: &Revocation) -> Result<()> {
    let load = Load { sessions: 1, window: 1, ..Load::default() }.start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    let leader = ensemble.leader()?;
    let follower = ensemble.voters().into_iter().find(|at| *at != leader).context("a follower")?;
    let keys = |name: &str| format!("ssl.quorum.keyStore.location={}\n", revocation.certificates.path(name));
    ensemble.stop(follower)?;
    // The reference closes such connections too, and does not say why.
    let ours = ensemble.running().into_iter().find(|at| !ensemble.members()[*at].is_reference());
    ensemble.members()[follower].add_lines(&keys("withdrawn.p12"))?;
    ensemble.launch(follower)?;
    let (member, says) = (&ensemble.members()[ours.context("one of ours")?], "was revoked");
    until(&format!("{member} says {says:?}"), PATIENCE, || Ok(member.log().contains(says).then_some(())))?;
    load.wait_for(WRITES)?;
    ensure!(ensemble.status(follower).is_err(), "a member that was revoked serves");
    ensemble.kill(follower)?;
    ensemble.members()[follower].add_lines(&keys("listed.p12"))?;
    ensemble.bring_back(follower)?;
    load.wait_for(WRITES)?;
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    assert_same(ensemble).map(drop)
}

#[test]
fn a_member_that_was_revoked_takes_no_part() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let revocation = Revocation::new()?;
    let says = lists(&[&revocation.url("ca.crl")]) + &responder(&revocation.url("ocsp/ca"));
    for (name, is_revoked) in [("listed", false), ("withdrawn", true)] {
        let usages = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
        revocation.issue(name, &format!("{usages}{says}"), "ca")?;
        revocation.enter(name, "ca", is_revoked)?;
    }
    revocation.publish()?;
    for (mix, line) in
        mixes("AAO OOA")?.iter().zip(["ssl.quorum.crl=true", "ssl.quorum.ocsp=true"].iter().cycle())
    {
        let mut plan = mix.plan().line("preAllocSize=1024").line("sslQuorum=true").line(line);
        // Without its default mode the reference looks at host names, as ours does.
        plan = plan.property("zookeeper.fips-mode", "false");
        for (which, name) in [("keyStore", "listed.p12"), ("trustStore", "trust.jks")] {
            plan = plan.line(&format!("ssl.quorum.{which}.location={}", revocation.certificates.path(name)));
            plan = plan.line(&format!("ssl.quorum.{which}.password={PASSWORD}"));
        }
        let mut ensemble = Ensemble::start(&plan)?;
        let result = take_no_part(&mut ensemble, &revocation);
        if result.is_err() {
            eprintln!(
                "the logs are in {}",
                ensemble.keep_logs(&format!("revoked-{}", mix.name()))?.display()
            );
        }
        result.with_context(|| format!("mix {mix} with {line}"))?;
    }
    Ok(())
}
