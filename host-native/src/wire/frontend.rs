//! Messages from the client, decoded in place: everything borrows from the input buffer.
//!
//! Formats: PostgreSQL documentation, "Message Formats". A body that does not have the form of its
//! message is an error of the session (08P01), as in PostgreSQL; a frame that is not one ends the
//! connection, because what follows cannot be told apart any more.

use omendb_core::error::{Error, Result, SqlState};
use omendb_core::session::{Format, Parameter};

/// The largest message that is read: PostgreSQL's `PQ_LARGE_MESSAGE_LIMIT` (1 GiB - 1).
pub const MAX_MESSAGE: usize = 0x3fff_ffff;
/// The largest message of a kind that has no variable content (`PQ_SMALL_MESSAGE_LIMIT`).
pub const MAX_SMALL_MESSAGE: usize = 10_000;

/// The largest length field (it counts itself) of messages of type `tag`; `None` for no message.
pub fn length_limit(tag: u8) -> Option<usize> {
    match tag {
        b'Q' | b'P' | b'B' | b'F' | b'd' | b'f' => Some(MAX_MESSAGE),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' => Some(MAX_SMALL_MESSAGE),
        _ => None,
    }
}

fn malformed(what: &str) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, what)
}

/// Text as PostgreSQL takes it: UTF-8, or 22021 with the offending bytes.
pub fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let from = error.valid_up_to();
        let bad = bytes.get(from..).unwrap_or_default();
        let count = bad.first().map_or(1, |&first| match first {
            0xf0..=0xff => 4,
            0xe0..=0xef => 3,
            0xc0..=0xdf => 2,
            _ => 1,
        });
        let shown: Vec<String> = bad
            .iter()
            .take(count)
            .map(|b| format!("0x{b:02x}"))
            .collect();
        Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!(
                "invalid byte sequence for encoding \"UTF8\": {}",
                shown.join(" ")
            ),
        )
    })
}

/// Reads a body from front to back.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Reader(body)
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| malformed("insufficient data left in message"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| malformed("insufficient data left in message"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// A string that ends with a zero byte.
    pub fn cstr(&mut self) -> Result<&'a str> {
        let end = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .ok_or_else(|| malformed("invalid string in message"))?;
        let string = self.bytes(end)?;
        self.u8()?;
        text(string)
    }

    pub fn end(&self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed("invalid message format"))
        }
    }

    fn format(&mut self) -> Result<Format> {
        match self.u16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unsupported format code: {other}"),
            )),
        }
    }
}

/// `Query`: one string.
pub fn query(body: &[u8]) -> Result<&str> {
    let mut reader = Reader::new(body);
    let sql = reader.cstr()?;
    reader.end()?;
    Ok(sql)
}

/// `Parse`: statement name, SQL, parameter types.
pub fn parse<'a>(body: &'a [u8], types: &mut Vec<u32>) -> Result<(&'a str, &'a str)> {
    let mut reader = Reader::new(body);
    let name = reader.cstr()?;
    let sql = reader.cstr()?;
    types.clear();
    for _ in 0..reader.u16()? {
        types.push(reader.u32()?);
    }
    reader.end()?;
    Ok((name, sql))
}

/// `Bind`: everything but the result formats, which go into a buffer of the caller.
pub struct Bind<'a> {
    pub portal: &'a str,
    pub statement: &'a str,
    pub parameters: Vec<Parameter<'a>>,
}

pub fn bind<'a>(body: &'a [u8], result_formats: &mut Vec<Format>) -> Result<Bind<'a>> {
    let mut reader = Reader::new(body);
    let portal = reader.cstr()?;
    let statement = reader.cstr()?;

    let format_count = usize::from(reader.u16()?);
    let mut formats = Reader::new(reader.bytes(2 * format_count)?);
    let count = usize::from(reader.u16()?);
    if format_count > 1 && format_count != count {
        return Err(malformed(&format!(
            "bind message has {format_count} parameter formats but {count} parameters"
        )));
    }
    let common = if format_count == 1 {
        formats.format()?
    } else {
        Format::Text
    };
    // Each parameter takes at least its length, so the message bounds the allocation.
    let mut parameters = Vec::with_capacity(count.min(reader.0.len() / 4));
    for _ in 0..count {
        let format = if format_count > 1 {
            formats.format()?
        } else {
            common
        };
        let value = match reader.i32()? {
            -1 => None,
            length => {
                let length = usize::try_from(length)
                    .map_err(|_| malformed("invalid parameter length in message"))?;
                Some(reader.bytes(length)?)
            }
        };
        parameters.push(Parameter { format, value });
    }

    result_formats.clear();
    for _ in 0..reader.u16()? {
        result_formats.push(reader.format()?);
    }
    reader.end()?;
    Ok(Bind {
        portal,
        statement,
        parameters,
    })
}

/// What `Describe` and `Close` speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

/// `Describe` and `Close`: a kind and a name.
pub fn target<'a>(body: &'a [u8], message: &str) -> Result<(Target, &'a str)> {
    let mut reader = Reader::new(body);
    let target = match reader.u8()? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        other => {
            return Err(malformed(&format!(
                "invalid {message} message subtype {other}"
            )));
        }
    };
    let name = reader.cstr()?;
    reader.end()?;
    Ok((target, name))
}

/// `Execute`: portal name and row limit; a limit of zero or less is none (0).
pub fn execute(body: &[u8]) -> Result<(&str, usize)> {
    let mut reader = Reader::new(body);
    let portal = reader.cstr()?;
    let limit = usize::try_from(reader.i32()?).unwrap_or(0);
    reader.end()?;
    Ok((portal, limit))
}
