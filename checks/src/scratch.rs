//! A folder for what a program leaves behind, removed when it is dropped.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result};

/// A folder of one owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder. Its path is short, as a socket's has to be.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(owner: &str) -> Result<Self> {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("skydock-{owner}-{}-{serial}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // of an earlier process that had this id and was killed
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what cannot be removed stays in the folder for such things
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
