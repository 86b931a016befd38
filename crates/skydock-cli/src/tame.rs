//! What a server says must not command the terminal: colours pass, everything else that is no text does not.

use std::io::{self, Write};

/// A writer that lets text and colours through, and takes out other control sequences.
///
/// A server is not trusted: moving the cursor would let it write over our own words, and other sequences reach the
/// window's title and the clipboard.
#[derive(Debug)]
pub(crate) struct Tame<W> {
    inner: W,
    state: State,
    /// A sequence that is not known to be harmless yet.
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// After ESC `[`: a colour ends in `m`.
    Sequence,
    /// After a carriage return: with a line feed it ends a line, alone it goes back over what is written.
    Return,
    /// After the first byte of U+0080 to U+00BF, of which the first half are controls.
    Latin,
}

const ESCAPE: u8 = 0x1b;

impl<W: Write> Tame<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            state: State::Text,
            held: Vec::new(),
        }
    }

    fn take(&mut self, byte: u8, tamed: &mut Vec<u8>) {
        if self.state == State::Return {
            self.state = State::Text;
            if byte == b'\n' {
                tamed.push(b'\r');
            }
        }
        match (self.state, byte) {
            (_, ESCAPE) => self.hold(byte, State::Escape),
            (State::Text, 0xc2) => self.hold(byte, State::Latin),
            (State::Text, b'\r') => self.state = State::Return,
            (State::Text, b'\n' | b'\t' | b' '..=b'~' | 0x80..) => tamed.push(byte),
            (State::Text, _) => {}
            (State::Escape, b'[') => {
                self.held.push(byte);
                self.state = State::Sequence;
            }
            (State::Sequence, b'0'..=b'9' | b';') => self.held.push(byte),
            (State::Sequence, b'm') | (State::Latin, 0xa0..=0xbf) => {
                tamed.append(&mut self.held);
                tamed.push(byte);
                self.state = State::Text;
            }
            // what follows an unknown beginning stands there as text, for everybody to see
            (_, _) => {
                self.held.clear();
                self.state = State::Text;
            }
        }
    }

    fn hold(&mut self, byte: u8, state: State) {
        self.held.clear();
        self.held.push(byte);
        self.state = state;
    }
}

impl<W: Write> Write for Tame<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut tamed = Vec::with_capacity(bytes.len());
        bytes.iter().for_each(|byte| self.take(*byte, &mut tamed));
        self.inner.write_all(&tamed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(parts: &[&str]) -> String {
        let mut writer = Tame::new(Vec::new());
        parts
            .iter()
            .for_each(|part| writer.write_all(part.as_bytes()).unwrap());
        String::from_utf8(writer.inner).unwrap()
    }

    #[test]
    fn text_and_colours_pass() {
        let text = "naïve ©\u{a0}– 🍕\tx\n\u{1b}[1;31mred\u{1b}[0m";
        assert_eq!(tamed(&[text]), text);
        assert_eq!(tamed(&["\u{1b}", "[3", "1mred"]), "\u{1b}[31mred");
    }

    #[test]
    fn what_moves_the_cursor_or_reaches_the_window_does_not() {
        assert_eq!(tamed(&["ok\r\u{1b}[2K\u{1b}[1Alie\u{8}\u{7}"]), "oklie");
        assert_eq!(tamed(&["a\r\nb\r", "\nc\rd"]), "a\r\nb\r\ncd");
        assert_eq!(tamed(&["\u{1b}]0;title\u{7}"]), "0;title");
        assert_eq!(tamed(&["\u{9b}2J", "\u{7f}"]), "2J");
        assert_eq!(tamed(&["\u{1b}[31\u{1b}[2Jx"]), "x");
    }
}
