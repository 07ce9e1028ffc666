//! A storage backend that can be shut, for good.
//!
//! redb makes durable what is visible when it is dropped. After a failure, and where the commit log
//! knows better what was committed, it must not: what it would write belongs to no state that a
//! recovery may find.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

/// Shuts a backend. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    /// The backend, for as long as this gate is open.
    pub fn on<B: StorageBackend>(&self, backend: B) -> Gated<B> {
        Gated {
            backend,
            gate: self.clone(),
        }
    }

    /// From now on, every write fails. Reads go on.
    pub fn shut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::Acquire) {
            true => Err(io::Error::other("the database takes no more writes")),
            false => Ok(()),
        }
    }
}

/// A backend with a gate before whatever changes it.
#[derive(Debug)]
pub(super) struct Gated<B> {
    backend: B,
    gate: Gate,
}

impl<B: StorageBackend> StorageBackend for Gated<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.gate.check()?;
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.check()?;
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.gate.check()?;
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }
}
