//! The part of reading that is about revoked certificates (reference: `X509Util.createTrustManager`).

use super::Reading;
use crate::tls::ClientAuth;
use crate::tls::revocation::Asks;

/// A file of the JDK's own settings, among which are some of OCSP.
const SECURITY_PROPERTIES: &str = "java.security.properties";
/// What the JDK can be told besides.
const OF_THE_JDK: [&str; 6] = [
    "com.sun.security.crl.timeout",
    "com.sun.security.crl.readtimeout",
    "com.sun.security.ocsp.timeout",
    "com.sun.security.ocsp.readtimeout",
    "com.sun.security.ocsp.clockSkew",
    "jdk.security.certpath.ocspNonce",
];

impl Reading<'_> {
    /// Whom to ask whether a certificate was revoked, by the keys that begin with `prefix`. As in the reference,
    /// `ocsp` alone asks lists too where no responder decides.
    pub(super) fn asks(&mut self, prefix: &str, client_auth: ClientAuth) -> Asks {
        let is_set = |rest: &str| self.source.flag(&format!("{prefix}{rest}"), false);
        let asks = match (is_set("ocsp"), is_set("crl")) {
            (true, _) => Asks::ResponderThenLists,
            (false, true) => Asks::Lists,
            (false, false) => return Asks::Nobody,
        };
        if client_auth == ClientAuth::None {
            self.source.warnings.push(format!(
                "{prefix}crl and {prefix}ocsp ask about nothing while clients are asked for no certificate; set \
                 {prefix}clientAuth to need or want"
            ));
        }
        if self.source.any_property(SECURITY_PROPERTIES).is_some() {
            self.source.warnings.push(format!(
                "{SECURITY_PROPERTIES} names a file that is not read here: ocsp.responderURL and its kin do not count. \
                 Responders and lists are asked where certificates say that they are"
            ));
        }
        let set = OF_THE_JDK.into_iter().filter(|name| self.source.any_property(name).is_some());
        let set: Vec<_> = set.collect();
        if !set.is_empty() {
            let set = set.join(", ");
            self.source.warnings.push(format!(
                "{set}: not read here; {prefix}crl and {prefix}ocsp ask for 4 seconds, allow clocks 15 minutes and send \
                 no nonce"
            ));
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn read(port: &str, text: &str, flags: &str) -> Config {
        let text = format!(
            "dataDir=/d\n{port}\nssl.keyStore.location=/k.p12\nssl.trustStore.location=/t.jks\n{text}"
        );
        let environment = Environment { jvmflags: flags.into(), ..Environment::default() };
        Config::parse("zoo.cfg", text.as_bytes(), &environment).unwrap()
    }

    /// etcd GHSA-3wh4-j44w-pg92, where a revocation list did not count on one of the ports.
    #[test]
    fn revocation_counts_on_every_port_that_speaks_tls() {
        for port in ["secureClientPort=1", "clientPort=1\nclient.portUnification=true"] {
            let asks = |text, flags| read(port, text, flags).tls.unwrap().options.asks;
            assert_eq!(asks("", ""), Asks::Nobody);
            assert_eq!(asks("ssl.crl=false\nssl.ocsp=no\n", ""), Asks::Nobody);
            assert_eq!(asks("ssl.crl=true\n", ""), Asks::Lists);
            assert_eq!(asks("ssl.ocsp=true\n", ""), Asks::ResponderThenLists);
            assert_eq!(asks("ssl.crl=true\nssl.ocsp=true\n", ""), Asks::ResponderThenLists);
            assert_eq!(asks("", "-Dzookeeper.ssl.crl=true"), Asks::Lists);
        }
    }

    #[test]
    fn what_would_not_count_is_told() {
        let told = |text, flags, part: &str| {
            let warnings = read("secureClientPort=1", text, flags).warnings;
            warnings.iter().any(|warning| warning.contains(part))
        };
        assert!(told("ssl.crl=true\nssl.clientAuth=none\n", "", "ask about nothing"));
        assert!(!told("ssl.crl=true\n", "", "ask about nothing"));
        let flags = "-Djava.security.properties=/etc/java.security";
        assert!(told("ssl.ocsp=true\n", flags, "ocsp.responderURL"));
        assert!(!told("", flags, "ocsp.responderURL"));
        let flags = "-Dcom.sun.security.ocsp.timeout=1 -Djdk.security.certpath.ocspNonce=true";
        assert!(told(
            "ssl.ocsp=true\n",
            flags,
            "com.sun.security.ocsp.timeout, jdk.security.certpath.ocspNonce: not"
        ));
        assert!(!told("", flags, "not read here"));
    }
}
