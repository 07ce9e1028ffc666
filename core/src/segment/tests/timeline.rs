//! An object store that remembers when it had which objects, in operations of a disk beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::storage::fault::{Disk, block_on};

type Event = (usize, Path, Option<Bytes>);

/// What it writes is durable at once.
#[derive(Debug)]
pub struct Timeline {
    store: InMemory,
    disk: Disk,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Timeline {
    pub fn new(disk: &Disk) -> Self {
        Timeline {
            store: InMemory::new(),
            disk: disk.clone(),
            events: Arc::default(),
        }
    }

    /// The objects that were there when the disk had done `ops` operations, beside another disk.
    pub fn at(&self, ops: usize, disk: &Disk) -> Timeline {
        let mut objects: BTreeMap<Path, Bytes> = BTreeMap::new();
        for (at, path, bytes) in self.events.lock().iter() {
            match bytes {
                _ if *at > ops => break,
                Some(bytes) => objects.insert(path.clone(), bytes.clone()),
                None => objects.remove(path),
            };
        }
        let timeline = Timeline::new(disk);
        for (path, bytes) in objects {
            let put = timeline.store.put(&path, bytes.clone().into());
            block_on(put).unwrap();
            timeline.events.lock().push((0, path, Some(bytes)));
        }
        timeline
    }

    /// Number of objects.
    pub fn count(&self) -> usize {
        block_on(self.store.list(None).count())
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeline")
    }
}

#[async_trait]
impl ObjectStore for Timeline {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = Bytes::from(payload.iter().flatten().copied().collect::<Vec<u8>>());
        let put = self.store.put_opts(location, payload, options).await?;
        let event = (self.disk.op_count(), location.clone(), Some(bytes));
        self.events.lock().push(event);
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented {
            operation: "put_multipart_opts".into(),
            implementer: "Timeline".into(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (events, disk) = (self.events.clone(), self.disk.clone());
        let deleted = self.store.delete_stream(locations);
        deleted
            .inspect(move |path| {
                if let Ok(path) = path {
                    events.lock().push((disk.op_count(), path.clone(), None));
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
