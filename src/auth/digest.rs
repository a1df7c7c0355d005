//! The `digest` scheme: a name and a password, hashed (reference: `DigestAuthenticationProvider`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Attempt, Identity, Outcome, Provider};
use crate::secret::Secret;

/// The hash that `DigestAuthenticationProvider.digestAlg` names.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm(fn(&[u8]) -> Vec<u8>);

fn hash<H: sha1::Digest>(bytes: &[u8]) -> Vec<u8> {
    H::digest(bytes).to_vec()
}

/// What a JDK 17 calls its message digests: name, aliases, object identifier.
const ALGORITHMS: &[(&[&str], Algorithm)] = &[
    (&["SHA-1", "SHA1", "SHA", "1.3.14.3.2.26"], Algorithm(hash::<sha1::Sha1>)),
    (&["SHA-224", "SHA224", "2.16.840.1.101.3.4.2.4"], Algorithm(hash::<sha2::Sha224>)),
    (&["SHA-256", "SHA256", "2.16.840.1.101.3.4.2.1"], Algorithm(hash::<sha2::Sha256>)),
    (&["SHA-384", "SHA384", "2.16.840.1.101.3.4.2.2"], Algorithm(hash::<sha2::Sha384>)),
    (&["SHA-512", "SHA512", "2.16.840.1.101.3.4.2.3"], Algorithm(hash::<sha2::Sha512>)),
    (&["SHA-512/224", "SHA512/224", "2.16.840.1.101.3.4.2.5"], Algorithm(hash::<sha2::Sha512_224>)),
    (&["SHA-512/256", "SHA512/256", "2.16.840.1.101.3.4.2.6"], Algorithm(hash::<sha2::Sha512_256>)),
    (&["SHA3-224", "2.16.840.1.101.3.4.2.7"], Algorithm(hash::<sha3::Sha3_224>)),
    (&["SHA3-256", "2.16.840.1.101.3.4.2.8"], Algorithm(hash::<sha3::Sha3_256>)),
    (&["SHA3-384", "2.16.840.1.101.3.4.2.9"], Algorithm(hash::<sha3::Sha3_384>)),
    (&["SHA3-512", "2.16.840.1.101.3.4.2.10"], Algorithm(hash::<sha3::Sha3_512>)),
    (&["MD5"], Algorithm(hash::<md5::Md5>)),
    (&["MD2"], Algorithm(hash::<md2::Md2>)),
];

impl Default for Algorithm {
    fn default() -> Self {
        Self(hash::<sha1::Sha1>)
    }
}

impl Algorithm {
    /// The algorithm with this Java name, in any case. An object identifier may begin with `OID.`.
    #[must_use]
    pub fn from_java_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let identifier =
            name.strip_prefix("OID.").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let name = identifier.unwrap_or(&name);
        ALGORITHMS.iter().find(|(names, _)| names.contains(&name)).map(|(_, algorithm)| *algorithm)
    }

    /// The names of all, for messages.
    #[must_use]
    pub fn java_names() -> String {
        ALGORITHMS.iter().filter_map(|(names, _)| names.first().copied()).collect::<Vec<_>>().join(", ")
    }
}

/// The id of a user in access control lists: `user:BASE64(hash("user:password"))`.
#[must_use]
pub fn identity(credentials: &str, algorithm: Algorithm) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode((algorithm.0)(credentials.as_bytes())))
}

pub(super) struct Digest {
    pub(super) algorithm: Algorithm,
    pub(super) super_digest: Option<Secret>,
}

impl Provider for Digest {
    fn scheme(&self) -> &'static str {
        "digest"
    }

    fn authenticate(&self, attempt: &Attempt<'_>) -> Outcome {
        let Some(credentials) = attempt.credentials else { return Outcome::Failed };
        let id = identity(&String::from_utf8_lossy(credentials), self.algorithm);
        let mut proven = Vec::with_capacity(2);
        if self.super_digest.as_ref().is_some_and(|expected| expected.is(id.as_bytes())) {
            proven.push(Identity { scheme: "super".into(), id: String::new() });
        }
        proven.push(Identity { scheme: "digest".into(), id });
        Outcome::Proven(proven)
    }

    fn misses_superuser(&self, credentials: &[u8]) -> bool {
        let Some(expected) = &self.super_digest else { return false };
        let id = identity(&String::from_utf8_lossy(credentials), self.algorithm);
        let is_colon = |byte: &u8| *byte == b':';
        let of_same_name = id.as_bytes().split(is_colon).next() == expected.expose().split(is_colon).next();
        of_same_name && !expected.is(id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_the_reference_derives() {
        // The example of the reference's documentation.
        assert_eq!(identity("super:test", Algorithm::default()), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }

    /// What `MessageDigest` of a JDK 17 makes of `user:password`.
    #[test]
    fn every_digest_of_the_jdk_is_there() {
        for (names, expected) in [
            (&["SHA1", "sha-1", "Sha", "OID.1.3.14.3.2.26"][..], "tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY="),
            (&["SHA-224", "sha224"][..], "6GVb/vhYOXU2cAmhuRkcw8i4Z9QlgKhGYZai5Q=="),
            (
                &["SHA-256", "SHA256", "oid.2.16.840.1.101.3.4.2.1"][..],
                "yRsdas04PETE7CDJcj51jDEYKh9PAjHWPZElmi6hS50=",
            ),
            (&["SHA-384"][..], "htIoC30hHolTa+/hAI2QsaAqrqOKMHUmlPlzBeIkfRWNGBi/8/dVKpuOsOWVq8qs"),
            (
                &["SHA-512"][..],
                "jpg++2gII4jzID8eXmWBSuUbGt1jbK9iB9PlOOf0uNwG7O0rsNtKX7GP4vq+QM0ncsfbzxZTuyf0xv2Xbkfz1Q==",
            ),
            (&["SHA-512/224", "SHA512/224"][..], "MZdBJGxu8PSnKQpp+Fo/Xs6A8MWSKppTyvOXgQ=="),
            (&["SHA-512/256"][..], "BJ4p7RfQWcJD4uSvfIaTRHf2W3T/r7vXir0nGIUZvt4="),
            (&["SHA3-224"][..], "iE1hEZYPbgaQsjoOF7BzR3Lz7yiM2opep1De6g=="),
            (&["SHA3-256", "2.16.840.1.101.3.4.2.8"][..], "NAR2RZ7JZxGXKOuQubzhytx9PjP71AWWZoOY+TVw1hw="),
            (&["SHA3-384"][..], "ohHEqQqd1LbhZS1M4c5EPH62D07UypO0a5QNAmWrxR442b/TvdLCT3OKB2ZtvgnF"),
            (
                &["SHA3-512"][..],
                "crJkDTyqNBLSeN9ANTupt+rbekG69LtWeiMDgZ83Q+aPOWeSWYcv+UR8e+oDQH+grRbbiWDlL9r4FgwNVo+jdg==",
            ),
            (&["MD5", "md5"][..], "OunqX+etW/ZSxR9D2ldCLA=="),
            (&["MD2"][..], "R6tRlpRaSBo5EFLYiyzg6A=="),
        ] {
            for name in names {
                let algorithm = Algorithm::from_java_name(name).unwrap_or_else(|| panic!("{name} is there"));
                assert_eq!(identity("user:password", algorithm), format!("user:{expected}"), "{name}");
            }
        }
        for name in ["", "MD-5", "MD4", "SHA512224", "SHA3_256", "SHAKE256", " SHA1", "OID.SHA1"] {
            assert!(Algorithm::from_java_name(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_owner_of_the_super_digest_is_the_superuser() {
        let digest = Digest {
            algorithm: Algorithm::default(),
            super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into()),
        };
        let schemes = |credentials: Option<&[u8]>| {
            let attempt =
                Attempt { peer: [127, 0, 0, 1].into(), certified: &[], credentials, data_of: &|_| None };
            match digest.authenticate(&attempt) {
                Outcome::Proven(identities) => {
                    identities.into_iter().map(|identity| identity.scheme).collect()
                }
                _ => Vec::new(),
            }
        };
        assert_eq!(schemes(Some(b"super:test")), ["super", "digest"]);
        assert_eq!(schemes(Some(b"super:tess")), ["digest"]);
        assert!(schemes(None).is_empty());
        let misses = [&b"super:test"[..], b"super:tess", b"super", b"supertess:x", b"me:test", b""];
        let misses = misses.map(|credentials| digest.misses_superuser(credentials));
        assert_eq!(misses, [false, true, true, false, false, false]);
        let without = Digest { algorithm: Algorithm::default(), super_digest: None };
        assert!(!without.misses_superuser(b"super:tess"));
    }
}
