//! Knowledge in a folder of Markdown and text files, found by BM25: no model and no service is needed.

use std::{
    collections::HashSet,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bm25::{DefaultTokenizer, Document, Language, SearchEngine, SearchEngineBuilder, Tokenizer as _};
use tokio::time::Instant;

use super::{Failure, Knowledge, passages};
use crate::message::Passage;

/// How often the folder is looked at.
const AGAIN: Duration = Duration::from_secs(2);
/// How many files are read at most.
const MOST_FILES: usize = 5_000;
/// How long a file may be, and all together, in bytes.
const LONGEST_FILE: u64 = 4 << 20;
const LONGEST_ALL: u64 = 64 << 20;
/// How deep folders are searched.
const DEEPEST: usize = 32;
/// How many words of a question a passage has to share, when the question has as many.
const SHARED: usize = 2;
/// A passage is left out whose score is below this part of the best one's.
const WORTH: f32 = 0.3;

/// Why a folder is no knowledge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("{path} cannot be read; name a folder with .md or .txt files")]
    Read {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is more than is read.
    #[error("{path} has more than {most}; name a smaller folder, or use a knowledge base")]
    TooMuch {
        /// The folder.
        path: String,
        /// The bound.
        most: String,
    },
    /// There is nothing in it.
    #[error("{path} has no .md or .txt file with text in it")]
    Empty {
        /// The folder.
        path: String,
    },
}

/// The files of a folder, as passages. They are read again when they change.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    index: Arc<Index>,
    looked: Instant,
    /// Whether the folder is being read.
    reading: bool,
}

/// What was read, ready to be searched.
#[derive(Debug)]
struct Index {
    files: Vec<File>,
    passages: Vec<Passage>,
    /// The words of each passage.
    words: Vec<HashSet<String>>,
    engine: SearchEngine<u32>,
    tokenizer: DefaultTokenizer,
    skipped: usize,
}

/// A file, and what tells one state of it from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl Directory {
    /// The `.md` and `.txt` files of a folder and of those below it. Hidden files are left out, and so are links that lead
    /// out of it.
    ///
    /// # Errors
    /// When it cannot be read, has too much in it, or nothing.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let root = folder
            .canonicalize()
            .map_err(|source| unreadable(folder, source))?;
        let index = Index::read(&root, files(&root)?)?;
        if index.passages.is_empty() {
            return Err(Error::Empty {
                path: folder.display().to_string(),
            });
        }
        Ok(Self {
            root,
            state: Mutex::new(State {
                index: Arc::new(index),
                looked: Instant::now(),
                reading: false,
            }),
        })
    }

    /// How many passages there are, and how many files were skipped because they are no UTF-8 or too long.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let index = &self.lock().index;
        (index.passages.len(), index.skipped)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there now; what cannot be read leaves it as it was.
    async fn index(&self) -> Arc<Index> {
        let known = {
            let mut state = self.lock();
            if state.reading || state.looked.elapsed() < AGAIN {
                return Arc::clone(&state.index);
            }
            state.reading = true;
            Arc::clone(&state.index)
        };
        let (root, before) = (self.root.clone(), known.files.clone());
        let read = tokio::task::spawn_blocking(move || {
            let files = files(&root)?;
            (files != before).then(|| Index::read(&root, files)).transpose()
        });
        let read = Reading(self).wait(read).await;
        match read {
            Ok(Ok(Some(index))) => {
                let index = Arc::new(index);
                self.lock().index = Arc::clone(&index);
                index
            }
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "the knowledge cannot be read again; what was read before stays"
                );
                known
            }
            _ => known,
        }
    }
}

/// The folder is being read, until this is dropped.
struct Reading<'a>(&'a Directory);

impl Reading<'_> {
    async fn wait<T>(self, read: impl Future<Output = T>) -> T {
        read.await
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reading = false;
        state.looked = Instant::now();
    }
}

/// The file, unless it is longer than may be; it may have grown since it was looked at.
fn read_bounded(path: &Path, length: u64) -> std::io::Result<Option<Vec<u8>>> {
    if length > LONGEST_FILE {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|read| read <= LONGEST_FILE);
    Ok(fits.then_some(bytes))
}

#[async_trait]
impl Knowledge for Directory {
    async fn find(&self, question: &str, most: usize) -> Result<Vec<Passage>, Failure> {
        let index = self.index().await;
        let question = question.to_owned();
        Ok(tokio::task::spawn_blocking(move || index.find(&question, most)).await?)
    }
}

impl Index {
    fn read(root: &Path, files: Vec<File>) -> Result<Self, Error> {
        let mut found = Vec::new();
        let mut skipped = 0;
        for file in &files {
            let bytes = match read_bounded(&file.path, file.length) {
                Ok(Some(bytes)) => bytes,
                // it went away meanwhile
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(unreadable(&file.path, source)),
                Ok(None) => {
                    skipped += 1;
                    continue;
                }
            };
            let Ok(text) = String::from_utf8(bytes) else {
                skipped += 1;
                continue;
            };
            let name = file
                .path
                .strip_prefix(root)
                .unwrap_or(&file.path)
                .to_string_lossy();
            let markdown = file
                .path
                .extension()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("md"));
            found.extend(passages::cut(&name, &text, markdown));
        }
        if skipped > 0 {
            tracing::warn!(skipped, "files of the knowledge are too long or no UTF-8");
        }
        let tokenizer = DefaultTokenizer::new(Language::English);
        // a heading belongs to what stands under it
        let whole = |passage: &Passage| {
            format!(
                "{}\n{}",
                passage.source.replace(['#', '/', '-', '_', '.'], " "),
                passage.text
            )
        };
        let words = found
            .iter()
            .map(|passage| tokenizer.tokenize(&whole(passage)).into_iter().collect())
            .collect();
        let documents = (0..)
            .zip(&found)
            .map(|(id, passage)| Document::new(id, whole(passage)));
        let engine = SearchEngineBuilder::<u32>::with_documents(Language::English, documents).build();
        Ok(Self {
            files,
            passages: found,
            words,
            engine,
            tokenizer,
            skipped,
        })
    }

    /// The best passages. Those that share hardly a word with the question are not worth a place in it.
    fn find(&self, question: &str, most: usize) -> Vec<Passage> {
        let asked: HashSet<String> = self.tokenizer.tokenize(question).into_iter().collect();
        let needed = asked.len().min(SHARED);
        if needed == 0 {
            return Vec::new();
        }
        let mut found: Vec<_> = self
            .engine
            .search(question, None)
            .into_iter()
            .filter_map(|found| {
                let at = usize::try_from(found.document.id).ok()?;
                let shared = self.words.get(at)?.intersection(&asked).take(needed).count();
                (shared >= needed).then_some((at, found.score))
            })
            .collect();
        found.sort_by(|(one, of_one), (other, of_other)| of_other.total_cmp(of_one).then(one.cmp(other)));
        let best = found.first().map_or(0.0, |(_, score)| *score);
        found
            .into_iter()
            .take_while(|(_, score)| *score >= best * WORTH)
            .filter_map(|(at, _)| self.passages.get(at).cloned())
            .take(most)
            .collect()
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.display().to_string(),
        source,
    }
}

/// The files under a folder, in a stable order.
fn files(root: &Path) -> Result<Vec<File>, Error> {
    let mut found = Vec::new();
    let mut whole = 0_u64;
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|source| unreadable(&folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| unreadable(&folder, source))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            // what has gone meanwhile, or leads nowhere, is not there
            let Ok(kind) = entry.file_type() else { continue };
            let Ok(metadata) = std::fs::metadata(&path) else {
                continue;
            };
            if metadata.is_dir() {
                // a link to a folder may lead in a circle
                if !kind.is_symlink() && depth < DEEPEST {
                    open.push((path, depth + 1));
                }
                continue;
            }
            let outside = || path.canonicalize().map_or(true, |real| !real.starts_with(root));
            if !metadata.is_file() || !is_text(&path) || (kind.is_symlink() && outside()) {
                continue;
            }
            whole = whole.saturating_add(metadata.len().min(LONGEST_FILE));
            found.push(File {
                path,
                length: metadata.len(),
                modified: metadata.modified().ok(),
            });
            if found.len() > MOST_FILES || whole > LONGEST_ALL {
                return Err(Error::TooMuch {
                    path: root.display().to_string(),
                    most: format!("{MOST_FILES} files or {} MB", LONGEST_ALL >> 20),
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn is_text(path: &Path) -> bool {
    path.extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("md") || kind.eq_ignore_ascii_case("txt"))
}
