//! Why a handshake failed, for the log, with what can be done about it.

use std::io;

use rustls::{Error, PeerIncompatible};

/// Why a handshake failed. `prefix` begins the keys of the port's settings: `ssl` or `ssl.quorum`.
pub fn reason(error: &io::Error, prefix: &str) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the other side closed the connection".to_owned();
    }
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        )) => format!(
            "the other side offers no version of TLS that this port takes; clients before 3.9 may offer TLS 1.2 alone, \
             which {prefix}.enabledProtocols=TLSv1.2,TLSv1.3 lets in"
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_taken_is_named_with_its_remedy() {
        let refused = Error::from(PeerIncompatible::Tls12NotOfferedOrEnabled);
        let said = reason(&io::Error::new(io::ErrorKind::InvalidData, refused), "ssl.quorum");
        assert!(said.ends_with("ssl.quorum.enabledProtocols=TLSv1.2,TLSv1.3 lets in"), "{said}");
        let other = io::Error::new(io::ErrorKind::InvalidData, Error::NoCertificatesPresented);
        assert_eq!(reason(&other, "ssl"), "peer sent no certificates");
    }
}
