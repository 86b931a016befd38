//! Conversations in a table of DynamoDB, with the string keys `pk` and `sk`.
//!
//! | `pk` | `sk` | attributes |
//! |---|---|---|
//! | `conversations:USER` | `=SESSION`, or `#` and a hash when that is too long | `session` S, `title` S, `written` N (ms), `version` S, `body` B (gzip), `expires` N (s) when there is an end |
//!
//! A user whose name is too long for a key is a hash, too.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::{DisplayErrorContext, SdkError},
    operation::put_item::PutItemError,
    primitives::Blob,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Draft, Failure, Key, Listed, Store, Stored,
    packed::{broken, pack, short, unpack},
};
use crate::aws::{self, Patience, patient};

/// How long it is waited for.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(3),
    attempts: 3,
    whole: Duration::from_secs(8),
};
/// An item has 400 KB; some are for its keys and its other attributes.
const LONGEST: usize = 380_000;
/// How long a name may be in a key, in bytes: `sk` has 1,024.
const LONGEST_NAME: usize = 900;
/// How much of a title is kept, in bytes.
const LONGEST_TITLE: usize = 1_000;

type Item = HashMap<String, AttributeValue>;

/// Conversations in a table. Clones share the connections.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    client: Client,
    table: String,
    life: Option<Duration>,
}

impl DynamoDb {
    /// Conversations in this table, with the usual settings of AWS. Nothing is asked of it yet.
    pub async fn connect(table: &str) -> Self {
        Self::new(table, &aws::usual().await)
    }

    /// The same with other settings.
    #[must_use]
    pub fn new(table: &str, config: &SdkConfig) -> Self {
        Self {
            client: Client::new(&patient(config, PATIENCE)),
            table: table.to_owned(),
            life: None,
        }
    }

    /// The same, and a conversation that is not written for so long may go: `expires` says when, in seconds, for the time
    /// to live of the table.
    #[must_use]
    pub fn with_life(self, life: Duration) -> Self {
        Self {
            life: Some(life),
            ..self
        }
    }

    fn item(&self, key: &Key, draft: Draft<'_>, version: &str) -> Result<Item, Failure> {
        let body = pack(draft.body, version)?;
        if body.len() > LONGEST {
            return Err(Failure::TooLong {
                length: body.len(),
                most: LONGEST,
            });
        }
        let now = Timestamp::now();
        let title = draft
            .title
            .split_at(draft.title.floor_char_boundary(LONGEST_TITLE))
            .0;
        let mut item = Item::from([
            ("pk".to_owned(), text(partition(&key.user))),
            ("sk".to_owned(), text(name(&key.session))),
            ("session".to_owned(), text(&*key.session)),
            ("title".to_owned(), text(title)),
            ("written".to_owned(), number(now.as_millisecond())),
            ("version".to_owned(), text(version)),
            ("body".to_owned(), AttributeValue::B(Blob::new(body))),
        ]);
        if let Some(life) = self.life {
            let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
            let expires = now.as_second().saturating_add(seconds);
            item.insert("expires".to_owned(), number(expires));
        }
        Ok(item)
    }
}

#[async_trait]
impl Store for DynamoDb {
    async fn load(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true);
        let get = get
            .key("pk", text(partition(&key.user)))
            .key("sk", text(name(&key.session)));
        let found = get.send().await.map_err(|error| failed(&self.table, &error))?;
        let Some(mut item) = found.item else {
            return Ok(None);
        };
        let version = read(&item, "version")?.to_owned();
        let Some(AttributeValue::B(packed)) = item.remove("body") else {
            return Err(broken("a conversation in the table has no body"));
        };
        Ok(Some(Stored {
            version,
            body: unpack(packed.as_ref())?,
        }))
    }

    async fn save(&self, key: &Key, draft: Draft<'_>) -> Result<String, Failure> {
        let version = Uuid::new_v4().to_string();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(self.item(key, draft, &version)?))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match draft.replaces {
            Some(before) => put
                .condition_expression("version = :before")
                .expression_attribute_values(":before", text(before)),
            None => put.condition_expression("attribute_not_exists(pk)"),
        };
        match put.send().await {
            Ok(_) => Ok(version),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(found) => {
                    // an attempt whose answer was lost has written it already
                    let found = found.item.unwrap_or_default();
                    let is_ours = read(&found, "version").is_ok_and(|found| found == version);
                    if is_ours {
                        Ok(version)
                    } else {
                        Err(Failure::Conflict)
                    }
                }
                error => Err(failed(&self.table, &error)),
            },
            Err(error) => Err(failed(&self.table, &error)),
        }
    }

    async fn list(&self, user: &str, most: usize) -> Result<Vec<Listed>, Failure> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(partition(user)))
            .projection_expression("#session, title, written")
            .expression_attribute_names("#session", "session");
        let found: Result<Vec<_>, _> = query.into_paginator().items().send().collect().await;
        let found = found.map_err(|error| failed(&self.table, &error))?;
        let mut listed = found.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        listed.sort_by(|one, other| {
            other
                .written
                .cmp(&one.written)
                .then_with(|| one.session.cmp(&other.session))
        });
        listed.truncate(most);
        Ok(listed)
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete
            .key("pk", text(partition(&key.user)))
            .key("sk", text(name(&key.session)));
        delete.send().await.map_err(|error| failed(&self.table, &error))?;
        Ok(())
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(table: &str, error: &E) -> Failure {
    broken(format!(
        "the table {table} of DynamoDB: {}",
        DisplayErrorContext(error)
    ))
}

fn entry(item: &Item) -> Result<Listed, Failure> {
    let written = item.get("written").and_then(|value| value.as_n().ok());
    let written = written.and_then(|written| Timestamp::from_millisecond(written.parse().ok()?).ok());
    Ok(Listed {
        session: read(item, "session")?.to_owned(),
        title: read(item, "title")?.to_owned(),
        written: written.ok_or_else(|| broken("a conversation in the table has no time"))?,
    })
}

fn partition(user: &str) -> String {
    format!("conversations:{}", name(user))
}

/// A name in a key: as it is, or a hash. What it begins with tells which.
fn name(name: &str) -> String {
    if name.len() > LONGEST_NAME {
        format!("#{}", short(name))
    } else {
        format!("={name}")
    }
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn read<'a>(item: &'a Item, name: &str) -> Result<&'a str, Failure> {
    let found = item.get(name).and_then(|value| value.as_s().ok());
    found
        .map(String::as_str)
        .ok_or_else(|| broken(format!("a conversation in the table has no {name}")))
}
