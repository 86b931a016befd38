//! What goes on right now, on stderr: one live line on a terminal, plain lines in a pipe.

use std::{
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use crate::screen;

/// The line that says what goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    live: bool,
    last: Mutex<Option<String>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            live: std::io::stderr().is_terminal() && screen::can_move(),
            last: Mutex::new(None),
        }
    }

    /// Says what goes on now, in place of what was said before.
    pub(crate) fn say(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() == Some(text) {
            return;
        }
        if self.live {
            let room = usize::from(screen::width()).saturating_sub(4);
            let text: String = text.chars().filter(|c| !c.is_control()).take(room).collect();
            let mut stderr = std::io::stderr().lock();
            // nobody listens any more: then nobody needs to be told
            let _ = write!(stderr, "\r\u{1b}[2K… {text}").and_then(|()| stderr.flush());
        } else {
            screen::note(&format!("… {text}"));
        }
        *last = Some(text.to_owned());
    }

    /// Clears the live line, so that something else can be written.
    pub(crate) fn clear(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.live && last.is_some() {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\u{1b}[2K").and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
