//! Statements that the client sends again and again without preparing them: parsed and planned once.
//!
//! A text is remembered only from its second use on, so that statements that are all different (with
//! their values in the text) cost a hash each and no memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::prepared::Prepared;
use crate::sql::settings::Settings;

/// Statements that are kept.
const MAX_STATEMENTS: usize = 64;
/// Bytes of a text that is kept.
const MAX_TEXT: usize = 4096;
/// Texts seen once that are known by their hash. A power of two.
const MAX_SEEN: usize = 256;

/// Statements kept by a session. All were read under the same settings, because constants in them
/// may depend on settings.
#[derive(Default)]
pub(super) struct Parsed {
    settings: Option<Arc<Settings>>,
    statements: HashMap<String, Kept>,
    hasher: RandomState,
    seen: Vec<u64>,
}

struct Kept {
    /// Parameter types that the client declared.
    types: Vec<u32>,
    prepared: Arc<Prepared>,
}

impl Parsed {
    pub fn find(
        &mut self,
        sql: &str,
        types: &[u32],
        settings: &Arc<Settings>,
    ) -> Option<Arc<Prepared>> {
        let same = |known: &Arc<Settings>| Arc::ptr_eq(known, settings);
        if !self.settings.as_ref().is_some_and(same) {
            self.statements.clear();
            self.settings = Some(settings.clone());
            return None;
        }
        let kept = self.statements.get(sql)?;
        (kept.types == types).then(|| kept.prepared.clone())
    }

    /// Keeps a statement that [`Parsed::find`] did not find, if its text was seen before.
    pub fn keep(&mut self, sql: &str, types: &[u32], prepared: &Arc<Prepared>) {
        if sql.len() > MAX_TEXT {
            return;
        }
        let hash = self.hasher.hash_one(sql);
        self.seen.resize(MAX_SEEN, 0);
        let Some(seen) = self.seen.get_mut(hash as usize % MAX_SEEN) else {
            return;
        };
        if std::mem::replace(seen, hash) != hash {
            return;
        }
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        let kept = Kept {
            types: types.to_vec(),
            prepared: prepared.clone(),
        };
        self.statements.insert(sql.to_owned(), kept);
    }

    pub fn clear(&mut self) {
        self.statements.clear();
    }
}
