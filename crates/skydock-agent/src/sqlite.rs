//! A database of SQLite: a file that several processes can share, or this process's memory.

use std::{
    error::Error,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Connection;

/// How long one process waits for another that is writing.
const BUSY: Duration = Duration::from_secs(5);

/// A database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// The database in this file, which is made if there is none, with the folders that lead to it. Nobody but its owner
    /// can read it. The `schema` makes what is not there yet.
    ///
    /// # Errors
    /// When the file cannot be opened, or is something else.
    pub(crate) fn open(file: &Path, schema: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // SQLite gives its other files the permissions of this one
        let mut private = std::fs::OpenOptions::new();
        private.mode(0o600).create(true).append(true).open(file)?;
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY)?;
        // readers and one writer do not wait for each other; what is written survives the end of the process
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self::on(connection, schema)?)
    }

    /// A database that ends with this process.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn in_memory(schema: &str) -> Result<Self, rusqlite::Error> {
        Self::on(Connection::open_in_memory()?, schema)
    }

    fn on(connection: Connection, schema: &str) -> Result<Self, rusqlite::Error> {
        connection.execute_batch(schema)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does something with the connection, where it is no harm to wait.
    pub(crate) async fn run<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
        broken: impl FnOnce(Box<dyn Error + Send + Sync>) -> E,
    ) -> Result<T, E> {
        let connection = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.unwrap_or_else(|error| Err(broken(error.into())))
    }
}
