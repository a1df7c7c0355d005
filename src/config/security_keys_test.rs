//! Every key of the reference that is about security changes something here or stops the start; the others of the kind
//! have a reason why nothing is less protected without them.

use std::fs;

use tempfile::TempDir;

use super::keys::{KEYS, find};
use super::{Config, Environment};

/// A member that is secured in every way.
const BASE: &str = "clientPort=1\nsecureClientPort=2\ninitLimit=5\nsyncLimit=2\n\
    server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n\
    ssl.keyStore.location=/k.p12\nssl.trustStore.location=/t.jks\n\
    sslQuorum=true\nssl.quorum.keyStore.location=/k.p12\nssl.quorum.trustStore.location=/t.jks\n\
    authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
    quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n";
const USERS: &str =
    "org.apache.zookeeper.server.auth.DigestLoginModule required user_bob=a username=bob password=a;";
const KERBEROS: &str = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true \
    keyTab=\"/keytab\" principal=\"zkquorum/a@R\";";
const CHECKS_CLIENTS: &str = "ssl.clientHostnameVerification=true\n";
const PROMETHEUS: &str =
    "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n";

/// Keys with a value that is not their default, and what else must be set for it to count.
const EFFECTIVE: &[(&str, &str, &str)] = &[
    ("", "4lw.commands.whitelist", "ruok"),
    ("", "skipACL", "yes"),
    ("", "audit.enable", "true"),
    ("", "authProvider.2", "org.apache.zookeeper.server.auth.KeyAuthenticationProvider"),
    ("", "DigestAuthenticationProvider.enabled", "false"),
    ("", "DigestAuthenticationProvider.superDigest", "super:x"),
    ("", "DigestAuthenticationProvider.digestAlg", "SHA-256"),
    ("", "X509AuthenticationProvider.superUser", "CN=a"),
    ("", "superUser", "bob"),
    ("", "superUser.1", "bob"),
    ("", "letAnySaslUserDoX", "x"),
    ("", "ensembleAuthName", "east"),
    ("", "sessionRequireClientSASLAuth", "true"),
    ("enforce.auth.schemes=sasl\n", "enforce.auth.enabled", "true"),
    ("", "enforce.auth.schemes", "sasl"),
    ("", "allowSaslFailedClients", "true"),
    ("", "sasl.serverconfig", "Own"),
    ("", "SASLAuthenticationProvider.superPassword", "a"),
    ("", "java.security.auth.login.config", "/nowhere"),
    ("", "java.security.krb5.conf", "{krb5.conf}"),
    ("", "java.security.krb5.realm", "OTHER"),
    ("", "kerberos.removeHostFromPrincipal", "true"),
    ("", "kerberos.removeRealmFromPrincipal", "true"),
    ("java.security.auth.login.config={kerberos}\n", "kerberos.canonicalizeHostNames", "true"),
    ("", "security.auth_to_local", "RULE:[1:$1]"),
    ("java.security.krb5.conf=/nowhere\n", "requireKerberosConfig", "true"),
    ("", "server.realm", "OTHER"),
    ("", "fips-mode", "true"),
    ("", "quorum.auth.enableSasl", "false"),
    ("", "quorum.auth.serverRequireSasl", "true"),
    ("", "quorum.auth.learnerRequireSasl", "false"),
    ("", "quorum.auth.learner.saslLoginContext", "Own"),
    ("", "quorum.auth.server.saslLoginContext", "Own"),
    ("", "quorum.auth.kerberos.servicePrincipal", "zkquorum/_HOST"),
    ("", "secureClientPort", "3"),
    ("", "sslQuorum", "false"),
    ("", "portUnification", "true"),
    ("", "sslQuorumReloadCertFiles", "true"),
    ("", "client.portUnification", "true"),
    ("", "netty.server.outstandingHandshake.limit", "7"),
    ("", "netty.server.earlyDropSecureConnectionHandshakes", "true"),
    ("", "ssl.authProvider", "other"),
    (CHECKS_CLIENTS, "ssl.hostnameVerification", "false"),
    ("", "ssl.quorum.hostnameVerification", "false"),
    ("", "ssl.clientHostnameVerification", "true"),
    ("", "ssl.quorum.clientHostnameVerification", "false"),
    (CHECKS_CLIENTS, "ssl.allowReverseDnsLookup", "true"),
    ("", "ssl.quorum.allowReverseDnsLookup", "false"),
    ("", "ssl.quorum.handshakeDetectionTimeoutMillis", "7"),
    (PROMETHEUS, "metricsProvider.httpsPort", "7"),
];

/// The same, of client ports as of members.
const OF_BOTH: &[(&str, &str)] = &[
    ("protocol", "TLSv1.2"),
    ("enabledProtocols", "TLSv1.2"),
    ("ciphersuites", "TLS_AES_128_GCM_SHA256"),
    ("keyStore.location", "/other.p12"),
    ("keyStore.password", "a"),
    ("keyStore.passwordPath", "/password"),
    ("keyStore.type", "PEM"),
    ("trustStore.location", "/other.p12"),
    ("trustStore.password", "a"),
    ("trustStore.passwordPath", "/password"),
    ("trustStore.type", "PEM"),
    ("context.supplier.class", "a.B"),
    ("crl", "true"),
    ("ocsp", "true"),
    ("clientAuth", "none"),
];

const NO_ADMINISTRATION: &str = "there is no administration over HTTP to protect";

/// Keys that change nothing, and why that takes no protection away.
const IDLE: &[(&str, &str)] = &[
    ("admin.forceHttps", NO_ADMINISTRATION),
    ("admin.needClientAuth", NO_ADMINISTRATION),
    ("IPAuthenticationProvider.usexforwardedfor", NO_ADMINISTRATION),
    ("client.certReload", "stores of client ports are always looked at"),
    ("jdk.tls.rejectClientInitiatedRenegotiation", "nothing is negotiated anew"),
    ("kerberos.minReLoginTimeMs", "a server needs no ticket of its own"),
    ("kinit", "a server needs no ticket of its own"),
    ("javax.security.auth.useSubjectCredsOnly", "credentials come from the login configuration alone"),
    ("sun.security.jgss.native", "there is one implementation, whose keytab is in the login configuration"),
    ("metricsProvider.ssl.keyStore.location", "the port that would need it stops the start"),
    ("ssl.handshakeDetectionTimeoutMillis", "the first byte of a client has the time of a handshake"),
    ("ssl.sslProvider", "there is one implementation"),
];

/// How keys begin, or what is in them, that are of the kind.
const KIND: &[&str] = &[
    "ssl.",
    "jdk.tls.",
    "quorum.auth.",
    "kerberos.",
    "java.security.",
    "javax.security.",
    "sun.security.",
    "Auth",
    "auth",
    "superUser",
    "Sasl",
    "sasl",
    "SSL",
];

fn of_both() -> impl Iterator<Item = (String, &'static str)> {
    ["ssl.", "ssl.quorum."]
        .into_iter()
        .flat_map(|prefix| OF_BOTH.iter().map(move |(rest, value)| (format!("{prefix}{rest}"), *value)))
}

/// A directory with the files that the configurations name.
fn files() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let login = |module: &str| {
        ["Server", "QuorumServer", "QuorumLearner"]
            .map(|section| format!("{section} {{ {module} }};\n"))
            .concat()
    };
    let own = USERS.replace("bob", "own");
    for (name, text) in [
        ("myid", "1".to_owned()),
        ("digest", format!("{}Own {{ {own} }};\n", login(USERS))),
        ("kerberos", login(KERBEROS)),
        ("krb5.conf", "[libdefaults]\ndefault_realm = HERE\n".to_owned()),
    ] {
        fs::write(home.path().join(name), text).expect("it can be written");
    }
    home
}

/// What the file means; what was merely said about it is left out.
fn meaning(home: &TempDir, lines: &str) -> Result<Config, String> {
    let path = |name: &str| home.path().join(name).display().to_string();
    let lines = lines.replace("{kerberos}", &path("kerberos")).replace("{krb5.conf}", &path("krb5.conf"));
    let text = format!(
        "dataDir={}\njava.security.auth.login.config={}\n{BASE}{lines}",
        home.path().display(),
        path("digest")
    );
    let mut config = Config::parse("zoo.cfg", text.as_bytes(), &Environment::default())
        .map_err(|error| error.to_string())?;
    config.raw.clear();
    config.without_effect.clear();
    config.warnings.clear();
    Ok(config)
}

#[test]
fn every_key_that_protects_changes_something_or_stops_the_start() {
    let home = files();
    let both = of_both();
    let single = EFFECTIVE.iter().map(|(with, key, value)| (*with, (*key).to_owned(), *value));
    for (with, key, value) in single.chain(both.map(|(key, value)| ("", key, value))) {
        let without = meaning(&home, with).unwrap_or_else(|error| panic!("{with}: {error}"));
        let line = format!("{key}={value}\n");
        if let Ok(config) = meaning(&home, &format!("{with}{line}")) {
            assert!(config != without, "{line} changes nothing");
            assert!(config.unknown_keys.is_empty(), "{line} is not known");
        }
    }
}

#[test]
fn keys_of_the_kind_that_change_nothing_have_a_reason() {
    let home = files();
    let without = meaning(&home, "").expect("it can be read");
    for (key, why) in IDLE {
        assert!(find(key).is_some() && !why.is_empty(), "{key}");
        assert!(
            meaning(&home, &format!("{key}=true\n")).as_ref() == Ok(&without),
            "{key}=true changes something"
        );
    }
}

#[test]
fn every_key_of_the_kind_is_in_one_of_the_lists() {
    let listed: Vec<_> = EFFECTIVE
        .iter()
        .map(|(_, key, _)| (*key).to_owned())
        .chain(of_both().map(|(key, _)| key))
        .chain(IDLE.iter().map(|(key, _)| (*key).to_owned()))
        .collect();
    for key in KEYS {
        let is_of_the_kind = KIND.iter().any(|part| key.name.contains(part));
        let is_listed = listed.iter().any(|name| key.is_named(name));
        assert!(!is_of_the_kind || is_listed, "{} is in no list", key.name);
    }
}
