//! Rows in redb and in segments against a plain model: whatever is sealed, merged, dropped or
//! reopened in between, and wherever a crash cuts it.
//!
//! `OMENDB_TIER_SEEDS=n` runs n seeds instead of one, `OMENDB_TIER_SEED=s` begins at seed s.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::{Bound, ControlFlow};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::timeline::Timeline;
use crate::error::Result;
use crate::segment::seal::parts_of;
use crate::segment::{Effort, Layout, LayoutColumn, Moved, Options, SealedTable, Segments, Shape};
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival, block_on};
use crate::storage::tests::seeds;
use crate::storage::tests::support::env;
use crate::storage::{self, Snapshot, TableId, TableWrites, WriteBatch};
use crate::types::{Datum, PgType, row};

const STEPS: usize = 4000;
const CRASH_STEPS: usize = 160;
const FIRST_TABLE: TableId = 16_384;
const TABLES: u64 = 2;
/// Few enough that keys are written again and again.
const KEYS: u64 = 400;
const MAX_READERS: usize = 4;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<TableId, Rows>;
type Rewrite = Pin<Box<dyn Future<Output = Result<Moved>>>>;

/// Runs `test` for one seed or as many as are asked for, without a commit log and with one.
pub fn seeds(test: impl Fn(u64, bool)) {
    seeds::run("TIER", 1, |seed| {
        test(seed, false);
        test(seed, true);
    });
}

pub fn shape() -> Shape {
    let column = |name: &str, ty, missing| LayoutColumn {
        name: name.to_owned(),
        ty,
        not_null: false,
        missing,
        dropped: false,
    };
    let columns = vec![
        column("id", PgType::INT8, Datum::Null),
        column("word", PgType::TEXT, Datum::text("none")),
    ];
    Shape {
        layout: Layout { columns },
        key: Vec::new(),
    }
}

/// Where new rows go, and so which segments are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Among the others: segments overlap.
    Anywhere,
    /// Behind the others, most of them, and few at a time: many small segments follow one another.
    End,
}

const PLACES: [Place; 2] = [Place::Anywhere, Place::End];

fn open(disk: &Disk, objects: &Arc<Timeline>, logged: bool, place: Place) -> Result<Arc<Segments>> {
    let storage = storage::Options {
        cache_bytes: 256 * 1024,
    };
    let mut options = Options::default();
    (options.write.rows, options.seal_rows) = match place {
        Place::Anywhere => (64, 40),
        Place::End => (160, 8),
    };
    let env = env(crate::env::Committer::Inline);
    let log = logged.then(|| disk.log());
    let segments = Segments::open(
        disk.backend(),
        log,
        objects.clone(),
        &storage,
        &options,
        env,
    )?;
    Ok(Arc::new(segments))
}

/// Keys of different lengths, some with a long prefix in common.
fn key(random: &mut Random) -> Vec<u8> {
    let number = random.within(0..KEYS);
    match number % 3 {
        0 => number.to_be_bytes().to_vec(),
        1 => format!("a long prefix that many keys share {number:03}").into_bytes(),
        _ => vec![(number >> 4) as u8; (number % 16) as usize + 1],
    }
}

fn new_row(random: &mut Random) -> Vec<u8> {
    let id = Datum::Int8(random.number() as i64);
    if random.within(0..10) == 0 {
        return row::encode(&[id], &[PgType::INT8]).unwrap();
    }
    let word = match random.within(0..8) {
        0 => Datum::Null,
        1 => Datum::text("long ".repeat(400)),
        length => Datum::text("x".repeat(length as usize)),
    };
    row::encode(&[id, word], &[PgType::INT8, PgType::TEXT]).unwrap()
}

struct World {
    disk: Disk,
    objects: Arc<Timeline>,
    /// Whether there is a commit log.
    logged: bool,
    place: Place,
    /// The greatest key of [`Place::End`].
    last_key: u64,
    segments: Arc<Segments>,
    random: Random,
    model: Model,
    next_table: TableId,
    /// Old states that are still read.
    readers: Vec<(Arc<Snapshot>, Model)>,
    rewrite: Option<Rewrite>,
    moved: u64,
    merged: u64,
    /// Operations of the disk after each commit was acknowledged, and the state then.
    acknowledged: Vec<(usize, Model)>,
}

impl World {
    fn new(seed: u64, logged: bool, place: Place) -> World {
        let disk = Disk::default();
        let objects = Arc::new(Timeline::new(&disk));
        let segments = open(&disk, &objects, logged, place).unwrap();
        let mut world = World {
            acknowledged: vec![(disk.op_count(), Model::new())],
            disk,
            objects,
            logged,
            place,
            last_key: 0,
            segments,
            random: Random(seed),
            model: Model::new(),
            next_table: FIRST_TABLE,
            readers: Vec::new(),
            rewrite: None,
            moved: 0,
            merged: 0,
        };
        for _ in 0..TABLES {
            world.create();
        }
        world
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.segments.store().snapshot().unwrap()
    }

    fn commit(&mut self, batch: WriteBatch) {
        let pending = self.segments.store().submit(batch, None).unwrap();
        block_on(pending.durable).unwrap();
        let ops = self.disk.op_count();
        self.acknowledged.push((ops, self.model.clone()));
    }

    fn create(&mut self) {
        let table = self.next_table;
        self.next_table += 1;
        self.model.insert(table, Rows::new());
        self.commit(WriteBatch {
            create: vec![table],
            ..WriteBatch::default()
        });
    }

    fn table(&mut self) -> TableId {
        let at = self.random.within(0..self.model.len() as u64) as usize;
        *self.model.keys().nth(at).unwrap()
    }

    fn key(&mut self) -> Vec<u8> {
        if self.place == Place::Anywhere {
            return key(&mut self.random);
        }
        let back = match self.random.within(0..5) {
            0 => self.random.within(0..self.last_key + 1),
            _ => {
                self.last_key += 1;
                0
            }
        };
        (self.last_key - back).to_be_bytes().to_vec()
    }

    fn write(&mut self) {
        let table = self.table();
        let mut writes = TableWrites::new();
        let count = match self.random.within(0..12) {
            0 => 120,
            _ => self.random.within(1..12),
        };
        for _ in 0..count {
            let key = self.key();
            let remove = self.random.within(0..4) == 0;
            let row = (!remove).then(|| new_row(&mut self.random));
            let rows = self.model.get_mut(&table).unwrap();
            match &row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(&key),
            };
            writes.insert(key, row);
        }
        let mut batch = WriteBatch::default();
        batch.writes.insert(table, Arc::new(writes));
        self.commit(batch);
    }

    fn drop_table(&mut self) {
        let table = self.table();
        self.model.remove(&table);
        self.commit(WriteBatch {
            drop: vec![table],
            ..WriteBatch::default()
        });
        self.create();
    }

    fn tend(&mut self) {
        if self.rewrite.is_some() {
            return;
        }
        let table = self.table();
        let effort = match self.random.within(0..3) {
            0 => Effort::All,
            _ => Effort::Due,
        };
        let segments = self.segments.clone();
        self.rewrite = Some(Box::pin(async move {
            segments.tend(table, shape(), effort).await
        }));
    }

    /// Lets a rewrite go on for a few steps.
    fn go_on(&mut self) {
        for _ in 0..self.random.within(1..12) {
            let Some(rewrite) = &mut self.rewrite else {
                return;
            };
            if let Poll::Ready(done) = rewrite
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            {
                self.rewrite = None;
                match done {
                    Ok(moved) => {
                        self.moved += moved.rows;
                        self.merged += moved.merged;
                    }
                    Err(error) => assert!(error.to_string().contains("dropped"), "{error}"),
                }
            }
        }
    }

    fn reopen(&mut self) {
        self.rewrite = None;
        self.readers.clear();
        self.segments.store().close().unwrap();
        self.segments = open(&self.disk, &self.objects, self.logged, self.place).unwrap();
    }

    fn step(&mut self) {
        match self.random.within(0..100) {
            0 => self.reopen(),
            1 => self.drop_table(),
            2 => self.rewrite = None,
            3..=4 => {
                if self.readers.len() < MAX_READERS {
                    self.readers.push((self.snapshot(), self.model.clone()));
                }
            }
            5..=6 => {
                if let Some((snapshot, model)) = self.readers.pop() {
                    check(&snapshot, &model, &mut self.random);
                }
            }
            7..=14 => self.tend(),
            15..=49 => self.go_on(),
            _ => self.write(),
        }
    }
}

fn read<V: AsRef<[u8]>>(entry: Result<(V, V)>) -> (Vec<u8>, Vec<u8>) {
    let (key, row) = entry.unwrap();
    (key.as_ref().to_vec(), row.as_ref().to_vec())
}

/// Everything that a snapshot says of the tables is what the model says.
/// That a range is visited as far as it should be.
fn check_visit(
    snapshot: &Snapshot,
    table: TableId,
    rows: &Rows,
    bounds: (Bound<&[u8]>, Bound<&[u8]>),
    random: &mut Random,
) {
    let limit = random.within(0..1 + 2 * rows.len() as u64) as usize;
    let mut visited = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        visited.push((key.to_vec(), row.to_vec()));
        Ok(match visited.len() > limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    };
    let (from, to) = bounds;
    snapshot.visit(table, from, to, &mut visit).unwrap();
    let expected = rows.range::<[u8], _>(bounds).take(limit + 1);
    let expected = expected.map(|(key, row)| (key.clone(), row.clone()));
    assert_eq!(visited, expected.collect::<Vec<_>>());
}

/// That a look-up asks the segments around its key and no other.
fn check_depth(snapshot: &Snapshot, table: TableId, key: &[u8]) {
    let Some(sealed) = SealedTable::of(snapshot, table) else {
        return;
    };
    let around = |key: &[u8]| -> BTreeSet<u64> {
        let metas = sealed.parts().iter().map(|part| part.segment.meta());
        metas
            .filter(|meta| *meta.first_key <= *key && *key <= *meta.last_key)
            .map(|meta| meta.segment)
            .collect()
    };
    let asked = sealed.parts_around(key);
    let asked: BTreeSet<u64> = asked.map(|part| part.segment.meta().segment).collect();
    assert_eq!(asked, around(key));
    let firsts = sealed
        .parts()
        .iter()
        .map(|part| &part.segment.meta().first_key);
    let deepest = firsts.map(|key| around(key).len()).max();
    assert_eq!(Some(sealed.depth()), deepest);
}

fn check(snapshot: &Snapshot, model: &Model, random: &mut Random) {
    let unbounded = Bound::Unbounded;
    for (table, rows) in model {
        assert!(snapshot.exists(*table).unwrap());
        assert_eq!(snapshot.len(*table).unwrap(), rows.len() as u64);
        let all = snapshot.range(*table, unbounded, unbounded).unwrap();
        assert_eq!(&all.map(read).collect::<Rows>(), rows);
        for _ in 0..3 {
            let key = key(random);
            let found = snapshot.get(*table, &key).unwrap();
            assert_eq!(
                found.as_ref().map(AsRef::as_ref),
                rows.get(&key).map(Vec::as_slice)
            );
        }
        let (mut from, mut to) = (key(random), key(random));
        if from > to {
            std::mem::swap(&mut from, &mut to);
        }
        let bounds = match random.coin() {
            true => (
                Bound::Included(from.as_slice()),
                Bound::Included(to.as_slice()),
            ),
            false => (Bound::Excluded(from.as_slice()), Bound::Unbounded),
        };
        check_visit(snapshot, *table, rows, bounds, random);
        // Few rows, of which none may be in redb.
        for _ in 0..5 {
            let from = key(random);
            let last = rows.range(from.clone()..).nth(4).map(|(key, _)| key);
            let to = last.map_or(Bound::Unbounded, |last| Bound::Included(last.as_slice()));
            let bounds = (Bound::Included(from.as_slice()), to);
            check_visit(snapshot, *table, rows, bounds, random);
        }
        check_depth(snapshot, *table, &from);
        let mut expected = rows.range::<[u8], _>(bounds);
        let mut found = snapshot.range(*table, bounds.0, bounds.1).unwrap();
        loop {
            let (expected, found) = match random.coin() {
                true => (expected.next(), found.next()),
                false => (expected.next_back(), found.next_back()),
            };
            let expected = expected.map(|(key, row)| (key.clone(), row.clone()));
            assert_eq!(found.map(read), expected);
            if expected.is_none() {
                break;
            }
        }
    }
}

#[test]
fn both_tiers_are_one_table() {
    seeds(|seed, logged| {
        for place in PLACES {
            tiers_are_one_table(seed, logged, place);
        }
    });
}

fn tiers_are_one_table(seed: u64, logged: bool, place: Place) {
    let mut world = World::new(seed, logged, place);
    for step in 0..STEPS {
        world.step();
        if step % 5 == 0 {
            let snapshot = world.snapshot();
            check(&snapshot, &world.model, &mut world.random);
        }
    }
    assert!(world.merged > 0 && world.moved > world.merged);
    // Nothing that was replaced or dropped stays.
    world.rewrite = None;
    world.readers.clear();
    block_on(world.segments.sweep()).unwrap();
    let tables = world.model.keys();
    let parts: usize = tables
        .map(|table| parts_of(&world.snapshot(), *table).len())
        .sum();
    assert_eq!(world.objects.count(), 2 * parts);
    eprintln!(
        "seed {seed}, rows {place:?}: {STEPS} steps, {} rows moved, {} of them merged, {parts} segments",
        world.moved, world.merged
    );
}

#[test]
fn a_crash_anywhere_keeps_both_tiers_whole() {
    seeds(|seed, logged| {
        for place in PLACES {
            crashes_keep_tiers_whole(seed, logged, place);
        }
    });
}

fn crashes_keep_tiers_whole(seed: u64, logged: bool, place: Place) {
    let mut world = World::new(seed, logged, place);
    for _ in 0..CRASH_STEPS {
        match world.random.within(0..10) {
            0 if place == Place::Anywhere => world.drop_table(),
            0..=2 => world.tend(),
            3..=5 => world.go_on(),
            _ => world.write(),
        }
    }
    let ops = world.disk.ops();
    let mut random = Random(seed);
    let mut crashes = Crashes::new(Image::default(), &ops);
    let mut count = 0;
    loop {
        let survival = Survival::EVERY[random.within(0..5) as usize];
        let disk = Disk::with_image(crashes.image(survival, &mut random));
        let objects = Arc::new(world.objects.at(crashes.at(), &disk));
        let segments = open(&disk, &objects, logged, place).unwrap();
        let sure = world
            .acknowledged
            .iter()
            .rposition(|(at, _)| *at <= crashes.at())
            .unwrap_or(0);
        let snapshot = segments.store().snapshot().unwrap();
        let state = read_all(&snapshot, world.next_table);
        let found = world.acknowledged[sure..]
            .iter()
            .take(2)
            .any(|(_, model)| *model == state);
        assert!(
            found,
            "crash at operation {}, {survival:?}: neither state {sure} nor the next",
            crashes.at()
        );
        check(&snapshot, &state, &mut random);
        count += 1;
        if !crashes.advance() {
            break;
        }
    }
    eprintln!(
        "seed {seed}, rows {place:?}: {count} crashes, {} rows moved, {} of them merged",
        world.moved, world.merged
    );
}

fn read_all(snapshot: &Snapshot, end: TableId) -> Model {
    let unbounded = Bound::Unbounded;
    (FIRST_TABLE..end)
        .filter(|table| snapshot.exists(*table).unwrap())
        .map(|table| {
            let all = snapshot.range(table, unbounded, unbounded).unwrap();
            (table, all.map(read).collect())
        })
        .collect()
}
