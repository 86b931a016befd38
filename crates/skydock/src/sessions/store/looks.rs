//! When to look at a log again, for a store that has to be asked.

use std::time::Duration;

use tokio::time::Instant;

use super::Patience;

/// Looks at a log, one after the other.
#[derive(Debug)]
pub(super) struct Looks {
    until: Instant,
    pause: Duration,
}

impl Looks {
    const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

    pub(super) fn new(patience: Patience) -> Self {
        Self {
            until: Instant::now() + patience.whole,
            pause: patience.pause.max(Self::SHORTEST_PAUSE),
        }
    }

    /// The time of the next look; `None` when it is time to give up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.after(Instant::now())
    }

    fn after(&self, look: Instant) -> Option<Instant> {
        let next = look + self.pause;
        (look < self.until).then_some(next.min(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pauses_are_as_long_as_asked_and_end_in_time() {
        let looks = Looks::new(Patience {
            whole: millis(300),
            pause: millis(100),
        });
        let begun = looks.until - millis(300);
        let times = std::iter::successors(Some(begun), |look| looks.after(*look));
        let pauses: Vec<_> = times.map(|look| (look - begun).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 300]);
    }

    #[test]
    fn without_patience_there_is_no_second_look() {
        assert_eq!(Looks::new(Patience::NONE).next(), None);
    }
}
