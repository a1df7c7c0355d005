//! The part of reading that is about TLS between members (reference: `QuorumX509Util`, `QuorumPeerConfig`).

use super::{Reading, Result};
use crate::config::PeerTls;
use crate::tls::{ClientAuth, Options, PeerOptions, Protocol};

/// Before the names of the keys.
const PREFIX: &str = "ssl.quorum.";
/// How long the first byte of a connection is waited for, in milliseconds, unless it is configured.
const DETECTION_MS: i32 = 5000;

impl Reading<'_> {
    /// TLS of the quorum and election ports, if this is a member and they speak it.
    pub(super) fn peer_tls(&mut self, is_member: bool) -> Result<Option<PeerTls>> {
        let dials = self.source.boolean("sslQuorum", false)?;
        let accepts_plain = self.source.boolean("portUnification", false)?;
        let reloads = self.source.boolean("sslQuorumReloadCertFiles", false)?;
        if !is_member || !(dials || accepts_plain) {
            return Ok(None);
        }
        let name = |rest: &str| format!("{PREFIX}{rest}");
        self.refuse_tls(PREFIX)?;
        let key_store = self.key_store(PREFIX, "as members speak TLS (sslQuorum, portUnification)")?;
        let Some(trust_store) = self.store(PREFIX, "trustStore")? else {
            return Err(self.source.missing(
                &name("trustStore.location"),
                "must name the store with the authorities of members' certificates: without it, no member would be \
                 believed",
            ));
        };
        let client_auth = self.client_auth(&name("clientAuth"))?;
        if client_auth != ClientAuth::Need {
            self.source.warnings.push(
                "ssl.quorum.clientAuth: whoever reaches the ports of members needs no certificate to take part; remove \
                 the key, so that each must have one"
                    .to_owned(),
            );
        }
        let protocols = self.peer_protocols()?;
        let suites = self.suites(&name("ciphersuites"), &protocols)?;
        let checks_server_host = self.source.flag(&name("hostnameVerification"), true);
        let checks_client_host =
            checks_server_host && self.source.flag(&name("clientHostnameVerification"), true);
        let detection = self.source.property_int(&name("handshakeDetectionTimeoutMillis"), DETECTION_MS);
        let asks = self.asks(PREFIX, ClientAuth::Need);
        let options = Options {
            key_store,
            trust_store: None,
            client_auth,
            protocols,
            suites,
            checks_client_host,
            asks,
        };
        Ok(Some(PeerTls {
            options: PeerOptions {
                options,
                trust_store,
                checks_server_host,
                may_name_members: self.source.flag(&name("allowReverseDnsLookup"), true),
            },
            dials,
            accepts_plain,
            detection_ms: u64::try_from(detection).ok().filter(|ms| *ms > 0).unwrap_or(5000),
            reloads,
        }))
    }

    /// Without a list, the reference's sockets between members speak what the JDK does by default in the version that
    /// `protocol` names: both in that of 1.3.
    fn peer_protocols(&mut self) -> Result<Vec<Protocol>> {
        if self.source.property("ssl.quorum.enabledProtocols").is_some() {
            return self.protocols(PREFIX);
        }
        match self.source.property("ssl.quorum.protocol") {
            None | Some("TLSv1.3" | "TLS") => Ok(vec![Protocol::V12, Protocol::V13]),
            Some("TLSv1.2") => Ok(vec![Protocol::V12]),
            Some(_) => Err(self.source.wrong_property("ssl.quorum.protocol", "must be TLSv1.2 or TLSv1.3")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, Environment};

    const MEMBER: &str = "clientPort=1\ninitLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2\n\
                          server.3=c:1:2\n";
    const STORES: &str = "ssl.quorum.keyStore.location=/k.p12\nssl.quorum.trustStore.location=/t.jks\n";

    fn read(text: &str) -> std::result::Result<Config, ConfigError> {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("myid"), "1").unwrap();
        let text = format!("dataDir={}\n{text}", home.path().display());
        Config::parse("zoo.cfg", text.as_bytes(), &Environment::default())
    }

    fn tls(more: &str) -> PeerTls {
        read(&format!("{MEMBER}{STORES}{more}")).unwrap().peer_tls.unwrap()
    }

    #[test]
    fn who_speaks_no_tls_needs_no_stores() {
        assert_eq!(read(MEMBER).unwrap().peer_tls, None);
        assert_eq!(read(&format!("{MEMBER}ssl.quorum.crl=true\n")).unwrap().peer_tls, None);
        let alone = "clientPort=1\nsslQuorum=true\n";
        assert_eq!(read(alone).unwrap().peer_tls, None);
    }

    #[test]
    fn members_are_checked_in_both_directions_unless_it_is_said_otherwise() {
        let usual = tls("sslQuorum=true\n");
        assert!(usual.dials && !usual.accepts_plain && !usual.reloads && usual.detection_ms == 5000);
        let PeerOptions { options, checks_server_host, may_name_members, .. } = usual.options;
        assert!(checks_server_host && options.checks_client_host && may_name_members);
        assert_eq!((options.client_auth, options.protocols.len()), (ClientAuth::Need, 2));

        let set = tls("portUnification=true\nsslQuorumReloadCertFiles=true\nssl.quorum.protocol=TLSv1.2\n\
             ssl.quorum.handshakeDetectionTimeoutMillis=70\nssl.quorum.clientHostnameVerification=false\n\
             ssl.quorum.allowReverseDnsLookup=false\n");
        assert!(!set.dials && set.accepts_plain && set.reloads && set.detection_ms == 70);
        assert!(set.options.checks_server_host && !set.options.options.checks_client_host);
        assert!(!set.options.may_name_members);
        assert_eq!(set.options.options.protocols, [Protocol::V12]);
        let none = tls("sslQuorum=true\nssl.quorum.hostnameVerification=false\n").options;
        assert!(!none.checks_server_host && !none.options.checks_client_host);
        let list = tls("sslQuorum=true\nssl.quorum.enabledProtocols=TLSv1.3\n").options.options;
        assert_eq!(list.protocols, [Protocol::V13]);
    }

    #[test]
    fn what_would_protect_and_is_not_there_stops_the_start() {
        for (line, part) in [
            ("ssl.quorum.context.supplier.class=a.B", "set ssl.quorum.keyStore.location"),
            ("ssl.quorum.clientAuth=maybe", "must be need, want or none"),
            ("ssl.quorum.protocol=SSLv3", "must be TLSv1.2 or TLSv1.3"),
            ("ssl.quorum.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA", "there are TLS_ECDHE"),
            ("ssl.quorum.keyStore.type=BKS", "must be JKS, PEM or PKCS12"),
        ] {
            let error = read(&format!("{MEMBER}{STORES}sslQuorum=true\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        for key in ["sslQuorum", "portUnification"] {
            let error = read(&format!("{MEMBER}{key}=true\n")).unwrap_err().to_string();
            assert!(error.contains("ssl.quorum.keyStore.location: must name"), "{error}");
            let keys = "ssl.quorum.keyStore.location=/k.p12";
            let error = read(&format!("{MEMBER}{key}=true\n{keys}\n")).unwrap_err().to_string();
            assert!(error.contains("ssl.quorum.trustStore.location: must name"), "{error}");
        }
    }

    #[test]
    fn a_member_that_asks_others_for_no_certificate_is_told_what_that_means() {
        let config = read(&format!("{MEMBER}{STORES}sslQuorum=true\nssl.quorum.clientAuth=want\n")).unwrap();
        assert!(config.warnings.iter().any(|warning| warning.contains("needs no certificate to take part")));
    }
}
