//! Tasks in SQLite: a file that several processes can share, or this process's memory.

use std::path::Path;

use ::a2a::StreamResponse;
use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{
    Cursor, Failure, Filter, Logged, Mailbox, Page, Record, Tasks, numbered, read, state_name, write,
};
use crate::sqlite::Database;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS a2a_tasks (
    id TEXT PRIMARY KEY,
    caller TEXT NOT NULL,
    version INTEGER NOT NULL,
    context TEXT NOT NULL,
    state TEXT NOT NULL,
    stated INTEGER NOT NULL,
    due INTEGER,
    expires INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS a2a_tasks_expire ON a2a_tasks (expires);
CREATE INDEX IF NOT EXISTS a2a_tasks_of_caller ON a2a_tasks (caller, stated, id);
CREATE INDEX IF NOT EXISTS a2a_tasks_due ON a2a_tasks (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS a2a_events (
    task TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (task, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS a2a_mail (
    task TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    news INTEGER NOT NULL,
    due INTEGER,
    claimed INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS a2a_mail_due ON a2a_mail (due) WHERE due IS NOT NULL;
";

/// Tasks in SQLite. Clones share it.
#[derive(Debug, Clone)]
pub struct Sqlite(Database);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl Sqlite {
    /// Tasks in this file, which is made if there is none, with the folders that lead to it. Nobody but its owner can
    /// read it. Conversations can be in the same file.
    ///
    /// # Errors
    /// When the file cannot be opened, or is something else.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let opened = Database::open(file, SCHEMA).map_err(|error| {
            let text = format!("{} cannot be used for tasks ({error})", file.display());
            Failure::Broken(text.into())
        })?;
        Ok(Self(opened))
    }

    /// Tasks that end with this process.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self, Failure> {
        Ok(Self(Database::in_memory(SCHEMA)?))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.0.run(work, Failure::Broken).await
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn most(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Writes the record; false when another version is there.
fn put(transaction: &Connection, record: &Record, body: &str) -> Result<bool, Failure> {
    let due = record.due().map(Timestamp::as_microsecond);
    let values = params![
        record.task.id,
        record.caller,
        number(record.version),
        record.task.context_id,
        state_name(&record.task.status.state),
        record.stated().as_microsecond(),
        due,
        body,
        record.expires.as_microsecond(),
    ];
    let sql = if record.version == 1 {
        "INSERT OR IGNORE INTO a2a_tasks (id, caller, version, context, state, stated, due, body, expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    } else {
        "UPDATE a2a_tasks SET version = ?3, state = ?5, stated = ?6, due = ?7, body = ?8, expires = ?9 \
         WHERE id = ?1 AND caller = ?2 AND context = ?4 AND version = ?3 - 1"
    };
    Ok(transaction.prepare_cached(sql)?.execute(values)? == 1)
}

const WANTED: &str = "caller = ?1 AND (?2 IS NULL OR context = ?2) AND (?3 IS NULL OR state = ?3) \
                      AND (?4 IS NULL OR stated >= ?4)";

fn list(connection: &Connection, caller: &str, filter: &Filter) -> Result<Page, Failure> {
    let state = filter.state.as_ref().map(state_name);
    let after = filter.after.map(Timestamp::as_microsecond);
    let total: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM a2a_tasks WHERE {WANTED}"))?
        .query_row(params![caller, filter.context, state, after], |row| row.get(0))?;
    let (at, id) = match &filter.cursor {
        Some(cursor) => (Some(cursor.at), cursor.id.as_str()),
        None => (None, ""),
    };
    let mut query = connection.prepare_cached(&format!(
        "SELECT body FROM a2a_tasks WHERE {WANTED} AND (?5 IS NULL OR (stated, id) < (?5, ?6)) \
         ORDER BY stated DESC, id DESC LIMIT ?7"
    ))?;
    let wanted = params![
        caller,
        filter.context,
        state,
        after,
        at,
        id,
        most(filter.size.saturating_add(1))
    ];
    let bodies = query.query_map(wanted, |row| row.get::<_, String>(0))?;
    let mut records = Vec::new();
    for body in bodies {
        records.push(read::<Record>(&body?)?);
    }
    let more = records.len() > filter.size;
    records.truncate(filter.size);
    let next = records.last().filter(|_| more).map(Cursor::of);
    Ok(Page {
        records,
        next,
        total: usize::try_from(total).unwrap_or_default(),
    })
}

#[async_trait]
impl Tasks for Sqlite {
    async fn load(&self, id: &str) -> Result<Option<Record>, Failure> {
        let id = id.to_owned();
        self.run(move |connection| {
            let mut query = connection.prepare_cached("SELECT body FROM a2a_tasks WHERE id = ?")?;
            let body = query.query_row([id], |row| row.get::<_, String>(0)).optional()?;
            body.map(|body| read(&body)).transpose()
        })
        .await
    }

    async fn save(&self, record: &Record, events: &[StreamResponse]) -> Result<(), Failure> {
        let (record, events) = (record.clone(), events.to_vec());
        self.run(move |connection| {
            let body = record.body()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if !put(&transaction, &record, &body)? {
                return Err(Failure::Conflict);
            }
            for (sequence, event) in numbered(&record, &events) {
                transaction
                    .prepare_cached("INSERT INTO a2a_events (task, sequence, body) VALUES (?, ?, ?)")?
                    .execute(params![record.task.id, number(sequence), write(event)?])?;
            }
            if record.mail && !events.is_empty() {
                transaction
                    .prepare_cached("UPDATE a2a_mail SET news = ?2, due = ?3 WHERE task = ?1")?
                    .execute(params![
                        record.task.id,
                        number(record.sequence),
                        record.changed.as_microsecond()
                    ])?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    async fn log(&self, id: &str, after: u64, count: usize) -> Result<Vec<Logged>, Failure> {
        let id = id.to_owned();
        self.run(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT sequence, body FROM a2a_events WHERE task = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            )?;
            let rows = query.query_map(params![id, number(after), most(count)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            let mut found = Vec::new();
            for row in rows {
                let (sequence, body) = row?;
                found.push(Logged {
                    sequence: u64::try_from(sequence).unwrap_or_default(),
                    event: read(&body)?,
                });
            }
            Ok(found)
        })
        .await
    }

    async fn list(&self, caller: &str, filter: &Filter) -> Result<Page, Failure> {
        let (caller, filter) = (caller.to_owned(), filter.clone());
        self.run(move |connection| list(connection, &caller, &filter))
            .await
    }

    async fn stranded(&self, now: Timestamp, count: usize) -> Result<Vec<String>, Failure> {
        self.run(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id FROM a2a_tasks WHERE due IS NOT NULL AND due <= ? ORDER BY due LIMIT ?",
            )?;
            let ids = query.query_map(params![now.as_microsecond(), most(count)], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn mailbox(&self, task: &str) -> Result<Option<Mailbox>, Failure> {
        let task = task.to_owned();
        self.run(move |connection| {
            let mut query =
                connection.prepare_cached("SELECT body, news, due FROM a2a_mail WHERE task = ?")?;
            let found = query.query_row([task], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<i64>>(2)?,
                ))
            });
            let Some((body, news, due)) = found.optional()? else {
                return Ok(None);
            };
            let mut mailbox: Mailbox = read(&body)?;
            mailbox.news = u64::try_from(news).unwrap_or_default();
            mailbox.due = due.and_then(|due| Timestamp::from_microsecond(due).ok());
            Ok(Some(mailbox))
        })
        .await
    }

    async fn put_mailbox(&self, mailbox: &Mailbox) -> Result<(), Failure> {
        let mailbox = mailbox.clone();
        self.run(move |connection| {
            let values = params![
                mailbox.task,
                number(mailbox.version),
                number(mailbox.news),
                mailbox.due.map(Timestamp::as_microsecond),
                mailbox.claimed.as_microsecond(),
                write(&mailbox)?,
            ];
            let sql = if mailbox.version == 1 {
                "INSERT OR IGNORE INTO a2a_mail (task, version, news, due, claimed, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            } else {
                "UPDATE a2a_mail SET version = ?2, due = ?4, claimed = ?5, body = ?6 \
                 WHERE task = ?1 AND version = ?2 - 1 AND news = ?3"
            };
            match connection.prepare_cached(sql)?.execute(values)? {
                1 => Ok(()),
                _ => Err(Failure::Conflict),
            }
        })
        .await
    }

    async fn mail(&self, now: Timestamp, count: usize) -> Result<Vec<String>, Failure> {
        self.run(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT task FROM a2a_mail WHERE due IS NOT NULL AND due <= ?1 AND claimed <= ?1 ORDER BY due LIMIT ?2",
            )?;
            let tasks = query.query_map(params![now.as_microsecond(), most(count)], |row| row.get(0))?;
            Ok(tasks.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn forget(&self, now: Timestamp) -> Result<usize, Failure> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let gone = "SELECT id FROM a2a_tasks WHERE expires <= ?1 AND due IS NULL";
            for table in ["a2a_events", "a2a_mail"] {
                let sql = format!("DELETE FROM {table} WHERE task IN ({gone})");
                transaction.execute(&sql, [now.as_microsecond()])?;
            }
            let sql = format!("DELETE FROM a2a_tasks WHERE id IN ({gone})");
            let count = transaction.execute(&sql, [now.as_microsecond()])?;
            transaction.commit()?;
            Ok(count)
        })
        .await
    }
}
