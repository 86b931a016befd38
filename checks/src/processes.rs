//! Other processes, as the kernel tells of them under `/proc`.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};

/// A process of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// What it does, as `ps` has it: `R` runs, `S` sleeps, `T` is stopped.
    pub state: char,
    /// The first letters of its program's name.
    pub name: String,
}

/// The processes that `parent` has started itself.
///
/// # Errors
/// This is not Linux.
pub fn children(parent: u32) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // one that ends meanwhile is none of anybody's any more
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        // pid (name) state parent …
        let Some((start, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let name = start.split_once('(').map_or(start, |(_id, name)| name);
        let mut fields = rest.split(' ');
        let state = fields.next().and_then(|state| state.chars().next());
        if let (Some(state), Some(of)) = (state, fields.next())
            && of.parse() == Ok(parent)
        {
            let name = name.to_owned();
            found.push(Process { id, state, name });
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The resident memory of a process, in bytes.
///
/// # Errors
/// It has ended, or this is not Linux.
pub fn memory(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in its status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// The number of files, sockets and the like that a process holds open.
///
/// # Errors
/// It has ended, or this is not Linux.
pub fn descriptors(id: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

/// How long processors have worked for a process. The kernel counts in hundredths of a second.
///
/// # Errors
/// It has ended, or this is not Linux.
pub fn work(id: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("no name in its stat")?;
    // for itself and for the kernel: fields 14 and 15 of proc(5), of which two are before `rest`
    let ticks = rest.split(' ').skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// The resident memory of all that `parent` has started, in bytes.
///
/// # Errors
/// One has ended meanwhile, or this is not Linux.
pub fn memory_below(parent: u32) -> Result<u64> {
    let mut all = 0;
    for child in children(parent)? {
        all += memory(child.id)? + memory_below(child.id)?;
    }
    Ok(all)
}
