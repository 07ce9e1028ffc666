//! What nothing refers to any more, kept until it may be deleted.
//!
//! A segment that was replaced or dropped may still be read by whoever holds an older snapshot, and
//! a crash may bring it back until the commit that let it go is durable. So it waits here from the
//! moment when its last reader is gone, and its objects are deleted after the next durable commit.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Segment, SegmentMeta};
use crate::storage::{Generation, TableId};

/// What waits to be deleted.
#[derive(Default)]
pub struct Waste {
    pub segments: Vec<SegmentMeta>,
    /// redb tables that rows were moved to, in vain.
    pub generations: Vec<(TableId, Generation)>,
}

impl Waste {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.generations.is_empty()
    }
}

/// Collects waste from wherever the last use of something ends.
#[derive(Default)]
pub struct Garbage(Mutex<Waste>);

impl Garbage {
    /// Takes what has been collected.
    pub fn take(&self) -> Waste {
        std::mem::take(&mut *self.0.lock())
    }

    pub fn add(&self, waste: Waste) {
        let mut collected = self.0.lock();
        collected.segments.extend(waste.segments);
        collected.generations.extend(waste.generations);
    }
}

/// A segment that becomes garbage when it was discarded and nobody reads it any more.
pub struct Handle {
    segment: Segment,
    discarded: AtomicBool,
    garbage: Arc<Garbage>,
}

impl Handle {
    pub fn new(segment: Segment, garbage: Arc<Garbage>) -> Self {
        Handle {
            segment,
            discarded: AtomicBool::new(false),
            garbage,
        }
    }

    /// No later state has this segment.
    pub fn discard(&self) {
        self.discarded.store(true, Ordering::Relaxed);
    }

    /// Later states have this segment, which was made as one that none has.
    pub fn keep(&self) {
        self.discarded.store(false, Ordering::Relaxed);
    }
}

impl Deref for Handle {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        &self.segment
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.discarded.load(Ordering::Relaxed) {
            self.garbage.add(Waste {
                segments: vec![self.segment.meta().clone()],
                generations: Vec::new(),
            });
        }
    }
}
