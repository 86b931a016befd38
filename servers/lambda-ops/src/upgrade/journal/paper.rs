//! What entries are written on: files that are locked while somebody writes, or memory that behaves like them.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The paper of one entry, held by its writer.
#[derive(Debug)]
pub(super) enum Paper {
    /// A file with an exclusive lock, which the system releases when its process ends in whatever way.
    File(File),
    Memory {
        sheet: Arc<Sheet>,
        room: usize,
    },
}

/// One entry in memory.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    text: Mutex<Vec<u8>>,
    held: AtomicBool,
}

impl Sheet {
    fn text(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        if let Self::Memory { sheet, .. } = self {
            sheet.held.store(false, Ordering::SeqCst);
        }
    }
}

impl Paper {
    /// Writes `line` behind the first `good` bytes, and waits until it is on disk. What stood there is a torn line.
    pub(super) fn append(&self, good: u64, line: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => {
                let mut writer = file;
                let written = file
                    .set_len(good)
                    .and_then(|()| writer.seek(SeekFrom::Start(good)))
                    .and_then(|_| writer.write_all(line))
                    .and_then(|()| file.sync_data());
                if written.is_err() {
                    // half a line is worse than none, but a reader can tell it too
                    let _ = file.set_len(good);
                }
                written
            }
            Self::Memory { sheet, room } => {
                let mut text = sheet.text();
                text.truncate(usize::try_from(good).unwrap_or(usize::MAX));
                if text.len() + line.len() > *room {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                text.extend_from_slice(line);
                Ok(())
            }
        }
    }

    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file) => {
                let (mut reader, mut text) = (file, Vec::new());
                reader.seek(SeekFrom::Start(0))?;
                reader.read_to_end(&mut text)?;
                Ok(text)
            }
            Self::Memory { sheet, .. } => Ok(sheet.text().clone()),
        }
    }
}

/// Makes a directory that its owner alone can look into.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// A lock that is waited for.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

/// The names of the entries in a directory, oldest first.
pub(super) fn ids(directory: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for file in directory.read_dir()? {
        if let Ok(name) = file?.file_name().into_string()
            && Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "jsonl")
        {
            ids.push(name);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

pub(super) fn create(path: &Path) -> io::Result<Paper> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.lock()?;
    Ok(Paper::File(file))
}

/// The file with its lock; none while somebody else has that.
pub(super) fn hold(path: &Path) -> io::Result<Option<Paper>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Paper::File(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(cause),
    }
}

/// What stands in a file, and whether somebody is writing it.
pub(super) fn look(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let held = hold(path)?.is_none();
    Ok((std::fs::read(path)?, held))
}

/// Entries in memory.
#[derive(Debug)]
pub(super) struct Memory {
    sheets: Mutex<BTreeMap<String, Arc<Sheet>>>,
    /// How many bytes an entry may have.
    room: usize,
}

impl Memory {
    pub(super) fn new(room: usize) -> Self {
        Self {
            sheets: Mutex::default(),
            room,
        }
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.sheets().keys().cloned().collect()
    }

    pub(super) fn look(&self, id: &str) -> (Vec<u8>, bool) {
        let sheets = self.sheets();
        let seen = sheets
            .get(id)
            .map(|sheet| (sheet.text().clone(), sheet.held.load(Ordering::SeqCst)));
        seen.unwrap_or_default()
    }

    pub(super) fn create(&self, id: &str) -> Paper {
        let sheet = Arc::new(Sheet {
            text: Mutex::default(),
            held: AtomicBool::new(true),
        });
        self.sheets().insert(id.to_owned(), Arc::clone(&sheet));
        Paper::Memory {
            sheet,
            room: self.room,
        }
    }

    pub(super) fn hold(&self, id: &str) -> Option<Paper> {
        let sheet = Arc::clone(self.sheets().get(id)?);
        let held = sheet.held.swap(true, Ordering::SeqCst);
        (!held).then_some(Paper::Memory {
            sheet,
            room: self.room,
        })
    }

    pub(super) fn remove(&self, id: &str) {
        self.sheets().remove(id);
    }

    fn sheets(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Sheet>>> {
        self.sheets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
