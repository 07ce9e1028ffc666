//! The object store on a directory: segments as files.
//!
//! `object_store`'s own directory store does not sync. This one does: an object that was put is on
//! the disk, with its name, before `put` returns, and it was there whole or not at all before.
//! Reads and writes happen on the calling thread: whoever waits for them blocks anyway, also a thread
//! of the runtime. So nothing here may need that thread: what `object_store` does on others is
//! exempt from the runtime's budget, which only a thread that is not waiting renews.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::task::unconstrained;

use crate::storage::sync_directory;

/// The directory of the segments in a data directory.
pub const SEGMENT_DIRECTORY: &str = "segments";

/// What stands between an object's name and the number of an unfinished write of it. The directory
/// store does not list such files.
const UNFINISHED: char = '#';

/// A directory of objects, each of which is synced when it is written.
#[derive(Debug)]
pub struct SyncedDirectory {
    root: PathBuf,
    files: LocalFileSystem,
    /// Numbers the unfinished files.
    next: AtomicU64,
}

impl fmt::Display for SyncedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

impl SyncedDirectory {
    /// Opens, or creates, the directory; removes what interrupted writes left behind. One process
    /// may have it open: that which has locked the database beside it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(root: &FilePath) -> io::Result<SyncedDirectory> {
        create_synced(root)?;
        remove_unfinished(root)?;
        let root = root.canonicalize()?;
        Ok(SyncedDirectory {
            files: LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?,
            root,
            next: AtomicU64::new(0),
        })
    }

    fn write(&self, path: &FilePath, payload: &PutPayload) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.root);
        create_synced(directory)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!("{UNFINISHED}{number}"));
        let written = write_file(FilePath::new(&unfinished), payload)
            .and_then(|()| fs::rename(&unfinished, path))
            .and_then(|()| sync_directory(directory));
        if written.is_err() {
            // It may be gone already; if not, the next start removes it.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

fn write_file(path: &FilePath, payload: &PutPayload) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    for part in payload {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// Creates a directory, and those above it, and syncs where their names stand.
fn create_synced(directory: &FilePath) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = directory
        .parent()
        .filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        create_synced(above)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(above.unwrap_or(FilePath::new(".")))
}

/// Objects lie one directory deep.
fn remove_unfinished(root: &FilePath) -> io::Result<()> {
    for table in fs::read_dir(root)? {
        let table = table?;
        if !table.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(table.path())? {
            let file = file?;
            let name = file.file_name();
            let number = name.to_str().and_then(|name| name.rsplit_once(UNFINISHED));
            if number.is_some_and(|(_, number)| number.parse::<u64>().is_ok()) {
                fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

fn read(path: &FilePath, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    ranges
        .iter()
        .map(|range| {
            // Nothing is allocated for what is not there.
            if range.start > range.end || range.end > size {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut bytes)?;
            Ok(bytes.into())
        })
        .collect()
}

/// A stream whose items were all waited for at once.
fn gathered<T: Send + 'static>(items: BoxStream<'static, T>) -> BoxStream<'static, T> {
    unconstrained(items.collect::<Vec<T>>())
        .map(stream::iter)
        .flatten_stream()
        .boxed()
}

fn failed(error: io::Error, location: &Path) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound {
            path: location.to_string(),
            source: error.into(),
        },
        _ => Error::Generic {
            store: "SyncedDirectory",
            source: error.into(),
        },
    }
}

#[async_trait]
impl ObjectStore for SyncedDirectory {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite || !options.attributes.is_empty() {
            return Err(self.refuse("put with a condition or attributes"));
        }
        let path = self.files.path_to_filesystem(location)?;
        self.write(&path, &payload)
            .map_err(|error| failed(error, location))?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(self.refuse("put in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        unconstrained(self.files.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = self.files.path_to_filesystem(location)?;
        read(&path, ranges).map_err(|error| failed(error, location))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        gathered(self.files.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        gathered(self.files.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        unconstrained(self.files.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.refuse("copy"))
    }
}

impl SyncedDirectory {
    /// What would not be synced.
    fn refuse(&self, operation: &str) -> Error {
        Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use omendb_core::SqlState;
    use omendb_core::segment::Objects;

    use object_store::ObjectStoreExt;

    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn objects_are_files_that_appear_whole() {
        let directory = TestDir::new();
        let root = directory.path().join("data").join(SEGMENT_DIRECTORY);
        let store = Arc::new(SyncedDirectory::open(&root).unwrap());
        let objects = Objects::new(store);
        objects
            .write("16384/7.parquet", Bytes::from_static(b"0123456789"))
            .unwrap();
        objects
            .write("16384/7.side", Bytes::from_static(b"abc"))
            .unwrap();
        objects
            .write("16384/7.side", Bytes::from_static(b"abcd"))
            .unwrap();
        assert_eq!(fs::read(root.join("16384/7.side")).unwrap(), b"abcd");
        assert_eq!(objects.read("16384/7.parquet", 2..5).unwrap(), "234");
        assert_eq!(objects.list().unwrap(), [(16384, 7)]);

        let state = |result: omendb_core::Result<Bytes>| result.unwrap_err().state();
        assert_eq!(
            state(objects.read("16384/7.side", 2..5)),
            SqlState::DATA_CORRUPTED
        );
        assert_eq!(
            state(objects.read("16384/8.side", 0..1)),
            SqlState::DATA_CORRUPTED
        );

        objects.delete(16384, 7).unwrap();
        objects.delete(16384, 7).unwrap();
        assert!(objects.list().unwrap().is_empty());
    }

    #[test]
    fn interrupted_writes_leave_nothing() {
        let directory = TestDir::new();
        let root = directory.path().join(SEGMENT_DIRECTORY);
        drop(SyncedDirectory::open(&root).unwrap());
        fs::create_dir(root.join("16384")).unwrap();
        let unfinished = root.join("16384/7.side#3");
        fs::write(&unfinished, b"half").unwrap();
        let objects = Objects::new(Arc::new(SyncedDirectory::open(&root).unwrap()));
        assert!(!unfinished.exists());
        assert!(objects.list().unwrap().is_empty());

        // A failed write as well.
        fs::create_dir(root.join("16384/8.side")).unwrap();
        let failed = objects.write("16384/8.side", Bytes::from_static(b"x"));
        assert_eq!(failed.unwrap_err().state(), SqlState::IO_ERROR);
        assert_eq!(fs::read_dir(root.join("16384")).unwrap().count(), 1);
    }

    /// More calls than the runtime gives a task before it has to give way.
    const CALLS: usize = 1000;

    #[test]
    fn a_worker_may_wait_for_it() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let work = runtime.spawn(async {
            let dir = TestDir::new();
            let store = SyncedDirectory::open(&dir.path().join("objects")).unwrap();
            let path = Path::from("7/1.parquet");
            pollster::block_on(store.put(&path, "0123456789".into())).unwrap();
            for _ in 0..CALLS {
                let read = pollster::block_on(store.get_ranges(&path, &[2..5, 0..10])).unwrap();
                assert_eq!(read, ["234", "0123456789"]);
                assert_eq!(pollster::block_on(store.head(&path)).unwrap().size, 10);
            }
            let listed = pollster::block_on(store.list(None).count());
            assert_eq!(listed, 1);
            let beyond = std::slice::from_ref(&(5..11));
            let short = pollster::block_on(store.get_ranges(&path, beyond));
            assert!(short.is_err());
            pollster::block_on(store.delete(&path)).unwrap();
            let gone = pollster::block_on(store.get_range(&path, 0..1));
            assert!(matches!(gone, Err(Error::NotFound { .. })));
        });
        runtime.block_on(work).unwrap();
    }
}
