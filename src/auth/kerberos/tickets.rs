//! Getting tickets from a key distribution centre, with a keytab (RFC 4120 section 3.1 and 3.3): requests and replies
//! as bytes. Whoever has the network carries them.

use zeroize::Zeroizing;

use super::crypto::{EncryptionType, Key, Random, Usage};
use super::der::{self, DerError, Reader, field, integer, octets, sequence, tag};
use super::keytab::ServiceKeys;
use super::message::{self, EncryptedData, KeyError};
use super::name::Principal;
use crate::logging::shown;

const AS_REQ: u8 = 10;
const AS_REP: u8 = 11;
const TGS_REQ: u8 = 12;
const TGS_REP: u8 = 13;
const KRB_ERROR: u8 = 30;

const PREAUTH_TGS: i64 = 1;
const PREAUTH_TIMESTAMP: i64 = 2;
const PREAUTH_ETYPE_INFO2: i32 = 19;

/// KDC_ERR_PREAUTH_REQUIRED.
const PREAUTH_REQUIRED: i32 = 25;

/// A ticket with what its owner needs to use it. Times are in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Whose it is.
    pub client: Principal,
    /// For which service.
    pub service: Principal,
    /// As it is sent.
    pub(super) bytes: Vec<u8>,
    pub(super) session_key: Key,
    /// When it ends.
    pub ends: i64,
}

/// What a key distribution centre answers to a first request.
#[derive(Debug)]
pub enum Answer {
    /// The ticket.
    Granted(Ticket),
    /// It wants proof, made with a key of this type.
    WantsProof(EncryptionType),
}

/// The name of the service that gives tickets of a realm.
fn granting(realm: &str) -> Option<Principal> {
    Principal::of(vec!["krbtgt".into(), realm.into()], realm.into())
}

fn body(client: Option<&Principal>, service: &Principal, kinds: &[EncryptionType], nonce: u32) -> Vec<u8> {
    let kinds: Vec<_> = kinds.iter().map(|kind| integer(kind.number().into())).collect();
    let mut fields = vec![field(0, &der::flags(0))];
    fields.extend(client.map(|client| field(1, &client.write())));
    fields.extend([
        field(2, &der::text(service.realm())),
        field(3, &service.write()),
        // As long as it may be.
        field(5, &der::time(0)),
        field(7, &integer(nonce.into())),
        field(8, &sequence(&kinds)),
    ]);
    sequence(&fields)
}

fn request(kind: u8, proof: Option<(i64, Vec<u8>)>, body: &[u8]) -> Vec<u8> {
    let mut fields = vec![field(1, &integer(5)), field(2, &integer(kind.into()))];
    fields.extend(proof.map(|(kind, value)| {
        let data = sequence(&[field(1, &integer(kind)), field(2, &octets(&value))]);
        field(3, &sequence(&[data]))
    }));
    fields.push(field(4, body));
    der::element(tag::application(kind), &sequence(&fields))
}

/// A request for a first ticket, that of the service which gives the others; with proof, if its key is of `proof`'s
/// type. The time is in microseconds since 1970.
///
/// # Errors
/// There is no such key, or there are no random bytes.
pub fn as_request(
    client: &Principal,
    keys: &ServiceKeys,
    proof: Option<EncryptionType>,
    nonce: u32,
    now_us: i64,
    random: Random,
) -> Result<Vec<u8>, String> {
    let service = granting(client.realm()).ok_or("the realm has no name")?;
    let proof = match proof {
        None => None,
        Some(kind) => {
            let key = keys.find(kind, None).ok_or("the keytab has no key of the type that is wanted")?;
            let stamp = sequence(&[
                field(0, &der::time(now_us.div_euclid(1_000_000))),
                field(1, &integer(now_us.rem_euclid(1_000_000))),
            ]);
            Some((PREAUTH_TIMESTAMP, message::encrypted(key, None, Usage::Timestamp, &stamp, random)?))
        }
    };
    Ok(request(AS_REQ, proof, &body(Some(client), &service, &keys.kinds(), nonce)))
}

/// Reads the answer to a first request with this nonce.
///
/// # Errors
/// A sentence: what the key distribution centre refuses, or what is wrong with its answer.
pub fn as_reply(reply: &[u8], client: &Principal, keys: &ServiceKeys, nonce: u32) -> Result<Answer, String> {
    if let Some(error) = KrbError::read(reply).map_err(malformed)? {
        let kinds = if error.code == PREAUTH_REQUIRED { error.wanted_kinds() } else { Vec::new() };
        let wanted = kinds.into_iter().find(|kind| keys.find(*kind, None).is_some());
        return wanted.map(Answer::WantsProof).ok_or_else(|| error.to_string());
    }
    let service = granting(client.realm()).ok_or("the realm has no name")?;
    let reply = KdcRep::read(reply, AS_REP).map_err(malformed)?;
    if reply.client != *client {
        return Err("the key distribution centre's answer is for another client".into());
    }
    let key = EncryptionType::of(reply.sealed.kind).and_then(|kind| keys.find(kind, reply.sealed.version));
    let plain = key.and_then(|key| reply.sealed.decrypt(key, Usage::AsRep));
    let plain = plain.ok_or(
        "the key distribution centre's answer cannot be decrypted: the keytab's key is not the one that it has; write \
         the keytab anew",
    )?;
    reply.ticket(&plain, &service, nonce).map(Answer::Granted)
}

/// A request for a ticket for `service`, with the first one. The time is in microseconds since 1970.
///
/// # Errors
/// There are no random bytes.
pub fn tgs_request(
    first: &Ticket,
    service: &Principal,
    nonce: u32,
    now_us: i64,
    random: Random,
) -> Result<Vec<u8>, String> {
    let kinds = [18, 17, 20, 19].map(EncryptionType::of);
    let kinds: Vec<_> = kinds.into_iter().flatten().collect();
    let body = body(None, service, &kinds, nonce);
    let key = &first.session_key;
    let checksum = key.checksum(Usage::TgsChecksum, &[&body]).ok_or("the session key makes no checksum")?;
    let authenticator = message::Proof {
        checksum: (key.kind().checksum_number(), &checksum),
        now_us,
        subkey: None,
        sequence_number: None,
    };
    let proof = message::ap_req(first, &authenticator, Usage::TgsAuthenticator, random)?;
    Ok(request(TGS_REQ, Some((PREAUTH_TGS, proof)), &body))
}

/// Reads the answer to a request with this nonce for a ticket for `service`.
///
/// # Errors
/// A sentence: what the key distribution centre refuses, or what is wrong with its answer.
pub fn tgs_reply(reply: &[u8], first: &Ticket, service: &Principal, nonce: u32) -> Result<Ticket, String> {
    if let Some(error) = KrbError::read(reply).map_err(malformed)? {
        return Err(error.to_string());
    }
    let reply = KdcRep::read(reply, TGS_REP).map_err(malformed)?;
    if reply.client != first.client {
        return Err("the key distribution centre's answer is for another client".into());
    }
    let plain = reply.sealed.decrypt(&first.session_key, Usage::TgsRep);
    let plain = plain.ok_or("the key distribution centre's answer cannot be decrypted")?;
    reply.ticket(&plain, service, nonce)
}

fn malformed(error: DerError) -> String {
    format!("the key distribution centre's answer is malformed: {error}")
}

/// An answer with a ticket.
struct KdcRep<'a> {
    client: Principal,
    ticket: &'a [u8],
    sealed: EncryptedData<'a>,
}

impl<'a> KdcRep<'a> {
    fn read(bytes: &'a [u8], kind: u8) -> Result<Self, DerError> {
        let what = "the answer";
        let mut message = Reader::new(bytes);
        let mut fields = message.read(tag::application(kind), what)?.sequence(what)?;
        message.end(what)?;
        message::expect(&mut fields, 0, 5, "the answer's version")?;
        message::expect(&mut fields, 1, kind.into(), "the answer's type")?;
        fields.field_if(2, what)?;
        let realm = fields.field(3, what)?.text("the client's realm")?;
        let client = Principal::read(&mut fields.field(4, what)?, realm, "the client's name")?;
        let ticket = fields.field(5, what)?.rest();
        let sealed = EncryptedData::read(&mut fields.field(6, what)?, "the answer's encrypted part")?;
        fields.end(what)?;
        Ok(Self { client, ticket, sealed })
    }

    /// The ticket, by what was sealed: it must answer the request with this nonce.
    fn ticket(&self, plain: &[u8], service: &Principal, nonce: u32) -> Result<Ticket, String> {
        let part =
            RepPart::read(plain).map_err(|error| format!("the key distribution centre's answer: {error}"))?;
        if part.nonce != nonce {
            return Err("the key distribution centre's answer is not to this request".into());
        }
        if part.service != *service {
            return Err(format!(
                "the key distribution centre gives a ticket for {} in place of {}; other realms are not asked",
                shown(&part.service.to_string()),
                shown(&service.to_string())
            ));
        }
        Ok(Ticket {
            client: self.client.clone(),
            service: part.service,
            bytes: self.ticket.to_vec(),
            session_key: part.session_key,
            ends: part.ends,
        })
    }
}

/// What comes with a ticket for its owner.
struct RepPart {
    session_key: Key,
    nonce: u32,
    service: Principal,
    ends: i64,
}

impl RepPart {
    fn read(plain: &[u8]) -> Result<Self, KeyError> {
        let what = "the ticket's particulars";
        let mut message = Reader::new(plain);
        // Some send the second with a first ticket too.
        let mut content = match message.read_if(tag::application(25), what)? {
            Some(content) => content,
            None => message.read(tag::application(26), what)?,
        };
        let mut fields = content.sequence(what)?;
        let session_key = message::read_key(&mut fields.field(0, what)?, "the session key")?;
        fields.field(1, what)?;
        let nonce = fields.field(2, what)?.unsigned_32("the nonce")?;
        fields.field_if(3, what)?;
        fields.field(4, what)?;
        fields.field(5, what)?;
        fields.field_if(6, what)?;
        let ends = fields.field(7, what)?.time("the ticket's endtime")?;
        fields.field_if(8, what)?;
        let realm = fields.field(9, what)?.text("the service's realm")?;
        let service = Principal::read(&mut fields.field(10, what)?, realm, "the service's name")?;
        Ok(Self { session_key, nonce, service, ends })
    }
}

/// A refusal. Nobody signs it.
struct KrbError<'a> {
    code: i32,
    text: Option<&'a str>,
    data: &'a [u8],
}

impl<'a> KrbError<'a> {
    /// None when the message is another one.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, DerError> {
        let what = "the KRB-ERROR";
        let Some(mut content) = Reader::new(bytes).read_if(tag::application(KRB_ERROR), what)? else {
            return Ok(None);
        };
        let mut fields = content.sequence(what)?;
        message::expect(&mut fields, 0, 5, what)?;
        message::expect(&mut fields, 1, KRB_ERROR.into(), what)?;
        for number in 2..=5 {
            fields.field_if(number, what)?;
        }
        let code = fields.field(6, what)?.integer_32(what)?;
        for number in 7..=10 {
            fields.field_if(number, what)?;
        }
        let text = fields.field_if(11, what)?.map(|mut field| field.text(what)).transpose()?;
        let data = fields.field_if(12, what)?.map(|mut field| field.octets(what)).transpose()?;
        Ok(Some(Self { code, text, data: data.unwrap_or_default() }))
    }

    /// The types of keys that proof may be made with, in the order of the key distribution centre's liking.
    fn wanted_kinds(&self) -> Vec<EncryptionType> {
        self.read_wanted_kinds().unwrap_or_default()
    }

    fn read_wanted_kinds(&self) -> Result<Vec<EncryptionType>, DerError> {
        let what = "the wanted proof";
        let mut kinds = Vec::new();
        let mut methods = Reader::new(self.data).sequence(what)?;
        while !methods.is_empty() {
            let mut method = methods.sequence(what)?;
            let kind = method.field(1, what)?.integer_32(what)?;
            let value = method.field(2, what)?.octets(what)?;
            if kind != PREAUTH_ETYPE_INFO2 {
                continue;
            }
            let mut entries = Reader::new(value).sequence(what)?;
            while !entries.is_empty() {
                let number = entries.sequence(what)?.field(0, what)?.integer_32(what)?;
                kinds.extend(EncryptionType::of(number));
            }
        }
        Ok(kinds)
    }
}

impl std::fmt::Display for KrbError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let meaning = match self.code {
            6 => "it does not know this client",
            7 => "it does not know the service",
            12 => "it does not allow it",
            14 => "it has no encryption type in common with the keytab",
            18 => "the client's credentials were revoked",
            23 => "the client's key has expired",
            24 => "the keytab's key is not the one that it has: write the keytab anew",
            25 => "it wants proof of a kind that is not known here",
            32 => "the first ticket has expired",
            37 => "its clock is too far from this one",
            _ => "see its log",
        };
        write!(f, "the key distribution centre refuses with error {}: {meaning}", self.code)?;
        match self.text {
            Some(text) => write!(f, " ({})", shown(text)),
            None => Ok(()),
        }
    }
}

/// Reads bytes as each answer of a key distribution centre, what is sealed as if it had been decrypted: for fuzzing.
pub(super) fn read_as_everything(bytes: &[u8]) {
    let _ = KdcRep::read(bytes, AS_REP);
    let _ = KdcRep::read(bytes, TGS_REP);
    let _ = RepPart::read(bytes);
    if let Ok(Some(error)) = KrbError::read(bytes) {
        let _ = (error.wanted_kinds(), error.to_string());
    }
}

/// A nonce. Only 31 bits: some take more for a negative number.
///
/// # Errors
/// There are no random bytes.
pub fn nonce(random: Random) -> Result<u32, String> {
    let mut bytes = Zeroizing::new([0; 4]);
    random(&mut bytes[..])?;
    Ok(u32::from_be_bytes(*bytes) >> 1)
}
