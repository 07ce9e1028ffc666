//! The session's transaction: implicit around a message or a query string, or a block.

use std::sync::Arc;

use super::portal::Hold;
use super::shared::SettingsState;
use super::{Session, TransactionStatus};
use crate::catalog::Catalog;
use crate::error::{Error, Result, SqlState};
use crate::sql::{IsolationLevel, Modes};
use crate::txn::{BeginOptions, Savepoint, Transaction};

/// An open transaction.
pub(super) struct Open {
    pub txn: Transaction,
    /// Whether BEGIN opened it; else it ends with the message or the query string.
    pub block: bool,
    /// After an error in a block, until ROLLBACK or ROLLBACK TO.
    pub failed: bool,
    /// The catalog with the transaction's own DDL in it, and the version of the committed one below.
    pub own_catalog: Option<(u64, Arc<Catalog>)>,
    pub(super) modes: TransactionModes,
    savepoints: Vec<Named>,
    settings: SettingsState,
    /// `now()`, µs since 1970 UTC.
    pub start: i64,
}

struct Named {
    name: String,
    mark: Savepoint,
    /// Of the advisory locks.
    locks: usize,
    /// Whether the transaction was read-only around it.
    read_only: bool,
    settings: SettingsState,
}

/// The modes of a transaction, as its settings show them.
#[derive(Clone, Copy)]
pub(super) struct TransactionModes {
    pub isolation: IsolationLevel,
    pub read_only: bool,
    pub deferrable: bool,
}

impl TransactionModes {
    fn options(self) -> BeginOptions {
        BeginOptions {
            isolation: self.isolation.isolation(),
            read_only: self.read_only,
        }
    }
}

impl Session {
    pub(super) fn transaction_status(&self) -> TransactionStatus {
        match &self.open {
            Some(open) if open.failed => TransactionStatus::Failed,
            Some(open) if open.block => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// The open transaction; an implicit one is begun if there is none.
    pub(super) fn open(&mut self) -> Result<&mut Open> {
        if self.open.is_none() {
            self.open = Some(self.new_transaction(self.default_modes()));
        }
        self.open
            .as_mut()
            .ok_or_else(|| Error::internal("no transaction is open"))
    }

    fn default_modes(&self) -> TransactionModes {
        let typed = &self.shared.settings().typed;
        TransactionModes {
            isolation: typed.isolation,
            read_only: typed.read_only,
            deferrable: typed.deferrable,
        }
    }

    fn new_transaction(&self, modes: TransactionModes) -> Open {
        Open {
            txn: self.engine.transactions.begin_in(
                &self.shared.locks,
                modes.options(),
                self.interrupt.clone(),
            ),
            block: false,
            failed: false,
            own_catalog: None,
            modes,
            savepoints: Vec::new(),
            settings: self.shared.settings_state(),
            start: self.engine.env.clock.now(),
        }
    }

    /// Only the end of the transaction may follow an error.
    pub(super) fn refuse_if_failed(&self) -> Result<()> {
        match &self.open {
            Some(open) if open.failed => Err(Error::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn begin(&mut self, modes: Modes) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.block) {
            self.warn(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "there is already a transaction in progress",
            );
        } else {
            // An implicit transaction around BEGIN (a pipeline, a query string) becomes the block,
            // with what was written in it.
            let unused = self.open.as_ref().is_none_or(|open| !open.txn.has_writes());
            if unused {
                self.open = None;
            }
            self.open()?.block = true;
        }
        self.set_modes(modes)
    }

    /// SET TRANSACTION, or the modes of BEGIN.
    pub(super) fn set_modes(&mut self, wanted: Modes) -> Result<()> {
        let too_late = |what: &str| Error::new(SqlState::ACTIVE_SQL_TRANSACTION, what);
        let open = self.open()?;
        let begun = open.txn.has_snapshot();
        let mut modes = open.modes;
        if let Some(isolation) = wanted.isolation {
            if isolation != modes.isolation && begun {
                return Err(too_late(
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                ));
            }
            if isolation != modes.isolation && !open.savepoints.is_empty() {
                return Err(too_late(
                    "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
                ));
            }
            modes.isolation = isolation;
        }
        if let Some(read_only) = wanted.read_only {
            if !read_only && modes.read_only {
                if open.savepoints.last().is_some_and(|named| named.read_only) {
                    return Err(too_late(
                        "cannot set transaction read-write mode inside a read-only transaction",
                    ));
                }
                if begun {
                    return Err(too_late(
                        "transaction read-write mode must be set before any query",
                    ));
                }
            }
            modes.read_only = read_only;
        }
        if let Some(deferrable) = wanted.deferrable {
            if !open.savepoints.is_empty() {
                return Err(too_late(
                    "SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction",
                ));
            }
            if begun {
                return Err(too_late(
                    "SET TRANSACTION [NOT] DEFERRABLE must be called before any query",
                ));
            }
            modes.deferrable = deferrable;
        }
        open.modes = modes;
        open.txn.set_options(modes.options());
        Ok(())
    }

    /// The modes of the transaction, or of the next one.
    pub(super) fn modes(&self) -> TransactionModes {
        match &self.open {
            Some(open) => open.modes,
            None => self.default_modes(),
        }
    }

    /// COMMIT: the command tag, which is ROLLBACK after an error.
    pub(super) async fn commit_block(&mut self, chain: bool) -> Result<&'static str> {
        let Some(open) = &self.open else {
            if chain {
                return Err(no_block("COMMIT AND CHAIN"));
            }
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
            return Ok("COMMIT");
        };
        let (block, failed, modes) = (open.block, open.failed, open.modes);
        if !block {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        let tag = if failed {
            self.rollback();
            "ROLLBACK"
        } else {
            self.commit().await?;
            "COMMIT"
        };
        self.chain(chain, modes);
        Ok(tag)
    }

    /// ROLLBACK of a block.
    pub(super) fn rollback_block(&mut self, chain: bool) -> Result<()> {
        let Some(open) = &self.open else {
            if chain {
                return Err(no_block("ROLLBACK AND CHAIN"));
            }
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
            return Ok(());
        };
        let (block, modes) = (open.block, open.modes);
        if !block {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        self.rollback();
        self.chain(chain, modes);
        Ok(())
    }

    fn chain(&mut self, chain: bool, modes: TransactionModes) {
        if chain {
            let mut open = self.new_transaction(modes);
            open.block = true;
            self.open = Some(open);
        }
    }

    /// Commits whatever is open, durably.
    pub(super) async fn commit(&mut self) -> Result<()> {
        if let Err(error) = self.keep_held_cursors().await {
            self.rollback();
            return Err(error);
        }
        self.close_transaction_portals();
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let before = open.settings;
        let committed = open.txn.commit().await;
        self.shared.locks.release_since(0);
        match committed {
            Ok(()) => {
                self.shared.end_local_settings();
                Ok(())
            }
            Err(error) => {
                self.shared.restore_settings(before);
                self.shared.end_local_settings();
                Err(error)
            }
        }
    }

    /// Rolls back whatever is open.
    pub(super) fn rollback(&mut self) {
        self.copy = None;
        self.close_transaction_portals();
        if let Some(open) = self.open.take() {
            self.shared.restore_settings(open.settings);
            self.shared.end_local_settings();
            open.txn.rollback();
            self.shared.locks.release_since(0);
        }
    }

    /// A statement is over: a transaction that idles does not pin what its snapshot saw.
    pub(super) fn end_statement(&mut self) {
        if let Some(open) = &mut self.open {
            open.txn.end_statement();
        }
    }

    /// An error happened: a block waits for its end, an implicit transaction is over.
    pub(super) fn fail(&mut self) {
        self.copy = None;
        match &mut self.open {
            Some(open) if open.block => {
                open.failed = true;
                self.portals.retain(|_, portal| portal.hold == Hold::Kept);
                open.own_catalog = None;
                open.txn.fail();
                let locks = open.savepoints.last().map_or(0, |named| named.locks);
                self.shared.locks.release_since(locks);
            }
            _ => self.rollback(),
        }
    }

    pub(super) fn savepoint(&mut self, name: String) -> Result<()> {
        let settings = self.shared.settings_state();
        let locks = self.shared.locks.mark();
        let open = self.block("SAVEPOINT")?;
        let mark = open.txn.savepoint();
        open.savepoints.push(Named {
            name,
            mark,
            locks,
            read_only: open.modes.read_only,
            settings,
        });
        Ok(())
    }

    pub(super) fn release(&mut self, name: &str) -> Result<()> {
        let open = self.block("RELEASE SAVEPOINT")?;
        let at = find(&open.savepoints, name)?;
        if let Some(named) = open.savepoints.get(at) {
            open.txn.release(named.mark);
        }
        open.savepoints.truncate(at);
        Ok(())
    }

    pub(super) fn rollback_to(&mut self, name: &str) -> Result<()> {
        let open = self.block("ROLLBACK TO SAVEPOINT")?;
        let at = find(&open.savepoints, name)?;
        open.savepoints.truncate(at + 1);
        if let Some(named) = open.savepoints.last() {
            open.txn.rollback_to(named.mark);
            open.own_catalog = None;
            open.failed = false;
            open.modes.read_only = named.read_only;
            open.txn.set_options(open.modes.options());
            let (settings, locks) = (named.settings.clone(), named.locks);
            self.shared.restore_settings(settings);
            self.shared.locks.release_since(locks);
        }
        self.close_transaction_portals();
        Ok(())
    }

    /// The open block; `what` needs one.
    fn block(&mut self, what: &str) -> Result<&mut Open> {
        match &mut self.open {
            Some(open) if open.block => Ok(open),
            _ => Err(no_block(what)),
        }
    }

    /// VACUUM and its like run alone.
    pub(super) fn in_block(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.block) || self.many_statements
    }
}

fn find(savepoints: &[Named], name: &str) -> Result<usize> {
    savepoints
        .iter()
        .rposition(|named| named.name == name)
        .ok_or_else(|| {
            Error::new(
                SqlState::INVALID_SAVEPOINT_SPECIFICATION,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
}

fn no_block(what: &str) -> Error {
    Error::new(
        SqlState::NO_ACTIVE_SQL_TRANSACTION,
        format!("{what} can only be used in transaction blocks"),
    )
}
