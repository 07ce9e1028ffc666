//! Little-endian bytes: what the formats of this folder are written and read with.

use crate::error::{Error, Result, SqlState};
pub(super) use crate::index::checksum::crc32c as checksum;

/// A format version that this build does not read.
pub(super) fn other_version(what: &str, found: u16, known: u16) -> Error {
    Error::unsupported(
        format!("{what} format version {found}"),
        format!(
            "This build reads version {known}. Open the database with the release that wrote it."
        ),
    )
}

/// More of something than the format counts.
pub(super) fn too_much(what: &str) -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a segment with too many {what}"),
    )
}

/// A number that the format holds in four bytes.
pub(super) fn small(number: usize, what: &str) -> Result<u32> {
    u32::try_from(number).map_err(|_| too_much(what))
}

/// Appends a length and bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    out.extend_from_slice(&small(bytes.len(), "bytes in one value")?.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// What is left to read of some stored bytes. Every error is XX001 and names what they are.
pub(super) struct Reader<'b> {
    rest: &'b [u8],
    what: &'b str,
}

impl<'b> Reader<'b> {
    pub fn new(bytes: &'b [u8], what: &'b str) -> Self {
        Reader { rest: bytes, what }
    }

    pub fn damaged(&self, how: &str) -> Error {
        Error::corrupted(format!("{}: {how}", self.what))
    }

    pub fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.damaged("it ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.take().map(u8::from_le_bytes)
    }

    pub fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged("not a flag")),
        }
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn i32(&mut self) -> Result<i32> {
        self.take().map(i32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn slice(&mut self, length: usize) -> Result<&'b [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.damaged("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self) -> Result<&'b [u8]> {
        let length = self.u32()? as usize;
        self.slice(length)
    }

    /// A number of items that take at least `least` bytes each, so that nothing is allocated for
    /// items that are not there.
    pub fn count(&mut self, least: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / least.max(1) {
            return Err(self.damaged("fewer items than announced"));
        }
        Ok(count)
    }

    pub fn end(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.damaged("bytes behind its end"))
        }
    }
}
