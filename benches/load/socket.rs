//! A connection to the server, plain or with TLS, as bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::digest::Login;

/// Where the server is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its port.
    pub address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// How each session logs in.
    pub login: Option<Login>,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None, login: None }
    }
}

impl Target {
    /// A server that speaks TLS: who vouches for it (PEM), a certificate with its key (PEM) for a server that wants one,
    /// and whether connections after the first may be resumed.
    ///
    /// # Errors
    /// When the files cannot be read, or hold something else.
    pub fn with_tls(
        address: SocketAddr,
        authority: &Path,
        identity: Option<&Path>,
        version: &'static SupportedProtocolVersion,
        resumes: bool,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority).context("the authority")? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let chain = CertificateDer::pem_file_iter(path).context("the identity")?;
                let key = PrivateKeyDer::from_pem_file(path).context("the key of the identity")?;
                builder.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?
            }
        };
        if !resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Ok(Self { address, tls: Some(Arc::new(config)), login: None })
    }

    /// Connects; the handshake of TLS goes with the first bytes.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(&self) -> Result<Socket> {
        let address = self.address;
        let stream = TcpStream::connect(address).with_context(|| format!("{address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(address.ip());
                Some(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        Ok(Socket { stream, tls })
    }
}

/// A connection.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Socket {
    /// What the system knows of it.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether a read that leaves room says that nothing more is there.
    #[must_use]
    pub const fn short_reads_empty_it(&self) -> bool {
        self.tls.is_none()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(buffer),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.write(bytes),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write(bytes),
        }
    }

    /// Has everything leave that was encrypted; `WouldBlock` when the socket takes no more now.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).flush(),
        }
    }
}
