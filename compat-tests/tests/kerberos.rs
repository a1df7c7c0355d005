//! Clients that log in by Kerberos, beside the reference with the same keytab: the same identities, the same failures.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::on_both;
use compat_tests::ensemble::{Ensemble, Load, assert_same, mixes};
use compat_tests::kdc::{AES, Kdc, REALM};
use compat_tests::kerberos::{Realm, SERVICE, client, is_possible, options, told_once_each};
use compat_tests::results::Case;
use compat_tests::server::{Kind, Server, Started};
use compat_tests::{c_client, native, programs};

fn case(name: &str, what: &str) -> Case {
    Case::new(&format!("kerberos-{name}"), &format!("Apache's Java client {REFERENCE}"), what)
}

#[test]
fn identities_are_those_of_the_reference() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let realm = Realm::new()?;
    let alice = format!("alice@{REALM}");
    let variants: [&[(&str, &str)]; 4] = [
        &[],
        &[("zookeeper.kerberos.removeHostFromPrincipal", "true")],
        &[
            ("zookeeper.kerberos.removeHostFromPrincipal", "true"),
            ("zookeeper.kerberos.removeRealmFromPrincipal", "true"),
            ("zookeeper.superUser", "alice"),
        ],
        &[
            ("zookeeper.security.auth_to_local", "RULE:[2:$1_at_$2](hbase_.*)s/example/other/"),
            ("zookeeper.superUser", &alice),
        ],
    ];
    on_both(&case("identities", "who clients are by Kerberos, with and without rules"), |kind| {
        let mut said = String::new();
        for flags in variants {
            let server = Server::start(kind, &options(&realm.kdc, &realm.server, flags))?;
            said.push_str(&format!("{flags:?}\n"));
            realm.logins(&server, &mut said)?;
        }
        Ok(said)
    })
}

#[test]
fn tokens_of_every_kind_are_answered_alike() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let realm = Realm::new()?;
    on_both(&case("tokens", "tokens in and out of order, changed, cut, replayed"), |kind| {
        let server = Server::start(kind, &options(&realm.kdc, &realm.server, &[]))?;
        let port = server.addr().port().to_string();
        let said = client(&realm.kdc, &realm.clients[0].1, SERVICE, "RawTokens", &["localhost", &port])?;
        ensure!(said.contains("whole\n  first -> err 0, token"), "{said}");
        if kind == Kind::Oxkeeper {
            let reasons = ["this is a replay", "the client's token", "a token after the end of the exchange"];
            told_once_each(&server.log(), said.matches("-> err -115").count(), &reasons)?;
        }
        // What stands behind a token is passed over by the JDK alone.
        let (before, rest) = said.split_once("padded\n").context("a padded token")?;
        let (padded, after) = rest.split_once("large\n").context("a large token")?;
        let expected = if kind == Kind::Oxkeeper { "first -> err -115" } else { "first -> err 0" };
        ensure!(padded.contains(expected), "a padded token: {padded}");
        Ok(format!("{before}large\n{after}"))
    })
}

#[test]
fn a_ticket_for_another_service_is_refused() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let realm = Realm::new()?;
    realm.kdc.with_keytab("other/localhost", "other.keytab")?;
    on_both(&case("other-service", "a ticket for another service"), |kind| {
        let server = Server::start(kind, &options(&realm.kdc, &realm.server, &[]))?;
        let args = [&*server.connect_string(), "/node", "Client"];
        let said = client(&realm.kdc, &realm.clients[0].1, "other/localhost", "KerberosLogin", &args)?;
        if kind == Kind::Oxkeeper {
            let log = server.log();
            let why =
                "for \"other/localhost@TEST.REALM\" cannot be decrypted: it is for another service than";
            ensure!(log.contains(why), "the log does not say why:\n{log}");
        }
        Ok(said)
    })
}

#[test]
fn new_keys_count_as_soon_as_they_are_in_the_keytab() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    on_both(&case("new-keys", "the service's keys change while it runs"), |kind| {
        // The keys change, so each side has a key distribution centre of its own.
        let realm = Realm::new()?;
        let server = Server::start(kind, &options(&realm.kdc, &realm.server, &[]))?;
        let mut said = String::new();
        realm.logins(&server, &mut said)?;
        // A keytab elsewhere gets the new keys, so the server's lacks them.
        let newer = realm.kdc.new_keys(SERVICE, AES, "newer.keytab")?;
        let args = [&*server.connect_string(), "/refused", "Client"];
        said += &client(&realm.kdc, &realm.clients[0].1, SERVICE, "KerberosLogin", &args)?;
        if kind == Kind::Oxkeeper {
            let log = server.log();
            ensure!(log.contains("which the keytab lacks"), "the log does not say why:\n{log}");
        }
        let served = realm.kdc.path().join("server.keytab");
        std::fs::rename(&newer, &served).context("replace the keytab")?;
        let args = [&*server.connect_string(), "/again", "Client"];
        said += &client(&realm.kdc, &realm.clients[0].1, SERVICE, "KerberosLogin", &args)?;
        ensure!(said.ends_with('\n') && said.matches("state SaslAuthenticated").count() == 3, "{said}");
        Ok(said)
    })
}

#[test]
fn keys_of_each_encryption_type_are_taken() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    on_both(&case("encryption-types", "tickets of each encryption type"), |kind| {
        let mut said = String::new();
        for encryption in AES.split(',') {
            let realm = Realm::new()?;
            // The only key of the newest version: its tickets are of this type.
            realm.kdc.new_keys(SERVICE, encryption, "server.keytab")?;
            let server = Server::start(kind, &options(&realm.kdc, &realm.server, &[]))?;
            said.push_str(&format!("{encryption}\n"));
            realm.logins(&server, &mut said)?;
        }
        Ok(said)
    })
}

#[test]
fn without_keys_of_its_own_no_server_starts() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let realm = Realm::new()?;
    let other = realm.kdc.with_keytab("other/localhost", "other.keytab")?;
    let principal = format!("{SERVICE}@{REALM}");
    let missing = realm.kdc.jaas("missing.jaas", "Server", &principal, Path::new("/nonexistent/keytab"))?;
    let others = realm.kdc.jaas("others.jaas", "Server", &principal, &other)?;
    on_both(&case("no-keys", "a start without a key of its own"), |kind| {
        let mut said = String::new();
        for (login, why) in [(&missing, "cannot read the keytab"), (&others, "has no key of the principal")] {
            match Server::try_start(kind, &options(&realm.kdc, login, &[]))? {
                Started::Serves(_) => said.push_str("serves\n"),
                Started::Ended(code, log) => {
                    said.push_str(&format!("ended with {code:?}\n"));
                    ensure!(kind != Kind::Oxkeeper || log.contains(why), "the log does not say why:\n{log}");
                }
            }
        }
        Ok(said)
    })
}

/// Members of both kinds that prove to each other who they are (`quorum.auth.*`): each is service and client by turns.
/// All have one name, as all are on one host.
#[test]
fn members_log_in_to_each_other() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    const MEMBER: &str = "zkquorum/127.0.0.1";
    let kdc = Kdc::start()?;
    let keytab = kdc.with_keytab(MEMBER, "quorum.keytab")?;
    let sections = ["QuorumServer", "QuorumLearner"].map(|section| {
        let path = kdc.jaas(section, section, &format!("{MEMBER}@{REALM}"), &keytab)?;
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    });
    let login = kdc.path().join("quorum.jaas");
    std::fs::write(&login, sections.into_iter().collect::<Result<Vec<_>>>()?.concat()).context("write")?;
    for mix in mixes("AAO OOA OOO")? {
        let mut plan = mix.plan().line("preAllocSize=1024");
        for key in ["enableSasl", "learnerRequireSasl", "serverRequireSasl"] {
            plan = plan.line(&format!("quorum.auth.{key}=true"));
        }
        plan = plan.line("quorum.auth.kerberos.servicePrincipal=zkquorum/_HOST");
        for (key, path) in
            [("java.security.auth.login.config", &login), ("java.security.krb5.conf", &kdc.krb5_conf())]
        {
            plan = plan.property(key, path.to_str().context("a path of text")?);
        }
        let mut ensemble = Ensemble::start(&plan)?;
        let result = replace_the_leader(&mut ensemble);
        if result.is_err() {
            let logs = ensemble.keep_logs(&format!("kerberos-{}", mix.name()))?;
            eprintln!("the logs are in {}", logs.display());
        }
        result.with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}

fn replace_the_leader(ensemble: &mut Ensemble) -> Result<()> {
    let load = Load::default().start(&ensemble.addrs(), "/load");
    load.wait_for(50)?;
    for _ in 0..2 {
        let leader = ensemble.leader()?;
        ensemble.kill(leader)?;
        ensemble.wait_for(&load, 50)?;
        ensemble.bring_back(leader)?;
        ensemble.wait_for(&load, 50)?;
    }
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    // The leader at least has heard the others.
    let leader = &ensemble.members()[ensemble.leader()?];
    let says = if leader.is_reference() { "Successfully authenticated" } else { "a server has proven to be" };
    ensure!(leader.log().contains(says), "nobody has logged in to {leader}:\n{}", leader.log());
    assert_same(ensemble).map(drop)
}

/// kazoo's GSSAPI comes from the MIT library, by a package that is compiled where it is installed.
#[test]
fn kazoo_logs_in_with_a_ticket() -> Result<()> {
    if !is_possible()? || !artifacts::available(&["python3", "cc", "krb5-config"])? {
        return Ok(());
    }
    let python = python()?;
    let realm = Realm::new()?;
    let (principal, _) = realm.clients[1];
    let cache = realm.kdc.kinit(principal, &realm.kdc.path().join("client1.keytab"))?;
    let case = Case::new("kerberos-kazoo", "kazoo 2.11.0", "a login by GSSAPI");
    on_both(&case, |kind| {
        let server = Server::start(kind, &options(&realm.kdc, &realm.server, &[]))?;
        let mut script = Command::new(&python);
        script.arg("-u").arg(artifacts::package_dir().join("clients/python/gssapi_login.py"));
        script.arg(format!("localhost:{}", server.addr().port()));
        script.env("KRB5_CONFIG", realm.kdc.krb5_conf()).env("KRB5CCNAME", &cache);
        programs::output(&mut script)
    })
}

/// By GSSAPI of Cyrus SASL, and so of the MIT library.
#[test]
fn the_c_client_logs_in_with_a_ticket() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let Some((who, program)) = c_client::secured()? else { return Ok(()) };
    let realm = Realm::new()?;
    let (principal, _) = realm.clients[0];
    let cache = realm.kdc.kinit(principal, &realm.kdc.path().join("client0.keytab"))?;
    let case = Case::new(
        "kerberos-c",
        &who,
        "by GSSAPI: every operation, session and login through a restart; a client without a ticket",
    );
    on_both(&case, |kind| {
        let options = options(&realm.kdc, &realm.server, &[]);
        let mut server = Server::start(kind, &options.property("zookeeper.extendedTypesEnabled", "true"))?;
        let address = format!("localhost:{}", server.addr().port());
        let client = |cache: &Path| {
            let mut client = Command::new(&program);
            client.env("KRB5_CONFIG", realm.kdc.krb5_conf()).env("KRB5CCNAME", cache);
            client
        };
        let how = ["sasl", "GSSAPI", "localhost", "-", "-"];
        let mut said = native::run_through_a_restart_at(&mut server, client(&cache), &address, &how)?;
        ensure!(said.contains("sasl:alice@TEST.REALM"), "alice is not known:\n{said}");
        said += &native::probe(client(Path::new("/nonexistent")), &address, &how)?;
        Ok(said)
    })
}

/// A Python interpreter that has kazoo with GSSAPI.
fn python() -> Result<PathBuf> {
    const PACKAGES: [&str; 3] = ["kazoo==2.11.0", "pure-sasl==0.6.2", "kerberos==1.3.1"];
    let home = artifacts::cache_dir()?.join("python-kerberos-env");
    let mark = format!("python-kerberos-ready-{:016x}", artifacts::checksum(PACKAGES.concat().as_bytes()));
    artifacts::once(&mark, |_| {
        artifacts::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let mut pip = Command::new(home.join("bin/pip"));
        pip.args(["install", "-q", "--disable-pip-version-check"]).args(PACKAGES);
        artifacts::run(&mut pip).map(drop)
    })?;
    Ok(home.join("bin/python"))
}
