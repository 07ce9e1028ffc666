//! Names and OIDs of the system tables, for `regclass`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// See `pg_catalog`, whose tables these are.
const TEXT: &str = include_str!("../pg_catalog/definitions.txt");

struct Names {
    by_name: HashMap<&'static str, u32>,
    by_oid: HashMap<u32, &'static str>,
}

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| {
        let all: Vec<(&'static str, u32)> = TEXT
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                Some((words.next()?, words.next()?.parse().ok()?))
            })
            .collect();
        Names {
            by_name: all.iter().copied().collect(),
            by_oid: all.iter().map(|(name, oid)| (*oid, *name)).collect(),
        }
    })
}

/// OID of a system table.
pub fn system_relation(schema: &str, name: &str) -> Option<u32> {
    names()
        .by_name
        .get(format!("{schema}.{name}").as_str())
        .copied()
}

/// `schema.name` of a system table; those of `pg_catalog` without their schema, which every search
/// path finds.
pub fn system_relation_name(oid: u32) -> Option<&'static str> {
    let name = names().by_oid.get(&oid)?;
    Some(name.strip_prefix("pg_catalog.").unwrap_or(name))
}
