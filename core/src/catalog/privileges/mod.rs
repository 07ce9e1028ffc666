//! Who may do what: privileges, the lists that grant them, and the roles that hold them.
//!
//! Lists are kept beside the objects, under the object's OID (and a column's number), so that an
//! object that nobody ever granted anything on costs nothing. See the catalog's README.

mod acl;
mod kinds;
mod need;
mod rights;

pub use acl::{Acl, Change, Grant, PUBLIC};
pub use kinds::{Kind, Privileges};
pub use need::{Columns, Need, column_numbers};
pub use rights::{DATABASE, Membership, Rights, denied, kind_and_owner, not_owner};

/// System tables that only superusers read, as `schema`-less names; all others are for everybody.
const RESTRICTED: [(&str, &str); 4] = [
    ("table", "pg_authid"),
    ("view", "pg_shadow"),
    ("table", "pg_statistic"),
    ("table", "pg_user_mapping"),
];

/// OID of a system table that only superusers read.
pub fn restricted(name: &str) -> Option<u32> {
    RESTRICTED
        .iter()
        .find(|(_, restricted)| *restricted == name)
        .and_then(|(_, name)| super::system_relation("pg_catalog", name))
}

/// What messages call a restricted system table.
fn restricted_name(oid: u32) -> (&'static str, &'static str) {
    RESTRICTED
        .into_iter()
        .find(|(_, name)| super::system_relation("pg_catalog", name) == Some(oid))
        .unwrap_or(("table", "of the system"))
}
