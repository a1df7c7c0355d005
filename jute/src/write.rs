//! Appending jute bytes (reference: `BinaryOutputArchive`).

/// Appends a 4-byte big-endian integer.
pub fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends an 8-byte big-endian integer.
pub fn long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends one byte, 0 or 1.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends length-prefixed bytes; `None` is null (length -1).
pub fn buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => int(out, -1),
        Some(bytes) => {
            out.reserve(bytes.len().saturating_add(4));
            int(out, length(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a string as Java writes it: each UTF-16 unit on its own, so that a character beyond the
/// basic plane takes six bytes.
pub fn ustring(out: &mut Vec<u8>, value: Option<&str>) {
    let Some(text) = value else { return int(out, -1) };
    if text.is_ascii() || !text.bytes().any(|byte| byte >= 0xF0) {
        return buffer(out, Some(text.as_bytes()));
    }
    let start = out.len();
    int(out, 0);
    let mut utf16 = [0; 2];
    for character in text.chars() {
        if character.len_utf8() < 4 {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in character.encode_utf16(&mut utf16) {
            let unit = *unit;
            out.extend_from_slice(&[
                0xE0 | (unit >> 12) as u8,
                0x80 | (unit >> 6 & 0x3F) as u8,
                0x80 | (unit & 0x3F) as u8,
            ]);
        }
    }
    patch_length(out, start);
}

/// Starts a frame: reserves its length and returns where, for [`patch_length`].
#[must_use]
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    int(out, 0);
    start
}

/// Writes at `start` the number of bytes that follow its four.
pub fn patch_length(out: &mut [u8], start: usize) {
    if let Some((place, following)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut) {
        *place = length(following.len()).to_be_bytes();
    }
}

/// A number of bytes or elements as jute counts it.
#[expect(
    clippy::expect_used,
    reason = "what is written was made here; frames and files are bounded far below"
)]
pub(crate) fn length(count: usize) -> i32 {
    i32::try_from(count).expect("a jute field is below 2 GiB, and 2^31 elements")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supplementary_characters_are_written_as_two_surrogates() {
        let mut out = Vec::new();
        ustring(&mut out, Some("x😀"));
        assert_eq!(out, b"\x00\x00\x00\x07x\xED\xA0\xBD\xED\xB8\x80");
    }
}
