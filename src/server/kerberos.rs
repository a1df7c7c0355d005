//! From a section of a login configuration with the JDK's `Krb5LoginModule` to the mechanism GSSAPI.

use std::path::Path;

use crate::auth::kerberos::{Acceptor, CLOCK_SKEW, Gssapi, KeytabFile, Principal};
use crate::auth::principal::Naming;
use crate::clock::{Clock, RealClock};
use crate::config::sasl::Kerberos;

/// GSSAPI for the server that `login` says this one is.
///
/// # Errors
/// A sentence with the section, what is wrong, and what to do. The reference starts with some of these mistakes, and
/// then no client gets in.
pub(super) fn mechanism(login: &Kerberos, naming: Naming) -> Result<Gssapi, String> {
    let place = &login.place;
    for (option, why) in [
        ("useKeyTab", "a server has its keys in a keytab"),
        ("storeKey", "a server needs its keys to accept clients"),
    ] {
        if !is_true(login, option) {
            return Err(format!("{place}: {why}; set {option}=true"));
        }
    }
    let name = login.principal.as_deref().ok_or_else(|| {
        format!(
            "{place}: it names no principal; set principal=\"zookeeper/HOST@REALM\", HOST as clients know it"
        )
    })?;
    let realm = Some(naming.default_realm.as_str()).filter(|realm| !realm.is_empty());
    let principal =
        Principal::parse(name, realm).map_err(|error| format!("{place}: principal=\"{name}\": {error}"))?;
    // The reference takes it apart at the slash, and fails with each client where there is none.
    if principal.components().len() < 2 {
        return Err(format!(
            "{place}: principal=\"{name}\" has no host; clients ask for zookeeper/HOST@REALM, HOST as they know it"
        ));
    }
    let keytab = login.keytab.as_deref().and_then(Path::to_str).ok_or_else(|| {
        format!("{place}: it names no keytab; set keyTab=\"FILE\", which has the keys of {principal}")
    })?;
    let keytab = match keytab.split_at_checked(5) {
        Some((scheme, path)) if scheme.eq_ignore_ascii_case("FILE:") => path,
        _ => keytab,
    };
    let keytab = KeytabFile::open(Path::new(keytab), &principal)
        .map_err(|error| format!("{place}: keyTab: {error}"))?;
    tracing::info!(
        %principal,
        keys = %keytab.current().described(),
        "clients are authenticated by Kerberos"
    );
    let acceptor = Acceptor::new(principal, login.clock_skew.unwrap_or(CLOCK_SKEW), random);
    Ok(Gssapi::new(acceptor, keytab, naming, || RealClock.wall_ms()))
}

fn random(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| error.to_string())
}

fn is_true(login: &Kerberos, option: &str) -> bool {
    login.options.iter().any(|(name, value)| name == option && value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(principal: Option<&str>, keytab: Option<&str>, flags: &[&str]) -> Kerberos {
        Kerberos {
            place: "jaas.conf: section Server".into(),
            keytab: keytab.map(Into::into),
            principal: principal.map(Into::into),
            clock_skew: None,
            options: flags.iter().map(|flag| ((*flag).into(), "true".into())).collect(),
        }
    }

    #[test]
    fn what_a_section_lacks_is_named() {
        let both = ["useKeyTab", "storeKey"];
        for (login, says) in [
            (login(Some("zookeeper/h@R"), Some("/nope"), &["storeKey"]), "set useKeyTab=true"),
            (login(Some("zookeeper/h@R"), Some("/nope"), &["useKeyTab"]), "set storeKey=true"),
            (login(None, Some("/nope"), &both), "it names no principal"),
            (login(Some("zookeeper@R"), Some("/nope"), &both), "has no host"),
            (login(Some("zookeeper/h"), Some("/nope"), &both), "it has no realm"),
            (login(Some("zookeeper/h@R"), None, &both), "it names no keytab"),
            (
                login(Some("zookeeper/h@R"), Some("file:/nope/kt"), &both),
                "keyTab: /nope/kt: cannot read the keytab",
            ),
        ] {
            let error = mechanism(&login, Naming::default()).expect_err(says);
            assert!(error.starts_with("jaas.conf: section Server: ") && error.contains(says), "{error}");
        }
    }
}
