//! From a section of a login configuration with the JDK's `Krb5LoginModule` to the mechanism GSSAPI.

use std::path::Path;
use std::sync::Arc;

use super::ServerError;
use super::tickets::Source;
use crate::auth::kerberos::login::{KerberosLogin, Tickets};
use crate::auth::kerberos::{Acceptor, Admits, CLOCK_SKEW, Gssapi, KeytabFile, Principal};
use crate::clock::{Clock, RealClock};
use crate::config::sasl::{Kerberos, Peers};

/// GSSAPI for the server that `login` says this one is.
///
/// # Errors
/// A sentence with the section, what is wrong, and what to do. The reference starts with some of these mistakes, and
/// then nobody gets in.
pub(super) fn mechanism(login: &Kerberos, admits: Admits) -> Result<Gssapi, ServerError> {
    let place = &login.place;
    if !is_true(login, "storeKey") {
        return Err(ServerError::Login(format!(
            "{place}: a server needs its keys to accept others; set storeKey=true"
        )));
    }
    let (principal, keytab) = own_keys(login).map_err(ServerError::Login)?;
    // The reference takes it apart at the slash, and fails with each client where there is none.
    if principal.components().len() < 2 {
        return Err(ServerError::Login(format!(
            "{place}: principal={principal} has no host; others ask for service/HOST@REALM, HOST as they know it"
        )));
    }
    tracing::info!(%principal, keys = %keytab.current().described(), "others log in by Kerberos");
    let acceptor = Acceptor::new(principal, login.machine.clock_skew.unwrap_or(CLOCK_SKEW), random);
    Ok(Gssapi::new(acceptor, keytab, admits, wall))
}

/// How this server logs in to other members, on `hosts`, with tickets that a thread gets and renews.
///
/// # Errors
/// As [`mechanism`]; or no thread can be started.
pub(super) fn login(peers: &Peers, login: &Kerberos, hosts: &[String]) -> Result<KerberosLogin, ServerError> {
    let (client, keytab) = own_keys(login).map_err(ServerError::Login)?;
    let realm = client.realm().to_owned();
    let kdcs = login.machine.kdcs.iter().filter(|(of, _)| *of == realm).map(|(_, address)| address.clone());
    let kdcs: Vec<_> = kdcs.collect();
    if kdcs.is_empty() {
        return Err(ServerError::Login(format!(
            "{}: krb5.conf names no kdc for the realm {realm}, and none is looked for elsewhere; add kdc = HOST to its \
             block under [realms]",
            login.place
        )));
    }
    let tickets = Arc::new(Tickets::default());
    let service = peers.service.clone();
    let realm = peers.service_realm.clone().unwrap_or(realm);
    let made = KerberosLogin { tickets: Arc::clone(&tickets), service, realm, clock: wall, random };
    for host in hosts {
        let service = made.service_on(host).map_err(|error| {
            ServerError::Login(format!("quorum.auth.kerberos.servicePrincipal={}: {error}", peers.service))
        })?;
        tickets.want(&service);
    }
    Source { client, keytab, kdcs, random }.keep(&tickets)?;
    Ok(made)
}

/// Who this server is, and its keys.
fn own_keys(login: &Kerberos) -> Result<(Principal, KeytabFile), String> {
    let place = &login.place;
    if !is_true(login, "useKeyTab") {
        return Err(format!("{place}: a server has its keys in a keytab; set useKeyTab=true"));
    }
    let name = login.principal.as_deref().ok_or_else(|| {
        format!(
            "{place}: it names no principal; set principal=\"SERVICE/HOST@REALM\", HOST as others know it"
        )
    })?;
    let principal = Principal::parse(name, login.machine.default_realm.as_deref())
        .map_err(|error| format!("{place}: principal=\"{name}\": {error}"))?;
    let keytab = login.keytab.as_deref().and_then(Path::to_str).ok_or_else(|| {
        format!("{place}: it names no keytab; set keyTab=\"FILE\", which has the keys of {principal}")
    })?;
    let keytab = match keytab.split_at_checked(5) {
        Some((scheme, path)) if scheme.eq_ignore_ascii_case("FILE:") => path,
        _ => keytab,
    };
    let keytab = KeytabFile::open(Path::new(keytab), &principal)
        .map_err(|error| format!("{place}: keyTab: {error}"))?;
    Ok((principal, keytab))
}

fn wall() -> i64 {
    RealClock.wall_ms()
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
    use crate::config::krb5::Krb5Conf;

    fn section(principal: Option<&str>, keytab: Option<&str>, flags: &[&str]) -> Kerberos {
        Kerberos {
            place: "jaas.conf: section Server".into(),
            keytab: keytab.map(Into::into),
            principal: principal.map(Into::into),
            machine: Krb5Conf::default(),
            options: flags.iter().map(|flag| ((*flag).into(), "true".into())).collect(),
        }
    }

    #[test]
    fn what_a_section_lacks_is_named() {
        let both = ["useKeyTab", "storeKey"];
        for (login, says) in [
            (section(Some("zookeeper/h@R"), Some("/nope"), &["storeKey"]), "set useKeyTab=true"),
            (section(Some("zookeeper/h@R"), Some("/nope"), &["useKeyTab"]), "set storeKey=true"),
            (section(None, Some("/nope"), &both), "it names no principal"),
            (section(Some("zookeeper/h"), Some("/nope"), &both), "it has no realm"),
            (section(Some("zookeeper/h@R"), None, &both), "it names no keytab"),
            (
                section(Some("zookeeper/h@R"), Some("file:/nope/kt"), &both),
                "keyTab: /nope/kt: cannot read the keytab",
            ),
        ] {
            let error = mechanism(&login, Admits::Peers(Vec::new())).expect_err(says).to_string();
            assert!(error.starts_with("jaas.conf: section Server: ") && error.contains(says), "{error}");
        }
    }
}
