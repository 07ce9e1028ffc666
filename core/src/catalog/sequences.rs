//! Sequence values: handed out from memory, with a durable mark ahead of them.
//!
//! Not transactional, as in PostgreSQL: a value once given is gone. The mark is submitted to the
//! commit queue before a value beyond the old mark is handed out; the queue is first in, first out,
//! so no commit that uses the value can become durable before the mark does.

use super::Sequence;
use crate::error::Result;
use crate::storage::Store;

/// The sequences' state, shared by all sessions.
pub struct Sequences {
    #[expect(dead_code)]
    store: Store,
}

impl Sequences {
    pub fn new(store: Store) -> Self {
        Sequences { store }
    }

    /// The next value.
    ///
    /// # Errors
    /// 2200H at the end of a sequence that does not cycle.
    pub fn next_value(&self, sequence: &Sequence) -> Result<i64> {
        let _ = sequence;
        todo!()
    }

    /// `setval(sequence, value, is_called)`.
    pub fn set_value(&self, sequence: &Sequence, value: i64, is_called: bool) -> Result<()> {
        let _ = (sequence, value, is_called);
        todo!()
    }

    /// `(last_value, is_called)`.
    pub fn last_value(&self, sequence: &Sequence) -> Result<(i64, bool)> {
        let _ = sequence;
        todo!()
    }

    /// New OIDs for catalog objects and new identifiers for tables: never given twice.
    pub fn next_oid(&self) -> Result<u32> {
        todo!()
    }

    /// The next hidden row id of a table without a primary key.
    pub fn next_row_id(&self, table: crate::storage::TableId) -> Result<i64> {
        let _ = table;
        todo!()
    }
}
