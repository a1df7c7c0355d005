//! The part of reading that is about TLS on client ports (reference: `ClientX509Util`, `NettyServerCnxnFactory`). A key
//! that would protect and cannot be honoured is an error here: nothing of the kind is passed over.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Reading, Result, comma_list};
use crate::config::Tls;
use crate::secret::Secret;
use crate::tls::stores::Format;
use crate::tls::{ClientAuth, Options, Password, Protocol, StoreFile, SuiteSet};

/// Before the names of the keys of client ports.
const CLIENT: &str = "ssl.";
/// Handshakes that may be unfinished at a time, unless it is configured: with some 10 KiB each, they take 40 MiB.
const HANDSHAKES_MAX: usize = 4096;

impl Reading<'_> {
    /// TLS, if a port speaks it; then the x509 scheme has a provider too.
    pub(super) fn tls(
        &mut self,
        has_secure_port: bool,
        providers: &mut HashSet<&'static str>,
    ) -> Result<Option<Tls>> {
        let on_client_port = self.source.flag("client.portUnification", false);
        if !has_secure_port && !on_client_port {
            return Ok(None);
        }
        if let Some(scheme) = self.source.property("ssl.authProvider").filter(|scheme| *scheme != "x509") {
            let problem = format!(
                "clients would be known by the scheme {scheme}, whose provider is a Java class; Oxkeeper has x509 \
                 alone; remove the key"
            );
            return Err(self.source.wrong_property("ssl.authProvider", problem));
        }
        providers.insert("x509");
        let options = self.tls_options(CLIENT)?;
        let limit = self.source.property_int("netty.server.outstandingHandshake.limit", -1);
        Ok(Some(Tls {
            options,
            on_client_port,
            handshakes_max: usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(HANDSHAKES_MAX),
            drops_early: self.source.flag("netty.server.earlyDropSecureConnectionHandshakes", false),
        }))
    }

    /// The keys that begin with `prefix`.
    fn tls_options(&mut self, prefix: &str) -> Result<Options> {
        let name = |rest: &str| format!("{prefix}{rest}");
        self.refuse_tls(prefix)?;
        let key_store = self.key_store(prefix, "as a client port speaks TLS")?;
        let mut trust_store = self.store(prefix, "trustStore")?;
        let mut client_auth = self.client_auth(&name("clientAuth"))?;
        match (client_auth, &trust_store) {
            (ClientAuth::Need, None) => {
                return Err(self.source.missing(
                    &name("trustStore.location"),
                    format!(
                        "must name the store with the authorities of client certificates, which every client needs; \
                         or set {prefix}clientAuth=none to ask for none"
                    ),
                ));
            }
            (ClientAuth::Want, None) => {
                self.source.warnings.push(format!(
                    "{prefix}clientAuth=want without {prefix}trustStore.location: no client can prove anything by a \
                     certificate, so none is asked for"
                ));
                client_auth = ClientAuth::None;
            }
            (ClientAuth::None, _) => trust_store = None,
            _ => {}
        }
        let protocols = self.protocols(prefix)?;
        let suites = self.suites(&name("ciphersuites"), &protocols)?;
        let checks_client_host = self.source.flag(&name("hostnameVerification"), true)
            && self.source.flag(&name("clientHostnameVerification"), false);
        if checks_client_host && self.source.flag(&name("allowReverseDnsLookup"), false) {
            return Err(self.source.wrong_property(
                &name("allowReverseDnsLookup"),
                "this version asks no name server for the name of a client; name the addresses of clients in their \
                 certificates, and remove the key",
            ));
        }
        let asks = self.asks(prefix, client_auth);
        Ok(Options { key_store, trust_store, client_auth, protocols, suites, checks_client_host, asks })
    }

    /// What would protect and is not there.
    pub(super) fn refuse_tls(&self, prefix: &str) -> Result<()> {
        let name = |rest: &str| format!("{prefix}{rest}");
        let supplier = name("context.supplier.class");
        if self.source.property(&supplier).is_some() {
            let problem =
                format!("Oxkeeper runs no Java classes; set {prefix}keyStore.location in its place");
            return Err(self.source.wrong_property(&supplier, problem));
        }
        Ok(())
    }

    pub(super) fn key_store(&self, prefix: &str, reason: &str) -> Result<StoreFile> {
        self.store(prefix, "keyStore")?.ok_or_else(|| {
            let problem = format!("must name the store with the server's key and certificate, {reason}");
            self.source.missing(&format!("{prefix}keyStore.location"), problem)
        })
    }

    pub(super) fn store(&self, prefix: &str, which: &str) -> Result<Option<StoreFile>> {
        let name = |rest: &str| format!("{prefix}{which}.{rest}");
        let location = name("location");
        let Some(path) = self.source.property(&location).filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let path = PathBuf::from(path);
        let kind = name("type");
        let format = match self.source.property(&kind).filter(|word| !word.is_empty()) {
            Some(word) => Format::from_word(word)
                .ok_or_else(|| self.source.wrong_property(&kind, "must be JKS, PEM or PKCS12"))?,
            None => Format::from_path(Path::new(&path)).ok_or_else(|| {
                let problem = format!(
                    "the file's name does not tell how it is written (.jks, .pem, .p12); set {kind} to JKS, PEM or \
                     PKCS12"
                );
                self.source.wrong_property(&location, problem)
            })?,
        };
        let in_file = self.source.property(&name("passwordPath")).filter(|path| !path.is_empty());
        let password = match in_file {
            Some(path) => Password::InFile(path.into()),
            None => Password::Given(Secret::new(self.source.property(&name("password")).unwrap_or_default())),
        };
        Ok(Some(StoreFile { origin: self.source.origin(&location), path, format, password }))
    }

    pub(super) fn client_auth(&self, key: &str) -> Result<ClientAuth> {
        match self.source.property(key).unwrap_or_default().to_ascii_uppercase().as_str() {
            "" | "NEED" => Ok(ClientAuth::Need),
            "WANT" => Ok(ClientAuth::Want),
            "NONE" => Ok(ClientAuth::None),
            _ => Err(self.source.wrong_property(key, "must be need, want or none")),
        }
    }

    /// Without a list, the reference's client ports speak the one version that `protocol` names.
    pub(super) fn protocols(&mut self, prefix: &str) -> Result<Vec<Protocol>> {
        let (list, one) = (format!("{prefix}enabledProtocols"), format!("{prefix}protocol"));
        let key = if self.source.property(&list).is_some() { list } else { one };
        let Some(names) = self.source.property(&key).map(comma_list) else { return Ok(vec![Protocol::V13]) };
        let mut protocols = Vec::new();
        for name in &names {
            match Protocol::from_name(name) {
                Some(protocol) => protocols.push(protocol),
                None => {
                    self.source.warnings.push(format!("{key}: {name} is not spoken; TLSv1.2 and TLSv1.3 are"))
                }
            }
        }
        if protocols.is_empty() {
            return Err(self.source.wrong_property(&key, "must name TLSv1.2 or TLSv1.3, or both"));
        }
        Ok(protocols)
    }

    pub(super) fn suites(&mut self, key: &str, protocols: &[Protocol]) -> Result<SuiteSet> {
        let Some(names) = self.source.property(key).map(comma_list) else {
            return Ok(SuiteSet::default().of_protocols(protocols));
        };
        let (suites, unknown) = SuiteSet::from_names(names.iter().map(String::as_str));
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            self.source.warnings.push(format!("{key}: not supported, and not offered: {unknown}"));
        }
        let suites = suites.of_protocols(protocols);
        if suites.is_empty() {
            let problem = format!(
                "none of these is supported by the versions of TLS spoken here; there are {}",
                SuiteSet::known()
            );
            return Err(self.source.wrong_property(key, problem));
        }
        Ok(suites)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, Environment};

    const SECURE: &str =
        "dataDir=/d\nsecureClientPort=1\nssl.keyStore.location=/k.p12\nssl.trustStore.location=/t.jks\n";

    fn read(text: &str, flags: &str) -> std::result::Result<Config, ConfigError> {
        let environment = Environment { jvmflags: flags.into(), ..Environment::default() };
        Config::parse("zoo.cfg", text.as_bytes(), &environment)
    }

    fn tls(more: &str) -> Tls {
        read(&format!("{SECURE}{more}"), "").unwrap().tls.unwrap()
    }

    fn refused(more: &str) -> String {
        read(&format!("{SECURE}{more}"), "").unwrap_err().to_string()
    }

    #[test]
    fn without_a_port_that_speaks_it_nothing_of_tls_counts() {
        let config = read("dataDir=/d\nclientPort=1\nssl.crl=true\nssl.keyStore.type=?\n", "").unwrap();
        assert!(config.tls.is_none() && !config.x509_auth_enabled);
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let Tls { options, on_client_port, handshakes_max, drops_early } = tls("");
        assert_eq!(options.client_auth, ClientAuth::Need);
        assert_eq!(options.protocols, [Protocol::V13]);
        assert_eq!(
            (options.key_store.format, options.key_store.origin.as_str()),
            (Format::Pkcs12, "zoo.cfg line 3: ssl.keyStore.location")
        );
        assert_eq!(options.trust_store.unwrap().format, Format::Jks);
        assert_eq!(options.key_store.password, Password::Given(Secret::from("")));
        assert!(!options.checks_client_host && !on_client_port && !drops_early);
        assert_eq!(handshakes_max, HANDSHAKES_MAX);
        assert!(read(SECURE, "").unwrap().x509_auth_enabled);
    }

    #[test]
    fn what_is_set_counts_and_flags_do_too() {
        let set =
            tls("ssl.clientAuth=Want\nssl.enabledProtocols=TLSv1.2,TLSv1.1\nssl.keyStore.passwordPath=/p\n\
             ssl.keyStore.password=x\nssl.keyStore.type=pem\nssl.clientHostnameVerification=true\n\
             netty.server.outstandingHandshake.limit=7\nclient.portUnification=true\n");
        assert_eq!((set.options.client_auth, set.handshakes_max), (ClientAuth::Want, 7));
        assert_eq!(set.options.protocols, [Protocol::V12]);
        assert_eq!(set.options.key_store.password, Password::InFile("/p".into()));
        assert_eq!(set.options.key_store.format, Format::Pem);
        assert!(set.options.checks_client_host && set.on_client_port);
        let flags = "-Dzookeeper.ssl.keyStore.location=/k.pem -Dzookeeper.ssl.clientAuth=none";
        let config = read("dataDir=/d\nsecureClientPort=1\n", flags).unwrap();
        let options = config.tls.unwrap().options;
        assert_eq!(options.key_store.origin, "JVMFLAGS: zookeeper.ssl.keyStore.location");
        assert_eq!((options.client_auth, options.trust_store), (ClientAuth::None, None));
    }

    /// Passed over, it would leave a port less guarded than somebody believes.
    #[test]
    fn what_would_protect_and_is_not_there_stops_the_start() {
        for (line, part) in [
            ("ssl.context.supplier.class=a.B", "runs no Java classes"),
            ("ssl.authProvider=mine", "the scheme mine"),
            ("ssl.clientAuth=maybe", "must be need, want or none"),
            ("ssl.keyStore.type=BKS", "must be JKS, PEM or PKCS12"),
            ("ssl.enabledProtocols=SSLv3", "must name TLSv1.2 or TLSv1.3"),
            ("ssl.protocol=TLSv1.1", "must name TLSv1.2 or TLSv1.3"),
            ("ssl.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA", "there are TLS_ECDHE"),
            ("ssl.ciphersuites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "there are TLS_ECDHE"),
            ("ssl.clientHostnameVerification=true\nssl.allowReverseDnsLookup=true", "no name server"),
        ] {
            let error = refused(line);
            assert!(error.contains(part), "{line}: {error}");
        }
        let no_trust =
            read("dataDir=/d\nsecureClientPort=1\nssl.keyStore.location=/k.p12\n", "").unwrap_err();
        assert!(no_trust.to_string().contains("ssl.trustStore.location: must name"), "{no_trust}");
        let no_keys = read("dataDir=/d\nclientPort=1\nclient.portUnification=true\n", "").unwrap_err();
        assert!(no_keys.to_string().contains("ssl.keyStore.location: must name"), "{no_keys}");
        let odd = read("dataDir=/d\nsecureClientPort=1\nssl.keyStore.location=/k.pfx\n", "").unwrap_err();
        assert!(odd.to_string().contains("set ssl.keyStore.type to"), "{odd}");
    }

    #[test]
    fn no_password_is_shown() {
        let config =
            read(&format!("{SECURE}ssl.keyStore.password=canary\nssl.trustStore.password=canary\n"), "");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn ciphers_that_are_not_supported_are_named() {
        let text =
            format!("{SECURE}ssl.ciphersuites=TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\n");
        let config = read(&text, "").unwrap();
        assert!(
            config.warnings.iter().any(|warning| warning.ends_with("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"))
        );
    }
}
