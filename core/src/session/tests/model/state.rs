//! What the model remembers: rows of two tables, and what a transaction has written to them.

use std::collections::BTreeMap;

/// A row of `t` besides its key: `n`, and the unique `v`.
pub(super) type Row = (i64, String);
pub(super) type Rows = BTreeMap<i64, Row>;
/// Rows of `c`: by key, the key of the row in `t` that each references.
pub(super) type Children = BTreeMap<i64, i64>;

/// Both tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub rows: Rows,
    pub children: Children,
}

/// What was written, by key; `None` is removed.
#[derive(Clone, Default)]
pub(super) struct Writes {
    pub rows: BTreeMap<i64, Option<Row>>,
    pub children: BTreeMap<i64, Option<i64>>,
}

impl Writes {
    pub fn row(key: i64, row: Option<Row>) -> Writes {
        Writes {
            rows: BTreeMap::from([(key, row)]),
            ..Writes::default()
        }
    }

    pub fn rows(rows: impl IntoIterator<Item = (i64, Option<Row>)>) -> Writes {
        Writes {
            rows: rows.into_iter().collect(),
            ..Writes::default()
        }
    }

    pub fn child(key: i64, parent: Option<i64>) -> Writes {
        Writes {
            children: BTreeMap::from([(key, parent)]),
            ..Writes::default()
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len() + self.children.len()
    }

    pub fn extend(&mut self, later: Writes) {
        self.rows.extend(later.rows);
        self.children.extend(later.children);
    }
}

fn put<V: Clone>(onto: &mut BTreeMap<i64, V>, writes: &BTreeMap<i64, Option<V>>) {
    for (key, value) in writes {
        match value {
            Some(value) => onto.insert(*key, value.clone()),
            None => onto.remove(key),
        };
    }
}

impl State {
    pub fn apply(&mut self, writes: &Writes) {
        put(&mut self.rows, &writes.rows);
        put(&mut self.children, &writes.children);
    }

    /// What removing rows writes: their children go, too.
    pub fn without(&self, keys: impl IntoIterator<Item = i64>) -> Writes {
        let mut writes = Writes::rows(keys.into_iter().map(|key| (key, None)));
        for (child, parent) in &self.children {
            if writes.rows.contains_key(parent) {
                writes.children.insert(*child, None);
            }
        }
        writes
    }
}

fn number(cell: &Option<String>) -> i64 {
    cell.as_ref().unwrap().parse().unwrap()
}

/// What `SELECT id, n, v` says.
pub(super) fn rows_of(answer: &[Vec<Option<String>>]) -> Rows {
    let rows = answer
        .iter()
        .map(|row| (number(&row[0]), (number(&row[1]), row[2].clone().unwrap())));
    rows.collect()
}

/// What `SELECT id, r` says.
pub(super) fn children_of(answer: &[Vec<Option<String>>]) -> Children {
    let rows = answer.iter().map(|row| (number(&row[0]), number(&row[1])));
    rows.collect()
}
