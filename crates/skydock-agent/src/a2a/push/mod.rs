//! Tells webhooks what happens to tasks (specification 4.3): at least once, in order for each webhook, signed, again when
//! they do not answer, and nowhere that is not public.
//!
//! The log of a task is the queue; a mailbox has how far each webhook was told. So what was not delivered survives the
//! process, and any instance goes on with it.

mod courier;
mod crowds;
mod guard;
mod signature;

use std::time::Duration;

use ::a2a::{A2AError, TaskPushNotificationConfig};
use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use self::{crowds::Crowds, guard::Guard};
pub use self::{
    guard::Refused,
    signature::{Signer, Unusable},
};
use super::{
    refusal::failed,
    service::Inner,
    store::{Failure, Mailbox, Post, Record},
};

/// How often a change is tried that others get in the way of.
const TRIES: usize = 20;
/// The most bytes of what a caller gives to be sent along.
const SECRET: usize = 4096;

/// How webhooks are told.
#[derive(Debug)]
pub struct Push {
    signer: Signer,
    guard: Guard,
    pace: Pace,
    crowds: Crowds,
    /// Rings when something has happened in this process.
    pub(super) news: Notify,
}

/// How long webhooks have time, and how often they are told again.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How long a webhook may take to answer (specification 4.3.3 recommends 10 to 30 seconds).
    pub timeout: Duration,
    /// How long after the first attempt that failed the second one is made. It doubles from then on, up to `longest`,
    /// and each pause is between half of that and all of it.
    pub first: Duration,
    /// The longest pause between two attempts.
    pub longest: Duration,
    /// How often an event is tried. Then it is given up, with all that wait behind it, and the log says so.
    pub attempts: u32,
    /// How often mailboxes that other instances have filled are looked for.
    pub poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            first: Duration::from_secs(2),
            longest: Duration::from_secs(300),
            attempts: 10,
            poll: Duration::from_secs(2),
        }
    }
}

impl Push {
    /// Webhooks on the public internet are told, and what they are told is signed.
    #[must_use]
    pub fn new(signer: Signer) -> Self {
        Self {
            signer,
            guard: Guard::default(),
            pace: Pace::default(),
            crowds: Crowds::default(),
            news: Notify::new(),
        }
    }

    /// The same in another rhythm.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The same that trusts these origins (`http://127.0.0.1:9000`), wherever they are and without TLS: for tests, and for
    /// webhooks in one's own network.
    #[must_use]
    pub fn with_trusted(mut self, origins: Vec<String>) -> Self {
        self.guard.trusted = origins;
        self
    }

    /// The keys to check signatures with, as JSON.
    pub(super) fn keys(&self) -> Vec<u8> {
        self.signer.keys()
    }

    /// Whether this webhook would be told.
    pub(super) fn check(&self, config: &TaskPushNotificationConfig) -> Result<(), A2AError> {
        self.guard
            .look(&config.url)
            .map_err(|refused| A2AError::invalid_params(format!("url: {refused}")))?;
        let authentication = config.authentication.as_ref();
        let given = [
            ("id", config.id.as_deref()),
            ("token", config.token.as_deref()),
            (
                "authentication.scheme",
                authentication.map(|given| given.scheme.as_str()),
            ),
            (
                "authentication.credentials",
                authentication.and_then(|given| given.credentials.as_deref()),
            ),
        ];
        for (field, text) in given {
            let text = text.unwrap_or_default();
            // they become headers
            if text.len() > SECRET || text.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
                return Err(A2AError::invalid_params(format!(
                    "{field}: it has to be at most {SECRET} printable characters of ASCII"
                )));
            }
        }
        Ok(())
    }

    /// Gives a task a webhook, which is told what happens from now on; one of the same id is replaced.
    pub(super) async fn add(
        &self,
        service: &Inner,
        record: &Record,
        mut config: TaskPushNotificationConfig,
    ) -> Result<TaskPushNotificationConfig, A2AError> {
        let id = config.id.take().filter(|id| !id.is_empty());
        config.id = Some(id.unwrap_or_else(|| Uuid::new_v4().to_string()));
        config.task_id.clone_from(&record.task.id);
        let post = Post {
            config: config.clone(),
            settled: record.sequence,
            attempts: 0,
            due: Timestamp::UNIX_EPOCH,
            dead: Vec::new(),
        };
        let most = service.limits.webhooks;
        change(service, &record.task.id, |mailbox| {
            mailbox.caller.clone_from(&record.caller);
            mailbox.news = mailbox.news.max(record.sequence);
            let full = mailbox.posts.len() >= most;
            let before = mailbox
                .posts
                .iter_mut()
                .find(|before| before.config.id == config.id);
            match before {
                Some(before) => *before = post.clone(),
                None if full => {
                    return Err(A2AError::invalid_params(format!(
                        "the task {} has {most} webhooks, which is the bound; delete one",
                        record.task.id
                    )));
                }
                None => mailbox.posts.push(post.clone()),
            }
            Ok(())
        })
        .await?;
        Ok(config)
    }

    /// From now on the task tells its mailbox; what has happened since it was read is not forgotten.
    pub(super) async fn announce(&self, service: &Inner, id: &str) -> Result<(), A2AError> {
        for _ in 0..TRIES {
            let found = service.tasks.load(id).await;
            let Some(mut record) = found.map_err(|failure| failed(&failure))? else {
                return Err(A2AError::task_not_found(id));
            };
            if !record.mail {
                record.mail = true;
                match service.save(&mut record, &[]).await {
                    Ok(()) => {}
                    Err(Failure::Conflict) => continue,
                    Err(failure) => return Err(failed(&failure)),
                }
            }
            let due = Timestamp::now();
            let told = change(service, id, |mailbox| {
                mailbox.due = Some(due);
                Ok(())
            });
            told.await?;
            self.news.notify_one();
            return Ok(());
        }
        Err(failed(&Failure::Conflict))
    }

    /// The webhooks of a task.
    pub(super) async fn configs(
        &self,
        service: &Inner,
        id: &str,
    ) -> Result<Vec<TaskPushNotificationConfig>, A2AError> {
        let found = service.tasks.mailbox(id).await;
        let mailbox = found.map_err(|failure| failed(&failure))?;
        let posts = mailbox.map(|mailbox| mailbox.posts).unwrap_or_default();
        Ok(posts.into_iter().map(|post| post.config).collect())
    }

    /// Takes a webhook away; one that is not there is away already (specification 3.1.10).
    pub(super) async fn remove(&self, service: &Inner, id: &str, config: &str) -> Result<(), A2AError> {
        let there = self.configs(service, id).await?;
        if there.iter().all(|there| there.id.as_deref() != Some(config)) {
            return Ok(());
        }
        change(service, id, |mailbox| {
            mailbox
                .posts
                .retain(|post| post.config.id.as_deref() != Some(config));
            Ok(())
        })
        .await
    }
}

/// Changes the mailbox of a task, again when somebody got in the way.
async fn change(
    service: &Inner,
    id: &str,
    mut change: impl FnMut(&mut Mailbox) -> Result<(), A2AError> + Send,
) -> Result<(), A2AError> {
    for _ in 0..TRIES {
        let found = service.tasks.mailbox(id).await;
        let found = found.map_err(|failure| failed(&failure))?;
        let mut mailbox = found.unwrap_or_else(|| Mailbox {
            task: id.to_owned(),
            caller: String::new(),
            posts: Vec::new(),
            version: 0,
            news: 0,
            due: None,
            claimed: Timestamp::UNIX_EPOCH,
            expires: Timestamp::MAX,
        });
        mailbox.expires = service.expiry();
        let news = mailbox.news;
        change(&mut mailbox)?;
        if mailbox.version > 0 {
            // that is the task's to say
            mailbox.news = news;
        }
        mailbox.version = mailbox.version.saturating_add(1);
        match service.tasks.put_mailbox(&mailbox).await {
            Ok(()) => return Ok(()),
            Err(Failure::Conflict) => {}
            Err(failure) => return Err(failed(&failure)),
        }
    }
    Err(failed(&Failure::Conflict))
}
