//! File descriptors: sockets must not take those that the server needs for its files.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for log files, snapshots, directories, `/proc`, and the metrics port.
const RESERVE: u64 = 64;

/// How many descriptors this process may have.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    /// None where the system sets no limit.
    limit: Option<u64>,
}

impl Descriptors {
    /// Raises the limit as far as the system lets this process, as a Java process does by itself.
    #[must_use]
    pub fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current == maximum {
            return Self { limit: current };
        }
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => Self { limit: maximum },
            Err(error) => {
                tracing::warn!(
                    "cannot raise the soft limit of open files (ulimit -n) to the hard one: {error}"
                );
                Self { limit: current }
            }
        }
    }

    /// A limit that is not the system's, for tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn at_most(limit: u64) -> Self {
        Self { limit: Some(limit) }
    }

    /// Whether a socket leaves enough of them. The system gives out the lowest number that is free, so
    /// that a number tells how many are in use.
    pub(super) fn leaves_enough(self, socket: impl AsFd) -> bool {
        let Some(limit) = self.limit else { return true };
        let in_use = u64::try_from(socket.as_fd().as_raw_fd()).unwrap_or(0);
        in_use < limit.saturating_sub(Self::reserve(limit))
    }

    /// The limit, and what of it is kept for files, for a message.
    pub(super) fn limit_and_reserve(self) -> (u64, u64) {
        let limit = self.limit.unwrap_or(u64::MAX);
        (limit, Self::reserve(limit))
    }

    /// Of a small limit only a part.
    fn reserve(limit: u64) -> u64 {
        RESERVE.min(limit / 4)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_socket_that_takes_what_files_need_is_refused() {
        let file = File::open("/dev/null").unwrap();
        let number = u64::try_from(file.as_raw_fd()).unwrap();
        assert!(!Descriptors::at_most(number).leaves_enough(&file));
        assert!(Descriptors::at_most(number + RESERVE + 1).leaves_enough(&file));
        assert!(Descriptors { limit: None }.leaves_enough(&file));
        let leaving = |left: u64| {
            let limit = (left..).find(|limit| limit - Descriptors::reserve(*limit) == left);
            Descriptors::at_most(limit.expect("there is one"))
        };
        assert!(!leaving(number).leaves_enough(&file), "numbers begin with 0");
        assert!(leaving(number + 1).leaves_enough(&file));
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        let lower = hard.map_or(4096, |hard| hard - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(lower), maximum: hard }).unwrap();
        assert_eq!(Descriptors::raise().limit, hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
        assert_eq!(Descriptors::raise().limit, hard, "also where there is nothing to do");
    }

    #[test]
    fn of_a_small_limit_a_part_is_kept() {
        assert_eq!([16, 100, 256, 100_000].map(Descriptors::reserve), [4, 25, 64, 64]);
    }
}
