//! Ensembles whose members prove to each other who they are: by certificates, by DIGEST-MD5, or by both.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::certificates::{Certificates, PASSWORD};

/// What members log in with.
pub const SECRET: &str = "canary-of-the-quorum";

/// Writes the login configuration of members: they know [`SECRET`], and say `password`.
pub fn write_login(path: &Path, password: &str) -> Result<()> {
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    let text = format!(
        "QuorumServer {{ {module} user_member=\"{SECRET}\"; }};\n\
         QuorumLearner {{ {module} username=\"member\" password=\"{password}\"; }};\n"
    );
    fs::write(path, text).context("write a login configuration")
}

impl Plan {
    /// Gives members stores; without its default mode the reference looks at host names, as ours does.
    #[must_use]
    pub fn stores(mut self, certificates: &Certificates) -> Self {
        for (which, name) in [("keyStore", "member.p12"), ("trustStore", "trust.jks")] {
            self = self.line(&format!("ssl.quorum.{which}.location={}", certificates.path(name)));
            self = self.line(&format!("ssl.quorum.{which}.password={PASSWORD}"));
        }
        self.line("sslQuorumReloadCertFiles=true").property("zookeeper.fips-mode", "false")
    }

    /// Gives members a login configuration, which is written there. In its default mode the reference logs nobody in
    /// by DIGEST-MD5.
    pub fn login(self, path: &Path) -> Result<Self> {
        write_login(path, SECRET)?;
        let path = path.to_str().context("a path of text")?;
        Ok(self.property("java.security.auth.login.config", path).property("zookeeper.fips-mode", "false"))
    }

    /// Lets nobody in without a login.
    #[must_use]
    pub fn require_logins(self) -> Self {
        ["enableSasl", "learnerRequireSasl", "serverRequireSasl"]
            .iter()
            .fold(self, |plan, key| plan.line(&format!("quorum.auth.{key}=true")))
    }
}

/// What a server answers somebody who connects to a port and says this, until it closes.
pub fn answer(addr: SocketAddr, said: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).context("set a timeout")?;
    stream.write_all(said).context("say something")?;
    let mut heard = Vec::new();
    // A reset is an end too.
    let _ended = stream.read_to_end(&mut heard);
    Ok(heard)
}
