//! Shared text for messages.

use crate::types::PgType;
use crate::types::names::format_type;

/// `integer, text`.
pub(super) fn type_list(types: &[PgType]) -> String {
    let shown: Vec<String> = types
        .iter()
        .map(|ty| format_type(PgType::new(ty.oid)))
        .collect();
    shown.join(", ")
}
