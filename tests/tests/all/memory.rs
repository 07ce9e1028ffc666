//! The resident memory of the process beside a table more than ten times as large as its limits, of which some
//! is sealed and some is not, while it is loaded, merged and read. The engine's own counters are tested where
//! they are (`session::tests::bounded`); this is what the system says.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::{Process, Target};
use omendb_tests::wire::{Client, read_report};

use crate::protocol::ensure;

/// What may stay in memory, and what queries and transactions may take, in megabytes.
const LIMITS: &[(&str, u64)] = &[
    ("page-cache", 1),
    ("segment-cache", 1),
    ("column-cache", 1),
    // At least what a scan decodes of the unsealed rows, twice.
    ("query-memory", 32),
    ("transaction-memory", 3),
];
const SETTINGS: &[&str] = &[
    "--worker-threads=2",
    "--load-rows=100",
    // Only merges happen by themselves: rows that are not loaded stay unsealed.
    "--seal-interval=1",
    "--seal-rows=1000000",
];
/// What else the process may have more beside the large table than beside the small one, in megabytes: pages
/// that wait to be written (twice the page cache), the segment that a merge writes (twice a quarter of
/// the memory of transactions), what scans have decoded of unsealed rows, and what the allocator has not given
/// back. Less than a third of what is stored.
const ALLOWANCE: u64 = 50;

/// Rows of a small table and of a large one.
const FEW: usize = 2_000;
const MANY: usize = 43_000;
/// They come in so many parts, each of which has keys from everywhere. The last one stays in redb.
const PARTS: usize = 24;
/// Rows of a statement that leaves them there.
const PIECE: usize = 50;
/// Bytes of a row's text.
const TEXT: usize = 4000;
const GROUPS: usize = 1_000;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("memory::is_bounded", || {
        let limits = LIMITS
            .iter()
            .map(|(name, size)| format!("--{name}={size}MB"));
        let limits: Vec<String> = limits.collect();
        let mut flags = SETTINGS.to_vec();
        flags.extend(limits.iter().map(String::as_str));
        is_bounded(&Target::with(&flags)?)
    })]
}

fn is_bounded(target: &Target) -> Result<(), Failed> {
    let process = match target {
        Target::Omendb(process) => Some(process),
        Target::Postgres { .. } => None,
    };
    let peak = |what: &str| {
        let peak = process.and_then(Process::take_peak).unwrap_or_default() >> 20;
        eprintln!("{what}: {peak} MB of memory at most");
        peak
    };
    let mut client = target.connect()?;
    let texts = Texts::new();
    let small = Table::new("small", FEW, &texts);
    let large = Table::new("large", MANY, &texts);
    // What does not depend on the size of data is there afterwards.
    small.load(&mut client)?;
    small.read(&mut client, &mut |_| Ok(()))?;
    let before = peak("a small table");
    let limits: u64 = LIMITS.iter().map(|(_, size)| size).sum();
    let most = before + limits + ALLOWANCE;
    let mut look = |what: &str| {
        let peak = peak(what);
        ensure(
            peak <= most,
            format!("{what}: {peak} MB of memory instead of {most}"),
        )
    };
    large.load(&mut client)?;
    look("loading")?;
    if let Some(process) = process {
        let stored = size(process.directory())? >> 20;
        eprintln!("{stored} MB stored, limits of {limits} MB");
        ensure(
            stored >= 10 * limits && stored > 3 * ALLOWANCE,
            format!("{stored} MB are too few to tell"),
        )?;
    }
    large.read(&mut client, &mut look)
}

/// Text that does not compress to nothing: a row's text is a piece of it.
struct Texts(Vec<u8>);

impl Texts {
    fn new() -> Texts {
        let mut state = 1_u64;
        let letters = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            match b'0' + (state >> 58) as u8 {
                b'\\' => b'~',
                letter => letter,
            }
        });
        Texts(letters.take(4 << 20).collect())
    }

    fn of(&self, id: usize) -> &[u8] {
        let at = id.wrapping_mul(2_654_435_761) % (self.0.len() - TEXT);
        self.0.get(at..at + TEXT).unwrap_or_default()
    }
}

/// Rows of a number, `n`, which is that number modulo [`GROUPS`], and a text.
struct Table<'t> {
    name: &'static str,
    rows: usize,
    texts: &'t Texts,
}

impl<'t> Table<'t> {
    fn new(name: &'static str, rows: usize, texts: &'t Texts) -> Self {
        Table { name, rows, texts }
    }

    fn text(&self, id: usize) -> String {
        String::from_utf8_lossy(self.texts.of(id)).into_owned()
    }

    fn load(&self, client: &mut Client) -> Result<(), Failed> {
        client.simple(&format!(
            "CREATE TABLE {} (id bigint PRIMARY KEY, n int NOT NULL, v text NOT NULL)",
            self.name
        ))?;
        let part = |part: usize| (part..self.rows).step_by(PARTS);
        for number in 0..PARTS - 1 {
            self.copy(client, part(number))?;
        }
        let mut last = part(PARTS - 1).peekable();
        while last.peek().is_some() {
            self.copy(client, last.by_ref().take(PIECE))?;
        }
        Ok(())
    }

    fn copy(&self, client: &mut Client, ids: impl Iterator<Item = usize>) -> Result<(), Failed> {
        client.send_query(&format!("COPY {} FROM STDIN", self.name))?;
        for id in ids {
            let mut line = format!("{id}\t{}\t", id % GROUPS).into_bytes();
            line.extend_from_slice(self.texts.of(id));
            line.push(b'\n');
            client.send('d', &line)?;
        }
        client.send('c', &[])?;
        loop {
            let answer = client.receive()?;
            match answer.kind {
                'G' | 'C' => {}
                'E' => return Err(read_report(&answer.body).to_string().into()),
                'Z' => return Ok(()),
                _ => client.absorb(&answer)?,
            }
        }
    }

    fn read(
        &self,
        client: &mut Client,
        look: &mut dyn FnMut(&str) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let Table { name, rows, texts } = *self;
        let mut expect = |sql: &str, expected: &[String]| -> Result<(), Failed> {
            let found = client.simple(sql)?.pop().unwrap_or_default().text();
            let lines = found.into_iter().map(|row| {
                let cells = row.into_iter().map(Option::unwrap_or_default);
                cells.collect::<Vec<String>>().join("|")
            });
            let found: Vec<String> = lines.collect();
            ensure(
                found == expected,
                format!("{sql}\n{found:?}\ninstead of\n{expected:?}"),
            )
        };
        for round in 0..400 {
            let id = round * 104_729 % rows;
            let sql = format!("SELECT n, v FROM {name} WHERE id = {id}");
            expect(&sql, &[format!("{}|{}", id % GROUPS, self.text(id))])?;
        }
        look("points")?;
        for round in 0..30 {
            let from = round * 15_485_863 % (rows - 100);
            let found = (from..from + 100).map(|id| format!("{id}|{}", self.text(id)));
            let sql = format!(
                "SELECT id, v FROM {name} WHERE id >= {from} AND id < {from} + 100 ORDER BY id"
            );
            expect(&sql, &found.collect::<Vec<_>>())?;
        }
        look("ranges")?;
        let sql = format!("SELECT count(*) FROM {name}");
        expect(&sql, &[rows.to_string()])?;
        let sum: usize = (0..rows).map(|id| id % GROUPS).sum();
        let sql = format!("SELECT sum(n), count(n), min(id), max(id) FROM {name}");
        expect(&sql, &[format!("{sum}|{rows}|0|{}", rows - 1)])?;
        look("counting")?;
        let beginning = |id: usize| texts.of(id).get(..30);
        let groups = (GROUPS - 20..GROUPS).rev().map(|n| {
            let ids = || (n..rows).step_by(GROUPS);
            let least = ids().filter_map(beginning).min();
            let least = String::from_utf8_lossy(least.unwrap_or_default());
            let (count, sum) = (ids().count(), ids().sum::<usize>());
            format!("{n}|{count}|{sum}|{least}")
        });
        let sql = format!(
            "SELECT n, count(*), sum(id), min(left(v, 30) COLLATE \"C\") FROM {name}
             GROUP BY n ORDER BY n DESC LIMIT 20"
        );
        expect(&sql, &groups.collect::<Vec<_>>())?;
        look("grouping")?;
        let mut ids: Vec<usize> = (0..rows).collect();
        ids.sort_unstable_by_key(|id| (beginning(*id), *id));
        let first = ids.iter().take(10).map(usize::to_string);
        let sql = format!("SELECT id FROM {name} ORDER BY left(v, 30) COLLATE \"C\", id LIMIT 10");
        expect(&sql, &first.collect::<Vec<_>>())?;
        look("sorting")
    }
}

/// Bytes of all files below a directory.
fn size(path: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        sum += match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            // What was merged meanwhile is gone.
            false => entry.metadata().map_or(0, |found| found.len()),
        };
    }
    Ok(sum)
}
