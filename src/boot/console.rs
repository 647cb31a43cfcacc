//! A guest's serial console as text: escape sequences removed, searched in order.
//!
//! Bytes arrive in pieces that end anywhere: inside an escape sequence, inside a UTF-8 character,
//! inside the words that somebody waits for. [`Decoder`] keeps its state between pieces and
//! [`Transcript`] searches the whole text since the last match, so no border matters.

use regex::Regex;

/// Turns a terminal's byte stream into plain text (ECMA-48 control sequences, xterm's OSC strings).
///
/// A carriage return before a line feed vanishes; one on its own, and a jump of the cursor to another
/// row, starts a new line, so that menus drawn with cursor addresses stay readable.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    carriage_return: bool,
    in_line: bool,
    /// The parameters of the control sequence that is being read.
    parameters: Vec<u8>,
    /// The row that the cursor was sent to, while it is still there.
    row: Option<Vec<u8>>,
    partial: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Ground,
    /// After ESC, and in its intermediate bytes (`ESC ( B`).
    Escape,
    /// In a control sequence: `ESC [ … final byte`.
    Control,
    /// In a string (OSC, DCS, APC, PM): until BEL or `ESC \`.
    Text,
    /// After an ESC in such a string.
    TextEscape,
}

impl Decoder {
    /// The text that `bytes` add. What is not UTF-8 becomes U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        for &byte in bytes {
            self.byte(byte);
        }
        self.take_complete()
    }

    fn byte(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Text, 0x07) => State::Ground,
            (State::Text, 0x1b) => State::TextEscape,
            (State::Text, _) => State::Text,
            (State::TextEscape, b'\\') => State::Ground,
            (State::TextEscape, _) => State::Text,
            (_, 0x1b) => State::Escape,
            (State::Escape, b'[') => {
                self.parameters.clear();
                State::Control
            }
            (State::Escape, b']' | b'P' | b'_' | b'^') => State::Text,
            (State::Escape, 0x20..=0x2f) => State::Escape,
            (State::Escape, _) => State::Ground,
            (State::Control, b'H' | b'f') => {
                self.go_to_row();
                State::Ground
            }
            (State::Control, 0x40..=0x7e) => State::Ground,
            (State::Control, _) => {
                self.parameters.push(byte);
                State::Control
            }
            (State::Ground, _) => {
                self.printed(byte);
                State::Ground
            }
        }
    }

    fn printed(&mut self, byte: u8) {
        match byte {
            b'\r' => self.carriage_return = true,
            b'\n' => {
                self.carriage_return = false;
                self.emit(b'\n');
            }
            b'\t' | 0x20..=0x7e | 0x80.. => {
                if std::mem::take(&mut self.carriage_return) {
                    self.new_line();
                }
                self.emit(byte);
            }
            _ => {}
        }
    }

    /// Cursor position: `ESC [ row ; column H`.
    fn go_to_row(&mut self) {
        let row = self.parameters.split(|&b| b == b';').next().map(<[u8]>::to_vec);
        if row != self.row {
            self.new_line();
            self.row = row;
        }
    }

    fn new_line(&mut self) {
        if self.in_line {
            self.emit(b'\n');
        }
    }

    fn emit(&mut self, byte: u8) {
        self.partial.push(byte);
        self.in_line = byte != b'\n';
        if !self.in_line {
            self.row = None;
        }
    }

    /// Takes all but a character whose last bytes have not come yet.
    fn take_complete(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.partial);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&bytes) {
                Ok(rest) => {
                    text.push_str(rest);
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&bytes[..valid]));
                    let Some(length) = error.error_len() else {
                        self.partial = bytes.split_off(valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    bytes.drain(..valid + length);
                }
            }
        }
    }
}

/// Everything that a console has shown, and how far it has been searched.
#[derive(Debug, Default)]
pub struct Transcript {
    decoder: Decoder,
    text: String,
    cursor: usize,
}

impl Transcript {
    /// Adds raw bytes and returns the text that they made.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        let from = self.text.len();
        let piece = self.decoder.push(bytes);
        self.text.push_str(&piece);
        &self.text[from..]
    }

    /// Looks for `pattern` after the last match; on a hit the next search starts behind it.
    pub fn find(&mut self, pattern: &Regex) -> Option<String> {
        let found = pattern.find(&self.text[self.cursor..])?;
        let text = found.as_str().to_owned();
        self.cursor += found.end();
        Some(text)
    }

    /// Lets the next search start at the end of what has come so far.
    pub fn skip(&mut self) {
        self.cursor = self.text.len();
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The last `count` lines that are not blank.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let mut lines: Vec<String> = self
            .text
            .lines()
            .rev()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .take(count)
            .map(str::to_owned)
            .collect();
        lines.reverse();
        lines
    }
}

/// Compiles what to wait for: `^` and `$` match at lines, as one expects of a console.
///
/// # Errors
/// When `text` is no regular expression.
pub fn pattern(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text).multi_line(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(pieces: &[&[u8]]) -> String {
        let mut decoder = Decoder::default();
        pieces.iter().map(|p| decoder.push(p)).collect()
    }

    #[test]
    fn escape_sequences_vanish_wherever_the_pieces_end() {
        let bytes = b"\x1b[0;32m[  OK  ]\x1b[0m Started \x1b]0;title\x07\x1b(Bssh\xc3\xa4\x1b]0;t\x1b\\!\r\n";
        let whole = plain(&[bytes]);
        assert_eq!(whole, "[  OK  ] Started ssh\u{e4}!\n");
        for border in 0..bytes.len() {
            assert_eq!(plain(&[&bytes[..border], &bytes[border..]]), whole, "border at {border}");
        }
    }

    #[test]
    fn line_ends_of_terminals_become_line_feeds() {
        assert_eq!(plain(&[b"a\r\nb\r\r\nc\rd"]), "a\nb\nc\nd");
        assert_eq!(plain(&[b"a\r", b"\nb"]), "a\nb");
    }

    #[test]
    fn a_jump_of_the_cursor_to_another_row_starts_a_line() {
        assert_eq!(plain(&[b"\x1b[12;03H Memtest8\x1b[12;39H\x1b[12;40H6+\x1b[13;03Hx"]), " Memtest86+\nx");
        assert_eq!(plain(&[b"Debian\x1b[05;03HAdvanced\x1b[06;03H\x1b[07;03Hx"]), "Debian\nAdvanced\nx");
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_stop_the_text() {
        assert_eq!(plain(&[b"a\xffb\xc3"]), "a\u{fffd}b");
    }

    #[test]
    fn patterns_match_in_order_and_over_borders() {
        let mut console = Transcript::default();
        let login = pattern("^host login: $").unwrap();
        console.push(b"Debian\r\nhost lo");
        assert_eq!(console.find(&login), None);
        console.push(b"\x1b[0mgin: ");
        assert_eq!(console.find(&login).as_deref(), Some("host login: "));
        assert_eq!(console.find(&login), None, "a match is used once");
        assert_eq!(console.find(&pattern("Debian").unwrap()), None, "an earlier line is past");
    }

    #[test]
    fn the_tail_leaves_blank_lines_out() {
        let mut console = Transcript::default();
        console.push(b"a\r\n\r\nb  \r\nc");
        assert_eq!(console.tail(2), ["b", "c"]);
    }
}
