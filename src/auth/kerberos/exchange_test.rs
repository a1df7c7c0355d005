//! Whole exchanges, with a client and a key distribution centre of the tests.

use proptest::prelude::*;

use super::exchange::Admits;
use super::testing::{CLIENT, Made, gssapi, gssapi_for, key, keytab, service_keytab};
use crate::auth::sasl::{Exchange, Failure, Mechanism, Step};

fn challenge(step: Result<Step, Failure>) -> Vec<u8> {
    match step {
        Ok(Step::Challenge(token)) => token,
        other => panic!("a challenge was expected: {other:?}"),
    }
}

/// Plays the client up to its choice of a layer, and answers what came of it.
fn play(made: &Made, exchange: &mut dyn Exchange, choice: &[u8]) -> Result<Step, Failure> {
    let is_mutual = made.wants & 2 != 0;
    let first = challenge(exchange.step(&made.token()));
    let (mut channel, offer) = if is_mutual {
        let offer = challenge(exchange.step(b""));
        (made.channel(Some(&first)), offer)
    } else {
        (made.channel(None), first)
    };
    assert_eq!(channel.unwrap(&offer).as_deref(), Ok(&[1, 1, 0, 0][..]), "no layer, 65536 bytes");
    exchange.step(&channel.wrap(choice).expect("it wraps"))
}

fn proven() -> Result<Step, Failure> {
    Ok(Step::Proven { token: None, authorization_id: CLIENT.into() })
}

#[test]
fn a_client_with_a_ticket_is_authenticated_with_every_encryption_type() {
    for number in 17..=20 {
        for wants in [0, 2, 2 | 4 | 8] {
            let (gssapi, _directory) = gssapi();
            let made = Made { wants, ..Made::of(number) };
            assert_eq!(play(&made, &mut *gssapi.begin(), &[1, 0, 0, 0]), proven(), "{number}, {wants}");
        }
    }
}

#[test]
fn subkeys_and_numbers_need_not_be_there() {
    for wants in [0, 2, 8] {
        let (gssapi, _directory) = gssapi();
        let made = Made { subkey: None, number: None, starts: None, version: None, wants, ..Made::default() };
        assert_eq!(play(&made, &mut *gssapi.begin(), &[1, 0, 0, 0]), proven());
        // A subkey may be of another type than the session's key.
        let made = Made { subkey: Some(key(19, 8)), microseconds: 2, wants, ..Made::default() };
        assert_eq!(play(&made, &mut *gssapi.begin(), &[1, 0, 0, 0]), proven());
    }
}

#[test]
fn who_the_client_wants_to_act_as_does_not_count() {
    let (gssapi, _directory) = gssapi();
    assert_eq!(play(&Made::default(), &mut *gssapi.begin(), b"\x01\0\0\0bob"), proven());
}

/// CVE-2023-44981: a name without a host must not be a member's.
#[test]
fn members_are_known_by_the_host_in_their_name() {
    let hosts = || Admits::Peers(vec!["one.example.com".into(), "two.example.com".into()]);
    let outcome = |name: &'static str, choice: &[u8]| {
        let (gssapi, _directory) = gssapi_for(hosts());
        let made = Made { client: name, ticket_client: name, ..Made::default() };
        play(&made, &mut *gssapi.begin(), choice)
    };
    let member = "zkquorum/two.example.com@EXAMPLE.COM";
    let proven = Ok(Step::Proven { token: None, authorization_id: member.into() });
    assert_eq!(outcome(member, &[1, 0, 0, 0]), proven);
    assert_eq!(outcome(member, &[&[1, 0, 0, 0], member.as_bytes()].concat()), proven);
    assert!(outcome(member, b"\x01\0\0\0zkquorum/one.example.com@EXAMPLE.COM").is_err(), "as another");
    for name in [
        "zkquorum/three.example.com@EXAMPLE.COM",
        "zkquorum@EXAMPLE.COM",
        "one.example.com@EXAMPLE.COM",
        "zkquorum/one.example.com/two.example.com@EXAMPLE.COM",
        "zkquorum@one.example.com",
    ] {
        let Failure(why) = outcome(name, &[1, 0, 0, 0]).expect_err(name);
        assert!(why.contains("is no member"), "{why}");
    }
}

#[test]
fn a_layer_that_was_not_offered_is_refused() {
    for (number, (choice, why)) in [
        (&[2, 0, 0, 0][..], "layer (0x02)"),
        (&[0, 0, 0, 0], "layer (0x00)"),
        (&[1, 0, 0], "too short"),
        (&[], "too short"),
    ]
    .into_iter()
    .enumerate()
    {
        let (gssapi, _directory) = gssapi();
        let made = Made { microseconds: number as i64, ..Made::default() };
        let Failure(found) = play(&made, &mut *gssapi.begin(), choice).expect_err("it is refused");
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn an_exchange_out_of_order_is_over() {
    let (gssapi, _directory) = gssapi();
    let mut exchange = gssapi.begin();
    let made = Made::default();
    challenge(exchange.step(&made.token()));
    let Failure(why) = exchange.step(&made.token()).expect_err("it has nothing to say");
    assert_eq!(why, "the client sent something where it has nothing to say");
    assert_eq!(exchange.step(b""), Err(Failure("the exchange is over".into())), "also with what was right");

    let mut exchange = gssapi.begin();
    assert!(exchange.step(b"").is_err(), "an empty first token");
    let mut exchange = gssapi.begin();
    let made = Made { microseconds: 9, wants: 0, ..made };
    let mut channel = made.channel(None);
    let offer = challenge(exchange.step(&made.token()));
    assert!(exchange.step(&offer).is_err(), "its own token, sent back");
    let choice = channel.wrap(&[1, 0, 0, 0]).expect("it wraps");
    assert!(exchange.step(&choice).is_err(), "an exchange that failed stays failed");

    let mut exchange = gssapi.begin();
    let made = Made { microseconds: 10, wants: 0, ..made };
    assert_eq!(play(&made, &mut *exchange, &[1, 0, 0, 0]), proven());
    assert!(exchange.step(&choice).is_err(), "it is done");
}

/// The rest of an exchange cannot be recorded and used again: it goes on under a key of the service.
#[test]
fn a_choice_under_the_clients_own_key_is_refused_once_the_service_has_chosen_one() {
    let (gssapi, _directory) = gssapi();
    let made = Made::default();
    let mut exchange = gssapi.begin();
    challenge(exchange.step(&made.token()));
    challenge(exchange.step(b""));
    let choice = made.channel(None).wrap(&[1, 0, 0, 0]).expect("it wraps");
    let Failure(why) = exchange.step(&choice).expect_err("it is of another key");
    assert!(why.contains("under another key"), "{why}");
}

#[test]
fn a_keytab_that_is_replaced_counts_from_the_next_exchange_on() {
    let (gssapi, directory) = gssapi();
    let path = directory.path().join("keytab");
    let replace = |content: &[u8]| {
        let new = directory.path().join("new");
        std::fs::write(&new, content).expect("it is written");
        std::fs::rename(&new, &path).expect("it is renamed");
    };
    let made = |byte: u8, version, microseconds| Made {
        service_key: key(18, byte),
        version: Some(version),
        microseconds,
        ..Made::default()
    };
    let refused = |made: &Made| gssapi.begin().step(&made.token()).is_err();
    assert!(refused(&made(7, 4, 1)), "a new key is not known yet");
    replace(
        &[&service_keytab()[..], &keytab(&[(super::testing::SERVICE, 4, 18, vec![7; 32])])[2..]].concat(),
    );
    assert_eq!(play(&made(7, 4, 2), &mut *gssapi.begin(), &[1, 0, 0, 0]), proven(), "the new key");
    assert_eq!(play(&made(1, 3, 3), &mut *gssapi.begin(), &[1, 0, 0, 0]), proven(), "the old key");
    for damage in [&b"no keytab"[..], b"", &[5, 2]] {
        replace(damage);
        let microseconds = 10 + damage.len() as i64;
        assert_eq!(play(&made(7, 4, microseconds), &mut *gssapi.begin(), &[1, 0, 0, 0]), proven(), "kept");
    }
    std::fs::remove_file(&path).expect("it is removed");
    assert_eq!(play(&made(7, 4, 4), &mut *gssapi.begin(), &[1, 0, 0, 0]), proven(), "without a file");
    replace(&service_keytab());
    assert!(refused(&made(7, 4, 5)), "the key was taken back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The entry for fuzzing, too: no bytes panic, and none but the client's own get further than the first step.
    #[test]
    fn changed_tokens_are_refused(index in 0usize..900, byte: u8, cut in 0usize..900) {
        let (gssapi, _directory) = gssapi();
        let token = Made::default().token();
        let mut changed = token.clone();
        let index = index % changed.len();
        changed[index] = byte;
        changed.truncate(token.len() - cut % 2 * (cut % token.len()));
        let step = gssapi.begin().step(&changed);
        // Before the ticket's sealed part stand the service's name and the version of its key, which are hints.
        const HINTS: usize = 140;
        prop_assert!(
            changed == token || step.is_err() || index < HINTS,
            "byte {index} of {} does not count",
            token.len()
        );
    }

    #[test]
    fn arbitrary_tokens_are_refused(first in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (gssapi, _directory) = gssapi();
        prop_assert!(gssapi.begin().step(&first).is_err());
    }

    #[test]
    fn arbitrary_choices_are_refused(choice in proptest::collection::vec(any::<u8>(), 0..80)) {
        let (gssapi, _directory) = gssapi();
        let mut exchange = gssapi.begin();
        challenge(exchange.step(&Made::default().token()));
        challenge(exchange.step(b""));
        prop_assert!(exchange.step(&choice).is_err());
    }
}
