//! Length-prefixed frames out of a stream. The buffer grows with the bytes that came, never with the
//! length that was announced.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

/// Room that is made for one read.
const READ_BYTES: usize = 16 << 10;
/// A buffer that grew beyond this for a large frame is given back after it.
const KEEP_BYTES: usize = 256 << 10;

/// Received bytes not yet consumed.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    consumed: usize,
}

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole frame without its length.
    Whole(&'a [u8]),
    /// Not all there yet.
    Partial,
    /// A length that is negative or above the limit.
    BadLength(i32),
}

impl Input {
    /// The bytes not yet consumed.
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }

    /// The frame at the front. It stays until [`Input::skip`] drops it, with the four bytes of its length.
    #[must_use]
    pub fn peek_frame(&self, bytes_max: usize) -> Frame<'_> {
        let Some((length, rest)) = self.unread().split_first_chunk::<4>() else { return Frame::Partial };
        let length = i32::from_be_bytes(*length);
        let Some(count) = usize::try_from(length).ok().filter(|count| *count <= bytes_max) else {
            return Frame::BadLength(length);
        };
        rest.get(..count).map_or(Frame::Partial, Frame::Whole)
    }

    /// Drops `count` bytes.
    pub fn skip(&mut self, count: usize) {
        self.consumed = self.consumed.saturating_add(count).min(self.bytes.len());
    }

    /// Lets `read` append; what it returns is what it appended.
    pub fn fill<T>(&mut self, read: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
            if self.bytes.capacity() > KEEP_BYTES {
                self.bytes = Vec::new();
            }
        } else if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        // Double while a large frame is coming in, so that it is not copied for each packet.
        self.bytes.reserve(READ_BYTES.max(self.bytes.len()).min(1 << 20));
        read(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input {
        let mut input = Input::default();
        input.fill(|buffer| buffer.extend_from_slice(bytes));
        input
    }

    /// The next frame, dropped.
    fn next(input: &mut Input) -> Option<Vec<u8>> {
        let Frame::Whole(frame) = input.peek_frame(10) else { return None };
        let frame = frame.to_vec();
        input.skip(4 + frame.len());
        Some(frame)
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut input = input(&[0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2, 8]);
        assert_eq!(next(&mut input), Some(vec![7]));
        assert_eq!(next(&mut input), Some(vec![]));
        assert_eq!(input.peek_frame(10), Frame::Partial);
        input.fill(|buffer| buffer.push(9));
        assert_eq!(next(&mut input), Some(vec![8, 9]));
    }

    /// A connection that once sent something large does not keep its memory for good.
    #[test]
    fn the_memory_of_a_large_frame_is_given_back_after_it_and_that_of_small_ones_is_kept() {
        for (bytes, is_given_back) in [(KEEP_BYTES + READ_BYTES, true), (READ_BYTES, false)] {
            let mut input = input(&vec![0; bytes]);
            let before = input.bytes.capacity();
            input.skip(bytes - 1);
            input.fill(|buffer| assert!(buffer.capacity() >= before, "it is still in use"));
            assert_eq!(input.unread().len(), 1);
            input.skip(1);
            input.fill(|buffer| assert_eq!(buffer.capacity() < before, is_given_back));
            assert!(input.unread().is_empty());
        }
    }

    /// What is not there is not dropped in advance.
    #[test]
    fn no_more_is_dropped_than_came() {
        let mut input = input(&[1, 2]);
        input.skip(usize::MAX);
        input.fill(|buffer| buffer.push(3));
        assert_eq!(input.unread(), [3]);
    }

    #[test]
    fn a_bad_length_is_seen_before_its_bytes_come() {
        assert_eq!(input(&[0x7F, 0xFF, 0xFF, 0xFF]).peek_frame(10), Frame::BadLength(i32::MAX));
        assert_eq!(input(&[0xFF, 0xFF, 0xFF, 0xFF]).peek_frame(10), Frame::BadLength(-1));
        assert_eq!(input(&[0, 0, 0, 11]).peek_frame(10), Frame::BadLength(11));
        assert_eq!(input(&[0, 0, 0, 10]).peek_frame(10), Frame::Partial, "as long as one may be");
    }
}
