//! Handshakes in memory, with each store and each client.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::ClientConnectionData;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind};

use super::stores::{self, Format, StoreError};
use super::testing::{NOW_MS, Now, client_of, format, load, options, secret, store, testdata};
use super::*;

fn carry<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Result<bool, rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(!bytes.is_empty())
}

/// A whole handshake; the server's end, or why the server refuses.
fn shake(context: &Context, config: &Arc<ClientConfig>) -> Result<ServerConnection, String> {
    let mut client =
        ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut server = context.connection().unwrap();
    loop {
        let asked =
            carry::<ClientConnectionData, _>(&mut client, &mut server).map_err(|error| error.to_string())?;
        let answered = carry(&mut server, &mut client).unwrap_or(false);
        if !asked && !answered {
            break;
        }
    }
    assert!(!server.is_handshaking());
    server.writer().write_all(b"hello").unwrap();
    carry(&mut server, &mut client).unwrap();
    let mut heard = [0; 5];
    client.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    Ok(server)
}

fn subject(context: &Context, config: &Arc<ClientConfig>) -> Result<Option<String>, String> {
    let server = shake(context, config)?;
    let proven = context.proven(&server, [127, 0, 0, 1].into(), NOW_MS)?;
    Ok(proven.map(|proven| proven.subject))
}

#[test]
fn every_kind_of_key_store_opens_and_serves() {
    let own = stores::keys(Format::Pem, &testdata("server.pem"), &secret()).unwrap();
    for name in [
        "openssl.p12",
        "legacy.p12",
        "keytool.p12",
        "keys.jks",
        "server.pem",
        "encrypted.pem",
        "encrypted-old.pem",
        "sec1.pem",
        "rsa.pem",
    ] {
        let bytes = testdata(name);
        let keys =
            stores::keys(format(name), &bytes, &secret()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(name == "rsa.pem" || keys[0].chain[0] == own[0].chain[0], "{name}");
        if !["encrypted-old.pem", "sec1.pem", "rsa.pem"].contains(&name) {
            assert_eq!(keys[0].chain, own[0].chain, "{name} has the issuer's certificate too");
        }
        let context = load(&Options { key_store: store(name), ..options(ClientAuth::None, "") }).unwrap();
        for protocol in [Protocol::V12, Protocol::V13] {
            assert_eq!(subject(&context, &client_of(None, protocol)), Ok(None), "{name}");
        }
    }
    // Java opens either of the two by the name of the other.
    assert!(stores::keys(Format::Jks, &testdata("keytool.p12"), &secret()).is_ok());
    assert!(stores::keys(Format::Pkcs12, &testdata("keys.jks"), &secret()).is_ok());
}

#[test]
fn a_wrong_password_a_wrong_type_and_a_damaged_store_are_told_apart() {
    let wrong = Secret::from("wrong");
    for name in ["openssl.p12", "legacy.p12", "keytool.p12", "keys.jks", "encrypted.pem", "encrypted-old.pem"]
    {
        let opened = stores::keys(format(name), &testdata(name), &wrong);
        assert_eq!(opened.unwrap_err(), StoreError::WrongPassword, "{name}");
    }
    for name in ["trust.p12", "trust.jks", "trust-old.p12"] {
        let opened = stores::trusted(format(name), &testdata(name), &wrong);
        assert_eq!(opened.unwrap_err(), StoreError::WrongPassword, "{name}");
    }
    let told = |format, bytes: &[u8]| stores::keys(format, bytes, &secret()).unwrap_err().to_string();
    assert!(told(Format::Bcfks, b"0").contains("-deststoretype PKCS12"));
    assert!(told(Format::Jks, &[0xCE; 40]).contains("JCEKS"));
    assert!(told(Format::Pkcs12, &testdata("server.pem")).contains("set the type to PEM"));
    assert!(told(Format::Pem, &testdata("ca.pem")).contains("no private key"));
    assert!(told(Format::Pem, b"-----BEGIN X-----\n").contains("does not end"));
    assert!(stores::keys(Format::Pem, &testdata("encrypted.pem"), &Secret::from("")).is_err());
}

#[test]
fn no_damaged_byte_panics() {
    for name in ["openssl.p12", "legacy.p12", "keys.jks", "trust.p12", "encrypted.pem"] {
        let whole = testdata(name);
        for at in (0..whole.len()).step_by(whole.len().div_ceil(60)) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            let _any = stores::keys(format(name), &damaged, &secret());
            let _any = stores::trusted(format(name), &whole[..at], &secret());
        }
    }
}

#[test]
fn only_what_java_marks_as_trusted_is_trusted() {
    let ca = stores::trusted(Format::Pem, &testdata("ca.pem"), &secret()).unwrap();
    for name in ["trust.p12", "trust.jks", "trust-old.p12"] {
        assert_eq!(stores::trusted(format(name), &testdata(name), &secret()).unwrap(), ca, "{name}");
    }
    for name in ["untrusted.p12", "keys.jks", "keytool.p12"] {
        let told = stores::trusted(format(name), &testdata(name), &secret()).unwrap_err().to_string();
        assert!(told.contains("no certificate that is marked as trusted"), "{name}: {told}");
    }
}

#[test]
fn clients_that_java_believes_are_believed() {
    let context = load(&options(ClientAuth::Need, "trust.jks")).unwrap();
    for protocol in [Protocol::V12, Protocol::V13] {
        for (name, expected) in [
            ("client.pem", "CN=client,O=Oxkeeper\\, test,C=DE"),
            ("rsa.pem", "CN=rsa"),
            ("p521.pem", "CN=p521"),
            ("v1.pem", "CN=v1"),
            ("v1-below.pem", "CN=v1 below"),
        ] {
            let proven = subject(&context, &client_of(Some(name), protocol));
            assert_eq!(proven, Ok(Some(expected.into())), "{name} {protocol:?}");
        }
    }
    // Who is in the trust store needs no issuer, and may be marked as an authority.
    let context = load(&options(ClientAuth::Need, "self.pem")).unwrap();
    assert_eq!(subject(&context, &client_of(Some("self.pem"), Protocol::V13)), Ok(Some("CN=self".into())));
}

#[test]
fn clients_that_java_refuses_are_refused() {
    for protocol in [Protocol::V12, Protocol::V13] {
        for (trust, name, expected) in [
            ("trust.jks", "self.pem", "UnknownIssuer"),
            ("trust.jks", "v1-forged.pem", "UnknownIssuer"),
            ("trust.jks", "expired.pem", "Expired"),
            ("trust.jks", "server-only.pem", "InvalidPurpose"),
            // Of one that is trusted itself, nobody else asks what it may be used for.
            ("server-only.pem", "server-only.pem", "InvalidPurpose"),
        ] {
            let context = load(&options(ClientAuth::Want, trust)).unwrap();
            let refused = shake(&context, &client_of(Some(name), protocol)).unwrap_err();
            assert!(refused.contains(expected), "{name} {protocol:?}: {refused}");
        }
    }
}

#[test]
fn a_client_without_a_certificate_gets_in_where_none_is_needed() {
    for (client_auth, gets_in) in
        [(ClientAuth::None, true), (ClientAuth::Want, true), (ClientAuth::Need, false)]
    {
        let context = load(&options(client_auth, "trust.p12")).unwrap();
        for protocol in [Protocol::V12, Protocol::V13] {
            assert_eq!(
                shake(&context, &client_of(None, protocol)).is_ok(),
                gets_in,
                "{client_auth:?} {protocol:?}"
            );
        }
    }
}

/// ZOOKEEPER-4958: the check of the name was passed over.
#[test]
fn the_address_of_a_client_must_be_named_where_that_is_asked_for() {
    let asked = Options { checks_client_host: true, ..options(ClientAuth::Need, "trust.jks") };
    let context = load(&asked).unwrap();
    let server = shake(&context, &client_of(Some("server.pem"), Protocol::V13)).unwrap();
    for (peer, is_named) in
        [("127.0.0.1", true), ("::1", true), ("::ffff:127.0.0.1", true), ("127.0.0.2", false)]
    {
        let proven = context.proven(&server, peer.parse().unwrap(), NOW_MS);
        assert_eq!(proven.is_ok(), is_named, "{peer}: {proven:?}");
    }
}

/// Otherwise a certificate would count for ever once it was believed.
#[test]
fn a_session_that_is_resumed_proves_no_more_than_a_new_one() {
    let context = load(&options(ClientAuth::Need, "trust.jks")).unwrap();
    for protocol in [Protocol::V12, Protocol::V13] {
        let config = client_of(Some("client.pem"), protocol);
        assert_eq!(shake(&context, &config).unwrap().handshake_kind(), Some(HandshakeKind::Full));
        let resumed = shake(&context, &config).unwrap();
        assert_eq!(resumed.handshake_kind(), Some(HandshakeKind::Resumed), "{protocol:?}");
        let peer = [127, 0, 0, 1].into();
        assert!(context.proven(&resumed, peer, NOW_MS).unwrap().is_some());
        let in_200_years = NOW_MS + 200 * 366 * 86_400_000;
        assert!(context.proven(&resumed, peer, in_200_years).unwrap_err().contains("Expired"));
        // A context that was made anew knows no session of the one before.
        let anew = load(&options(ClientAuth::Need, "trust.jks")).unwrap();
        assert_eq!(shake(&anew, &config).unwrap().handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn only_the_versions_and_ciphers_that_were_asked_for_are_spoken() {
    let (suites, _) = SuiteSet::from_names(["TLS_AES_128_GCM_SHA256"]);
    let asked = Options { protocols: vec![Protocol::V13], suites, ..options(ClientAuth::None, "") };
    let context = load(&asked).unwrap();
    assert!(shake(&context, &client_of(None, Protocol::V12)).is_err());
    let server = shake(&context, &client_of(None, Protocol::V13)).unwrap();
    assert_eq!(
        server.negotiated_cipher_suite().unwrap().suite(),
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
    );
}

#[test]
fn what_is_wrong_names_the_setting_and_the_file_and_no_password() {
    let absent = Context::load(
        &options(ClientAuth::None, ""),
        &|_| Err(io::ErrorKind::NotFound.into()),
        Arc::new(Now),
    );
    let told = absent.unwrap_err().to_string();
    assert!(told.starts_with("zoo.cfg line 7: ssl.keyStore.location: keytool.p12 cannot be read"), "{told}");
    let key_store = StoreFile { password: Password::Given(Secret::from("canary")), ..store("keys.jks") };
    let error = load(&Options { key_store, ..options(ClientAuth::None, "") }).unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("keys.jks: the password does not open it") && !told.contains("canary"), "{told}");
}

#[test]
fn a_password_file_may_end_its_line() {
    let key_store = StoreFile { password: Password::InFile("password".into()), ..store("keys.jks") };
    let asked = Options { key_store, ..options(ClientAuth::None, "") };
    let with = |password: &'static [u8]| {
        let read =
            |path: &Path| Ok(if path == Path::new("password") { password.to_vec() } else { testdata(path) });
        Context::load(&asked, &read, Arc::new(Now))
    };
    assert!(with(b"secret-of-test").is_ok() && with(b"secret-of-test\n").is_ok());
    assert!(with(b"secret-of-test\n\n").is_err() && with(b"").is_err());
    assert_eq!(asked.files().len(), 2);
}
