//! The messages between a client and a service (RFC 4120 section 5).

use zeroize::Zeroizing;

use super::crypto::{EncryptionType, Key, Random, Usage, name_of};
use super::der::{self, DerError, Reader, tag};
use super::name::Principal;
use super::tickets::Ticket;

/// The version of the protocol.
const VERSION: i64 = 5;

/// A ticket that is not valid yet, whatever its times say.
const FLAG_INVALID: u32 = 1 << (31 - 7);
/// The ticket is under the key of another ticket, and not under the service's own.
const OPTION_USE_SESSION_KEY: u32 = 1 << (31 - 1);

/// Something encrypted, and with which key.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncryptedData<'a> {
    pub(super) kind: i32,
    pub(super) version: Option<u32>,
    pub(super) sealed: &'a [u8],
}

impl<'a> EncryptedData<'a> {
    pub(super) fn read(from: &mut Reader<'a>, what: &'static str) -> Result<Self, DerError> {
        let mut fields = from.sequence(what)?;
        let kind = fields.field(0, what)?.integer_32(what)?;
        let version = fields.field_if(1, what)?.map(|mut field| field.unsigned_32(what)).transpose()?;
        let sealed = fields.field(2, what)?.octets(what)?;
        fields.end(what)?;
        Ok(Self { kind, version, sealed })
    }

    /// Decrypts with the key, which must be of the type that the message names.
    pub(super) fn decrypt(&self, key: &Key, usage: Usage) -> Option<Zeroizing<Vec<u8>>> {
        (key.kind().number() == self.kind).then(|| key.decrypt(usage, self.sealed))?
    }
}

/// Encrypts, and says with which key.
pub(super) fn encrypted(
    key: &Key,
    version: Option<u32>,
    usage: Usage,
    plain: &[u8],
    random: Random,
) -> Result<Vec<u8>, String> {
    let sealed = key.encrypt(usage, plain, random)?;
    let mut fields = vec![der::field(0, &der::integer(key.kind().number().into()))];
    fields.extend(version.map(|version| der::field(1, &der::integer(version.into()))));
    fields.push(der::field(2, &der::octets(&sealed)));
    Ok(der::sequence(&fields))
}

/// Reads a number that a message must have.
pub(super) fn expect(
    field: &mut Reader<'_>,
    number: u8,
    value: i64,
    what: &'static str,
) -> Result<(), DerError> {
    if field.field(number, what)?.integer(what)? == value { Ok(()) } else { Err(DerError::Value(what)) }
}

/// What a client begins with: a ticket, and a proof that it knows the key in it.
#[derive(Debug)]
pub(super) struct ApReq<'a> {
    pub(super) service: Principal,
    pub(super) ticket: EncryptedData<'a>,
    pub(super) authenticator: EncryptedData<'a>,
    pub(super) is_user_to_user: bool,
}

impl<'a> ApReq<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DerError> {
        let what = "the AP-REQ";
        let mut message = Reader::new(bytes);
        let mut outer = message.read(tag::application(14), what)?;
        message.end(what)?;
        let mut fields = outer.sequence(what)?;
        outer.end(what)?;
        expect(&mut fields, 0, VERSION, "the AP-REQ's version")?;
        expect(&mut fields, 1, 14, "the AP-REQ's type")?;
        let options = fields.field(2, what)?.flags("the AP-REQ's options")?;
        let (service, ticket) = read_ticket(&mut fields.field(3, what)?)?;
        let authenticator = EncryptedData::read(&mut fields.field(4, what)?, "the encrypted authenticator")?;
        fields.end(what)?;
        Ok(Self { service, ticket, authenticator, is_user_to_user: options & OPTION_USE_SESSION_KEY != 0 })
    }
}

fn read_ticket<'a>(from: &mut Reader<'a>) -> Result<(Principal, EncryptedData<'a>), DerError> {
    let what = "the ticket";
    let mut fields = from.read(tag::application(1), what)?.sequence(what)?;
    expect(&mut fields, 0, VERSION, "the ticket's version")?;
    let realm = fields.field(1, what)?.text("the ticket's realm")?;
    let service = Principal::read(&mut fields.field(2, what)?, realm, "the ticket's service")?;
    let sealed = EncryptedData::read(&mut fields.field(3, what)?, "the ticket's encrypted part")?;
    fields.end(what)?;
    Ok((service, sealed))
}

/// Why a key in a message cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error(transparent)]
    Der(#[from] DerError),
    #[error("{0} is of {1}, which is not served; AES is")]
    Kind(&'static str, String),
    #[error("{0} has a wrong length")]
    Length(&'static str),
}

pub(super) fn read_key(from: &mut Reader<'_>, what: &'static str) -> Result<Key, KeyError> {
    let mut fields = from.sequence(what)?;
    let number = fields.field(0, what)?.integer_32(what)?;
    let bytes = fields.field(1, what)?.octets(what)?;
    fields.end(what)?;
    let kind = EncryptionType::of(number).ok_or_else(|| KeyError::Kind(what, name_of(number)))?;
    Key::new(kind, bytes).ok_or(KeyError::Length(what))
}

fn write_key(key: &Key) -> Zeroizing<Vec<u8>> {
    let number = der::field(0, &der::integer(key.kind().number().into()));
    Zeroizing::new(der::sequence(&[number, der::field(1, &der::octets(key.expose()))]))
}

/// What the key distribution centre says in a ticket. Times are in seconds since 1970.
#[derive(Debug)]
pub(super) struct TicketPart {
    pub(super) is_invalid: bool,
    pub(super) session_key: Key,
    pub(super) client: Principal,
    pub(super) starts: Option<i64>,
    pub(super) ends: i64,
}

impl TicketPart {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        let what = "the ticket's content";
        let mut message = Reader::new(bytes);
        let mut fields = message.read(tag::application(3), what)?.sequence(what)?;
        let flags = fields.field(0, what)?.flags("the ticket's flags")?;
        let session_key = read_key(&mut fields.field(1, what)?, "the ticket's session key")?;
        let realm = fields.field(2, what)?.text("the client's realm")?;
        let client = Principal::read(&mut fields.field(3, what)?, realm, "the client's name")?;
        // Which realms it passed is the key distribution centre's to judge, as for the JDK.
        fields.field(4, what)?;
        fields.field(5, what)?.time("the ticket's authtime")?;
        let starts =
            fields.field_if(6, what)?.map(|mut field| field.time("the ticket's starttime")).transpose()?;
        let ends = fields.field(7, what)?.time("the ticket's endtime")?;
        // What follows (renewal, addresses, authorization data) is not used: the JDK's acceptor, too, looks at
        // addresses only when it was given some to compare with.
        Ok(Self { is_invalid: flags & FLAG_INVALID != 0, session_key, client, starts, ends })
    }
}

/// The client's proof.
#[derive(Debug)]
pub(super) struct Authenticator<'a> {
    pub(super) client: Principal,
    /// The checksum's type and bytes.
    pub(super) checksum: Option<(i32, &'a [u8])>,
    /// The client's time in seconds, and the microseconds beyond.
    pub(super) time: i64,
    pub(super) microseconds: i64,
    pub(super) subkey: Option<Key>,
    pub(super) sequence_number: Option<u32>,
}

impl<'a> Authenticator<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, KeyError> {
        let what = "the authenticator";
        let mut message = Reader::new(bytes);
        let mut fields = message.read(tag::application(2), what)?.sequence(what)?;
        expect(&mut fields, 0, VERSION, "the authenticator's version")?;
        let realm = fields.field(1, what)?.text("the authenticator's realm")?;
        let client = Principal::read(&mut fields.field(2, what)?, realm, "the authenticator's client")?;
        let checksum = match fields.field_if(3, what)? {
            Some(mut field) => {
                let what = "the authenticator's checksum";
                let mut parts = field.sequence(what)?;
                let kind = parts.field(0, what)?.integer_32(what)?;
                Some((kind, parts.field(1, what)?.octets(what)?))
            }
            None => None,
        };
        let microseconds = fields.field(4, what)?.integer("the authenticator's microseconds")?;
        if !(0..1_000_000).contains(&microseconds) {
            return Err(DerError::Value("the authenticator's microseconds").into());
        }
        let time = fields.field(5, what)?.time("the authenticator's time")?;
        let subkey = fields
            .field_if(6, what)?
            .map(|mut field| read_key(&mut field, "the authenticator's subkey"))
            .transpose()?;
        let sequence_number = fields
            .field_if(7, what)?
            .map(|mut field| field.unsigned_32("the authenticator's sequence number"))
            .transpose()?;
        Ok(Self { client, checksum, time, microseconds, subkey, sequence_number })
    }
}

/// The answer that proves to the client that the service could read its ticket: its own time back, the key to go on
/// with, and the number that this side begins with.
pub(super) fn ap_rep(
    session_key: &Key,
    authenticator: &Authenticator<'_>,
    subkey: &Key,
    sequence_number: u32,
    random: Random,
) -> Result<Vec<u8>, String> {
    let part = Zeroizing::new(der::element(
        tag::application(27),
        &Zeroizing::new(der::sequence(&[
            der::field(0, &der::time(authenticator.time)),
            der::field(1, &der::integer(authenticator.microseconds)),
            der::field(2, &write_key(subkey)),
            der::field(3, &der::integer(sequence_number.into())),
        ])),
    ));
    let sealed = encrypted(session_key, None, Usage::ApRep, &part, random)?;
    let fields =
        [der::field(0, &der::integer(VERSION)), der::field(1, &der::integer(15)), der::field(2, &sealed)];
    Ok(der::element(tag::application(15), &der::sequence(&fields)))
}

/// What an AP-REQ proves its sender with.
pub(super) struct Proof<'a> {
    /// The checksum's type and bytes.
    pub(super) checksum: (i32, &'a [u8]),
    /// Microseconds since 1970.
    pub(super) now_us: i64,
    pub(super) subkey: Option<&'a Key>,
    pub(super) sequence_number: Option<u32>,
}

/// An AP-REQ with a ticket.
pub(super) fn ap_req(
    ticket: &Ticket,
    proof: &Proof<'_>,
    usage: Usage,
    random: Random,
) -> Result<Vec<u8>, String> {
    let (kind, checksum) = proof.checksum;
    let checksum =
        der::sequence(&[der::field(0, &der::integer(kind.into())), der::field(1, &der::octets(checksum))]);
    let mut fields = vec![
        der::field(0, &der::integer(VERSION)),
        der::field(1, &der::text(ticket.client.realm())),
        der::field(2, &ticket.client.write()),
        der::field(3, &checksum),
        der::field(4, &der::integer(proof.now_us.rem_euclid(1_000_000))),
        der::field(5, &der::time(proof.now_us.div_euclid(1_000_000))),
    ];
    fields.extend(proof.subkey.map(|key| der::field(6, &write_key(key))));
    fields.extend(proof.sequence_number.map(|number| der::field(7, &der::integer(number.into()))));
    let authenticator = Zeroizing::new(der::element(tag::application(2), &der::sequence(&fields)));
    let sealed = encrypted(&ticket.session_key, None, usage, &authenticator, random)?;
    let fields = [
        der::field(0, &der::integer(VERSION)),
        der::field(1, &der::integer(14)),
        der::field(2, &der::flags(0)),
        der::field(3, &ticket.bytes),
        der::field(4, &sealed),
    ];
    Ok(der::element(tag::application(14), &der::sequence(&fields)))
}
