//! Keys, certificates and stores of a test, made once by openssl and keytool, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::artifacts;
use crate::server::Options;

/// The password of every store.
pub const PASSWORD: &str = "canary-of-the-stores";

/// A directory with an authority, a server and some clients.
///
/// | File | What it is |
/// |---|---|
/// | `ca.pem`, `trust.jks`, `trust.p12` | the authority |
/// | `server.p12`, `server.jks`, `server.pem` | the server's key and certificate, for `localhost` and `127.0.0.1` |
/// | `client.p12`, `client.jks`, `client.pem` | a client |
/// | `super.p12` | a client with the name [`SUPER`] |
/// | `v1.p12` | a client whose certificate is of version 1 |
/// | `expired.p12` | a client whose certificate has run out |
/// | `serverauth.p12` | one for servers alone |
/// | `stranger.p12` | a client of another authority |
/// | `member.p12` | a member of an ensemble, for `localhost` and `127.0.0.1` |
/// | `impostor.p12` | the same of another authority |
/// | `astray.p12` | the same for another host |
/// | `named.p12` | a client whose certificate names the address `127.0.0.1` |
#[derive(Debug)]
pub struct Certificates {
    dir: PathBuf,
    /// None while they are made.
    _home: Option<TempDir>,
}

/// What is kept should not run out.
const DAYS: &str = "7300";

/// What certificates of members say.
const MEMBER: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";

/// The subject of `super.p12`, as Java prints it.
pub const SUPER: &str = "CN=root,OU=Ops\\, night,C=DE";

impl Certificates {
    /// A directory of its own with copies of those that are kept: to make them takes some seconds.
    pub fn new() -> Result<Self> {
        let recipe = artifacts::checksum(include_bytes!("certificates.rs"));
        let kept = artifacts::once(&format!("certificates-{recipe:016x}"), Self::make)?;
        let home = tempfile::Builder::new().prefix("oxkeeper-tls-").tempdir().context("a directory")?;
        for entry in fs::read_dir(&kept).with_context(|| format!("list {}", kept.display()))? {
            let from = entry.context("read a directory entry")?.path();
            let to = home.path().join(from.file_name().context("a file with a name")?);
            fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
        }
        Ok(Self { dir: home.path().to_owned(), _home: Some(home) })
    }

    /// Makes them in an empty directory.
    fn make(dir: &Path) -> Result<()> {
        let made = Self { dir: dir.to_owned(), _home: None };
        made.authority("ca", "/O=Oxkeeper test/CN=ca")?;
        made.authority("other", "/CN=other")?;
        let server = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
        made.issue("server", "/O=Oxkeeper test/CN=server", server, "ca")?;
        made.issue(
            "named",
            "/CN=named",
            "subjectAltName=IP:127.0.0.1
",
            "ca",
        )?;
        let client = "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n";
        made.issue(
            "client",
            "/C=DE/O=Oxkeeper + test/CN=client #1/emailAddress=a@example.org",
            client,
            "ca",
        )?;
        made.issue("member", "/CN=member", MEMBER, "ca")?;
        made.issue("astray", "/CN=astray", "subjectAltName=DNS:astray.example.org\n", "ca")?;
        made.issue("impostor", "/CN=member", MEMBER, "other")?;
        made.issue("super", "/C=DE/OU=Ops, night/CN=root", client, "ca")?;
        made.issue("v1", "/CN=v1", "", "ca")?;
        made.issue("serverauth", "/CN=serverauth", "extendedKeyUsage=serverAuth\n", "ca")?;
        made.issue("stranger", "/CN=client #1", client, "other")?;
        made.expired("expired", "/CN=expired")?;
        for name in ["server", "client"] {
            let jks = made.path(&format!("{name}.jks"));
            let p12 = made.path(&format!("{name}.p12"));
            made.keytool(&[
                "-importkeystore",
                "-srckeystore",
                &p12,
                "-srcstorepass",
                PASSWORD,
                "-destkeystore",
                &jks,
                "-deststoretype",
                "JKS",
                "-deststorepass",
                PASSWORD,
            ])?;
        }
        for (name, kind) in [("trust.jks", "JKS"), ("trust.p12", "PKCS12")] {
            made.keytool(&[
                "-importcert",
                "-alias",
                "ca",
                "-file",
                &made.path("ca.pem"),
                "-keystore",
                &made.path(name),
                "-storetype",
                kind,
                "-storepass",
                PASSWORD,
            ])?;
        }
        Ok(())
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A server with a TLS port of its own beside the plain one, and these stores.
    pub fn client_port(&self, port: u16, keys: &str, trust: &str) -> Options {
        let mut options = Options::default()
            .line("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory")
            .line(&format!("secureClientPort={port}"));
        options.lines.extend(self.settings(keys, trust));
        options
    }

    /// The lines of `zoo.cfg` that name the stores of client ports.
    pub fn settings(&self, keys: &str, trust: &str) -> Vec<String> {
        let store = |which: &str, name: &str| {
            let location = format!("ssl.{which}.location={}", self.path(name));
            [location, format!("ssl.{which}.password={PASSWORD}")]
        };
        [store("keyStore", keys), store("trustStore", trust)].concat()
    }

    /// Another key and certificate of the server take the place of those in `server.p12`.
    pub fn renew_server(&self, subject: &str) -> Result<()> {
        self.issue("server", subject, "subjectAltName=DNS:localhost,IP:127.0.0.1\n", "ca")
    }

    /// The same for `member.p12`.
    pub fn renew_member(&self, subject: &str) -> Result<()> {
        self.issue("member", subject, MEMBER, "ca")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn openssl(&self, args: &[&str]) -> Result<()> {
        artifacts::run(Command::new("openssl").args(args).current_dir(self.dir())).map(drop)
    }

    fn keytool(&self, args: &[&str]) -> Result<()> {
        artifacts::run(Command::new("keytool").args(args).arg("-noprompt").current_dir(self.dir())).map(drop)
    }

    pub(crate) fn authority(&self, name: &str, subject: &str) -> Result<()> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            DAYS,
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ])
    }

    /// A key, its request, and the request's name.
    fn request(&self, name: &str, subject: &str) -> Result<()> {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        self.openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ])
    }

    /// A certificate; without extensions, openssl makes one of version 1.
    pub(crate) fn issue(&self, name: &str, subject: &str, extensions: &str, authority: &str) -> Result<()> {
        self.request(name, subject)?;
        let file = format!("{name}.ext");
        fs::write(self.file(&file), extensions).context("write the extensions")?;
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.crt"));
        let (ca, key) = (format!("{authority}.pem"), format!("{authority}.key"));
        let mut args = vec![
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &key,
            "-CAcreateserial",
            "-days",
            DAYS,
            "-out",
            &certificate,
        ];
        if !extensions.is_empty() {
            args.extend(["-extfile", &file]);
        }
        self.openssl(&args)?;
        self.stores(name, authority)
    }

    /// `openssl x509` sets no date in the past in older releases; `openssl ca` does.
    fn expired(&self, name: &str, subject: &str) -> Result<()> {
        self.request(name, subject)?;
        fs::write(self.file("index"), "").context("write the index")?;
        fs::write(self.file("serial"), "01\n").context("write the serial number")?;
        let config = "[ca]\ndefault_ca=x\n[x]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n\
                      policy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nextendedKeyUsage=clientAuth\n";
        fs::write(self.file("ca.conf"), config).context("write the configuration")?;
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.conf",
            "-cert",
            "ca.pem",
            "-keyfile",
            "ca.key",
            "-in",
            &request,
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20200201000000Z",
            "-out",
            &certificate,
        ])?;
        self.stores(name, "ca")
    }

    /// PKCS#12, and PEM with the key encrypted.
    fn stores(&self, name: &str, authority: &str) -> Result<()> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let (p12, encrypted) = (format!("{name}.p12.new"), format!("{name}.enc"));
        let password = format!("pass:{PASSWORD}");
        self.openssl(&[
            "pkcs12",
            "-export",
            "-in",
            &certificate,
            "-inkey",
            &key,
            "-certfile",
            &format!("{authority}.pem"),
            "-name",
            name,
            "-out",
            &p12,
            "-passout",
            &password,
        ])?;
        self.openssl(&[
            "pkcs8",
            "-topk8",
            "-in",
            &key,
            "-v1",
            "PBE-SHA1-3DES",
            "-out",
            &encrypted,
            "-passout",
            &password,
        ])?;
        let read = |name: &str| fs::read_to_string(self.file(name)).with_context(|| format!("read {name}"));
        let pem = [read(&encrypted)?, read(&certificate)?].concat();
        fs::write(self.file(&format!("{name}.pem.new")), pem).context("write a PEM file")?;
        for kind in ["p12", "pem"] {
            // In one step, as whoever replaces a store should.
            let to = self.file(&format!("{name}.{kind}"));
            fs::rename(self.file(&format!("{name}.{kind}.new")), &to).context("rename a store")?;
        }
        Ok(())
    }
}
