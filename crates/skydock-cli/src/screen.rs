//! What the terminal is like: its width, its colours, and where to say what goes on.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::tame::Tame;

/// Columns to use when nobody says how wide the paper is.
const PIPE_WIDTH: u16 = 80;

/// For headings and names.
pub(crate) const STRONG: Style = Style::new().bold();
/// For what may be skipped.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// For what is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// For what is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// How many columns fit: the terminal's, or 80 in a pipe.
pub(crate) fn width() -> u16 {
    if !io::stdout().is_terminal() {
        return PIPE_WIDTH;
    }
    terminal_size::terminal_size().map_or(PIPE_WIDTH, |(width, _)| width.0.max(40))
}

/// Whether the terminal can move its cursor back.
pub(crate) fn can_move() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Whether somebody can be asked: the questions go to stderr, the answers come from stdin.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Where answers go. Servers cannot do more there than colour their words, in a pipe neither: a terminal may be behind it.
pub(crate) fn out() -> impl Write + Send {
    Outlet(Tame::new(anstream::stdout()))
}

/// Where everything else goes, in the same way.
pub(crate) fn aside() -> impl Write + Send {
    Tame::new(anstream::stderr())
}

/// The reader of our output had enough, as `head` has.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct ClosedOutput;

/// Our output: it tells a reader that went away from any other pipe that broke.
struct Outlet<W>(W);

impl<W: Write> Write for Outlet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(name_closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(name_closed)
    }
}

fn name_closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::new(io::ErrorKind::BrokenPipe, ClosedOutput)
    } else {
        error
    }
}

/// Says a line on stderr.
pub(crate) fn note(line: &str) {
    // nobody listens any more: then nobody needs to be told
    let _ = writeln!(aside(), "{line}");
}

/// Says on stderr what went wrong.
pub(crate) fn fault(text: &str) {
    note(&format!("{BAD}error:{BAD:#} {text}"));
}

/// Breaks text into lines of at most `width` columns, between words where it can; line ends that are there stay.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            while line.chars().count() > width.max(1) {
                let cut = line
                    .char_indices()
                    .nth(width.max(1))
                    .map_or(line.len(), |(at, _)| at);
                let rest = line.split_off(cut);
                lines.push(std::mem::replace(&mut line, rest));
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn long_lines_break_between_words_where_they_can() {
        assert_eq!(wrap("one two three\n\nfour", 8), ["one two", "three", "", "four"]);
        assert_eq!(wrap("incomprehensible ok", 9), ["incompreh", "ensible", "ok"]);
    }
}
