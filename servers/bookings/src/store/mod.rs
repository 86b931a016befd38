//! What is booked, and by whom. A store is where two callers who want the last car meet.

mod dynamodb;
mod sqlite;

use std::{collections::HashMap, fmt::Debug};

use async_trait::async_trait;
use jiff::{Timestamp, civil::Date};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{dynamodb::DynamoDb, sqlite::Sqlite};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the bookings cannot be reached")]
pub struct Failure(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// Whether a booking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It stands.
    Booked,
    /// It was cancelled, and what was booked is free again.
    Cancelled,
}

/// A booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Booking {
    /// Its id; cancel-booking takes it.
    pub id: String,
    /// `car` or `hotel`.
    pub kind: String,
    /// The model of a car, the name of a hotel.
    pub item: String,
    /// Its class.
    pub class: String,
    /// Where.
    pub city: String,
    /// The first day.
    #[schemars(with = "String", extend("format" = "date"))]
    pub start: Date,
    /// Days of a rental, nights of a stay.
    pub days: u16,
    /// What the trip is for.
    pub purpose: String,
    /// In US cents.
    pub total_cents: u32,
    /// Whether it stands.
    pub status: Status,
    /// When it was booked.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub booked_at: Timestamp,
}

/// What somebody wants to book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whose it will be.
    pub user: String,
    /// What it is to be, with an id of its own.
    pub booking: Booking,
    /// The caller's name for this order: a second one with this name books nothing. Without one, an order that is just
    /// like a booking of the user that stands is the same.
    pub key: Option<String>,
    /// How many there are of what is wanted.
    pub units: u32,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is booked.
    Booked(Booking),
    /// It was before, and was not booked again.
    Before(Booking),
    /// The caller has used its name for another order.
    Otherwise(Booking),
    /// Nothing is left on this day.
    Full(Date),
}

/// Where bookings are kept. What a user has, nobody else sees.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Books, unless all units are taken on one of the days.
    ///
    /// # Errors
    /// When the store cannot be reached; then it is not known whether anything was booked, and the same order can be given
    /// again.
    async fn book(&self, order: Order) -> Result<Outcome, Failure>;

    /// All bookings of a user, the earliest trip first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn of(&self, user: &str) -> Result<Vec<Booking>, Failure>;

    /// Cancels a booking of a user; it may have been before. `None` when the user has no such booking.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn cancel(&self, user: &str, id: &str) -> Result<Option<Booking>, Failure>;

    /// How many of each item are taken in a city, on the fullest of these days.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn taken(
        &self,
        kind: &'static str,
        city: &str,
        start: Date,
        days: u16,
    ) -> Result<HashMap<String, u32>, Failure>;
}

/// These days, one after the other.
pub(crate) fn days(start: Date, days: u16) -> impl Iterator<Item = Date> {
    start.series(jiff::Span::new().days(1)).take(usize::from(days))
}

/// Whether an order would lead to the same as `before`, whichever car or room it would be this time.
fn is_same(before: &Booking, wanted: &Booking) -> bool {
    let of = |booking: &Booking| {
        let Booking {
            kind,
            class,
            city,
            start,
            days,
            ..
        } = booking.clone();
        (kind, class, city, start, days)
    };
    of(before) == of(wanted)
}
