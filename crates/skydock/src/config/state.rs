//! Where a program keeps what is to be there when it is started again.

use std::path::PathBuf;

/// A file of this name among the user's own state: `$XDG_STATE_HOME/skydock`, or `~/.local/state/skydock`. `None` where
/// there is no home directory.
///
/// Source: the XDG Base Directory Specification, which has relative paths ignored.
#[must_use]
pub fn state_file(name: &str) -> Option<PathBuf> {
    let path = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = path("XDG_STATE_HOME").or_else(|| Some(path("HOME")?.join(".local/state")));
    Some(state?.join("skydock").join(name))
}
