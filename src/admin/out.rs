//! Text on its way to whoever asked.

use std::fmt;
use std::ops::ControlFlow;

/// Text is handed on in pieces of about this size, so that a long answer takes no memory.
const PIECE_BYTES: usize = 32 << 10;

/// Takes text and hands it on in pieces, until nobody wants any more.
pub struct Out<'a> {
    text: String,
    /// False when whoever asked is gone.
    send: &'a mut dyn FnMut(Vec<u8>) -> bool,
    gone: bool,
}

impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("bytes", &self.text.len()).field("gone", &self.gone).finish()
    }
}

impl<'a> Out<'a> {
    /// Hands pieces to `send`, which says whether it wants more.
    pub fn new(send: &'a mut dyn FnMut(Vec<u8>) -> bool) -> Self {
        Self { text: String::new(), send, gone: false }
    }

    /// Adds text. When nobody wants it, nothing happens.
    pub fn push_str(&mut self, text: &str) {
        if self.gone {
            return;
        }
        self.text.push_str(text);
        if self.text.len() >= PIECE_BYTES {
            self.hand_on();
        }
    }

    /// Whether there is a point in going on.
    pub const fn flow(&self) -> ControlFlow<()> {
        if self.gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Hands on the rest.
    pub fn finish(mut self) {
        if !self.gone && !self.text.is_empty() {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.gone = !(self.send)(std::mem::take(&mut self.text).into_bytes());
    }
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_comes_whole_and_in_pieces() {
        let mut pieces = Vec::new();
        let mut send = |piece: Vec<u8>| {
            pieces.push(piece);
            true
        };
        let mut out = Out::new(&mut send);
        for number in 0..20_000 {
            out.push_str(&format!("{number}\n"));
        }
        out.finish();
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| piece.len() < PIECE_BYTES + 10), "no piece is large");
        let text = String::from_utf8(pieces.concat()).unwrap();
        assert!(text.lines().map(|line| line.parse::<i32>().unwrap()).eq(0..20_000));
    }

    #[test]
    fn nothing_is_kept_for_one_who_is_gone() {
        let mut asked = 0;
        let mut send = |_| {
            asked += 1;
            false
        };
        let mut out = Out::new(&mut send);
        let long = "x".repeat(PIECE_BYTES);
        assert_eq!(out.flow(), ControlFlow::Continue(()));
        for _ in 0..10 {
            out.push_str(&long);
            assert_eq!(out.flow(), ControlFlow::Break(()));
        }
        assert!(out.text.is_empty());
        out.finish();
        assert_eq!(asked, 1);
    }
}
