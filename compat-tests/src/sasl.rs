//! Logins by DIGEST-MD5 over the bare protocol, right ones and all kinds of wrong ones.
//!
//! Written from RFC 2831 and not from the server's mechanism, so that the two can disagree.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use md5::{Digest, Md5};

use crate::wire::{Body, Client, Reply};

/// The operation that carries tokens.
pub const SASL: i32 = 102;

/// The property that lets access control lists name who has logged in.
pub const PROVIDER: (&str, &str) =
    ("zookeeper.authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider");

/// What a Java client needs to log in by DIGEST-MD5: in its default mode it does not.
pub const OF_CLIENT: [&str; 2] = ["-Dzookeeper.sasl.client=true", "-Dzookeeper.fips-mode=false"];

/// Writes the login configuration of a Java client; the flag that names it.
pub fn client_login(directory: &Path, name: &str, user: &str, password: &str) -> Result<String> {
    let path = directory.join(name);
    let text = format!(
        "Client {{ org.apache.zookeeper.server.auth.DigestLoginModule required\n \
         username=\"{user}\" password=\"{password}\"; }};\n"
    );
    fs::write(&path, text).context("write a login configuration")?;
    Ok(format!("-Djava.security.auth.login.config={}", path.display()))
}

/// Sends a token, or that there is none, and receives the answer.
pub fn step(client: &mut Client, xid: i32, token: Option<&[u8]>) -> Result<Reply> {
    let body = token.map_or_else(|| Body::new().int(-1), |token| Body::new().buffer(token));
    client.call(xid, SASL, &body)
}

/// Begins an exchange: the challenge.
pub fn challenge(client: &mut Client) -> Result<Vec<u8>> {
    let reply = step(client, 1, Some(b""))?;
    ensure!(reply.err == 0, "a challenge was asked for, and {} came", reply.err);
    Ok(reply.first_buffer()?.to_vec())
}

/// Logs in, and fails unless the server proves that it knows the password too.
pub fn login(client: &mut Client, user: &str, password: &str) -> Result<()> {
    let challenge = challenge(client)?;
    let response = Response::of(user, password);
    let expected = response.proof(&nonce(&challenge)?, "");
    let reply = step(client, 2, Some(&response.to(&challenge)?))?;
    ensure!(reply.err == 0, "the login of {user} was answered with {}", reply.err);
    let token = String::from_utf8_lossy(reply.first_buffer()?).into_owned();
    ensure!(token == format!("rspauth={expected}"), "the server proved {token:?}");
    Ok(())
}

/// The value of a directive of a challenge.
fn nonce(challenge: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(challenge).context("a challenge of text")?;
    let (_, rest) = text.split_once("nonce=\"").context("a challenge with a nonce")?;
    let (nonce, _) = rest.split_once('"').context("a nonce in quotes")?;
    Ok(nonce.to_owned())
}

/// A response to a challenge, which may be spoiled before it is sent.
#[derive(Clone, Debug)]
pub struct Response {
    user: Vec<u8>,
    hashed: (Vec<u8>, Vec<u8>),
    uri: String,
    authzid: Option<String>,
    changes: Vec<(String, Option<String>)>,
    behind: String,
}

impl Response {
    /// The right response of this user.
    pub fn of(user: &str, password: &str) -> Self {
        Self {
            user: user.into(),
            hashed: (narrow(user), narrow(password)),
            uri: "zookeeper/zk-sasl-md5".into(),
            authzid: None,
            changes: Vec::new(),
            behind: String::new(),
        }
    }

    /// Hashes the name and the password as UTF-8 where the RFC wants Latin-1, as pure-sasl does.
    #[must_use]
    pub fn hashed_as_utf8(mut self, user: &str, password: &str) -> Self {
        self.hashed = (user.into(), password.into());
        self
    }

    /// Sends the user's name in these bytes.
    #[must_use]
    pub fn name(mut self, user: &[u8]) -> Self {
        self.user = user.to_vec();
        self
    }

    /// Asks for another service, consistently.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        self.uri = uri.to_owned();
        self
    }

    /// Asks to be taken for another, consistently.
    #[must_use]
    pub fn authzid(mut self, authzid: &str) -> Self {
        self.authzid = Some(authzid.to_owned());
        self
    }

    /// Sends this in place of a directive.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.changes.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Leaves a directive away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.changes.push((name.to_owned(), None));
        self
    }

    /// Sends this behind everything.
    #[must_use]
    pub fn behind(mut self, text: &str) -> Self {
        self.behind = text.to_owned();
        self
    }

    fn proof(&self, nonce: &str, method: &str) -> String {
        let (user, password) = &self.hashed;
        let known = [user.as_slice(), b"zk-sasl-md5", password].join(&b':');
        let mut first = Md5::digest(known).to_vec();
        first.extend(format!(":{nonce}:abc").bytes());
        if let Some(authzid) = &self.authzid {
            first.extend(format!(":{authzid}").bytes());
        }
        let second = hex(&Md5::digest(format!("{method}:{}", self.uri)));
        hex(&Md5::digest(format!("{}:{nonce}:00000001:abc:auth:{second}", hex(&Md5::digest(first)))))
    }

    /// The response to this challenge, as bytes.
    pub fn to(&self, challenge: &[u8]) -> Result<Vec<u8>> {
        let nonce = nonce(challenge)?;
        let text = |text: &str| format!("\"{text}\"").into_bytes();
        let mut user = vec![b'"'];
        user.extend(&self.user);
        user.push(b'"');
        let mut fields = vec![
            ("charset", b"utf-8".to_vec()),
            ("username", user),
            ("realm", text("zk-sasl-md5")),
            ("nonce", text(&nonce)),
            ("nc", b"00000001".to_vec()),
            ("cnonce", text("abc")),
            ("digest-uri", text(&self.uri)),
            ("response", self.proof(&nonce, "AUTHENTICATE").into_bytes()),
            ("qop", b"auth".to_vec()),
        ];
        fields.extend(self.authzid.as_ref().map(|authzid| ("authzid", text(authzid))));
        for (name, value) in &self.changes {
            fields.retain(|(one, _)| one != name);
            fields.extend(value.as_ref().map(|value| (name.as_str(), value.clone().into_bytes())));
        }
        let written = fields.into_iter().map(|(name, value)| [name.as_bytes(), b"=", &value].concat());
        let mut message = written.collect::<Vec<_>>().join(&b',');
        message.extend(self.behind.bytes());
        Ok(message)
    }
}

/// Latin-1 where it suffices.
fn narrow(text: &str) -> Vec<u8> {
    let narrow: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    narrow.unwrap_or_else(|_| text.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a reply says, without what differs by chance.
pub fn shown(reply: Result<Reply>) -> String {
    let Ok(reply) = reply else { return "closed".into() };
    let token = match reply.body.split_first_chunk::<4>() {
        None => "no token".to_owned(),
        Some((length, [])) => format!("length {}", i32::from_be_bytes(*length)),
        Some((_, token)) => {
            let text = String::from_utf8_lossy(token);
            let name = text.split('=').next().unwrap_or_default();
            format!("{name} and more, {} bytes", token.len())
        }
    };
    format!("{} at {}, {token}", reply.err, reply.zxid)
}

/// Fails unless nothing more comes.
pub fn closed(client: &mut Client) -> Result<()> {
    match client.receive() {
        Err(_) => Ok(()),
        Ok(reply) => bail!("{reply:?} came behind the end"),
    }
}
