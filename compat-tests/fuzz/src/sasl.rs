//! Tokens of DIGEST-MD5, to a server and from one. No input panics, takes memory out of proportion, or proves anything:
//! the password is one that no input knows.
//!
//! The first byte tells who is spoken to, zero bytes part the tokens, and `NONCE` stands for the nonce of the challenge.

use oxkeeper::auth::principal::Naming;
use oxkeeper::auth::sasl::digest_md5::{DigestMd5, PeerLogin, Users};
use oxkeeper::auth::sasl::{Login, Mechanism, Step};
use oxkeeper::secret::Secret;

use jute_fuzz::peak_bytes;

const WORST_FACTOR: usize = 64;
const SLACK_BYTES: usize = 64 << 10;
const PASSWORD: &str = "6f1ed002ab5595859014ebf0951522d9";

/// Takes `input` as what the other side says.
pub fn sasl(input: &[u8]) {
    let Some((selector, said)) = input.split_first() else { return };
    let tokens: Vec<_> = said.split(|byte| *byte == 0).take(8).collect();
    let password = Secret::from(PASSWORD);
    let peak = peak_bytes(|| match selector & 1 {
        0 => {
            let users = Users::new([("bob".to_owned(), password.clone())], None);
            let offer = match selector & 2 {
                0 => DigestMd5::for_clients(users, Naming::default()),
                _ => DigestMd5::for_peers(users),
            };
            let mut exchange = offer.begin();
            let mut nonce = Vec::new();
            for token in &tokens {
                match exchange.step(&with_nonce(token, &nonce)) {
                    Ok(Step::Challenge(challenge)) => nonce = nonce_in(&challenge),
                    Ok(Step::Proven { .. }) => panic!("{} proves something", String::from_utf8_lossy(token)),
                    Err(failure) => assert!(!failure.0.contains(PASSWORD)),
                }
            }
        }
        _ => {
            let login = PeerLogin { user: "bob".into(), password: password.clone() };
            let mut answering = login.begin("host");
            for token in &tokens {
                match answering.answer(token) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{} proves something", String::from_utf8_lossy(token)),
                    Err(failure) => assert!(!failure.0.contains(PASSWORD)),
                }
            }
        }
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
}

fn nonce_in(challenge: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(challenge);
    let rest = text.split_once("nonce=\"").map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default().into()
}

fn with_nonce(token: &[u8], nonce: &[u8]) -> Vec<u8> {
    match token.windows(5).position(|window| window == b"NONCE") {
        Some(at) => [&token[..at], nonce, &token[at + 5..]].concat(),
        None => token.to_vec(),
    }
}
