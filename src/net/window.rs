//! How many reads a connection may have behind its writes. They are answered by the writer, in their place
//! between writes, so the connection cannot wait with them until its client has read earlier replies. What
//! they will be answered with is not known before; it is expected to be what the ones before them were.

use crate::runtime::Client;

/// What a reply is expected to take before any came.
const FIRST_ESTIMATE_BYTES: usize = 64 << 10;

/// The reads of one connection behind its writes.
#[derive(Debug)]
pub(super) struct OrderedReads {
    bytes_max: usize,
    /// What each is expected to be answered with.
    estimate_bytes: usize,
    /// Handed over since nothing of the connection was in the writer's hands.
    handed_over: usize,
}

impl OrderedReads {
    /// Replies of about `bytes_max` may be on their way.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, estimate_bytes: FIRST_ESTIMATE_BYTES, handed_over: 0 }
    }

    /// Whether another may be handed over.
    pub(super) const fn may_hand_over(&self) -> bool {
        self.handed_over == 0 || self.handed_over * self.estimate_bytes < self.bytes_max
    }

    /// One more was.
    pub(super) const fn handed_over(&mut self) {
        self.handed_over += 1;
    }

    /// Nothing of the connection is in the writer's hands.
    pub(super) fn idle(&mut self, client: &Client) {
        if self.handed_over > 0 {
            self.handed_over = 0;
            self.estimate_bytes = client.take_largest_ordered().max(self.estimate_bytes / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are let in until nothing more is.
    fn let_in(reads: &mut OrderedReads) -> usize {
        (0..1000)
            .take_while(|_| {
                reads.may_hand_over() && {
                    reads.handed_over();
                    true
                }
            })
            .count()
    }

    #[test]
    fn as_many_reads_are_let_in_as_their_answers_are_expected_to_leave_room_for() {
        let client = Client::new(1, ([127, 0, 0, 1], 1).into(), 0);
        let mut reads = OrderedReads::new(4 * FIRST_ESTIMATE_BYTES);
        assert_eq!(let_in(&mut reads), 4);
        client.note_ordered(FIRST_ESTIMATE_BYTES);
        reads.idle(&client);
        assert_eq!(let_in(&mut reads), 4, "they were as large as expected");
        // Smaller ones are believed by and by.
        for expected in [8, 16, 32] {
            client.note_ordered(100);
            reads.idle(&client);
            assert_eq!(let_in(&mut reads), expected);
        }
        client.note_ordered(4 * FIRST_ESTIMATE_BYTES);
        reads.idle(&client);
        assert_eq!(let_in(&mut reads), 1, "one always is");
        client.note_ordered(0);
        reads.idle(&client);
        assert_eq!(let_in(&mut reads), 2, "also after a single one");
        reads.idle(&client);
        reads.idle(&client);
        assert_eq!(let_in(&mut reads), 4, "who handed nothing over learned nothing");
    }
}
