//! Savepoints, and what is undone.

use super::Transaction;
use super::write_set::WriteSet;

/// A mark to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint(pub(super) usize);

/// What a savepoint remembers.
pub(super) struct Mark {
    pub writes: usize,
    locks: usize,
}

impl Transaction {
    pub fn savepoint(&mut self) -> Savepoint {
        self.savepoints.push(Mark {
            writes: self.writes.mark(),
            locks: self.locks.mark(),
        });
        Savepoint(self.savepoints.len() - 1)
    }

    /// Undoes every write since `savepoint` and releases the locks taken since. The savepoint stays.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        let Some(mark) = self.savepoints.get(savepoint.0) else {
            debug_assert!(false, "the savepoint was released");
            return;
        };
        let undone = self.writes.undo_len().saturating_sub(mark.writes);
        self.loading = None;
        self.locks.release_passing();
        self.writes.undo_to(mark.writes);
        self.locks.release_since(mark.locks);
        self.savepoints.truncate(savepoint.0 + 1);
        // Counting takes as long as there are rows.
        match undone > self.writes.len() / 4 {
            true => self.give_back(),
            // Less is always granted.
            false => drop(self.memory.resize(self.bytes())),
        }
    }

    /// The transaction failed and can only be rolled back: to its newest savepoint, or as a whole.
    /// Undoes its writes and gives back its locks until there, so that nobody waits for a client.
    pub fn fail(&mut self) {
        match self.savepoints.len().checked_sub(1) {
            Some(newest) => self.rollback_to(Savepoint(newest)),
            None => {
                self.loading = None;
                self.loads = Vec::new();
                self.writes = WriteSet::default();
                self.locks.release_passing();
                self.locks.release_since(0);
                self.memory = self.manager.reservation();
            }
        }
        self.end_statement();
    }

    /// Forgets `savepoint` and later ones; their writes stay.
    pub fn release(&mut self, savepoint: Savepoint) {
        self.savepoints.truncate(savepoint.0);
        if self.savepoints.is_empty() {
            self.writes.forget_marks();
        }
    }
}
