//! A secured ensemble, as its operator has set it up: clients come in over TLS with a certificate and log in by
//! DIGEST-MD5, and members speak TLS to each other or log in to each other. What is replaced gets the same `zoo.cfg`, the
//! same files and the same flags.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use compat_tests::certificates::{Certificates, PASSWORD};
use compat_tests::ensemble::{Ensemble, Plan};
use compat_tests::server::Kind;
use tempfile::TempDir;

use crate::clients::Access;

/// The password of every login.
const SECRET: &str = "canary-of-the-logins";
/// Who the clients are, by their certificate and by their login.
const IDS: [&str; 2] = ["x509:CN=named", "sasl:bob"];
const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule required";
const LOGIN: &str = "java.security.auth.login.config";

/// How members know each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Members {
    /// `sslQuorum`, in the reference's default mode.
    Tls,
    /// `quorum.auth.*` by DIGEST-MD5, for which the reference has to leave that mode.
    Logins,
}

/// Stores and login configurations on the operator's disk.
#[derive(Debug)]
pub(crate) struct Files {
    certificates: Certificates,
    home: TempDir,
}

impl Files {
    /// Makes them; takes some seconds.
    pub(crate) fn new() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("oxkeeper-logins-").tempdir().context("a directory")?;
        let files = Self { certificates: Certificates::new()?, home };
        let server = format!(
            "Server {{ {MODULE} user_bob=\"{SECRET}\"; }};\n\
             QuorumServer {{ {MODULE} user_member=\"{SECRET}\"; }};\n\
             QuorumLearner {{ {MODULE} username=\"member\" password=\"{SECRET}\"; }};\n"
        );
        let client = format!("Client {{ {MODULE} username=\"bob\" password=\"{SECRET}\"; }};\n");
        for (name, text) in
            [("server.jaas", &server), ("client.jaas", &client), ("password", &PASSWORD.into())]
        {
            fs::write(files.path(name), text).with_context(|| format!("write {name}"))?;
        }
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Lines that name a store, and its password by itself or by a file.
    fn store(&self, key: &str, name: &str) -> [String; 2] {
        let password = match name.rsplit('.').next() {
            Some("pem") => format!("passwordPath={}", self.path("password").display()),
            _ => format!("password={PASSWORD}"),
        };
        [format!("{key}.location={}", self.certificates.path(name)), format!("{key}.{password}")]
    }

    /// Three servers of a kind.
    pub(crate) fn plan(&self, kind: Kind, members: Members) -> Plan {
        let mut lines: Vec<String> = [
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        ]
        .map(String::from)
        .into();
        let (keys, trust) = match members {
            Members::Tls => ("server.jks", "trust.p12"),
            Members::Logins => ("server.pem", "ca.pem"),
        };
        lines.extend(self.store("ssl.keyStore", keys));
        lines.extend(self.store("ssl.trustStore", trust));
        match members {
            Members::Tls => {
                lines.push("sslQuorum=true".into());
                lines.extend(self.store("ssl.quorum.keyStore", "member.p12"));
                lines.extend(self.store("ssl.quorum.trustStore", "trust.jks"));
            }
            Members::Logins => {
                let keys = ["enableSasl", "learnerRequireSasl", "serverRequireSasl"];
                lines.extend(keys.map(|key| format!("quorum.auth.{key}=true")));
            }
        }
        let mut plan = Plan::voters(&[kind; 3]).secure_client_ports();
        plan.lines.extend(lines);
        let plan = plan.property(LOGIN, &self.path("server.jaas").display().to_string());
        match members {
            Members::Tls => plan,
            Members::Logins => plan.property("zookeeper.fips-mode", "false"),
        }
    }

    /// How clients come in: with the certificate and the login that are asked for.
    pub(crate) fn access(&self, ensemble: &Ensemble) -> Access {
        let store = |which: &str, name: &str| {
            let [location, password] = self.store(&format!("zookeeper.ssl.{which}"), name);
            [format!("-D{location}"), format!("-D{password}")]
        };
        let mut java: Vec<String> = [
            "-Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
            "-Dzookeeper.client.secure=true",
            "-Dzookeeper.sasl.client=true",
            "-Dzookeeper.fips-mode=false",
        ]
        .map(String::from)
        .into();
        java.push(format!("-D{LOGIN}={}", self.path("client.jaas").display()));
        java.extend(store("keyStore", "named.p12"));
        java.extend(store("trustStore", "trust.jks"));
        let kazoo = serde_json::json!({
            "use_ssl": true,
            "verify_certs": true,
            "ca": self.certificates.path("ca.pem"),
            "certfile": self.certificates.path("named.crt"),
            "keyfile": self.certificates.path("named.key"),
            "sasl_options": { "mechanism": "DIGEST-MD5", "username": "bob", "password": SECRET },
        });
        let ids = IDS.map(String::from).into();
        Access { servers: ensemble.secure_addrs(), java, kazoo: kazoo.to_string(), ids }
    }
}
