//! Both servers, side by side, and the playing of a script on them in lock step.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

use super::coverage::Coverage;
use super::generate::SLOTS;
use super::script::{Field, Hello, OPS, Step, Whose, op};
use super::side::{Item, Side, request};
use crate::artifacts::REFERENCE;
use crate::compare::judged;
use crate::host::Host;
use crate::mutants::copy::SWITCH;
use crate::seat::Seat;
use crate::server::{Kind, Options, Server};
use crate::wire::op::AUTH;

/// Requests between two looks at all connections for events.
const SWEEP_EVERY: usize = 40;
/// Sessions end at multiples of this.
const TICK_MS: u32 = 50;
/// The shortest timeout a session can have.
const EXPIRY_MS: i32 = 200;
/// How much later the next of several sessions expires: more than a tick, so that their order is certain.
const EXPIRY_STEP_MS: i32 = 100;
/// How much later than it should a session may expire on a busy machine.
const EXPIRY_LIMIT: Duration = Duration::from_secs(3);
/// A learner tells its leader of its sessions every half tick; the machine may be busy.
const LEARNER_HEARD: Duration = Duration::from_millis(250);
/// `super:admin`.
const SUPER_DIGEST: &str = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";

/// The reference and the judged server, started alike.
#[derive(Debug)]
pub struct Pair {
    /// The reference first.
    pub sides: [Side; 2],
    /// The zxid at which the present script began.
    pub base: i64,
    /// The last zxid the reference told.
    pub last: i64,
    /// Zxids of ends of sessions: their events have no order.
    closes: Vec<i64>,
    /// Requests played since the start.
    pub played: u64,
    /// What they were, and how they were answered.
    pub coverage: Coverage,
    in_ensemble: bool,
}

/// Where the two servers parted.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// After so many steps of the script; all of them if it came at the end.
    pub step: usize,
    /// What came from each.
    pub story: String,
}

/// Who is compared, and how both are started.
#[derive(Clone, Debug)]
pub struct Setup {
    kinds: [Kind; 2],
    options: [Options; 2],
}

impl Setup {
    /// The reference, in a host of its own, and the server under judgement, each alone.
    pub fn new() -> Result<Self> {
        Self::in_seat(None)
    }

    /// Each in a place of an ensemble, if one is given.
    pub fn in_seat(seat: Option<Seat>) -> Result<Self> {
        let kinds = [Kind::Apache(REFERENCE), judged()];
        let mut options = kinds.map(|kind| options(kind, seat));
        if seat.is_none() {
            options[0].host = Some(Host::start(&options[0].properties)?);
        }
        Ok(Self { kinds, options })
    }

    /// The place in an ensemble, if the servers are not alone.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        self.options[0].seat
    }

    /// Opens these directories.
    #[must_use]
    pub fn in_directories(&self, dirs: [&Path; 2]) -> Self {
        let mut setup = self.clone();
        for (options, dir) in setup.options.iter_mut().zip(dirs) {
            options.data_dir = Some(dir.to_owned());
        }
        setup
    }

    /// Starts both, of which each may refuse what it finds.
    pub fn start(&self) -> Result<[Result<Server>; 2]> {
        let start = |at: usize| Server::start(self.kinds[at], &self.options[at]);
        std::thread::scope(|scope| {
            let reference = scope.spawn(|| start(0));
            let other = start(1);
            let reference = reference.join().map_err(|_| anyhow::anyhow!("the start panicked"))?;
            Ok([reference, other])
        })
    }

    /// Judges another build of Oxkeeper, with one fault switched on.
    #[must_use]
    pub fn with_fault(&self, program: &Path, fault: Option<usize>) -> Self {
        let mut setup = self.clone();
        setup.kinds[1] = Kind::Oxkeeper;
        setup.options[1] = options(Kind::Oxkeeper, self.seat());
        setup.options[1].program = Some(program.to_owned());
        setup.options[1].environment =
            fault.map(|fault| (SWITCH.to_owned(), fault.to_string())).into_iter().collect();
        setup
    }
}

/// What both servers are configured with: nothing happens by itself, so that zxids stay comparable. Only
/// a session that asks for a short timeout expires; it is then alone. Oxkeeper refuses to be a member that can be
/// reconfigured.
fn options(kind: Kind, seat: Option<Seat>) -> Options {
    let options = Options::default()
        .seat(seat)
        .tick_time_ms(TICK_MS)
        .line(&format!("minSessionTimeout={EXPIRY_MS}"))
        .line("maxSessionTimeout=3600000")
        .line("maxClientCnxns=0")
        .line(&format!("reconfigEnabled={}", seat.is_none()))
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.enforceQuota", "true")
        .property("zookeeper.forceSync", "no")
        .property("znode.container.checkIntervalMs", "86400000")
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
    match kind {
        Kind::Apache(_) => options.property("compat.log", "ERROR"),
        Kind::Oxkeeper => options,
    }
}

impl Pair {
    /// Starts both.
    pub fn start(setup: &Setup) -> Result<Self> {
        let [reference, other] = setup.start()?;
        let sides = [Side::new(reference?)?, Side::new(other?)?];
        let last = sides[0].zxid()?;
        Ok(Self { last, in_ensemble: setup.seat().is_some(), ..Self::of(sides) })
    }

    /// Two servers that are running.
    #[must_use]
    pub fn of(sides: [Side; 2]) -> Self {
        Self {
            sides,
            base: 0,
            last: 1,
            closes: Vec::new(),
            played: 0,
            coverage: Coverage::default(),
            in_ensemble: false,
        }
    }

    /// Plays a script from where the servers stand. `closely` looks for events after every step.
    pub fn play(&mut self, steps: &[Step], closely: bool) -> Result<Option<Mismatch>> {
        self.base = self.last;
        let mut at = 0;
        while at < steps.len() {
            let end = end_of_burst(steps, at);
            let batch = &steps[at..end];
            let mut came = self.step(batch)?;
            came.iter_mut().for_each(|items| unordered(&self.closes, items));
            self.coverage.note_step(&batch[0]);
            let swept = end / SWEEP_EVERY != at / SWEEP_EVERY || end == steps.len();
            if came[0] == came[1] && (closely || swept) {
                for (items, more) in came.iter_mut().zip(self.sweep()) {
                    items.extend(more);
                }
            }
            self.coverage.note_events(&came[0]);
            if came[0] != came[1] {
                let lines: String = batch.iter().map(|step| format!("  {step}\n")).collect();
                return Ok(Some(Mismatch { step: end, story: format!("{lines}{}", story(&came)) }));
            }
            if came[0].contains(&Item::Silence) {
                let lines: String = batch.iter().map(|step| format!("  {step}\n")).collect();
                return Ok(Some(Mismatch { step: end, story: format!("{lines}neither server answers\n") }));
            }
            at = end;
        }
        Ok(None)
    }

    fn step(&mut self, batch: &[Step]) -> Result<[Vec<Item>; 2]> {
        let mut came = [Vec::new(), Vec::new()];
        match &batch[0] {
            Step::Send { at, .. } => self.requests(*at, batch, &mut came)?,
            Step::Frame { at, bytes } => {
                let frame = [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat();
                self.nonsense(*at, &frame, &mut came)?;
            }
            Step::Bytes { at, bytes } => self.nonsense(*at, bytes, &mut came)?,
            Step::Connect { at, hello } => self.connect(*at, hello, &mut came)?,
            Step::Expire { slots, hang_up } => self.expire(slots, *hang_up, &mut came)?,
            Step::Drop { at } => self.sides.iter_mut().try_for_each(|side| side.hang_up(*at))?,
            Step::Restart => {
                for (side, items) in self.sides.iter_mut().zip(came.iter_mut()) {
                    items.push(side.restart()?);
                }
            }
            Step::Word { word } => came = self.word(word)?,
        }
        Ok(came)
    }

    /// A slot without a connection gets one, with a session of its own.
    fn ensure_open(&mut self, at: usize, came: &mut [Vec<Item>; 2]) -> Result<()> {
        for (side, items) in self.sides.iter_mut().zip(came) {
            if !side.is_open(at) {
                items.push(side.connect(at, &Hello::default(), self.last)?);
            }
        }
        Ok(())
    }

    fn requests(&mut self, at: usize, batch: &[Step], came: &mut [Vec<Item>; 2]) -> Result<()> {
        self.ensure_open(at, came)?;
        let mut bytes = Vec::new();
        let mut kinds = Vec::with_capacity(batch.len());
        for step in batch {
            let Step::Send { xid, op, body, .. } = step else { continue };
            if let (AUTH, [_, Field::Text(scheme), Field::Text(credentials), ..]) = (*op, &body[..])
                && scheme == "digest"
            {
                self.sides.iter_mut().for_each(|side| side.normal.proves(credentials));
            }
            request(*xid, *op, body, self.base, &mut bytes);
            kinds.push(*op);
        }
        self.played += kinds.len() as u64;
        for side in &mut self.sides {
            side.send(at, &bytes);
        }
        for kind in kinds {
            for (side, items) in self.sides.iter_mut().zip(came.iter_mut()) {
                side.receive(at, kind, items);
            }
            let reply = came[0].last().cloned();
            self.coverage.note(kind, reply.as_ref());
            if let Some(Item::Reply { zxid, .. }) = &reply {
                self.last = self.last.max(*zxid);
                if kind == op("closeSession") {
                    self.closes.push(*zxid);
                }
            }
            if closes(kind, reply.as_ref()) || came.iter().any(|items| items.last() == Some(&Item::Closed)) {
                for (side, items) in self.sides.iter_mut().zip(came.iter_mut()) {
                    side.await_close(at, items);
                }
            }
        }
        Ok(())
    }

    /// Bytes after which a connection does not live on.
    fn nonsense(&mut self, at: usize, bytes: &[u8], came: &mut [Vec<Item>; 2]) -> Result<()> {
        self.ensure_open(at, came)?;
        self.sweep_before_a_close(came);
        for side in &mut self.sides {
            side.send(at, bytes);
        }
        for (side, items) in self.sides.iter_mut().zip(came) {
            side.await_close(at, items);
        }
        Ok(())
    }

    fn connect(&mut self, at: usize, hello: &Hello, came: &mut [Vec<Item>; 2]) -> Result<()> {
        let whose = match hello.whose {
            Whose::Of(slot) if !self.sides[0].had_session(slot) => return Ok(()),
            Whose::Of(slot) => Some(slot),
            _ => None,
        };
        if whose.is_some() {
            self.sweep_before_a_close(came);
        }
        self.reconnect(at, hello, whose, came)
    }

    /// The same where everything that was sent has been looked at.
    fn reconnect(
        &mut self,
        at: usize,
        hello: &Hello,
        whose: Option<usize>,
        came: &mut [Vec<Item>; 2],
    ) -> Result<()> {
        for (side, items) in self.sides.iter_mut().zip(came) {
            let before = whose.map(|slot| side.sharing(slot)).unwrap_or_default();
            if !before.contains(&at) {
                side.hang_up(at)?;
            }
            let old: Vec<_> = before.iter().filter_map(|slot| Some((*slot, side.take(*slot)?))).collect();
            let answer = side.connect(at, hello, self.last)?;
            // A request that is turned away before the session is looked at takes nothing over.
            let refused = answer == Item::Closed;
            items.push(answer);
            for (slot, mut connection) in old {
                if refused && slot != at {
                    side.put_back(slot, connection);
                } else if !refused {
                    side.drain(&mut connection, items);
                }
            }
        }
        Ok(())
    }

    /// Sessions end because nothing is heard of them. Each is first given a short timeout; the later one
    /// is given a longer one after the earlier, so that they end in this order.
    fn expire(&mut self, slots: &[usize], hang_up: bool, came: &mut [Vec<Item>; 2]) -> Result<()> {
        let before = self.sides[0].zxid()?;
        let mut expiring = Vec::new();
        self.sweep_before_a_close(came);
        if self.in_ensemble {
            // See `late-touch-of-a-learner` in `exceptions.toml`. A leader that was started again is a learner.
            std::thread::sleep(LEARNER_HEARD);
        }
        for (slot, delay_ms) in slots.iter().zip((0..).step_by(EXPIRY_STEP_MS as usize)) {
            if !self.sides[0].is_open(*slot) {
                continue;
            }
            let timeout_ms = if delay_ms == 0 { 0 } else { EXPIRY_MS + delay_ms };
            let hello = Hello { whose: Whose::Of(*slot), timeout_ms, ..Hello::default() };
            self.reconnect(*slot, &hello, Some(*slot), came)?;
            expiring.push(*slot);
        }
        expiring.retain(|slot| self.sides[0].is_open(*slot) && self.sides[1].is_open(*slot));
        let expected = before + expiring.len() as i64;
        self.closes.extend(before + 1..=expected);
        for (side, items) in self.sides.iter_mut().zip(came) {
            let mut left: Vec<_> = expiring.iter().filter_map(|slot| side.take(*slot)).collect();
            if hang_up {
                left.clear();
            }
            let at = side.await_zxid(expected, EXPIRY_LIMIT)?;
            items.push(Item::Text(format!("at zxid {at}")));
            if at < expected {
                continue;
            }
            // What happens to itself a session may hear of or not while its connection goes.
            for mut connection in left {
                let mut last = Vec::new();
                side.drain(&mut connection, &mut last);
                items.extend(last.pop());
            }
        }
        self.last = expected;
        Ok(())
    }

    /// Asks both, more than once if need be: what a lost connection leaves is cleared away in time.
    pub fn word(&mut self, word: &str) -> Result<[Vec<Item>; 2]> {
        let mut answers = [String::new(), String::new()];
        for _ in 0..50 {
            for (side, answer) in self.sides.iter_mut().zip(answers.iter_mut()) {
                let text =
                    side.server.ask(word).with_context(|| format!("{word} to {}", side.server.kind()))?;
                *answer = super::words::comparable(word, &side.normal.text(&text), self.in_ensemble);
            }
            if answers[0] == answers[1] {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(answers.map(|text| vec![Item::Text(text)]))
    }

    /// The reference may drop what it has not yet sent on a connection that it closes.
    fn sweep_before_a_close(&mut self, came: &mut [Vec<Item>; 2]) {
        for (items, swept) in came.iter_mut().zip(self.sweep()) {
            items.extend(swept);
        }
    }

    /// What came on every connection by now: a ping's reply comes after all events before it.
    fn sweep(&mut self) -> [Vec<Item>; 2] {
        static PING: OnceLock<Vec<u8>> = OnceLock::new();
        let ping = PING.get_or_init(|| {
            let mut bytes = Vec::new();
            request(-2, op("ping"), &[], 0, &mut bytes);
            bytes
        });
        let mut came = [Vec::new(), Vec::new()];
        for (side, items) in self.sides.iter_mut().zip(came.iter_mut()) {
            let open: Vec<usize> = (0..SLOTS).filter(|slot| side.is_open(*slot)).collect();
            open.iter().for_each(|slot| side.send(*slot, ping));
            for slot in open {
                let from = items.len();
                side.receive(slot, op("ping"), items);
                unordered(&self.closes, &mut items[from..]);
            }
        }
        came
    }

    /// Asks the administrator's connections the same, and compares.
    pub fn both(&mut self, at: usize, kind: i32, body: &[Field]) -> Result<[Item; 2]> {
        let [reference, other] = &mut self.sides;
        let items = [reference.call(at, kind, body)?, other.call(at, kind, body)?];
        if let Item::Reply { zxid, .. } = &items[0] {
            self.last = self.last.max(*zxid);
            if kind == op("closeSession") {
                self.closes.push(*zxid);
            }
        }
        Ok(items)
    }
}

/// Whether the server closes the connection after this reply.
fn closes(kind: i32, reply: Option<&Item>) -> bool {
    let Some(Item::Reply { zxid, err, .. }) = reply else { return false };
    let unknown = !OPS.iter().any(|(_, known)| *known == kind);
    kind == op("closeSession") || unknown || (*err == -6 && *zxid == -1) || matches!(err, -115 | -124)
}

/// Sorts neighbouring events of one end of a session.
fn unordered(closes: &[i64], items: &mut [Item]) {
    let end_of = |item: &Item| match item {
        Item::Event { zxid, .. } if closes.contains(zxid) => Some(*zxid),
        _ => None,
    };
    for group in items.chunk_by_mut(|a, b| end_of(a).is_some() && end_of(a) == end_of(b)) {
        if group.len() > 1 && end_of(&group[0]).is_some() {
            group.sort_unstable();
        }
    }
}

fn end_of_burst(steps: &[Step], start: usize) -> usize {
    let Step::Send { at: slot, .. } = &steps[start] else { return start + 1 };
    let mut end = start;
    while let Some(Step::Send { at, more, .. }) = steps.get(end) {
        if at != slot {
            break;
        }
        end += 1;
        if !more {
            break;
        }
    }
    end
}

/// Both sides' items, those that differ marked.
pub fn story(came: &[Vec<Item>; 2]) -> String {
    let mut text = String::new();
    for at in 0..came[0].len().max(came[1].len()) {
        let (reference, other) = (came[0].get(at), came[1].get(at));
        if reference == other {
            if came[0].len() < 12 {
                let _ = writeln!(text, "      both: {:?}", reference.unwrap_or(&Item::Skipped));
            }
            continue;
        }
        for (name, item) in [("reference", reference), ("   judged", other)] {
            match item {
                Some(item) => {
                    let _ = writeln!(text, "  {name}: {item:?}");
                }
                None => {
                    let _ = writeln!(text, "  {name}: (nothing more)");
                }
            }
        }
    }
    text
}
