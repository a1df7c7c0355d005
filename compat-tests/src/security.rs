//! How a system and its server prove to each other who they are: what both are told.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::certificates::{self, Certificates};
use crate::kdc::{Kdc, REALM};
use crate::server::{Kind, Options, Server};
use crate::systems::Look;

/// The user of a system that logs in with a password.
pub const USER: &str = "system";
/// The password of that user.
pub const PASSWORD: &str = "canary-of-the-system";

/// The password of another user, who may read.
pub const READER_PASSWORD: &str = "canary-of-the-reader";

/// The super user reads everything, and so shows every list.
const SUPER_PASSWORD: &str = "super-of-the-tests";
const SUPER_DIGEST: &str = "super:qhS2la7Mh9DXTU6V597T9nu9msk=";

const SASL_CLASS: &str = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
const X509_CLASS: &str = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";
const NETTY: &str = "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory";
/// The client in Kafka 3.9 offers TLS 1.2 alone, and a server of 3.9 takes TLS 1.3 alone unless it is told.
const PROTOCOLS: &str = "ssl.enabledProtocols=TLSv1.2,TLSv1.3";

/// How a system and its server know each other.
#[derive(Debug)]
pub enum Security {
    /// Not at all: everybody may do everything.
    Open,
    /// The system sends a password by `addauth` (scheme `digest`).
    Digest,
    /// The system logs in by SASL with DIGEST-MD5. The directory has both login configurations.
    DigestMd5(TempDir),
    /// Both have certificates.
    Tls(Certificates),
    /// The system logs in by SASL with Kerberos.
    Kerberos(Realm),
}

/// A key distribution centre, the keytab of the system's principal, and the login configurations of both.
#[derive(Debug)]
pub struct Realm {
    kdc: Kdc,
    principal: String,
    keytab: PathBuf,
    server: PathBuf,
    client: PathBuf,
}

impl Realm {
    /// The system's principal, with its realm.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The keytab with its keys.
    #[must_use]
    pub fn keytab(&self) -> &Path {
        &self.keytab
    }
}

impl Security {
    /// Login configurations of the server and of a system, with [`USER`] in both.
    pub fn digest_md5() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("oxkeeper-jaas-").tempdir().context("make a directory")?;
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
        let server = format!("Server {{\n  {module}\n  user_{USER}=\"{PASSWORD}\";\n}};\n");
        let client =
            format!("Client {{\n  {module}\n  username=\"{USER}\"\n  password=\"{PASSWORD}\";\n}};\n");
        for (name, text) in [("server.jaas", server), ("client.jaas", client)] {
            let path = home.path().join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(Self::DigestMd5(home))
    }

    /// Certificates of one authority for both.
    pub fn tls() -> Result<Self> {
        Ok(Self::Tls(Certificates::new()?))
    }

    /// A key distribution centre with principals for the server and for a system, `<service>/localhost`.
    pub fn kerberos(service: &str) -> Result<Self> {
        let kdc = Kdc::start()?;
        let keys = kdc.with_keytab("zookeeper/localhost", "server.keytab")?;
        let server = kdc.jaas("server.jaas", "Server", &format!("zookeeper/localhost@{REALM}"), &keys)?;
        let keytab = kdc.with_keytab(&format!("{service}/localhost"), "client.keytab")?;
        let principal = format!("{service}/localhost@{REALM}");
        let client = kdc.jaas("client.jaas", "Client", &principal, &keytab)?;
        Ok(Self::Kerberos(Realm { kdc, principal, keytab, server, client }))
    }

    /// What a server is told, as the manuals of Kafka and HBase have it.
    #[must_use]
    pub fn options(&self) -> Options {
        let login = "java.security.auth.login.config";
        let text = |path: &Path| path.display().to_string();
        let guarded =
            Options::default().flag("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
        match self {
            Self::Open => Options::default(),
            Self::Digest => guarded,
            Self::DigestMd5(home) => {
                let line = format!("authProvider.sasl={SASL_CLASS}");
                guarded.line(&line).flag(login, &text(&home.path().join("server.jaas")))
            }
            Self::Tls(certificates) => {
                let line = format!("authProvider.x509={X509_CLASS}");
                let mut options = guarded.line(NETTY).line(&line).line(PROTOCOLS).secure_port();
                options.lines.extend(certificates.settings("server.jks", "trust.jks"));
                options
            }
            // All servers of HBase are one user.
            Self::Kerberos(realm) => guarded
                .line(&format!("authProvider.1={SASL_CLASS}"))
                .line("kerberos.removeHostFromPrincipal=true")
                .line("kerberos.removeRealmFromPrincipal=true")
                .flag("java.security.krb5.conf", &text(&realm.kdc.krb5_conf()))
                .flag(login, &text(&realm.server)),
        }
    }

    /// What every virtual machine of the system is told.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        match self {
            Self::Open | Self::Digest | Self::Tls(_) => Vec::new(),
            Self::DigestMd5(home) => {
                let login = home.path().join("client.jaas");
                vec![format!("-Djava.security.auth.login.config={}", login.display())]
            }
            Self::Kerberos(realm) => vec![
                format!("-Djava.security.krb5.conf={}", realm.kdc.krb5_conf().display()),
                format!("-Djava.security.auth.login.config={}", realm.client.display()),
                "-Dzookeeper.server.principal=zookeeper/localhost".to_owned(),
            ],
        }
    }

    /// The scheme of the system's identity in lists.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Open => "world",
            Self::Digest => "digest",
            Self::DigestMd5(_) | Self::Kerberos(_) => "sasl",
            Self::Tls(_) => "x509",
        }
    }

    /// Where the system connects.
    pub fn address(&self, server: &Server) -> Result<SocketAddr> {
        match self {
            Self::Tls(_) => server.secure_addr(),
            _ => Ok(server.addr()),
        }
    }

    /// Fails if Oxkeeper has logged a password.
    pub fn must_be_secret(server: &Server) -> Result<()> {
        let log = server.log();
        let secrets = [PASSWORD, READER_PASSWORD, SUPER_PASSWORD, certificates::PASSWORD];
        let is_shown = secrets.iter().any(|secret| log.contains(secret));
        ensure!(server.kind() != Kind::Oxkeeper || !is_shown, "a password is in the log:\n{log}");
        Ok(())
    }

    /// A look at everything, as the super user where there are lists.
    pub fn look(&self, server: SocketAddr) -> Result<Look> {
        let look = Look::at(server)?;
        match self {
            Self::Open => Ok(look),
            _ => look.authenticated("digest", &format!("super:{SUPER_PASSWORD}")),
        }
    }
}
