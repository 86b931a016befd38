//! How many webhooks are told at once, so that those that are slow hold up none but their own caller's.

use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use reqwest::Url;
use tokio::{sync::Notify, time::Instant};

/// How many webhooks of one caller are told at once.
const OF_CALLER: usize = 16;
/// How many of them at one host.
const OF_HOST: usize = 8;

/// For whom a webhook is told, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    caller: String,
    host: String,
}

impl Place {
    /// The place of a webhook; one without a host is its guard's to refuse.
    pub(super) fn of(caller: &str, url: &str) -> Self {
        let url = Url::parse(url).ok();
        let host = url.and_then(|url| url.host_str().map(str::to_owned));
        Self {
            caller: caller.to_owned(),
            host: host.unwrap_or_default(),
        }
    }
}

/// The webhooks that are being told in this process.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    there: Mutex<Vec<Place>>,
    left: Notify,
}

impl Crowds {
    fn there(&self) -> MutexGuard<'_, Vec<Place>> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another one has room.
    pub(super) fn has_room(&self, place: &Place) -> bool {
        has_room(&self.there(), place)
    }

    /// Goes in, when there is room.
    pub(super) fn enter(&self, place: &Place) -> Option<Entered<'_>> {
        let mut there = self.there();
        has_room(&there, place).then(|| {
            there.push(place.clone());
            Entered(self, place.clone())
        })
    }

    /// Goes in as soon as there is room; none when there was none until then.
    pub(super) async fn wait(&self, place: &Place, until: Instant) -> Option<Entered<'_>> {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if let Some(entered) = self.enter(place) {
                return Some(entered);
            }
            tokio::time::timeout_at(until, left).await.ok()?;
        }
    }
}

fn has_room(there: &[Place], place: &Place) -> bool {
    let (mut callers, mut hosts) = (0_usize, 0_usize);
    for other in there.iter().filter(|other| other.caller == place.caller) {
        callers = callers.saturating_add(1);
        hosts = hosts.saturating_add(usize::from(other.host == place.host));
    }
    callers < OF_CALLER && hosts < OF_HOST
}

/// A webhook that is being told.
#[derive(Debug)]
pub(super) struct Entered<'a>(&'a Crowds, Place);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut there = self.0.there();
        if let Some(at) = there.iter().position(|place| *place == self.1) {
            there.swap_remove(at);
        }
        drop(there);
        self.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_and_a_caller_have_so_much_room_and_take_none_from_others() {
        let crowds = Crowds::default();
        let place = |caller: &str, host: &str| Place::of(caller, &format!("https://{host}.example/hook"));
        let all: Vec<_> = (0..OF_HOST)
            .map(|_| crowds.enter(&place("ada", "a")).unwrap())
            .collect();
        assert!(crowds.enter(&place("ada", "a")).is_none());
        let others: Vec<_> = (0..OF_HOST)
            .map(|at| crowds.enter(&place("ada", &format!("b{at}"))).unwrap())
            .collect();
        assert!(!crowds.has_room(&place("ada", "c")), "it has as many as it may");
        assert!(crowds.has_room(&place("bob", "a")));
        drop(others);
        let place = place("ada", "a");
        let soon = Instant::now() + Duration::from_secs(1);
        assert!(crowds.wait(&place, soon).await.is_none());
        let later = soon + Duration::from_secs(1);
        let (entered, ()) = tokio::join!(crowds.wait(&place, later), async { drop(all) });
        assert!(entered.is_some());
    }
}
