//! The body of a multi. No input panics, reading stops inside the input, and what decodes once decodes
//! the same without what follows it.

use jute::multi::MultiRequest;
use jute::read::Reader;

/// Decodes `input`.
pub fn multi_request(input: &[u8]) {
    let mut reader = Reader::new(input);
    let Ok(request) = MultiRequest::decode(&mut reader) else { return };
    let own = &input[..reader.offset()];
    assert_eq!(MultiRequest::decode(&mut Reader::new(own)).as_ref(), Ok(&request));
    if !own.is_empty() {
        assert!(MultiRequest::decode(&mut Reader::new(&own[..own.len() - 1])).is_err());
    }
}
