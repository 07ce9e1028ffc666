//! `pg_locks`: relations, advisory locks, and rows that someone waits for.

use super::super::rows::{Rows, Source, text};
use super::objects::tables;
use super::roles::DATABASE;
use crate::txn::LockedObject;
use crate::types::Datum;

/// The halves of a 64-bit advisory key, or the two keys of a pair.
fn halves(key: i64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

pub(super) fn locks(source: &Source, rows: &mut Rows) {
    for (process, lock) in source.info.access.locks() {
        let mut row = vec![
            ("database", Datum::Oid(DATABASE)),
            ("mode", text(lock.mode)),
            ("granted", Datum::Bool(lock.granted)),
            ("fastpath", Datum::Bool(false)),
        ];
        if process != 0 {
            row.push(("pid", Datum::Int4(process)));
        }
        match lock.object {
            LockedObject::Relation(oid) => {
                row.push(("locktype", text("relation")));
                row.push(("relation", Datum::Oid(oid)));
            }
            LockedObject::Row(storage) => {
                row.push(("locktype", text("tuple")));
                let mut tables = tables(source);
                if let Some(table) = tables.find(|table| table.storage == storage) {
                    row.push(("relation", Datum::Oid(table.oid)));
                }
            }
            LockedObject::Advisory(key) => row.extend(advisory(halves(key), 1)),
            LockedObject::AdvisoryPair(first, second) => {
                row.extend(advisory((first as u32, second as u32), 2));
            }
        }
        rows.push(row);
    }
}

/// PostgreSQL puts the keys where other locks have OIDs.
fn advisory(keys: (u32, u32), kind: i16) -> [(&'static str, Datum<'static>); 4] {
    [
        ("locktype", text("advisory")),
        ("classid", Datum::Oid(keys.0)),
        ("objid", Datum::Oid(keys.1)),
        ("objsubid", Datum::Int2(kind)),
    ]
}
