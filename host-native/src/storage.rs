//! The storage backend on a file.
//!
//! redb issues one small write for each page. They are kept in memory, sorted by offset, until
//! `sync_data`, where neighbours go out in one large write before the file is synced. Reads see
//! what is kept. An unsynced write may be lost in a crash, as the storage trait allows; a failed
//! write or sync makes every later write and sync fail, because nobody knows what the disk holds.
//!
//! A sync may be late ([`LateSync`]): its first half only puts aside what is to be written, and
//! whatever is written afterwards stays in memory until the second half is done.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Error, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use omendb_core::env::LateSync;
use parking_lot::{Mutex, RwLock};
use redb::StorageBackend;

/// The database's file in a data directory.
pub const DATABASE_FILE: &str = "omendb.redb";
/// The most bytes of unsynced writes in memory; beyond, they go to the file early (without a sync).
const MAX_BUFFERED: usize = 64 << 20;
/// The largest single write.
const MAX_WRITE: usize = 1 << 20;

/// A file, locked for this process, with a buffer of unsynced writes. Clones are one.
#[derive(Clone, Debug)]
pub struct FileBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    max_buffered: usize,
    writes: RwLock<Writes>,
    /// Held by whoever hands writes to the file or syncs it. Says whether a sync was put off: then
    /// `leaving` waits for its second half.
    syncing: Mutex<bool>,
    /// The next sync is a late one.
    deferred: AtomicBool,
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Writes {
    /// Length of the storage.
    len: u64,
    /// Not yet handed to the file. Ranges do not overlap.
    pending: Ranges,
    /// Being handed to the file.
    leaving: Arc<Ranges>,
}

impl FileBackend {
    /// Opens, or creates, the database file in `directory`, and locks it. Writes that are not synced take up
    /// to twice `memory` bytes, when they come faster than the disk takes them.
    ///
    /// # Errors
    /// `WouldBlock` when another process has it open.
    pub fn open(directory: &Path, memory: usize) -> io::Result<FileBackend> {
        create_directory(directory)?;
        let file = open_file(directory, DATABASE_FILE)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::from(ErrorKind::WouldBlock),
            TryLockError::Error(error) => error,
        })?;
        let len = file.metadata()?.len();
        let shared = Shared {
            file,
            max_buffered: memory.min(MAX_BUFFERED),
            writes: RwLock::new(Writes {
                len,
                ..Writes::default()
            }),
            syncing: Mutex::new(false),
            deferred: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        };
        Ok(FileBackend {
            shared: Arc::new(shared),
        })
    }

    /// Whether there is a database in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join(DATABASE_FILE).exists()
    }

    /// The two halves of its sync.
    pub fn late_sync(&self) -> Arc<dyn LateSync> {
        self.shared.clone()
    }
}

impl Shared {
    fn check(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::other("an earlier write or sync of the file failed"));
        }
        Ok(())
    }

    fn settle<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Puts aside all buffered writes. The caller holds `syncing`, and nothing is put aside yet.
    fn put_aside(&self) {
        let mut writes = self.writes.write();
        writes.leaving = Arc::new(std::mem::take(&mut writes.pending));
    }

    /// Hands what was put aside to the file. The caller holds `syncing`.
    fn drain(&self) -> io::Result<()> {
        // Readers and writers go on meanwhile: only holders of `syncing` change `leaving`.
        let leaving = self.writes.read().leaving.clone();
        if leaving.is_empty() {
            return Ok(());
        }
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (&offset, data) in &leaving.map {
            let adjacent = start + run.len() as u64 == offset;
            if !run.is_empty() && (!adjacent || run.len() + data.len() > MAX_WRITE) {
                write_all_at(&self.file, &run, start)?;
                run.clear();
            }
            if run.is_empty() {
                start = offset;
            }
            run.extend_from_slice(data);
        }
        write_all_at(&self.file, &run, start)?;
        self.writes.write().leaving = Arc::default();
        Ok(())
    }

    /// The second half of a sync that was put off. The caller holds `syncing`.
    fn finish_put_off(&self, put_off: &mut bool) -> io::Result<()> {
        if !*put_off {
            return Ok(());
        }
        self.settle(self.drain().and_then(|()| self.file.sync_data()))?;
        *put_off = false;
        Ok(())
    }
}

impl LateSync for Shared {
    fn defer(&self) {
        self.deferred.store(true, Ordering::Release);
    }

    fn finish(&self) -> io::Result<()> {
        self.deferred.store(false, Ordering::Release);
        self.check()?;
        self.finish_put_off(&mut self.syncing.lock())
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.shared.writes.read().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let writes = self.shared.writes.read();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > writes.len) {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "read beyond the end of the storage",
            ));
        }
        if writes.pending.covers(offset, out) {
            return Ok(());
        }
        read_zeroed(&self.shared.file, out, offset)?;
        writes.leaving.overlay(offset, out);
        writes.pending.overlay(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let shared = &self.shared;
        shared.check()?;
        let mut put_off = shared.syncing.lock();
        // What is cut off may be part of the state that a crash before the sync goes back to.
        shared.finish_put_off(&mut put_off)?;
        let mut writes = shared.writes.write();
        if len < writes.len {
            writes.pending.truncate(len);
        }
        shared.settle(shared.file.set_len(len))?;
        writes.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let shared = &self.shared;
        shared.check()?;
        let mut put_off = shared.syncing.lock();
        shared.finish_put_off(&mut put_off)?;
        shared.put_aside();
        *put_off = true;
        if shared.deferred.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        shared.finish_put_off(&mut put_off)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let shared = &self.shared;
        shared.check()?;
        if data.is_empty() {
            return Ok(());
        }
        let full = {
            let mut writes = shared.writes.write();
            let end = offset
                .checked_add(data.len() as u64)
                .ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
            writes.len = writes.len.max(end);
            writes.pending.insert(offset, data);
            writes.pending.bytes > shared.max_buffered
        };
        if full {
            let mut put_off = shared.syncing.lock();
            shared.finish_put_off(&mut put_off)?;
            shared.put_aside();
            shared.settle(shared.drain())?;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let shared = &self.shared;
        if shared.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut put_off = shared.syncing.lock();
        shared.finish_put_off(&mut put_off)?;
        shared.put_aside();
        shared.drain()?;
        shared.file.unlock()
    }
}

/// Byte ranges that do not overlap, by offset.
#[derive(Debug, Default)]
struct Ranges {
    map: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Ranges {
    fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Puts `data` at `offset`, over whatever was there.
    fn insert(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if let Some(same) = self.map.get_mut(&offset)
            && same.len() == data.len()
        {
            same.copy_from_slice(data);
            return;
        }
        self.clear(offset, offset + data.len() as u64);
        self.bytes += data.len();
        self.map.insert(offset, data.to_vec());
    }

    /// Forgets what is at or beyond `len`.
    fn truncate(&mut self, len: u64) {
        self.clear(len, u64::MAX);
    }

    /// Cuts `start..end` out.
    fn clear(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        // The range that begins before `start` may reach into it, even beyond `end`.
        if let Some((&at, data)) = self.map.range_mut(..start).next_back() {
            let keep = usize::try_from(start - at).unwrap_or(usize::MAX);
            if keep < data.len() {
                let cut = data.split_off(keep);
                self.bytes -= cut.len();
                self.put_tail(start, cut, end);
            }
        }
        while let Some((&at, _)) = self.map.range(start..end).next() {
            let Some(data) = self.map.remove(&at) else {
                break;
            };
            self.bytes -= data.len();
            self.put_tail(at, data, end);
        }
    }

    /// Puts back what of `data` at `at` lies at or beyond `end`.
    fn put_tail(&mut self, at: u64, mut data: Vec<u8>, end: u64) {
        let skip = usize::try_from(end - at).unwrap_or(usize::MAX);
        if skip < data.len() {
            let tail = data.split_off(skip);
            self.bytes += tail.len();
            self.map.insert(end, tail);
        }
    }

    /// Fills `out` if one range covers all of it.
    fn covers(&self, offset: u64, out: &mut [u8]) -> bool {
        let Some((&at, data)) = self.map.range(..=offset).next_back() else {
            return false;
        };
        let from = usize::try_from(offset - at).unwrap_or(usize::MAX);
        let source = data.get(from..).and_then(|rest| rest.get(..out.len()));
        match source {
            Some(source) => {
                out.copy_from_slice(source);
                true
            }
            None => false,
        }
    }

    /// Writes what is here over `out`, which stands for the bytes at `offset`.
    fn overlay(&self, offset: u64, out: &mut [u8]) {
        let end = offset.saturating_add(out.len() as u64);
        let before = self.map.range(..offset).next_back();
        let within = self
            .map
            .range((Bound::Included(offset), Bound::Excluded(end)));
        for (&at, data) in before.into_iter().chain(within) {
            let skip = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
            let to = usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            let (Some(source), Some(target)) = (data.get(skip..), out.get_mut(to..)) else {
                continue;
            };
            for (target, source) in target.iter_mut().zip(source) {
                *target = *source;
            }
        }
    }
}

/// Reads at `offset`; what lies beyond the end of the file is zero (the storage may be longer
/// than the file until its writes go out).
fn read_zeroed(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    let done = read_available(file, out, offset)?;
    if let Some(beyond) = out.get_mut(done..) {
        beyond.fill(0);
    }
    Ok(())
}

/// Reads at `offset` what the file has of it. Returns the number of bytes.
pub(crate) fn read_available(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match read_at(file, rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, offset)
}

#[cfg(windows)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, offset)
}

#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, data, offset)?;
        if count == 0 {
            return Err(Error::from(ErrorKind::WriteZero));
        }
        data = data.get(count..).unwrap_or_default();
        offset += count as u64;
    }
    Ok(())
}

/// Opens a file of a data directory, or creates it, readable for its owner only, and makes its name
/// durable.
pub(crate) fn open_file(directory: &Path, name: &str) -> io::Result<File> {
    let path = directory.join(name);
    let created = !path.exists();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    if created {
        sync_directory(directory)?;
    }
    Ok(file)
}

/// Makes `directory`, readable for its owner only, and makes its name durable.
fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    sync_directory(&parent)
}

/// Makes the names in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_dir::TestDir;

    const SIZE: u64 = 4096;

    #[derive(Clone, Debug)]
    enum Op {
        Write(u64, Vec<u8>),
        Read(u64, usize),
        SetLen(u64),
        Sync,
        Defer,
        Finish,
        Reopen,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0..SIZE, prop::collection::vec(any::<u8>(), 0..700))
                .prop_map(|(at, data)| Op::Write(at, data)),
            6 => (0..SIZE, 0..900_usize).prop_map(|(at, count)| Op::Read(at, count)),
            1 => (1..SIZE * 2).prop_map(Op::SetLen),
            1 => Just(Op::Sync),
            1 => Just(Op::Defer),
            1 => Just(Op::Finish),
            1 => Just(Op::Reopen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn behaves_like_a_vector(ops in prop::collection::vec(op(), 1..60)) {
            let dir = TestDir::new();
            let mut backend = FileBackend::open(dir.path(), MAX_BUFFERED).unwrap();
            let mut model: Vec<u8> = Vec::new();
            for op in ops {
                match op {
                    Op::Write(at, data) => {
                        backend.write(at, &data).unwrap();
                        let end = at as usize + data.len();
                        // As in a file, writing nothing does not make it longer.
                        if model.len() < end && !data.is_empty() {
                            model.resize(end, 0);
                        }
                        if let Some(range) = model.get_mut(at as usize..end) {
                            range.copy_from_slice(&data);
                        }
                    }
                    Op::Read(at, count) => {
                        let mut out = vec![0xee; count];
                        let read = backend.read(at, &mut out);
                        match model.get(at as usize..at as usize + count) {
                            Some(expected) => {
                                read.unwrap();
                                prop_assert_eq!(&out, expected);
                            }
                            None => prop_assert!(read.is_err()),
                        }
                    }
                    Op::SetLen(len) => {
                        backend.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                    Op::Sync => backend.sync_data().unwrap(),
                    Op::Defer => {
                        backend.late_sync().defer();
                        backend.sync_data().unwrap();
                    }
                    Op::Finish => backend.late_sync().finish().unwrap(),
                    Op::Reopen => {
                        backend.close().unwrap();
                        drop(backend);
                        backend = FileBackend::open(dir.path(), MAX_BUFFERED).unwrap();
                    }
                }
                prop_assert_eq!(backend.len().unwrap(), model.len() as u64);
            }
        }
    }

    #[test]
    fn a_second_opening_is_refused() {
        let dir = TestDir::new();
        let first = FileBackend::open(dir.path(), MAX_BUFFERED).unwrap();
        let error = FileBackend::open(dir.path(), MAX_BUFFERED).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(first);
        FileBackend::open(dir.path(), MAX_BUFFERED).unwrap();
    }

    #[test]
    fn nothing_overtakes_a_late_sync() {
        let dir = TestDir::new();
        let backend = FileBackend::open(dir.path(), MAX_BUFFERED).unwrap();
        let on_disk = || std::fs::read(dir.path().join(DATABASE_FILE)).unwrap();
        backend.write(0, b"one").unwrap();
        backend.late_sync().defer();
        backend.sync_data().unwrap();
        backend.write(0, b"two").unwrap();
        let mut out = [0; 3];
        backend.read(0, &mut out).unwrap();
        assert_eq!((&out, on_disk().as_slice()), (b"two", &b""[..]));
        backend.late_sync().finish().unwrap();
        assert_eq!(on_disk(), b"one");
        // A sync that is not late finishes the late one before it.
        backend.late_sync().defer();
        backend.sync_data().unwrap();
        backend.write(0, b"six").unwrap();
        backend.sync_data().unwrap();
        assert_eq!(on_disk(), b"six");
        // What was taken back is not late.
        backend.late_sync().defer();
        backend.late_sync().finish().unwrap();
        backend.write(0, b"ten").unwrap();
        backend.sync_data().unwrap();
        assert_eq!(on_disk(), b"ten");
    }

    #[test]
    fn a_full_buffer_goes_to_the_file_early() {
        let dir = TestDir::new();
        let backend = FileBackend::open(dir.path(), 3 * MAX_WRITE).unwrap();
        let block = vec![7; MAX_WRITE];
        for at in 0..20 {
            backend.write((at * MAX_WRITE) as u64, &block).unwrap();
            assert!(backend.shared.writes.read().pending.bytes <= 3 * MAX_WRITE);
        }
        let mut out = [0; 3];
        backend.read(12_345, &mut out).unwrap();
        assert_eq!(out, [7; 3]);
    }
}
