//! The places that lines are written to.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// How many lines are kept in memory.
const REMEMBERED: usize = 1000;

#[derive(Debug)]
pub(super) enum Sink {
    Stderr,
    Stdout,
    File {
        file: File,
        /// True if the file ends in the middle of a line.
        torn: bool,
    },
    /// The last lines, bounded.
    Memory(VecDeque<Vec<u8>>),
}

/// Opens a file for lines at its end.
pub(super) fn open(path: &Path) -> io::Result<Sink> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let torn = is_torn(&mut file)?;
    Ok(Sink::File { file, torn })
}

/// True if a process was killed while it wrote the last line. What cannot be sought (a pipe) has no past.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl Sink {
    /// Writes one line, in one piece: other writers of the same place do not get between.
    pub(super) fn write(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Memory(lines) => {
                if lines.len() == REMEMBERED {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            Self::Stderr => {
                line.push(b'\n');
                io::stderr().lock().write_all(&line)?;
            }
            Self::Stdout => {
                line.push(b'\n');
                let mut out = io::stdout().lock();
                out.write_all(&line)?;
                out.flush()?;
            }
            Self::File { file, torn } => {
                line.push(b'\n');
                if *torn {
                    line.insert(0, b'\n');
                }
                // until all of it is known to be there
                *torn = true;
                file.write_all(&line)?;
                *torn = false;
                match file.sync_data() {
                    // a pipe or a device has nothing to bring to the disk
                    Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                    synced => synced?,
                }
            }
        }
        Ok(())
    }
}
