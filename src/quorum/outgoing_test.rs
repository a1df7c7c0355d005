//! Who sends what is to be sent, and in which order.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::outgoing::{DIRECT_BYTES, Order, Outgoing, Rest};
use super::stream::Writing;
use super::testing::PATIENCE;

/// So many bytes of one kind.
#[derive(Debug, PartialEq, Eq)]
struct Run(u8, usize);

impl Order for Run {
    fn weight(&self) -> Option<usize> {
        (self.1 > 0).then_some(self.1)
    }

    fn encode(self, out: &mut Vec<u8>) -> Result<(), Self> {
        if self.1 == 0 {
            return Err(self);
        }
        out.resize(out.len() + self.1, self.0);
        Ok(())
    }
}

/// The sending side, and who reads it.
async fn pair() -> (Outgoing<Run>, TcpStream, OwnedReadHalf) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (reading, writing) = stream.into_split();
    writing.writable().await.unwrap();
    (Outgoing::new(Writing::Plain(writing)), listener.accept().await.unwrap().0, reading)
}

/// Puts packets in, one by one, until the socket takes no more. What went in.
fn fill(outgoing: &Outgoing<Run>) -> Vec<u8> {
    let mut expected = Vec::new();
    for kind in 0..10_000_u32 {
        let run = Run((kind % 251) as u8, 10_007);
        expected.resize(expected.len() + run.1, run.0);
        outgoing.push(run);
        if outgoing.flush(|_| ()) == 0 {
            return expected;
        }
    }
    panic!("it takes everything");
}

async fn taken(outgoing: &Outgoing<Run>) -> (Rest, VecDeque<Run>) {
    let mut orders = VecDeque::new();
    let taking = outgoing.take(&mut orders);
    let rest = tokio::time::timeout(PATIENCE, taking).await.expect("something is given");
    (rest, orders)
}

#[tokio::test]
async fn little_is_sent_at_once_and_counted_before() {
    let (outgoing, mut reader, _reading) = pair().await;
    outgoing.push(Run(1, 3));
    outgoing.push(Run(2, 4));
    let mut counted = 0;
    assert_eq!(outgoing.flush(|packets| counted = packets), 7);
    assert_eq!(counted, 2);
    let mut bytes = [0; 7];
    reader.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, [1, 1, 1, 2, 2, 2, 2]);
    assert_eq!(outgoing.flush(|_| panic!("nothing is there")), 0);
}

#[tokio::test]
async fn much_and_what_is_no_packet_are_the_task_s_and_so_is_all_behind_it() {
    for first in [Run(1, DIRECT_BYTES + 1), Run(1, 0)] {
        let (outgoing, _reader, _reading) = pair().await;
        outgoing.push(Run(0, 5));
        let expected = [Run(0, 5), Run(first.0, first.1), Run(2, 3)];
        outgoing.push(first);
        assert_eq!(outgoing.flush(|_| panic!("the task counts it")), 0);
        outgoing.push(Run(2, 3));
        assert_eq!(outgoing.flush(|_| panic!("the task counts it")), 0);
        let (rest, orders) = taken(&outgoing).await;
        assert!(rest.bytes.is_empty() && rest.weight == 0);
        assert_eq!(orders, expected);
        // It is at work.
        outgoing.push(Run(3, 3));
        assert_eq!(outgoing.flush(|_| panic!("the task counts it")), 0);
        assert_eq!(taken(&outgoing).await.1, [Run(3, 3)]);
    }
}

#[tokio::test]
async fn what_a_slow_reader_s_socket_does_not_take_goes_on_where_it_broke_off() {
    let (outgoing, mut reader, _reading) = pair().await;
    let mut expected = fill(&outgoing);
    outgoing.push(Run(252, 100));
    assert_eq!(outgoing.flush(|_| ()), 0, "it waits behind the rest");
    let (rest, orders) = taken(&outgoing).await;
    assert!(!rest.bytes.is_empty() && rest.bytes.len() <= 10_007);
    assert_eq!(rest.weight, 10_007, "nothing of it was told");
    assert_eq!(orders, [Run(252, 100)]);
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    outgoing.write_all(&rest.bytes).await.unwrap();
    outgoing.write_all(&[252; 100]).await.unwrap();
    // The task finds nothing more, and waits: what comes next is sent at once again, when there is room.
    let mut nothing = VecDeque::new();
    let waiting =
        tokio::time::timeout(std::time::Duration::from_millis(50), outgoing.take(&mut nothing)).await;
    assert!(waiting.is_err());
    outgoing.push(Run(253, 9));
    if outgoing.flush(|_| ()) == 0 {
        outgoing.write_all(&taken(&outgoing).await.0.bytes).await.unwrap();
    }
    drop(outgoing);
    expected.extend([252; 100]);
    expected.extend([253; 9]);
    assert!(reading.await.unwrap() == expected, "other bytes came");
}

#[tokio::test]
async fn the_end_of_the_connection_is_found_by_the_task() {
    let (outgoing, mut reader, _reading) = pair().await;
    reader.shutdown().await.unwrap();
    drop(reader);
    fill(&outgoing);
    let (rest, _) = taken(&outgoing).await;
    assert!(outgoing.write_all(&rest.bytes).await.is_err());
}
