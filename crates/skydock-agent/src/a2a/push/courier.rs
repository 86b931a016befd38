//! Delivers what is in mailboxes: one courier at a mailbox, one event after the other for each webhook.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, header::CONTENT_TYPE, redirect};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Push, crowds::Place, guard::Cleared, signature::Signed};
use crate::a2a::{
    service::{Inner, Service},
    store::{Failure, Logged, Mailbox, Post},
};

/// How many mailboxes are emptied at once.
const COURIERS: usize = 64;
/// How many mailboxes are looked at beyond those, to find one whose webhooks have room.
const BEYOND: usize = 4_096;
/// How soon a webhook is looked at again that had no room.
const CROWDED: Duration = Duration::from_secs(1);
/// How many events are read at once.
const AT_ONCE: usize = 32;
/// How many events that were given up a mailbox remembers.
const REMEMBERED: usize = 100;

impl Service {
    /// Delivers what is in the mailbox of a task, as far as it can be delivered now. Says whether there was something;
    /// there is not when somebody else delivers.
    ///
    /// # Errors
    /// [`Failure`] when the mailbox cannot be read or written. What was delivered may be delivered again then.
    pub async fn deliver_once(&self, task: &str) -> Result<bool, Failure> {
        match &self.0.push {
            Some(push) => Ok(push.empty(&self.0, task, Manner::Patient).await? == Emptied::Done),
            None => Ok(false),
        }
    }

    /// Delivers what is due in all mailboxes; says how many had something. On Lambda, a schedule calls this.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be looked for.
    pub async fn deliver_due(&self) -> Result<usize, Failure> {
        let found = self.0.tasks.mail(Timestamp::now(), COURIERS).await?;
        let emptied = join_all(found.iter().map(|task| self.deliver_once(task))).await;
        let had = found.iter().zip(emptied);
        Ok(had
            .filter_map(|(task, emptied)| known(task, emptied))
            .filter(|had| *had)
            .count())
    }
}

/// What came of a mailbox; what went wrong is logged.
fn known<T>(task: &str, emptied: Result<T, Failure>) -> Option<T> {
    match emptied {
        Ok(emptied) => Some(emptied),
        Err(Failure::Conflict) => None,
        Err(failure) => {
            let cause = crate::client::tell(&failure);
            tracing::warn!(task, cause, "a mailbox cannot be emptied");
            None
        }
    }
}

/// What to do where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Wait for it, as long as the mailbox is claimed.
    Patient,
    /// Leave it to the next time.
    Brisk,
}

/// What came of a mailbox.
#[derive(Debug, PartialEq, Eq)]
enum Emptied {
    /// It had something.
    Done,
    /// It has nothing, or somebody else is at it.
    Nothing,
    /// None of these has room.
    Crowded(Vec<Place>),
}

/// How a delivery ended.
enum Delivered {
    Taken,
    Failed(String),
}

impl Push {
    /// Delivers for ever.
    pub(in crate::a2a) async fn deliver(&self, service: &Service) {
        let mut couriers = JoinSet::new();
        let mut away = HashSet::new();
        let mut crowded = HashMap::<String, Vec<Place>>::new();
        loop {
            // those that are away or have no room are found again
            let most = COURIERS
                .saturating_mul(2)
                .saturating_add(crowded.len().min(BEYOND));
            let found = service.0.tasks.mail(Timestamp::now(), most).await;
            let found = found.unwrap_or_else(|failure| {
                let cause = crate::client::tell(&failure);
                tracing::warn!(cause, "mailboxes cannot be looked for");
                Vec::new()
            });
            let has_room = |places: &Vec<Place>| places.iter().any(|place| self.crowds.has_room(place));
            let is_free = |task: &String| !away.contains(task) && crowded.get(task).is_none_or(has_room);
            let room = COURIERS.saturating_sub(couriers.len());
            let free: Vec<_> = found
                .iter()
                .filter(|task| is_free(task))
                .take(room)
                .cloned()
                .collect();
            if found.len() < most {
                let found: HashSet<_> = found.iter().collect();
                crowded.retain(|task, _| found.contains(task));
            }
            for task in free {
                away.insert(task.clone());
                couriers.spawn(courier(service.clone(), task, self.pause()));
            }
            let back = tokio::select! {
                Some(back) = couriers.join_next() => back,
                () = self.news.notified() => continue,
                () = tokio::time::sleep(self.pause()) => continue,
            };
            for back in std::iter::once(back).chain(std::iter::from_fn(|| couriers.try_join_next())) {
                match back {
                    Ok((task, emptied)) => {
                        away.remove(&task);
                        match emptied {
                            Emptied::Crowded(places) => drop(crowded.insert(task, places)),
                            Emptied::Done | Emptied::Nothing => drop(crowded.remove(&task)),
                        }
                    }
                    // which one broke is not told; the others are claimed, and left alone
                    Err(_panic) => away.clear(),
                }
            }
        }
    }

    /// Delivers what is in the mailbox of one task, until `over`, and then what is in it still.
    pub(in crate::a2a) async fn deliver_until(
        &self,
        service: &Service,
        task: &str,
        over: &CancellationToken,
    ) {
        loop {
            let last = over.is_cancelled();
            let had = known(task, service.deliver_once(task).await);
            if last {
                return;
            }
            if had != Some(true) {
                tokio::select! {
                    () = over.cancelled() => {}
                    () = self.news.notified() => {}
                    () = tokio::time::sleep(self.pause()) => {}
                }
            }
        }
    }

    /// How long until mailboxes are looked for again.
    fn pause(&self) -> Duration {
        self.pace.poll.mul_f64(rand::random_range(0.5..1.0))
    }

    async fn empty(&self, service: &Inner, task: &str, manner: Manner) -> Result<Emptied, Failure> {
        let Some(mut mailbox) = service.tasks.mailbox(task).await? else {
            return Ok(Emptied::Nothing);
        };
        let now = Timestamp::now();
        if mailbox.due.is_none_or(|due| due > now) || mailbox.claimed > now {
            return Ok(Emptied::Nothing);
        }
        let news = mailbox.news;
        let is_due = |post: &Post| post.settled < news && post.due <= now;
        let due: Vec<_> = mailbox.posts.iter().filter(|post| is_due(post)).collect();
        let places: Vec<_> = due
            .iter()
            .map(|post| Place::of(&mailbox.caller, &post.config.url))
            .collect();
        let entered: Vec<_> = places.iter().map(|place| self.crowds.enter(place)).collect();
        if manner == Manner::Brisk && !places.is_empty() && entered.iter().all(Option::is_none) {
            return Ok(Emptied::Crowded(places));
        }
        // as long as no request is begun that could end later than that
        mailbox.claimed = after(now, self.pace.timeout * 2);
        mailbox.version = mailbox.version.saturating_add(1);
        let until = Instant::now() + self.pace.timeout;
        service.tasks.put_mailbox(&mailbox).await?;
        let due = mailbox.posts.iter_mut().filter(|post| is_due(post));
        let rounds = due
            .zip(&places)
            .zip(entered)
            .map(|((post, place), entered)| async move {
                let entered = match (entered, manner) {
                    (None, Manner::Patient) => self.crowds.wait(place, until).await,
                    (entered, _) => entered,
                };
                if entered.is_some() {
                    return self.round(service, task, post, until).await;
                }
                // those that are due by then go first
                post.due = after(Timestamp::now(), CROWDED.mul_f64(rand::random_range(0.5..1.0)));
                Ok(())
            });
        for done in join_all(rounds).await {
            done?;
        }
        self.put_back(service, mailbox).await?;
        Ok(Emptied::Done)
    }

    /// Writes how far the webhooks were told. Meanwhile something may have happened to the task, and its caller may have
    /// added webhooks or taken some away.
    async fn put_back(&self, service: &Inner, mut mailbox: Mailbox) -> Result<(), Failure> {
        loop {
            mailbox.claimed = Timestamp::UNIX_EPOCH;
            mailbox.due = due(&mailbox);
            mailbox.expires = service.expiry();
            mailbox.version = mailbox.version.saturating_add(1);
            match service.tasks.put_mailbox(&mailbox).await {
                Err(Failure::Conflict) => {}
                done => return done,
            }
            let Some(mut other) = service.tasks.mailbox(&mailbox.task).await? else {
                return Ok(());
            };
            for post in &mut other.posts {
                let mut ours = mailbox.posts.iter().filter(|ours| ours.config == post.config);
                if let Some(ours) = ours.find(|ours| ours.settled >= post.settled) {
                    *post = ours.clone();
                }
            }
            mailbox = other;
        }
    }

    /// Tells one webhook, until all is told, or it does not answer, or the time is over.
    async fn round(
        &self,
        service: &Inner,
        task: &str,
        post: &mut Post,
        until: Instant,
    ) -> Result<(), Failure> {
        while Timestamp::now() >= post.due {
            let events = service.tasks.log(task, post.settled, AT_ONCE).await?;
            if events.is_empty() {
                break;
            }
            for event in events {
                if Instant::now() >= until {
                    return Ok(());
                }
                match self.send(post, task, &event).await {
                    Delivered::Taken => {
                        post.settled = event.sequence;
                        post.attempts = 0;
                    }
                    Delivered::Failed(why) => {
                        self.postpone(service, post, &event, &why).await?;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Tries again later, or gives up.
    async fn postpone(
        &self,
        service: &Inner,
        post: &mut Post,
        event: &Logged,
        why: &str,
    ) -> Result<(), Failure> {
        let task = post.config.task_id.as_str();
        post.attempts = post.attempts.saturating_add(1);
        let webhook = post.config.id.as_deref().unwrap_or_default();
        let (sequence, attempts) = (event.sequence, post.attempts);
        if attempts < self.pace.attempts {
            tracing::info!(
                task,
                webhook,
                sequence,
                attempts,
                why,
                "a webhook did not take an event"
            );
            let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
            let pause = self.pace.first.saturating_mul(doubled).min(self.pace.longest);
            post.due = after(Timestamp::now(), pause.mul_f64(rand::random_range(0.5..1.0)));
            return Ok(());
        }
        // what waits behind it would not fare better; what happens later is tried anew
        let mut last = sequence;
        loop {
            let behind = service.tasks.log(task, last, AT_ONCE).await?;
            let Some(end) = behind.last() else { break };
            last = end.sequence;
        }
        tracing::error!(
            task,
            webhook,
            first = sequence,
            last,
            attempts,
            why,
            "events are given up: a webhook does not take them"
        );
        let room = REMEMBERED.saturating_sub(post.dead.len());
        post.dead.extend((sequence..=last).take(room));
        post.settled = last;
        post.attempts = 0;
        Ok(())
    }

    async fn send(&self, post: &Post, task: &str, event: &Logged) -> Delivered {
        let sent = self.try_to_send(post, task, event);
        match tokio::time::timeout(self.pace.timeout, sent).await {
            Ok(Ok(())) => Delivered::Taken,
            Ok(Err(error)) => Delivered::Failed(crate::client::tell(&*error)),
            Err(_late) => Delivered::Failed(format!("it took longer than {:?}", self.pace.timeout)),
        }
    }

    async fn try_to_send(
        &self,
        post: &Post,
        task: &str,
        event: &Logged,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let config = &post.config;
        let cleared = self.guard.clear(&config.url).await?;
        let client = pinned(&cleared, self.pace.timeout)?;
        let body = serde_json::to_vec(&event.event)?;
        let signature = self.signer.sign(Signed {
            audience: &cleared.origin,
            task,
            sequence: event.sequence,
            body: &body,
        })?;
        let mut request = client
            .post(cleared.url)
            .header(CONTENT_TYPE, "application/json")
            .header("A2A-Version", ::a2a::VERSION);
        let given = config.authentication.as_ref();
        let given = given.and_then(|given| Some((&given.scheme, given.credentials.as_ref()?)));
        request = match given {
            // what the caller wants to see there goes first (specification 4.3.3)
            Some((scheme, credentials)) => request
                .header("Authorization", format!("{scheme} {credentials}"))
                .header("X-A2A-Signature", signature),
            None => request.bearer_auth(signature),
        };
        if let Some(token) = &config.token {
            // the name of the specification, and that of the official crates
            request = request
                .header("X-A2A-Notification-Token", token)
                .header("A2A-Notification-Token", token);
        }
        let answer = request
            .body(body)
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("it answered {}", answer.status()).into())
    }
}

/// Empties a mailbox, and says which, and what came of it.
async fn courier(service: Service, task: String, pause: Duration) -> (String, Emptied) {
    let emptied = match &service.0.push {
        Some(push) => known(&task, push.empty(&service.0, &task, Manner::Brisk).await),
        None => None,
    };
    let emptied = emptied.unwrap_or(Emptied::Nothing);
    if emptied == Emptied::Nothing {
        // another instance is at it, or the store is not there
        tokio::time::sleep(pause).await;
    }
    (task, emptied)
}

/// A client that goes where was looked, and nowhere else.
fn pinned(cleared: &Cleared, timeout: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(timeout)
        .resolve_to_addrs(&cleared.host, &cleared.addresses)
        .build()
}

/// When a courier has to look at it again.
fn due(mailbox: &Mailbox) -> Option<Timestamp> {
    let waiting = mailbox.posts.iter().filter(|post| post.settled < mailbox.news);
    waiting.map(|post| post.due).min()
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    now.saturating_add(time).unwrap_or(Timestamp::MAX)
}
