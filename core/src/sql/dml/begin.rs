//! What every writing statement does first: may it write, and is its plan still true.

use super::names::Verb;
use super::target::Target;
use crate::error::{Error, Result, SqlState};
use crate::sql::Context;
use crate::txn::{Isolation, RelationMode};

/// Locks the table for the statement. Returns false when the catalog changed meanwhile, so that the
/// statement must be planned again ([`crate::sql::Outcome::Replan`]).
///
/// # Errors
/// 25006 in a read-only transaction; 40001 when the snapshot of a REPEATABLE READ transaction is
/// older than the table; those of locks.
pub(super) async fn begin(
    context: &mut Context<'_>,
    target: &Target,
    mode: RelationMode,
    verb: Verb,
) -> Result<bool> {
    if context.txn.options().read_only {
        return Err(Error::read_only(verb.word()));
    }
    lock(context, target, mode).await
}

/// Takes the relation lock; see [`begin`].
pub(super) async fn lock(
    context: &mut Context<'_>,
    target: &Target,
    mode: RelationMode,
) -> Result<bool> {
    let wait = context.wait();
    context
        .txn
        .lock_relation(target.table.oid, mode, wait)
        .await?;
    if !context.txn.catalog_changed()? {
        return Ok(true);
    }
    if context.txn.options().isolation == Isolation::ReadCommitted {
        return Ok(false);
    }
    // The snapshot stays, and so does its catalog: only this table must not have changed.
    let newest = context.txn.latest()?;
    let catalog = context.engine.catalog.catalog(&newest)?;
    let same = catalog
        .table(target.table.oid)
        .is_some_and(|table| format!("{table:?}") == format!("{:?}", target.table));
    if same {
        return Ok(true);
    }
    Err(Error::new(
        SqlState::SERIALIZATION_FAILURE,
        format!(
            "could not serialize access to table \"{}\" due to concurrent DDL",
            target.table.name
        ),
    )
    .hint("Retry the transaction."))
}
