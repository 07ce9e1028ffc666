//! The way to stop a running statement from outside: a cancel request, a time-out, a shutdown.

use crate::error::{Error, Result};

/// Shared between a session and whoever may stop it. Clones are one interrupt.
#[derive(Clone, Default)]
pub struct Interrupt {}

impl Interrupt {
    /// Stops what is running with `error` (57014, 57P01, 25P03, …); the first one wins.
    pub fn raise(&self, error: Error) {
        let _ = error;
        todo!()
    }

    /// Forgets what was raised; called when a new statement starts.
    pub fn clear(&self) {
        todo!()
    }

    /// Fails if the statement was stopped. Cheap: called in loops.
    pub fn check(&self) -> Result<()> {
        todo!()
    }

    /// Resolves with the error once the statement is stopped.
    pub async fn raised(&self) -> Error {
        todo!()
    }
}
