//! What waits to be committed, and how its submitter learns the outcome.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::log::MAX_LOGGED;
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
    /// The most bytes that it takes in the log.
    pub log_bytes: usize,
    /// Such an item makes a group of its own. It is applied before the batch.
    pub relocate: Option<Relocate>,
    pub validate: Option<Validate>,
    pub on_visible: Option<OnVisible>,
    pub visible: oneshot::Sender<Result<u64>>,
    pub durable: oneshot::Sender<Result<()>>,
}

impl Item {
    /// Whether it goes to the log, where there is one. What does not makes a group of its own.
    pub fn is_logged(&self) -> bool {
        self.relocate.is_none() && self.log_bytes <= MAX_LOGGED
    }

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

/// What of the queue may be committed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Any,
    /// What goes to the log, but nothing that comes after something else.
    Logged,
    Nothing,
}

impl Queue {
    /// The items that are committed next, as one group: one that does not go to the log, or several
    /// that do and fill twice [`MAX_LOGGED`] at most.
    pub fn take(&mut self, limit: usize, take: Take) -> Vec<Item> {
        let logged = self.items.iter().take_while(|item| item.is_logged());
        let mut bytes = 0;
        let fit = logged.take_while(|item| {
            bytes += item.log_bytes;
            bytes <= 2 * MAX_LOGGED
        });
        let count = match (take, fit.take(limit).count()) {
            (Take::Nothing, _) => 0,
            (Take::Any, 0) => self.items.len().min(1),
            (_, count) => count,
        };
        self.items.drain(..count).collect()
    }
}

/// What whoever waits for a batch does for it.
#[derive(Clone)]
pub(super) enum Drive {
    /// Runs commit steps, with their syncs.
    Commit(Store),
    /// Makes it visible, and leaves the sync to the host's threads.
    Show(Store),
}

/// A batch's outcome, which its first poll may bring about.
pub(super) struct Outcome<T> {
    pub receiver: oneshot::Receiver<Result<T>>,
    pub drive: Option<Drive>,
}

impl<T: Send> Outcome<T> {
    fn poll_receiver(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.receiver
            .poll_unpin(cx)
            .map(|sent| sent.unwrap_or_else(|_| Err(lost())))
    }

    /// Runs steps until the batch is committed.
    fn commit(&mut self, store: &Store, cx: &mut Context<'_>) -> Poll<Result<T>> {
        // One step takes everything that is queued now, unless the queue is very long; each
        // further one takes more, so this ends with our own batch at the latest.
        loop {
            let worked = store.commit_step();
            let polled = self.poll_receiver(cx);
            if polled.is_ready() || !worked {
                return polled;
            }
        }
    }
}

impl<T: Send> Future for Outcome<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let ready @ Poll::Ready(_) = this.poll_receiver(cx) {
            return ready;
        }
        match this.drive.take() {
            None => Poll::Pending,
            Some(Drive::Show(store)) => {
                store.show();
                this.poll_receiver(cx)
            }
            Some(Drive::Commit(store)) => {
                let polled = this.commit(&store, cx);
                this.drive = Some(Drive::Commit(store));
                polled
            }
        }
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        // What nobody waits for is committed nevertheless.
        if let Some(Drive::Commit(store) | Drive::Show(store)) = self.drive.take() {
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
