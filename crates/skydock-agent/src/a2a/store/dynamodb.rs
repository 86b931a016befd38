//! Tasks in a table of DynamoDB, for agents on many machines and on Lambda.
//!
//! | `pk` | `sk` | what it is |
//! |---|---|---|
//! | `task:ID` | `task` | the record, as JSON in `body`, and its `version` |
//! | `task:ID` | `event:NUMBER` | an event, as JSON in `body` |
//! | `task:ID` | `mail` | the mailbox, as JSON in `body`; `version`, `news`, `claimed` |
//! | `caller:CALLER` | `task:ID` | `context`, `state` and `stated`, for lists |
//!
//! Keys are strings. The index `due` (hash `queue`, a string; range `due`, a number; keys only) has the records that are
//! to be worked on under `work`, and the mailboxes with something in them under `mail`. All items have `expires`, seconds
//! since 1970, for the table's time to live.

use std::{collections::HashMap, time::Duration};

use ::a2a::{StreamResponse, TaskState};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::{
    Cursor, Failure, Filter, Logged, Mailbox, Page, Record, Tasks, numbered, read, state_name, write,
};
use crate::aws::{self, Patience, patient};

/// How long it is waited for.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(2),
    attempts: 3,
    whole: Duration::from_secs(6),
};
/// The most bytes of a record: an item has at most 400 KB, its names and numbers included.
const LONGEST: usize = 390_000;
/// How much less a record may have that waits for its first worker, who writes his name into it.
const BEFORE: usize = 4_000;
/// How much more a record may have that nobody works on any more: it has to say so.
const AFTER: usize = 8_000;
/// How many records of a page are read at once.
const AT_ONCE: usize = 10;

type Item = HashMap<String, AttributeValue>;

/// Tasks in a table. Clones share the connections.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    client: Client,
    table: String,
}

fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::Broken(cause.into())
}

impl DynamoDb {
    /// Tasks in this table, with the usual settings of AWS.
    pub async fn connect(table: &str) -> Self {
        Self::new(table, &aws::usual().await)
    }

    /// Tasks in this table.
    #[must_use]
    pub fn new(table: &str, config: &SdkConfig) -> Self {
        Self {
            client: Client::new(&patient(config, PATIENCE)),
            table: table.to_owned(),
        }
    }

    async fn get(&self, task: &str, sk: &str) -> Result<Option<Item>, Failure> {
        let get = self.client.get_item().table_name(&self.table);
        let get = get
            .key("pk", text(task_key(task)))
            .key("sk", text(sk))
            .consistent_read(true);
        Ok(get.send().await.map_err(broken)?.item)
    }

    /// Puts the record, where the version before it is.
    fn record(&self, record: &Record) -> Result<TransactWriteItem, Failure> {
        let body = record.body()?;
        let most = match record.task.status.state {
            TaskState::Submitted => LONGEST - BEFORE,
            _ if record.is_open() => LONGEST,
            _ => LONGEST + AFTER,
        };
        if body.len() > most {
            return Err(Failure::TooLong {
                id: record.task.id.clone(),
                length: body.len(),
                most,
            });
        }
        let mut item = item(&record.task.id, "task");
        item.insert("body".to_owned(), text(body));
        item.insert("version".to_owned(), number(record.version));
        queue(&mut item, "work", record.due());
        expire(&mut item, record.expires);
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        self.transacted(replaces(put, record.version))
    }

    fn transacted(
        &self,
        put: aws_sdk_dynamodb::types::builders::PutBuilder,
    ) -> Result<TransactWriteItem, Failure> {
        let put = put.table_name(&self.table).build().map_err(broken)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Puts what lists know of the record.
    fn entry(&self, record: &Record) -> Result<TransactWriteItem, Failure> {
        let mut item: Item = HashMap::from([
            ("pk".to_owned(), text(caller_key(&record.caller))),
            ("sk".to_owned(), text(task_key(&record.task.id))),
            ("context".to_owned(), text(record.task.context_id.clone())),
            ("state".to_owned(), text(state_name(&record.task.status.state))),
            ("stated".to_owned(), number(record.stated().as_microsecond())),
        ]);
        expire(&mut item, record.expires);
        self.transacted(Put::builder().set_item(Some(item)))
    }

    fn event(
        &self,
        record: &Record,
        sequence: u64,
        event: &StreamResponse,
    ) -> Result<TransactWriteItem, Failure> {
        let mut item = item(&record.task.id, &event_key(sequence));
        expire(&mut item, record.expires);
        item.insert("body".to_owned(), text(write(event)?));
        self.transacted(Put::builder().set_item(Some(item)))
    }

    /// Tells the mailbox that something happened.
    fn news(&self, record: &Record) -> Result<TransactWriteItem, Failure> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(task_key(&record.task.id)))
            .key("sk", text("mail"))
            .update_expression("SET news = :news, #queue = :mail, due = :now")
            .expression_attribute_names("#queue", "queue")
            .expression_attribute_values(":news", number(record.sequence))
            .expression_attribute_values(":mail", text("mail"))
            .expression_attribute_values(":now", number(record.changed.as_microsecond()));
        Ok(TransactWriteItem::builder()
            .update(update.build().map_err(broken)?)
            .build())
    }

    /// What lists know of a caller's tasks.
    async fn entries(&self, caller: &str, filter: &Filter) -> Result<Vec<Cursor>, Failure> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(caller_key(caller)));
        let state = filter.state.as_ref().map(state_name);
        let after = filter.after.map(Timestamp::as_microsecond);
        let mut found = Vec::new();
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            let item = item.map_err(broken)?;
            let at: i64 = parsed(&item, "stated")?;
            let wanted = filter
                .context
                .as_deref()
                .is_none_or(|context| string(&item, "context") == context)
                && state
                    .as_deref()
                    .is_none_or(|state| string(&item, "state") == state)
                && after.is_none_or(|after| at >= after);
            if wanted {
                let id = string(&item, "sk")
                    .strip_prefix("task:")
                    .unwrap_or_default()
                    .to_owned();
                found.push(Cursor { at, id });
            }
        }
        found.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
        Ok(found)
    }

    async fn queued(&self, queue: &str, now: Timestamp, most: usize) -> Result<Vec<String>, Failure> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("due")
            .key_condition_expression("#queue = :queue AND due <= :now")
            .expression_attribute_names("#queue", "queue")
            .expression_attribute_values(":queue", text(queue))
            .expression_attribute_values(":now", number(now.as_microsecond()))
            .limit(i32::try_from(most).unwrap_or(i32::MAX));
        let items = query.send().await.map_err(broken)?.items.unwrap_or_default();
        let id = |item: &Item| string(item, "pk").strip_prefix("task:").map(str::to_owned);
        Ok(items.iter().filter_map(id).collect())
    }
}

#[async_trait]
impl Tasks for DynamoDb {
    async fn load(&self, id: &str) -> Result<Option<Record>, Failure> {
        let found = self.get(id, "task").await?;
        found.map(|item| read(string(&item, "body"))).transpose()
    }

    async fn save(&self, record: &Record, events: &[StreamResponse]) -> Result<(), Failure> {
        let mut items = vec![self.record(record)?, self.entry(record)?];
        for (sequence, event) in numbered(record, events) {
            items.push(self.event(record, sequence, event)?);
        }
        if record.mail && !events.is_empty() {
            items.push(self.news(record)?);
        }
        let write = self.client.transact_write_items().set_transact_items(Some(items));
        match write.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    // somebody else was there before, or is at it just now
                    let conflict = cancelled.cancellation_reasons().iter().any(|reason| {
                        matches!(
                            reason.code(),
                            Some("ConditionalCheckFailed" | "TransactionConflict")
                        )
                    });
                    Err(if conflict {
                        Failure::Conflict
                    } else {
                        broken(cancelled)
                    })
                }
                error => Err(broken(error)),
            },
            Err(error) => Err(broken(error)),
        }
    }

    async fn log(&self, id: &str, after: u64, most: usize) -> Result<Vec<Logged>, Failure> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(task_key(id)))
            .expression_attribute_values(":first", text(event_key(after.saturating_add(1))))
            .expression_attribute_values(":last", text("event;"))
            .limit(i32::try_from(most).unwrap_or(i32::MAX));
        // one page, which has at most 1 MB: who reads a log goes on behind what he got
        let items = query.send().await.map_err(broken)?.items.unwrap_or_default();
        let logged = |item: &Item| {
            let sequence = string(item, "sk").strip_prefix("event:").unwrap_or_default();
            Ok(Logged {
                sequence: sequence.parse().map_err(broken)?,
                event: read(string(item, "body"))?,
            })
        };
        items.iter().map(logged).collect()
    }

    async fn list(&self, caller: &str, filter: &Filter) -> Result<Page, Failure> {
        let entries = self.entries(caller, filter).await?;
        let total = entries.len();
        let behind = |entry: &Cursor| {
            let cursor = filter.cursor.as_ref();
            cursor.is_none_or(|cursor| (entry.at, &entry.id) < (cursor.at, &cursor.id))
        };
        let mut wanted: Vec<_> = entries.into_iter().filter(behind).collect();
        let more = wanted.len() > filter.size;
        wanted.truncate(filter.size);
        let next = wanted.last().filter(|_| more).cloned();
        let ids = wanted.into_iter().map(|entry| entry.id);
        let records: Vec<Option<Record>> = futures::stream::iter(ids)
            .map(|id| async move { self.load(&id).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Page {
            records: records.into_iter().flatten().collect(),
            next,
            total,
        })
    }

    async fn stranded(&self, now: Timestamp, most: usize) -> Result<Vec<String>, Failure> {
        self.queued("work", now, most).await
    }

    async fn mailbox(&self, task: &str) -> Result<Option<Mailbox>, Failure> {
        let Some(item) = self.get(task, "mail").await? else {
            return Ok(None);
        };
        let mut mailbox: Mailbox = read(string(&item, "body"))?;
        mailbox.news = parsed(&item, "news")?;
        mailbox.due = match item.get("due") {
            Some(_) => Timestamp::from_microsecond(parsed(&item, "due")?).ok(),
            None => None,
        };
        Ok(Some(mailbox))
    }

    async fn put_mailbox(&self, mailbox: &Mailbox) -> Result<(), Failure> {
        let mut item = item(&mailbox.task, "mail");
        expire(&mut item, mailbox.expires);
        item.insert("body".to_owned(), text(write(mailbox)?));
        item.insert("version".to_owned(), number(mailbox.version));
        item.insert("news".to_owned(), number(mailbox.news));
        queue(&mut item, "mail", mailbox.due.map(|due| due.max(mailbox.claimed)));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        let put = if mailbox.version == 1 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("#version = :before AND news = :news")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":before", number(mailbox.version.saturating_sub(1)))
                .expression_attribute_values(":news", number(mailbox.news))
        };
        match put.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(_)
                | PutItemError::TransactionConflictException(_) => Err(Failure::Conflict),
                error => Err(broken(error)),
            },
            Err(error) => Err(broken(error)),
        }
    }

    async fn mail(&self, now: Timestamp, most: usize) -> Result<Vec<String>, Failure> {
        self.queued("mail", now, most).await
    }
}

/// Only where the version before this one is.
fn replaces(
    put: aws_sdk_dynamodb::types::builders::PutBuilder,
    version: u64,
) -> aws_sdk_dynamodb::types::builders::PutBuilder {
    if version == 1 {
        return put.condition_expression("attribute_not_exists(pk)");
    }
    put.condition_expression("#version = :before")
        .expression_attribute_names("#version", "version")
        .expression_attribute_values(":before", number(version.saturating_sub(1)))
}

fn queue(item: &mut Item, name: &str, due: Option<Timestamp>) {
    if let Some(due) = due {
        item.insert("queue".to_owned(), text(name));
        item.insert("due".to_owned(), number(due.as_microsecond()));
    }
}

fn expire(item: &mut Item, expires: Timestamp) {
    item.insert("expires".to_owned(), number(expires.as_second()));
}

fn item(task: &str, sk: &str) -> Item {
    HashMap::from([
        ("pk".to_owned(), text(task_key(task))),
        ("sk".to_owned(), text(sk)),
    ])
}

fn task_key(id: &str) -> String {
    format!("task:{id}")
}

fn event_key(sequence: u64) -> String {
    // as many digits as the largest number has, so that they sort as numbers do
    format!("event:{sequence:020}")
}

fn caller_key(caller: &str) -> String {
    format!("caller:{caller}")
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number<N: std::fmt::Display + Copy>(number: N) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn string<'a>(item: &'a Item, name: &str) -> &'a str {
    let found = item.get(name).and_then(|value| value.as_s().ok());
    found.map(String::as_str).unwrap_or_default()
}

fn parsed<T: std::str::FromStr>(item: &Item, name: &str) -> Result<T, Failure> {
    let found = item.get(name).and_then(|value| value.as_n().ok());
    let found = found.and_then(|number| number.parse().ok());
    found.ok_or_else(|| broken(format!("an item of the table has no {name}")))
}
