//! What lists and answers decide, with those of `testdata/revocation`.

use super::*;
use crate::tls::testing::{NOW_MS, testdata};

const DAY_MS: i64 = 86_400_000;
/// When `list.crl` was made and until when it counts, and the same of the answers.
const LIST_MS: (i64, i64) = (1_767_225_600_000, 1_801_440_000_000);
const ANSWER_MS: (i64, i64) = (1_795_677_791_000, 1_827_213_791_000);

fn bytes(name: &str) -> Vec<u8> {
    testdata(format!("revocation/{name}"))
}

fn link_of(name: &str, issuer: &str) -> Link {
    let certificate = |name: &str| CertificateDer::from(bytes(&format!("{name}.der")));
    Link { certificate: certificate(name), issuer: certificate(issuer), is_below_anchor: issuer == "ca" }
}

fn link(name: &str) -> Link {
    link_of(name, "ca")
}

/// What a list says of a certificate that names its place first.
fn listed(link: &Link, list: &[u8], now_ms: i64) -> Result<Status, String> {
    let mut covered = Reasons::default();
    let came = link.listed(&link.points()?[0], list, now_ms, &mut covered);
    assert_eq!(came.is_ok(), !covered.is_empty(), "what does not count covers nothing");
    came
}

fn refused(came: Result<Status, String>, part: &str) {
    let why = came.expect_err(part);
    assert!(why.contains(part), "{why}");
}

#[test]
fn a_certificate_says_where_its_lists_and_its_responder_are() {
    let points = link("good").points().unwrap();
    let urls: Vec<_> = points.iter().flat_map(|point| point.urls.clone()).collect();
    let file = "file:///proc/self/cwd/src/tls/testdata/revocation/list.crl";
    assert_eq!(urls, ["http://127.0.0.1:1/list", file]);
    let question = link("good").question().unwrap().unwrap();
    assert_eq!(question.url, "http://127.0.0.1:1/ocsp");
    assert_eq!(question.request, bytes("good.request"), "as openssl asks");
    assert_eq!((link("silent").points().unwrap(), link("silent").question().unwrap()), (vec![], None));
    assert_eq!(link("good").name(), "CN=good (serial number 10)");
}

#[test]
fn who_stands_in_a_list_of_its_issuer_is_revoked() {
    for list in ["list.crl", "list-text.crl", "users.crl", "here.crl"] {
        assert_eq!(listed(&link("good"), &bytes(list), NOW_MS), Ok(Status::Good), "{list}");
        assert_eq!(listed(&link("revoked"), &bytes(list), NOW_MS), Ok(Status::Revoked), "{list}");
    }
    for list in ["list.crl", "authorities.crl"] {
        assert_eq!(listed(&link("between"), &bytes(list), NOW_MS), Ok(Status::Good), "{list}");
    }
}

/// As in the JDK, a time of revocation that has not come does not count.
#[test]
fn a_revocation_counts_from_its_time_on() {
    assert_eq!(listed(&link("revoked"), &bytes("soon.crl"), NOW_MS), Ok(Status::Revoked));
    assert_eq!(listed(&link("revoked"), &bytes("later.crl"), NOW_MS), Ok(Status::Good));
}

#[test]
fn a_list_counts_only_if_the_issuer_signed_it_for_such_certificates() {
    let good = link("good");
    for (list, part) in [
        ("forged.crl", "not signed by the issuer"),
        ("below.crl", "not kept by the issuer"),
        ("indirect.crl", "not kept by the issuer"),
        ("authorities.crl", "about other certificates"),
        ("elsewhere.crl", "about other certificates"),
        ("strange.crl", "demands something"),
        ("good.der", "cannot be read"),
        ("good.ocsp", "cannot be read"),
    ] {
        refused(listed(&good, &bytes(list), NOW_MS), part);
    }
    refused(listed(&link("between"), &bytes("users.crl"), NOW_MS), "about other certificates");
    refused(
        listed(&link_of("below", "between"), &bytes("below.crl"), NOW_MS),
        "does not allow it to sign lists",
    );
    let mut changed = bytes("list.crl");
    let last = changed.len() - 1;
    changed[last] ^= 1;
    refused(listed(&good, &changed, NOW_MS), "not signed by the issuer");
    for cut in 0..last {
        refused(listed(&good, &bytes("list.crl")[..cut], NOW_MS), "cannot be read");
    }
}

#[test]
fn a_list_counts_while_its_time_lasts_give_or_take_the_skew_of_clocks() {
    let at = |now_ms| listed(&link("good"), &bytes("list.crl"), now_ms);
    let skew = SKEW_S * 1000;
    for now_ms in [LIST_MS.0 - skew, LIST_MS.0, LIST_MS.1, LIST_MS.1 + skew] {
        assert_eq!(at(now_ms), Ok(Status::Good), "{now_ms}");
    }
    for now_ms in [0, LIST_MS.0 - skew - 1000, LIST_MS.1 + skew + 1000, NOW_MS + 1000 * DAY_MS] {
        refused(at(now_ms), "its time has not come, or is over");
    }
}

#[test]
fn a_list_of_some_reasons_leaves_the_others_open() {
    let good = link("good");
    let point = &good.points().unwrap()[0];
    let mut covered = Reasons::default();
    assert_eq!(good.listed(point, &bytes("some.crl"), NOW_MS, &mut covered), Ok(Status::Good));
    assert!(!Reasons::ALL.without(covered).is_empty(), "it does not tell of all");
    refused(good.listed(point, &bytes("some.crl"), NOW_MS, &mut covered), "no reason that was not known");
    assert_eq!(good.listed(point, &bytes("list.crl"), NOW_MS, &mut covered), Ok(Status::Good));
    assert!(Reasons::ALL.without(covered).is_empty());
}

#[test]
fn an_answer_of_the_issuer_or_of_its_responder_decides() {
    for answer in ["good.ocsp", "by-key.ocsp", "delegated.ocsp"] {
        assert_eq!(link("good").answered(&bytes(answer), NOW_MS), Ok(Status::Good), "{answer}");
    }
    assert_eq!(link("revoked").answered(&bytes("revoked.ocsp"), NOW_MS), Ok(Status::Revoked));
    refused(link("silent").answered(&bytes("unknown.ocsp"), NOW_MS), "does not know the certificate");
}

#[test]
fn an_answer_about_another_certificate_decides_nothing() {
    refused(link("revoked").answered(&bytes("good.ocsp"), NOW_MS), "not about the certificate");
    refused(link("good").answered(&bytes("unknown.ocsp"), NOW_MS), "not about the certificate");
    let of_another = Link { issuer: link("between").certificate, ..link("good") };
    refused(of_another.answered(&bytes("good.ocsp"), NOW_MS), "not about the certificate");
}

#[test]
fn an_answer_of_somebody_else_decides_nothing() {
    for answer in ["usurped.ocsp", "forged.ocsp"] {
        refused(link("good").answered(&bytes(answer), NOW_MS), "signed neither by the issuer");
    }
    let whole = bytes("good.ocsp");
    for cut in 0..whole.len() {
        refused(link("good").answered(&whole[..cut], NOW_MS), "cannot be read");
    }
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        let came = link("good").answered(&changed, NOW_MS);
        assert_ne!(came, Ok(Status::Revoked), "byte {place}");
    }
}

#[test]
fn an_answer_counts_while_its_time_lasts_give_or_take_the_skew_of_clocks() {
    let at = |now_ms| link("good").answered(&bytes("good.ocsp"), now_ms);
    let skew = SKEW_S * 1000;
    for now_ms in [ANSWER_MS.0 - skew, NOW_MS, ANSWER_MS.1 + skew] {
        assert_eq!(at(now_ms), Ok(Status::Good), "{now_ms}");
    }
    for now_ms in [ANSWER_MS.0 - skew - 1000, ANSWER_MS.1 + skew + 1000] {
        refused(at(now_ms), "has not come, or is over");
    }
}

#[test]
fn a_responder_that_does_not_answer_says_so() {
    let says = |status| link("good").answered(&[0x30, 3, 0x0A, 1, status], NOW_MS);
    for (status, part) in
        [(1, "malformed"), (2, "an error"), (3, "again later"), (5, "signed"), (6, "not allowed")]
    {
        refused(says(status), part);
    }
    refused(says(0), "cannot be read");
    refused(says(7), "something unknown");
}
