//! Lists of revoked certificates, answers of responders, and certificates that say whom to ask. No input panics or takes
//! unbounded memory, and none that the issuer has not signed decides. The first byte says what the input is.

use jute_fuzz::peak_bytes;
use oxkeeper::tls::revocation::{Link, Reasons, Status};

const WORST_FACTOR: usize = 256;
const SLACK_BYTES: usize = 1 << 20;
/// January 2027, when the lists and answers of the corpus count.
const NOW_MS: i64 = 1_800_000_000_000;
const GOOD: &[u8] = include_bytes!("../../../src/tls/testdata/revocation/good.der");
const ISSUER: &[u8] = include_bytes!("../../../src/tls/testdata/revocation/ca.der");

/// Reads `input`.
pub fn revocation(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let is_certificate = selector & 1 == 1;
    let certificate = if is_certificate { bytes } else { GOOD };
    let link = Link {
        certificate: certificate.to_vec().into(),
        issuer: ISSUER.to_vec().into(),
        is_below_anchor: true,
    };
    let peak = peak_bytes(|| {
        let _any = (link.name(), link.question());
        // The one who is asked about is in no list; a forged one would say that it is.
        assert_ne!(link.answered(bytes, NOW_MS), Ok(Status::Revoked));
        for point in link.points().unwrap_or_default() {
            assert!(point.urls.iter().all(|url| url.bytes().all(|byte| byte.is_ascii_graphic())));
            let listed = link.listed(&point, bytes, NOW_MS, &mut Reasons::default());
            assert_ne!(listed, Ok(Status::Revoked));
        }
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
}
