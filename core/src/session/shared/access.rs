//! What functions in a running query ask of their session, and do to it.

use std::collections::HashMap;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{MAX_NOTICES, Shared, canceled};
use crate::catalog::Privileges;
use crate::error::{Error, Notice, Result, SqlState};
use crate::query::{AdvisoryLock, PreparedInfo, SessionAccess, Signal};
use crate::sql;
use crate::txn::{LockInfo, LockTarget, RowMode, Wait};

impl SessionAccess for Shared {
    fn next_value(&self, oid: u32) -> Result<i64> {
        let sequence = self.sequence(oid)?;
        self.check_sequence(&sequence, Privileges::USAGE.with(Privileges::UPDATE))?;
        self.next_identity(oid)
    }

    fn next_identity(&self, oid: u32) -> Result<i64> {
        let sequence = self.sequence(oid)?;
        let value = self.engine.sequences.next_value(&sequence)?;
        let mut values = self.sequences.lock();
        values.current.insert(oid, value);
        values.last = Some(oid);
        Ok(value)
    }

    fn current_value(&self, oid: u32) -> Result<i64> {
        let sequence = self.sequence(oid)?;
        self.check_sequence(&sequence, Privileges::USAGE.with(Privileges::SELECT))?;
        self.sequences
            .lock()
            .current
            .get(&oid)
            .copied()
            .ok_or_else(|| {
                Error::new(
                    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!(
                        "currval of sequence \"{}\" is not yet defined in this session",
                        sequence.name
                    ),
                )
            })
    }

    fn last_value(&self) -> Result<i64> {
        let last = {
            let values = self.sequences.lock();
            let last = values.last;
            last.and_then(|oid| Some((oid, *values.current.get(&oid)?)))
        };
        let (oid, value) = last.ok_or_else(|| {
            Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "lastval is not yet defined in this session",
            )
        })?;
        if let Ok(sequence) = self.sequence(oid) {
            self.check_sequence(&sequence, Privileges::USAGE.with(Privileges::SELECT))?;
        }
        Ok(value)
    }

    fn sequence_state(&self, oid: u32) -> Result<(i64, bool)> {
        self.engine.sequences.last_value(&*self.sequence(oid)?)
    }

    fn started(&self) -> i64 {
        self.engine.started
    }

    fn set_value(&self, oid: u32, value: i64, is_called: bool) -> Result<i64> {
        let sequence = self.sequence(oid)?;
        self.check_sequence(&sequence, Privileges::UPDATE)?;
        self.engine
            .sequences
            .set_value(&sequence, value, is_called)?;
        if is_called {
            self.sequences.lock().current.insert(oid, value);
        }
        Ok(value)
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.settings().show(name).ok().map(|(_, value)| value)
    }

    fn set_setting(&self, name: &str, value: Option<&str>, local: bool) -> Result<String> {
        if name.eq_ignore_ascii_case("role") || name.eq_ignore_ascii_case("session_authorization") {
            self.set_role(name, value, local)?;
        } else {
            self.change_settings(local, |settings| match value {
                Some(value) => settings.set_text(name, value),
                None => settings.set(name, None),
            })?;
        }
        Ok(self.setting(name).unwrap_or_default())
    }

    fn settings(&self) -> Vec<(String, String, String)> {
        self.settings().all()
    }

    fn prepared_statements(&self) -> Vec<PreparedInfo> {
        self.prepared.lock().values().cloned().collect()
    }

    fn clock(&self) -> i64 {
        self.engine.env.clock.now()
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.engine.env.entropy.fill(&mut bytes);
        bytes
    }

    fn advisory_lock(&self, lock: AdvisoryLock) -> BoxFuture<'_, Result<()>> {
        let wait = Wait::Queue(self.settings().typed.lock_timeout);
        async move {
            let AdvisoryLock {
                target,
                mode,
                scope,
            } = lock;
            let taken = self.locks.lock(scope, &target, mode, wait, &self.interrupt);
            taken.await.map(|_| ())
        }
        .boxed()
    }

    fn try_advisory_lock(&self, lock: &AdvisoryLock) -> Result<bool> {
        self.locks.try_lock(lock.scope, &lock.target, lock.mode)
    }

    fn advisory_unlock(&self, target: &LockTarget, mode: RowMode) -> bool {
        self.locks.unlock(target, mode)
    }

    fn advisory_unlock_all(&self) {
        self.locks.unlock_all();
    }

    fn locks(&self) -> Vec<(i32, LockInfo)> {
        let processes: HashMap<u64, i32> = {
            let sessions = self.engine.sessions.lock();
            let owners = sessions.iter();
            owners.map(|(id, session)| (session.locks, *id)).collect()
        };
        let locks = self.engine.transactions.locks().into_iter();
        locks
            .map(|lock| (processes.get(&lock.group).copied().unwrap_or(0), lock))
            .collect()
    }

    fn sleep(&self, micros: u64) -> BoxFuture<'static, ()> {
        self.engine.env.clock.sleep(micros)
    }

    fn seal(&self, table: u32) -> BoxFuture<'_, Result<()>> {
        let catalog = self.catalog.lock().clone();
        let rights = catalog.rights(&self.settings().typed.user);
        Box::pin(sql::seal(&self.engine, catalog, rights, table))
    }

    fn warn(&self, warning: Error) {
        let mut notices = self.notices.lock();
        if notices.len() < MAX_NOTICES {
            notices.push(Notice {
                severity: "WARNING",
                error: warning,
            });
        }
    }

    fn signal(&self, process_id: i32, signal: Signal) -> Result<bool> {
        let catalog = self.catalog.lock().clone();
        let own = catalog.rights(&self.settings().typed.user);
        let interrupt = {
            let sessions = self.engine.sessions.lock();
            let Some(session) = sessions.get(&process_id) else {
                return Ok(false);
            };
            let other = catalog.rights(&session.user);
            if other.superuser && !own.superuser {
                return Err(refused_superuser(signal));
            }
            if !own.owns(other.role) {
                return Err(refused(signal));
            }
            session.interrupt.clone()
        };
        match signal {
            Signal::Cancel => interrupt.raise(canceled()),
            Signal::Terminate => interrupt.terminate(),
        }
        Ok(true)
    }
}

fn refused_superuser(signal: Signal) -> Error {
    let message = match signal {
        Signal::Cancel => "must be a superuser to cancel superuser query",
        Signal::Terminate => "must be a superuser to terminate superuser process",
    };
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

fn refused(signal: Signal) -> Error {
    let message = match signal {
        Signal::Cancel => {
            "must be a member of the role whose query is being canceled \
             or member of pg_signal_backend"
        }
        Signal::Terminate => {
            "must be a member of the role whose process is being terminated \
             or member of pg_signal_backend"
        }
    };
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}
