//! The initiating side, for servers that prove to each other who they are (reference: the JDK's `DigestMD5Client`).

use super::{COUNT, Directives, Failure, PEERS_SERVICE, Proof, fresh_nonce, quoted, shown};
use crate::auth::sasl::{Initiating, Login};
use crate::secret::Secret;

/// The longest message that is taken from a server, in bytes (`DigestMD5Base.MAX_CHALLENGE_LENGTH`).
const CHALLENGE_BYTES_MAX: usize = 2048;
/// What a server may send.
const OF_SERVERS: &[&str] =
    &["realm", "nonce", "qop", "algorithm", "maxbuf", "charset", "cipher", "rspauth", "stale"];

/// The name and the password by which this server proves to others who it is.
#[derive(Clone, Debug)]
pub struct PeerLogin {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl Login for PeerLogin {
    fn begin(&self, _: &str) -> Box<dyn Initiating> {
        Box::new(Client { login: self.clone(), state: State::New })
    }
}

struct Client {
    login: PeerLogin,
    state: State,
}

enum State {
    New,
    /// The server has to prove that it knows the password too, by this value.
    Answered(String),
    Over,
}

impl Initiating for Client {
    fn first(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        if token.len() > CHALLENGE_BYTES_MAX {
            let bytes = token.len();
            return Err(Failure(format!(
                "a challenge of {bytes} bytes; at most {CHALLENGE_BYTES_MAX} are taken"
            )));
        }
        let message = Directives::parse(token, OF_SERVERS, &["realm"])?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::New => {
                let (response, expected) = self.login.respond(&message)?;
                self.state = State::Answered(expected);
                Ok(Some(response))
            }
            State::Answered(expected) => {
                let proof = Secret::from(expected.as_str());
                if message.get("rspauth").is_some_and(|value| proof.is(value)) {
                    return Ok(None);
                }
                Err(Failure("the other side does not know the password".into()))
            }
            State::Over => Err(Failure("a token after the end of the exchange".into())),
        }
    }
}

impl PeerLogin {
    /// The response to a challenge, and the value that the server has to prove itself with.
    fn respond(&self, challenge: &Directives) -> Result<(Vec<u8>, String), Failure> {
        let wrong = |what: &str| Failure(format!("the challenge {what}"));
        let nonce = challenge.get("nonce").ok_or_else(|| wrong("has no nonce"))?;
        if challenge.get("algorithm").is_none_or(|algorithm| algorithm != b"md5-sess") {
            return Err(wrong("is of another algorithm than md5-sess"));
        }
        let offers_auth = |offered: &[u8]| {
            offered.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"auth"))
        };
        if challenge.get("qop").is_some_and(|offered| !offers_auth(offered)) {
            return Err(wrong("does not offer qop=auth"));
        }
        let is_utf8 = match challenge.get("charset") {
            None => false,
            Some(b"utf-8") => true,
            Some(_) => return Err(wrong("is in another charset than utf-8")),
        };
        let realm = String::from_utf8_lossy(challenge.get("realm").unwrap_or_default());
        let user = &self.user;
        let is_plain = user.is_ascii() && realm.is_ascii();
        if !is_utf8 && !is_plain {
            return Err(wrong(&format!("is not in UTF-8, and the name {} needs it", shown(user))));
        }
        let cnonce = fresh_nonce()?;
        let proof = Proof {
            user,
            realm: &realm,
            password: &self.password,
            nonce,
            cnonce: cnonce.as_bytes(),
            authzid: None,
            uri: PEERS_SERVICE,
        };
        let mut response: Vec<u8> = if is_utf8 { b"charset=utf-8,".to_vec() } else { Vec::new() };
        for (name, value) in [("username", user.as_bytes()), ("realm", realm.as_bytes()), ("nonce", nonce)] {
            response.extend(name.as_bytes());
            response.push(b'=');
            response.extend(quoted(value));
            response.push(b',');
        }
        let rest = format!(
            "nc={},cnonce=\"{cnonce}\",digest-uri=\"{PEERS_SERVICE}\",maxbuf=65536,response={},qop=auth",
            String::from_utf8_lossy(COUNT),
            proof.value("AUTHENTICATE")
        );
        response.extend(rest.as_bytes());
        Ok((response, proof.value("")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DigestMd5, Users};
    use super::*;
    use crate::auth::sasl::{Mechanism, Step};

    fn login(user: &str, password: &str) -> PeerLogin {
        PeerLogin { user: user.into(), password: password.into() }
    }

    fn offer() -> DigestMd5 {
        let users = [("one", "secret"), ("zoë", "pässwörd")];
        DigestMd5::for_peers(Users::new(users.map(|(name, password)| (name.into(), password.into())), None))
    }

    /// Whether the server believes the client, and the client the server.
    fn outcome(login: &PeerLogin) -> (bool, bool) {
        let (mut server, mut client) = (offer().begin(), login.begin("host"));
        let Ok(Step::Challenge(challenge)) = server.step(b"") else { panic!("a challenge comes first") };
        let response = client.answer(&challenge).expect("a response").expect("it is not done");
        match server.step(&response) {
            Ok(Step::Proven { token, authorization_id }) => {
                assert_eq!(authorization_id, login.user);
                (true, client.answer(&token.expect("a proof")) == Ok(None))
            }
            Ok(step) => panic!("{step:?}"),
            Err(_) => (false, false),
        }
    }

    #[test]
    fn both_sides_prove_that_they_know_the_password() {
        assert_eq!(outcome(&login("one", "secret")), (true, true));
        assert_eq!(outcome(&login("zoë", "pässwörd")), (true, true));
        assert_eq!(outcome(&login("one", "wrong")), (false, false));
        assert_eq!(outcome(&login("two", "secret")), (false, false));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_not_believed() {
        let challenge = b"realm=\"r\",nonce=\"n\",charset=utf-8,algorithm=md5-sess";
        for proof in [&b"rspauth=00000000000000000000000000000000"[..], b"rspauth=", b"", b"nonce=\"n\""] {
            let mut client = login("one", "secret").begin("host");
            assert_eq!(client.first(), Ok(None));
            assert!(client.answer(challenge).is_ok_and(|response| response.is_some()));
            assert!(client.answer(proof).is_err());
            assert!(client.answer(proof).is_err(), "it is over");
        }
    }

    #[test]
    fn a_challenge_that_is_none_is_not_answered() {
        for challenge in [
            &b"realm=\"r\",charset=utf-8,algorithm=md5-sess"[..],
            b"nonce=\"n\",charset=utf-8",
            b"nonce=\"n\",charset=utf-8,algorithm=md5",
            b"nonce=\"n\",charset=latin-1,algorithm=md5-sess",
            b"nonce=\"n\",qop=\"auth-int\",algorithm=md5-sess",
            b"nonce=\"n\",nonce=\"m\",algorithm=md5-sess",
            &[b'x'; 2049],
            b"\xff\x00",
        ] {
            assert!(login("one", "secret").begin("host").answer(challenge).is_err());
        }
        assert!(login("zoë", "x").begin("h").answer(b"nonce=\"n\",algorithm=md5-sess").is_err());
        let plain = b"nonce=\"n\",qop=\"auth-conf, auth\",algorithm=md5-sess";
        assert!(login("one", "x").begin("h").answer(plain).is_ok());
    }
}
