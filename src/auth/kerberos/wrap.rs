//! Messages of an established context: wrapped, with a checksum or encrypted, and numbered (RFC 4121 section 4.2).

use subtle::ConstantTimeEq;

use super::crypto::{Key, Usage};

const WRAP: [u8; 2] = [5, 4];
const SENT_BY_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;
const ACCEPTOR_SUBKEY: u8 = 4;
const FILLER: u8 = 0xff;

/// What stands before a message.
#[derive(Clone, Copy)]
struct Header {
    flags: u8,
    /// Bytes of the checksum, or, of an encrypted message, bytes that only fill it up.
    extra: u16,
    /// By how many bytes what follows was rotated to the right.
    rotated: u16,
    number: u64,
}

impl Header {
    const LENGTH: usize = 16;

    fn bytes(self) -> [u8; Self::LENGTH] {
        let [a, b] = WRAP;
        let [e, f] = self.extra.to_be_bytes();
        let [g, h] = self.rotated.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = self.number.to_be_bytes();
        [a, b, self.flags, FILLER, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    fn of(bytes: [u8; Self::LENGTH]) -> Option<Self> {
        let [a, b, flags, filler, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        ([a, b] == WRAP && filler == FILLER).then(|| Self {
            flags,
            extra: u16::from_be_bytes([e, f]),
            rotated: u16::from_be_bytes([g, h]),
            number: u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        })
    }
}

/// One side's end of a context.
#[derive(Debug)]
pub(super) struct Channel {
    /// The key of the context.
    pub(super) key: Key,
    /// Whether that is one the accepting side has chosen.
    pub(super) is_acceptor_subkey: bool,
    /// Whether this is the accepting side.
    pub(super) is_acceptor: bool,
    /// The number of the next message from here.
    pub(super) sends: u32,
    /// The number that the next message of the other side must have; None when it did not ask for order.
    pub(super) expects: Option<u32>,
}

impl Channel {
    const fn flags(&self, is_acceptor: bool) -> u8 {
        let subkey = if self.is_acceptor_subkey { ACCEPTOR_SUBKEY } else { 0 };
        if is_acceptor { subkey | SENT_BY_ACCEPTOR } else { subkey }
    }

    const fn usage(is_acceptor: bool) -> Usage {
        if is_acceptor { Usage::AcceptorSeal } else { Usage::InitiatorSeal }
    }

    /// Wraps with a checksum and without encryption, as the negotiation of SASL's security layer is sent. None when
    /// the key makes no checksums.
    pub(super) fn wrap(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let header =
            Header { flags: self.flags(self.is_acceptor), extra: 0, rotated: 0, number: self.sends.into() };
        let checksum = self.key.checksum(Self::usage(self.is_acceptor), &[text, &header.bytes()])?;
        let sent = Header { extra: u16::try_from(checksum.len()).ok()?, ..header };
        self.sends = self.sends.wrapping_add(1);
        Some([&sent.bytes(), text, &checksum].concat())
    }

    /// Takes the text out of what the other side has wrapped, with or without encryption.
    ///
    /// # Errors
    /// A sentence for the log: nothing of the message may be believed.
    pub(super) fn unwrap(&mut self, token: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (head, body) =
            token.split_first_chunk().ok_or("the wrapped message is shorter than its header")?;
        let header = Header::of(*head).ok_or("what should be a wrapped message is none")?;
        if header.flags & !SEALED != self.flags(!self.is_acceptor) {
            return Err("the wrapped message is of another direction, or under another key");
        }
        let mut body = body.to_vec();
        if !body.is_empty() {
            let count = usize::from(header.rotated) % body.len();
            body.rotate_left(count);
        }
        let text = if header.flags & SEALED == 0 {
            self.checked(header, body)
        } else {
            self.unsealed(header, &body)
        };
        let text = text.ok_or("the wrapped message was changed, or is under another key")?;
        if let Some(expected) = self.expects {
            // The JDK looks at these 32 bits alone.
            let [.., a, b, c, d] = header.number.to_be_bytes();
            if u32::from_be_bytes([a, b, c, d]) != expected {
                return Err("the wrapped message is out of order");
            }
            self.expects = Some(expected.wrapping_add(1));
        }
        Ok(text)
    }

    /// The text before its checksum, which covers the header as it was before the checksum's length and the rotation
    /// went into it.
    fn checked(&self, header: Header, mut body: Vec<u8>) -> Option<Vec<u8>> {
        let length = self.key.kind().checksum_len();
        if usize::from(header.extra) != length {
            return None;
        }
        let (text, checksum) = body.split_at_checked(body.len().checked_sub(length)?)?;
        let covered = Header { extra: 0, rotated: 0, ..header };
        let expected = self.key.checksum(Self::usage(!self.is_acceptor), &[text, &covered.bytes()])?;
        if !bool::from(expected.ct_eq(checksum)) {
            return None;
        }
        body.truncate(body.len() - length);
        Some(body)
    }

    /// The text of an encrypted message, in which bytes that fill it up and the header, as it was before the rotation,
    /// follow.
    fn unsealed(&self, header: Header, body: &[u8]) -> Option<Vec<u8>> {
        let plain = self.key.decrypt(Self::usage(!self.is_acceptor), body)?;
        let (rest, inner) = plain.split_last_chunk()?;
        if *inner != (Header { rotated: 0, ..header }).bytes() {
            return None;
        }
        rest.get(..rest.len().checked_sub(header.extra.into())?).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::kerberos::crypto::EncryptionType;

    fn pair(number: i32, is_acceptor_subkey: bool) -> (Channel, Channel) {
        let kind = EncryptionType::of(number).expect("it is served");
        let key = Key::new(kind, &vec![3; kind.key_len()]).expect("a key of that length");
        let end = |is_acceptor| Channel {
            key: key.clone(),
            is_acceptor_subkey,
            is_acceptor,
            sends: u32::MAX,
            expects: Some(u32::MAX),
        };
        (end(true), end(false))
    }

    /// As a client encrypts, fills up and rotates.
    fn sealed(channel: &Channel, text: &[u8], extra: u16, rotated: u16) -> Vec<u8> {
        let header =
            Header { flags: channel.flags(false) | SEALED, extra, rotated: 0, number: channel.sends.into() };
        let plain = [text, &vec![0; extra.into()], &header.bytes()].concat();
        let zeros = |bytes: &mut [u8]| {
            bytes.fill(0);
            Ok(())
        };
        let mut body = channel.key.encrypt(Usage::InitiatorSeal, &plain, zeros).expect("it has random bytes");
        let count = usize::from(rotated) % body.len();
        body.rotate_right(count);
        [&Header { rotated, ..header }.bytes()[..], &body].concat()
    }

    #[test]
    fn what_one_side_wraps_the_other_unwraps_in_order() {
        for (number, subkey) in [(17, false), (18, true), (19, true), (20, false)] {
            let (mut acceptor, mut initiator) = pair(number, subkey);
            let first = acceptor.wrap(b"first").expect("it wraps");
            let second = acceptor.wrap(b"").expect("it wraps");
            assert_eq!(initiator.unwrap(&second), Err("the wrapped message is out of order"));
            assert_eq!(initiator.unwrap(&first).as_deref(), Ok(&b"first"[..]));
            assert_eq!(initiator.unwrap(&first), Err("the wrapped message is out of order"));
            assert_eq!(initiator.unwrap(&second).as_deref(), Ok(&b""[..]), "numbers go on at 0");
        }
    }

    #[test]
    fn without_order_asked_for_numbers_do_not_count() {
        let (mut acceptor, mut initiator) = pair(17, false);
        initiator.expects = None;
        let wrapped = acceptor.wrap(b"text").expect("it wraps");
        assert!(initiator.unwrap(&wrapped).is_ok() && initiator.unwrap(&wrapped).is_ok());
    }

    #[test]
    fn rotated_messages_are_turned_back() {
        for rotated in [0u16, 1, 12, 28, 16 + 12, 1000, u16::MAX] {
            let (mut acceptor, initiator) = pair(18, true);
            let token = sealed(&initiator, b"text", 0, rotated);
            assert_eq!(acceptor.unwrap(&token).as_deref(), Ok(&b"text"[..]), "sealed, by {rotated}");

            let (mut acceptor, mut initiator) = pair(18, true);
            let mut token = initiator.wrap(b"text").expect("it wraps");
            let body = token.len() - Header::LENGTH;
            token[Header::LENGTH..].rotate_right(usize::from(rotated) % body);
            token[6..8].copy_from_slice(&rotated.to_be_bytes());
            assert_eq!(acceptor.unwrap(&token).as_deref(), Ok(&b"text"[..]), "by {rotated}");
        }
    }

    #[test]
    fn what_fills_an_encrypted_message_up_is_no_text() {
        for extra in [0, 1, 16] {
            let (mut acceptor, initiator) = pair(19, true);
            assert_eq!(acceptor.unwrap(&sealed(&initiator, b"text", extra, 28)).as_deref(), Ok(&b"text"[..]));
        }
    }

    #[test]
    fn every_change_is_noticed() {
        for is_sealed in [false, true] {
            let (_, mut initiator) = pair(20, true);
            let token = if is_sealed {
                sealed(&initiator, b"text", 0, 28)
            } else {
                initiator.wrap(b"text").expect("it wraps")
            };
            for index in 0..token.len() {
                let (mut acceptor, _) = pair(20, true);
                let mut changed = token.clone();
                changed[index] ^= 0x10;
                // The rotation of a message that is not encrypted is not covered: one by its length changes nothing.
                assert!(acceptor.unwrap(&changed).is_err(), "byte {index}, sealed: {is_sealed}");
                assert!(acceptor.unwrap(&token[..index]).is_err(), "cut at {index}, sealed: {is_sealed}");
            }
            let (mut acceptor, _) = pair(20, false);
            assert!(acceptor.unwrap(&token).is_err(), "another key's");
            assert!(initiator.unwrap(&token).is_err(), "its own, sent back");
        }
    }
}
