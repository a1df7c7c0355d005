//! DIGEST-MD5 (RFC 2831), as the JDK's `DigestMD5Server` and `DigestMD5Client` speak it: the first authentication only,
//! and nothing of the connection is protected by it (`qop=auth`).

mod client;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use self::client::PeerLogin;

use super::directives::{Directives, quoted};
use super::{Exchange, Failure, Mechanism, Step};
use crate::auth::principal::Naming;
use crate::logging::shown;
use crate::secret::Secret;

/// The longest message that is taken from a client, in bytes (`DigestMD5Base.MAX_RESPONSE_LENGTH`).
const RESPONSE_BYTES_MAX: usize = 4096;
/// What servers of an ensemble offer each other.
const PEERS_SERVICE: &str = "zookeeper-quorum/zk-quorum-sasl-md5";
/// What a nonce is made of, in bytes; in base64 it has 40 characters.
const NONCE_BYTES: usize = 30;

/// What a client may send. `nc` is not among them: the JDK looks for the count under this name, which the RFC gives it
/// in its grammar only, and takes any `nc`.
const OF_CLIENTS: &[&str] = &[
    "username",
    "realm",
    "nonce",
    "cnonce",
    "nonce-count",
    "qop",
    "digest-uri",
    "response",
    "maxbuf",
    "charset",
    "cipher",
    "authzid",
];
/// Who may log in, and by which password.
#[derive(Clone, Debug, Default)]
pub struct Users {
    passwords: HashMap<String, Secret>,
    super_password: Option<Secret>,
}

impl Users {
    /// These users. If there is a `super_password`, it is the one of the user `super`, who must be among them
    /// (reference: `SaslServerCallbackHandler`).
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = (String, Secret)>, super_password: Option<Secret>) -> Self {
        Self { passwords: users.into_iter().collect(), super_password }
    }

    fn password_of(&self, user: &str) -> Option<&Secret> {
        let password = self.passwords.get(user)?;
        Some(self.super_password.as_ref().filter(|_| user == "super").unwrap_or(password))
    }
}

/// DIGEST-MD5 as a server offers it.
#[derive(Debug)]
pub struct DigestMd5(Arc<Offer>);

#[derive(Debug)]
struct Offer {
    /// `zookeeper/zk-sasl-md5`: the protocol and the server's name, of which the second is the realm too.
    service: &'static str,
    users: Users,
    authorizes: Authorizes,
}

/// Who may act as whom.
#[derive(Debug)]
enum Authorizes {
    /// A client has the id that its name gives it, whatever it asks for.
    Clients(Naming),
    /// A server acts as itself (reference: `SaslQuorumServerCallbackHandler`).
    Peers,
}

impl DigestMd5 {
    /// For clients (reference: `ZooKeeperSaslServer`).
    #[must_use]
    pub fn for_clients(users: Users, naming: Naming) -> Self {
        let authorizes = Authorizes::Clients(naming);
        Self(Arc::new(Offer { service: "zookeeper/zk-sasl-md5", users, authorizes }))
    }

    /// For other servers of the ensemble (reference: `SaslQuorumAuthServer`).
    #[must_use]
    pub fn for_peers(users: Users) -> Self {
        Self(Arc::new(Offer { service: PEERS_SERVICE, users, authorizes: Authorizes::Peers }))
    }
}

impl Mechanism for DigestMd5 {
    fn begin(&self) -> Box<dyn Exchange> {
        Box::new(Server { offer: Arc::clone(&self.0), state: State::New })
    }
}

/// The accepting side.
struct Server {
    offer: Arc<Offer>,
    state: State,
}

enum State {
    New,
    /// A challenge with this nonce is out.
    Challenged(String),
    Over,
}

impl Exchange for Server {
    fn step(&mut self, token: &[u8]) -> Result<Step, Failure> {
        let state = std::mem::replace(&mut self.state, State::Over);
        if token.len() > RESPONSE_BYTES_MAX {
            return Err(Failure(format!(
                "a token of {} bytes; DIGEST-MD5 takes at most {RESPONSE_BYTES_MAX}",
                token.len()
            )));
        }
        match state {
            // What a client says first, to go on from an earlier authentication, is passed over.
            State::New => {
                let nonce = fresh_nonce()?;
                let mut challenge = b"realm=".to_vec();
                challenge.extend(quoted(self.offer.realm().as_bytes()));
                let rest = format!(",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
                challenge.extend(rest.as_bytes());
                self.state = State::Challenged(nonce);
                Ok(Step::Challenge(challenge))
            }
            State::Challenged(nonce) => self.offer.judge(token, &nonce),
            State::Over => Err(Failure("a token after the end of the exchange".into())),
        }
    }
}

impl Offer {
    fn realm(&self) -> &'static str {
        self.service.split_once('/').map_or(self.service, |(_, name)| name)
    }

    /// Judges the client's answer to the challenge with this nonce.
    fn judge(&self, message: &[u8], nonce: &str) -> Result<Step, Failure> {
        let message = Directives::parse(message, OF_CLIENTS, &[])?;
        // Everything is read as UTF-8, whether the client says that it is or not.
        let text = |name: &str| message.get(name).map(String::from_utf8_lossy);
        let wants =
            |name: &str| message.get(name).ok_or_else(|| Failure(format!("the response has no {name}")));
        let wrong = |name: &str| {
            Failure(format!("the response has a wrong {name}: {}", shown(&text(name).unwrap_or_default())))
        };
        if message.get("charset").is_some_and(|charset| charset != b"utf-8") {
            return Err(wrong("charset"));
        }
        if text("maxbuf").is_some_and(|text| text.parse::<i32>().is_err()) {
            return Err(wrong("maxbuf"));
        }
        let user = String::from_utf8_lossy(wants("username")?);
        if message.get("realm").unwrap_or_default() != self.realm().as_bytes() {
            return Err(wrong("realm"));
        }
        if wants("nonce")? != nonce.as_bytes() {
            return Err(Failure("the response is to another challenge".into()));
        }
        let cnonce = wants("cnonce")?;
        if text("nonce-count").is_some_and(|text| i32::from_str_radix(&text, 16) != Ok(1)) {
            return Err(wrong("nonce-count"));
        }
        if message.get("qop").is_some_and(|qop| qop != b"auth") {
            return Err(wrong("qop"));
        }
        let uri = text("digest-uri").filter(|uri| uri.eq_ignore_ascii_case(self.service));
        let uri = uri.ok_or_else(|| wrong("digest-uri"))?;
        let response = wants("response")?;
        let authzid = message.get("authzid");
        let known = self.users.password_of(&user);
        // Who is not known takes as long as who is.
        let unknown = Secret::new([]);
        let proof = Proof {
            user: &user,
            realm: self.realm(),
            password: known.unwrap_or(&unknown),
            nonce: nonce.as_bytes(),
            cnonce,
            authzid,
            uri: &uri,
        };
        let is_right = bool::from(proof.value("AUTHENTICATE").as_bytes().ct_eq(response));
        if known.is_none() {
            return Err(Failure(format!("there is no user {}", shown(&user))));
        }
        if !is_right {
            return Err(Failure(format!("the response of user {} is wrong", shown(&user))));
        }
        let asked = text("authzid").unwrap_or_else(|| user.clone());
        let authorization_id = self.authorizes.id_of(&user, &asked)?;
        let token = format!("rspauth={}", proof.value("")).into_bytes();
        Ok(Step::Proven { token: Some(token), authorization_id })
    }
}

impl Authorizes {
    fn id_of(&self, proven: &str, asked: &str) -> Result<String, Failure> {
        match self {
            Self::Clients(naming) => naming.authorize(proven, asked),
            Self::Peers if proven == asked => Ok(proven.to_owned()),
            Self::Peers => Err(Failure(format!("{} must not act as {}", shown(proven), shown(asked)))),
        }
    }
}

fn fresh_nonce() -> Result<String, Failure> {
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure(format!("the system gives no random bytes: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

/// What both sides know, and prove to each other that they do.
struct Proof<'a> {
    user: &'a str,
    realm: &'a str,
    password: &'a Secret,
    nonce: &'a [u8],
    cnonce: &'a [u8],
    authzid: Option<&'a [u8]>,
    uri: &'a str,
}

/// The client's first use of a nonce, and the only one there is.
const COUNT: &[u8] = b"00000001";

impl Proof<'_> {
    /// `response-value` of RFC 2831 section 2.1.2.1, in hexadecimal.
    fn value(&self, method: &str) -> String {
        let password = Zeroizing::new(String::from_utf8_lossy(self.password.expose()).into_owned());
        let known = Zeroizing::new(
            [single_bytes(self.user), single_bytes(self.realm), single_bytes(&password)].join(&b':'),
        );
        let mut first = Md5::new();
        first.update(Md5::digest(known.as_slice()));
        for part in [Some(self.nonce), Some(self.cnonce), self.authzid].into_iter().flatten() {
            first.update(b":");
            first.update(part);
        }
        let second = hex(&Md5::digest(format!("{method}:{}", self.uri)));
        let first = hex(&first.finalize());
        let whole: [&[u8]; 6] =
            [first.as_bytes(), self.nonce, COUNT, self.cnonce, b"auth", second.as_bytes()];
        hex(&Md5::digest(whole.join(&b':')))
    }
}

/// Latin-1 where it suffices, else UTF-8 (RFC 2831 section 2.1.2.1).
fn single_bytes(text: &str) -> Vec<u8> {
    let latin_1 = text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<_, _>>();
    latin_1.unwrap_or_else(|_| text.as_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
