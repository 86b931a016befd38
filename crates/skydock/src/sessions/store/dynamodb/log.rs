//! Logs in DynamoDB: how entries get numbers that only grow, and are never seen out of order.
//!
//! An entry is put under the number after the last one, on the condition that nothing is there yet. So of two writers
//! one is told to try the next number, and nobody can see an entry whose predecessor is not there. One append is one
//! `PutItem`; one of many entries is one `TransactWriteItems`, which costs twice as much, but lets no other writer in
//! between (up to [`BATCH`] entries and [`BATCH_BYTES`]; what is more is written one batch after the other).
//!
//! That needs a last entry which will still be there when the next one is put. An entry lives at least as long as the
//! one before it, and one that has not expired is not deleted. So:
//!
//! - if the last entry lives for [`SAFE`] more, the next one is just put;
//! - if there is none, or it has expired, the log begins anew with the time in milliseconds for a number, which is
//!   higher than any before, for nobody appends more than one entry a millisecond for long;
//! - whoever begins a log anew, or goes on with one that is about to expire, also changes `first` in the item before
//!   all entries, on the condition that it is as it was before the last entry was looked for. So no two do it at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as Lock, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{Put, ReturnValuesOnConditionCheckFailure::AllOld, TransactWriteItem, Update},
};
use bytes::Bytes;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    DynamoDb, Item, SKEW, WHOLE, binary, expires, expiry_after, has_mark, item, mark, millis, now, number,
    read_number, read_text, take_bytes, text,
};
use crate::sessions::store::{Entry, Failure, Patience, looks::Looks};

/// A transaction has 100 actions, and one is for `first`.
const BATCH: usize = 99;
/// A transaction has 4 MB; some of them are for keys.
const BATCH_BYTES: usize = 3 << 20;
/// A put may take [`WHOLE`], another one's clock may be ahead by [`SKEW`], and DynamoDB may take its time.
const SAFE: Duration = WHOLE.saturating_add(SKEW).saturating_add(Duration::from_secs(5));
/// How many logs are remembered.
const TAILS: usize = 4_096;
/// Before the next try, when another writer was faster: up to this long, so that two do not meet again.
const PAUSE_MILLIS: u64 = 20;
/// The `sk` of the item before all entries.
const FIRST: u64 = 0;

/// The last entries of logs to which this instance has appended, so that it need not look for them. The lock lets the
/// instance's own appends to a log follow one another.
#[derive(Default)]
pub(super) struct Tails(Lock<HashMap<String, Arc<Mutex<Tail>>>>);

impl Tails {
    fn of(&self, log: &str) -> Arc<Mutex<Tail>> {
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tails.len() >= TAILS && !tails.contains_key(log) {
            tails.retain(|_, tail| Arc::strong_count(tail) > 1);
        }
        Arc::clone(tails.entry(log.to_owned()).or_default())
    }
}

/// The last entry as it is known; all zero when nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tail {
    number: u64,
    /// When it expires.
    until: u64,
}

impl Tail {
    fn is_safe(self, now: u64) -> bool {
        self.until > now + millis(SAFE)
    }
}

/// Where the next entry goes.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    number: u64,
    /// The entry before it expires then, or has.
    until: u64,
    /// What `first` must still be and becomes `number`; when that is to be done.
    turn: Option<Option<u64>>,
}

impl Next {
    fn after(last: Tail) -> Self {
        Self {
            number: last.number + 1,
            until: last.until,
            turn: None,
        }
    }

    /// `known` is what this instance has seen at some time.
    fn in_turn(known: Tail, first: Option<u64>, last: Tail, now: u64) -> Self {
        let turn = Some(first);
        if last.until > now {
            return Self {
                turn,
                ..Self::after(last)
            };
        }
        let highest = known.number.max(last.number).max(first.unwrap_or(0));
        Self {
            number: now.max(highest + 1),
            until: 0,
            turn,
        }
    }
}

/// Entries that are put together.
struct Batch<'a> {
    log: &'a str,
    values: &'a [Bytes],
    ttl: Duration,
    mark: Bytes,
}

impl Batch<'_> {
    /// The last entry, when the batch is put at `next`.
    fn last(&self, next: &Next) -> Tail {
        let count = u64::try_from(self.values.len()).unwrap_or(u64::MAX);
        Tail {
            number: next.number + count - 1,
            until: next.until.max(expiry_after(self.ttl)),
        }
    }

    fn items(&self, next: &Next, until: u64) -> impl Iterator<Item = Item> {
        (next.number..).zip(self.values).map(move |(place, value)| {
            let mut item = item(log_key(self.log), &entry_key(place), until);
            item.insert("value".to_owned(), binary(value.clone()));
            item.insert("mark".to_owned(), binary(self.mark.clone()));
            if place > next.number {
                item.insert("batch".to_owned(), number(next.number));
            }
            item
        })
    }
}

impl DynamoDb {
    pub(super) async fn append_to_log(
        &self,
        log: &str,
        values: &[Bytes],
        ttl: Duration,
    ) -> Result<u64, Failure> {
        let deadline = Instant::now() + WHOLE;
        let tail = self.tails.of(log);
        let mut tail = timeout_at(deadline, tail.lock())
            .await
            .map_err(Failure::unavailable)?;
        for values in batches(values) {
            let batch = Batch {
                log,
                values,
                ttl,
                mark: mark(),
            };
            self.append_batch(&batch, &mut tail, deadline).await?;
        }
        Ok(tail.number)
    }

    async fn append_batch(
        &self,
        batch: &Batch<'_>,
        tail: &mut Tail,
        deadline: Instant,
    ) -> Result<(), Failure> {
        loop {
            let next = self.next(batch.log, *tail).await?;
            let last = batch.last(&next);
            let done = match (batch.values, next.turn) {
                ([_], None) => self.put_entry(batch, &next, last.until).await?,
                _ => self.put_batch(batch, &next, last.until).await?,
            };
            if done {
                *tail = last;
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::unavailable(
                    "other writers to the log were always faster",
                ));
            }
            // its number still counts, but it is no longer the last one
            tail.until = 0;
            sleep(Duration::from_millis(rand::random_range(0..PAUSE_MILLIS))).await;
        }
    }

    async fn next(&self, log: &str, known: Tail) -> Result<Next, Failure> {
        let is_safe = |tail: &Tail| tail.is_safe(now());
        if is_safe(&known) {
            return Ok(Next::after(known));
        }
        if let Some(last) = self.last(log).await?.filter(is_safe) {
            return Ok(Next::after(last));
        }
        // in this order: whoever goes on after `first` was read is noticed when it is changed
        let first = self.get(log_key(log), &entry_key(FIRST)).await?;
        let first = first.map(|item| read_number(&item, "first")).transpose()?;
        let last = self.last(log).await?.unwrap_or_default();
        let now = now();
        Ok(if last.is_safe(now) {
            Next::after(last)
        } else {
            Next::in_turn(known, first, last, now)
        })
    }

    /// The last entry, whether or not it has expired; without a query for what is before all entries.
    async fn last(&self, log: &str) -> Result<Option<Tail>, Failure> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let found = query
            .key_condition_expression("pk = :pk AND sk > :first")
            .projection_expression("sk, #until")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":pk", text(log_key(log)))
            .expression_attribute_values(":first", text(entry_key(FIRST)))
            .scan_index_forward(false)
            .limit(1)
            .send()
            .await
            .map_err(Failure::unavailable)?;
        let tail = |item: &Item| {
            Ok(Tail {
                number: entry_number(item)?,
                until: read_number(item, "until")?,
            })
        };
        found.items().first().map(tail).transpose()
    }

    /// Puts one entry, unless another one is there.
    async fn put_entry(&self, batch: &Batch<'_>, next: &Next, until: u64) -> Result<bool, Failure> {
        let put = self.client.put_item().table_name(&self.table);
        let put = put
            .set_item(batch.items(next, until).next())
            .condition_expression("attribute_not_exists(pk)");
        let Err(error) = put.return_values_on_condition_check_failure(AllOld).send().await else {
            return Ok(true);
        };
        match error.as_service_error() {
            // if it is the same one, the SDK had to ask twice, and it was done the first time
            Some(PutItemError::ConditionalCheckFailedException(old)) => Ok(has_mark(old.item(), &batch.mark)),
            Some(PutItemError::TransactionConflictException(_)) => Ok(false),
            _ => Err(Failure::unavailable(error)),
        }
    }

    /// Puts all entries and takes the turn, unless another one is there or has taken it. The SDK gives the request a
    /// token, so that it is not done twice.
    async fn put_batch(&self, batch: &Batch<'_>, next: &Next, until: u64) -> Result<bool, Failure> {
        let mut actions = Vec::with_capacity(batch.values.len() + 1);
        for item in batch.items(next, until) {
            let put = Put::builder().table_name(&self.table).set_item(Some(item));
            let put = put.condition_expression("attribute_not_exists(pk)").build();
            let put = put.map_err(Failure::unavailable)?;
            actions.push(TransactWriteItem::builder().put(put).build());
        }
        if let Some(first) = next.turn {
            let update = self.turn(batch.log, next.number, first, until)?;
            actions.push(TransactWriteItem::builder().update(update).build());
        }
        let transaction = self
            .client
            .transact_write_items()
            .set_transact_items(Some(actions));
        let Err(error) = transaction.send().await else {
            return Ok(true);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let reasons = canceled
                    .cancellation_reasons()
                    .iter()
                    .filter_map(|reason| reason.code());
                let mut faults = reasons.filter(|code| *code != "None");
                if faults.all(|code| ["ConditionalCheckFailed", "TransactionConflict"].contains(&code)) {
                    Ok(false)
                } else {
                    Err(Failure::unavailable(error))
                }
            }
            _ => Err(Failure::unavailable(error)),
        }
    }

    fn turn(&self, log: &str, number_: u64, first: Option<u64>, until: u64) -> Result<Update, Failure> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(log_key(log)))
            .key("sk", text(entry_key(FIRST)))
            .update_expression("SET #first = :number, #until = :until, #expires = :expires")
            .expression_attribute_names("#first", "first")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#expires", "expires")
            .expression_attribute_values(":number", number(number_))
            .expression_attribute_values(":until", number(until))
            .expression_attribute_values(":expires", number(expires(until)));
        let update = match first {
            None => update.condition_expression("attribute_not_exists(pk)"),
            Some(first) => update
                .condition_expression("#first = :first")
                .expression_attribute_values(":first", number(first)),
        };
        update.build().map_err(Failure::unavailable)
    }

    pub(super) async fn follow_log(
        &self,
        log: &str,
        after: u64,
        patience: Patience,
    ) -> Result<Vec<Entry>, Failure> {
        let looks = Looks::new(patience);
        loop {
            let entries = self.page(log, after).await?;
            let next = looks.next();
            match next.filter(|_| entries.is_empty()) {
                Some(next) => sleep_until(next).await,
                None => return Ok(entries),
            }
        }
    }

    /// The entries after number `after`, up to 1 MB, or more where one entry is larger than that.
    async fn page(&self, log: &str, after: u64) -> Result<Vec<Entry>, Failure> {
        let mut start = None;
        loop {
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let page = query
                .key_condition_expression("pk = :pk AND sk > :after")
                .filter_expression("#until > :now")
                .expression_attribute_names("#until", "until")
                .expression_attribute_values(":pk", text(log_key(log)))
                .expression_attribute_values(":after", text(entry_key(after)))
                .expression_attribute_values(":now", number(now()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(Failure::unavailable)?;
            start = page.last_evaluated_key;
            let items = page.items.unwrap_or_default();
            if !items.is_empty() || start.is_none() {
                return connected(items, after);
            }
        }
    }
}

/// The entries up to where one is missing. For a moment a query may see a later entry of a transaction and not yet an
/// earlier one: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>
fn connected(items: Vec<Item>, after: u64) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::with_capacity(items.len());
    let mut before = after;
    for mut item in items {
        let number = entry_number(&item)?;
        if item.contains_key("batch") && number != before + 1 {
            break;
        }
        before = number;
        let value = take_bytes(&mut item, "value")?;
        entries.push(Entry { number, value });
    }
    Ok(entries)
}

/// Cut so that each fits into a transaction.
fn batches(values: &[Bytes]) -> impl Iterator<Item = &[Bytes]> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH).take_while(|value| {
            bytes += value.len();
            bytes <= BATCH_BYTES
        });
        let (batch, more) = rest
            .split_at_checked(fits.count())
            .filter(|(batch, _)| !batch.is_empty())?;
        rest = more;
        Some(batch)
    })
}

fn log_key(log: &str) -> String {
    format!("log:{log}")
}

fn entry_key(number: u64) -> String {
    format!("{number:020}")
}

fn entry_number(item: &Item) -> Result<u64, Failure> {
    let key = read_text(item, "sk")?;
    key.parse().map_err(Failure::unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;
    const EXPIRED: u64 = NOW;
    const ENDING: u64 = NOW + 1;

    fn tail(number: u64, until: u64) -> Tail {
        Tail { number, until }
    }

    #[test]
    fn a_log_begins_with_the_time() {
        let next = Next::in_turn(Tail::default(), None, Tail::default(), NOW);
        assert_eq!((next.number, next.turn), (NOW, Some(None)));
    }

    #[test]
    fn a_log_that_is_about_to_expire_goes_on_in_turn() {
        let next = Next::in_turn(tail(5, 0), Some(3), tail(7, ENDING), NOW);
        assert_eq!((next.number, next.until, next.turn), (8, ENDING, Some(Some(3))));
    }

    #[test]
    fn a_log_that_begins_anew_has_higher_numbers_even_if_the_clock_was_set_back() {
        let high = NOW + 50;
        for (known, first, last) in [
            (tail(high, EXPIRED), None, Tail::default()),
            (Tail::default(), Some(high), Tail::default()),
            (Tail::default(), None, tail(high, EXPIRED)),
        ] {
            let next = Next::in_turn(known, first, last, NOW);
            assert_eq!((next.number, next.turn), (high + 1, Some(first)));
        }
    }

    #[test]
    fn a_last_entry_is_safe_when_a_slow_put_would_still_find_it() {
        assert!(!tail(1, NOW + millis(SAFE)).is_safe(NOW));
        assert!(tail(1, NOW + millis(SAFE) + 1).is_safe(NOW));
    }

    #[test]
    fn an_entry_lives_at_least_as_long_as_the_one_before() {
        let batch = Batch {
            log: "x",
            values: &[Bytes::new(), Bytes::new()],
            ttl: Duration::from_secs(1),
            mark: mark(),
        };
        let long = now() + 60_000;
        assert_eq!(batch.last(&Next::after(tail(7, long))), tail(9, long));
        let own = batch.last(&Next::after(tail(7, 1))).until;
        assert!((1_000..=1_500).contains(&(own - (long - 60_000))), "{own} {long}");
    }

    #[test]
    fn batches_fit_into_a_transaction() {
        let sizes = |values: &[Bytes]| batches(values).map(<[Bytes]>::len).collect::<Vec<_>>();
        let small = Bytes::from_static(b"x");
        let large = Bytes::from(vec![0; super::super::LIMIT]);
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![small; 200]), [99, 99, 2]);
        assert_eq!(sizes(&vec![large; 16]), [7, 7, 2]);
    }

    #[test]
    fn an_entry_is_not_shown_before_one_that_came_with_it() {
        let shown = |numbers: &[(u64, Option<u64>)], after| {
            let items = numbers.iter().map(|(place, batch)| {
                let mut item = item(log_key("x"), &entry_key(*place), NOW);
                item.insert("value".to_owned(), binary(vec![]));
                item.extend(batch.map(|batch| ("batch".to_owned(), number(batch))));
                item
            });
            let entries = connected(items.collect(), after).unwrap();
            entries.iter().map(|entry| entry.number).collect::<Vec<_>>()
        };
        // 5, 6 and 7 came together, 8 by itself
        assert_eq!(
            shown(&[(5, None), (6, Some(5)), (7, Some(5)), (8, None)], 0),
            [5, 6, 7, 8]
        );
        assert_eq!(shown(&[(7, Some(5)), (8, None)], 6), [7, 8]);
        assert_eq!(shown(&[(4, None), (5, None), (7, Some(5)), (8, None)], 0), [4, 5]);
        assert_eq!(shown(&[(6, Some(5)), (7, Some(5)), (8, None)], 4), [0; 0]);
    }
}
