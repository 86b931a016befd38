//! The journal of changes: what was about to be done is on disk before it is done, so that a killed server's change can
//! be finished or undone by the next.

mod entry;
mod line;
mod paper;
mod story;

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::task::spawn_blocking;

use self::paper::{Memory, Paper};
pub(super) use self::{
    entry::Entry,
    line::{Event, Header},
    story::{Sent, Story, Trial},
};
use super::Report;

/// How long entries of changes that have ended are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The file in the directory that is locked while entries are looked through or begun.
const DOOR: &str = ".lock";

/// Why something could not be written down, or read again.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal {place} cannot be {done}; see that it is a directory which this server may write to, with free space"
)]
pub struct Fault {
    place: String,
    done: &'static str,
    #[source]
    cause: std::io::Error,
}

impl Fault {
    fn new(place: impl Into<String>, done: &'static str, cause: impl Into<std::io::Error>) -> Self {
        let (place, cause) = (place.into(), cause.into());
        Self { place, done, cause }
    }
}

/// Where changes are written down. Clones share it, and so do servers that are given the same directory.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Whoever has this is alone in this process with the list of entries.
    door: Mutex<()>,
}

#[derive(Debug)]
enum Store {
    Directory(PathBuf),
    Memory(Memory),
}

/// What is in the way of a change, or makes it needless.
#[derive(Debug)]
pub(super) enum Known {
    /// It was made already, under the same client's token.
    Recorded(Box<Report>),
    /// Somebody is at it.
    Running { id: String },
    /// Somebody was at it, and left.
    Left { id: String },
    /// The client's token was used for something else.
    TokenTaken,
}

/// A change that nobody is at any more.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) entry: Entry,
    pub(super) header: Box<Header>,
    pub(super) story: Story,
    /// True if lines before the last cannot be read, so that the story may lack something.
    pub(super) damaged: bool,
}

impl Journal {
    /// The journal in a directory, which is made if it does not exist. An entry goes 30 days after its change has ended.
    ///
    /// # Errors
    /// [`Fault`] if the directory cannot be made or written to.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Fault> {
        let directory = directory.into();
        let named = || directory.display().to_string();
        paper::make(&directory).map_err(|cause| Fault::new(named(), "made", cause))?;
        let journal = Self::on(Store::Directory(directory));
        // whoever can make the lock can make entries
        journal.door().map(drop)?;
        Ok(journal)
    }

    /// A journal that ends with this process: what a killed server was at is not known afterwards.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_memory_of(usize::MAX)
    }

    /// The same with room for so many bytes of each entry. What is more is refused, as a full disk does.
    #[must_use]
    pub fn in_memory_of(room: usize) -> Self {
        Self::on(Store::Memory(Memory::new(room)))
    }

    fn on(store: Store) -> Self {
        Self(Arc::new(Shared {
            store,
            door: Mutex::default(),
        }))
    }

    /// What is known of a change that the client has given a token to.
    pub(super) async fn find(&self, token: &str, arguments: &str) -> Result<Option<Known>, Fault> {
        let (journal, token, arguments) = (self.clone(), token.to_owned(), arguments.to_owned());
        apart(move || {
            let _door = journal.door()?;
            journal.find_now(&token, &arguments)
        })
        .await
    }

    /// The change of this function that has not ended, if there is one.
    pub(super) async fn open_for(&self, function_arn: &str) -> Result<Option<Known>, Fault> {
        let (journal, function_arn) = (self.clone(), function_arn.to_owned());
        apart(move || {
            let _door = journal.door()?;
            journal.open_now(&function_arn)
        })
        .await
    }

    /// Begins an entry, unless something is in the way. On return it is on disk.
    pub(super) async fn begin(&self, header: Header) -> Result<Result<Entry, Known>, Fault> {
        let journal = self.clone();
        apart(move || {
            let _door = journal.door()?;
            journal.prune()?;
            if let Some(token) = &header.client_token
                && let Some(known) = journal.find_now(token, &header.arguments)?
            {
                return Ok(Err(known));
            }
            for id in journal.ids()? {
                let Some(seen) = journal.look(&id)? else { continue };
                let same = seen.header.plan.function_arn == header.plan.function_arn;
                if same && seen.report.is_none() {
                    return Ok(Err(seen.in_the_way(id)));
                }
            }
            let paper = journal.create(&header.id)?;
            let mut entry = Entry::new(header.id.clone(), paper, 0);
            entry.write_now(&Event::Begun(Box::new(header)))?;
            journal.sync()?;
            Ok(Ok(entry))
        })
        .await
    }

    /// Takes over every change that was begun, has not ended, and has nobody at it.
    pub(super) async fn claim(&self) -> Result<Vec<Claimed>, Fault> {
        let journal = self.clone();
        apart(move || {
            let _door = journal.door()?;
            let mut claimed = Vec::new();
            for id in journal.ids()? {
                let Some(paper) = journal.hold(&id)? else { continue };
                let text = paper
                    .read()
                    .map_err(|cause| Fault::new(journal.place(&id), "read", cause))?;
                let read = line::read(&text);
                let Some(header) = read.header else {
                    // not even its first line was written, so nothing was done
                    if read.good == 0 && !read.damaged {
                        journal.remove(&id)?;
                    }
                    continue;
                };
                if read.report.is_some() {
                    continue;
                }
                claimed.push(Claimed {
                    entry: Entry::new(id, paper, read.good),
                    header,
                    story: read.story,
                    damaged: read.damaged,
                });
            }
            Ok(claimed)
        })
        .await
    }

    fn find_now(&self, token: &str, arguments: &str) -> Result<Option<Known>, Fault> {
        for id in self.ids()? {
            let Some(seen) = self.look(&id)? else { continue };
            if seen.header.client_token.as_deref() != Some(token) {
                continue;
            }
            return Ok(Some(if seen.header.arguments == arguments {
                seen.in_the_way(id)
            } else {
                Known::TokenTaken
            }));
        }
        Ok(None)
    }

    fn open_now(&self, function_arn: &str) -> Result<Option<Known>, Fault> {
        for id in self.ids()? {
            let Some(seen) = self.look(&id)? else { continue };
            if seen.report.is_none() && seen.header.plan.function_arn == function_arn {
                return Ok(Some(seen.in_the_way(id)));
            }
        }
        Ok(None)
    }

    fn prune(&self) -> Result<(), Fault> {
        let now = Timestamp::now();
        for id in self.ids()? {
            let Some(seen) = self.look(&id)? else { continue };
            let old = now.duration_since(seen.last) > KEPT;
            if seen.report.is_some() && old {
                self.remove(&id)?;
            }
        }
        Ok(())
    }

    /// One entry as it is; none if its first line cannot be read.
    fn look(&self, id: &str) -> Result<Option<Seen>, Fault> {
        let fault = |cause| Fault::new(self.place(id), "read", cause);
        let (text, held) = match &self.0.store {
            Store::Directory(directory) => paper::look(&directory.join(id)).map_err(fault)?,
            Store::Memory(memory) => memory.look(id),
        };
        let read = line::read(&text);
        Ok(read.header.map(|header| Seen {
            header,
            report: read.report,
            last: read.last,
            held,
        }))
    }

    /// Whoever has this is alone with the list of entries, among all servers.
    fn door(&self) -> Result<(MutexGuard<'_, ()>, Option<File>), Fault> {
        let here = self.0.door.lock().unwrap_or_else(PoisonError::into_inner);
        let everywhere = match &self.0.store {
            Store::Directory(directory) => Some(
                paper::lock(&directory.join(DOOR))
                    .map_err(|cause| Fault::new(directory.display().to_string(), "written", cause))?,
            ),
            Store::Memory(_) => None,
        };
        Ok((here, everywhere))
    }

    fn ids(&self) -> Result<Vec<String>, Fault> {
        match &self.0.store {
            Store::Directory(directory) => paper::ids(directory)
                .map_err(|cause| Fault::new(directory.display().to_string(), "read", cause)),
            Store::Memory(memory) => Ok(memory.ids()),
        }
    }

    fn create(&self, id: &str) -> Result<Paper, Fault> {
        match &self.0.store {
            Store::Directory(directory) => paper::create(&directory.join(id))
                .map_err(|cause| Fault::new(directory.display().to_string(), "written", cause)),
            Store::Memory(memory) => Ok(memory.create(id)),
        }
    }

    /// The entry's paper with its lock; none while somebody else has that.
    fn hold(&self, id: &str) -> Result<Option<Paper>, Fault> {
        match &self.0.store {
            Store::Directory(directory) => {
                paper::hold(&directory.join(id)).map_err(|cause| Fault::new(self.place(id), "opened", cause))
            }
            Store::Memory(memory) => Ok(memory.hold(id)),
        }
    }

    fn remove(&self, id: &str) -> Result<(), Fault> {
        match &self.0.store {
            Store::Directory(directory) => {
                let removed = std::fs::remove_file(directory.join(id));
                removed.map_err(|cause| Fault::new(self.place(id), "removed", cause))
            }
            Store::Memory(memory) => {
                memory.remove(id);
                Ok(())
            }
        }
    }

    /// A new file is there after a crash only once its directory is on disk too.
    fn sync(&self) -> Result<(), Fault> {
        match &self.0.store {
            Store::Directory(directory) => {
                let synced = File::open(directory).and_then(|directory| directory.sync_all());
                synced.map_err(|cause| Fault::new(directory.display().to_string(), "written", cause))
            }
            Store::Memory(_) => Ok(()),
        }
    }

    fn place(&self, id: &str) -> String {
        match &self.0.store {
            Store::Directory(directory) => directory.join(id).display().to_string(),
            Store::Memory(_) => format!("{id} (in memory)"),
        }
    }
}

/// An entry as it was found.
#[derive(Debug)]
struct Seen {
    header: Box<Header>,
    /// Its end, if it has one.
    report: Option<Box<Report>>,
    last: Timestamp,
    held: bool,
}

impl Seen {
    fn in_the_way(self, id: String) -> Known {
        match self.report {
            Some(report) => Known::Recorded(report),
            None if self.held => Known::Running { id },
            None => Known::Left { id },
        }
    }
}

/// Disks are slow: their work is done apart from what is waited for here.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(cause) => Err(Fault::new(
            "of this process",
            "used",
            std::io::Error::other(cause),
        )),
    }
}
