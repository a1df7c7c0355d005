//! Gets a list from where it is, or asks a responder: HTTP (RFC 9112) as far as that needs it, or a file.
//!
//! A client of its own, as there is none in the tree and these are two short exchanges: one connection each, without
//! TLS (what comes is signed), redirection or encodings of the transfer, which HTTP/1.0 does not have.

use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What is read at first; more when that is full.
const READ_BYTES: usize = 16 << 10;

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A server of HTTP.
    Http {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// What stands behind it in the URL.
        target: String,
    },
    /// A file of this machine.
    File(PathBuf),
}

impl Place {
    /// From a URL of printable ASCII.
    ///
    /// # Errors
    /// Why nobody is asked there.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once(':') else { return Err("it is no URL".into()) };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let path = path.strip_prefix("localhost").unwrap_or(path);
                return match path.starts_with('/') && !path.contains('%') {
                    true => Ok(Self::File(path.into())),
                    false => Err("it names no file by a whole path".into()),
                };
            }
            other => return Err(format!("{other} is not spoken here; http and file are")),
        }
        let rest = rest.strip_prefix("//").ok_or("it names no host")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']').ok_or("its address does not end")?;
                (address, port.strip_prefix(':'))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port.filter(|port| !port.is_empty()) {
            Some(port) => port.parse().map_err(|_| "its port is none")?,
            None => 80,
        };
        if host.is_empty() || host.contains('@') {
            return Err("it names no host".into());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self::Http { host: host.to_owned(), port, target: format!("{slash}{target}") })
    }

    /// The place of a responder, which is asked over HTTP alone.
    ///
    /// # Errors
    /// It is another one.
    pub(super) fn of_responder(self) -> Result<Self, String> {
        match self {
            Self::Http { .. } => Ok(self),
            Self::File(_) => Err("a responder is asked over http alone".into()),
        }
    }
}

/// What is there, or what is answered to `question`.
///
/// # Errors
/// Why nothing came.
pub(super) async fn fetch(
    place: &Place,
    question: Option<&[u8]>,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    match place {
        Place::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || from_file(&path, bytes_max));
            read.await.map_err(|error| error.to_string())?
        }
        Place::Http { host, port, target } => {
            let failed = |error: std::io::Error| error.to_string();
            let mut stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            stream.write_all(&request(host, *port, target, question)).await.map_err(failed)?;
            let limit = HEAD_BYTES_MAX.saturating_add(bytes_max).saturating_add(1);
            let mut came = Vec::with_capacity(READ_BYTES);
            let mut limited = stream.take(u64::try_from(limit).unwrap_or(u64::MAX));
            while limited.read_buf(&mut came).await.map_err(failed)? > 0 {
                if is_whole(&came) {
                    break;
                }
            }
            body(&came, bytes_max).map(<[u8]>::to_vec)
        }
    }
}

fn request(host: &str, port: u16, target: &str, question: Option<&[u8]>) -> Vec<u8> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let method = if question.is_some() { "POST" } else { "GET" };
    let mut head = format!(
        "{method} {target} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: oxkeeper\r\nAccept: */*\r\n\
         Connection: close\r\n"
    );
    if let Some(question) = question {
        let size = question.len();
        head.push_str(&format!("Content-Type: application/ocsp-request\r\nContent-Length: {size}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), question.unwrap_or_default()].concat()
}

/// The head of an answer, and what follows it.
fn parts(came: &[u8]) -> Option<(&[u8], &[u8])> {
    let limit = came.len().min(HEAD_BYTES_MAX);
    let end = came.get(..limit)?.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((came.get(..end)?, came.get(end.saturating_add(4)..)?))
}

/// The value of a header.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| std::str::from_utf8(line).ok());
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn length(head: &[u8]) -> Option<usize> {
    header(head, "Content-Length")?.parse().ok()
}

/// Whether all came that the head promises: not every server closes then.
fn is_whole(came: &[u8]) -> bool {
    parts(came).is_some_and(|(head, rest)| length(head).is_some_and(|length| rest.len() >= length))
}

/// What an answer holds.
fn body(came: &[u8], bytes_max: usize) -> Result<&[u8], String> {
    let (head, rest) = parts(came).ok_or("its answer is no answer of HTTP")?;
    let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = first.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !version.starts_with(b"HTTP/1.") {
        return Err("its answer is no answer of HTTP".into());
    }
    if status != b"200" {
        let status: String = status
            .iter()
            .take(3)
            .filter(|byte| byte.is_ascii_digit())
            .map(|byte| char::from(*byte))
            .collect();
        return Err(format!("its answer has the status {status} and not 200"));
    }
    if header(head, "Transfer-Encoding").is_some() {
        return Err("its answer is in pieces, which were not asked for".into());
    }
    let promised = length(head).unwrap_or(rest.len());
    if promised > bytes_max {
        return Err(format!("it is larger than {bytes_max} bytes"));
    }
    Ok(rest.get(..promised).ok_or("its answer is cut off")?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a list of revoked certificates is no file of the server's data"
)]
fn from_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is not a file".into());
    }
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut came = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(limit).read_to_end(&mut came).map_err(failed)?;
    if came.len() > bytes_max { Err(format!("it is larger than {bytes_max} bytes")) } else { Ok(came) }
}
