//! The client's side of DIGEST-MD5, as far as a load needs it: it proves itself and does not ask the server to.
//!
//! Source: RFC 2831 section 2.1.2, as the JDK's client fills it in for ZooKeeper.

use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};

/// What clients of ZooKeeper name as what they log in to (reference: `SaslClientCallbackHandler` and its caller).
const URI: &str = "zookeeper/zk-sasl-md5";
/// One exchange a connection, so any value does.
const CNONCE: &str = "b3hrZWVwZXI";

/// A name and its password.
#[derive(Clone, Debug)]
pub struct Login {
    user: String,
    password: String,
}

impl Login {
    /// From `user:password`.
    ///
    /// # Errors
    /// When there is no colon.
    pub fn parse(text: &str) -> Result<Self> {
        let (user, password) = text.split_once(':').context("a login is user:password")?;
        Ok(Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// The answer to the server's challenge.
    ///
    /// # Errors
    /// When that is none.
    pub fn answer(&self, challenge: &[u8]) -> Result<Vec<u8>> {
        let challenge = str::from_utf8(challenge).context("a challenge")?;
        let value = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let (realm, nonce) = (value("realm").unwrap_or_default(), value("nonce").context("no nonce")?);
        ensure!(challenge.contains("charset=utf-8"), "a challenge in another charset");
        let Self { user, password } = self;
        let mut first = md5(format!("{user}:{realm}:{password}").as_bytes());
        first.extend(format!(":{nonce}:{CNONCE}").as_bytes());
        let (first, second) = (hex(&first), hex(format!("AUTHENTICATE:{URI}").as_bytes()));
        let response = hex(format!("{first}:{nonce}:00000001:{CNONCE}:auth:{second}").as_bytes());
        Ok(format!(
            "charset=utf-8,username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",nc=00000001,cnonce=\"{CNONCE}\",\
             digest-uri=\"{URI}\",maxbuf=65536,response={response},qop=auth"
        )
        .into_bytes())
    }
}

fn md5(bytes: &[u8]) -> Vec<u8> {
    Md5::digest(bytes).to_vec()
}

/// The digest of the bytes, in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    md5(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
