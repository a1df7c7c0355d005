//! Names of Kerberos and what they are called here: from `hbase/rs1.example.com@EXAMPLE.COM` to the id that access
//! control lists hold (reference: `KerberosName`, `SaslServerCallbackHandler.handleAuthorizeCallback`).
//!
//! Pure: the realm and the rules are given.

mod rule;

pub use self::rule::{BadRule, Rules};

use super::sasl::Failure;
use crate::logging::shown;
use crate::tree::acl::is_principal;

/// A name in its parts: `service/host@REALM`. A name without `@` has no parts, whatever else is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The first part, or all of a name without `@`.
    pub service: &'a str,
    /// The part behind the first slash.
    pub host: Option<&'a str>,
    /// The part behind the `@`.
    pub realm: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// Takes a name apart. None when it has an `@` and is no name of Kerberos: `a@b@c`, `a/b/c@D`.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        if !is_principal(name) {
            return None;
        }
        let Some((local, realm)) = name.split_once('@') else {
            return Some(Self { service: name, host: None, realm: None });
        };
        let (service, host) = match local.split_once('/') {
            Some((service, host)) => (service, Some(host)),
            None => (local, None),
        };
        Some(Self { service, host, realm: Some(realm) })
    }
}

/// How names that a mechanism has proven become ids.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// `security.auth_to_local`.
    pub rules: Rules,
    /// The realm of which `DEFAULT` takes names; empty where none is known.
    pub default_realm: String,
    /// `kerberos.removeHostFromPrincipal`.
    pub removes_host: bool,
    /// `kerberos.removeRealmFromPrincipal`.
    pub removes_realm: bool,
}

impl Naming {
    /// The authorization id of a client that has proven to be `proven` and asked to be taken for `asked`, which is
    /// `proven` where it asked for nothing. What it asks for does not count, as in the reference.
    ///
    /// # Errors
    /// No name of Kerberos; or no rule gives it a short name and the client wants another. The reference believes the
    /// client then.
    pub fn authorize(&self, proven: &str, asked: &str) -> Result<String, Failure> {
        let name = Name::parse(proven)
            .ok_or_else(|| Failure(format!("{} is no name of Kerberos", shown(proven))))?;
        let mut id = match self.rules.short_name(&name, &self.default_realm) {
            Ok(short) => short,
            Err(_) if asked == proven => return Ok(asked.to_owned()),
            Err(why) => {
                return Err(Failure(format!("{} must not act as {}: {why}", shown(proven), shown(asked))));
            }
        };
        if let Some(host) = name.host.filter(|_| !self.removes_host) {
            id = format!("{id}/{host}");
        }
        if let Some(realm) = name.realm.filter(|_| !self.removes_realm) {
            id = format!("{id}@{realm}");
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(rules: &str) -> Naming {
        Naming {
            rules: Rules::parse(rules).expect("rules"),
            default_realm: "EXAMPLE.COM".into(),
            removes_host: false,
            removes_realm: false,
        }
    }

    #[test]
    fn a_name_has_at_most_three_parts() {
        let parts = |name: &'static str| {
            Name::parse(name).map(|name| (name.service, name.host.unwrap_or("-"), name.realm.unwrap_or("-")))
        };
        assert_eq!(parts("bob"), Some(("bob", "-", "-")));
        assert_eq!(parts("a/b/c"), Some(("a/b/c", "-", "-")), "without @ nothing is taken apart");
        assert_eq!(parts("bob@X"), Some(("bob", "-", "X")));
        assert_eq!(parts("hbase/rs1@X"), Some(("hbase", "rs1", "X")));
        assert_eq!(parts("/@"), Some(("", "", "")));
        for name in ["a@b@c", "a/b/c@D", "a@b/c", "@@"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    /// ZooKeeper CVE-2023-44981, where a name without a host passed for one whose host was checked: it stays another id.
    #[test]
    fn host_and_realm_stay_unless_they_are_to_be_removed() {
        let mut naming = naming("DEFAULT");
        let id = |naming: &Naming| naming.authorize("hbase/rs1@EXAMPLE.COM", "hbase/rs1@EXAMPLE.COM");
        assert_eq!(id(&naming).as_deref(), Ok("hbase/rs1@EXAMPLE.COM"));
        naming.removes_host = true;
        assert_eq!(id(&naming).as_deref(), Ok("hbase@EXAMPLE.COM"));
        naming.removes_realm = true;
        assert_eq!(id(&naming).as_deref(), Ok("hbase"));
        naming.removes_host = false;
        assert_eq!(id(&naming).as_deref(), Ok("hbase/rs1"));
        assert_eq!(naming.authorize("bob", "bob").as_deref(), Ok("bob"));
    }

    /// The reference takes whatever the client asked for when no rule applies, `super` for instance.
    #[test]
    fn who_has_no_short_name_is_nobody_else() {
        let naming = naming("DEFAULT");
        assert_eq!(naming.authorize("bob@OTHER", "bob@OTHER").as_deref(), Ok("bob@OTHER"));
        let failure = naming.authorize("bob@OTHER", "super").expect_err("nobody acts as super");
        assert!(failure.0.contains("bob@OTHER") && failure.0.contains("super"), "{failure}");
        assert_eq!(naming.authorize("bob@EXAMPLE.COM", "super").as_deref(), Ok("bob@EXAMPLE.COM"));
        assert!(naming.authorize("a@b@c", "a@b@c").is_err());
    }
}
