//! The session's transaction: implicit around a message or a query string, or a block.

use std::sync::Arc;

use super::shared::SettingsState;
use super::{Session, TransactionStatus};
use crate::catalog::Catalog;
use crate::error::{Error, Result, SqlState};
use crate::sql::Modes;
use crate::sql::settings::isolation_name;
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
    savepoints: Vec<Named>,
    settings: SettingsState,
    /// `now()`, µs since 1970 UTC.
    pub start: i64,
}

struct Named {
    name: String,
    mark: Savepoint,
    settings: SettingsState,
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
            let typed = &self.shared.settings().typed;
            let options = BeginOptions {
                isolation: typed.isolation,
                read_only: typed.read_only,
            };
            self.open = Some(self.new_transaction(options));
        }
        self.open
            .as_mut()
            .ok_or_else(|| Error::internal("no transaction is open"))
    }

    fn new_transaction(&self, options: BeginOptions) -> Open {
        Open {
            txn: self.engine.transactions.begin_in(
                &self.shared.locks.lock(),
                options,
                self.interrupt.clone(),
            ),
            block: false,
            failed: false,
            own_catalog: None,
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
    pub(super) fn set_modes(&mut self, modes: Modes) -> Result<()> {
        let open = self.open()?;
        let mut options = open.txn.options();
        if let Some(isolation) = modes.isolation {
            if isolation != options.isolation && open.txn.has_snapshot() {
                return Err(Error::new(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                ));
            }
            options.isolation = isolation;
        }
        if let Some(read_only) = modes.read_only {
            if !read_only && options.read_only && open.txn.has_snapshot() {
                return Err(Error::new(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "transaction read-write mode must be set before any query",
                ));
            }
            options.read_only = read_only;
        }
        open.txn.set_options(options);
        Ok(())
    }

    /// The isolation level and access mode as settings show them.
    pub(super) fn transaction_settings(&self) -> (&'static str, &'static str) {
        let options = match &self.open {
            Some(open) => open.txn.options(),
            None => {
                let typed = &self.shared.settings().typed;
                BeginOptions {
                    isolation: typed.isolation,
                    read_only: typed.read_only,
                }
            }
        };
        (
            isolation_name(options.isolation),
            if options.read_only { "on" } else { "off" },
        )
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
        let (block, failed, options) = (open.block, open.failed, open.txn.options());
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
        self.chain(chain, options);
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
        let (block, options) = (open.block, open.txn.options());
        if !block {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        self.rollback();
        self.chain(chain, options);
        Ok(())
    }

    fn chain(&mut self, chain: bool, options: BeginOptions) {
        if chain {
            let mut open = self.new_transaction(options);
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
        match open.txn.commit().await {
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
        }
    }

    /// An error happened: a block waits for its end, an implicit transaction is over.
    pub(super) fn fail(&mut self) {
        self.copy = None;
        match &mut self.open {
            Some(open) if open.block => {
                open.failed = true;
                self.close_transaction_portals();
            }
            _ => self.rollback(),
        }
    }

    pub(super) fn savepoint(&mut self, name: String) -> Result<()> {
        let settings = self.shared.settings_state();
        let open = self.block("SAVEPOINT")?;
        let mark = open.txn.savepoint();
        open.savepoints.push(Named {
            name,
            mark,
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
            let settings = named.settings.clone();
            self.shared.restore_settings(settings);
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
