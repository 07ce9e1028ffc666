//! The engine's storage against plain key-value stores on the same rows: look-ups, ranges, durable
//! inserts in batches, and a mix of look-ups and updates.
//!
//! Every row that is read is compared with what was last written under its key. Each store does all
//! that is asked of it before the next one is opened, on files in the same directory.

pub mod peers;
pub mod sealed;

use std::path::Path;
use std::time::{Duration, Instant};

/// Rows of one durable batch.
pub const BATCH: u64 = 10_000;
/// Bytes of a row's payload.
const PAYLOAD: usize = 100;
/// Rows that are looked up together.
const TOGETHER: usize = 1024;
/// Rows of one range.
const RANGE: u64 = 10_000;
/// Look-ups and updates of one transaction of the mix.
const READS: usize = 70;
const UPDATES: usize = 30;

pub type Failure = Box<dyn std::error::Error>;
pub type Done<T> = Result<T, Failure>;

/// A row to be written: its number and its payload, which says number and version.
pub type Row = (u64, String);

/// A store of rows by number.
pub trait Store {
    fn name(&self) -> &'static str;

    /// Writes rows in one durable transaction.
    fn write(&mut self, rows: &[Row]) -> Done<()>;

    /// All that was loaded is now cold: what the store does then, it does here.
    fn settle(&mut self) -> Done<()> {
        Ok(())
    }

    /// Runs `read` at one state, with a look-up that passes a row's payload on.
    fn read(&mut self, read: &mut dyn FnMut(&Lookup<'_>) -> Done<()>) -> Done<()>;

    /// Looks one row up in what is committed now, as a statement does that is a transaction of its own.
    fn read_newest(&mut self, number: u64, row: &mut dyn FnMut(&[u8])) -> Done<bool>;

    /// Looks ascending numbers up together, and passes the payloads on: the number's place among them,
    /// and its payload.
    fn read_batch(&mut self, numbers: &[u64], row: &mut dyn FnMut(usize, &[u8])) -> Done<()>;

    /// Passes the payloads of `count` rows on, from number `from` on, in order.
    fn range(&mut self, from: u64, count: u64, row: &mut dyn FnMut(&[u8])) -> Done<()>;
}

/// Looks a row up; whether there was one.
pub type Lookup<'a> = dyn Fn(u64, &mut dyn FnMut(&[u8])) -> Done<bool> + 'a;

/// A row; all but 18 bytes of its payload are noise, so that nothing shrinks much.
fn row(number: u64, version: u64) -> Row {
    let mut payload = format!("{number:012}{version:06}");
    payload.reserve_exact(PAYLOAD - payload.len());
    let mut noise = random(number ^ version << 40);
    while payload.len() < PAYLOAD {
        payload.push(char::from(b'a' + (noise % 26) as u8));
        noise = match noise < 26 {
            true => random(number + payload.len() as u64),
            false => noise / 26,
        };
    }
    (number, payload)
}

fn is_row(payload: &[u8], number: u64, version: u64) -> bool {
    let digits = |from: usize, to: usize| {
        let digits = payload.get(from..to).unwrap_or_default();
        digits
            .iter()
            .fold(0_u64, |number, digit| number * 10 + u64::from(*digit & 15))
    };
    payload.len() == PAYLOAD && digits(0, 12) == number && digits(12, 18) == version
}

fn random(at: u64) -> u64 {
    let z = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Numbers below `count`, the smaller the more often, spread over all of them: Zipf's law with
/// exponent 0.99, after Gray et al., "Quickly generating billion-record synthetic databases".
struct Zipf {
    count: u64,
    zeta: f64,
    eta: f64,
    state: u64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    fn new(count: u64) -> Self {
        let zeta = |count: u64| {
            (1..=count)
                .map(|n| (n as f64).powf(-Self::THETA))
                .sum::<f64>()
        };
        let all = zeta(count);
        let below = 1.0 - (2.0 / count as f64).powf(1.0 - Self::THETA);
        Zipf {
            count,
            zeta: all,
            eta: below / (1.0 - zeta(2) / all),
            state: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.state += 1;
        let u = (random(self.state) >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = match u * self.zeta {
            z if z < 1.0 => 0,
            z if z < 1.0 + 0.5_f64.powf(Self::THETA) => 1,
            _ => {
                let below = (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - Self::THETA));
                ((self.count as f64 * below) as u64).min(self.count - 1)
            }
        };
        random(rank) % self.count
    }
}

/// What one store did, in nanoseconds an operation or operations a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    pub load_rows: f64,
    /// Look-ups right after loading.
    pub cold_ns: f64,
    pub lookup_ns: f64,
    pub lookup_p99: f64,
    /// Look-ups in what is committed, each by itself.
    pub newest_ns: f64,
    /// Of many together, sorting them included.
    pub batched_ns: f64,
    pub range_rows: f64,
    pub insert_rows: f64,
    pub mix: f64,
    pub bytes: u64,
    pub wrong: u64,
}

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub rows: u64,
    pub lookups: u64,
    pub ranges: u64,
    pub inserts: u64,
    pub transactions: usize,
}

/// Measures one store in `directory`.
pub fn measure(store: &mut dyn Store, directory: &Path, size: Size) -> Done<Measured> {
    let mut measured = Measured::default();
    let mut versions = vec![0_u32; (size.rows + size.inserts) as usize];
    let name = store.name();
    let say = |what: &str| eprintln!("{name}: {what}");

    say("loading");
    let took = insert(store, 0, size.rows)?;
    measured.load_rows = size.rows as f64 / took.as_secs_f64();
    store.settle()?;
    measured.bytes = bytes_below(directory);

    // The first round warms up; in the last one, each look-up has its own time.
    say("look-ups");
    for round in 0..3 {
        let mut wrong = 0;
        let mut slowest = Vec::with_capacity(size.lookups as usize);
        let start = Instant::now();
        store.read(&mut |lookup| {
            for at in 0..size.lookups {
                let number = random(at ^ round << 50) % size.rows;
                let began = (round == 2).then(Instant::now);
                let found = lookup(number, &mut |payload| {
                    wrong += u64::from(!is_row(payload, number, 0));
                })?;
                slowest.extend(began.map(|began| began.elapsed().as_nanos() as u32));
                wrong += u64::from(!found);
            }
            Ok(())
        })?;
        let each = start.elapsed().as_nanos() as f64 / size.lookups as f64;
        match round {
            0 => measured.cold_ns = each,
            1 => measured.lookup_ns = each,
            _ => {}
        }
        measured.wrong += wrong;
        slowest.sort_unstable();
        let p99 = slowest.get(slowest.len() * 99 / 100);
        measured.lookup_p99 = p99.copied().map_or(0.0, f64::from);
    }

    say("look-ups, each in the newest state");
    let (mut wrong, start) = (0, Instant::now());
    for at in 0..size.lookups {
        let number = random(at ^ 5 << 50) % size.rows;
        let found = store.read_newest(number, &mut |payload| {
            wrong += u64::from(!is_row(payload, number, 0));
        })?;
        wrong += u64::from(!found);
    }
    measured.newest_ns = start.elapsed().as_nanos() as f64 / size.lookups as f64;
    measured.wrong += wrong;

    say("look-ups in batches");
    let mut numbers = Vec::with_capacity(TOGETHER);
    let mut took = Duration::ZERO;
    let batches = size.lookups / TOGETHER as u64;
    for round in 0..2 {
        let start = Instant::now();
        for batch in 0..batches {
            let some = (batch * TOGETHER as u64..).take(TOGETHER);
            numbers.clear();
            numbers.extend(some.map(|at| random(at ^ (round + 3) << 50) % size.rows));
            numbers.sort_unstable();
            let (mut wrong, mut found) = (0, 0);
            store.read_batch(&numbers, &mut |at, payload| {
                found += 1;
                wrong += u64::from(!is_row(payload, numbers[at], 0));
            })?;
            measured.wrong += wrong + (TOGETHER - found) as u64;
        }
        took = start.elapsed();
    }
    measured.batched_ns = took.as_nanos() as f64 / (batches * TOGETHER as u64) as f64;

    say("ranges");
    let start = Instant::now();
    for at in 0..size.ranges {
        let from = random(at) % (size.rows - RANGE);
        let (mut next, mut wrong) = (from, 0);
        store.range(from, RANGE, &mut |payload| {
            wrong += u64::from(!is_row(payload, next, 0));
            next += 1;
        })?;
        measured.wrong += wrong + u64::from(next != from + RANGE);
    }
    measured.range_rows = (size.ranges * RANGE) as f64 / start.elapsed().as_secs_f64();

    say("durable inserts");
    let took = insert(store, size.rows, size.inserts)?;
    measured.insert_rows = size.inserts as f64 / took.as_secs_f64();

    say("look-ups and updates");
    let mut zipf = Zipf::new(size.rows);
    let mut took = Duration::ZERO;
    for _ in 0..size.transactions {
        let mut wrong = 0;
        let start = Instant::now();
        store.read(&mut |lookup| {
            for _ in 0..READS {
                let number = zipf.next();
                let version = u64::from(versions[number as usize]);
                let found = lookup(number, &mut |payload| {
                    wrong += u64::from(!is_row(payload, number, version));
                })?;
                wrong += u64::from(!found);
            }
            Ok(())
        })?;
        took += start.elapsed();
        let mut rows = Vec::with_capacity(UPDATES);
        for _ in 0..UPDATES {
            let number = zipf.next();
            versions[number as usize] += 1;
            rows.push(row(number, u64::from(versions[number as usize])));
        }
        let start = Instant::now();
        store.write(&rows)?;
        took += start.elapsed();
        measured.wrong += wrong;
    }
    let operations = size.transactions * (READS + UPDATES);
    measured.mix = operations as f64 / took.as_secs_f64();
    Ok(measured)
}

fn insert(store: &mut dyn Store, from: u64, count: u64) -> Done<Duration> {
    let mut took = Duration::ZERO;
    let mut next = from;
    while next < from + count {
        let end = (next + BATCH).min(from + count);
        let rows: Vec<Row> = (next..end).map(|number| row(number, 0)).collect();
        let start = Instant::now();
        store.write(&rows)?;
        took += start.elapsed();
        next = end;
    }
    Ok(took)
}

fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
