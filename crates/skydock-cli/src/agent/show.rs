//! What happens in a turn, written for people: words as they come, calls as they run.

use std::io::{self, Write};

use serde_json::Value;
use skydock_agent::{Call, Ended, Event, Outcome, message::ToolResult};

use crate::{
    schema,
    screen::{self, BAD, FAINT, GOOD, STRONG},
};

/// How much of a call's arguments or a result is shown, in characters.
const SHOWN: usize = 160;

/// Writes events. Words go where answers go, everything else aside.
pub(crate) struct Show<W> {
    out: W,
    /// Whether the line has words in it.
    open: bool,
    /// Whether anything but words is to be shown.
    pub(crate) quiet: bool,
    noticed: bool,
}

impl<W: Write> Show<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            open: false,
            quiet: false,
            noticed: false,
        }
    }

    /// Ends a line that was begun.
    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn aside(&mut self, line: &str) -> io::Result<()> {
        self.end_line()?;
        if !self.quiet {
            screen::note(line);
        }
        Ok(())
    }

    /// Shows one event.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Began { notice, .. } => match notice {
                Some(notice) if !std::mem::replace(&mut self.noticed, true) => {
                    self.aside(&format!("{FAINT}{notice}{FAINT:#}"))
                }
                _ => Ok(()),
            },
            Event::Sources { sources } => {
                self.aside(&format!("{FAINT}looked up: {}{FAINT:#}", sources.join(", ")))
            }
            Event::Text { text } => {
                self.open = !text.ends_with('\n');
                write!(self.out, "{text}")?;
                self.out.flush()
            }
            Event::Again { reason, wait_ms } => {
                self.aside(&format!("{FAINT}{reason}; asked again in {wait_ms} ms{FAINT:#}"))
            }
            Event::Call(call) => self.aside(&format!("{FAINT}→ {}{FAINT:#}", call_line(call))),
            Event::Progress { text } => self.aside(&format!("{FAINT}  … {}{FAINT:#}", one_line(text))),
            Event::Result { result, took_ms } => self.aside(&result_line(result, *took_ms)),
            Event::Approval { call, reason } => {
                self.end_line()?;
                if !self.quiet {
                    tell_asked(call, &reason.to_string());
                }
                Ok(())
            }
            Event::Note { text } => self.aside(&format!("{FAINT}note: {text}{FAINT:#}")),
            Event::Ended(ended) => self.ended(ended),
            // reasoning is not for the user, and questions are asked by whoever can answer them
            _ => Ok(()),
        }
    }

    fn ended(&mut self, ended: &Ended) -> io::Result<()> {
        self.end_line()?;
        let detail = ended.detail.as_deref().unwrap_or_default();
        match ended.outcome {
            Outcome::Answered | Outcome::Waiting => Ok(()),
            Outcome::Stopped => self.aside(&format!("{FAINT}stopped{FAINT:#}")),
            Outcome::Failed => self.aside(&format!("{BAD}failed:{BAD:#} {detail}")),
            _ => self.aside(&format!("{BAD}ended early:{BAD:#} {detail}")),
        }
    }
}

/// All of a call that somebody has to decide on.
pub(crate) fn tell_asked(call: &Call, reason: &str) {
    let of = if call.server.is_empty() {
        String::new()
    } else {
        format!(" of {}", tame(&call.server))
    };
    screen::note(&format!(
        "{STRONG}? {}{STRONG:#}{FAINT}{of}: {reason}{FAINT:#}",
        tame(&call.name)
    ));
    for (name, value) in call.input.as_object().into_iter().flatten() {
        let (name, value) = (tame(name), schema::word(value));
        let mut lines = value.lines().map(tame);
        screen::note(&format!("    {name}: {}", lines.next().unwrap_or_default()));
        lines.for_each(|line| screen::note(&format!("      {line}")));
    }
}

/// A call in one line.
pub(crate) fn call_line(call: &Call) -> String {
    let mut line = call.name.clone();
    if let Value::Object(input) = &call.input {
        for (name, value) in input {
            line.push_str(&format!(" {name}={}", schema::word(value)));
        }
    }
    one_line(&line)
}

fn result_line(result: &ToolResult, took_ms: u64) -> String {
    let text = one_line(&result.text);
    if result.is_error {
        format!("  {BAD}✗{BAD:#} {FAINT}{took_ms} ms{FAINT:#} {text}")
    } else {
        format!("  {GOOD}✓{GOOD:#} {FAINT}{took_ms} ms  {text}{FAINT:#}")
    }
}

/// The text in one line that is not too long, and does nothing to a terminal.
fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line = tame(&line);
    if let Some((cut, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// The text without what would not be seen: controls, and marks that change the direction or join nothing.
fn tame(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().filter(|c| !c.is_control() && !hidden(*c)).collect()
}
