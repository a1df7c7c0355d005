//! For tests: a key distribution centre that makes tickets of every kind, and a client that uses them.

use super::acceptor::{Acceptor, CLOCK_SKEW};
use super::crypto::{EncryptionType, Key, Usage};
use super::der::{self, Reader, element, field, integer, octets, sequence, tag};
use super::exchange::{Admits, Gssapi};
use super::keytab_file::KeytabFile;
use super::message::encrypted;
use super::name::Principal;
use super::wrap::Channel;
use super::{gss, hex};
use crate::auth::principal::Naming;

/// The time of all tests: 2026-01-01, in seconds since 1970.
pub(super) const NOW: i64 = 1_767_225_600;

pub(super) const SERVICE: &str = "zookeeper/host.example.com@EXAMPLE.COM";
pub(super) const CLIENT: &str = "alice/desk@EXAMPLE.COM";

/// Names as they are without any rule: that of the realm's principals is what the rules are about.
fn naming() -> Naming {
    Naming { default_realm: "EXAMPLE.COM".into(), ..Naming::default() }
}

/// Bytes that are the same each time.
pub(super) fn no_random(bytes: &mut [u8]) -> Result<(), String> {
    bytes.fill(0x5a);
    Ok(())
}

pub(super) fn principal(text: &str) -> Principal {
    Principal::parse(text, None).expect("a name")
}

/// A key of the encryption type with this number, of this byte alone.
pub(super) fn key(number: i32, byte: u8) -> Key {
    let kind = EncryptionType::of(number).expect("it is served");
    Key::new(kind, &vec![byte; kind.key_len()]).expect("a key of that length")
}

/// A keytab of version 0x502 with these entries: principal, version, type, key.
pub(super) fn keytab(entries: &[(&str, u32, i32, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![5, 2];
    for (name, version, kind, bytes) in entries {
        let name = principal(name);
        let counted = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).expect("it is short").to_be_bytes();
            [&length[..], bytes].concat()
        };
        let mut entry = u16::try_from(name.components().len()).expect("few").to_be_bytes().to_vec();
        entry.extend(counted(name.realm().as_bytes()));
        for component in name.components() {
            entry.extend(counted(component.as_bytes()));
        }
        entry.extend([0, 0, 0, 1, 0x65, 0, 0, 0]);
        entry.push(version.to_be_bytes()[3]);
        entry.extend(u16::try_from(*kind).expect("it is small").to_be_bytes());
        entry.extend(counted(bytes));
        entry.extend(version.to_be_bytes());
        file.extend(u32::try_from(entry.len()).expect("it is short").to_be_bytes());
        file.extend(entry);
    }
    file
}

/// A keytab with one AES key of the service for each type, all of version 3.
pub(super) fn service_keytab() -> Vec<u8> {
    let entries: Vec<_> =
        (17..=20).map(|number| (SERVICE, 3, number, key(number, 1).expose().to_vec())).collect();
    keytab(&entries)
}

/// The mechanism of the service, at [`NOW`], with the keytab in a directory that lives as long.
pub(super) fn gssapi() -> (Gssapi, tempfile::TempDir) {
    gssapi_for(Admits::Clients(naming()))
}

/// The same, for others.
pub(super) fn gssapi_for(admits: Admits) -> (Gssapi, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keytab");
    std::fs::write(&path, service_keytab()).expect("the keytab is written");
    let keytab = KeytabFile::open(&path, &principal(SERVICE)).expect("the keytab is read");
    let acceptor = Acceptor::new(principal(SERVICE), CLOCK_SKEW, no_random);
    (Gssapi::new(acceptor, keytab, admits, || NOW * 1000), directory)
}

/// What a client's first token is made of. The default is what the service takes.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) service: &'static str,
    pub(super) service_key: Key,
    pub(super) version: Option<u32>,
    /// The type that the ticket says it is encrypted with, if another than that of the key.
    pub(super) claims: Option<i32>,
    pub(super) ticket_client: &'static str,
    pub(super) starts: Option<i64>,
    pub(super) ends: i64,
    pub(super) flags: u32,
    pub(super) session_key: Key,
    /// The type that the ticket says its session key is of.
    pub(super) session_kind: i32,
    pub(super) authenticator_key: Key,
    pub(super) client: &'static str,
    pub(super) time: i64,
    pub(super) microseconds: i64,
    pub(super) subkey: Option<Key>,
    pub(super) number: Option<i64>,
    pub(super) options: u32,
    /// The flags of the context: 2 for mutual authentication, 4 and 8 for order.
    pub(super) wants: u8,
    pub(super) checksum: bool,
}

impl Default for Made {
    fn default() -> Self {
        Self::of(18)
    }
}

fn key_as(kind: i32, key: &Key) -> Vec<u8> {
    sequence(&[field(0, &integer(kind.into())), field(1, &octets(key.expose()))])
}

impl Made {
    /// With keys of one type.
    pub(super) fn of(number: i32) -> Self {
        Self {
            service: SERVICE,
            service_key: key(number, 1),
            version: Some(3),
            claims: None,
            ticket_client: CLIENT,
            starts: Some(NOW - 60),
            ends: NOW + 36_000,
            flags: 0,
            session_key: key(number, 2),
            session_kind: number,
            authenticator_key: key(number, 2),
            client: CLIENT,
            time: NOW,
            microseconds: 1,
            subkey: Some(key(number, 3)),
            number: Some(1000),
            options: 0,
            wants: 2 | 4 | 8 | 0x30,
            checksum: true,
        }
    }

    fn ticket(&self) -> Vec<u8> {
        let client = principal(self.ticket_client);
        let transited = sequence(&[field(0, &integer(0)), field(1, &octets(b""))]);
        let mut fields = vec![
            field(0, &der::flags(self.flags)),
            field(1, &key_as(self.session_kind, &self.session_key)),
            field(2, &der::text(client.realm())),
            field(3, &client.write()),
            field(4, &transited),
            field(5, &der::time(NOW - 60)),
        ];
        fields.extend(self.starts.map(|starts| field(6, &der::time(starts))));
        fields.push(field(7, &der::time(self.ends)));
        let part = element(tag::application(3), &sequence(&fields));
        let service = principal(self.service);
        let sealed = self.service_key.encrypt(Usage::Ticket, &part, no_random).expect("it is encrypted");
        let kind = self.claims.unwrap_or_else(|| self.service_key.kind().number());
        let mut data = vec![field(0, &integer(kind.into()))];
        data.extend(self.version.map(|version| field(1, &integer(version.into()))));
        data.push(field(2, &octets(&sealed)));
        element(
            tag::application(1),
            &sequence(&[
                field(0, &integer(5)),
                field(1, &der::text(service.realm())),
                field(2, &service.write()),
                field(3, &sequence(&data)),
            ]),
        )
    }

    fn authenticator(&self) -> Vec<u8> {
        let client = principal(self.client);
        let checksum = [&[16, 0, 0, 0][..], &[0; 16], &[self.wants, 0, 0, 0]].concat();
        let mut fields =
            vec![field(0, &integer(5)), field(1, &der::text(client.realm())), field(2, &client.write())];
        if self.checksum {
            fields.push(field(3, &sequence(&[field(0, &integer(0x8003)), field(1, &octets(&checksum))])));
        }
        fields.push(field(4, &integer(self.microseconds)));
        fields.push(field(5, &der::time(self.time)));
        fields.extend(self.subkey.as_ref().map(|key| field(6, &key_as(key.kind().number(), key))));
        fields.extend(self.number.map(|number| field(7, &integer(number))));
        element(tag::application(2), &sequence(&fields))
    }

    /// The token.
    pub(super) fn token(&self) -> Vec<u8> {
        let authenticator = self.authenticator();
        let sealed =
            encrypted(&self.authenticator_key, None, Usage::Authenticator, &authenticator, no_random);
        let request = sequence(&[
            field(0, &integer(5)),
            field(1, &integer(14)),
            field(2, &der::flags(self.options)),
            field(3, &self.ticket()),
            field(4, &sealed.expect("it is encrypted")),
        ]);
        gss::ap_req_token(&element(tag::application(14), &request))
    }

    /// The client's end of the context, once the service has answered with this token, if it did.
    pub(super) fn channel(&self, reply: Option<&[u8]>) -> Channel {
        let number = u32::try_from(self.number.unwrap_or(0)).expect("it is small");
        let own = self.subkey.clone().unwrap_or_else(|| self.session_key.clone());
        let (key, is_acceptor_subkey, expects) = match reply {
            None => (own, false, number),
            Some(reply) => {
                let (key, number) = self.read_reply(reply);
                (key, true, number)
            }
        };
        Channel { key, is_acceptor_subkey, is_acceptor: false, sends: number, expects: Some(expects) }
    }

    /// The service's key and number in an AP-REP, which must give this client's time back.
    fn read_reply(&self, reply: &[u8]) -> (Key, u32) {
        let start = hex::unhex("06092a864886f71201020202 00");
        let content = Reader::new(reply).read(tag::application(0), "reply").expect("a token").rest();
        let message = content.strip_prefix(&start[..]).expect("it carries an AP-REP");
        let mut outer = Reader::new(message).read(tag::application(15), "AP-REP").expect("an AP-REP");
        let mut fields = outer.sequence("AP-REP").expect("fields");
        assert_eq!(fields.field(0, "version").and_then(|mut field| field.integer("version")), Ok(5));
        assert_eq!(fields.field(1, "type").and_then(|mut field| field.integer("type")), Ok(15));
        let mut data = fields.field(2, "part").and_then(|mut part| part.sequence("part")).expect("a part");
        data.field(0, "type").expect("a type");
        let sealed = data.field(2, "cipher").and_then(|mut field| field.octets("cipher")).expect("octets");
        let plain = self.session_key.decrypt(Usage::ApRep, sealed).expect("it is for this session");
        let mut part = Reader::new(&plain).read(tag::application(27), "part").expect("a part");
        let mut part = part.sequence("part").expect("fields");
        assert_eq!(part.field(0, "time").and_then(|mut field| field.time("time")), Ok(self.time));
        assert_eq!(
            part.field(1, "cusec").and_then(|mut field| field.integer("cusec")),
            Ok(self.microseconds)
        );
        let mut subkey = part.field(2, "key").and_then(|mut field| field.sequence("key")).expect("a key");
        let kind = subkey.field(0, "kind").and_then(|mut field| field.integer_32("kind")).expect("a kind");
        let bytes = subkey.field(1, "bytes").and_then(|mut field| field.octets("bytes")).expect("bytes");
        let number = part.field(3, "number").and_then(|mut field| field.unsigned_32("number"));
        let kind = EncryptionType::of(kind).expect("it is served");
        (Key::new(kind, bytes).expect("a key of that length"), number.expect("a number"))
    }
}
