//! A database more than ten times as large as everything that may keep some of it in memory: everything is
//! answered, or refused with 53200 where a query needs more memory than it may have, and no cache holds more
//! than it is allowed to.
//!
//! `OMENDB_TIER_SEEDS=n` runs n seeds instead of one, `OMENDB_TIER_SEED=s` begins at seed s.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::{Client, Row, World};
use crate::query::QueryOptions;
use crate::segment::tests::tiers::seeds;
use crate::segment::tests::timeline::Timeline;
use crate::segment::{CacheOptions, SealedTable};
use crate::session::DatabaseOptions;
use crate::storage::Options;
use crate::storage::fault::{Disk, Random};

/// Bytes of each cache.
const LIMIT: u64 = 16 << 10;
/// Bytes that redb keeps, and that a query may have.
const PAGES: u64 = 2 * LIMIT;
const QUERY: u64 = 6 * LIMIT;
/// Everything together.
const MEMORY: u64 = 3 * LIMIT + PAGES + QUERY + LIMIT;
const ROWS: i64 = 15_000;
/// Rows of a statement that loads them.
const LOADED: i64 = 5_000;

fn options() -> DatabaseOptions {
    let mut options = DatabaseOptions {
        storage: Options {
            cache_bytes: PAGES as usize,
        },
        segments: crate::segment::Options::default(),
        query: QueryOptions {
            memory_bytes: QUERY as usize,
            column_cache_bytes: LIMIT as usize,
            parallelism: 1,
        },
        transaction_memory: 64 << 20,
        owner: "postgres".into(),
    };
    options.segments.caches = CacheOptions {
        keys_bytes: LIMIT,
        blocks_bytes: LIMIT,
        columns_bytes: LIMIT,
    };
    options.segments.write.rows = 2048;
    options.segments.write.group_rows = 512;
    options.segments.seal_rows = 3000;
    options.segments.load_rows = 1500;
    options
}

fn value(id: i64, round: i64) -> String {
    format!(
        "{:05}-{round}-{}",
        (id * 7919) % 100_003,
        "payload ".repeat(14)
    )
}

struct Large {
    world: World,
    client: Client,
    /// By key: `n` and the round of `v`.
    rows: BTreeMap<i64, (i64, i64)>,
    random: Random,
    refused: usize,
    answered: usize,
}

impl Large {
    fn new(seed: u64, logged: bool) -> Large {
        let disk = Disk::default();
        let objects = Arc::new(Timeline::new(&disk));
        let world = World::on(disk, objects, options(), logged).unwrap();
        let mut client = world.client();
        let create = "CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL, v text)";
        world.sql(&mut client, create);
        let mut rows = BTreeMap::new();
        for first in (0..ROWS).step_by(LOADED as usize) {
            let mut lines = String::new();
            for id in first..first + LOADED {
                lines += &format!("{id}\t{}\t{}\n", id % 100, value(id, 0));
                rows.insert(id, (id % 100, 0));
            }
            world
                .copy(&mut client, "COPY t FROM STDIN", &lines)
                .unwrap();
        }
        Large {
            world,
            client,
            rows,
            random: Random(seed),
            refused: 0,
            answered: 0,
        }
    }

    /// Asks, and looks at the caches; `None` when the answer needs more memory than there is.
    fn ask(&mut self, sql: &str) -> Option<Vec<Row>> {
        let answer = self.world.try_sql(&mut self.client, sql);
        let engine = &self.world.database.engine;
        let stats = engine.segments.cache_stats();
        let (reserved, columns) = engine.query.memory();
        assert!(stats.keys_bytes <= LIMIT, "{sql}: {stats:?}");
        assert!(stats.blocks_bytes <= LIMIT, "{sql}: {stats:?}");
        assert!(stats.columns_bytes <= LIMIT, "{sql}: {stats:?}");
        assert!(columns as u64 <= LIMIT, "{sql}: {columns}");
        assert_eq!(reserved, 0, "{sql}");
        match answer {
            Ok(rows) => {
                self.answered += 1;
                Some(rows)
            }
            Err(error) if error.state().code() == "53200" => {
                self.refused += 1;
                None
            }
            Err(error) => panic!("{sql}\n{error}: {:?}", error.fields().detail),
        }
    }

    /// Asks what needs no more memory than there is.
    #[track_caller]
    fn sure(&mut self, sql: &str) -> Vec<Row> {
        match self.ask(sql) {
            Some(rows) => rows,
            None => panic!("{sql}: 53200"),
        }
    }

    fn row(&self, id: i64) -> Option<Row> {
        let (n, round) = self.rows.get(&id)?;
        Some(
            [id.to_string(), n.to_string(), value(id, *round)]
                .map(Some)
                .to_vec(),
        )
    }

    fn key(&mut self) -> i64 {
        // Some of them are not there.
        self.random.within(0..ROWS as u64 + 100) as i64
    }

    fn read_points(&mut self, count: usize) {
        for _ in 0..count {
            let id = self.key();
            let found = self.sure(&format!("SELECT id, n, v FROM t WHERE id = {id}"));
            assert_eq!(found, self.row(id).into_iter().collect::<Vec<_>>());
        }
        let ids: Vec<i64> = (0..60).map(|_| self.key()).collect();
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let sql = format!("SELECT count(*) FROM t WHERE id IN ({})", list.join(", "));
        let distinct: std::collections::BTreeSet<i64> = ids.into_iter().collect();
        let there = distinct.iter().filter(|id| self.rows.contains_key(id));
        let there = there.count().to_string();
        assert_eq!(self.sure(&sql), [[Some(there)]]);
    }

    fn read_ranges(&mut self, count: usize) {
        for _ in 0..count {
            let from = self.key();
            let to = from + self.random.within(0..60) as i64;
            let sql =
                format!("SELECT id, n, v FROM t WHERE id BETWEEN {from} AND {to} ORDER BY id");
            let expected: Vec<Row> = (from..=to).filter_map(|id| self.row(id)).collect();
            assert_eq!(self.sure(&sql), expected);
        }
    }

    /// Scans of all rows that keep little.
    fn scan(&mut self) {
        let (rows, n): (usize, i64) = (self.rows.len(), self.rows.values().map(|row| row.0).sum());
        let found = self.sure("SELECT count(*), sum(n), min(id), max(length(v)) FROM t");
        let last = self
            .rows
            .keys()
            .map(|id| value(*id, self.rows[id].1).len())
            .max();
        let first = self.rows.keys().next().unwrap();
        let expected = [
            rows.to_string(),
            n.to_string(),
            first.to_string(),
            last.unwrap().to_string(),
        ];
        assert_eq!(found, [expected.map(Some).to_vec()]);
        let found = self.sure("SELECT n % 10, count(*) FROM t GROUP BY 1 ORDER BY 1");
        let mut groups: BTreeMap<i64, usize> = BTreeMap::new();
        for (n, _) in self.rows.values() {
            *groups.entry(n % 10).or_default() += 1;
        }
        let expected: Vec<Row> = groups
            .iter()
            .map(|(n, count)| [n.to_string(), count.to_string()].map(Some).to_vec())
            .collect();
        assert_eq!(found, expected);
        let some = self.sure("SELECT id FROM t WHERE v LIKE '00%' AND n < 50 ORDER BY id LIMIT 20");
        let expected = self
            .rows
            .iter()
            .filter(|(id, (n, round))| value(**id, *round).starts_with("00") && *n < 50)
            .map(|(id, _)| vec![Some(id.to_string())]);
        assert_eq!(some, expected.take(20).collect::<Vec<_>>());
    }

    /// What needs memory for all rows: right, or refused.
    fn sort_and_join(&mut self) {
        if let Some(sorted) = self.ask("SELECT v, id FROM t ORDER BY v, id") {
            let values = self
                .rows
                .iter()
                .map(|(id, (_, round))| (value(*id, *round), *id));
            let mut expected: Vec<(String, i64)> = values.collect();
            expected.sort_unstable();
            let expected = expected
                .into_iter()
                .map(|(v, id)| vec![Some(v), Some(id.to_string())]);
            assert!(sorted == expected.collect::<Vec<_>>());
        }
        if let Some(joined) = self.ask("SELECT count(*) FROM t a JOIN t b ON a.v = b.v") {
            assert_eq!(joined, [[Some(self.rows.len().to_string())]]);
        }
        if let Some(distinct) = self.ask("SELECT count(DISTINCT v) FROM t") {
            assert_eq!(distinct, [[Some(self.rows.len().to_string())]]);
        }
        // In key order, nothing has to be sorted.
        let last = self.sure("SELECT id FROM t ORDER BY id DESC LIMIT 3");
        let expected = self.rows.keys().rev().take(3);
        let expected: Vec<Row> = expected.map(|id| vec![Some(id.to_string())]).collect();
        assert_eq!(last, expected);
    }

    fn write(&mut self, count: usize) {
        for round in 1..=count as i64 {
            let id = self.key();
            match self.random.within(0..3) {
                0 => {
                    self.sure(&format!("DELETE FROM t WHERE id = {id}"));
                    self.rows.remove(&id);
                }
                1 => {
                    let n = self.random.within(0..100) as i64;
                    let v = value(id, round);
                    self.sure(&format!(
                        "INSERT INTO t VALUES ({id}, {n}, '{v}') \
                         ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = excluded.v"
                    ));
                    self.rows.insert(id, (n, round));
                }
                _ => {
                    self.sure(&format!("UPDATE t SET n = n + 1 WHERE id = {id}"));
                    if let Some((n, _)) = self.rows.get_mut(&id) {
                        *n += 1;
                    }
                }
            }
        }
    }

    fn stored_bytes(&self) -> u64 {
        let snapshot = self
            .world
            .database
            .engine
            .segments
            .store()
            .snapshot()
            .unwrap();
        let tables = snapshot.tiers().0.keys();
        let parts = tables.filter_map(|table| SealedTable::of(&snapshot, *table));
        let parts = parts.flat_map(|sealed| sealed.parts());
        parts.map(|part| part.segment.meta().row_bytes).sum()
    }
}

#[test]
fn a_database_ten_times_larger_than_its_memory_answers() {
    seeds(|seed, logged| {
        let mut large = Large::new(seed, logged);
        let bytes = large.stored_bytes();
        assert!(bytes >= 10 * MEMORY, "{bytes} bytes, {MEMORY} of memory");
        large.read_points(60);
        large.read_ranges(15);
        large.scan();
        large.write(150);
        large.sure("CREATE INDEX by_n ON t (n)");
        let found = large.sure("SELECT count(*) FROM t WHERE n = 42");
        let count = large.rows.values().filter(|row| row.0 == 42).count();
        assert_eq!(found, [[Some(count.to_string())]]);
        large.sure("ALTER TABLE t ALTER COLUMN n TYPE bigint");
        large.sort_and_join();
        large.write(60);
        large.world.now(large.world.database.tend()).unwrap();
        large.read_points(60);
        large.read_ranges(15);
        large.scan();
        large.sure("VACUUM FULL t");
        large.read_points(30);
        assert!(large.refused > 0, "a sort of everything was not too large");
        assert_eq!(large.world.check(), Vec::<String>::new());
        eprintln!(
            "seed {seed}: {bytes} bytes, {MEMORY} of memory: {} answers, {} refused",
            large.answered, large.refused
        );
    });
}
