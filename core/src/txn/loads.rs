//! The loads under way: rows that go straight into segments.
//!
//! A million locks, one for each value that a load writes, would cost more than the rows. So their
//! locks are given back once the rows are in the load, where others look who have locked a value: if a
//! load has it, they wait for the end of its transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::Result;
use crate::segment::Load;
use crate::storage::TableId;

/// The loads of all transactions.
#[derive(Default)]
pub(super) struct Loads {
    count: AtomicUsize,
    all: Mutex<Vec<Known>>,
}

/// A load and the name of the lock that its transaction holds as long as it goes on.
#[derive(Clone)]
struct Known {
    load: Arc<Load>,
    name: Arc<[u8]>,
}

/// A load that others know of. Dropped when its transaction has ended.
pub(super) struct Announced {
    pub load: Arc<Load>,
    /// Stands for a key of the table; no row has it.
    pub name: Arc<[u8]>,
    loads: Arc<Loads>,
}

/// What no key begins with.
const NO_KEY: u8 = 0xff;

impl Loads {
    /// Makes a load known. `number` is one that no other load has.
    pub fn announce(self: &Arc<Self>, load: Load, number: u64) -> Announced {
        let mut name = vec![NO_KEY];
        name.extend_from_slice(&number.to_be_bytes());
        let announced = Announced {
            load: Arc::new(load),
            name: name.into(),
            loads: self.clone(),
        };
        let mut all = self.all.lock();
        all.push(Known {
            load: announced.load.clone(),
            name: announced.name.clone(),
        });
        self.count.store(all.len(), Ordering::Release);
        announced
    }

    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.all
            .lock()
            .iter()
            .map(|known| known.load.memory())
            .sum()
    }

    /// The names of the loads of a table that have a key which starts with `prefix`, but for own ones. To
    /// be asked by who has locked the value: a load that gets it later has to wait.
    ///
    /// # Errors
    /// 58030 when an object cannot be read.
    pub fn having<'o>(
        &self,
        table: TableId,
        prefix: &[u8],
        own: impl Iterator<Item = &'o Announced> + Clone,
    ) -> Result<Vec<Arc<[u8]>>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        for known in self.all.lock().iter() {
            let is_own = |own: &Announced| Arc::ptr_eq(&own.load, &known.load);
            if known.load.table() == table && !own.clone().any(is_own) {
                others.push(known.clone());
            }
        }
        let mut having = Vec::new();
        for known in others {
            if known.load.has_prefix(prefix)? {
                having.push(known.name);
            }
        }
        Ok(having)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut all = self.loads.all.lock();
        all.retain(|known| !Arc::ptr_eq(&known.load, &self.load));
        self.loads.count.store(all.len(), Ordering::Release);
    }
}
