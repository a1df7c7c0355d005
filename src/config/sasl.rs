//! How clients prove who they are by SASL, as it was asked for.

use std::path::PathBuf;

use crate::config::krb5::Krb5Conf;
use crate::secret::Secret;

/// The settings of SASL for clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sasl {
    /// Whether `authProvider.*` names the provider of the `sasl` scheme, by which its ids count in access control lists.
    pub is_scheme: bool,
    /// How clients log in; None where no login configuration has the section.
    pub login: Option<Login>,
    /// Why the login configuration cannot be used: then the server does not start.
    pub problem: Option<String>,
    /// The password of the user `super`, instead of the one in the login configuration.
    pub super_password: Option<Secret>,
    /// Ids whose owners are superusers.
    pub super_users: Vec<String>,
    /// Keep connections whose exchange failed.
    pub keeps_failed_clients: bool,
    /// The id in access control lists that every client with an id of the `sasl` scheme matches.
    pub anybody: Option<String>,
    /// How the names of Kerberos become ids.
    pub names: Names,
}

/// How the names of Kerberos become ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The rules of `security.auth_to_local`, as they are written.
    pub rules: String,
    /// The default realm of this machine; empty where none is set.
    pub default_realm: String,
    /// Drop the host.
    pub removes_host: bool,
    /// Drop the realm.
    pub removes_realm: bool,
}

/// A section of a login configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// DIGEST-MD5, with users and their passwords.
    Digest(Vec<(String, Secret)>),
    /// GSSAPI.
    Kerberos(Kerberos),
}

/// How members of an ensemble prove to each other who they are (`quorum.auth.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// How others log in here.
    pub server: Login,
    /// How this server logs in to others.
    pub learner: Own,
    /// What others are called in Kerberos, with `_HOST` for the host (`quorum.auth.kerberos.servicePrincipal`).
    pub service: String,
    /// The realm of that name where it has none, if not that of this server.
    pub service_realm: Option<String>,
    /// Whether others must log in.
    pub requires: bool,
    /// Whether this server logs in.
    pub proves: bool,
}

/// By what this server proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// A name and a password.
    Digest(String, Secret),
    /// A keytab.
    Kerberos(Kerberos),
}

/// What a section says to the JDK's `Krb5LoginModule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kerberos {
    /// The file and the section, for messages.
    pub place: String,
    /// The file with the server's keys; None where the default one is meant.
    pub keytab: Option<PathBuf>,
    /// The server's name, `zookeeper/host@REALM`.
    pub principal: Option<String>,
    /// What the machine's Kerberos configuration says.
    pub machine: Krb5Conf,
    /// All options as they are written, these included.
    pub options: Vec<(String, String)>,
}
