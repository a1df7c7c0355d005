//! Certificates that say where to ask whether they were revoked, and who answers: an HTTP server on loopback with
//! revocation lists, and openssl as the OCSP responder behind it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::artifacts;
use crate::certificates::Certificates;
use crate::server::free_port;

/// What `openssl ca` needs to write a list.
const CA: &str = "[ca]\ndefault_ca=x\n[x]\ndatabase=index\ndefault_md=sha256\n";
/// A date far ahead, as the index of `openssl ca` has it.
const LATER: &str = "491231000000Z";
const EARLIER: &str = "200101000000Z";

/// Certificates with their issuers' lists and answers.
#[derive(Debug)]
pub struct Revocation {
    /// The stores.
    pub certificates: Certificates,
    web: Web,
}

impl Revocation {
    /// An authority with lists and a responder; takes some seconds.
    ///
    /// | Path | What is there |
    /// |---|---|
    /// | `/ca.crl`, `/ca.pem.crl` | the list of `ca`, in DER and in PEM |
    /// | `/stale.crl` | one whose time is over |
    /// | `/forged.crl` | one in the name of `ca`, signed by another key |
    /// | `/other.crl` | the list of another authority |
    /// | `/broken.crl` | what is no list |
    /// | `/ocsp/<signer>` | answers that `signer` signs |
    /// | `/later` | an answer that says to try again later |
    /// | `/wrong` | the answer about `ocsp-good`, whoever is asked about |
    pub fn new() -> Result<Self> {
        let certificates = Certificates::new()?;
        let home = certificates.dir().to_owned();
        for folder in ["www", "crl-ca", "crl-twin", "crl-other"] {
            fs::create_dir(home.join(folder)).context("make a directory")?;
            fs::write(home.join(folder).join("index"), "").context("write an index")?;
            fs::write(home.join(folder).join("ca.conf"), CA).context("write a configuration")?;
        }
        certificates.authority("twin", "/O=Oxkeeper test/CN=ca")?;
        certificates.issue("delegate", "/CN=delegate", "extendedKeyUsage=OCSPSigning\n", "ca")?;
        certificates.issue("usurper", "/CN=usurper", "extendedKeyUsage=clientAuth\n", "ca")?;
        for authority in ["ca", "twin"] {
            let (from, to) = (format!("{authority}.pem"), format!("{authority}.crt"));
            fs::copy(home.join(from), home.join(to)).context("name an authority's certificate")?;
        }
        let made = Self { web: Web::serve(&home)?, certificates };
        made.publish()?;
        Ok(made)
    }

    /// Where the lists and the responder are.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.web.port)
    }

    /// How often somebody asked for something.
    pub fn asked(&self) -> u64 {
        self.web.asked.load(Ordering::SeqCst)
    }

    /// A client, or a member where `extensions` say so, whose certificate has these extensions.
    pub fn issue(&self, name: &str, extensions: &str, authority: &str) -> Result<()> {
        self.certificates.issue(name, &format!("/CN={name}"), extensions, authority)
    }

    /// An authority below `ca`.
    pub fn intermediate(&self, name: &str, extensions: &str) -> Result<()> {
        let extensions =
            format!("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n{extensions}");
        self.issue(name, &extensions, "ca")?;
        let folder = self.home().join(format!("crl-{name}"));
        fs::create_dir(&folder).context("make a directory")?;
        fs::write(folder.join("index"), "").context("write an index")?;
        fs::write(folder.join("ca.conf"), CA).context("write a configuration")?;
        // Its own certificate stands first in the chains of what it issues.
        fs::copy(self.home().join(format!("{name}.crt")), self.home().join(format!("{name}.pem")))
            .context("name its certificate")?;
        self.list(name, name, "www", &["-crldays", "2"])
    }

    /// Enters a certificate in the index of its authority, which says what is known of it.
    pub fn enter(&self, name: &str, authority: &str, is_revoked: bool) -> Result<()> {
        let shown = self.openssl(&["x509", "-noout", "-serial", "-in", &format!("{name}.crt")])?;
        let serial = shown.trim().strip_prefix("serial=").context("the serial number")?.to_owned();
        let index = self.home().join(format!("crl-{authority}")).join("index");
        let mut lines = fs::read_to_string(&index).context("read the index")?;
        lines =
            lines.lines().filter(|line| !line.contains(&serial)).map(|line| format!("{line}\n")).collect();
        let (kind, when) = if is_revoked { ("R", EARLIER) } else { ("V", "") };
        lines.push_str(&format!("{kind}\t{LATER}\t{when}\t{serial}\tunknown\t/CN={name}\n"));
        fs::write(&index, lines).context("write the index")
    }

    /// Writes the lists anew.
    pub fn publish(&self) -> Result<()> {
        let home = self.home();
        fs::write(home.join("www/broken.crl"), b"this is no list").context("write a broken list")?;
        fs::copy(home.join("crl-ca/index"), home.join("crl-twin/index")).context("copy the index")?;
        self.list("ca", "ca", "www", &["-crldays", "2"])?;
        fs::copy(home.join("crl-ca/list.pem"), home.join("www/ca.pem.crl")).context("publish a list")?;
        self.list("twin", "forged", "www", &["-crldays", "2"])?;
        self.list("other", "other", "www", &["-crldays", "2"])?;
        let past = ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"];
        self.list("ca", "stale", "www", &past)
    }

    fn list(&self, authority: &str, name: &str, folder: &str, dates: &[&str]) -> Result<()> {
        let (certificate, key) = (format!("../{authority}.pem"), format!("../{authority}.key"));
        let mut args = vec!["ca", "-gencrl", "-config", "ca.conf", "-cert", &certificate, "-keyfile", &key];
        args.extend(dates);
        args.extend(["-out", "list.pem"]);
        let place = self.home().join(format!("crl-{authority}"));
        artifacts::run(Command::new("openssl").args(&args).current_dir(&place))?;
        let to = format!("../{folder}/{name}.crl");
        let args = ["crl", "-in", "list.pem", "-outform", "DER", "-out", &to];
        artifacts::run(Command::new("openssl").args(args).current_dir(&place)).map(drop)
    }

    fn home(&self) -> PathBuf {
        self.certificates.dir().to_owned()
    }

    fn openssl(&self, args: &[&str]) -> Result<String> {
        artifacts::run(Command::new("openssl").args(args).current_dir(self.home()))
    }
}

/// An HTTP server of some files and of an OCSP responder; ends with its owner.
#[derive(Debug)]
struct Web {
    port: u16,
    asked: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    fn serve(home: &Path) -> Result<Self> {
        let port = free_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("listen for questions")?;
        let (asked, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (home, over, count) = (home.to_owned(), Arc::clone(&is_over), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (home, count) = (home.clone(), Arc::clone(&count));
                std::thread::spawn(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    if let Err(error) = stream.map_err(Into::into).and_then(|s| answer(s, &home, number)) {
                        eprintln!("a question about a certificate was not answered: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port, asked, is_over, thread: Some(thread) })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _wakes_it = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// Answers one question, and closes.
fn answer(stream: TcpStream, home: &Path, number: usize) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).context("a timeout")?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line).context("read the question")?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).context("read a header")?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().context("a length")?;
        }
    }
    ensure!(length < 100_000, "a question of {length} bytes");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).context("read the body")?;
    let came = respond(method, path.trim_start_matches('/'), body, home, number)?;
    let (status, body) = match came {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", b"nothing is here".to_vec()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    (&stream).write_all(&[head.into_bytes(), body].concat()).context("answer")
}

fn respond(method: &str, path: &str, body: Vec<u8>, home: &Path, number: usize) -> Result<Option<Vec<u8>>> {
    if path.starts_with("missing") {
        return Ok(None);
    }
    if path.starts_with("later") {
        return Ok(Some(vec![0x30, 3, 0x0A, 1, 3]));
    }
    if path.starts_with("wrong") {
        let args = ["ocsp", "-issuer", "ca.pem", "-cert", "ocsp-good.crt", "-reqout", "wrong.req"];
        artifacts::run(Command::new("openssl").args(args).current_dir(home))?;
        return ocsp("ca", &fs::read(home.join("wrong.req")).context("read a question")?, home, number)
            .map(Some);
    }
    if let Some(rest) = path.strip_prefix("ocsp/") {
        let (signer, question) = rest.split_once('/').unwrap_or((rest, ""));
        let question = if method == "POST" { body } else { decoded(question)? };
        return ocsp(signer, &question, home, number).map(Some);
    }
    ensure!(!path.contains(['/', '%']), "the path {path}");
    Ok(fs::read(home.join("www").join(path)).ok())
}

/// What openssl answers to a question, out of the index of `ca`.
fn ocsp(signer: &str, question: &[u8], home: &Path, number: usize) -> Result<Vec<u8>> {
    let (asked, answered) = (format!("ocsp-{number}.req"), format!("ocsp-{number}.resp"));
    fs::write(home.join(&asked), question).context("write a question")?;
    let (certificate, key) = (format!("{signer}.crt"), format!("{signer}.key"));
    let args = [
        "ocsp",
        "-index",
        "crl-ca/index",
        "-CA",
        "ca.pem",
        "-rsigner",
        &certificate,
        "-rkey",
        &key,
        "-reqin",
        &asked,
        "-respout",
        &answered,
    ];
    artifacts::run(Command::new("openssl").args(args).current_dir(home))?;
    fs::read(home.join(&answered)).context("read an answer")
}

/// What a path of a question by GET holds: base64 whose signs may be escaped.
fn decoded(text: &str) -> Result<Vec<u8>> {
    let text = text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for sign in text.trim_end_matches('=').bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("{text:?} is not base64"),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Ok(bytes)
}
