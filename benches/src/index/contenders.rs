//! What is measured: ordered maps and layouts of a sorted vector, each answering with the position.

use std::collections::BTreeMap;
use std::hint::black_box;

use congee::Congee;
use omendb_core::index::{Index, Shape, Words};
use redb::{ReadableDatabase, TableDefinition};

use super::time::BusyClock;
use super::{ABSENT, Options, time};

/// A structure that finds keys.
pub trait Contender {
    fn name(&self) -> String;

    /// The position of a key, or [`ABSENT`].
    fn get(&self, key: u64) -> u32;

    /// The positions of many keys; `answers` is replaced.
    fn get_batch(&self, keys: &[u64], answers: &mut Vec<u32>);

    /// Nanoseconds that the keys take one by one. A method, so that `get` is inlined into the loop.
    fn time_alone(&self, keys: &[u64]) -> u64;
}

/// Writes what is the same for all contenders, here and elsewhere, and a batch that is a loop unless there is a better.
#[macro_export]
macro_rules! contender {
    ($name:expr, $(batch = $batch:expr)?) => {
        fn name(&self) -> String {
            let name: fn(&Self) -> String = $name;
            name(self)
        }

        fn time_alone(&self, keys: &[u64]) -> u64 {
            let sum = || {
                keys.iter()
                    .fold(0_u32, |sum, &key| sum.wrapping_add(self.get(key)))
            };
            $crate::index::time::of(|| black_box(sum())).1
        }

        #[allow(unreachable_code)]
        fn get_batch(&self, keys: &[u64], answers: &mut Vec<u32>) {
            $(
                let batch: fn(&Self, &[u64], &mut Vec<u32>) = $batch;
                return batch(self, keys, answers);
            )?
            answers.clear();
            answers.extend(keys.iter().map(|&key| self.get(key)));
        }
    };
}

/// A contender, ready.
pub struct Built<'k> {
    pub contender: Box<dyn Contender + 'k>,
    pub nanos: u64,
    /// Bytes of memory, the keys included. Where nothing better is known, what the process has grown by:
    /// too little once it reuses memory.
    pub bytes: usize,
}

/// Builds a contender that this crate does not know.
pub type Extra = for<'k> fn(&'k [u64]) -> Box<dyn Contender + 'k>;

/// Bytes of a key in a `BTreeMap<u64, u32>` of full nodes: 11 keys to a leaf of 144 bytes, 12 leaves
/// to an inner node of 240 with 11 keys of its own, and so on.
const BTREE_BYTES: f64 = (144.0 + 240.0 / 11.0) / 12.0;

/// Builds all, and measures the building.
pub fn all<'k>(keys: &'k [u64], options: &Options, extra: &[Extra]) -> Vec<Built<'k>> {
    let mut built = vec![
        build(keys, |keys| Box::new(BTree::new(keys))),
        build(keys, |keys| Box::new(SortedVector { keys })),
        build(keys, |keys| Box::new(Eytzinger::new(keys))),
        flat(keys, |keys| {
            Learned::new(keys, "static search tree", &|column| {
                Index::build_as(column, Shape::Tree)
            })
        }),
        flat(keys, |keys| {
            Learned::new(keys, "learned index", &|column| {
                Index::build(column, Some(&BusyClock))
            })
        }),
    ];
    // The vector is the keys, and the layout of Eytzinger replaces them.
    for (at, bytes) in [(0, BTREE_BYTES), (1, 8.0), (2, 12.0)] {
        built[at].bytes = (bytes * keys.len() as f64) as usize;
    }
    built.extend(extra.iter().map(|extra| build(keys, extra)));
    if options.radix {
        built.push(build(keys, |keys| Box::new(Radix::new(keys))));
    }
    if options.redb {
        built.push(build(keys, |keys| Box::new(Redb::new(keys))));
    }
    built
}

fn build<'k>(
    keys: &'k [u64],
    make: impl FnOnce(&'k [u64]) -> Box<dyn Contender + 'k>,
) -> Built<'k> {
    let before = resident();
    let (contender, nanos) = time::of(|| make(keys));
    Built {
        nanos,
        contender,
        bytes: resident().saturating_sub(before),
    }
}

fn flat<'k>(keys: &'k [u64], make: impl FnOnce(&'k [u64]) -> Learned<'k>) -> Built<'k> {
    let (learned, nanos) = time::of(|| make(keys));
    Built {
        nanos,
        bytes: learned.index.size() + size_of_val(keys),
        contender: Box::new(learned),
    }
}

/// Bytes of this process in memory.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * PAGE
}

struct BTree(BTreeMap<u64, u32>);

impl BTree {
    /// In bulk from sorted keys: full nodes, the best a `BTreeMap` can be.
    fn new(keys: &[u64]) -> Self {
        BTree(keys.iter().copied().zip(0..).collect())
    }
}

impl Contender for BTree {
    contender!(|_| "BTreeMap".into(),);

    #[inline]
    fn get(&self, key: u64) -> u32 {
        self.0.get(&key).copied().unwrap_or(ABSENT)
    }
}

/// An adaptive radix tree that many threads may use.
struct Radix(Congee<usize, usize>);

impl Radix {
    fn new(keys: &[u64]) -> Self {
        let tree = Congee::default();
        let guard = tree.pin();
        for (position, &key) in keys.iter().enumerate() {
            tree.insert(key as usize, position, &guard).expect("memory");
        }
        drop(guard);
        Radix(tree)
    }
}

impl Contender for Radix {
    contender!(|_| "adaptive radix tree (congee)".into(),);

    #[inline]
    fn get(&self, key: u64) -> u32 {
        let found = self.0.get(&(key as usize), &self.0.pin());
        found.map_or(ABSENT, |at| at as u32)
    }
}

struct SortedVector<'k> {
    keys: &'k [u64],
}

impl Contender for SortedVector<'_> {
    contender!(|_| "sorted vector".into(),);

    #[inline]
    fn get(&self, key: u64) -> u32 {
        self.keys.binary_search(&key).map_or(ABSENT, |at| at as u32)
    }
}

/// A binary search tree in breadth-first order, from 1. Sixteen searches go side by side in a batch.
struct Eytzinger {
    /// Keys and their positions in the sorted order.
    keys: Vec<u64>,
    positions: Vec<u32>,
}

impl Eytzinger {
    fn new(sorted: &[u64]) -> Self {
        let mut tree = Eytzinger {
            keys: vec![0; sorted.len() + 1],
            positions: vec![0; sorted.len() + 1],
        };
        tree.fill(sorted, 0, 1);
        tree
    }

    fn fill(&mut self, sorted: &[u64], mut next: usize, node: usize) -> usize {
        if node < self.keys.len() {
            next = self.fill(sorted, next, 2 * node);
            self.keys[node] = sorted[next];
            self.positions[node] = next as u32;
            next = self.fill(sorted, next + 1, 2 * node + 1);
        }
        next
    }

    #[inline]
    fn answer(&self, end: usize, key: u64) -> u32 {
        // The last turn to the left leads to the lower bound.
        let node = end >> (end.trailing_ones() + 1);
        if node > 0 && self.keys[node] == key {
            self.positions[node]
        } else {
            ABSENT
        }
    }

    fn batch(&self, keys: &[u64], answers: &mut Vec<u32>) {
        const GROUP: usize = 16;
        answers.clear();
        for group in keys.chunks(GROUP) {
            let mut nodes = [1_usize; GROUP];
            // All levels that are full, then the last one.
            for _ in 0..self.keys.len().ilog2() {
                for (node, &key) in nodes.iter_mut().zip(group) {
                    *node = 2 * *node + usize::from(self.keys[*node] < key);
                }
            }
            for (node, &key) in nodes.iter_mut().zip(group) {
                if let Some(&own) = self.keys.get(*node) {
                    *node = 2 * *node + usize::from(own < key);
                }
                answers.push(self.answer(*node, key));
            }
        }
    }
}

impl Contender for Eytzinger {
    contender!(|_| "Eytzinger".into(), batch = Eytzinger::batch);

    #[inline]
    fn get(&self, key: u64) -> u32 {
        let mut node = 1;
        while let Some(&own) = self.keys.get(node) {
            node = 2 * node + usize::from(own < key);
        }
        self.answer(node, key)
    }
}

/// Both structures of the engine's own index.
struct Learned<'k> {
    name: &'static str,
    keys: &'k [u64],
    index: Index,
}

impl<'k> Learned<'k> {
    fn new(
        keys: &'k [u64],
        name: &'static str,
        build: &dyn Fn(&Words<'k>) -> omendb_core::error::Result<Index>,
    ) -> Self {
        let index = build(&Words::new(keys)).expect("sorted keys");
        Learned { name, keys, index }
    }
}

impl Contender for Learned<'_> {
    contender!(
        |own| format!("{} ({})", own.name, own.index.describe()),
        batch = |own, keys, answers| own.index.get_batch(&Words::new(own.keys), keys, answers)
    );

    #[inline]
    fn get(&self, key: u64) -> u32 {
        let found = self.index.get(&Words::new(self.keys), key);
        found.map_or(ABSENT, |at| at as u32)
    }
}

/// redb in memory, with a cache that holds all of it.
struct Redb {
    table: redb::ReadOnlyTable<u64, u32>,
    _database: redb::Database,
}

impl Redb {
    fn new(keys: &[u64]) -> Self {
        const TABLE: TableDefinition<'_, u64, u32> = TableDefinition::new("keys");
        let database = redb::Builder::new()
            .set_cache_size(8 << 30)
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .expect("a database in memory");
        let write = database.begin_write().expect("a transaction");
        {
            let mut table = write.open_table(TABLE).expect("a table");
            for (&key, position) in keys.iter().zip(0..) {
                table.insert(key, position).expect("room");
            }
        }
        write.commit().expect("a commit");
        let read = database.begin_read().expect("a snapshot");
        Redb {
            table: read.open_table(TABLE).expect("the table"),
            _database: database,
        }
    }
}

impl Contender for Redb {
    contender!(|_| "redb".into(),);

    #[inline]
    fn get(&self, key: u64) -> u32 {
        let found = self.table.get(key).expect("memory does not fail");
        found.map_or(ABSENT, |position| position.value())
    }
}
