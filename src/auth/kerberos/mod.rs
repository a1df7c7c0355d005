//! Kerberos 5 by the mechanism GSSAPI of SASL (RFC 4752, RFC 4121, RFC 4120): the accepting side.
//!
//! Bytes and times go in, bytes come out; [`keytab_file`] alone looks at a file. It is written here and not taken
//! from a library, so that one binary serves every machine, without foreign code: what a service needs of Kerberos
//! are three messages, two ways to use AES, and no word with a key distribution centre. Hostile bytes end an
//! [`exchange`] with a reason for the log: nothing is trusted before its code was checked, lengths are checked by the
//! reader in `der`, and nothing here calls itself.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod acceptor;
pub mod crypto;
mod der;
pub mod exchange;
mod gss;
#[cfg(test)]
pub(crate) mod hex;
pub mod initiator;
pub mod keytab;
pub mod keytab_file;
pub mod login;
mod message;
pub mod name;
mod replay;
pub mod tickets;
mod wrap;

pub use self::acceptor::{Acceptor, CLOCK_SKEW};
pub use self::exchange::{Admits, Gssapi};
pub use self::keytab_file::KeytabFile;
pub use self::name::Principal;

/// Reads bytes as everything that is read here, encrypted messages as if they had been decrypted: for fuzzing, which
/// does not get through encryption.
#[doc(hidden)]
pub fn read_as_everything(bytes: &[u8]) {
    let _ = gss::ap_req(bytes).map(message::ApReq::read);
    let _ = message::ApReq::read(bytes);
    let _ = message::TicketPart::read(bytes);
    if let Ok(authenticator) = message::Authenticator::read(bytes) {
        let _ = gss::wants(authenticator.checksum);
    }
    let _ = gss::wants(Some((0x8003, bytes)));
    if let Ok(keytab) = keytab::Keytab::parse(bytes) {
        let principal = Principal::parse("zookeeper/host@REALM", None);
        let _ = principal.map(|principal| keytab.keys_of(&principal));
    }
}

#[cfg(test)]
mod acceptor_test;
#[cfg(test)]
mod exchange_test;
#[cfg(test)]
mod initiator_test;
#[cfg(test)]
mod keytab_test;
#[cfg(test)]
mod testing;
