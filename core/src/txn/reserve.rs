//! How much memory a transaction has, and reserves.

use super::Transaction;
use super::load::Loading;
use crate::error::Result;

impl Transaction {
    /// Says that the statement keeps so many more bytes until it ends: rows that it is about to change,
    /// or gives back.
    ///
    /// # Errors
    /// 53200 when transactions have too much in memory.
    pub fn keep(&mut self, bytes: usize) -> Result<()> {
        self.found = self.found.saturating_add(bytes);
        self.reserve()
    }

    /// Reserves memory for what the transaction has.
    pub(super) fn reserve(&mut self) -> Result<()> {
        match self.memory.covers(self.bytes()) {
            true => Ok(()),
            false => self.recount(),
        }
    }

    /// Reserves memory for so many bytes, of which some are still to come.
    ///
    /// # Errors
    /// 53200 when there is not so much.
    pub(super) fn reserve_for(&mut self, bytes: usize) -> Result<()> {
        match self.memory.covers(bytes) {
            true => Ok(()),
            false => self.memory.resize(bytes),
        }
    }

    /// Gives back what is reserved and not needed any more.
    pub(super) fn give_back(&mut self) {
        // Less is always granted.
        let _ = self.recount();
    }

    /// Counts what the transaction has, and reserves as much.
    ///
    /// # Errors
    /// 53200 when there is not so much.
    pub(super) fn recount(&mut self) -> Result<()> {
        self.writes.count();
        let bytes = self.bytes();
        self.memory.resize(bytes)
    }

    /// Bytes of memory, at most.
    pub(super) fn bytes(&self) -> usize {
        let loading = self.loading.as_ref().map_or(0, Loading::bytes);
        let beside = self.found.saturating_add(self.locks.bytes());
        let bytes = self.writes.bytes().saturating_add(beside);
        bytes.saturating_add(loading)
    }
}
