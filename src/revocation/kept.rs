//! What was heard lately, so that the same question is not asked for each of many connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Heard;
use crate::clock::Clock;

/// Questions whose answers are kept, and the bytes of these.
const QUESTIONS_MAX: usize = 256;
const BYTES_MAX: usize = 64 << 20;

/// Answers by question.
#[derive(Debug)]
pub(super) struct Kept {
    /// For how long an answer counts, and for how long the lack of one, in milliseconds from the question on.
    ages_ms: (i64, i64),
    known: Mutex<HashMap<Vec<u8>, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Held by who asks: others with the same question wait for what comes of it.
    gate: Arc<tokio::sync::Mutex<()>>,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    asked_ms: i64,
    heard: Heard,
}

impl Kept {
    /// Lists: the JDK asks for the same one once in half a minute (`URICertStore.CHECK_INTERVAL`).
    pub(super) fn lists() -> Self {
        Self::for_ms(30_000, 5_000)
    }

    /// Answers about one certificate: the JDK asks for each handshake. An answer to what was asked before somebody came
    /// does not count for it, so that whatever is revoked is so at once; those who came together share one question.
    pub(super) fn answers() -> Self {
        Self::for_ms(0, 5_000)
    }

    fn for_ms(answer: i64, none: i64) -> Self {
        Self { ages_ms: (answer, none), known: Mutex::default() }
    }

    /// The answer, which `ask` gets if none is there that counts.
    pub(super) async fn get<F: Future<Output = Heard>>(
        &self,
        question: Vec<u8>,
        clock: &dyn Clock,
        ask: impl FnOnce() -> F,
    ) -> Heard {
        let came_ms = clock.now_ms();
        let gate = self.gate(&question);
        let _turn = gate.lock().await;
        if let Some(heard) = self.counting(&question, came_ms, clock.now_ms()) {
            return heard;
        }
        let asked_ms = clock.now_ms();
        let heard = ask().await;
        self.keep(&question, Answer { asked_ms, heard: heard.clone() });
        heard
    }

    fn counting(&self, question: &[u8], came_ms: i64, now_ms: i64) -> Option<Heard> {
        let known = self.lock();
        let Answer { asked_ms, heard } = known.get(question)?.answer.as_ref()?;
        let age = if heard.is_ok() { self.ages_ms.0 } else { self.ages_ms.1 };
        let counts = *asked_ms > came_ms || now_ms.saturating_sub(*asked_ms) < age;
        counts.then(|| heard.clone())
    }

    fn gate(&self, question: &[u8]) -> Arc<tokio::sync::Mutex<()>> {
        let mut known = self.lock();
        if known.len() >= QUESTIONS_MAX && !known.contains_key(question) {
            // Those that somebody waits for stay; there are no more of them than handshakes.
            known.retain(|_, one| Arc::strong_count(&one.gate) > 1);
        }
        Arc::clone(&known.entry(question.to_vec()).or_default().gate)
    }

    fn keep(&self, question: &[u8], answer: Answer) {
        let mut known = self.lock();
        let bytes = |answer: &Answer| answer.heard.as_ref().map_or(0, |heard| heard.len());
        let others = known.iter().filter(|(other, _)| other.as_slice() != question);
        let held: usize = others.filter_map(|(_, one)| one.answer.as_ref()).map(bytes).sum();
        if held.saturating_add(bytes(&answer)) > BYTES_MAX {
            known.values_mut().for_each(|one| one.answer = None);
        }
        if let Some(one) = known.get_mut(question) {
            one.answer = Some(answer);
        }
    }

    /// Questions that are known, and the bytes of their answers.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let known = self.lock();
        let answers = known.values().filter_map(|one| one.answer.as_ref()?.heard.as_ref().ok());
        (known.len(), answers.map(|heard| heard.len()).sum())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
