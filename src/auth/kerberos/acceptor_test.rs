//! What a first token must be, each check alone.

use super::acceptor::{Acceptor, CLOCK_SKEW};
use super::hex::unhex;
use super::keytab::Keytab;
use super::testing::{Made, NOW, SERVICE, key, no_random, principal, service_keytab};
use crate::auth::sasl::Failure;

fn acceptor() -> Acceptor {
    Acceptor::new(principal(SERVICE), CLOCK_SKEW, no_random)
}

fn accepted_by(acceptor: &Acceptor, token: &[u8], now: i64) -> Result<String, String> {
    let keytab = Keytab::parse(&service_keytab()).expect("a keytab");
    let keys = keytab.keys_of(&principal(SERVICE)).expect("it has keys");
    let accepted = acceptor.accept(token, &keys, now * 1000);
    accepted.map(|accepted| accepted.client.to_string()).map_err(|Failure(why)| why)
}

fn accepted(made: &Made) -> Result<String, String> {
    accepted_by(&acceptor(), &made.token(), NOW)
}

/// The failure names the check.
fn refused(made: &Made, why: &str) {
    let found = accepted(made).expect_err(why);
    assert!(found.contains(why), "{found:?} does not say {why:?}");
}

#[test]
fn the_client_is_who_the_ticket_says() {
    assert_eq!(accepted(&Made::default()), Ok("alice/desk@EXAMPLE.COM".into()));
    let escaped = Made { client: "a\\@b@OTHER", ticket_client: "a\\@b@OTHER", ..Made::default() };
    assert_eq!(accepted(&escaped), Ok("a\\@b@OTHER".into()));
}

/// The first tokens of two clients with a ticket of MIT's key distribution centre 1.20, and the service's keytab. The
/// service, the realm and their keys were made for this and are gone.
#[test]
fn tokens_of_the_mit_library_and_of_the_jdk_are_taken() {
    const MADE_AT: i64 = 1_795_665_788;
    let service = principal("zookeeper/localhost@TEST.REALM");
    let keytab = Keytab::parse(&unhex(include_str!("testdata/service.keytab.hex"))).expect("a keytab");
    let keys = keytab.keys_of(&service).expect("it has keys");
    for (token, is_mutual) in
        [(include_str!("testdata/mit.token.hex"), true), (include_str!("testdata/jdk.token.hex"), false)]
    {
        let acceptor = Acceptor::new(service.clone(), CLOCK_SKEW, no_random);
        let accepted = acceptor.accept(&unhex(token), &keys, MADE_AT * 1000).expect("it is taken");
        assert_eq!(accepted.client.to_string(), "alice@TEST.REALM");
        assert_eq!(accepted.token.is_some(), is_mutual);
        let later = Acceptor::new(service.clone(), CLOCK_SKEW, no_random);
        let Failure(why) =
            later.accept(&unhex(token), &keys, (MADE_AT + 400) * 1000).expect_err("it is late");
        assert!(why.contains("behind this one"), "{why}");
    }
}

#[test]
fn a_ticket_is_tried_with_the_services_own_keys_whatever_it_names() {
    let alias = Made { service: "zookeeper/alias@EXAMPLE.COM", ..Made::default() };
    assert!(accepted(&alias).is_ok(), "an alias with the same key, as for the JDK");
    let other = Made { service: "hbase/host@EXAMPLE.COM", service_key: key(18, 9), ..Made::default() };
    refused(
        &other,
        "ticket for \"hbase/host@EXAMPLE.COM\" cannot be decrypted: it is for another service than zookeeper/host",
    );
}

#[test]
fn versions_of_keys_are_hints() {
    for version in [None, Some(0), Some(3), Some(4)] {
        assert!(accepted(&Made { version, ..Made::default() }).is_ok(), "{version:?}");
    }
    let newer = Made { version: Some(4), service_key: key(18, 9), ..Made::default() };
    refused(&newer, "it is under version 4 of the key, which the keytab lacks (3:aes");
    let same = Made { service_key: key(18, 9), ..Made::default() };
    refused(&same, "it was changed, or the keytab's key is not the key distribution centre's");
}

#[test]
fn weak_and_unknown_encryption_types_are_refused_by_name() {
    for (claims, why) in [
        (23, "encrypted with rc4-hmac (23), which is not served: give the service AES keys"),
        (3, "des-cbc (3)"),
        (16, "des3-cbc-sha1 (16)"),
        (99, "encryption type 99"),
        (-1, "encryption type -1"),
    ] {
        refused(&Made { claims: Some(claims), ..Made::default() }, why);
    }
    refused(&Made { claims: Some(17), ..Made::default() }, "cannot be decrypted");
    refused(
        &Made { session_kind: 23, ..Made::default() },
        "session key is of rc4-hmac (23), which is not served",
    );
    refused(&Made { session_kind: 17, ..Made::default() }, "session key has a wrong length");
    let keytab = super::testing::keytab(&[(SERVICE, 3, 17, vec![1; 16])]);
    let keys = Keytab::parse(&keytab).and_then(|keytab| keytab.keys_of(&principal(SERVICE)));
    let found = acceptor().accept(&Made::default().token(), &keys.expect("it has a key"), NOW * 1000);
    let Failure(why) = found.expect_err("no such key");
    assert!(why.contains("aes256-cts-hmac-sha1-96 (18), of which the keytab has no key"), "{why}");
}

#[test]
fn times_may_be_five_minutes_off_and_no_more() {
    for (time, why) in [(NOW + 301, "301 s ahead of this one"), (NOW - 301, "301 s behind this one")] {
        refused(&Made { time, ..Made::default() }, why);
    }
    for time in [NOW + 300, NOW - 300] {
        assert!(accepted(&Made { time, ..Made::default() }).is_ok());
    }
    assert!(accepted(&Made { ends: NOW - 300, ..Made::default() }).is_ok());
    refused(&Made { ends: NOW - 301, ..Made::default() }, "expired 301 s ago");
    assert!(accepted(&Made { starts: Some(NOW + 300), ..Made::default() }).is_ok());
    refused(&Made { starts: Some(NOW + 301), ..Made::default() }, "not valid yet");
    refused(&Made { flags: 1 << 24, ..Made::default() }, "not valid yet");
}

#[test]
fn an_authenticator_must_be_of_the_tickets_client_and_key() {
    let other = Made { client: "mallory@EXAMPLE.COM", ..Made::default() };
    refused(
        &other,
        "the ticket is of \"alice/desk@EXAMPLE.COM\", but the authenticator of \"mallory@EXAMPLE.COM\"",
    );
    refused(
        &Made { client: "alice/desk@OTHER", ..Made::default() },
        "but the authenticator of \"alice/desk@OTHER\"",
    );
    refused(
        &Made { authenticator_key: key(18, 9), ..Made::default() },
        "was not made with its ticket's session key",
    );
    refused(
        &Made { authenticator_key: key(17, 2), ..Made::default() },
        "was not made with its ticket's session key",
    );
    refused(&Made { checksum: false, ..Made::default() }, "the authenticator has no checksum");
    refused(
        &Made { microseconds: 1_000_000, ..Made::default() },
        "microseconds has a value that is not possible",
    );
    refused(&Made { options: 1 << 30, ..Made::default() }, "user-to-user");
}

#[test]
fn a_token_is_taken_once() {
    let acceptor = acceptor();
    let token = Made::default().token();
    assert!(accepted_by(&acceptor, &token, NOW).is_ok());
    let again = accepted_by(&acceptor, &token, NOW + 1).expect_err("a replay");
    assert!(again.contains("this is a replay"), "{again}");
    let next = Made { microseconds: 2, ..Made::default() };
    assert!(accepted_by(&acceptor, &next.token(), NOW).is_ok());
}

#[test]
fn a_token_longer_than_any_ticket_is_not_looked_at() {
    let found = accepted_by(&acceptor(), &vec![0x60; 70 * 1024], NOW).expect_err("it is too long");
    assert!(found.contains("71680 bytes"), "{found}");
}

/// However deep somebody nests.
#[test]
fn deep_nesting_is_no_deeper_than_the_message() {
    let mut nested = Vec::new();
    for _ in 0..200 {
        nested = super::der::sequence(&[nested]);
    }
    assert!(accepted_by(&acceptor(), &super::gss::ap_req_token(&nested), NOW).is_err());
}
