//! A disk in memory that crashes and fails on demand, for tests. It has two files: a database's rows,
//! and its commit log.
//!
//! Writes are volatile until their file's `sync_data`. All that changes the disk is recorded, so that one
//! run of a workload yields the image of a crash at any of its operations, under any [`Survival`] rule.

use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::env::LateSync;

/// What disks write as a whole. A torn write survives in such pieces.
const SECTOR: usize = 512;

/// A small generator of random numbers (splitmix64): same seed, same numbers.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `range`, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start).max(1)
    }

    pub fn coin(&mut self) -> bool {
        self.number() & 1 == 1
    }
}

const ROWS: usize = 0;
const LOG: usize = 1;

/// What the files of a disk hold.
pub type Image = [Vec<u8>; 2];

/// A recorded operation on one of the files.
#[derive(Clone, Debug)]
pub struct Op {
    file: usize,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    SetLen(u64),
    /// What was done to the file before the operation of this number is durable.
    Sync(usize),
}

/// Which unsynced operations a crash leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// All of them: the process died, the machine did not.
    All,
    /// None of them.
    None,
    /// A random subset, in order.
    Random,
    /// All up to a random one.
    Prefix,
    /// A random subset, of which each write may be torn into sectors.
    Torn,
}

impl Survival {
    pub const EVERY: [Survival; 5] = [
        Survival::All,
        Survival::None,
        Survival::Random,
        Survival::Prefix,
        Survival::Torn,
    ];
}

/// What to do to the backend's calls, which are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// This call fails, later ones work again.
    Once(u64),
    /// This call and all later ones fail.
    From(u64),
    /// There is no room for a file to become longer.
    Full,
}

/// A disk; clones are one disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    late: Arc<Late>,
}

#[derive(Debug, Default)]
struct State {
    files: Image,
    /// Between the halves of a late sync of the rows: the operations before the first one, and what was
    /// written to the rows since, none of which is on the disk before the second.
    late: Option<(usize, Vec<Op>)>,
    ops: Vec<Op>,
    calls: u64,
    fault: Option<Fault>,
}

impl Disk {
    /// A disk that holds `image`, all of it durable.
    pub fn with_image(image: Image) -> Self {
        let disk = Disk::default();
        disk.state.lock().files = image;
        disk
    }

    /// What a database is opened on.
    pub fn backend(&self) -> Backend {
        Backend {
            disk: self.clone(),
            file: ROWS,
        }
    }

    /// Its commit log.
    pub fn log(&self) -> Arc<dyn StorageBackend> {
        Arc::new(Backend {
            disk: self.clone(),
            file: LOG,
        })
    }

    /// The late sync of the rows on this disk.
    pub fn late_sync(&self) -> Arc<dyn LateSync> {
        Arc::new(self.clone())
    }

    /// Runs once, between the halves of the next sync of the rows or during the next one of the log.
    pub fn during_sync(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
        *self.late.during.lock() = Some(Box::new(work));
    }

    pub fn set_fault(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Calls made so far, reads included.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Recorded operations so far.
    pub fn op_count(&self) -> usize {
        self.state.lock().ops.len()
    }

    /// What is on the disk, durably or not.
    pub fn image(&self) -> Image {
        self.state.lock().files.clone()
    }

    /// Bytes on the disk, in both files.
    pub fn size(&self) -> usize {
        self.state.lock().files.iter().map(Vec::len).sum()
    }

    pub fn ops(&self) -> Vec<Op> {
        self.state.lock().ops.clone()
    }
}

#[derive(Default)]
struct Late {
    /// The next sync of the rows is a late one.
    deferred: AtomicBool,
    /// It has had its first half.
    begun: AtomicBool,
    during: Mutex<Option<Box<dyn FnOnce() -> io::Result<()> + Send>>>,
}

impl Late {
    fn run(&self) -> io::Result<()> {
        let during = self.during.lock().take();
        during.map_or(Ok(()), |work| work())
    }
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

impl LateSync for Disk {
    fn defer(&self) {
        self.late.deferred.store(true, Ordering::Relaxed);
    }

    fn finish(&self) -> io::Result<()> {
        self.late.deferred.store(false, Ordering::Relaxed);
        if self.late.begun.swap(false, Ordering::Relaxed) {
            self.late.run()?;
        }
        self.state.lock().finish();
        Ok(())
    }
}

impl State {
    /// The second half of a late sync, if there was a first one.
    fn finish(&mut self) {
        if let Some((before, held)) = self.late.take() {
            self.ops.push(Op {
                file: ROWS,
                act: Act::Sync(before),
            });
            self.ops.extend(held);
        }
    }
}

/// A file of the disk.
#[derive(Debug)]
pub struct Backend {
    disk: Disk,
    file: usize,
}

impl Backend {
    fn call<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state.lock();
        let call = state.calls;
        state.calls += 1;
        match state.fault {
            Some(Fault::Once(at)) if call == at => Err(io::Error::other("injected failure")),
            Some(Fault::From(at)) if call >= at => Err(io::Error::other("injected failure")),
            _ => act(&mut state),
        }
    }

    fn change(&self, act: Act) -> io::Result<()> {
        self.call(|state| {
            let longer = |offset: u64, data: &[u8]| {
                offset as usize + data.len() > state.files[self.file].len()
            };
            if let (Some(Fault::Full), Act::Write { offset, data }) = (state.fault, &act)
                && longer(*offset, data)
            {
                return Err(io::ErrorKind::StorageFull.into());
            }
            apply(&mut state.files[self.file], &act, |_| true);
            let held = self.file == ROWS && matches!(act, Act::Write { .. });
            if self.file == ROWS && !held {
                state.finish();
            }
            let op = Op {
                file: self.file,
                act,
            };
            match &mut state.late {
                Some((_, writes)) if held => writes.push(op),
                _ => state.ops.push(op),
            }
            Ok(())
        })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.call(|state| Ok(state.files[self.file].len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.call(|state| {
            let from = offset as usize;
            let found = from
                .checked_add(out.len())
                .and_then(|to| state.files[self.file].get(from..to))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(found);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Act::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let late = &self.disk.late;
        if self.file == LOG {
            // What is written to the log during its sync may well be lost.
            let before = self.disk.op_count();
            late.run()?;
            return self.change(Act::Sync(before));
        }
        if late.deferred.swap(false, Ordering::Relaxed) {
            return self.call(|state| {
                state.finish();
                state.late = Some((state.ops.len(), Vec::new()));
                late.begun.store(true, Ordering::Relaxed);
                Ok(())
            });
        }
        self.change(Act::Sync(usize::MAX))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Act::Write {
            offset,
            data: data.to_vec(),
        })
    }
}

/// Applies an operation; of a write, only the sectors that `survives` says.
fn apply(content: &mut Vec<u8>, act: &Act, mut survives: impl FnMut(u64) -> bool) {
    match act {
        Act::Write { offset, data } => {
            let mut at = *offset as usize;
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                if survives((at / SECTOR) as u64) {
                    let end = at + piece.len();
                    if content.len() < end {
                        content.resize(end, 0);
                    }
                    content[at..end].copy_from_slice(piece);
                }
                at += piece.len();
                rest = tail;
            }
        }
        Act::SetLen(len) => content.resize(*len as usize, 0),
        Act::Sync(_) => {}
    }
}

/// Walks through recorded operations and yields what a crash at each place leaves behind.
pub struct Crashes<'a> {
    ops: &'a [Op],
    /// What is durable at `at`.
    durable: Image,
    /// The operations before `at` that are not, in order.
    unsynced: Vec<usize>,
    at: usize,
}

impl<'a> Crashes<'a> {
    /// Begins before the first of `ops`, on a disk that durably holds `image`.
    pub fn new(image: Image, ops: &'a [Op]) -> Self {
        Crashes {
            ops,
            durable: image,
            unsynced: Vec::new(),
            at: 0,
        }
    }

    /// The number of operations before the crash.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Lets one more operation happen. Returns whether there was one.
    pub fn advance(&mut self) -> bool {
        let Some(op) = self.ops.get(self.at) else {
            return false;
        };
        let Act::Sync(before) = op.act else {
            self.unsynced.push(self.at);
            self.at += 1;
            return true;
        };
        self.at += 1;
        let (ops, durable) = (self.ops, &mut self.durable);
        self.unsynced.retain(|number| {
            let synced = ops[*number].file == op.file && *number < before;
            if synced {
                apply(&mut durable[op.file], &ops[*number].act, |_| true);
            }
            !synced
        });
        true
    }

    /// Whether there is anything that could be lost.
    pub fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// The disk after a crash here.
    pub fn image(&self, survival: Survival, random: &mut Random) -> Image {
        let mut image = self.durable.clone();
        let prefix = random.within(0..self.unsynced.len() as u64 + 1) as usize;
        for (number, op) in self.unsynced.iter().enumerate() {
            let Op { file, act } = &self.ops[*op];
            let file = &mut image[*file];
            match survival {
                Survival::All => apply(file, act, |_| true),
                Survival::None => {}
                Survival::Prefix if number < prefix => apply(file, act, |_| true),
                Survival::Prefix => {}
                Survival::Random if random.coin() => apply(file, act, |_| true),
                Survival::Random => {}
                Survival::Torn => match random.within(0..3) {
                    0 => {}
                    1 => apply(file, act, |_| true),
                    _ => apply(file, act, |_| random.coin()),
                },
            }
        }
        image
    }
}

/// Runs a future on this thread, which sleeps while it waits.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}
