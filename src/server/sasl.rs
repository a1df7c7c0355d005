//! From what the configuration says of SASL to the mechanism that clients are offered.

use std::sync::Arc;

use super::ServerError;
use crate::auth::kerberos::Admits;
use crate::auth::principal::{Naming, Rules};
use crate::auth::sasl::digest_md5::{DigestMd5, PeerLogin, Users};
use crate::auth::sasl::{Login as PeersLogin, Mechanism, Options};
use crate::config::dynamic::Membership;
use crate::config::ensemble::Ensemble;
use crate::config::sasl::{Login, Names, Own, Sasl};
use crate::quorum::PeerAuth;
use crate::tree::SaslRule;

/// What clients are offered.
///
/// # Errors
/// The login configuration, or a rule for names, cannot be used.
pub(super) fn options(config: &Sasl) -> Result<Options, ServerError> {
    if let Some(problem) = &config.problem {
        return Err(ServerError::Login(problem.clone()));
    }
    let naming = naming(&config.names)?;
    let mechanism: Option<Arc<dyn Mechanism>> = match &config.login {
        None => None,
        Some(Login::Digest(users)) => {
            let users = Users::new(users.iter().cloned(), config.super_password.clone());
            Some(Arc::new(DigestMd5::for_clients(users, naming)))
        }
        Some(Login::Kerberos(login)) => {
            Some(Arc::new(super::kerberos::mechanism(login, Admits::Clients(naming))?))
        }
    };
    Ok(Options {
        mechanism,
        super_users: config.super_users.clone(),
        keeps_failed_clients: config.keeps_failed_clients,
    })
}

/// How members prove to each other who they are.
///
/// # Errors
/// The login configuration cannot be used.
pub(super) fn peers(config: &Ensemble, membership: &Membership) -> Result<Option<PeerAuth>, ServerError> {
    if let Some(problem) = &config.peers_problem {
        return Err(ServerError::Login(problem.clone()));
    }
    let Some(peers) = &config.peers else { return Ok(None) };
    let addresses = membership.servers.values().flat_map(|server| &server.addresses);
    let hosts: Vec<_> = addresses.map(|address| address.host.clone()).collect();
    let offer: Arc<dyn Mechanism> = match &peers.server {
        Login::Digest(users) => Arc::new(DigestMd5::for_peers(Users::new(users.iter().cloned(), None))),
        Login::Kerberos(login) => Arc::new(super::kerberos::mechanism(login, Admits::Peers(hosts.clone()))?),
    };
    let login: Arc<dyn PeersLogin> = match &peers.learner {
        Own::Digest(user, password) => Arc::new(PeerLogin { user: user.clone(), password: password.clone() }),
        Own::Kerberos(login) => Arc::new(super::kerberos::login(peers, login, &hosts)?),
    };
    Ok(Some(PeerAuth { offer, login, requires: peers.requires, proves: peers.proves }))
}

/// How names of Kerberos become ids.
///
/// # Errors
/// A rule is wrong.
fn naming(names: &Names) -> Result<Naming, ServerError> {
    let rules = Rules::parse(&names.rules)
        .map_err(|error| ServerError::Login(format!("security.auth_to_local: {error}")))?;
    Ok(Naming {
        rules,
        default_realm: names.default_realm.clone(),
        removes_host: names.removes_host,
        removes_realm: names.removes_realm,
    })
}

/// How ids of the `sasl` scheme count in access control lists.
pub(super) fn rule(config: &Sasl) -> SaslRule {
    if !config.is_scheme {
        return SaslRule::Off;
    }
    // It is asked for with each check for as long as the process lives.
    SaslRule::On { anybody: config.anybody.clone().map(|id| &*id.leak()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: &Sasl) -> ServerError {
        options(config).expect_err("it cannot be used")
    }

    /// The reference ends with the code of an unexpected error.
    #[test]
    fn what_cannot_be_used_stops_the_start() {
        let wrong = Sasl { problem: Some("jaas.conf line 3: nonsense".into()), ..Sasl::default() };
        let error = refusal(&wrong);
        assert_eq!((error.exit_code(), error.to_string().as_str()), (1, "jaas.conf line 3: nonsense"));
        let names = Names { rules: "RULE:[1:$3]".into(), ..Names::default() };
        let error = refusal(&Sasl { names, ..Sasl::default() }).to_string();
        assert!(error.starts_with("security.auth_to_local: RULE:[1:$3]: "), "{error}");
    }

    #[test]
    fn without_a_login_configuration_nothing_is_offered() {
        assert!(options(&Sasl::default()).expect("it is fine").mechanism.is_none());
        let users = Sasl { login: Some(Login::Digest(Vec::new())), ..Sasl::default() };
        assert!(options(&users).expect("it is fine").mechanism.is_some());
        assert_eq!(rule(&Sasl::default()), SaslRule::Off);
        let on = Sasl { is_scheme: true, anybody: Some("x".into()), ..Sasl::default() };
        assert_eq!(rule(&on), SaslRule::On { anybody: Some("x") });
    }
}
