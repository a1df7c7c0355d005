//! The text of a four-letter word: it goes out in pieces, as fast as the client reads them. A client that
//! reads too slowly is given up; what has not been made yet then never is.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![expect(clippy::disallowed_methods, reason = "deadlines of sockets are the runtime's timers")]
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use super::Commands;
use super::protocol::End;
use super::transport::Stream;
use crate::runtime::client::Port;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To read a piece of some tens of KiB.
    piece: Duration,
    /// To read the whole text.
    text: Duration,
}

/// Of the server.
pub(super) const PATIENCE: Patience =
    Patience { piece: Duration::from_secs(10), text: Duration::from_secs(60) };
/// Until it is the turn of a word that walks much.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// Words that walk much, at a time in this process.
static HEAVY: Semaphore = Semaphore::const_new(HEAVY_MAX);
const HEAVY_MAX: usize = 4;

/// Why an answer was not sent whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum WordError {
    /// The client does not read.
    #[error("the client reads the answer to its four-letter word too slowly, or not at all")]
    Unread,
    /// The socket failed.
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// The word's own task failed.
    #[error("a four-letter word failed: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<WordError> for End {
    fn from(error: WordError) -> Self {
        match error {
            WordError::Failed(error) => Self::Failed(error),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Makes the answer and writes it, with `poll_write` that says how much the socket took. Returns how many bytes
/// that were.
pub(super) async fn answer(
    patience: Patience,
    commands: Arc<dyn Commands>,
    port: Port,
    word: [u8; 4],
    extra: Vec<u8>,
    mut poll_write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
) -> Result<usize, WordError> {
    let mut turn = None;
    if commands.is_heavy(word) {
        match timeout(TURN_WITHIN, HEAVY.acquire()).await {
            Ok(permit) => turn = permit.ok(),
            Err(_) => {
                let name = String::from_utf8_lossy(&word);
                let text = format!(
                    "{name} is not executed because {HEAVY_MAX} such commands are running; try again.\n"
                );
                write_all(text.as_bytes(), &mut poll_write).await?;
                return Ok(text.len());
            }
        }
    }
    let begun = Instant::now();
    let (made, mut pieces) = mpsc::channel::<Vec<u8>>(1);
    let answering = tokio::task::spawn_blocking(move || {
        commands.answer(port, word, &extra, &mut |piece| made.blocking_send(piece).is_ok());
    });
    let mut bytes = 0_usize;
    while let Some(piece) = pieces.recv().await {
        let within = patience.piece.min(patience.text.saturating_sub(begun.elapsed()));
        let written = timeout(within, write_all(&piece, &mut poll_write)).await;
        written.map_err(|_| WordError::Unread)??;
        bytes = bytes.saturating_add(piece.len());
    }
    answering.await?;
    drop(turn);
    Ok(bytes)
}

/// Writes what the socket takes.
pub(super) fn poll_write(
    stream: &mut impl Stream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::task::ready!(stream.poll_write_ready(cx))?;
            }
            written => return Poll::Ready(written),
        }
    }
}

async fn write_all(
    mut bytes: &[u8],
    poll_write: &mut impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| poll_write(cx, bytes)).await?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::net::in_memory::MemoryStream;

    /// Says so many pieces, and counts what it made.
    struct Talker {
        pieces: usize,
        made: AtomicUsize,
    }

    impl Talker {
        fn new(pieces: usize) -> Arc<Self> {
            Arc::new(Self { pieces, made: AtomicUsize::new(0) })
        }
    }

    impl Commands for Talker {
        fn is_word(&self, _: [u8; 4]) -> bool {
            true
        }
        fn extra_bytes(&self, _: [u8; 4]) -> usize {
            0
        }
        fn is_heavy(&self, word: [u8; 4]) -> bool {
            word == *b"wchp"
        }
        fn answer(&self, _: Port, _: [u8; 4], _: &[u8], send: &mut dyn FnMut(Vec<u8>) -> bool) {
            for _ in 0..self.pieces {
                self.made.fetch_add(1, Ordering::Relaxed);
                if !send(vec![b'x'; 1000]) {
                    return;
                }
            }
        }
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn what_a_socket_does_not_take_waits_and_one_that_is_gone_is_said_to_be() {
        let stream = MemoryStream::new(0);
        let write = |stream: &MemoryStream| {
            poll_write(&mut stream.clone(), &mut Context::from_waker(std::task::Waker::noop()), b"text")
        };
        assert!(write(&stream).is_pending());
        stream.set_room(3);
        assert!(matches!(write(&stream), Poll::Ready(Ok(3))));
        stream.close();
        assert!(matches!(write(&stream), Poll::Ready(Err(gone)) if gone.kind() == io::ErrorKind::BrokenPipe));
    }

    #[tokio::test]
    async fn a_text_of_many_pieces_is_written_whole() {
        let patience = Patience { piece: LONG, text: LONG };
        let mut written = 0;
        let write = |_: &mut Context<'_>, piece: &[u8]| {
            let count = piece.len().min(700);
            written += count;
            Poll::Ready(Ok(count))
        };
        let sent = answer(patience, Talker::new(500), Port::Client, *b"wchp", Vec::new(), write).await;
        assert_eq!((sent.unwrap(), written), (500_000, 500_000));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up_and_costs_few_pieces() {
        let patience = Patience { piece: SHORT, text: LONG };
        let talker = Talker::new(1_000_000);
        let never = |_: &mut Context<'_>, _: &[u8]| Poll::Pending;
        let unread = answer(patience, talker.clone(), Port::Client, *b"wchp", Vec::new(), never).await;
        assert!(matches!(unread, Err(WordError::Unread)), "{unread:?}");
        assert!(talker.made.load(Ordering::Relaxed) <= 3, "{:?} pieces", talker.made);
    }

    #[tokio::test]
    async fn a_client_that_reads_a_little_now_and_then_is_given_up_too() {
        let patience = Patience { piece: LONG, text: SHORT };
        let mut waited = false;
        let slow = |cx: &mut Context<'_>, _: &[u8]| {
            waited = !waited;
            if waited {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(1))
        };
        let unread = answer(patience, Talker::new(1_000_000), Port::Client, *b"wchp", Vec::new(), slow).await;
        assert!(matches!(unread, Err(WordError::Unread)), "{unread:?}");
    }
}
