//! The commit log: what was committed since redb was last made durable, as records in order.
//!
//! To make a group durable, redb writes its pages, its tables of tables and its header at as many
//! places of its file; a log appends one record. redb itself is made durable when half of the log is
//! full (a *checkpoint*), for a record too large, and at the close. After a crash, redb is at its last
//! checkpoint, and [`Log::replay`] gives what came after it.
//!
//! The log has two halves. A checkpoint makes the other half the one that is written to, and so leaves
//! alone what counts until it is durable: a crash finds the old checkpoint with its half, or the new one
//! with its own. Nothing that follows a checkpoint is acknowledged before the checkpoint is durable.
//!
//! A record is known by the *life* of the database in which it was written (one from opening to closing)
//! and by its number: what an earlier life, or an earlier use of the half, left behind is no record.
//!
//! A crash may leave any of the records that were not synced, so the first one that cannot be read is the
//! end. But each record says which ones were durable when it was written, and a *mark* after the last
//! one does ([`Log::mark`]): if one of those cannot be read, the log is damaged, and commits that were
//! acknowledged are missing ([`Replay::check_end`]). redb knows how long the file was durably.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

use super::gate::Gate;
use super::log_record;
use crate::error::{Error, Result, SqlState};
use crate::index::checksum::crc32c;

/// Bytes of one half.
const HALF_BYTES: u64 = if cfg!(test) { 16 << 10 } else { 16 << 20 };
/// Bytes of records up to which a batch goes to the log; a larger one becomes a checkpoint. What is
/// taken together as one group stays below twice of it.
pub(super) const MAX_LOGGED: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };
/// The file grows by this, filled with zeros: to sync a write into what a file already has is cheap,
/// because its metadata does not change.
const GROWTH: u64 = if cfg!(test) { 4 << 10 } else { 1 << 20 };

const MAGIC: &[u8; 8] = b"OmenLog\n";
const VERSION: u32 = 1;
/// The magic number, the version, the database's identity, a checksum; padded to a page.
const HEADER_BYTES: u64 = 4096;
const HEADER_USED: usize = 32;
/// Length, checksum, life, number, the number of the first record that need not be durable.
const RECORD_HEAD: usize = 32;
/// Places behind the end of the records that are looked at because they begin like one.
const MOST_LOOKED_AT: usize = 1024;

/// Names a database, so that no other one's log is taken for its own.
pub(super) type Identity = [u8; 16];

/// Where a log goes on from what redb has: stored in redb with every checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub identity: Identity,
    pub life: u64,
    /// The number of the first record that redb does not have.
    pub number: u64,
    /// Where that record is, if there is one: at the beginning of half 0 or 1.
    pub half: u8,
    /// Bytes that the file has had durably since its life began; 0 where that is not known.
    pub bytes: u64,
}

/// The log of an open database.
pub(super) struct Log {
    backend: Arc<dyn StorageBackend>,
    /// Identity, life, the number of the next record, the half that it goes to.
    next: Checkpoint,
    /// Where the next record goes.
    at: u64,
    /// Bytes of the backend.
    len: u64,
    buffer: Vec<u8>,
    synced: Arc<Synced>,
    /// Whether the record before [`Log::at`] has its mark.
    marked: bool,
    gate: Gate,
}

/// What syncs have made durable.
struct Synced {
    /// The number of the first record that need not be durable.
    end: AtomicU64,
    /// Bytes of the backend.
    bytes: AtomicU64,
}

/// A sync of the records that were written before it was made.
pub(super) struct LogSync {
    backend: Arc<dyn StorageBackend>,
    synced: Arc<Synced>,
    end: u64,
    bytes: u64,
}

impl LogSync {
    pub fn run(&self) -> io::Result<()> {
        self.backend.sync_data()?;
        self.synced.end.fetch_max(self.end, Ordering::AcqRel);
        self.synced.bytes.fetch_max(self.bytes, Ordering::AcqRel);
        Ok(())
    }
}

impl Log {
    /// Gives the backend a header, durably, and forgets what else it holds.
    pub fn create(backend: &dyn StorageBackend, identity: &Identity) -> Result<()> {
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(identity);
        header.extend_from_slice(&crc32c(&header).to_le_bytes());
        debug_assert_eq!(header.len(), HEADER_USED);
        header.resize(HEADER_BYTES as usize, 0);
        let write = || {
            backend.set_len(HEADER_BYTES)?;
            backend.write(0, &header)?;
            backend.sync_data()
        };
        write().map_err(failed)
    }

    /// Whether the backend holds the log of the database `identity`.
    ///
    /// # Errors
    /// 0A000 for a log of another version, 58030 when the backend fails.
    pub fn is_of(backend: &dyn StorageBackend, identity: &Identity) -> Result<bool> {
        if backend.len().map_err(failed)? < HEADER_BYTES {
            return Ok(false);
        }
        let mut header = [0; HEADER_USED];
        backend.read(0, &mut header).map_err(failed)?;
        let (fields, checksum) = header.split_at(HEADER_USED - 4);
        if crc32c(fields).to_le_bytes() != checksum || fields.get(..8) != Some(MAGIC) {
            return Ok(false);
        }
        let version = fields.get(8..12) == Some(&VERSION.to_le_bytes());
        if !version {
            return Err(Error::unsupported(
                "this version of the commit log",
                "Open the database with the release that wrote it, and stop it there.",
            ));
        }
        Ok(fields.get(12..) == Some(identity))
    }

    /// Sees to room for the first records. Returns how many bytes the backend has durably from now on.
    pub fn make_room(backend: &dyn StorageBackend) -> Result<u64> {
        let len = backend.len().map_err(failed)?;
        let room = || {
            if len < HEADER_BYTES + GROWTH {
                backend.write(len, &vec![0; GROWTH as usize])?;
            }
            backend.sync_data()?;
            backend.len()
        };
        room().map_err(failed)
    }

    /// What follows a checkpoint, record by record. The first thing that is not the next record is
    /// the end.
    pub fn replay(backend: &dyn StorageBackend, from: Checkpoint) -> Replay<'_> {
        let at = half_at(from.half);
        Replay {
            backend,
            life: from.life,
            number: from.number,
            bytes: from.bytes,
            at,
            end: at + HALF_BYTES,
        }
    }

    /// Goes on writing after a checkpoint that is durable. When the log is dropped, the gate before
    /// redb is shut: without a last checkpoint, redb must stay at the one that it had.
    pub fn start(backend: Arc<dyn StorageBackend>, from: Checkpoint, gate: Gate) -> Result<Log> {
        let len = backend.len().map_err(failed)?;
        Ok(Log {
            at: half_at(from.half),
            synced: Arc::new(Synced {
                end: AtomicU64::new(from.number),
                bytes: AtomicU64::new(from.bytes),
            }),
            // There is none before it.
            marked: true,
            next: from,
            backend,
            len,
            buffer: Vec::new(),
            gate,
        })
    }

    /// Whether a group of up to twice [`MAX_LOGGED`] might not fit.
    pub fn is_full(&self) -> bool {
        let room = (2 * MAX_LOGGED + RECORD_HEAD + log_record::MAX_NUMBER) as u64;
        self.at + room > half_at(self.next.half) + HALF_BYTES
    }

    /// Appends a record, which `write` makes. It is durable after a [`Log::sync`] that is made later.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut record = std::mem::take(&mut self.buffer);
        record.clear();
        record.resize(RECORD_HEAD, 0);
        write(&mut record);
        let head = Head {
            life: self.next.life,
            number: self.next.number,
            unsynced: self.synced.end.load(Ordering::Acquire),
        };
        seal(&mut record, &head)?;
        let end = self.at + record.len() as u64;
        if end > half_at(self.next.half) + HALF_BYTES {
            return Err(Error::internal("a record does not fit into the log"));
        }
        while self.len < end {
            let zeros = vec![0; GROWTH as usize];
            self.backend.write(self.len, &zeros).map_err(failed)?;
            self.len += GROWTH;
        }
        self.backend.write(self.at, &record).map_err(failed)?;
        self.at = end;
        self.next.number += 1;
        self.marked = false;
        self.buffer = record;
        Ok(())
    }

    /// Says after the last record that it is durable, if it is, where the next one will be written. No
    /// sync follows: the mark costs none, and reaches the disk with the next one, or when the system
    /// writes it. It is no record: its number is the next one but one.
    pub fn mark(&mut self) -> Result<()> {
        let end = self.synced.end.load(Ordering::Acquire);
        let room = self.len.min(half_at(self.next.half) + HALF_BYTES);
        if self.marked || end != self.next.number || self.at + RECORD_HEAD as u64 > room {
            return Ok(());
        }
        let mut mark = [0; RECORD_HEAD];
        let head = Head {
            life: self.next.life,
            number: end + 1,
            unsynced: end,
        };
        seal(&mut mark, &head)?;
        self.backend.write(self.at, &mark).map_err(failed)?;
        self.marked = true;
        Ok(())
    }

    /// What a checkpoint stores that is made now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            half: 1 - self.next.half,
            bytes: self.synced.bytes.load(Ordering::Acquire),
            ..self.next
        }
    }

    /// The checkpoint was made (it need not be durable yet): goes on in the other half.
    pub fn turn(&mut self) {
        self.next = self.checkpoint();
        self.at = half_at(self.next.half);
        self.marked = true;
    }

    /// What makes all records durable that were appended so far.
    pub fn sync(&self) -> LogSync {
        LogSync {
            backend: self.backend.clone(),
            synced: self.synced.clone(),
            end: self.next.number,
            bytes: self.len,
        }
    }

    /// Ends the log of a database that has been closed, and gives back its space.
    pub fn close(self) -> Result<()> {
        let close = || {
            self.backend.set_len(HEADER_BYTES)?;
            self.backend.close()
        };
        close().map_err(failed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.gate.shut();
    }
}

/// The records after a checkpoint.
pub(super) struct Replay<'a> {
    backend: &'a dyn StorageBackend,
    life: u64,
    number: u64,
    bytes: u64,
    at: u64,
    end: u64,
}

impl Replay<'_> {
    /// The next record.
    ///
    /// # Errors
    /// 58030 when the backend cannot be read.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let len = self.backend.len().map_err(failed)?;
        let room = len.min(self.end).saturating_sub(self.at);
        if room < RECORD_HEAD as u64 {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.backend.read(self.at, &mut length).map_err(failed)?;
        let length = u32::from_le_bytes(length) as usize;
        if length < RECORD_HEAD || length as u64 > room {
            return Ok(None);
        }
        let mut record = vec![0; length];
        self.backend.read(self.at, &mut record).map_err(failed)?;
        if sealed(&record).is_none_or(|head| (head.life, head.number) != (self.life, self.number)) {
            return Ok(None);
        }
        self.at += length as u64;
        self.number += 1;
        record.drain(..RECORD_HEAD);
        Ok(Some(record))
    }

    /// Whether the records end where they may: no later one says that the next was durable.
    ///
    /// # Errors
    /// XX001 if one does, or the file is shorter than it was; 58030 when the backend cannot be read.
    pub fn check_end(&self) -> Result<()> {
        let len = self.backend.len().map_err(failed)?;
        if len < self.bytes {
            return Err(Error::new(
                SqlState::DATA_CORRUPTED,
                format!("the commit log is cut off: it has {len} bytes, and had {}", self.bytes),
            )
            .hint(format!("Restore a copy of the database and its log. To open it without the commits that are missing, append zeros up to {} bytes.", self.bytes)));
        }
        let room = len.min(self.end).saturating_sub(self.at);
        if room < RECORD_HEAD as u64 {
            return Ok(());
        }
        let mut rest = vec![0; usize::try_from(room).unwrap_or_default()];
        self.backend.read(self.at, &mut rest).map_err(failed)?;
        let most = self.number + room / RECORD_HEAD as u64;
        let later = (0..rest.len())
            .filter_map(|at| record_at(rest.get(at..)?))
            .filter(|(head, _)| {
                let number = self.number + 1..=most;
                head.life == self.life
                    && number.contains(&head.number)
                    && head.unsynced > self.number
            })
            .take(MOST_LOOKED_AT);
        for (_, record) in later {
            if sealed(record).is_some() {
                return Err(Error::new(
                    SqlState::DATA_CORRUPTED,
                    format!(
                        "the commit log is damaged at byte {}: commits that were acknowledged cannot be read",
                        self.at
                    ),
                )
                .hint("Restore a copy of the database and its log. To open it without these commits, and all that follow them, overwrite the log with zeros from there on."));
            }
        }
        Ok(())
    }
}

/// The part of a record's head that is checked.
struct Head {
    life: u64,
    number: u64,
    unsynced: u64,
}

/// The head of what begins like a record, and all of it.
fn record_at(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (life, rest) = rest.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (unsynced, _) = rest.split_first_chunk::<8>()?;
    let head = Head {
        life: u64::from_le_bytes(*life),
        number: u64::from_le_bytes(*number),
        unsynced: u64::from_le_bytes(*unsynced),
    };
    let length = u32::from_le_bytes(*length) as usize;
    let record = bytes.get(..length)?;
    (length >= RECORD_HEAD).then_some((head, record))
}

/// The head of these bytes, if they are a record.
fn sealed(record: &[u8]) -> Option<Head> {
    let (head, whole) = record_at(record)?;
    let (sums, rest) = whole.split_at_checked(8)?;
    sums.ends_with(&crc32c(rest).to_le_bytes()).then_some(head)
}

fn half_at(half: u8) -> u64 {
    HEADER_BYTES + u64::from(half) * HALF_BYTES
}

/// Fills in the head of a record, its length and the checksum of all that follows.
fn seal(record: &mut [u8], head: &Head) -> Result<()> {
    let length = u32::try_from(record.len())
        .map_err(|_| Error::internal("a record of the log is too long"))?;
    let (sums, rest) = record.split_at_mut(8);
    for (to, field) in rest
        .chunks_exact_mut(8)
        .zip([head.life, head.number, head.unsynced])
    {
        to.copy_from_slice(&field.to_le_bytes());
    }
    let (length_at, checksum_at) = sums.split_at_mut(4);
    length_at.copy_from_slice(&length.to_le_bytes());
    checksum_at.copy_from_slice(&crc32c(rest).to_le_bytes());
    Ok(())
}

fn failed(error: io::Error) -> Error {
    Error::io("the commit log", &error)
}
