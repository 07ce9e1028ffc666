//! Advisory locks (PostgreSQL documentation, 9.27.10): one 64-bit key, or two keys of 32 bits, which
//! are a key space of their own.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::registry::Definitions;
use super::row::{Call, RowFn};
use super::waiting::{WaitFn, void};
use crate::error::{Error, Result, SqlState};
use crate::query::{AdvisoryLock, SessionInfo};
use crate::txn::{LockScope, LockTarget, RowMode};
use crate::types::Datum;

const EXCLUSIVE: RowMode = RowMode::Update;
const SHARED: RowMode = RowMode::Share;

/// The two ways to name a lock.
const KEYS: [&str; 2] = ["int8", "int4,int4"];

pub(super) fn define(all: &mut Definitions) {
    use LockScope::{Session, Transaction};
    let waiting: [(&'static str, WaitFn); 4] = [
        ("pg_advisory_lock", |s, a| wait(s, &a, EXCLUSIVE, Session)),
        ("pg_advisory_lock_shared", |s, a| {
            wait(s, &a, SHARED, Session)
        }),
        ("pg_advisory_xact_lock", |s, a| {
            wait(s, &a, EXCLUSIVE, Transaction)
        }),
        ("pg_advisory_xact_lock_shared", |s, a| {
            wait(s, &a, SHARED, Transaction)
        }),
    ];
    let at_once: [(&'static str, RowFn); 6] = [
        ("pg_try_advisory_lock", |c, a| {
            attempt(c, a, EXCLUSIVE, Session)
        }),
        ("pg_try_advisory_lock_shared", |c, a| {
            attempt(c, a, SHARED, Session)
        }),
        ("pg_try_advisory_xact_lock", |c, a| {
            attempt(c, a, EXCLUSIVE, Transaction)
        }),
        ("pg_try_advisory_xact_lock_shared", |c, a| {
            attempt(c, a, SHARED, Transaction)
        }),
        ("pg_advisory_unlock", |c, a| unlock(c, a, EXCLUSIVE)),
        ("pg_advisory_unlock_shared", |c, a| unlock(c, a, SHARED)),
    ];
    for keys in KEYS {
        for (name, wait) in waiting {
            all.add(name, keys, "void", void).waits(wait);
        }
        for (name, run) in at_once {
            all.add(name, keys, "bool", run).volatile();
        }
    }
    all.add("pg_advisory_unlock_all", "", "void", |c, _| {
        c.info.access.advisory_unlock_all();
        Ok(Datum::text(""))
    })
    .volatile();
}

fn target(args: &[Datum<'_>]) -> Result<LockTarget> {
    match args {
        [Datum::Int8(key)] => Ok(LockTarget::Advisory(*key)),
        [Datum::Int4(first), Datum::Int4(second)] => Ok(LockTarget::AdvisoryPair(*first, *second)),
        _ => Err(Error::internal("an advisory lock has one or two keys")),
    }
}

fn wait(
    info: Arc<SessionInfo>,
    args: &[Datum<'_>],
    mode: RowMode,
    scope: LockScope,
) -> BoxFuture<'static, Result<()>> {
    let target = target(args);
    async move {
        let target = target?;
        info.access
            .advisory_lock(AdvisoryLock {
                target,
                mode,
                scope,
            })
            .await
    }
    .boxed()
}

fn attempt(
    call: &Call<'_>,
    args: &[Datum<'_>],
    mode: RowMode,
    scope: LockScope,
) -> Result<Datum<'static>> {
    let lock = AdvisoryLock {
        target: target(args)?,
        mode,
        scope,
    };
    call.info.access.try_advisory_lock(&lock).map(Datum::Bool)
}

fn unlock(call: &Call<'_>, args: &[Datum<'_>], mode: RowMode) -> Result<Datum<'static>> {
    let held = call.info.access.advisory_unlock(&target(args)?, mode);
    if !held {
        let name = match mode {
            EXCLUSIVE => "ExclusiveLock",
            _ => "ShareLock",
        };
        call.info.access.warn(Error::new(
            SqlState::WARNING,
            format!("you don't own a lock of type {name}"),
        ));
    }
    Ok(Datum::Bool(held))
}
