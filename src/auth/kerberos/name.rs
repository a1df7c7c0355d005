//! Names of principals: components and a realm (RFC 4120 sections 6.1 and 6.2).

use std::fmt;

use super::der::{DerError, Reader, element, field, integer, sequence, tag};

/// Types of names (RFC 4120 section 6.2).
const PERSON: i64 = 1;
const SERVICE: i64 = 2;

/// Components that a name may have. Real ones have one or two.
const COMPONENTS_MAX: usize = 16;

/// A principal: `zookeeper/host.example.com@EXAMPLE.COM`. Names are the same by their components and realm; the type
/// that a message gives with a name is a hint and does not count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    components: Vec<String>,
    realm: String,
}

impl Principal {
    /// Reads a name as configurations have it. Before `/`, `@` and itself, a backslash takes their meaning away.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn parse(text: &str, default_realm: Option<&str>) -> Result<Self, String> {
        let mut components = vec![String::new()];
        let mut realm = None;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let (literal, is_escaped) = match character {
                '\\' => (characters.next().ok_or("it ends with a backslash")?, true),
                other => (other, false),
            };
            match (literal, is_escaped, &mut realm) {
                ('@', false, None) => realm = Some(String::new()),
                ('@', false, Some(_)) => return Err("it has two realms".to_owned()),
                ('/', false, None) => components.push(String::new()),
                (_, _, Some(realm)) => realm.push(literal),
                (_, _, None) => components.last_mut().ok_or("it is empty")?.push(literal),
            }
        }
        let realm = match (realm, default_realm) {
            (Some(realm), _) => realm,
            (None, Some(realm)) => realm.to_owned(),
            (None, None) => {
                return Err("it has no realm, and there is no default_realm; write NAME@REALM".to_owned());
            }
        };
        Self::of(components, realm).ok_or_else(|| "a part of it is empty".to_owned())
    }

    /// None when a part is empty, or there are too many of them. A realm has neither `/` nor `:` (as in the JDK).
    pub(super) fn of(components: Vec<String>, realm: String) -> Option<Self> {
        let is_well_formed = (1..=COMPONENTS_MAX).contains(&components.len())
            && components.iter().all(|component| !component.is_empty())
            && !realm.is_empty()
            && !realm.contains(['/', ':', '\0']);
        is_well_formed.then_some(Self { components, realm })
    }

    /// The components.
    #[must_use]
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// The realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Reads a `PrincipalName` that belongs to a realm.
    pub(super) fn read(names: &mut Reader<'_>, realm: &str, what: &'static str) -> Result<Self, DerError> {
        let mut name = names.sequence(what)?;
        name.field(0, what)?.integer_32(what)?;
        let mut parts = name.field(1, what)?.sequence(what)?;
        name.end(what)?;
        let mut components = Vec::new();
        while !parts.is_empty() {
            if components.len() == COMPONENTS_MAX {
                return Err(DerError::Value(what));
            }
            components.push(parts.text(what)?.to_owned());
        }
        Self::of(components, realm.to_owned()).ok_or(DerError::Value(what))
    }

    /// Writes the `PrincipalName`, with the type of a person's or of a service's name.
    pub(super) fn write(&self) -> Vec<u8> {
        let parts: Vec<u8> = self
            .components
            .iter()
            .flat_map(|component| element(tag::GENERAL_STRING, component.as_bytes()))
            .collect();
        let kind = if self.components.len() > 1 { SERVICE } else { PERSON };
        sequence(&[field(0, &integer(kind)), field(1, &element(tag::SEQUENCE, &parts))])
    }
}

/// As the JDK prints it (`sun.security.krb5.PrincipalName`): of what has a meaning, only `@` is escaped.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, component) in self.components.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            f.write_str(&component.replace('@', "\\@"))?;
        }
        write!(f, "@{}", self.realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        Principal::parse(text, Some("DEFAULT")).map(|principal| principal.to_string())
    }

    #[test]
    fn names_are_read_as_configurations_have_them() {
        assert_eq!(
            parsed("zookeeper/host.example.com@EXAMPLE"),
            Ok("zookeeper/host.example.com@EXAMPLE".into())
        );
        assert_eq!(parsed("alice"), Ok("alice@DEFAULT".into()));
        assert_eq!(parsed("a\\@b@R"), Ok("a\\@b@R".into()));
        assert_eq!(
            Principal::parse("a\\/b@R", None).map(|name| name.components().to_vec()),
            Ok(vec!["a/b".into()])
        );
        for bad in ["", "@R", "a/@R", "a@", "a@b@c", "a\\", "a@b/c", "a@b:c"] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        assert!(Principal::parse("alice", None).is_err());
    }

    #[test]
    fn a_name_comes_back_from_its_message() {
        let name = Principal::parse("zookeeper/host@R", None).expect("a name");
        assert_eq!(Principal::read(&mut Reader::new(&name.write()), "R", "it"), Ok(name));
        let long = Principal { components: vec!["a".into(); 17], realm: "R".into() };
        assert!(Principal::read(&mut Reader::new(&long.write()), "R", "it").is_err());
    }
}
