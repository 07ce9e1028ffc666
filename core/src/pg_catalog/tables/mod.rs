//! The rows of each system table.

mod constraints;
mod grants;
mod information;
mod information_constraints;
mod locks;
mod objects;
mod roles;
mod types;
mod views;

pub(super) use objects::{comments, tables};
pub(super) use views::full_name;

use super::definitions::Definition;
use super::rows::{Rows, Source};

/// Adds the rows of a system table. Tables that are not named here have none.
pub(super) fn fill(definition: &Definition, source: &Source, rows: &mut Rows) {
    if definition.schema == "information_schema" {
        return information::fill(definition.name, source, rows);
    }
    match definition.name {
        "pg_namespace" => objects::namespaces(source, rows),
        "pg_class" => objects::classes(source, rows),
        "pg_attribute" => objects::attributes(source, rows),
        "pg_attrdef" => objects::defaults(source, rows),
        "pg_index" => constraints::indexes(source, rows),
        "pg_constraint" => constraints::constraints(source, rows),
        "pg_sequence" => objects::sequences(source, rows),
        "pg_description" => objects::descriptions(source, rows),
        "pg_depend" => constraints::depends(source, rows),
        "pg_rewrite" => constraints::rewrites(source, rows),
        "pg_type" => types::types(source, rows),
        "pg_proc" => types::functions(rows),
        "pg_am" => types::access_methods(rows),
        "pg_opclass" => types::operator_classes(rows),
        "pg_collation" => types::collations(rows),
        "pg_language" => types::languages(rows),
        "pg_tablespace" => types::tablespaces(rows),
        "pg_database" => roles::databases(source, rows),
        "pg_authid" | "pg_roles" | "pg_user" | "pg_shadow" => {
            roles::roles(definition.name, source, rows);
        }
        "pg_auth_members" => grants::members(source, rows),
        "pg_default_acl" => grants::defaults(source, rows),
        "pg_locks" => locks::locks(source, rows),
        "pg_shdescription" => roles::descriptions(source, rows),
        name => views::fill(name, source, rows),
    }
}
