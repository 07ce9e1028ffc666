//! Transactions: a snapshot plus a private write set, row and relation locks, savepoints.
//!
//! READ COMMITTED takes a snapshot a statement; REPEATABLE READ and SERIALIZABLE keep the first.
//! SERIALIZABLE also remembers what was read and validates it at commit.

mod interrupt;
mod load;
mod loads;
mod lock;
mod lock_entry;
mod lock_info;
mod lock_key;
mod lock_owner;
mod lock_table;
mod locking;
mod memory;
mod own_rows;
mod read_set;
mod recent;
mod reserve;
mod savepoint;
mod session_locks;
mod statement;
#[cfg(test)]
mod tests;
mod transaction;
mod transactions;
mod view;
mod write_set;

pub use interrupt::{Interrupt, shutting_down, statement_timeout};
pub use load::NEW_ROW_BYTES;
pub use lock::{
    LockTarget, RelationMode, RowMode, Wait, relation_not_available, row_not_available,
};
pub use lock_info::{LockInfo, LockedObject};
pub use locking::RowLock;
pub use savepoint::Savepoint;
pub use session_locks::{LockScope, SessionLocks};
pub use transaction::{BeginOptions, Isolation, Transaction};
pub use transactions::Transactions;
pub use view::{Entry, View, ViewIter};
