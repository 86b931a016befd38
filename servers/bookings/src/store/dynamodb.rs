//! Bookings in a table of DynamoDB, for servers on many machines.
//!
//! | `pk` | `sk` | what it is |
//! |---|---|---|
//! | `user:USER` | `booking:ID` | a booking, as JSON in `body`; `name` is the order's |
//! | `order:USER` | the order's name | `booking`, the id that it has led to |
//! | `taken:KIND:CITY` | `DAY:ITEM` | `count`, how many are taken on that day |
//!
//! A booking is one transaction over the three, so that it is made whole or not at all, and no day has more than there
//! are.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, CancellationReason, Delete, Put, TransactWriteItem, Update},
};
use jiff::civil::Date;

use super::{Booking, Failure, Order, Outcome, Status, Store, days, is_same};

/// The most days that one booking can have: a transaction changes at most 100 items.
const LONGEST: u16 = 90;
/// What takes longer is tried again.
const ATTEMPT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;
/// What a caller waits at most.
const WHOLE: Duration = Duration::from_secs(6);
/// How often something is tried that others get in the way of, and the pause before the first of these.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(10);

type Item = HashMap<String, AttributeValue>;

/// Bookings in a table. Clones share the connections.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    client: Client,
    table: String,
}

fn failure(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure(cause.into())
}

impl DynamoDb {
    /// Bookings in this table, with the usual settings of AWS.
    pub async fn connect(table: &str) -> Self {
        Self::new(
            table,
            &aws_config::defaults(BehaviorVersion::latest()).load().await,
        )
    }

    /// Bookings in this table.
    #[must_use]
    pub fn new(table: &str, config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
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
        }
    }

    async fn get(&self, pk: String, sk: String) -> Result<Option<Item>, Failure> {
        let get = self.client.get_item().table_name(&self.table);
        let get = get.key("pk", text(pk)).key("sk", text(sk)).consistent_read(true);
        Ok(get.send().await.map_err(failure)?.item)
    }

    async fn booking(&self, user: &str, id: &str) -> Result<Option<(Booking, Item)>, Failure> {
        let found = self.get(user_key(user), booking_key(id)).await?;
        found.map(|item| Ok((booking(&item)?, item))).transpose()
    }

    /// The booking that an order has led to before.
    async fn before(&self, order: &Order) -> Result<Option<Outcome>, Failure> {
        let Some(found) = self.get(order_key(&order.user), name(order)).await? else {
            return Ok(None);
        };
        let id = attribute(&found, "booking")?;
        let Some((before, _)) = self.booking(&order.user, id).await? else {
            return Ok(None);
        };
        Ok(Some(if is_same(&before, &order.booking) {
            Outcome::Before(before)
        } else {
            Outcome::Otherwise(before)
        }))
    }

    /// Adds to the count of a day, or takes from it.
    fn count(
        &self,
        booking: &Booking,
        day: Date,
        by: i32,
        units: Option<u32>,
    ) -> Result<TransactWriteItem, Failure> {
        let mut update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(taken_key(&booking.kind, &booking.city)))
            .key("sk", text(format!("{day}:{}", booking.item)))
            .update_expression("ADD #count :by")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":by", AttributeValue::N(by.to_string()));
        if let Some(units) = units {
            update = update
                .condition_expression("attribute_not_exists(#count) OR #count < :units")
                .expression_attribute_values(":units", AttributeValue::N(units.to_string()));
        }
        let update = update.build().map_err(failure)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn put(&self, item: Item) -> Result<TransactWriteItem, Failure> {
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = put
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(failure)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Does all of it, or nothing; then it says why not, item by item.
    async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
    ) -> Result<Result<(), Vec<CancellationReason>>, Failure> {
        let done = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await;
        match done {
            Ok(_) => Ok(Ok(())),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    Ok(Err(cancelled.cancellation_reasons.unwrap_or_default()))
                }
                error => Err(failure(error)),
            },
            Err(error) => Err(failure(error)),
        }
    }

    async fn try_to_book(&self, order: &Order) -> Result<Option<Outcome>, Failure> {
        let Order {
            user, booking, units, ..
        } = order;
        if let Some(before) = self.before(order).await? {
            return Ok(Some(before));
        }
        let body = serde_json::to_string(booking).map_err(failure)?;
        let own: Item = HashMap::from([
            ("pk".to_owned(), text(user_key(user))),
            ("sk".to_owned(), text(booking_key(&booking.id))),
            ("body".to_owned(), text(body)),
            ("name".to_owned(), text(name(order))),
        ]);
        let named: Item = HashMap::from([
            ("pk".to_owned(), text(order_key(user))),
            ("sk".to_owned(), text(name(order))),
            ("booking".to_owned(), text(booking.id.clone())),
        ]);
        let wanted: Vec<_> = days(booking.start, booking.days).collect();
        let mut items = vec![self.put(named)?, self.put(own)?];
        for day in &wanted {
            items.push(self.count(booking, *day, 1, Some(*units))?);
        }
        let Err(reasons) = self.transact(items).await? else {
            return Ok(Some(Outcome::Booked(booking.clone())));
        };
        let mut of_days = reasons.iter().skip(2).zip(&wanted);
        let full = of_days.find(|(reason, _)| reason.code() == Some("ConditionalCheckFailed"));
        // else somebody gave the same order, or is at the same days, just now
        let named = reasons.first().and_then(CancellationReason::code) == Some("ConditionalCheckFailed");
        Ok(full.filter(|_| !named).map(|(_, day)| Outcome::Full(*day)))
    }

    /// `None` when somebody got in the way.
    async fn try_to_cancel(&self, user: &str, id: &str) -> Result<Option<Option<Booking>>, Failure> {
        let Some((booking, item)) = self.booking(user, id).await? else {
            return Ok(Some(None));
        };
        if booking.status == Status::Cancelled {
            return Ok(Some(Some(booking)));
        }
        let cancelled = Booking {
            status: Status::Cancelled,
            ..booking.clone()
        };
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(user_key(user)))
            .key("sk", text(booking_key(id)))
            .update_expression("SET #body = :cancelled")
            .condition_expression("#body = :booked")
            .expression_attribute_names("#body", "body")
            .expression_attribute_values(":booked", text(attribute(&item, "body")?))
            .expression_attribute_values(
                ":cancelled",
                text(serde_json::to_string(&cancelled).map_err(failure)?),
            )
            .build()
            .map_err(failure)?;
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        for day in days(booking.start, booking.days) {
            items.push(self.count(&booking, day, -1, None)?);
        }
        let name = attribute(&item, "name")?;
        if name.starts_with(UNNAMED) {
            // the same may be ordered anew
            let delete = Delete::builder()
                .table_name(&self.table)
                .key("pk", text(order_key(user)))
                .key("sk", text(name));
            let delete = delete.build().map_err(failure)?;
            items.push(TransactWriteItem::builder().delete(delete).build());
        }
        let done = self.transact(items).await?;
        Ok(done.ok().map(|()| Some(cancelled)))
    }

    async fn query(&self, pk: String, first: String, last: String) -> Result<Vec<Item>, Failure> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last));
        let found: Result<Vec<_>, _> = query.into_paginator().items().send().collect().await;
        found.map_err(failure)
    }
}

/// After so many tries that somebody got in the way of: not all at once again.
async fn make_way(tries: u32) {
    let most = PAUSE * 2_u32.pow(tries);
    tokio::time::sleep(most.mul_f64(rand::random_range(0.5..1.0))).await;
}

fn crowded() -> Failure {
    failure("others change the same days all the time")
}

#[async_trait]
impl Store for DynamoDb {
    async fn book(&self, order: Order) -> Result<Outcome, Failure> {
        if order.units == 0 || order.booking.days > LONGEST {
            return Ok(Outcome::Full(order.booking.start));
        }
        for tries in 0..TRIES {
            if let Some(done) = self.try_to_book(&order).await? {
                return Ok(done);
            }
            make_way(tries).await;
        }
        Err(crowded())
    }

    async fn of(&self, user: &str) -> Result<Vec<Booking>, Failure> {
        let found = self
            .query(user_key(user), "booking:".to_owned(), "booking;".to_owned())
            .await?;
        let mut bookings: Vec<_> = found.iter().map(booking).collect::<Result<_, _>>()?;
        bookings.sort_by(|one, other| {
            (one.start, one.booked_at, &one.id).cmp(&(other.start, other.booked_at, &other.id))
        });
        Ok(bookings)
    }

    async fn cancel(&self, user: &str, id: &str) -> Result<Option<Booking>, Failure> {
        for tries in 0..TRIES {
            if let Some(done) = self.try_to_cancel(user, id).await? {
                return Ok(done);
            }
            make_way(tries).await;
        }
        Err(crowded())
    }

    async fn taken(
        &self,
        kind: &'static str,
        city: &str,
        start: Date,
        length: u16,
    ) -> Result<HashMap<String, u32>, Failure> {
        let last = days(start, length).last().unwrap_or(start);
        let found = self
            .query(taken_key(kind, city), format!("{start}:"), format!("{last};"))
            .await?;
        let mut taken: HashMap<String, u32> = HashMap::new();
        for item in &found {
            let (_day, thing) = attribute(item, "sk")?.split_once(':').unwrap_or_default();
            let count = item.get("count").and_then(|count| count.as_n().ok());
            let count: u32 = count.and_then(|count| count.parse().ok()).unwrap_or_default();
            let most = taken.entry(thing.to_owned()).or_default();
            *most = count.max(*most);
        }
        Ok(taken)
    }
}

/// Begins the names of orders that their callers have not named.
const UNNAMED: &str = "same:";

/// The name of an order: its caller's, or one that the same order has.
fn name(order: &Order) -> String {
    let Booking {
        kind,
        class,
        city,
        start,
        days,
        ..
    } = &order.booking;
    match &order.key {
        Some(key) => format!("named:{key}"),
        None => format!("{UNNAMED}{kind}:{class}:{city}:{start}:{days}"),
    }
}

fn user_key(user: &str) -> String {
    format!("user:{user}")
}

fn booking_key(id: &str) -> String {
    format!("booking:{id}")
}

fn order_key(user: &str) -> String {
    format!("order:{user}")
}

fn taken_key(kind: &str, city: &str) -> String {
    format!("taken:{kind}:{city}")
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn attribute<'a>(item: &'a Item, name: &str) -> Result<&'a str, Failure> {
    let found = item.get(name).and_then(|value| value.as_s().ok());
    found
        .map(String::as_str)
        .ok_or_else(|| failure(format!("an item of the table has no {name}")))
}

fn booking(item: &Item) -> Result<Booking, Failure> {
    serde_json::from_str(attribute(item, "body")?).map_err(failure)
}
