//! The handles that hot paths touch: relaxed atomics, no locks, no allocation after creation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::java;

/// A number that only grows, until it is reset.
///
/// Each has a cache line of its own: neighbours in [`super::Metrics`] are written by different threads.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, delta: u64) {
        self.0.fetch_add(delta, Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Its value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Observations of one quantity: count, sum, smallest, largest, and how they are distributed.
///
/// Observations below 32 are counted exactly, larger ones in classes 1/32 of their size, so
/// a percentile is off by at most 3 %. The reference keeps a random sample of 4096 instead; ours
/// forgets nothing, and an observation costs five uncontended atomic operations.
#[derive(Debug)]
pub struct Summary {
    count: AtomicU64,
    sum: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
    classes: Box<[AtomicU32]>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicI64::new(0),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
            classes: (0..CLASSES).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl Summary {
    /// Records one observation, in the unit of the metric.
    pub fn observe(&self, value: i64) {
        self.observe_many(value, 1);
    }

    /// Records the same observation several times, for the price of one.
    pub fn observe_many(&self, value: i64, times: u32) {
        if times == 0 {
            return;
        }
        self.count.fetch_add(times.into(), Relaxed);
        self.sum.fetch_add(value.wrapping_mul(times.into()), Relaxed);
        if value < self.min.load(Relaxed) {
            self.min.fetch_min(value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.fetch_max(value, Relaxed);
        }
        self.classes[class_of(value)].fetch_add(times, Relaxed);
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their sum.
    pub fn sum(&self) -> i64 {
        self.sum.load(Relaxed)
    }

    /// The smallest, 0 before the first.
    pub fn min(&self) -> i64 {
        Some(self.min.load(Relaxed)).filter(|min| *min != i64::MAX).unwrap_or(0)
    }

    /// The largest, 0 before the first.
    pub fn max(&self) -> i64 {
        Some(self.max.load(Relaxed)).filter(|max| *max != i64::MIN).unwrap_or(0)
    }

    /// Their average with four decimals, 0 before the first.
    pub fn average(&self) -> f64 {
        java::average(self.sum(), self.count())
    }

    /// How the observations are distributed.
    pub(super) fn distribution(&self) -> Distribution {
        let counts = self.classes.iter().enumerate().map(|(class, count)| (class, count.load(Relaxed)));
        Distribution { counts: counts.filter(|(_, count)| *count > 0).collect() }
    }

    pub(super) fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(i64::MIN, Relaxed);
        self.classes.iter().for_each(|class| class.store(0, Relaxed));
    }
}

/// A copy of a summary's classes: class and count, empty ones left out, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    counts: Vec<(usize, u32)>,
}

impl Distribution {
    /// What came after an earlier copy. A reset in between leaves what is there now.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before: HashMap<_, _> = earlier.counts.iter().copied().collect();
        let less = |(class, count): &(usize, u32)| {
            (*class, before.get(class).map_or(*count, |b| count.saturating_sub(*b)))
        };
        Self { counts: self.counts.iter().map(less).filter(|(_, count)| *count > 0).collect() }
    }

    /// The value below which this share of the observations lies; None without any.
    /// Interpolates between neighbours as the reference's `UniformSnapshot.getValue` does.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().map(|(_, count)| u64::from(*count)).sum();
        if total == 0 {
            return None;
        }
        let position = share * (total + 1) as f64;
        let rank = (position as u64).clamp(1, total);
        let lower = self.at_rank(rank);
        if position < 1.0 || rank == total {
            return Some(lower);
        }
        Some(lower + position.fract() * (self.at_rank(rank + 1) - lower))
    }

    /// The observation of this rank, the smallest having rank 1.
    fn at_rank(&self, rank: u64) -> f64 {
        let mut seen = 0;
        for (class, count) in &self.counts {
            seen += u64::from(*count);
            if seen >= rank {
                return middle_of(*class);
            }
        }
        self.counts.last().map_or(0.0, |(class, _)| middle_of(*class))
    }
}

/// Values below this have a class each; the number of classes per power of two above.
const EXACT: usize = 32;
/// Values from 2 to this power on share the last class.
const LARGEST_POWER: usize = 40;
const CLASSES: usize = EXACT * (LARGEST_POWER - 4);

fn class_of(value: i64) -> usize {
    let value = value.clamp(0, (1 << LARGEST_POWER) - 1) as usize;
    if value < EXACT {
        return value;
    }
    let power = value.ilog2() as usize;
    EXACT * (power - 4) + ((value >> (power - 5)) - EXACT)
}

fn middle_of(class: usize) -> f64 {
    if class < EXACT {
        return class as f64;
    }
    let power = class / EXACT + 4;
    let width = 1u64 << (power - 5);
    let low = (class % EXACT + EXACT) as u64 * width;
    low as f64 + (width - 1) as f64 / 2.0
}

/// One metric per key, where keys come with the data: namespaces, server ids.
///
/// At most [`KEYS_MAX`] keys are kept; observations of further ones are dropped, because keys come from
/// clients. A hot path holds a read lock for one look-up.
#[derive(Debug)]
pub struct Keyed<M> {
    by_key: RwLock<HashMap<String, Arc<M>>>,
}

/// Bound on the keys of one keyed metric.
pub const KEYS_MAX: usize = 1024;

impl<M> Default for Keyed<M> {
    fn default() -> Self {
        Self { by_key: RwLock::default() }
    }
}

impl<M: Default> Keyed<M> {
    /// The metric of this key; None when there are too many keys already.
    pub fn of(&self, key: &str) -> Option<Arc<M>> {
        if let Some(known) = self.by_key.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Some(Arc::clone(known));
        }
        let mut by_key = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        if by_key.len() >= KEYS_MAX && !by_key.contains_key(key) {
            return None;
        }
        Some(Arc::clone(by_key.entry(key.to_owned()).or_default()))
    }

    /// Calls for each key, in the order of the keys.
    pub(super) fn each(&self, mut visit: impl FnMut(&str, &M)) {
        let by_key = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<_> = by_key.iter().collect();
        keys.sort_unstable_by_key(|(key, _)| key.as_str());
        keys.into_iter().for_each(|(key, metric)| visit(key, metric));
    }
}

impl Keyed<Counter> {
    /// Adds to the counter of this key.
    pub fn add(&self, key: &str, delta: u64) {
        if let Some(counter) = self.of(key) {
            counter.add(delta);
        }
    }
}

impl Keyed<Summary> {
    /// Records one observation for this key.
    pub fn observe(&self, key: &str, value: i64) {
        if let Some(summary) = self.of(key) {
            summary.observe(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_contiguous_and_their_middle_is_near() {
        let mut last = 0;
        for value in
            (0..5000).chain((13..40).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]))
        {
            let class = class_of(value);
            assert!(class == last || class == last + 1 || value >= 5000, "{value}");
            assert!(class < CLASSES);
            assert!((middle_of(class) - value as f64).abs() <= value as f64 / 32.0, "{value}");
            last = class;
        }
        assert_eq!(class_of(-1), 0);
        assert_eq!(class_of(i64::MAX), CLASSES - 1);
    }

    #[test]
    fn a_summary_before_its_first_observation_is_zero() {
        let summary = Summary::default();
        assert_eq!((summary.count(), summary.sum(), summary.min(), summary.max()), (0, 0, 0, 0));
        assert_eq!(summary.average(), 0.0);
        assert_eq!(summary.distribution().quantile(0.5), None);
    }

    #[test]
    fn percentiles_interpolate_as_the_reference_does() {
        let summary = Summary::default();
        (1..=10).for_each(|value| summary.observe(value));
        let distribution = summary.distribution();
        assert_eq!(distribution.quantile(0.5), Some(5.5));
        assert_eq!(distribution.quantile(0.99), Some(10.0));
        assert_eq!(distribution.quantile(0.0), Some(1.0));
        assert_eq!((summary.min(), summary.max(), summary.average()), (1, 10, 5.5));
        summary.reset();
        assert_eq!(summary.distribution(), Distribution::default());
    }

    #[test]
    fn a_distribution_can_forget_an_earlier_one() {
        let summary = Summary::default();
        summary.observe(1);
        let earlier = summary.distribution();
        assert_eq!(summary.distribution().since(&earlier).quantile(0.5), None);
        summary.observe(9);
        assert_eq!(summary.distribution().since(&earlier).quantile(0.5), Some(9.0));
    }

    #[test]
    fn keys_are_bounded() {
        let keyed = Keyed::<Counter>::default();
        (0..KEYS_MAX + 5).for_each(|key| keyed.add(&key.to_string(), 1));
        let mut keys = 0;
        keyed.each(|_, counter| keys += counter.value() as usize);
        assert_eq!(keys, KEYS_MAX);
        keyed.add("0", 1);
        assert_eq!(keyed.of("0").unwrap().value(), 2);
    }
}
