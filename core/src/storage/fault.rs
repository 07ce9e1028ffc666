//! A disk in memory that crashes and fails on demand, for tests.
//!
//! Writes are volatile until `sync_data`. All that changes the disk is recorded, so that one run of a
//! workload yields the image of a crash at any of its operations, under any [`Survival`] rule.

use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
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

/// A recorded operation.
#[derive(Clone, Debug)]
pub enum Op {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync,
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
}

/// A disk; clones are one disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    late: Arc<Late>,
}

#[derive(Debug, Default)]
struct State {
    content: Vec<u8>,
    ops: Vec<Op>,
    calls: u64,
    fault: Option<Fault>,
}

impl Disk {
    /// A disk that holds `image`, all of it durable.
    pub fn with_image(image: Vec<u8>) -> Self {
        let disk = Disk::default();
        disk.state.lock().content = image;
        disk
    }

    /// What a database is opened on.
    pub fn backend(&self) -> Backend {
        Backend(self.clone())
    }

    /// The late sync of a database on this disk. The whole sync is recorded at its first half: until
    /// the second is done, a crash leaves what one right before the first would have left.
    pub fn late_sync(&self) -> Arc<dyn LateSync> {
        self.late.clone()
    }

    /// Runs once, between the halves of the next sync.
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

    /// Bytes on the disk.
    pub fn size(&self) -> usize {
        self.state.lock().content.len()
    }

    pub fn ops(&self) -> Vec<Op> {
        self.state.lock().ops.clone()
    }
}

#[derive(Default)]
struct Late {
    during: Mutex<Option<Box<dyn FnOnce() -> io::Result<()> + Send>>>,
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

impl LateSync for Late {
    fn defer(&self) {}

    fn finish(&self) -> io::Result<()> {
        let during = self.during.lock().take();
        during.map_or(Ok(()), |work| work())
    }
}

/// The disk as redb sees it.
#[derive(Debug)]
pub struct Backend(Disk);

impl Backend {
    fn call<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.state.lock();
        let call = state.calls;
        state.calls += 1;
        match state.fault {
            Some(Fault::Once(at)) if call == at => Err(io::Error::other("injected failure")),
            Some(Fault::From(at)) if call >= at => Err(io::Error::other("injected failure")),
            _ => act(&mut state),
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.call(|state| Ok(state.content.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.call(|state| {
            let from = offset as usize;
            let found = from
                .checked_add(out.len())
                .and_then(|to| state.content.get(from..to))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(found);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(|state| {
            apply(&mut state.content, &Op::SetLen(len), |_| true);
            state.ops.push(Op::SetLen(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(|state| {
            state.ops.push(Op::Sync);
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.call(|state| {
            let op = Op::Write {
                offset,
                data: data.to_vec(),
            };
            apply(&mut state.content, &op, |_| true);
            state.ops.push(op);
            Ok(())
        })
    }
}

/// Applies an operation; of a write, only the sectors that `survives` says.
fn apply(content: &mut Vec<u8>, op: &Op, mut survives: impl FnMut(u64) -> bool) {
    match op {
        Op::Write { offset, data } => {
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
        Op::SetLen(len) => content.resize(*len as usize, 0),
        Op::Sync => {}
    }
}

/// Walks through recorded operations and yields what a crash at each place leaves behind.
pub struct Crashes<'a> {
    ops: &'a [Op],
    /// What is durable after the last sync before `at`.
    durable: Vec<u8>,
    /// The first operation after that sync.
    unsynced: usize,
    at: usize,
}

impl<'a> Crashes<'a> {
    /// Begins before the first of `ops`, on a disk that durably holds `image`.
    pub fn new(image: Vec<u8>, ops: &'a [Op]) -> Self {
        Crashes {
            ops,
            durable: image,
            unsynced: 0,
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
        self.at += 1;
        if matches!(op, Op::Sync) {
            for op in &self.ops[self.unsynced..self.at] {
                apply(&mut self.durable, op, |_| true);
            }
            self.unsynced = self.at;
        }
        true
    }

    /// Whether there is anything that could be lost.
    pub fn has_unsynced(&self) -> bool {
        self.unsynced < self.at
    }

    /// The disk after a crash here.
    pub fn image(&self, survival: Survival, random: &mut Random) -> Vec<u8> {
        let mut image = self.durable.clone();
        let pending = &self.ops[self.unsynced..self.at];
        let prefix = random.within(0..pending.len() as u64 + 1) as usize;
        for (number, op) in pending.iter().enumerate() {
            match survival {
                Survival::All => apply(&mut image, op, |_| true),
                Survival::None => {}
                Survival::Prefix if number < prefix => apply(&mut image, op, |_| true),
                Survival::Prefix => {}
                Survival::Random if random.coin() => apply(&mut image, op, |_| true),
                Survival::Random => {}
                Survival::Torn => match random.within(0..3) {
                    0 => {}
                    1 => apply(&mut image, op, |_| true),
                    _ => apply(&mut image, op, |_| random.coin()),
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
