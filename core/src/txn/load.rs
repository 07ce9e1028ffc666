//! Statements that write many new rows: what a transaction does to keep few of them in memory.
//!
//! New rows whose keys ascend are only lined up, as no view shows them before their statement ends; those
//! between them go to the write set like all others. When there are many, they move on into segments
//! ([`Load`]), which commit with the transaction; and the locks of their values are given back, because
//! others find the values in the load. When there are few, they go to the write set in the end.

use std::pin::pin;

use bytes::Bytes;
use futures::future::{Either, select, try_join_all};

use super::loads::Announced;
use super::lock::Mode;
use super::lock_owner::{LOCK_BYTES, Taken};
use super::memory::LEAST_ROOM;
use super::transaction::Transaction;
use super::{Isolation, RowMode, Wait};
use crate::error::{Error, Result, SqlState};
use crate::segment::Shape;
use crate::segment::load::ROW_BYTES;
use crate::storage::{CATALOG_TABLE, TableId};

/// Bytes of new rows and index entries, with what they take besides, after which they move on, however few
/// they are.
const MAX_BYTES: usize = 32 << 20;
/// Bytes that are reserved for new rows before they come.
const MAX_ROOM: usize = 2 << 20;
/// Rows of a table written by earlier statements with which a statement does not load: what stays in
/// the write set is looked through each time rows move on.
const MAX_OTHERS: usize = 4096;

/// What a new row or index entry takes besides its key and its bytes, with its lock.
pub const NEW_ROW_BYTES: usize = ROW_BYTES + LOCK_BYTES;

/// The load of the running statement.
pub(super) struct Loading {
    /// Tells its rows from others in the write set.
    number: u64,
    /// The table, and its indexes.
    tables: Vec<Line>,
    /// What could be undone when it began.
    mark: usize,
    /// Rows of the first table since they moved on last.
    rows: usize,
    /// Bytes of memory that the transaction had when rows moved on last.
    before: usize,
    /// Bytes of what is lined up.
    lined_up: usize,
    /// One for each table, in their order, once rows have moved on.
    loads: Vec<Announced>,
    /// Whether some rows are not new, and so stay: then the locks of all stay as well.
    some_stay: bool,
    /// Bytes of memory of the segments that were being written when rows moved on last.
    held: usize,
}

/// The new rows of one table, or the entries of one index.
struct Line {
    table: TableId,
    shape: Shape,
    /// Those in no view and not in the write set, in key order.
    rows: Vec<(Vec<u8>, Bytes)>,
    /// Whether the write set had rows of it before: a key that it says was deleted stays there.
    beside: bool,
}

impl Line {
    /// Whether a key is above all others.
    fn is_below(&self, key: &[u8]) -> bool {
        (self.rows.last()).is_none_or(|(last, _)| last.as_slice() < key)
    }

    fn has_prefix(&self, prefix: &[u8]) -> bool {
        // Keys mostly ascend.
        if self.is_below(prefix) {
            return false;
        }
        let at = self
            .rows
            .partition_point(|(key, _)| key.as_slice() < prefix);
        let next = self.rows.get(at);
        next.is_some_and(|(key, _)| key.starts_with(prefix))
    }
}

impl Loading {
    fn line(&mut self, table: TableId) -> Option<&mut Line> {
        self.tables.iter_mut().find(|line| line.table == table)
    }

    /// Bytes of memory of the rows that are lined up, and of the segments.
    pub fn bytes(&self) -> usize {
        self.lined_up.saturating_add(self.held)
    }

    /// Whether there are rows that nothing else has.
    fn has_rows(&self) -> bool {
        !self.loads.is_empty() || self.tables.iter().any(|line| !line.rows.is_empty())
    }
}

impl Transaction {
    /// The running statement may write many new rows to a table and its indexes: the first of `tables`,
    /// and the others. Until [`Transaction::end_load`], rows written by [`Transaction::put_new`] may move
    /// on into segments.
    ///
    /// # Errors
    /// XX000 when another load has not ended.
    pub fn begin_load(&mut self, tables: Vec<(TableId, Shape)>) -> Result<()> {
        self.no_load()?;
        let line = |(table, shape)| Line {
            table,
            shape,
            rows: Vec::new(),
            beside: self.writes.len_of(table) > 0,
        };
        let tables: Vec<Line> = tables.into_iter().map(line).collect();
        let others = tables.iter().map(|line| self.writes.len_of(line.table));
        if self.manager.shared.segments.is_none() || others.sum::<usize>() > MAX_OTHERS {
            return Ok(());
        }
        // Else what is counted too much now would come off the new rows later.
        self.writes.count();
        self.loading = Some(Loading {
            number: self.manager.next_id(),
            tables,
            mark: self.writes.undo_len(),
            rows: 0,
            before: self.bytes(),
            lined_up: 0,
            loads: Vec::new(),
            some_stay: false,
            held: 0,
        });
        Ok(())
    }

    /// Leaves a load that has nothing. One that has rows would lose them: a statement has to end its load,
    /// or to fail.
    ///
    /// # Errors
    /// XX000 when it has rows.
    pub(super) fn no_load(&mut self) -> Result<()> {
        if self.loading.as_ref().is_some_and(Loading::has_rows) {
            return Err(Error::internal("a statement has not ended its load"));
        }
        if self.loading.take().is_some() {
            self.locks.keep_passing();
        }
        Ok(())
    }

    /// Writes a row or an index entry that is new: no committed state since the transaction's snapshot,
    /// and no own write, has its key; and its unique values are locked
    /// ([`Transaction::lock_new_value`]).
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn put_new(&mut self, table: TableId, key: Vec<u8>, row: Vec<u8>) -> Result<()> {
        self.check_writable()?;
        let row = Bytes::from(row);
        let mut number = 0;
        if self.shows_removed(table)? {
            self.locks.keep_passing();
            if let Some(loading) = &mut self.loading {
                loading.some_stay = true;
            }
        } else if let Some(loading) = &mut self.loading {
            number = loading.number;
            let bytes = ROW_BYTES + key.len() + row.len();
            loading.rows +=
                usize::from(loading.tables.first().map(|line| line.table) == Some(table));
            if let Some(line) = loading.line(table)
                && line.is_below(&key)
                && !(line.beside && self.writes.has_written(table, &key))
            {
                line.rows.push((key, row));
                loading.lined_up += bytes;
                return self.reserve();
            }
        }
        self.writes.write_for(table, key, Some(row), number);
        self.reserve()
    }

    /// Whether the statement's snapshot may show rows that others have removed since: then those that are
    /// new now are not new in every state.
    fn shows_removed(&mut self, table: TableId) -> Result<bool> {
        if self.loading.is_none() || self.options.isolation == Isolation::ReadCommitted {
            return Ok(false);
        }
        let newest = self.manager.store().snapshot()?;
        let seen = self.statement_snapshot()?;
        Ok(newest.last_modified(table) > seen.sequence())
    }

    /// [`Transaction::lock_value`] for an update of a value that [`Transaction::put_new`] writes next.
    ///
    /// # Errors
    /// As [`Transaction::lock_value`].
    pub async fn lock_new_value(&mut self, table: TableId, key: &[u8], wait: Wait) -> Result<()> {
        let mark = self.locks.mark();
        self.lock_value(table, key, RowMode::Update, wait).await?;
        if self
            .loading
            .as_ref()
            .is_some_and(|loading| !loading.some_stay)
        {
            self.locks.pass_since(mark);
        }
        Ok(())
    }

    /// [`Transaction::lock_new_value`], if that needs no waiting. Returns whether it did.
    ///
    /// # Errors
    /// As [`Transaction::lock_value`], but for 55P03.
    pub async fn try_lock_new_value(&mut self, table: TableId, key: &[u8]) -> Result<bool> {
        match self.lock_new_value(table, key, Wait::Fail).await {
            Ok(()) => Ok(true),
            Err(error) if error.state() == SqlState::LOCK_NOT_AVAILABLE => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a key that starts with `prefix` was lined up or has moved on in the running statement, and
    /// so is in no view yet.
    ///
    /// # Errors
    /// 58030 when an object cannot be read.
    pub fn has_moved(&self, table: TableId, prefix: &[u8]) -> Result<bool> {
        let mut lines = self.loading.iter().flat_map(|loading| &loading.tables);
        if lines.any(|line| line.table == table && line.has_prefix(prefix)) {
            return Ok(true);
        }
        let loads = self.loading.iter().flat_map(|loading| &loading.loads);
        for known in loads.filter(|known| known.load.table() == table) {
            if known.load.has_prefix(prefix)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of new rows, [`NEW_ROW_BYTES`] for each, that may be written before [`Transaction::move_on`] is
    /// called. With what it takes to undo them they are not twice as many.
    pub fn for_new_rows(&self) -> usize {
        self.memory.room(self.bytes()).max(LEAST_ROOM) / 2
    }

    /// Reserves memory for more new rows, as much as there is. Returns whether that is enough.
    fn make_room(&mut self) -> bool {
        let bytes = self.bytes();
        let most = MAX_ROOM.min(self.manager.shared.memory.for_loads());
        let mut rooms = [most, LEAST_ROOM].into_iter();
        rooms.any(|room| {
            self.reserve_for(bytes.saturating_add(room.max(LEAST_ROOM)))
                .is_ok()
        })
    }

    /// Lets new rows move on if there are many; to be called before more come.
    ///
    /// # Errors
    /// 53200 when there is no memory for more; 58030 when an object cannot be written; what the interrupt
    /// raised.
    pub async fn move_on(&mut self) -> Result<()> {
        let has_room = self.make_room();
        if self.loading.is_none() || has_room && !self.has_many_rows() {
            return Ok(());
        }
        Box::pin(self.move_rows()).await?;
        self.reserve_segments().await
    }

    /// Whether so many rows wait that they are to move on.
    fn has_many_rows(&self) -> bool {
        let shared = &self.manager.shared;
        let (Some(loading), Some(segments)) = (&self.loading, &shared.segments) else {
            return false;
        };
        let bytes = self.bytes().saturating_sub(loading.before);
        loading.rows >= segments.load_rows() || bytes >= MAX_BYTES.min(shared.memory.for_loads())
    }

    async fn move_rows(&mut self) -> Result<()> {
        let shared = self.manager.shared.clone();
        let Some(mut loading) = self.loading.take() else {
            return Ok(());
        };
        let segments = shared
            .segments
            .as_ref()
            .ok_or_else(|| Error::internal("a load without a sealed tier"))?;
        if loading.loads.is_empty() {
            // What is committed is merged in the shape that is committed.
            let shapes_are_own = self.writes.touches(CATALOG_TABLE);
            for Line { table, shape, .. } in &loading.tables {
                if !shapes_are_own {
                    let making = segments.make_way(*table, shape);
                    match select(pin!(making), pin!(self.interrupt.raised())).await {
                        Either::Left((made, _)) => made?,
                        Either::Right((error, _)) => return Err(error),
                    }
                }
                let load = segments.load(*table, shape.clone());
                let known = shared.loads.announce(load, self.manager.next_id());
                let name = self.locks.row_key(*table, &known.name);
                let mode = RowMode::Update.into();
                self.take(name, mode, Wait::Fail).await?;
                loading.loads.push(known);
            }
        }
        let interrupt = self.interrupt.clone();
        let go_on = move || interrupt.check();
        let mut failed = Ok(());
        for (known, line) in loading.loads.iter().zip(&mut loading.tables) {
            let (number, mark) = (loading.number, loading.mark);
            let mut rows = self.writes.take_for(line.table, number, mark);
            let mut lined_up = std::mem::take(&mut line.rows);
            if rows.is_empty() {
                rows = lined_up;
            } else if !lined_up.is_empty() {
                rows.append(&mut lined_up);
                // Two runs: sorting merges them.
                rows.sort_by(|(one, _), (other, _)| one.cmp(other));
            }
            if failed.is_ok() && !rows.is_empty() {
                // It may wait for other loads.
                let pushing = pin!(known.load.push(rows, &go_on));
                failed = match select(pushing, pin!(self.interrupt.raised())).await {
                    Either::Left((pushed, _)) => pushed,
                    Either::Right((error, _)) => Err(error),
                };
            }
        }
        self.writes.count();
        loading.rows = 0;
        loading.lined_up = 0;
        self.loading = Some(loading);
        failed?;
        self.locks.release_passing();
        Ok(())
    }

    /// Reserves memory for the segments that are being written, and for more rows; ends those that take too
    /// much of what is left.
    ///
    /// # Errors
    /// 53200 when there is none for what remains; 58030 when an object cannot be written.
    async fn reserve_segments(&mut self) -> Result<()> {
        for most in [self.manager.shared.memory.for_segment(), 0] {
            let Some(loading) = &mut self.loading else {
                return Ok(());
            };
            loading.held = 0;
            for known in &loading.loads {
                known.load.end_segment_above(most).await?;
                loading.held += known.load.memory();
            }
            self.give_back();
            let has_room = self.make_room();
            let before = self.bytes();
            if let Some(loading) = &mut self.loading {
                loading.before = before;
            }
            if has_room {
                return Ok(());
            }
        }
        self.reserve_for(self.bytes().saturating_add(LEAST_ROOM))
    }

    /// Ends the load of the statement: its rows are in every view that is made from now on.
    ///
    /// # Errors
    /// As [`Transaction::move_on`].
    pub async fn end_load(&mut self) -> Result<()> {
        let loading = self.loading.as_ref();
        if loading.is_some_and(|loading| !loading.loads.is_empty()) || self.has_many_rows() {
            Box::pin(self.move_rows()).await?;
        }
        self.locks.keep_passing();
        if let Some(loading) = self.loading.take() {
            self.finish_load(loading).await?;
        }
        // What was reserved for more rows goes back.
        match self.memory.resize(self.bytes()) {
            Ok(()) => Ok(()),
            Err(_) => self.recount(),
        }
    }

    async fn finish_load(&mut self, loading: Loading) -> Result<()> {
        for line in loading.tables {
            for (key, row) in line.rows {
                self.writes
                    .write_for(line.table, key, Some(row), loading.number);
            }
        }
        let finishing = loading.loads.iter().map(|known| known.load.finish());
        let finished = try_join_all(finishing).await?;
        for (known, parts) in loading.loads.into_iter().zip(finished) {
            if !parts.is_empty() {
                self.writes.add_loaded(known.load.table(), &parts);
            }
            self.loads.push(known);
        }
        Ok(())
    }

    /// Waits for the transactions whose loads have a value which this one has locked.
    pub(super) async fn wait_for_loads(
        &mut self,
        table: TableId,
        prefix: &[u8],
        wait: Wait,
    ) -> Result<Taken> {
        let loading = self.loading.iter().flat_map(|loading| &loading.loads);
        let own = self.loads.iter().chain(loading);
        for name in self.manager.shared.loads.having(table, prefix, own)? {
            let key = self.locks.row_key(table, &name);
            let mode: Mode = RowMode::KeyShare.into();
            if self.take(key, mode, wait).await? == Taken::Skipped {
                return Ok(Taken::Skipped);
            }
        }
        Ok(Taken::Yes)
    }
}
