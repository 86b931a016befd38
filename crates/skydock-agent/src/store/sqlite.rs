//! Conversations in SQLite: a file that several processes can share, or this process's memory.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Draft, Failure, Key, Listed, Store, Stored};
use crate::sqlite::Database;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS conversations (
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    version INTEGER NOT NULL,
    title TEXT NOT NULL,
    body BLOB NOT NULL,
    written INTEGER NOT NULL,
    PRIMARY KEY (user, session)
) STRICT;
CREATE INDEX IF NOT EXISTS conversations_of_user ON conversations (user, written);
";

/// Conversations in SQLite. Clones share it.
#[derive(Debug, Clone)]
pub struct Sqlite(Database);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl Sqlite {
    /// Conversations in this file, which is made if there is none, with the folders that lead to it. Nobody but its
    /// owner can read it.
    ///
    /// # Errors
    /// When the file cannot be opened, or is something else.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let opened = Database::open(file, SCHEMA).map_err(|error| {
            let text = format!("{} cannot be used for conversations ({error})", file.display());
            Failure::Broken(text.into())
        })?;
        Ok(Self(opened))
    }

    /// Conversations that end with this process.
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

#[async_trait]
impl Store for Sqlite {
    async fn load(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let Key { user, session, .. } = key.clone();
        self.run(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT version, body FROM conversations WHERE user = ? AND session = ?")?;
            let found = query.query_row(params![&*user, &*session], |row| {
                Ok(Stored {
                    version: row.get::<_, i64>(0)?.to_string(),
                    body: row.get(1)?,
                })
            });
            Ok(found.optional()?)
        })
        .await
    }

    async fn save(&self, key: &Key, draft: Draft<'_>) -> Result<String, Failure> {
        let Key { user, session, .. } = key.clone();
        let (title, body) = (draft.title.to_owned(), draft.body.to_vec());
        let replaces: Option<i64> = match draft.replaces {
            Some(version) => Some(version.parse().map_err(|_not_ours| Failure::Conflict)?),
            None => None,
        };
        self.run(move |connection| {
            let written = Timestamp::now().as_millisecond();
            // one that was forgotten and begun anew has other versions
            let first = i64::from(rand::random::<u32>());
            let changed = match replaces {
                Some(version) => connection
                    .prepare_cached(
                        "UPDATE conversations SET version = version + 1, title = ?3, body = ?4, written = ?5 \
                     WHERE user = ?1 AND session = ?2 AND version = ?6",
                    )?
                    .execute(params![&*user, &*session, title, body, written, version])?,
                None => connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO conversations (user, session, version, title, body, written) \
                     VALUES (?1, ?2, ?6, ?3, ?4, ?5)",
                    )?
                    .execute(params![&*user, &*session, title, body, written, first])?,
            };
            if changed == 0 {
                return Err(Failure::Conflict);
            }
            Ok(replaces
                .map_or(first, |version| version.saturating_add(1))
                .to_string())
        })
        .await
    }

    async fn list(&self, user: &str, most: usize) -> Result<Vec<Listed>, Failure> {
        let user = user.to_owned();
        self.run(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT session, title, written FROM conversations WHERE user = ? ORDER BY written DESC LIMIT ?",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let found = query.query_map(params![user, most], |row| {
                Ok(Listed {
                    session: row.get(0)?,
                    title: row.get(1)?,
                    written: Timestamp::from_millisecond(row.get(2)?).unwrap_or(Timestamp::UNIX_EPOCH),
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        let Key { user, session, .. } = key.clone();
        self.run(move |connection| {
            connection.execute(
                "DELETE FROM conversations WHERE user = ? AND session = ?",
                params![&*user, &*session],
            )?;
            Ok(())
        })
        .await
    }
}
