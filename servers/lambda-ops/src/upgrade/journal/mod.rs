//! The journal of changes: what was about to be done is on disk before it is done, so that a killed server's change can
//! be finished or undone by the next.

mod entry;
mod line;
mod paper;
mod seen;
mod story;

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::task::spawn_blocking;

pub(super) use self::{
    entry::Entry,
    line::{Event, Header},
    seen::Open,
    story::{Sent, Story, Trial},
};
use self::{
    paper::{Memory, Paper},
    seen::{Look, Seen},
};
use super::Report;
use crate::account::Identity;

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

    /// The journal in a directory that is there already; none if it is not.
    pub(crate) fn existing(directory: impl Into<PathBuf>) -> Option<Self> {
        let directory = directory.into();
        directory.is_dir().then(|| Self::on(Store::Directory(directory)))
    }

    /// What is known of a change that the client has given a token to, in this account and region: those who share the
    /// directory may be in others.
    pub(super) async fn find(
        &self,
        token: &str,
        arguments: &str,
        here: &Identity,
    ) -> Result<Option<Known>, Fault> {
        let (journal, here) = (self.clone(), here.clone());
        let (token, arguments) = (token.to_owned(), arguments.to_owned());
        apart(move || {
            let _door = journal.door()?;
            Ok(found(&journal.entries()?, &token, &arguments, &here))
        })
        .await
    }

    /// The change of this function that has not ended, if there is one.
    pub(super) async fn open_for(&self, function_arn: &str) -> Result<Option<Known>, Fault> {
        let (journal, function_arn) = (self.clone(), function_arn.to_owned());
        apart(move || {
            let _door = journal.door()?;
            Ok(opened(&journal.entries()?, &function_arn))
        })
        .await
    }

    /// Every change that has not ended, whoever may be at it. Nothing is held.
    pub(super) async fn open_changes(&self) -> Result<Vec<Open>, Fault> {
        let journal = self.clone();
        apart(move || {
            let _door = journal.door()?;
            let entries = journal.entries()?.into_iter();
            Ok(entries.filter_map(|(id, look)| look.open(id)).collect())
        })
        .await
    }

    /// The names of the entries of changes that have not ended, with the function that each is about.
    pub(crate) async fn names(&self) -> Result<Vec<String>, Fault> {
        let open = self.open_changes().await?;
        Ok(open.iter().map(ToString::to_string).collect())
    }

    /// Begins an entry, unless something is in the way. On return it is on disk.
    pub(super) async fn begin(&self, header: Header) -> Result<Result<Entry, Known>, Fault> {
        let journal = self.clone();
        apart(move || {
            let _door = journal.door()?;
            let entries = journal.pruned(journal.entries()?);
            if let Some(token) = &header.client_token
                && let Some(known) = found(&entries, token, &header.arguments, &header.plan.identity)
            {
                return Ok(Err(known));
            }
            if let Some(known) = opened(&entries, &header.plan.function_arn) {
                return Ok(Err(known));
            }
            let paper = journal.create(&header.id)?;
            let mut entry = Entry::new(header.id.clone(), paper, 0);
            entry.write_now(&Event::Begun(Box::new(header)))?;
            journal.sync()?;
            Ok(Ok(entry))
        })
        .await
    }

    /// Takes one entry over, unless somebody else is at it or it has ended.
    pub(super) async fn claim(&self, id: &str) -> Result<Result<Claimed, Known>, Fault> {
        let (journal, id) = (self.clone(), id.to_owned());
        apart(move || {
            let _door = journal.door()?;
            let Some(paper) = journal.hold(&id)? else {
                return Ok(Err(Known::Running { id }));
            };
            let fault = |cause: std::io::Error| Fault::new(journal.place(&id), "read", cause);
            let read = line::read(&paper.read().map_err(fault)?);
            if let Some(report) = read.report {
                return Ok(Err(Known::Recorded(report)));
            }
            let Some(header) = read.header else {
                return Err(fault(std::io::ErrorKind::InvalidData.into()));
            };
            Ok(Ok(Claimed {
                entry: Entry::new(id, paper, read.good),
                header,
                story: read.story,
                damaged: read.damaged,
            }))
        })
        .await
    }

    /// Every entry as it is. One that cannot be read is in the log, and in nobody's way.
    fn entries(&self) -> Result<Vec<(String, Look)>, Fault> {
        let ids = self.ids()?.into_iter();
        Ok(ids
            .map(|id| {
                let look = self.look(&id);
                if let Look::Unreadable(reason) = &look {
                    let entry = self.place(&id);
                    tracing::warn!(entry, reason, "an entry of the journal cannot be read");
                }
                (id, look)
            })
            .collect())
    }

    /// Removes what is not needed any more, and gives the rest.
    fn pruned(&self, mut entries: Vec<(String, Look)>) -> Vec<(String, Look)> {
        let now = Timestamp::now();
        entries.retain(|(id, look)| {
            let needless = match look {
                // nothing was done
                Look::Blank => true,
                Look::Seen(seen) => seen.report.is_some() && now.duration_since(seen.last) > KEPT,
                Look::Ended | Look::Unreadable(_) => false,
            };
            if needless && let Err(fault) = self.remove(id) {
                let cause = crate::account::chain(&fault);
                tracing::warn!(cause, "an entry of the journal stays longer than it is needed");
            }
            !needless
        });
        entries
    }

    fn look(&self, id: &str) -> Look {
        let found = match &self.0.store {
            Store::Directory(directory) => paper::look(&directory.join(id)),
            Store::Memory(memory) => Ok(memory.look(id)),
        };
        match found {
            Ok((text, held)) => Look::of(&text, held),
            Err(cause) => Look::Unreadable(cause.to_string()),
        }
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

/// What is known of the change under a client's token in one account and region.
fn found(entries: &[(String, Look)], token: &str, arguments: &str, here: &Identity) -> Option<Known> {
    let (id, seen) = seen(entries).find(|(_, seen)| {
        let there = &seen.header.plan.identity;
        seen.header.client_token.as_deref() == Some(token) && there.is_beside(here)
    })?;
    Some(if seen.header.arguments == arguments {
        seen.in_the_way(id)
    } else {
        Known::TokenTaken
    })
}

/// The change of this function that has not ended, if there is one.
fn opened(entries: &[(String, Look)], function_arn: &str) -> Option<Known> {
    let (id, seen) = seen(entries)
        .find(|(_, seen)| seen.report.is_none() && seen.header.plan.function_arn == function_arn)?;
    Some(seen.in_the_way(id))
}

fn seen(entries: &[(String, Look)]) -> impl Iterator<Item = (&str, &Seen)> {
    entries.iter().filter_map(|(id, look)| match look {
        Look::Seen(seen) => Some((&**id, &**seen)),
        Look::Blank | Look::Ended | Look::Unreadable(_) => None,
    })
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
