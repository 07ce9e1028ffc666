//! Functions that tend the sealed tier.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::registry::Definitions;
use super::waiting::void;
use crate::error::Result;
use crate::query::SessionInfo;
use crate::types::Datum;

pub(super) fn define(all: &mut Definitions) {
    all.add("omendb_seal", "regclass", "void", void)
        .waits(|info, args| match args.first() {
            Some(Datum::Oid(table)) => seal(info, *table),
            _ => futures::future::ready(Ok(())).boxed(),
        });
}

/// Moves every committed row of a table into segments, and merges those that overlap.
fn seal(info: Arc<SessionInfo>, table: u32) -> BoxFuture<'static, Result<()>> {
    async move { info.access.seal(table).await }.boxed()
}
