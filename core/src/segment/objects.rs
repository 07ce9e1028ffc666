//! The host's object store, driven to completion by the caller.
//!
//! Reads and writes block: a directory answers at once, memory as well. What the store says is
//! sorted into two kinds of failure: an object that is missing or too short is damage (XX001), which
//! a reader may know how to mend; everything else is a failure of the medium (58030,
//! or 53100 when it is full).

use std::error::Error as _;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutPayload};
use pollster::block_on;

use super::meta::{object_owner, parquet_path, side_path};
use crate::error::{Error, Result, SqlState};

/// An object store. Clones share it.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.store)
    }
}

impl Objects {
    /// `store` has to make an object durable before it says that it is written, and show it whole
    /// or not at all.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Objects { store }
    }

    /// Bytes of an object.
    ///
    /// # Errors
    /// XX001 when the object is missing or ends before the range does, 58030 when it cannot be read.
    pub fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let location = location(path)?;
        let wanted = range.end - range.start;
        let read = block_on(
            self.store
                .get_ranges(&location, std::slice::from_ref(&range)),
        );
        match read.map(|mut read| read.pop().unwrap_or_default()) {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(_) => Err(short(path)),
            Err(StoreError::NotFound { .. }) => Err(missing(path)),
            Err(error) => Err(match block_on(self.store.head(&location)) {
                Ok(found) if found.size < range.end => short(path),
                Err(StoreError::NotFound { .. }) => missing(path),
                _ => failed("read", path, &error),
            }),
        }
    }

    /// How many bytes an object has.
    ///
    /// # Errors
    /// XX001 when the object is missing, 58030 when the store fails.
    pub fn size(&self, path: &str) -> Result<u64> {
        match block_on(self.store.head(&location(path)?)) {
            Ok(found) => Ok(found.size),
            Err(StoreError::NotFound { .. }) => Err(missing(path)),
            Err(error) => Err(failed("read", path, &error)),
        }
    }

    /// Writes an object, in place of one that has this name. It is durable when this returns.
    ///
    /// # Errors
    /// 58030 when the store fails; the object is then there whole or not at all.
    pub fn write(&self, path: &str, payload: impl Into<PutPayload>) -> Result<()> {
        block_on(self.store.put(&location(path)?, payload.into()))
            .map(|_| ())
            .map_err(|error| failed("write", path, &error))
    }

    /// Deletes the objects of a segment. One that is not there is no error.
    ///
    /// # Errors
    /// 58030 when the store fails; the other object may be deleted nevertheless.
    pub fn delete(&self, table: u64, segment: u64) -> Result<()> {
        let parquet = self.delete_object(&parquet_path(table, segment));
        self.delete_object(&side_path(table, segment)).and(parquet)
    }

    /// Deletes one object. One that is not there is no error.
    ///
    /// # Errors
    /// 58030 when the store fails.
    pub fn delete_object(&self, path: &str) -> Result<()> {
        match block_on(self.store.delete(&location(path)?)) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", path, &error)),
        }
    }

    /// The segments that have objects: table and number, each once, in order. Objects with other
    /// names are somebody else's.
    ///
    /// # Errors
    /// 58030 when the store fails.
    pub fn list(&self) -> Result<Vec<(u64, u64)>> {
        let listed = self.store.list(None).try_collect::<Vec<_>>();
        let listed = block_on(listed).map_err(|error| failed("list", "*", &error))?;
        let mut owners: Vec<(u64, u64)> = listed
            .iter()
            .filter_map(|object| object_owner(object.location.as_ref()))
            .collect();
        owners.sort_unstable();
        owners.dedup();
        Ok(owners)
    }
}

fn location(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|error| Error::internal(format!("object name: {error}")))
}

fn missing(path: &str) -> Error {
    Error::corrupted(format!("object {path} is missing"))
}

fn short(path: &str) -> Error {
    Error::corrupted(format!("object {path} ends early"))
}

fn failed(what: &str, path: &str, error: &StoreError) -> Error {
    let what = format!("could not {what} object {path}");
    let cause = error.source();
    match cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => Error::io(what, cause),
        None => Error::new(SqlState::IO_ERROR, format!("{what}: {error}")),
    }
}
