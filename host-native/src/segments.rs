//! The directory of segments.
//!
//! The engine waits for it on whatever thread it is on, also on one of the runtime's. So nothing here
//! may need that thread: ranges are read by the caller itself, and what `object_store` does on
//! threads for blocking work is exempt from the runtime's budget, which only a thread that is not
//! waiting renews.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::task::unconstrained;

/// Where segments are, in the data directory.
pub const SEGMENT_DIRECTORY: &str = "segments";

/// Files in a directory; one that was put is durable. `object_store` writes files whole or not at all,
/// but syncs nothing.
#[derive(Debug)]
pub struct SyncedDirectory {
    root: PathBuf,
    files: LocalFileSystem,
}

impl SyncedDirectory {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(root: &FilePath) -> io::Result<SyncedDirectory> {
        std::fs::create_dir_all(root)?;
        let files = LocalFileSystem::new_with_prefix(root)
            .map_err(io::Error::other)?
            .with_automatic_cleanup(true);
        Ok(SyncedDirectory {
            root: root.canonicalize()?,
            files,
        })
    }

    /// Makes a file durable, and the directories that name it.
    fn sync(&self, location: &Path) -> Result<()> {
        let file = self.files.path_to_filesystem(location)?;
        let synced = File::open(&file)
            .and_then(|file| file.sync_all())
            .and_then(|()| {
                let mut directory = file.parent();
                while let Some(inner) = directory {
                    File::open(inner)?.sync_all()?;
                    if inner == self.root {
                        break;
                    }
                    directory = inner.parent();
                }
                Ok(())
            });
        synced.map_err(|error| failed(location, error))
    }

    fn read(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.files.path_to_filesystem(location)?;
        let file = File::open(file).map_err(|error| failed(location, error))?;
        let read = ranges.iter().map(|range| {
            let length = usize::try_from(range.end.saturating_sub(range.start));
            let mut bytes = vec![0; length.map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        });
        read.collect::<io::Result<_>>()
            .map_err(|error| failed(location, error))
    }
}

fn failed(location: &Path, error: io::Error) -> object_store::Error {
    let source = Box::new(error);
    match source.kind() {
        ErrorKind::NotFound => object_store::Error::NotFound {
            path: location.to_string(),
            source,
        },
        _ => object_store::Error::Generic {
            store: "directory",
            source,
        },
    }
}

/// A stream whose items were all waited for at once.
fn gathered<T: Send + 'static>(items: BoxStream<'static, T>) -> BoxStream<'static, T> {
    unconstrained(items.collect::<Vec<T>>())
        .map(stream::iter)
        .flatten_stream()
        .boxed()
}

impl fmt::Display for SyncedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
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
        let put = unconstrained(self.files.put_opts(location, payload, options)).await?;
        self.sync(location)?;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented {
            operation: "an upload in parts".into(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        unconstrained(self.files.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read(location, ranges)
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

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        unconstrained(self.files.copy_opts(from, to, options)).await?;
        self.sync(to)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;
    use crate::test_dir::TestDir;

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
            let short = pollster::block_on(store.get_ranges(&path, &[5..11]));
            assert!(matches!(short, Err(object_store::Error::Generic { .. })));
            pollster::block_on(store.delete(&path)).unwrap();
            let gone = pollster::block_on(store.get_ranges(&path, &[0..1]));
            assert!(matches!(gone, Err(object_store::Error::NotFound { .. })));
        });
        runtime.block_on(work).unwrap();
    }
}
