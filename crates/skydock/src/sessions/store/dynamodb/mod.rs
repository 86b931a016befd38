//! Records, logs and the roll in one table of DynamoDB, with the string keys `pk` and `sk`.
//!
//! | `pk` | `sk` | attributes |
//! |---|---|---|
//! | `record:KEY` | `-` | `version` N, `value` B, `mark` B (of the last write) |
//! | `log:LOG` | the entry's number in 20 digits | `value` B, `mark` B, `batch` N (the first number of its append) |
//! | `log:LOG` | 20 zeros | `first` N: see the module `log` |
//! | `roll` | the instance | |
//!
//! Every item has `expires` N, in seconds, for DynamoDB to delete it some day, and `until` N, in milliseconds, from
//! which on it counts as gone. DynamoDB tells no time, so what counts are the clocks of the instances; they have to
//! agree within [`SKEW`].

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    primitives::Blob,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure::AllOld},
};
use bytes::Bytes;

use self::log::Tails;
use super::{Entry, Failure, Patience, Record, Store, Written, fits};

mod log;

/// An item has 400 KB; 4 KB of them are for its keys, which may have 3 KB, and for its other attributes.
pub(super) const LIMIT: usize = 396 << 10;
/// DynamoDB answers in milliseconds. What takes longer than this is tried again.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;
/// What a caller waits at most.
const WHOLE: Duration = Duration::from_secs(5);
/// How far the clocks of two instances may be apart.
const SKEW: Duration = Duration::from_secs(5);
/// The `sk` of records, of which there is one under each `pk`.
const RECORD: &str = "-";
const ROLL: &str = "roll";

type Item = HashMap<String, AttributeValue>;

/// Records, logs and the roll in one table.
pub(crate) struct DynamoDb {
    client: Client,
    table: String,
    tails: Tails,
}

impl fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDb")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// The table of this name, with the account, the region and the endpoint of the usual AWS settings. Nothing is
    /// asked of it yet.
    pub(crate) async fn connect(table: &str) -> Self {
        Self::new(
            table,
            &aws_config::defaults(BehaviorVersion::latest()).load().await,
        )
    }

    fn new(table: &str, config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(WHOLE)
            .build();
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .build();
        Self {
            client: Client::from_conf(config),
            table: table.to_owned(),
            tails: Tails::default(),
        }
    }

    async fn get(&self, pk: String, sk: &str) -> Result<Option<Item>, Failure> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true);
        let got = get.key("pk", text(pk)).key("sk", text(sk)).send().await;
        Ok(got.map_err(Failure::unavailable)?.item)
    }
}

#[async_trait]
impl Store for DynamoDb {
    fn limit(&self) -> usize {
        LIMIT
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        let item = self.get(record_key(key), RECORD).await?;
        let now = now();
        let live = item.filter(|item| read_number(item, "until").is_ok_and(|until| until > now));
        live.map(record).transpose()
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        replaces: Option<u64>,
        ttl: Duration,
    ) -> Result<Written, Failure> {
        fits(&value, LIMIT)?;
        let version = replaces.unwrap_or(0) + 1;
        let (now, mark) = (now(), mark());
        let put = self.client.put_item().table_name(&self.table);
        let put = put
            .set_item(Some(item(record_key(key), RECORD, expiry_after(ttl))))
            .item("version", number(version))
            .item("value", binary(value))
            .item("mark", binary(mark.clone()))
            .return_values_on_condition_check_failure(AllOld)
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":now", number(now));
        let put = match replaces {
            None => put.condition_expression("attribute_not_exists(pk) OR #until <= :now"),
            Some(replaced) => put
                .condition_expression("#version = :replaced AND #until > :now")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":replaced", number(replaced)),
        };
        let Err(error) = put.send().await else {
            return Ok(Written::Done(version));
        };
        match error.as_service_error() {
            // the SDK had to ask twice, and it was done the first time
            Some(PutItemError::ConditionalCheckFailedException(old)) if has_mark(old.item(), &mark) => {
                Ok(Written::Done(version))
            }
            Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(Written::Conflict),
            _ => Err(Failure::unavailable(error)),
        }
    }

    async fn touch(&self, key: &str, ttl: Duration) -> Result<Option<Record>, Failure> {
        let now = now();
        let until = expiry_after(ttl);
        let update = self.client.update_item().table_name(&self.table);
        let updated = update
            .key("pk", text(record_key(key)))
            .key("sk", text(RECORD))
            .update_expression("SET #until = :until, #expires = :expires")
            .condition_expression("attribute_exists(pk) AND #until > :now")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#expires", "expires")
            .expression_attribute_values(":until", number(until))
            .expression_attribute_values(":expires", number(expires(until)))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match updated {
            Ok(updated) => updated.attributes.map(record).transpose(),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(Failure::unavailable(error)),
            },
        }
    }

    async fn append(&self, log: &str, entries: Vec<Bytes>, ttl: Duration) -> Result<u64, Failure> {
        entries.iter().try_for_each(|value| fits(value, LIMIT))?;
        self.append_to_log(log, &entries, ttl).await
    }

    async fn follow(&self, log: &str, after: u64, patience: Patience) -> Result<Vec<Entry>, Failure> {
        self.follow_log(log, after, patience).await
    }

    /// Does nothing: to delete an entry costs as much as to write one, and DynamoDB deletes it for nothing.
    async fn trim(&self, _log: &str, _through: u64) -> Result<(), Failure> {
        Ok(())
    }

    async fn announce(&self, instance: &str, ttl: Duration) -> Result<(), Failure> {
        let item = item(ROLL.to_owned(), instance, expiry_after(ttl));
        if ttl.is_zero() {
            let delete = self.client.delete_item().table_name(&self.table);
            let deleted = delete
                .key("pk", text(ROLL))
                .key("sk", text(instance))
                .send()
                .await;
            return deleted.map(drop).map_err(Failure::unavailable);
        }
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        put.send().await.map(drop).map_err(Failure::unavailable)
    }

    async fn roll(&self) -> Result<Vec<String>, Failure> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let mut items = query
            .key_condition_expression("pk = :pk")
            .filter_expression("#until > :now")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":pk", text(ROLL))
            .expression_attribute_values(":now", number(now()))
            .into_paginator()
            .items()
            .send();
        let mut instances = Vec::new();
        while let Some(item) = items.next().await {
            instances.push(read_text(&item.map_err(Failure::unavailable)?, "sk")?.to_owned());
        }
        Ok(instances)
    }
}

/// What every item has.
fn item(pk: String, sk: &str, until: u64) -> Item {
    HashMap::from([
        ("pk".to_owned(), text(pk)),
        ("sk".to_owned(), text(sk)),
        ("until".to_owned(), number(until)),
        ("expires".to_owned(), number(expires(until))),
    ])
}

fn record(mut item: Item) -> Result<Record, Failure> {
    Ok(Record {
        version: read_number(&item, "version")?,
        value: take_bytes(&mut item, "value")?,
    })
}

fn record_key(key: &str) -> String {
    format!("record:{key}")
}

/// What no other write has.
fn mark() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<[u8; 8]>())
}

fn has_mark(item: Option<&Item>, mark: &[u8]) -> bool {
    let found = item.and_then(|item| item.get("mark")?.as_b().ok());
    found.is_some_and(|found| found.as_ref() == mark)
}

/// The time in whole milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis().try_into().unwrap_or(u64::MAX)
}

/// When what lives for `ttl` expires. The millisecond that has begun does not count.
fn expiry_after(ttl: Duration) -> u64 {
    (now() + 1).saturating_add(millis(ttl))
}

/// In milliseconds, never shorter than it is.
fn millis(time: Duration) -> u64 {
    time.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX)
}

/// The second in which DynamoDB may delete what counts as gone from this millisecond on.
fn expires(until: u64) -> u64 {
    until.div_ceil(1_000)
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn binary(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

fn read_text<'a>(item: &'a Item, name: &str) -> Result<&'a str, Failure> {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .map(String::as_str)
        .ok_or_else(|| foreign(name))
}

fn read_number(item: &Item, name: &str) -> Result<u64, Failure> {
    let number = item.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
    number.ok_or_else(|| foreign(name))
}

fn take_bytes(item: &mut Item, name: &str) -> Result<Bytes, Failure> {
    match item.remove(name) {
        Some(AttributeValue::B(bytes)) => Ok(bytes.into_inner().into()),
        _ => Err(foreign(name)),
    }
}

fn foreign(name: &str) -> Failure {
    Failure::unavailable(format!(
        "the table has an item that this program has not written: its {name:?} is wrong"
    ))
}

#[cfg(test)]
impl DynamoDb {
    /// A table of DynamoDB Local.
    pub(super) async fn on_loopback(port: u16) -> Self {
        let keys = aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .region("eu-central-1")
            .credentials_provider(keys)
            .load();
        Self::new("sessions", &config.await)
    }

    /// What Terraform does elsewhere.
    pub(super) async fn create_table(&self) {
        use aws_sdk_dynamodb::types::{
            AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
            TimeToLiveSpecification,
        };

        let table = ["pk", "sk"]
            .into_iter()
            .zip([KeyType::Hash, KeyType::Range])
            .fold(
                self.client
                    .create_table()
                    .table_name(&self.table)
                    .billing_mode(BillingMode::PayPerRequest),
                |table, (name, key)| {
                    let attribute = AttributeDefinition::builder().attribute_name(name);
                    let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
                    let element = KeySchemaElement::builder()
                        .attribute_name(name)
                        .key_type(key)
                        .build()
                        .unwrap();
                    table.attribute_definitions(attribute).key_schema(element)
                },
            );
        table.send().await.unwrap();
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name("expires")
            .enabled(true)
            .build()
            .unwrap();
        let update = self.client.update_time_to_live().table_name(&self.table);
        update.time_to_live_specification(ttl).send().await.unwrap();
    }
}
