//! Getting tickets, from answers of a real key distribution centre, and logging in with one.

use super::acceptor::{Acceptor, CLOCK_SKEW};
use super::crypto::EncryptionType;
use super::exchange::{Admits, Gssapi};
use super::hex::unhex;
use super::initiator::Initiator;
use super::keytab::{Keytab, ServiceKeys};
use super::keytab_file::KeytabFile;
use super::name::Principal;
use super::testing::{no_random, principal};
use super::tickets::{Answer, Ticket, as_reply, as_request, tgs_reply, tgs_request};
use crate::auth::principal::Naming;
use crate::auth::sasl::{Failure, Initiating, Mechanism, Step};

/// Answers of the MIT library's key distribution centre 1.20 to a client that must prove itself; the principals and
/// their keys were made for this and are gone.
const WANTS_PROOF: &str = include_str!("testdata/as_first.hex");
const FIRST_TICKET: &str = include_str!("testdata/as_rep.hex");
const SERVICE_TICKET: &str = include_str!("testdata/tgs_rep.hex");
const KEYTAB: &str = include_str!("testdata/peers.keytab.hex");
const NONCE: u32 = 7;
const GOT_AT: i64 = 1_795_666_562;

fn client() -> Principal {
    principal("zkquorum/one@TEST.REALM")
}

fn service() -> Principal {
    principal("zkquorum/two@TEST.REALM")
}

fn keys(of: &Principal) -> ServiceKeys {
    Keytab::parse(&unhex(KEYTAB)).and_then(|keytab| keytab.keys_of(of)).expect("it has keys")
}

fn first_answer(reply: &[u8], nonce: u32) -> Result<Answer, String> {
    as_reply(reply, &client(), &keys(&client()), nonce)
}

fn first_ticket() -> Ticket {
    match first_answer(&unhex(FIRST_TICKET), NONCE) {
        Ok(Answer::Granted(ticket)) => ticket,
        other => panic!("a ticket was expected: {other:?}"),
    }
}

fn ticket() -> Ticket {
    tgs_reply(&unhex(SERVICE_TICKET), &first_ticket(), &service(), NONCE).expect("a ticket")
}

#[test]
fn tickets_are_read_from_answers_of_the_mit_library() {
    let wanted = first_answer(&unhex(WANTS_PROOF), NONCE);
    assert!(matches!(wanted, Ok(Answer::WantsProof(EncryptionType::Aes256Sha384))), "{wanted:?}");
    let first = first_ticket();
    assert_eq!((first.client, first.service), (client(), principal("krbtgt/TEST.REALM@TEST.REALM")));
    let ticket = ticket();
    assert_eq!((ticket.client, ticket.service), (client(), service()));
    assert!((GOT_AT..GOT_AT + 90_000).contains(&ticket.ends), "{}", ticket.ends);
}

#[test]
fn answers_to_others_and_damaged_ones_are_refused() {
    let says = |found: Result<Ticket, String>, what: &str| {
        let why = found.expect_err(what);
        assert!(why.contains(what), "{why}");
    };
    let reply = unhex(SERVICE_TICKET);
    says(tgs_reply(&reply, &first_ticket(), &service(), 8), "not to this request");
    says(tgs_reply(&reply, &first_ticket(), &client(), NONCE), "in place of \"zkquorum/one@TEST.REALM\"");
    says(tgs_reply(&unhex(FIRST_TICKET), &first_ticket(), &service(), NONCE), "is malformed");
    says(tgs_reply(&unhex(WANTS_PROOF), &first_ticket(), &service(), NONCE), "refuses with error 25");
    let other = as_reply(&unhex(FIRST_TICKET), &service(), &keys(&service()), NONCE);
    assert!(other.is_err_and(|why| why.contains("for another client")));
    assert!(first_answer(&unhex(FIRST_TICKET), 8).is_err());
    for length in 0..reply.len() {
        assert!(tgs_reply(&reply[..length], &first_ticket(), &service(), NONCE).is_err(), "cut at {length}");
    }
    for index in 0..reply.len() {
        let mut changed = reply.clone();
        changed[index] ^= 1;
        // The ticket itself is for the service to judge; what type a name is of says nothing.
        if let Ok(found) = tgs_reply(&changed, &first_ticket(), &service(), NONCE) {
            let expected = ticket();
            assert_eq!((found.client, found.service, found.ends), (client(), service(), expected.ends));
            assert_eq!(found.session_key, expected.session_key, "byte {index}");
        }
    }
    for length in 0..unhex(WANTS_PROOF).len() {
        assert!(first_answer(&unhex(WANTS_PROOF)[..length], NONCE).is_err());
    }
}

#[test]
fn requests_are_made_with_and_without_proof() {
    let request =
        |proof| as_request(&client(), &keys(&client()), proof, NONCE, GOT_AT * 1_000_000, no_random);
    let plain = request(None).expect("it needs nothing");
    let proven = request(Some(EncryptionType::Aes128Sha1)).expect("it has the key");
    assert!(plain[0] == 0x6a && proven[0] == 0x6a && proven.len() > plain.len() + 40);
    let further = tgs_request(&first_ticket(), &service(), NONCE, GOT_AT * 1_000_000, no_random);
    assert_eq!(further.expect("it has random bytes")[0], 0x6c);
}

fn mechanism(directory: &tempfile::TempDir) -> Gssapi {
    let path = directory.path().join("keytab");
    std::fs::write(&path, unhex(KEYTAB)).expect("it is written");
    let keytab = KeytabFile::open(&path, &service()).expect("it is read");
    let naming = Naming { default_realm: "TEST.REALM".into(), ..Naming::default() };
    Gssapi::new(Acceptor::new(service(), CLOCK_SKEW, no_random), keytab, Admits::Clients(naming), || {
        GOT_AT * 1000
    })
}

fn token(step: Result<Step, Failure>) -> Vec<u8> {
    match step {
        Ok(Step::Challenge(token)) => token,
        other => panic!("a challenge was expected: {other:?}"),
    }
}

#[test]
fn both_sides_meet_with_a_ticket() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut exchange = mechanism(&directory).begin();
    let mut login = Initiator::new(ticket(), GOT_AT * 1_000_000, no_random);
    let first = login.first().expect("it begins").expect("it has a first token");
    let offer = token(exchange.step(&first));
    let choice = login.answer(&offer).expect("it is an offer").expect("it chooses");
    let id = "zkquorum/one@TEST.REALM".to_owned();
    assert_eq!(exchange.step(&choice), Ok(Step::Proven { token: None, authorization_id: id }));
    assert_eq!(login.answer(b""), Ok(None));
    assert!(login.answer(b"").is_err(), "it is over");
}

#[test]
fn a_service_that_could_not_read_the_ticket_proves_nothing() {
    let mut login = Initiator::new(ticket(), GOT_AT * 1_000_000, no_random);
    assert!(login.answer(b"").is_err(), "nothing was said yet");
    for offer in
        [&b""[..], b"hello", &[5, 4, 1, 0xff, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 2, 3, 4]]
    {
        let mut login = Initiator::new(ticket(), GOT_AT * 1_000_000, no_random);
        login.first().expect("it begins");
        assert!(login.answer(offer).is_err());
        assert!(login.answer(offer).is_err(), "it is over");
    }
}
