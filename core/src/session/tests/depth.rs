//! How many segments a look-up may have to ask, where each statement brings some with keys from everywhere.
//!
//! `OMENDB_TIER_SEEDS=n` runs n seeds instead of one, `OMENDB_TIER_SEED=s` begins at seed s.

use std::collections::BTreeSet;

use super::world::{Client, World, one, small};
use crate::segment::tests::tiers::seeds;
use crate::segment::{MAX_LOADED_DEPTH, SealedTable};
use crate::storage::fault::Random;

/// Rows of a load; more than stay in redb.
const ROWS: usize = 12;
const LOADS: usize = 150;

/// The most segments that have one key of a table or an index.
fn depth(world: &World) -> usize {
    let store = world.database.engine.segments.store();
    let snapshot = store.snapshot().unwrap();
    let tables = snapshot.tiers().0.keys();
    let sealed = tables.filter_map(|table| SealedTable::of(&snapshot, *table));
    sealed.map(SealedTable::depth).max().unwrap_or_default()
}

#[test]
fn loads_wait_for_merges_when_segments_pile_up() {
    seeds(|seed, logged| {
        let world = World::logged(small, logged);
        let mut client = world.client();
        world.sql(
            &mut client,
            "CREATE TABLE t (id bigint PRIMARY KEY, v bigint)",
        );
        world.sql(&mut client, "CREATE INDEX by_v ON t (v)");
        let mut random = Random(seed);
        let mut deepest = 0;
        // Nobody seals or merges beside them.
        for _ in 0..LOADS {
            let mut lines = String::new();
            for _ in 0..ROWS {
                lines += &format!("{}\t{}\n", random.number() >> 1, random.number() >> 1);
            }
            let copied = world.copy(&mut client, "COPY t FROM STDIN", &lines);
            copied.unwrap();
            deepest = deepest.max(depth(&world));
            // Each load makes a run of its first rows, and one of the last.
            assert!(deepest <= MAX_LOADED_DEPTH + 2, "{deepest} segments");
        }
        let count = world.sql(&mut client, "SELECT count(*), count(DISTINCT id) FROM t");
        let all = Some((LOADS * ROWS).to_string());
        assert_eq!(count, [[all.clone(), all]]);
        world.now(world.database.tend()).unwrap();
        assert!(depth(&world) <= MAX_LOADED_DEPTH / 2);
        let last = world.sql(&mut client, "SELECT max(id) FROM t");
        let sql = format!("SELECT count(*) FROM t WHERE id = {}", one(&last));
        assert_eq!(one(&world.sql(&mut client, &sql)), "1");
        assert_eq!(world.check(), Vec::<String>::new());
        eprintln!("seed {seed}: {deepest} segments at most");
    });
}

#[test]
fn a_load_merges_no_more_than_it_has_to() {
    seeds(|seed, logged| {
        let world = World::logged(small, logged);
        let mut client = world.client();
        world.sql(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY)");
        let mut random = Random(seed);
        let mut load = |client: &mut Client, from: u64, to: u64| {
            let mut lines = String::new();
            for _ in 0..ROWS {
                lines += &format!("{}\n", random.within(from..to));
            }
            world.copy(client, "COPY t FROM STDIN", &lines).unwrap();
        };
        // Neighbours, and unsealed rows, that whoever seals and merges would take on.
        for at in 0..8 {
            load(&mut client, (at << 40) + 1, (at + 1) << 40);
        }
        for id in 0..100 {
            world.sql(&mut client, &format!("INSERT INTO t VALUES (-{id})"));
        }
        let state = |world: &World| {
            let store = world.database.engine.segments.store();
            let snapshot = store.snapshot().unwrap();
            let (table, _) = snapshot.tiers().0.iter().next().unwrap();
            let sealed = SealedTable::of(&snapshot, *table).unwrap();
            let segments = sealed
                .parts()
                .iter()
                .map(|part| part.segment.meta().segment);
            let unsealed = snapshot.unsealed_len(*table).unwrap();
            (segments.collect(), sealed.depth(), unsealed)
        };
        let (neighbours, _, unsealed): (BTreeSet<u64>, usize, u64) = state(&world);
        let (mut deepest, mut merges) = (0, 0);
        for _ in 0..2 * MAX_LOADED_DEPTH {
            load(&mut client, 1 << 50, 1 << 60);
            let (segments, depth, left) = state(&world);
            if depth < deepest {
                merges += 1;
                assert!(deepest >= MAX_LOADED_DEPTH && depth >= MAX_LOADED_DEPTH / 2);
                deepest = 0;
            }
            deepest = deepest.max(depth);
            assert!(segments.is_superset(&neighbours));
            assert_eq!(left, unsealed);
        }
        assert!(merges > 1, "{merges} merges");
        assert_eq!(world.check(), Vec::<String>::new());
    });
}
