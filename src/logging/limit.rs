//! Of lines of one kind only so many are written; the others are counted.
//!
//! Lines are of one kind when they come from the same place of the code.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::grouped;
use crate::clock::Clock;

/// How long lines of a kind are counted together.
const PERIOD_MS: i64 = 10_000;
/// So many lines of one kind are written in that time. Lines below the level info are not limited: who
/// asks for them wants them all.
const LINES_MAX: u64 = 100;
/// Bytes of the line that stands for those that were held back.
const EXAMPLE_BYTES_MAX: usize = 512;

/// Counts lines by kind.
#[derive(Debug)]
pub(super) struct Limiter {
    clock: Box<dyn Clock>,
    kinds: Mutex<Kinds>,
}

#[derive(Debug, Default)]
struct Kinds {
    periods: HashMap<Identifier, Period>,
    summaries: Vec<(Level, String)>,
}

/// Lines of one kind since a moment.
#[derive(Debug)]
struct Period {
    since_ms: i64,
    level: Level,
    written: u64,
    held_back: u64,
    /// The first that was held back.
    example: String,
}

impl Period {
    const fn new(since_ms: i64, level: Level) -> Self {
        Self { since_ms, level, written: 0, held_back: 0, example: String::new() }
    }

    fn summary(&self, now_ms: i64) -> Option<(Level, String)> {
        let seconds = (now_ms - self.since_ms).clamp(1000, PERIOD_MS) / 1000;
        let text = format!("… {} more in {seconds} s: {}", grouped(self.held_back), self.example);
        (self.held_back > 0).then_some((self.level, text))
    }
}

impl Limiter {
    pub(super) fn new(clock: Box<dyn Clock>) -> Self {
        Self { clock, kinds: Mutex::default() }
    }

    /// Whether this line is written.
    fn admits(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let now_ms = self.clock.now_ms();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let Kinds { periods, summaries } = &mut *kinds;
        let fresh = || Period::new(now_ms, *metadata.level());
        let period = periods.entry(metadata.callsite()).or_insert_with(fresh);
        if now_ms - period.since_ms >= PERIOD_MS {
            summaries.extend(period.summary(now_ms));
            *period = fresh();
        }
        if period.written < LINES_MAX {
            period.written += 1;
            return true;
        }
        if period.held_back == 0 {
            let mut example = Example(String::new());
            event.record(&mut example);
            period.example = example.0;
        }
        period.held_back += 1;
        false
    }

    /// A line for each kind that was held back, once its time is over; for every kind `at_once`.
    pub(super) fn summaries(&self, at_once: bool) -> Vec<(Level, String)> {
        let now_ms = self.clock.now_ms();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries = std::mem::take(&mut kinds.summaries);
        kinds.periods.retain(|_, period| {
            let over = at_once || now_ms - period.since_ms >= PERIOD_MS;
            if over {
                summaries.extend(period.summary(now_ms));
            }
            !over
        });
        summaries
    }
}

/// A line's message and fields, as the subscriber would print them, cut.
struct Example(String);

impl Visit for Example {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Cut(&mut self.0);
        // A value that is cut fails, and so does what follows.
        let _cut = match (field.name(), text.0.is_empty()) {
            ("message", true) => write!(text, "{value:?}"),
            ("message", false) => write!(text, " {value:?}"),
            (name, true) => write!(text, "{name}={value:?}"),
            (name, false) => write!(text, " {name}={value:?}"),
        };
    }
}

/// Takes about so many bytes and no more, and no control characters.
struct Cut<'a>(&'a mut String);

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= EXAMPLE_BYTES_MAX {
                return Err(fmt::Error);
            }
            match character.is_control() {
                true => self.0.extend(character.escape_default()),
                false => self.0.push(character),
            }
        }
        Ok(())
    }
}

/// The subscriber's part that asks a [`Limiter`].
#[derive(Debug)]
pub(super) struct RateLimit(pub(super) std::sync::Arc<Limiter>);

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admits(event)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::clock::ManualClock;

    #[derive(Clone, Debug)]
    struct Hand(Arc<ManualClock>);

    impl Clock for Hand {
        fn now_us(&self) -> i64 {
            self.0.now_us()
        }
        fn wall_ms(&self) -> i64 {
            self.0.wall_ms()
        }
    }

    /// Counts what comes through.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct World {
        clock: Arc<ManualClock>,
        limiter: Arc<Limiter>,
        written: Count,
    }

    impl World {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::default());
            let limiter = Arc::new(Limiter::new(Box::new(Hand(clock.clone()))));
            Self { clock, limiter, written: Count::default() }
        }

        /// How many lines came through.
        fn log(&self, lines: impl FnOnce()) -> u64 {
            let layers = tracing_subscriber::registry().with(RateLimit(self.limiter.clone()));
            tracing::subscriber::with_default(layers.with(self.written.clone()), lines);
            self.written.0.swap(0, Ordering::Relaxed)
        }
    }

    fn complain(times: u64) {
        for number in 0..times {
            tracing::warn!(number, "a bad frame");
        }
    }

    #[test]
    fn a_flood_of_one_kind_is_cut_and_counted() {
        let world = World::new();
        assert_eq!(world.log(|| complain(LINES_MAX + 1204)), LINES_MAX);
        assert!(world.limiter.summaries(false).is_empty(), "its time is not over");
        world.clock.advance_us(10_000_000);
        let told = (Level::WARN, "… 1,204 more in 10 s: a bad frame number=100".to_owned());
        assert_eq!(world.limiter.summaries(false), [told]);
        assert!(world.limiter.summaries(true).is_empty(), "it is told once");
    }

    #[test]
    fn one_kind_does_not_hold_back_another() {
        let world = World::new();
        assert_eq!(world.log(|| complain(2 * LINES_MAX)), LINES_MAX);
        assert_eq!(world.log(|| tracing::warn!("the disk is full")), 1);
    }

    #[test]
    fn a_kind_is_written_again_when_its_time_is_over() {
        let world = World::new();
        world.log(|| complain(LINES_MAX + 7));
        world.clock.advance_us(10_000_000);
        assert_eq!(world.log(|| complain(3)), 3);
        let [(_, text)] = &world.limiter.summaries(false)[..] else { panic!("one line") };
        assert!(text.starts_with("… 7 more in 10 s: "), "{text}");
    }

    #[test]
    fn what_was_held_back_is_told_at_the_end() {
        let world = World::new();
        world.log(|| complain(LINES_MAX + 7));
        let [(_, text)] = &world.limiter.summaries(true)[..] else { panic!("one line") };
        assert!(text.starts_with("… 7 more in 1 s: "), "{text}");
    }

    #[test]
    fn lines_for_a_search_are_not_limited() {
        let world = World::new();
        let debug = || (0..2 * LINES_MAX).for_each(|number| tracing::debug!(number, "a frame"));
        assert_eq!(world.log(debug), 2 * LINES_MAX);
    }

    #[test]
    fn a_huge_line_is_remembered_cut() {
        let world = World::new();
        let huge = "x".repeat(1 << 20);
        world.log(|| (0..=LINES_MAX).for_each(|_| tracing::warn!("{huge}")));
        let [(_, text)] = &world.limiter.summaries(true)[..] else { panic!("one line") };
        assert!(text.len() < EXAMPLE_BYTES_MAX + 64, "{} bytes", text.len());
    }
}
