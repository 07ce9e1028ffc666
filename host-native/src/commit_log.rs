//! The commit log on a file: what is written goes to the file at once, because a sync follows.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;

use crate::storage::{open_file, read_available, write_all_at};

/// The commit log's file in a data directory.
pub const LOG_FILE: &str = "omendb.log";

/// The file. Whoever locked the database beside it may open it. After a write or sync that failed, every
/// later one does: nobody knows what the disk holds.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    len: AtomicU64,
    failed: AtomicBool,
}

impl LogFile {
    /// Opens, or creates, the log in `directory`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(directory: &Path) -> io::Result<LogFile> {
        let file = open_file(directory, LOG_FILE)?;
        Ok(LogFile {
            len: AtomicU64::new(file.metadata()?.len()),
            file,
            failed: AtomicBool::new(false),
        })
    }

    fn change(&self, act: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::other("an earlier write or sync of the file failed"));
        }
        let done = act(&self.file);
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }
}

impl StorageBackend for LogFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Acquire))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match read_available(&self.file, out, offset)? == out.len() {
            true => Ok(()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file| file.set_len(len))?;
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(File::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|file| write_all_at(file, data, offset))?;
        self.len
            .fetch_max(offset + data.len() as u64, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn what_is_written_is_read_again_and_survives() {
        let dir = TestDir::new();
        let log = LogFile::open(dir.path()).unwrap();
        assert_eq!(log.len().unwrap(), 0);
        log.write(0, b"one two").unwrap();
        log.write(4, b"six").unwrap();
        log.sync_data().unwrap();
        assert!(log.read(1, &mut [0; 7]).is_err());
        drop(log);
        let log = LogFile::open(dir.path()).unwrap();
        let mut out = [0; 7];
        log.read(0, &mut out).unwrap();
        assert_eq!(&out, b"one six");
        log.set_len(3).unwrap();
        assert_eq!(log.len().unwrap(), 3);
        assert!(log.read(0, &mut out).is_err());
    }
}
