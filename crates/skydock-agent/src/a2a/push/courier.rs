//! Delivers what is in mailboxes: one courier at a mailbox, one event after the other for each webhook.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Push, guard::Cleared, signature::Signed};
use crate::a2a::{
    service::{Inner, Service},
    store::{Failure, Logged, Mailbox, Post},
};

/// How many mailboxes are emptied at once.
const COURIERS: usize = 64;
/// How many webhooks of one host are told at once, so that a slow one does not keep the others waiting.
const OF_HOST: usize = 8;
/// How soon a webhook is told whose host had no room.
const CROWDED: Duration = Duration::from_millis(500);
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
            Some(push) => push.empty(&self.0, task).await,
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
        Ok(had.filter(|(task, emptied)| told(task, emptied)).count())
    }
}

/// Whether there was something in a mailbox; what went wrong is logged.
fn told(task: &str, emptied: &Result<bool, Failure>) -> bool {
    match emptied {
        Ok(had) => *had,
        Err(Failure::Conflict) => false,
        Err(failure) => {
            let cause = crate::client::tell(failure);
            tracing::warn!(task, cause, "a mailbox cannot be emptied");
            false
        }
    }
}

/// The hosts to which something is under way, each as often as that is.
#[derive(Debug, Default)]
pub(super) struct Crowds(Mutex<Vec<String>>);

impl Crowds {
    /// Goes to a host, when there is room.
    fn enter(&self, host: String) -> Option<Entered<'_>> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if there.iter().filter(|other| **other == host).count() >= OF_HOST {
            return None;
        }
        there.push(host.clone());
        Some(Entered(self, host))
    }
}

/// Something that is under way to a host.
struct Entered<'a>(&'a Crowds, String);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut there = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = there.iter().position(|host| *host == self.1) {
            there.swap_remove(place);
        }
    }
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
        loop {
            let room = COURIERS.saturating_sub(couriers.len());
            // those that are being emptied may be found again
            let found = match service
                .0
                .tasks
                .mail(Timestamp::now(), COURIERS.saturating_mul(2))
                .await
            {
                Ok(found) => found,
                Err(failure) => {
                    let cause = crate::client::tell(&failure);
                    tracing::warn!(cause, "mailboxes cannot be looked for");
                    Vec::new()
                }
            };
            let new: Vec<_> = found
                .into_iter()
                .filter(|task| !away.contains(task))
                .take(room)
                .collect();
            for task in new {
                away.insert(task.clone());
                couriers.spawn(courier(service.clone(), task, self.pause()));
            }
            tokio::select! {
                Some(back) = couriers.join_next() => {
                    match back {
                        Ok(task) => drop(away.remove(&task)),
                        // which one broke is not told; the others are claimed, and left alone
                        Err(_panic) => away.clear(),
                    }
                }
                () = self.news.notified() => {}
                () = tokio::time::sleep(self.pause()) => {}
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
            let had = told(task, &service.deliver_once(task).await);
            if last {
                return;
            }
            if !had {
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

    async fn empty(&self, service: &Inner, task: &str) -> Result<bool, Failure> {
        let Some(mut mailbox) = service.tasks.mailbox(task).await? else {
            return Ok(false);
        };
        let now = Timestamp::now();
        if mailbox.due.is_none_or(|due| due > now) || mailbox.claimed > now {
            return Ok(false);
        }
        // as long as no request is begun that could end later than that
        mailbox.claimed = after(now, self.pace.timeout * 2);
        mailbox.version = mailbox.version.saturating_add(1);
        let until = Instant::now() + self.pace.timeout;
        service.tasks.put_mailbox(&mailbox).await?;
        let rounds = mailbox
            .posts
            .iter_mut()
            .map(|post| self.round(service, task, post, until));
        for done in join_all(rounds).await {
            done?;
        }
        self.put_back(service, mailbox).await?;
        Ok(true)
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
        let Some(_entered) = self.crowds.enter(host(&post.config.url)) else {
            post.due = after(Timestamp::now(), CROWDED.mul_f64(rand::random_range(0.5..1.0)));
            return Ok(());
        };
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

/// The host of a webhook; empty when it has none, which its guard tells.
fn host(url: &str) -> String {
    let url = Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Empties a mailbox, and gives its task.
async fn courier(service: Service, task: String, pause: Duration) -> String {
    if !told(&task, &service.deliver_once(&task).await) {
        // another instance is at it, or the store is not there
        tokio::time::sleep(pause).await;
    }
    task
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
