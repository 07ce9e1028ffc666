//! Transactions: a snapshot plus a private write set, row and relation locks, savepoints.
//!
//! READ COMMITTED takes a snapshot a statement; REPEATABLE READ and SERIALIZABLE keep the first.
//! SERIALIZABLE also remembers what was read and validates it at commit.

mod interrupt;
mod lock;
mod transaction;
mod view;

pub use interrupt::Interrupt;
pub use lock::{LockTarget, RelationMode, RowMode, Wait};
pub use transaction::{BeginOptions, Isolation, RowLock, Savepoint, Transaction, Transactions};
pub use view::{Entry, View, ViewIter};
