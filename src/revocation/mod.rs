//! Asks whether certificates were revoked, behind a handshake and before anything of it counts (reference: the JDK's
//! `RevocationChecker`, `URICertStore`, `OCSP`).
//!
//! What an answer means is decided in `tls::revocation`; here are the questions, their deadlines and their bounds. Only a
//! chain that is believed makes this server ask: a stranger sends it nowhere.
//!
//! | Bound | |
//! |---|---|
//! | a question | 4 seconds, 16 MiB of a list, 64 KiB of an answer |
//! | questions at a time | 16; of each the same one once |
//! | lists that are kept | half a minute, 64 MiB and 256 together |
//! | a question without an answer | not asked again for 5 seconds |

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod fetch;
mod kept;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::fetch::Place;
use self::kept::Kept;
use crate::clock::Clock;
use crate::tls::revocation::{Asks, Link, Point, Reasons, Status};

/// A question that takes longer has no answer; a responder and a list are both asked within a handshake's time.
const ASK_WITHIN: Duration = Duration::from_secs(4);
/// The largest list.
const LIST_BYTES_MAX: usize = 16 << 20;
/// The largest answer of a responder.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Questions that are asked at a time.
const QUESTIONS_MAX: usize = 16;
/// From this size on, a list is judged on a thread of its own.
const LARGE_BYTES: usize = 64 << 10;

/// Asks about certificates: of clients, or of members.
#[derive(Debug)]
pub struct Revocation {
    clock: Arc<dyn Clock>,
    lists: Kept,
    answers: Kept,
    slots: Semaphore,
    within: Duration,
}

/// What came of a question.
type Heard = Result<Arc<[u8]>, String>;

impl Revocation {
    /// Which has asked nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            lists: Kept::lists(),
            answers: Kept::answers(),
            slots: Semaphore::new(QUESTIONS_MAX),
            within: ASK_WITHIN,
        }
    }

    /// Asks about each certificate of a chain.
    ///
    /// # Errors
    /// The first that was revoked, or of which that is not known, and why.
    pub async fn check(&self, asks: Asks, links: &[Link]) -> Result<(), String> {
        // From the one that is trusted down, so that only an authority that counts sends this server anywhere.
        for link in links.iter().rev() {
            let came = match asks {
                Asks::Nobody => return Ok(()),
                Asks::Lists => self.lists_say(link).await,
                Asks::ResponderThenLists => match self.responder_says(link).await {
                    Ok(status) => Ok(status),
                    Err(why) => self.lists_say(link).await.map_err(|lists| format!("{why}; {lists}")),
                },
            };
            match came {
                Ok(Status::Good) => {}
                Ok(Status::Revoked) => return Err(format!("the certificate of {} was revoked", link.name())),
                Err(why) => {
                    return Err(format!(
                        "whether the certificate of {} was revoked is not known: {why}",
                        link.name()
                    ));
                }
            }
        }
        Ok(())
    }

    async fn responder_says(&self, link: &Link) -> Result<Status, String> {
        let Some(question) = link.question()? else { return Err("it names no OCSP responder".into()) };
        let place = question.url.as_str();
        let key = [place.as_bytes(), b" ", &question.request].concat();
        let ask = || async {
            let place = Place::read(place).and_then(Place::of_responder)?;
            self.ask(&place, Some(&question.request), ANSWER_BYTES_MAX).await
        };
        let answer = self.answers.get(key, &*self.clock, ask).await;
        let came = answer.and_then(|answer| link.answered(&answer, self.clock.wall_ms()));
        came.map_err(|why| format!("the responder {place}: {why}"))
    }

    async fn lists_say(&self, link: &Link) -> Result<Status, String> {
        let points = link.points()?;
        let mut covered = Reasons::default();
        let mut problems = Vec::new();
        for point in &points {
            for url in &point.urls {
                if Reasons::ALL.without(covered).is_empty() {
                    return Ok(Status::Good);
                }
                match self.list_says(link, point, url, covered).await {
                    Ok((Status::Revoked, _)) => return Ok(Status::Revoked),
                    Ok((Status::Good, now_covered)) => covered = now_covered,
                    Err(why) => problems.push(format!("the list {url}: {why}")),
                }
            }
        }
        if Reasons::ALL.without(covered).is_empty() {
            return Ok(Status::Good);
        }
        if problems.is_empty() {
            problems.push(match points.is_empty() {
                true => "it names no list of revoked certificates".into(),
                false => "the lists that it names do not tell of every reason".into(),
            });
        }
        Err(problems.join("; "))
    }

    async fn list_says(
        &self,
        link: &Link,
        point: &Point,
        url: &str,
        covered: Reasons,
    ) -> Result<(Status, Reasons), String> {
        let ask = || async { self.ask(&Place::read(url)?, None, LIST_BYTES_MAX).await };
        let list = self.lists.get(url.as_bytes().to_vec(), &*self.clock, ask).await?;
        let now = self.clock.wall_ms();
        let judge = move |link: &Link, point: &Point, list: &[u8]| {
            let mut covered = covered;
            link.listed(point, list, now, &mut covered).map(|status| (status, covered))
        };
        if list.len() < LARGE_BYTES {
            return judge(link, point, &list);
        }
        let (link, point) = (link.clone(), point.clone());
        let judged = tokio::task::spawn_blocking(move || judge(&link, &point, &list));
        judged.await.map_err(|error| error.to_string())?
    }

    async fn ask(&self, place: &Place, question: Option<&[u8]>, bytes_max: usize) -> Heard {
        let _slot = self.slots.acquire().await.map_err(|error| error.to_string())?;
        let asked = tokio::time::timeout(self.within, fetch::fetch(place, question, bytes_max)).await;
        asked.unwrap_or_else(|_| Err(format!("it did not answer within {:?}", self.within))).map(Arc::from)
    }
}
