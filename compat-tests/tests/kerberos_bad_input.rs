//! Tickets that prove nothing, beside the reference with the same keytab: clocks that differ, tickets that have ended or
//! have not begun, tickets for others.

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::REFERENCE;
use compat_tests::clock;
use compat_tests::compare::on_both;
use compat_tests::kdc::{AES, Kdc, REALM};
use compat_tests::kerberos::{Realm, SERVICE, is_possible, options, told_once_each};
use compat_tests::programs;
use compat_tests::results::Case;
use compat_tests::server::{Kind, Server};

const MINUTE: i64 = 60;

/// A client of one key distribution centre, by a clock that is so many seconds ahead.
fn client(realm: &Realm, ahead_s: i64, server: &Server, services: &[&str]) -> Result<String> {
    let (_, login) = realm.clients.first().context("a client")?;
    let properties = [
        format!("-Djava.security.krb5.conf={}", realm.kdc.lenient_conf().display()),
        format!("-Djava.security.auth.login.config={}", login.display()),
    ];
    let properties: Vec<_> = properties.iter().map(String::as_str).collect();
    let port = server.addr().port().to_string();
    let args: Vec<_> = ["localhost", &port].iter().chain(services).copied().collect();
    let mut java = programs::java_command(REFERENCE, "kerberos", "BadTickets", &properties, &args)?;
    programs::output(java.envs(clock::ahead(ahead_s)?))
}

#[test]
fn tickets_out_of_time_or_for_others_are_refused_with_the_reason() -> Result<()> {
    if !is_possible()? || !clock::available()? {
        return Ok(());
    }
    let now = Realm::new()?;
    let past = Realm::of(Kdc::start_at(-60 * MINUTE, "10m")?)?;
    let future = Realm::of(Kdc::start_at(60 * MINUTE, "1d")?)?;
    // One keytab has the keys of three centres, each under a version of its own: 3, 4 and, the newest, by which the
    // reference logs in itself, 5.
    let keytab = now.kdc.path().join("merged.keytab");
    let merged = keytab.to_str().context("a path of text")?;
    for (kdc, newer) in [(&past.kdc, 0), (&future.kdc, 1), (&now.kdc, 2)] {
        for _ in 0..newer {
            kdc.new_keys(SERVICE, AES, "passed-over.keytab")?;
        }
        kdc.new_keys(SERVICE, AES, merged)?;
    }
    std::fs::rename(&keytab, now.kdc.path().join("server.keytab")).context("replace the keytab")?;
    now.kdc.add("zookeeper/elsewhere", AES)?;
    let own = format!("{SERVICE}@{REALM}");
    let elsewhere = format!("zookeeper/elsewhere@{REALM}");
    let case = Case::new(
        "kerberos-tickets",
        &format!("Java {REFERENCE}"),
        "clocks too far apart, tickets that ended or have not begun, tickets for another host",
    );
    on_both(&case, |kind| {
        let server = Server::start(kind, &options(&now.kdc, &now.server, &[]))?;
        let mut said = String::new();
        for (title, realm, ahead, services) in [
            ("in time", &now, 0, &[own.as_str(), &elsewhere][..]),
            ("four minutes behind", &now, -4 * MINUTE, &[&own]),
            ("ten minutes behind", &now, -10 * MINUTE, &[&own]),
            ("ten minutes ahead", &now, 10 * MINUTE, &[&own]),
            ("a ticket that has ended", &past, 0, &[&own]),
            ("a ticket that has not begun", &future, 0, &[&own]),
        ] {
            let answers = client(realm, ahead, &server, services).with_context(|| title.to_owned())?;
            said.push_str(&format!("== {title}\n{answers}"));
        }
        ensure!(said.matches("first -> err 0, token").count() == 2, "two are in time:\n{said}");
        if kind == Kind::Oxkeeper {
            let reasons = [
                "for \"zookeeper/elsewhere@TEST.REALM\" cannot be decrypted: it is for another service",
                "s behind this one, more than the 300 s allowed",
                "s ahead of this one, more than the 300 s allowed",
                "expired",
                "is not valid yet",
            ];
            told_once_each(&server.log(), said.matches("first -> err -115").count(), &reasons)?;
        }
        Ok(said)
    })
}
