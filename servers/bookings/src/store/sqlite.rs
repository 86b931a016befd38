//! Bookings in SQLite: a file that several processes can share, or this process's memory.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{Booking, Failure, Order, Outcome, Status, Store, days, is_same};

/// How long one process waits for another that is writing.
const BUSY: Duration = Duration::from_secs(5);
/// A day that a booking takes is a row, so that two who want the last car meet in one place.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS bookings (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    key TEXT,
    kind TEXT NOT NULL,
    item TEXT NOT NULL,
    class TEXT NOT NULL,
    city TEXT NOT NULL,
    start TEXT NOT NULL,
    days INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    total_cents INTEGER NOT NULL,
    status TEXT NOT NULL,
    booked_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS bookings_of_key ON bookings (user, key);
CREATE INDEX IF NOT EXISTS bookings_of_user ON bookings (user, start);
CREATE TABLE IF NOT EXISTS taken (
    kind TEXT NOT NULL,
    city TEXT NOT NULL,
    item TEXT NOT NULL,
    day TEXT NOT NULL,
    booking TEXT NOT NULL REFERENCES bookings (id),
    PRIMARY KEY (kind, city, item, day, booking)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS taken_by ON taken (booking);
";
const COLUMNS: &str = "id, kind, item, class, city, start, days, purpose, total_cents, status, booked_at";

/// Bookings in SQLite. Clones share it.
#[derive(Debug, Clone)]
pub struct Sqlite(Arc<Mutex<Connection>>);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.into())
    }
}

impl Sqlite {
    /// Bookings in this file, which is made if there is none, with the folders that lead to it.
    ///
    /// # Errors
    /// When the file cannot be opened, or is something else.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        Self::at(file).map_err(|Failure(cause)| {
            let text = format!("{} cannot be used for bookings ({cause})", file.display());
            Failure(text.into())
        })
    }

    fn at(file: &Path) -> Result<Self, Failure> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure(error.into()))?;
        }
        let connection = Connection::open(file)?;
        // readers and one writer do not wait for each other; what is booked survives a loss of power
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Self::on(connection)
    }

    /// Bookings that end with this process.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self, Failure> {
        Self::on(Connection::open_in_memory()?)
    }

    fn on(connection: Connection) -> Result<Self, Failure> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does something in one transaction, which is undone when it fails.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let connection = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // whoever is to write takes the turn before it reads, so nobody writes on what is outdated
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.await.map_err(|error| Failure(error.into()))?
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn book(&self, order: Order) -> Result<Outcome, Failure> {
        self.run(move |transaction| book(transaction, &order)).await
    }

    async fn of(&self, user: &str) -> Result<Vec<Booking>, Failure> {
        let user = user.to_owned();
        self.run(move |transaction| {
            let query =
                format!("SELECT {COLUMNS} FROM bookings WHERE user = ? ORDER BY start, booked_at, id");
            let mut query = transaction.prepare_cached(&query)?;
            let found = query.query_map([user], read)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn cancel(&self, user: &str, id: &str) -> Result<Option<Booking>, Failure> {
        let (user, id) = (user.to_owned(), id.to_owned());
        self.run(move |transaction| {
            let cancelled = Status::Cancelled.name();
            transaction.execute(
                "UPDATE bookings SET status = ? WHERE user = ? AND id = ?",
                params![cancelled, user, id],
            )?;
            let found = one(transaction, "user = ? AND id = ?", &[&user, &id])?;
            if found.is_some() {
                transaction.execute("DELETE FROM taken WHERE booking = ?", [id])?;
            }
            Ok(found)
        })
        .await
    }

    async fn taken(
        &self,
        kind: &'static str,
        city: &str,
        start: Date,
        length: u16,
    ) -> Result<HashMap<String, u32>, Failure> {
        let city = city.to_owned();
        self.run(move |transaction| {
            let mut taken: HashMap<String, u32> = HashMap::new();
            let mut query = transaction.prepare_cached(
                "SELECT item, count(*) FROM taken WHERE kind = ? AND city = ? AND day = ? GROUP BY item",
            )?;
            for day in days(start, length) {
                let found = query.query_map(params![kind, city, day.to_string()], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
                })?;
                for found in found {
                    let (item, count) = found?;
                    let most = taken.entry(item).or_default();
                    *most = count.max(*most);
                }
            }
            Ok(taken)
        })
        .await
    }
}

fn book(transaction: &Transaction<'_>, order: &Order) -> Result<Outcome, Failure> {
    let Order {
        user,
        booking,
        key,
        units,
    } = order;
    if let Some(before) = before(transaction, order)? {
        let same = is_same(&before, booking);
        return Ok(if same {
            Outcome::Before(before)
        } else {
            Outcome::Otherwise(before)
        });
    }
    let mut count = transaction
        .prepare_cached("SELECT count(*) FROM taken WHERE kind = ? AND city = ? AND item = ? AND day = ?")?;
    for day in days(booking.start, booking.days) {
        let place = params![booking.kind, booking.city, booking.item, day.to_string()];
        if count.query_row(place, |row| row.get::<_, u32>(0))? >= *units {
            return Ok(Outcome::Full(day));
        }
    }
    transaction.execute(
        "INSERT INTO bookings (id, user, key, kind, item, class, city, start, days, purpose, total_cents, status, \
         booked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            booking.id,
            user,
            key,
            booking.kind,
            booking.item,
            booking.class,
            booking.city,
            booking.start.to_string(),
            booking.days,
            booking.purpose,
            booking.total_cents,
            booking.status.name(),
            booking.booked_at.to_string(),
        ],
    )?;
    let mut take = transaction
        .prepare_cached("INSERT INTO taken (kind, city, item, day, booking) VALUES (?, ?, ?, ?, ?)")?;
    for day in days(booking.start, booking.days) {
        let day = day.to_string();
        take.execute(params![booking.kind, booking.city, booking.item, day, booking.id])?;
    }
    Ok(Outcome::Booked(booking.clone()))
}

/// The booking that an order has led to before.
fn before(transaction: &Transaction<'_>, order: &Order) -> Result<Option<Booking>, Failure> {
    let Order {
        user, booking, key, ..
    } = order;
    if let Some(key) = key {
        return one(transaction, "user = ? AND key = ?", &[user, key]);
    }
    let same = "user = ? AND status = ? AND kind = ? AND class = ? AND city = ? AND start = ? AND days = ? AND key IS NULL";
    let (start, length) = (booking.start.to_string(), booking.days);
    one(
        transaction,
        same,
        &[
            user,
            &Status::Booked.name(),
            &booking.kind,
            &booking.class,
            &booking.city,
            &start,
            &length,
        ],
    )
}

fn one(
    transaction: &Transaction<'_>,
    which: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Option<Booking>, Failure> {
    let query = format!("SELECT {COLUMNS} FROM bookings WHERE {which}");
    let mut query = transaction.prepare_cached(&query)?;
    Ok(query.query_row(values, read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Booking> {
    fn parse<T: std::str::FromStr>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text: String = row.get(column)?;
        text.parse().map_err(|error: T::Err| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
        })
    }
    let status: String = row.get("status")?;
    Ok(Booking {
        id: row.get("id")?,
        kind: row.get("kind")?,
        item: row.get("item")?,
        class: row.get("class")?,
        city: row.get("city")?,
        start: parse(row, "start")?,
        days: row.get("days")?,
        purpose: row.get("purpose")?,
        total_cents: row.get("total_cents")?,
        status: if status == Status::Cancelled.name() {
            Status::Cancelled
        } else {
            Status::Booked
        },
        booked_at: parse(row, "booked_at")?,
    })
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Cancelled => "cancelled",
        }
    }
}
