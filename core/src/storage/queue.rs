//! What waits to be committed, and how its submitter learns the outcome.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::{Relocation, Snapshot, Store, WriteBatch};
use crate::error::{Error, Result, SqlState};

/// Batches that may wait at once. Each has a session waiting for it, so only a host without a
/// connection limit can get here.
pub(super) const MAX_QUEUED: usize = 65_536;

/// Decides, inside the queue, whether a batch may be applied. Gets the sequence number the batch
/// will have; every batch with a smaller number was decided before.
pub type Validate = Box<dyn FnOnce(u64) -> Result<()> + Send>;

/// Runs on the committing thread as soon as other snapshots see the batch, with its sequence number.
/// Returns whether it let someone go on who waited, and who so may commit soon. Dropped without
/// being called when the batch fails.
pub type OnVisible = Box<dyn FnOnce(u64) -> bool + Send>;

/// Decides where rows are from now on, inside the queue, from the newest state: nothing else is
/// committed between that state and what it returns. An error gives the relocation up.
pub type Relocate = Box<dyn FnOnce(&Snapshot) -> Result<Relocation> + Send>;

/// A commit under way. `visible` resolves once other snapshots see it, `durable` once it would
/// survive a crash; only then may a client be answered.
///
/// The batch is committed even if both futures are dropped.
pub struct Pending {
    pub visible: BoxFuture<'static, Result<u64>>,
    pub durable: BoxFuture<'static, Result<()>>,
}

/// One batch in the queue.
pub(super) struct Item {
    pub batch: WriteBatch,
    /// Such an item makes a group of its own, and has an empty batch.
    pub relocate: Option<Relocate>,
    pub validate: Option<Validate>,
    pub on_visible: Option<OnVisible>,
    pub visible: oneshot::Sender<Result<u64>>,
    pub durable: oneshot::Sender<Result<()>>,
}

impl Item {
    /// Answers that the batch was not committed. What the hook owns is released first, so that
    /// whoever is told finds it released.
    pub fn fail(mut self, error: &Error) {
        self.on_visible = None;
        self.validate = None;
        // A submitter that no longer listens is fine, here and below.
        let _ = self.visible.send(Err(error.clone()));
        let _ = self.durable.send(Err(error.clone()));
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub items: VecDeque<Item>,
    pub closed: bool,
}

impl Queue {
    /// The items that are committed next, as one group.
    pub fn take(&mut self, limit: usize) -> Vec<Item> {
        let alone = |item: &Item| item.relocate.is_some();
        let count = match self.items.iter().position(alone) {
            Some(0) => 1,
            Some(before) => before,
            None => self.items.len(),
        };
        self.items.drain(..count.min(limit)).collect()
    }
}

/// A batch's outcome; with a store to drive, whoever polls it runs the commit step.
pub(super) struct Outcome<T> {
    pub receiver: oneshot::Receiver<Result<T>>,
    pub drive: Option<Store>,
}

impl<T: Send> Outcome<T> {
    fn poll_receiver(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.receiver
            .poll_unpin(cx)
            .map(|sent| sent.unwrap_or_else(|_| Err(lost())))
    }
}

impl<T: Send> Future for Outcome<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let ready @ Poll::Ready(_) = this.poll_receiver(cx) {
            return ready;
        }
        let Some(store) = this.drive.take() else {
            return Poll::Pending;
        };
        // One step takes everything that is queued now, unless the queue is very long; each
        // further one takes more, so this ends with our own batch at the latest.
        loop {
            let worked = store.commit_step();
            let polled = this.poll_receiver(cx);
            if polled.is_ready() || !worked {
                this.drive = Some(store);
                return polled;
            }
        }
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        // What nobody waits for is committed nevertheless.
        if let Some(store) = self.drive.take() {
            store.hand_over();
        }
    }
}

/// The queue was dropped with the batch in it, or a commit step panicked.
fn lost() -> Error {
    Error::new(
        SqlState::IO_ERROR,
        "the database was closed before the transaction was committed",
    )
}
