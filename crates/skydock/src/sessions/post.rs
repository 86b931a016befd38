//! Between instances: each has a mailbox in the store, which it looks into all the time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rmcp::model::ClientJsonRpcMessage;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};

use super::{
    parts::{Assembly, split},
    record::{pack, unguessable, unpack},
    store::{Failure, Patience, Store},
};
use crate::changes::Change;

/// How long a letter waits for an instance that does not look.
const LETTER: Duration = Duration::from_secs(120);
/// How long an instance is believed to live that has not said so again.
const ROLL: Duration = Duration::from_secs(9);
/// How often an instance says that it lives.
const ANNOUNCE: Duration = Duration::from_secs(3);
/// How long an instance is missed before it is believed to have ended.
const MISSED: Duration = Duration::from_secs(4);
/// A look that is so long ago says nothing. Whoever asks again and again asks more often than that.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// The most instances that are missed at once.
const MOST_MISSED: usize = 1_000;
/// How long one look into the mailbox takes when nothing comes: together with the pause less than what counts as news.
const LOOK: Duration = Duration::from_millis(600);
/// What a store has not answered by then it does not answer.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause between two looks, for a store that cannot wake its readers: what a letter waits at the most.
const PAUSE: Duration = Duration::from_millis(300);
/// The same while a client has been asked something.
const SHORT_PAUSE: Duration = Duration::from_millis(40);
/// How long to leave a store alone that has just failed.
const RECOVER: Duration = Duration::from_millis(500);

/// What one instance has to tell another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Letter {
    /// A message of a client that concerns what you are working on.
    Deliver {
        session: String,
        message: Box<ClientJsonRpcMessage>,
    },
    /// A session has ended.
    Ended { session: String },
    /// A session's record is not what it was.
    Changed { session: String },
    /// A session's standalone stream, which you have, has something new.
    Heard { session: String },
    /// A client wants the rest of this stream from another instance.
    Share { session: String, stream: String },
    /// Do something, and say how it went.
    Call {
        from: String,
        number: u64,
        body: serde_json::Value,
    },
    /// How what you have called for went.
    Reply { number: u64, body: serde_json::Value },
    /// Something has changed that clients may want to hear of.
    Change(Change),
}

/// This instance's address, its mailbox, and the way to others'.
#[derive(Debug)]
pub(super) struct Post {
    store: Arc<dyn Store>,
    pub(super) instance: Arc<str>,
    /// When the mailbox was last seen as it is.
    looked: Mutex<Option<Instant>>,
    /// The number of questions that clients have not answered yet.
    questions: AtomicUsize,
    /// The first of them was asked: a look with long pauses gives way to one with short ones.
    hurry: Notify,
    /// The number of the next question: none is used twice.
    next: AtomicI64,
    /// Whether the store did not answer when it was last asked.
    failing: AtomicBool,
    retired: AtomicBool,
    missed: Mutex<Missed>,
}

/// The instances that were not on the roll when they were looked for: when first, and when last.
#[derive(Debug, Default)]
struct Missed(HashMap<String, (Instant, Instant)>);

impl Missed {
    /// Notes a look; whether the instance is believed to have ended. One look is not enough: whoever could not reach
    /// the store for a while is not on the roll either, until it says again that it lives.
    fn look(&mut self, instance: &str, lives: bool, now: Instant) -> bool {
        if lives {
            self.0.remove(instance);
            return false;
        }
        if self.0.len() >= MOST_MISSED {
            self.0.retain(|_, (_, last)| now - *last < ROLL);
        }
        if self.0.len() >= MOST_MISSED && !self.0.contains_key(instance) {
            return false;
        }
        let (first, last) = self.0.entry(instance.to_owned()).or_insert((now, now));
        if now - *last >= FORGOTTEN {
            // it may have come and gone meanwhile
            *first = now;
        }
        *last = now;
        now - *first >= MISSED
    }
}

impl Post {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            instance: unguessable().into(),
            looked: Mutex::default(),
            questions: AtomicUsize::new(0),
            hurry: Notify::new(),
            next: AtomicI64::new(0),
            failing: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            missed: Mutex::default(),
        }
    }

    /// How old the news is, at the most.
    pub(super) fn age(&self) -> Duration {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.map_or(Duration::MAX, |looked| looked.elapsed())
    }

    /// Whether the store is not worth asking what is not needed: it has just failed, and the mailbox finds out when it
    /// answers again.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The store has just failed.
    pub(super) fn failed(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }

    fn looked(&self, at: Instant) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// A number for a question of this instance.
    pub(super) fn number(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Says every now and then that this instance lives, as long as it does not leave.
    pub(super) async fn announce(&self) {
        while !self.retired.load(Ordering::Relaxed) {
            let said = self.store.announce(&self.instance, ROLL);
            let said = tokio::time::timeout(SILENCE, said).await;
            let pause = if matches!(said, Ok(Ok(()))) {
                ANNOUNCE
            } else {
                RECOVER
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The number of questions that clients have not answered yet.
    #[cfg(test)]
    pub(super) fn open_questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    /// While the guard lives, letters are fetched at short intervals.
    pub(super) fn expects(self: &Arc<Self>) -> Expecting {
        if self.questions.fetch_add(1, Ordering::Relaxed) == 0 {
            self.hurry.notify_one();
        }
        Expecting(Arc::clone(self))
    }

    /// Sends a letter to one instance.
    pub(super) async fn send(&self, to: &str, letter: &Letter) -> Result<(), Failure> {
        let letter = pack(letter).map_err(|error| Failure::Unavailable(error.into()))?;
        let entries = split(&letter, self.store.limit());
        self.store.append(&mailbox(to), entries, LETTER).await.map(|_| ())
    }

    /// Sends a letter to all others that live.
    pub(super) async fn send_all(&self, letter: &Letter) -> Result<(), Failure> {
        let roll = self.store.roll().await?;
        let others = roll.iter().filter(|other| ***other != *self.instance);
        let sent = futures::future::join_all(others.map(|other| self.send(other, letter)));
        sent.await.into_iter().collect()
    }

    /// Whether an instance has ended: it has said so, or was missed twice.
    pub(super) async fn has_gone(&self, instance: &str) -> Result<bool, Failure> {
        let lives = self.store.roll().await?.iter().any(|other| other == instance);
        if !lives && self.store.read(&left(instance)).await?.is_some() {
            return Ok(true);
        }
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(missed.look(instance, lives, Instant::now()))
    }

    /// Says that this instance has ended.
    pub(super) async fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        if !self.store.is_shared() {
            return;
        }
        let left = async {
            let left = left(&self.instance);
            self.store
                .write(&left, Bytes::from_static(b"left"), None, LETTER)
                .await?;
            self.store.announce(&self.instance, Duration::ZERO).await
        };
        if !matches!(tokio::time::timeout(LOOK, left).await, Ok(Ok(()))) {
            tracing::debug!("the store was not told that this instance ends; it will find out");
        }
    }

    /// One look into the mailbox: letters that have come after `cursor`, which moves on.
    pub(super) async fn look(&self, inbox: &mut Inbox) -> Vec<Letter> {
        let waiting = self.questions.load(Ordering::Relaxed) > 0;
        let patience = Patience {
            whole: LOOK,
            pause: if waiting { SHORT_PAUSE } else { PAUSE },
        };
        let began = Instant::now();
        let mailbox = mailbox(&self.instance);
        let found = self.store.follow(&mailbox, inbox.cursor, patience);
        let found = tokio::time::timeout(patience.whole + SILENCE, found);
        let found = tokio::select! {
            found = found => found,
            () = self.hurry.notified(), if !waiting => return Vec::new(),
        };
        let entries = match found {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => return self.fail(inbox, &error).await,
            Err(late) => return self.fail(inbox, &Failure::Unavailable(late.into())).await,
        };
        // nothing older than the beginning of the last look is unknown now
        let in_time = began.elapsed() < patience.whole + patience.pause;
        self.looked(if entries.is_empty() && in_time {
            Instant::now() - patience.pause
        } else {
            began
        });
        self.recover(inbox);
        let Some(last) = entries.last().map(|entry| entry.number) else {
            return Vec::new();
        };
        inbox.cursor = last;
        let whole = entries
            .iter()
            .filter_map(|entry| inbox.assembly.add(&entry.value));
        let letters = whole.filter_map(|letter| {
            let read = unpack(&letter);
            read.inspect_err(|error| tracing::warn!(%error, "a letter cannot be read"))
                .ok()
        });
        let letters = letters.collect();
        if let Err(error) = self.store.trim(&mailbox, last).await {
            tracing::debug!(%error, "cannot throw out letters that were read");
        }
        letters
    }

    async fn fail(&self, inbox: &mut Inbox, error: &Failure) -> Vec<Letter> {
        self.failed();
        inbox.failures += 1;
        // once is nothing: an environment of Lambda that was frozen finds its connection dead
        if inbox.failures == 2 {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "the session store fails; sessions go on where they are");
        }
        tokio::time::sleep(RECOVER).await;
        Vec::new()
    }

    fn recover(&self, inbox: &mut Inbox) {
        self.failing.store(false, Ordering::Relaxed);
        if std::mem::take(&mut inbox.failures) >= 2 {
            tracing::info!("the session store answers again");
        }
    }
}

fn mailbox(instance: &str) -> String {
    format!("mail:{instance}")
}

/// What is there when an instance has said that it ended.
fn left(instance: &str) -> String {
    format!("left:{instance}")
}

/// A reader's place in the mailbox.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    cursor: u64,
    assembly: Assembly,
    failures: u32,
}

/// A question waits for its answer.
#[derive(Debug)]
pub(super) struct Expecting(Arc<Post>);

impl Drop for Expecting {
    fn drop(&mut self) {
        self.0.questions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missed_once_may_be_late_and_who_is_missed_twice_has_ended() {
        let mut missed = Missed::default();
        let mut now = Instant::now();
        let mut look = |after: Duration, lives: bool| {
            now += after;
            missed.look("a", lives, now)
        };
        assert!(!look(Duration::ZERO, false));
        assert!(!look(MISSED / 2, false));
        assert!(look(MISSED / 2, false));
        // it was late
        assert!(!look(Duration::ZERO, true));
        assert!(!look(MISSED, false));
        // what was so long ago says nothing
        assert!(!look(FORGOTTEN, false));
    }

    #[test]
    fn names_that_nobody_has_take_no_room() {
        let mut missed = Missed::default();
        let now = Instant::now();
        for name in 0..MOST_MISSED * 2 {
            missed.look(&name.to_string(), false, now);
        }
        assert_eq!(missed.0.len(), MOST_MISSED);
        missed.look("a", false, now + ROLL);
        assert_eq!(missed.0.len(), 1);
    }
}
