//! Access control lists: what is accepted as one, and the permission check (reference:
//! `PrepRequestProcessor.fixupACL`, `ZooKeeperServer.checkACL`).

use std::collections::HashSet;

use jute::Code;
use jute::records::data::{Acl, Id};

use super::identities::{FEW, Identities, IdentitiesRef, Identity};
use super::{ip, x500};

pub use super::identities::encoded_bytes;

/// Permission bits.
pub mod perms {
    /// Read data and children.
    pub const READ: i32 = 1;
    /// Set data.
    pub const WRITE: i32 = 2;
    /// Create a child.
    pub const CREATE: i32 = 4;
    /// Delete a child.
    pub const DELETE: i32 = 8;
    /// Set the access control list.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// Which schemes take part in checks.
#[derive(Clone, Copy, Debug)]
pub struct AclRules {
    /// `skipACL=yes`: everything is allowed.
    pub skip: bool,
    /// Whether `digest` is switched on.
    pub digest: bool,
    /// Whether `key` is switched on.
    pub key: bool,
    /// Whether and how `sasl` takes part.
    pub sasl: SaslRule,
    /// Whether `x509` is switched on.
    pub x509: bool,
}

/// How the `sasl` scheme takes part in checks (reference: `SASLAuthenticationProvider`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaslRule {
    /// It has no provider.
    #[default]
    Off,
    /// An id matches itself, and `super` matches every id.
    On {
        /// The id that every client with an id of this scheme matches (`letAnySaslUserDoX`).
        anybody: Option<&'static str>,
    },
}

impl Default for AclRules {
    fn default() -> Self {
        Self { skip: false, digest: true, key: false, sasl: SaslRule::Off, x509: false }
    }
}

/// Whether `list` lets a connection with `identities` do any of `wanted`. Entries and identities do not
/// multiply.
#[must_use]
pub fn permits<'a>(
    list: &[Acl],
    wanted: i32,
    identities: impl Into<IdentitiesRef<'a>>,
    rules: AclRules,
) -> bool {
    let mut identities = identities.into();
    if rules.skip || list.is_empty() || identities.is_super() {
        return true;
    }
    let set: Identities;
    if let IdentitiesRef::List(all) = identities
        && all.len() > FEW
        && list.len() > FEW
    {
        set = all.into();
        identities = (&set).into();
    }
    list.iter().filter(|acl| acl.perms & wanted != 0).any(|acl| {
        let (scheme, id) = (acl.id.scheme.as_deref().unwrap_or(""), acl.id.id.as_deref().unwrap_or(""));
        match scheme {
            "world" => id == "anyone",
            "digest" => rules.digest && identities.contains(scheme, id),
            "ip" => identities.has_address_in(id),
            "key" => rules.key && acl.id.id.is_some() && identities.contains(scheme, id),
            "sasl" => match rules.sasl {
                SaslRule::Off => false,
                SaslRule::On { anybody } => {
                    identities.contains(scheme, id)
                        || identities.contains(scheme, "super")
                        || anybody == Some(id) && identities.has_one_of(scheme)
                }
            },
            "x509" => rules.x509 && acl.id.id.is_some() && identities.contains(scheme, id),
            _ => false,
        }
    })
}

/// What `auth` entries may expand to: entries times identities, of which a client may have any number.
/// Snapshots are read with a bound that such lists must not pass.
pub const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// Turns the list of a request into the one that is stored (reference: `PrepRequestProcessor.fixupACL`).
///
/// # Errors
/// `INVALID_ACL` for what the reference does not accept. `MARSHALLING_ERROR` for nulls in places where
/// it does not look out for them.
pub fn fix_up<'a>(
    acl: Option<Vec<Acl>>,
    identities: impl Into<IdentitiesRef<'a>>,
    rules: AclRules,
) -> Result<Vec<Acl>, Code> {
    let identities = identities.into();
    let identities_bytes = identities.encoded_bytes();
    let asked = without_duplicates(acl.unwrap_or_default())?;
    if asked.is_empty() {
        return Err(Code::INVALID_ACL);
    }
    let mut stored = Vec::with_capacity(asked.len());
    let mut expanded_bytes = 0;
    for acl in asked {
        let Some(scheme) = acl.id.scheme.as_deref() else { return Err(Code::INVALID_ACL) };
        match (scheme, acl.id.id.as_deref()) {
            ("world" | "ip", None) => return Err(Code::MARSHALLING_ERROR),
            ("digest", None) if rules.digest => return Err(Code::MARSHALLING_ERROR),
            // The reference writes this null to its log, and does not survive it.
            ("key", None) if rules.key => return Err(Code::MARSHALLING_ERROR),
            ("sasl", None) if rules.sasl != SaslRule::Off => return Err(Code::MARSHALLING_ERROR),
            ("x509", None) if rules.x509 => return Err(Code::MARSHALLING_ERROR),
            ("world", Some("anyone")) => stored.push(acl),
            ("auth", _) => {
                let before = stored.len();
                expanded_bytes += identities_bytes;
                if expanded_bytes > EXPANDED_BYTES_MAX {
                    return Err(Code::INVALID_ACL);
                }
                identities.for_each(|identity| {
                    if is_authenticated(identity, rules) {
                        let (scheme, id) = (Some(identity.scheme.clone()), Some(identity.id.clone()));
                        stored.push(Acl { perms: acl.perms, id: Id { scheme, id } });
                    }
                });
                if stored.len() == before {
                    return Err(Code::INVALID_ACL);
                }
            }
            ("digest", Some(id)) if rules.digest && is_digest_id(id) => stored.push(acl),
            ("ip", Some(id)) if ip::Range::parse(id).is_some() => stored.push(acl),
            ("key", Some(_)) if rules.key => stored.push(acl),
            ("sasl", Some(id)) if rules.sasl != SaslRule::Off && is_principal(id) => stored.push(acl),
            ("x509", Some(id)) if rules.x509 && x500::is_name(id) => stored.push(acl),
            _ => return Err(Code::INVALID_ACL),
        }
    }
    Ok(stored)
}

type Seen<T> = HashSet<T, foldhash::fast::RandomState>;

/// Each entry once, in order. The reference compares an entry with those before it field by field and
/// stumbles over a null of its own where all fields before that one are equal.
fn without_duplicates(mut asked: Vec<Acl>) -> Result<Vec<Acl>, Code> {
    if asked.len() < 2 {
        return Ok(asked);
    }
    let has_nulls = asked.iter().any(|acl| acl.id.scheme.is_none() || acl.id.id.is_none());
    // What earlier entries have in the first fields, and in all.
    let mut perms = Seen::default();
    let mut schemes = Seen::default();
    let mut whole = Seen::with_capacity_and_hasher(asked.len(), Default::default());
    let mut is_new = Vec::with_capacity(asked.len());
    for acl in &asked {
        let (scheme, id) = (acl.id.scheme.as_deref(), acl.id.id.as_deref());
        if has_nulls {
            let is_new_here = perms.insert(acl.perms);
            let is_new_there = schemes.insert((acl.perms, scheme));
            match (scheme, id) {
                (None, _) if !is_new_here => return Err(Code::MARSHALLING_ERROR),
                (Some(_), None) if !is_new_there => return Err(Code::MARSHALLING_ERROR),
                _ => {}
            }
        }
        is_new.push(scheme.is_none() || id.is_none() || whole.insert(acl));
    }
    let mut is_new = is_new.into_iter();
    asked.retain(|_| is_new.next().unwrap_or(false));
    Ok(asked)
}

/// What a list takes in a record.
#[must_use]
pub fn list_bytes(list: &[Acl]) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    4 + list.iter().map(|acl| 12 + text(&acl.id.scheme) + text(&acl.id.id)).sum::<usize>()
}

/// Two parts between colons, counted as Java's `split` does: empty parts at the end do not count.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// Whether this can be a name of Kerberos: it has no `@`, or one, and before that at most one slash (reference:
/// `KerberosName`).
#[must_use]
pub fn is_principal(name: &str) -> bool {
    match name.split_once('@') {
        None => true,
        Some((local, realm)) => !realm.contains(['/', '@']) && local.matches('/').count() < 2,
    }
}

fn is_authenticated(identity: &Identity, rules: AclRules) -> bool {
    match identity.scheme.as_str() {
        "digest" => rules.digest,
        "key" => rules.key,
        "sasl" => rules.sasl != SaslRule::Off,
        "x509" => rules.x509,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
    }

    #[test]
    fn auth_expands_to_the_authenticated_identities_only() {
        let rules = AclRules::default();
        let me = [identity("ip", "127.0.0.1"), identity("digest", "u:h")];
        let fixed = fix_up(Some(vec![acl(1, "auth", "")]), &me, rules);
        assert_eq!(fixed, Ok(vec![acl(1, "digest", "u:h")]));
        assert_eq!(fix_up(Some(vec![acl(1, "auth", "")]), &me[..1], rules), Err(Code::INVALID_ACL));
        assert_eq!(fix_up(Some(vec![]), &me, rules), Err(Code::INVALID_ACL));
        assert_eq!(fix_up(Some(vec![acl(1, "digest", "u:")]), &me, rules), Err(Code::INVALID_ACL));
        assert_eq!(fix_up(Some(vec![acl(1, "nope", "x")]), &me, rules), Err(Code::INVALID_ACL));
    }

    const SASL: AclRules = AclRules {
        skip: false,
        digest: true,
        key: false,
        sasl: SaslRule::On { anybody: Some("all") },
        x509: false,
    };

    /// What the reference answers, with and without its `SASLAuthenticationProvider`.
    #[test]
    fn ids_of_sasl_are_names_of_kerberos() {
        for (id, is_one) in [
            ("bob", true),
            ("", true),
            ("a/b/c", true),
            ("bob@X", true),
            ("a/b@X", true),
            ("a@b@c", false),
            ("a/b/c@X", false),
            ("a@b/c", false),
        ] {
            let list = vec![acl(1, "sasl", id)];
            let expected = if is_one { Ok(list.clone()) } else { Err(Code::INVALID_ACL) };
            assert_eq!(fix_up(Some(list.clone()), &[], SASL), expected, "{id}");
            assert_eq!(fix_up(Some(list), &[], AclRules::default()), Err(Code::INVALID_ACL), "{id}");
        }
        let null = Acl { perms: 1, id: Id { scheme: Some("sasl".into()), id: None } };
        assert_eq!(fix_up(Some(vec![null.clone()]), &[], SASL), Err(Code::MARSHALLING_ERROR));
        assert_eq!(fix_up(Some(vec![null]), &[], AclRules::default()), Err(Code::INVALID_ACL));
        let me = [identity("sasl", "bob")];
        let auth = || Some(vec![acl(1, "auth", "")]);
        assert_eq!(fix_up(auth(), &me, SASL), Ok(vec![acl(1, "sasl", "bob")]));
        assert_eq!(fix_up(auth(), &me, AclRules::default()), Err(Code::INVALID_ACL));
    }

    #[test]
    fn an_id_of_sasl_matches_itself_and_super_matches_every_one() {
        let may = |entry: &str, id: &str, rules| {
            permits(&[acl(1, "sasl", entry)], 1, &[identity("ip", "127.0.0.1"), identity("sasl", id)], rules)
        };
        assert!(may("bob", "bob", SASL) && !may("bob", "alice", SASL));
        assert!(may("bob", "super", SASL) && !may("super", "bob", SASL));
        assert!(may("all", "bob", SASL), "letAnySaslUserDoX");
        assert!(!permits(&[acl(1, "sasl", "all")], 1, &[identity("digest", "u:h")], SASL));
        assert!(!may("bob", "bob", AclRules::default()), "without a provider");
        let nobody_else = AclRules { sasl: SaslRule::On { anybody: None }, ..SASL };
        assert!(may("bob", "bob", nobody_else) && !may("all", "bob", nobody_else));
    }

    /// The differential run sent `ip` with a null id; the reference had followed the null and answered
    /// MARSHALLINGERROR where INVALIDACL was expected.
    #[test]
    fn a_null_is_a_marshalling_error_only_where_the_reference_follows_it() {
        let fix = |list: &[(Option<&str>, Option<&str>)]| {
            let entry = |(scheme, id): &(Option<&str>, Option<&str>)| Acl {
                perms: 1,
                id: Id { scheme: scheme.map(str::to_owned), id: id.map(str::to_owned) },
            };
            fix_up(Some(list.iter().map(entry).collect()), &[], AclRules::default())
        };
        for scheme in ["world", "ip", "digest"] {
            assert_eq!(fix(&[(Some(scheme), None)]), Err(Code::MARSHALLING_ERROR), "{scheme}");
        }
        assert_eq!(fix(&[(Some("nope"), None)]), Err(Code::INVALID_ACL));
        assert_eq!(fix(&[(None, None)]), Err(Code::INVALID_ACL));
        // Compared with an earlier entry of equal permissions, a null is followed before it is judged.
        assert_eq!(fix(&[(None, None), (None, None)]), Err(Code::MARSHALLING_ERROR));
        assert_eq!(fix(&[(Some("nope"), Some("x")), (None, None)]), Err(Code::MARSHALLING_ERROR));
        assert_eq!(fix(&[(None, None), (Some("world"), Some("anyone"))]), Err(Code::INVALID_ACL));
    }

    /// The reference's `key` scheme takes every id but a null, which ends the reference.
    #[test]
    fn the_key_scheme_takes_part_where_it_has_a_provider() {
        let rules = AclRules { key: true, ..AclRules::default() };
        let me = [identity("ip", "127.0.0.1"), identity("key", "")];
        let null = Acl { perms: 1, id: Id { scheme: Some("key".into()), id: None } };
        assert_eq!(fix_up(Some(vec![null.clone()]), &[], rules), Err(Code::MARSHALLING_ERROR));
        for list in [vec![acl(1, "key", "")], vec![acl(1, "key", "anything")]] {
            assert_eq!(fix_up(Some(list.clone()), &[], rules), Ok(list.clone()));
            assert_eq!(fix_up(Some(list), &[], AclRules::default()), Err(Code::INVALID_ACL));
        }
        assert_eq!(fix_up(Some(vec![acl(1, "auth", "")]), &me, rules), Ok(vec![acl(1, "key", "")]));
        assert!(permits(&[acl(1, "key", "")], 1, &me, rules));
        assert!(!permits(&[acl(1, "key", "")], 1, &me, AclRules::default()));
        assert!(!permits(&[acl(1, "key", "x"), null], 1, &me, rules));
    }

    /// Entries and identities multiply: a frame of a megabyte came to gigabytes, and already a list of some
    /// megabytes made a snapshot that could not be loaded.
    #[test]
    fn auth_entries_expand_to_a_bounded_list() {
        let rules = AclRules::default();
        let me: Vec<_> = (0..2000).map(|n| identity("digest", &format!("user-{n}:hash"))).collect();
        let of = |count| (0..count).map(|perms| acl(perms, "auth", "")).collect::<Vec<_>>();
        assert_eq!(fix_up(Some(of(10)), &me, rules).map(|list| list.len()), Ok(20_000));
        assert_eq!(fix_up(Some(of(50_000)), &me, rules), Err(Code::INVALID_ACL));
    }

    /// Each entry with a null was compared with all before it: three such requests stopped all writes for
    /// ten seconds. With that, this test takes minutes.
    #[test]
    fn a_long_list_of_nulls_is_judged_in_one_pass() {
        let null = |perms| Acl { perms, id: Id { scheme: None, id: None } };
        let without_id = |perms| Acl { perms, id: Id { scheme: Some("digest".into()), id: None } };
        let rules = AclRules::default();
        let fix = |list: Vec<Acl>| fix_up(Some(list), &[], rules);
        assert_eq!(fix((0..200_000).map(null).collect()), Err(Code::INVALID_ACL));
        assert_eq!(fix((0..200_000).map(without_id).collect()), Err(Code::MARSHALLING_ERROR));
    }

    /// A read of a list of 18,000 entries by a connection with 9,000 identities took 0.84 seconds. With that,
    /// this test takes minutes.
    #[test]
    fn entries_and_identities_do_not_multiply() {
        const MANY: usize = 100_000;
        let list: Vec<_> = (0..MANY).map(|n| acl(1, "digest", &format!("theirs-{n}"))).collect();
        let mine: Vec<_> = (0..MANY).map(|n| identity("digest", &format!("mine-{n}"))).collect();
        assert!(!permits(&list, 1, &mine, AclRules::default()));
        let mut mine: Identities = mine.into_iter().collect();
        assert!(!permits(&list, 1, &mine, AclRules::default()));
        mine.insert(identity("digest", "theirs-7"));
        assert!(permits(&list, 1, &mine, AclRules::default()));
    }

    /// Each entry against all before it, as the reference goes about it.
    fn without_duplicates_to_the_reference(asked: Vec<Acl>) -> Result<Vec<Acl>, Code> {
        let mut kept: Vec<Acl> = Vec::new();
        'entries: for acl in asked {
            let has_null = acl.id.scheme.is_none() || acl.id.id.is_none();
            for earlier in kept.iter().filter(|earlier| earlier.perms == acl.perms) {
                if has_null {
                    let scheme = acl.id.scheme.as_ref().ok_or(Code::MARSHALLING_ERROR)?;
                    if earlier.id.scheme.as_ref() == Some(scheme) {
                        return Err(Code::MARSHALLING_ERROR);
                    }
                } else if *earlier == acl {
                    continue 'entries;
                }
            }
            kept.push(acl);
        }
        Ok(kept)
    }

    /// As the reference goes about it.
    fn permits_to_the_reference(list: &[Acl], wanted: i32, mine: &[Identity], rules: AclRules) -> bool {
        let matches = |scheme: &str, mine: &str, id: &str| match scheme {
            "digest" => rules.digest && mine == id,
            "ip" => ip::Range::parse(id)
                .is_some_and(|range| ip::Address::parse(mine).is_some_and(|mine| range.contains(mine))),
            _ => false,
        };
        rules.skip
            || list.is_empty()
            || mine.iter().any(|mine| mine.scheme == "super")
            || list.iter().filter(|acl| acl.perms & wanted != 0).any(|acl| {
                let (scheme, id) = (acl.id.scheme.as_deref().unwrap(), acl.id.id.as_deref().unwrap());
                let is_mine = |mine: &Identity| mine.scheme == scheme && matches(scheme, &mine.id, id);
                (scheme == "world" && id == "anyone") || mine.iter().any(is_mine)
            })
    }

    proptest::proptest! {
        #[test]
        fn duplicates_and_nulls_are_found_as_by_a_look_at_all_entries_before(
            list in proptest::collection::vec((1..4i32, 0..4usize, 0..6usize), 0..12),
        ) {
            let entry = |(perms, scheme, id): (i32, usize, usize)| {
                let scheme = ["world", "digest", "ip"].get(scheme).map(|name| (*name).to_owned());
                let id = ["a", "b", "c", "d", "e"].get(id).map(|name| (*name).to_owned());
                Acl { perms, id: Id { scheme, id } }
            };
            let list: Vec<_> = list.into_iter().map(entry).collect();
            assert_eq!(without_duplicates(list.clone()), without_duplicates_to_the_reference(list));
        }

        #[test]
        fn many_identities_are_permitted_what_few_are(
            list in proptest::collection::vec((1..4i32, 0..4usize, 0..40usize), 0..30),
            mine in proptest::collection::vec((0..4usize, 0..40usize), 0..30),
            others in 0..30usize,
            wanted in 1..4i32,
            rules in (proptest::bool::weighted(0.1), proptest::bool::weighted(0.8)),
        ) {
            let rules = AclRules { skip: rules.0, digest: rules.1, ..AclRules::default() };
            let named = |scheme: usize, n: usize| match scheme {
                0 => ("world".to_owned(), ["anyone", "else"][usize::from(n > 0)].to_owned()),
                1 => ("digest".into(), n.to_string()),
                2 => ("ip".into(), format!("10.0.{}.{}", n % 2, n / 2)),
                _ => ("other".into(), n.to_string()),
            };
            let list: Vec<_> = list.into_iter().map(|(perms, scheme, n)| {
                let (scheme, id) = named(scheme, n);
                let id = if scheme == "ip" && n % 3 == 0 { id + "/24" } else { id };
                acl(perms, &scheme, &id)
            }).collect();
            let mut mine: Vec<_> = mine.into_iter().map(|(scheme, n)| {
                let (scheme, id) = named(scheme, n);
                Identity { scheme, id }
            }).collect();
            mine.extend((0..others).map(|n| identity("digest", &format!("other-{n}"))));
            let expected = permits_to_the_reference(&list, wanted, &mine, rules);
            assert_eq!(permits(&list, wanted, &mine, rules), expected);
            assert_eq!(permits(&list, wanted, &Identities::from(mine.as_slice()), rules), expected);
            let mut one_by_one = Identities::default();
            mine.iter().for_each(|mine| { one_by_one.insert(mine.clone()); });
            assert_eq!(permits(&list, wanted, &one_by_one, rules), expected);
        }
    }
}
