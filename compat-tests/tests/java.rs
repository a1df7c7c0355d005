//! Apache's own Java clients, run against both servers; every answer, stat, error and event compared.

use anyhow::Result;
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::side_by_side;
use compat_tests::programs;
use compat_tests::results::Case;
use compat_tests::seat;
use compat_tests::server::Options;
use compat_tests::skip::skip;

/// The digest of `super:secret`.
const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

fn options() -> Options {
    Options::default()
        .tick_time_ms(500)
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.enforceQuota", "true")
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER)
        .property("znode.container.checkIntervalMs", "3600000")
}

fn check(name: &str, what: &str, options: &Options, sections: &[&str]) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let who = format!("Apache's Java client {REFERENCE}");
    side_by_side(&Case::new(&format!("java-{name}"), &who, what), options, |server| {
        let address = server.connect_string();
        let mut args = vec![address.as_str()];
        args.extend(sections);
        programs::java(REFERENCE, "api", "Main", &[], &args)
    })
}

#[test]
fn nodes_and_their_stats() -> Result<()> {
    check("nodes", "nodes of every mode and their stats", &options(), &["nodes", "extras"])
}

#[test]
fn path_rules() -> Result<()> {
    check("paths", "path rules", &options(), &["paths"])
}

#[test]
fn acls_and_identities() -> Result<()> {
    check("acls", "ACLs and identities", &options(), &["acls"])
}

#[test]
fn transactions() -> Result<()> {
    check("multi", "transactions", &options(), &["multi"])
}

#[test]
fn watches_of_every_kind() -> Result<()> {
    check("watches", "watches of every kind", &options(), &["watches"])
}

#[test]
fn reconnecting_catches_up() -> Result<()> {
    check("reconnect", "reconnecting catches up on watches", &options(), &["reconnect"])
}

#[test]
fn sessions_expire_move_and_refuse() -> Result<()> {
    check("sessions", "sessions expire, move and are refused", &options(), &["sessions"])
}

#[test]
fn quotas_that_are_enforced() -> Result<()> {
    check("quotas", "quotas that are enforced", &options(), &["quotas"])
}

#[test]
fn quotas_that_only_warn() -> Result<()> {
    check(
        "quotas-soft",
        "quotas that only warn",
        &options().property("zookeeper.enforceQuota", "false"),
        &["quotas"],
    )
}

#[test]
fn containers_and_lifetimes() -> Result<()> {
    check(
        "lifetimes",
        "container and TTL nodes go",
        &options().property("znode.container.checkIntervalMs", "300"),
        &["lifetimes"],
    )
}

#[test]
fn everything_on_one_server() -> Result<()> {
    check("all", "everything on one server", &options(), &[])
}

#[test]
fn without_extended_types() -> Result<()> {
    let plain = Options::default()
        .tick_time_ms(500)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER);
    check("plain", "without extended types", &plain, &["nodes", "multi", "quotas", "extras"])
}

/// Oxkeeper refuses to be a member that can be reconfigured.
fn is_alone() -> Result<bool> {
    Ok(seat::wanted()?.is_none())
}

#[test]
fn with_reconfiguration_enabled() -> Result<()> {
    if !is_alone()? {
        skip("members of an Oxkeeper ensemble cannot be reconfigured");
        return Ok(());
    }
    check("reconfig", "with reconfiguration enabled", &options().line("reconfigEnabled=true"), &["reconfig"])
}

#[test]
fn with_acls_switched_off() -> Result<()> {
    let options = options().property("zookeeper.skipACL", "yes");
    let what = "with ACLs switched off";
    if is_alone()? {
        let options = options.line("reconfigEnabled=true");
        return check("skip-acl", what, &options, &["acls", "multi", "reconfig"]);
    }
    check("skip-acl", what, &options, &["acls", "multi"])
}

/// The oldest client still about: no op it sends is newer than 3.4.
#[test]
fn the_client_of_3_4() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let case = Case::new("java-3.4", "Apache's Java client 3.4.14", "every operation of 3.4, watches");
    side_by_side(&case, &options(), |server| {
        programs::java("3.4.14", "old", "OldClient", &[], &[&server.connect_string()])
    })
}
