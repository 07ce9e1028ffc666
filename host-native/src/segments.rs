//! The directory of segments.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

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
        synced.map_err(|error| object_store::Error::Generic {
            store: "directory",
            source: Box::new(error),
        })
    }
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
        let put = self.files.put_opts(location, payload, options).await?;
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
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        self.sync(to)
    }
}
