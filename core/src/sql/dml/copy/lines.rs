//! Records of text and CSV input, found in pieces that are cut anywhere.
//!
//! A record ends at a newline (`\n` or `\r\n`; the first record decides) that is not escaped (text)
//! or quoted (CSV).

use memchr::{memchr_iter, memchr2, memchr3};

use super::options::{Format, Options};
use crate::error::{Error, Result, SqlState};

/// Bytes that one record may have, as in PostgreSQL's string buffers.
const MAX_RECORD_BYTES: usize = 1 << 30;

/// Finds the ends of records.
pub(super) struct Lines {
    csv: bool,
    quote: u8,
    escape: u8,
    /// Input from the start of the first record that is not complete.
    pub rest: Vec<u8>,
    /// How far `rest` was searched, and in which state.
    scanned: usize,
    in_quote: bool,
    escaped: bool,
    /// Whether records end with `\r\n`; the first one says.
    crlf: Option<bool>,
}

/// What was found in the input.
pub(super) enum Found {
    /// A record at this place, and where the next one starts.
    Record {
        start: usize,
        end: usize,
        next: usize,
    },
    /// The input has no further complete record.
    Incomplete,
}

impl Lines {
    pub(super) fn new(options: &Options) -> Self {
        Lines {
            csv: options.format == Format::Csv,
            quote: options.quote,
            escape: options.escape,
            rest: Vec::new(),
            scanned: 0,
            in_quote: false,
            escaped: false,
            crlf: None,
        }
    }

    /// The record that starts at `start` of `input`. `last` says that nothing follows, so that the
    /// end of the input ends the record.
    ///
    /// # Errors
    /// 22P04 for newlines that are not those of the first record; 54000 for a record that never ends.
    pub(super) fn next(&mut self, input: &[u8], start: usize, last: bool) -> Result<Found> {
        let mut at = start.max(self.scanned);
        loop {
            at = at.saturating_add(self.plain(input.get(at..).unwrap_or_default()));
            let Some(&byte) = input.get(at) else { break };
            if self.csv {
                if self.quote != self.escape && self.in_quote && byte == self.escape {
                    self.escaped = !self.escaped;
                    at += 1;
                    continue;
                }
                if byte == self.quote && !self.escaped {
                    self.in_quote = !self.in_quote;
                }
                self.escaped = false;
                if byte == b'\n' && !self.in_quote {
                    return self.record(input, start, at);
                }
            } else if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'\n' {
                return self.record(input, start, at);
            }
            at += 1;
        }
        self.scanned = at;
        if last && at > start {
            self.reset();
            return Ok(Found::Record {
                start,
                end: at,
                next: at,
            });
        }
        if at.saturating_sub(start) > MAX_RECORD_BYTES {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a COPY line may have at most {MAX_RECORD_BYTES} bytes"),
            ));
        }
        Ok(Found::Incomplete)
    }

    /// How many of the next bytes mean nothing to where records end.
    fn plain(&self, next: &[u8]) -> usize {
        let special = match (self.escaped, self.csv) {
            (true, _) => Some(0),
            (false, true) => memchr3(self.quote, self.escape, b'\n', next),
            (false, false) => memchr2(b'\\', b'\n', next),
        };
        special.unwrap_or(next.len())
    }

    fn reset(&mut self) {
        self.scanned = 0;
        self.in_quote = false;
        self.escaped = false;
    }

    fn record(&mut self, input: &[u8], start: usize, newline: usize) -> Result<Found> {
        self.reset();
        let before = newline.checked_sub(1).filter(|before| *before >= start);
        let has_cr = before.is_some_and(|before| input.get(before) == Some(&b'\r'));
        let crlf = *self.crlf.get_or_insert(has_cr);
        if crlf && !has_cr {
            return Err(match self.csv {
                false => {
                    bad("literal newline found in data").hint("Use \"\\n\" to represent newline.")
                }
                true => bad("unquoted newline found in data")
                    .hint("Use quoted CSV field to represent newline."),
            });
        }
        Ok(Found::Record {
            start,
            end: if crlf {
                newline.saturating_sub(1)
            } else {
                newline
            },
            next: newline.saturating_add(1),
        })
    }

    /// Keeps what follows `from` for the next piece.
    pub(super) fn keep(&mut self, input: &[u8], from: usize) {
        self.rest.clear();
        self.rest
            .extend_from_slice(input.get(from..).unwrap_or(&[]));
        self.scanned = self.scanned.saturating_sub(from);
    }
}

/// The parts of a text between delimiters, which are ASCII.
pub(super) fn split(text: &str, delimiter: u8) -> impl Iterator<Item = &str> {
    let ends = memchr_iter(delimiter, text.as_bytes()).chain([text.len()]);
    let mut start = 0;
    ends.map(move |end| {
        let part = text.get(start..end);
        start = end.saturating_add(1);
        part.unwrap_or_default()
    })
}

/// 22P04.
pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}
