//! The quorum port: where learners connect while this server leads (reference: `Leader.LearnerCnxAcceptor`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::dial::{self, Address};
use super::learner_line::{Line, Order};
use super::pending::Pending;
use super::stream::Writing;
use super::{Shared, learner_link};
use crate::zab::{Hello, Input, Link, ToLearner};

/// Between two attempts to bind the port: the term of leading before may not have let it go yet.
const BIND_PAUSE: Duration = Duration::from_millis(100);
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The port, and the learners.
pub(super) struct LearnerPort {
    pub(super) shared: Arc<Shared>,
    pub(super) pending: Pending,
    learners: Mutex<Learners>,
}

#[derive(Default)]
struct Learners {
    /// While it is open; cancelled when all connections are to end.
    open: Option<CancellationToken>,
    /// Numbers given out so far.
    links: u64,
    by_link: BTreeMap<Link, Learner>,
}

struct Learner {
    line: Arc<Line>,
    end: CancellationToken,
    name: String,
}

impl LearnerPort {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pending: Pending::default(), learners: Mutex::default() }
    }

    fn learners(&self) -> MutexGuard<'_, Learners> {
        self.learners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts learners, or ends all their connections and accepts no more.
    pub(super) fn listen(self: &Arc<Self>, is_open: bool) {
        let mut learners = self.learners();
        if !is_open {
            if let Some(open) = learners.open.take() {
                open.cancel();
            }
            learners.by_link.clear();
            return;
        }
        if learners.open.is_some() {
            return;
        }
        let options = &self.shared.options;
        let open = CancellationToken::new();
        for address in options.places(options.mine().quorum) {
            let (port, end) = (Arc::clone(self), open.clone());
            self.shared.tasks.spawn(async move {
                tokio::select! {
                    () = port.serve(address, &end) => {}
                    () = end.cancelled() => {}
                }
            });
        }
        learners.open = Some(open);
    }

    async fn serve(self: &Arc<Self>, address: Address, open: &CancellationToken) {
        let listener = self.bind(&address).await;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let _slow = stream.set_nodelay(self.shared.options.sockets.leader_nodelay);
                    let (port, end) = (Arc::clone(self), open.child_token());
                    self.shared.tasks.spawn(async move {
                        tokio::select! {
                            () = learner_link::run(&port, stream, from, &end) => {}
                            () = end.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection on the quorum port: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn bind(&self, address: &Address) -> TcpListener {
        let mut was_told = false;
        loop {
            match dial::listen(address, self.shared.options.listen_on_all).await {
                Ok(listener) => return listener,
                Err(why) if was_told => tracing::debug!("cannot listen on the quorum port: {why}"),
                Err(why) => {
                    tracing::warn!(
                        "cannot listen on the quorum port while leading, and will go on trying: {why}"
                    );
                    was_told = true;
                }
            }
            tokio::time::sleep(BIND_PAUSE).await;
        }
    }

    /// Lets a learner in that has introduced itself; `None` when the port was closed meanwhile. `end` is cancelled
    /// when its connection is to end.
    pub(super) fn admit(
        &self,
        hello: Hello,
        from: SocketAddr,
        stream: Writing,
        end: &CancellationToken,
    ) -> Option<Arc<Line>> {
        let mut learners = self.learners();
        if end.is_cancelled() {
            return None;
        }
        learners.links += 1;
        let link = Link(learners.links);
        let line = Arc::new(Line::new(Arc::clone(&self.shared), link, hello.sid, stream));
        let name = match hello.sid {
            Some(sid) => format!("{} ({from})", self.shared.options.name(sid)),
            None => format!("a learner without a number ({from})"),
        };
        tracing::info!("{name} has connected to learn");
        learners.by_link.insert(link, Learner { line: Arc::clone(&line), end: end.clone(), name });
        // Under the lock, so that nothing is heard of it once it was closed.
        self.shared.put(Input::LearnerCame { link, hello });
        Some(line)
    }

    /// A connection has ended by itself.
    pub(super) fn left(&self, link: Link, why: &str) {
        let mut learners = self.learners();
        if let Some(learner) = learners.by_link.remove(&link) {
            tracing::warn!("the connection of {} has ended: {why}", learner.name);
            self.shared.put(Input::LearnerLeft { link });
        }
    }

    /// Sends a packet. Of a connection that has gone nobody hears more.
    pub(super) fn send(&self, link: Link, packet: ToLearner) {
        if matches!(packet, ToLearner::Diff(_) | ToLearner::Trunc(_)) {
            self.shared.metrics.diff_count.increment();
        }
        self.order(link, Order::Packet(packet));
    }

    /// Puts something behind all that was ordered before.
    pub(super) fn order(&self, link: Link, order: Order) {
        if let Some(learner) = self.learners().by_link.get(&link) {
            if let Order::Packet(packet) = &order {
                learner.line.acks.sends(packet, || self.shared.clock.now_ms());
            }
            // A connection that ends drops what was ordered, and says that it has left.
            learner.line.outgoing.push(order);
        }
    }

    /// Has everything sent that was ordered.
    pub(super) fn flush(&self) {
        self.learners().by_link.values().for_each(|learner| learner.line.flush());
    }

    /// Ends a connection. Nothing is heard of it any more.
    pub(super) fn close(&self, link: Link, why: &str) {
        if let Some(learner) = self.learners().by_link.remove(&link) {
            tracing::warn!("the connection of {} is closed: {why}", learner.name);
            learner.end.cancel();
        }
    }
}
