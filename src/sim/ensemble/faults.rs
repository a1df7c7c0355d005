//! What goes wrong, what clients do meanwhile, and that all is well soon after.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jute::Zxid;
use jute::txn::TxnEntry;

use super::node::Process;
use super::world::{CLIENTS, Event, Node, SOCKET_BYTES, World};
use crate::disk::Disk;
use crate::net::in_memory::MemoryStream;
use crate::sim::crash::{Choice, Fresh, after};
use crate::sim::disk::{Plan, SimDisk};
use crate::txnlog::{Entries, Gaps};
use crate::zab::{PeerState, Sid};

impl World {
    pub(super) fn fault(&mut self) {
        let sids = self.sids();
        let sid = sids[self.random.below(sids.len() as u64) as usize];
        let other = sids[self.random.below(sids.len() as u64) as usize];
        match self.random.below(6) {
            0 | 1 => self.crash_for_a_while(sid),
            2 => {
                self.figures.pauses += 1;
                let until = self.now_ms() + 10 + self.below(3000);
                self.node(sid).paused_until_ms = until;
            }
            3 => self.spoil_disk(sid),
            _ => {
                let both = self.below(3) > 0;
                for pair in [(sid, other), (other, sid)].into_iter().take(1 + usize::from(both)) {
                    if pair.0 != pair.1 && self.network.cut.insert(pair) {
                        self.figures.cuts += 1;
                        let wait = 50 + self.below(3000);
                        self.plan(wait, Event::Heal(pair));
                    }
                }
                let cut = self.network.cut.clone();
                let links = self.network.links(|wire| {
                    cut.contains(&(wire.learner, wire.leader)) || cut.contains(&(wire.leader, wire.learner))
                });
                for link in links {
                    // Half of the time nobody is told: silence has to be noticed.
                    if self.below(2) == 0 {
                        self.break_wire(link);
                    } else if let Some(wire) = self.network.wires.get_mut(&link) {
                        wire.is_broken = true;
                    }
                }
            }
        }
    }

    pub(super) fn crash_for_a_while(&mut self, sid: Sid) {
        self.crash(sid);
        let wait = 10 + self.below(3000);
        self.plan(wait, Event::Restart(sid));
    }

    /// A disk is full for a while, or fails, which ends the process.
    fn spoil_disk(&mut self, sid: Sid) {
        if self.node(sid).process.is_none() {
            return;
        }
        if self.below(3) == 0 {
            self.node(sid).disk.fail();
            return;
        }
        self.figures.full_disks += 1;
        self.node(sid).disk.fill();
        let wait = 200 + self.below(6000);
        self.plan(wait, Event::Space(sid));
    }

    /// The power of one machine goes, and some of what was not durable with it.
    pub(super) fn crash(&mut self, sid: Sid) {
        self.figures.crashes += 1;
        for client in self.clients.iter_mut().filter(|client| client.server == Some(sid)) {
            client.disconnect();
        }
        let fresh = if self.below(2) == 0 { Fresh::Unwritten } else { Fresh::Recycled };
        let choice = Choice::Random(self.random.below(u64::MAX));
        let node = self.node(sid);
        node.process = None;
        node.life += 1;
        node.disk = after(&node.disk, fresh, choice);
        (node.master, node.listens, node.paused_until_ms) = (None, false, 0);
        let links = self.network.links(|wire| wire.learner == sid || wire.leader == sid);
        links.into_iter().for_each(|link| self.break_wire(link));
    }

    /// Who leads and serves.
    fn leader(&self) -> Option<Sid> {
        let leads = |process: &Process| {
            process.is_serving() && process.told().is_some_and(|told| told.state == PeerState::Leading)
        };
        let of = |(sid, node): (&Sid, &Node)| node.process.as_ref().filter(|one| leads(one)).map(|_| *sid);
        self.nodes.iter().find_map(of)
    }

    /// Without other faults, the disk of the leader is spoiled for good: soon another one leads, and writes succeed.
    pub(super) fn run_with_spoilt_leader(mut self, spoil: fn(&SimDisk), is_noticed: fn(&Node) -> bool) {
        self.has_faults = false;
        let begin = self.now_ms();
        self.settle(10_000, "every server serves", |world| {
            world.nodes.values().all(|node| node.process.as_ref().is_some_and(Process::is_serving))
        });
        let leader = self.leader().expect("somebody leads");
        let life = self.nodes[&leader].life;
        spoil(&self.node(leader).disk);
        // There may be space ahead in its log. A process that ended may be back before it is looked at, and lead again.
        self.settle(120_000, "the leader comes to the fault", |world| {
            is_noticed(&world.nodes[&leader]) || world.nodes[&leader].life != life
        });
        self.settle(10_000, "another one leads", |world| {
            world.leader().is_some_and(|sid| sid != leader || world.nodes[&leader].life != life)
        });
        let before = self.history.acknowledged.len();
        self.settle(10_000, "writes succeed", |world| world.history.acknowledged.len() > before);
        self.finish(begin);
    }

    /// Clients do something, or what is due.
    pub(super) fn clients_act(&mut self) {
        let now = self.now_ms();
        let who = self.random.below(CLIENTS as u64) as usize;
        match self.random.below(60) {
            0..=29 => self.clients[who].act(&mut self.random, now),
            30 => self.clients[who].disconnect(),
            31 | 32 => self.open(who),
            33 => self.clients[who].act_through_abandoned(&mut self.random, &mut self.history),
            34 => self.clients[who].close(&mut self.random, now, &mut self.history),
            35 => self.clients[who].is_reading = !self.clients[who].is_reading,
            _ => {}
        }
        for who in 0..CLIENTS {
            self.clients[who].well_since_ms = None;
            self.clients[who].tick(now);
            if self.clients[who].connection.is_none() && self.below(4) == 0 {
                self.open(who);
            }
            self.serve(who);
        }
        let servers: BTreeSet<Sid> = self
            .clients
            .iter()
            .flat_map(|client| [client.server, client.abandoned_server])
            .flatten()
            .collect();
        servers.into_iter().for_each(|sid| self.turn(sid));
        (0..CLIENTS).for_each(|who| self.serve(who));
    }

    /// A client's connection is served where its server runs.
    pub(super) fn serve(&mut self, who: usize) {
        let now = self.now_ms();
        let client = &mut self.clients[who];
        let nodes = &self.nodes;
        let runs = |server: Option<Sid>| {
            server.is_some_and(|sid| nodes[&sid].process.is_some() && nodes[&sid].paused_until_ms <= now)
        };
        let mut has_ended = false;
        if runs(client.server)
            && let Some(connection) = &mut client.connection
        {
            has_ended = !connection.link.run();
        }
        if runs(client.abandoned_server)
            && let Some(abandoned) = &mut client.abandoned
            && !abandoned.link.run()
        {
            client.abandoned = None;
        }
        if client.is_reading {
            client.receive(now, &mut self.history);
        }
        if has_ended {
            client.connection = None;
        }
    }

    /// A client connects to some server, also while it has another connection: then its session moves.
    pub(super) fn open(&mut self, who: usize) {
        let sids = self.sids();
        let sid = sids[self.random.below(sids.len() as u64) as usize];
        let now = self.now_ms();
        let stream = MemoryStream::new(SOCKET_BYTES);
        let Some(process) = &mut self.node(sid).process else { return };
        let link = process.accept(stream.clone());
        let client = &mut self.clients[who];
        if !client.is_connected() {
            client.disconnect();
        }
        client.abandoned_server = client.server.replace(sid);
        client.connect(stream, link, now);
    }

    /// All faults are gone: soon everybody is served, and all servers hold the same.
    pub(super) fn end(&mut self) {
        self.has_faults = false;
        self.network.cut.clear();
        for sid in self.sids() {
            self.node(sid).disk.set_plan(Plan::default());
            self.node(sid).paused_until_ms = 0;
            self.restart(sid);
            self.turn(sid);
        }
        self.clients.iter_mut().for_each(|client| client.is_reading = true);
        let before = self.history.acknowledged.len();
        self.settle(10_000, "writes succeed again", |world| world.history.acknowledged.len() > before);
        self.settle(10_000, "every server serves", |world| {
            world.nodes.values().all(|node| node.process.as_ref().is_some_and(Process::is_serving))
        });
        for client in &mut self.clients {
            client.disconnect();
            client.absent_until_ms = i64::MAX;
        }
        // Without clients; the sessions that are left end, and nothing else changes.
        self.pending.retain(|_, event| !matches!(event, Event::Clients));
        self.settle(30_000, "all sessions have ended everywhere, and all servers hold the same", |world| {
            let held = |process: &Process| {
                let state = &process.shared.state;
                (state.sessions().committed_count(), state.tree().ephemerals_count(), process.digest())
            };
            let all: Vec<_> =
                world.nodes.values().filter_map(|node| node.process.as_ref()).map(held).collect();
            all.iter().all(|one| *one == all[0] && one.0 == 0 && one.1 == 0)
        });
    }

    pub(super) fn settle(&mut self, within_ms: i64, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now_ms() + within_ms;
        while self.now_ms() < end {
            if is_so(self) {
                return;
            }
            let soon = self.now_ms() + 50;
            self.run_until(soon);
        }
        for (sid, node) in &self.nodes {
            let process = node.process.as_ref();
            eprintln!(
                "server {sid}: {:?}, {:?}, {:?} sessions",
                process.and_then(Process::told),
                process.map(Process::digest),
                process.map(|process| process.shared.state.sessions().committed_count())
            );
        }
        panic!("waited in vain for {within_ms} ms until {what}");
    }

    /// Keeps what a server's log holds up to a transaction that is committed: logs go when a snapshot replaces
    /// them. Where two servers have a transaction, it is the same.
    pub(super) fn keep_committed(&mut self, sid: Sid, to: Zxid) {
        let disk: Arc<dyn Disk> = Arc::new(self.nodes[&sid].disk.clone());
        let mut entries = Entries::open(disk, Path::new("/data/version-2"), Zxid::ZERO, Gaps::Allow)
            .expect("the log can be read");
        while let Some(frame) = entries.next_frame().expect("the log can be read").filter(|it| it.zxid <= to)
        {
            let known = self.committed.entry(frame.zxid).or_insert_with(|| frame.payload.to_vec());
            assert_eq!(known, frame.payload, "server {sid} has another transaction {}", frame.zxid);
        }
    }

    /// The whole history, when all servers hold the same.
    pub(super) fn logged(&mut self) -> Vec<TxnEntry> {
        for sid in self.sids() {
            self.keep_committed(sid, Zxid(i64::MAX));
        }
        self.committed
            .values()
            .map(|payload| TxnEntry::decode(payload).expect("it was decoded before"))
            .collect()
    }
}
