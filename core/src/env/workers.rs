//! Where work goes that would keep a caller's thread from its other callers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::{AbortHandle, BoxFuture, abortable};
use futures::stream::{BoxStream, Stream};
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Items of a stream that are made ahead of whoever takes them.
const AHEAD: usize = 1;

/// Leave to run a query, until it ends or is dropped. Clones are the same turn.
#[derive(Clone, Default)]
pub struct Turn(Arc<Mutex<Option<Box<dyn Send>>>>);

impl Turn {
    /// A turn during which `leave` is kept.
    pub fn new(leave: impl Send + 'static) -> Turn {
        Turn(Arc::new(Mutex::new(Some(Box::new(leave)))))
    }

    /// Lets others run: the query waits for something, or is done. Ends a turn only once.
    pub fn end(&self) {
        let leave = self.0.lock().take();
        drop(leave);
    }

    /// Ends the turn when `over` resolves, if it lasts so long.
    pub fn end_after<F>(&self, over: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        let turn = Arc::downgrade(&self.0);
        async move {
            over.await;
            if let Some(turn) = turn.upgrade() {
                Turn(turn).end();
            }
        }
    }
}

/// Threads of a host besides those that call the engine.
pub trait Threads: Send + Sync + 'static {
    /// Runs work that may go on for long without waiting for anything.
    fn run(&self, work: BoxFuture<'static, ()>);

    /// Runs work that gives way often; it may start more of its kind.
    fn spawn(&self, work: BoxFuture<'static, ()>);

    /// Waits until one more query may run. What a query waits for may need another one's turn, so no turn
    /// may last for ever.
    fn turn(&self) -> BoxFuture<'static, Turn> {
        Box::pin(std::future::ready(Turn::default()))
    }
}

/// What runs queries: planning and running one takes milliseconds at least, sometimes without
/// giving way. Elsewhere, whoever waits for it can be stopped meanwhile.
#[derive(Clone)]
pub enum Workers {
    /// The caller itself: a host with one thread.
    Inline,
    Threads(Arc<dyn Threads>),
}

impl Workers {
    /// Runs `work` and waits for its result. Whoever stops waiting stops the work, at the latest
    /// where it would wait next.
    ///
    /// # Errors
    /// Those of `work`; XX000 when it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let Workers::Threads(threads) = self else {
            return work.await;
        };
        let (sender, receiver) = oneshot::channel();
        let (work, stop) = abortable(async move {
            // Nobody may wait any more.
            let _ = sender.send(work.await);
        });
        let _stop = Stop(stop);
        threads.run(Box::pin(async {
            let _ = work.await;
        }));
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Runs two pieces of work and waits for both: `beside` on a worker, if one comes to it before this
    /// thread is done with `here`, or else on this thread, too.
    ///
    /// # Errors
    /// Those of `beside`; XX000 when it panicked.
    pub fn join<A: Send + 'static, B>(
        &self,
        beside: impl FnOnce() -> Result<A> + Send + 'static,
        here: impl FnOnce() -> B,
    ) -> (Result<A>, B) {
        let Workers::Threads(threads) = self else {
            return (beside(), here());
        };
        let job = Arc::new(Mutex::new(Job::Waits(beside)));
        let there = job.clone();
        threads.run(Box::pin(async move { there.lock().run() }));
        let here = here();
        // Waits for a worker that has begun.
        let mut job = job.lock();
        job.run();
        match std::mem::replace(&mut *job, Job::Lost) {
            Job::Done(result) => (result, here),
            Job::Waits(_) | Job::Lost => (Err(lost()), here),
        }
    }

    /// Waits until one more query may run.
    pub async fn turn(&self) -> Turn {
        match self {
            Workers::Inline => Turn::default(),
            Workers::Threads(threads) => threads.turn().await,
        }
    }

    /// Lets the workers make a stream's items. It begins when it is first polled. The turn ends with the
    /// stream, or when items have to wait for whoever takes them.
    pub fn stream<T: Send + 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
        turn: Turn,
    ) -> BoxStream<'static, Result<T>> {
        match self {
            Workers::Inline => stream,
            Workers::Threads(threads) => Box::pin(Remote {
                threads: threads.clone(),
                state: State::Waits(stream, turn),
            }),
        }
    }
}

/// A piece of work that whoever comes first does.
enum Job<W, T> {
    Waits(W),
    Done(Result<T>),
    /// Somebody began it and did not end it.
    Lost,
}

impl<T, W: FnOnce() -> Result<T>> Job<W, T> {
    fn run(&mut self) {
        match std::mem::replace(self, Job::Lost) {
            Job::Waits(work) => *self = Job::Done(work()),
            other => *self = other,
        }
    }
}

/// Stops the work when it is dropped.
struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream whose items come from a worker.
struct Remote<T> {
    threads: Arc<dyn Threads>,
    state: State<T>,
}

enum State<T> {
    Waits(BoxStream<'static, Result<T>>, Turn),
    Runs {
        /// The end is an item too: without it, the worker is lost, and so are items.
        items: mpsc::Receiver<Option<Result<T>>>,
        _stop: Stop,
    },
    Ended,
}

impl<T: Send + 'static> Stream for Remote<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let State::Waits(..) = &self.state
            && let State::Waits(stream, turn) = std::mem::replace(&mut self.state, State::Ended)
        {
            let (sender, items) = mpsc::channel(AHEAD);
            let (work, stop) = abortable(forward(stream, sender, turn));
            self.threads.spawn(Box::pin(async {
                let _ = work.await;
            }));
            self.state = State::Runs {
                items,
                _stop: Stop(stop),
            };
        }
        let State::Runs { items, .. } = &mut self.state else {
            return Poll::Ready(None);
        };
        let item = match items.poll_next_unpin(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Some(item))) => return Poll::Ready(Some(item)),
            Poll::Ready(Some(None)) => None,
            Poll::Ready(None) => Some(Err(lost())),
        };
        self.state = State::Ended;
        Poll::Ready(item)
    }
}

async fn forward<T>(
    mut stream: BoxStream<'static, Result<T>>,
    mut items: mpsc::Sender<Option<Result<T>>>,
    turn: Turn,
) {
    loop {
        let item = stream.next().await;
        let ended = item.is_none();
        if ended {
            turn.end();
        }
        let room = poll_fn(|cx| {
            let room = items.poll_ready(cx);
            if room.is_pending() {
                turn.end();
            }
            room
        });
        // Nobody may take items any more.
        if room.await.is_err() || items.start_send(item).is_err() || ended {
            return;
        }
    }
}

fn lost() -> Error {
    Error::internal("the server failed while it ran the statement")
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread();
        { runtime }.build().unwrap().block_on(work)
    }

    /// A thread for each piece of work.
    struct Each;

    impl Threads for Each {
        fn run(&self, work: BoxFuture<'static, ()>) {
            std::thread::spawn(|| block_on(work));
        }

        fn spawn(&self, work: BoxFuture<'static, ()>) {
            std::thread::spawn(|| block_on(work));
        }
    }

    fn workers() -> Workers {
        Workers::Threads(Arc::new(Each))
    }

    #[test]
    fn work_runs_elsewhere() {
        let here = std::thread::current().id();
        let there = block_on(workers().run(async { Ok(std::thread::current().id()) })).unwrap();
        assert_ne!(here, there);
        let inline = Workers::Inline.run(async { Ok(std::thread::current().id()) });
        assert_eq!(block_on(inline).unwrap(), here);
    }

    /// Threads that never come to anything.
    struct Busy;

    impl Threads for Busy {
        fn run(&self, _: BoxFuture<'static, ()>) {}

        fn spawn(&self, _: BoxFuture<'static, ()>) {}
    }

    #[test]
    fn two_pieces_of_work_are_both_done() {
        let busy = Workers::Threads(Arc::new(Busy));
        for workers in [workers(), busy, Workers::Inline] {
            for _ in 0..100 {
                let (one, other) = workers.join(|| Ok(1), || 2);
                assert_eq!((one.unwrap(), other), (1, 2));
            }
        }
        let (begins, begun) = std::sync::mpsc::channel();
        let fails = move || {
            begins.send(3).unwrap();
            if begins.send(4).is_ok() {
                panic!("on purpose");
            }
            Ok(())
        };
        let (lost, here) = workers().join(fails, || begun.recv().unwrap());
        assert!(lost.is_err());
        assert_eq!(here, 3);
    }

    #[test]
    fn a_stream_arrives_whole_and_in_order() {
        let numbers = stream::iter((0..1000).map(Ok)).boxed();
        let there: Vec<Result<i32>> =
            block_on(workers().stream(numbers, Turn::default()).collect());
        let there: Vec<i32> = there.into_iter().map(Result::unwrap).collect();
        assert_eq!(there, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_is_an_error() {
        let workers = workers();
        let failed = workers.run(async {
            if true {
                panic!("on purpose");
            }
            Ok(())
        });
        assert!(block_on(failed).is_err());
        let broken = stream::iter((0..3).map(|n| {
            assert!(n < 2, "on purpose");
            Ok(n)
        }));
        let mut stream = workers.stream(broken.boxed(), Turn::default());
        assert_eq!(block_on(stream.next()).unwrap().unwrap(), 0);
        assert_eq!(block_on(stream.next()).unwrap().unwrap(), 1);
        assert!(block_on(stream.next()).unwrap().is_err());
        assert!(block_on(stream.next()).is_none());
    }

    /// A turn, and what is there as long as it lasts.
    fn turn() -> (Turn, std::sync::Weak<()>) {
        let leave = Arc::new(());
        let lasts = Arc::downgrade(&leave);
        (Turn::new(leave), lasts)
    }

    #[test]
    fn a_turn_ends_with_the_stream_or_when_it_waits_for_its_reader() {
        let ended = |lasts: std::sync::Weak<()>| {
            while lasts.upgrade().is_some() {
                std::thread::yield_now();
            }
        };
        for items in [0, 1, 1000] {
            let (kept, lasts) = turn();
            let numbers = stream::iter((0..items).map(Ok)).boxed();
            let mut numbers = workers().stream(numbers, kept.clone());
            assert!(lasts.upgrade().is_some());
            // Nobody takes the others.
            let first = block_on(numbers.next());
            assert_eq!(first.is_some(), items > 0);
            ended(lasts);
            drop(kept);
        }
    }

    #[test]
    fn a_turn_ends_when_it_is_over_or_dropped() {
        let (kept, lasts) = turn();
        block_on(kept.end_after(std::future::ready(())));
        assert!(lasts.upgrade().is_none());
        let (kept, lasts) = turn();
        let later = kept.end_after(std::future::pending());
        drop(kept);
        assert!(lasts.upgrade().is_none());
        drop(later);
    }

    #[test]
    fn whoever_drops_a_stream_stops_it() {
        let counted = Arc::new(());
        let held = counted.clone();
        let endless = stream::repeat_with(move || {
            let _held = &held;
            Ok(())
        });
        let mut stream = workers().stream(endless.boxed(), Turn::default());
        assert!(block_on(stream.next()).unwrap().is_ok());
        drop(stream);
        while Arc::strong_count(&counted) > 1 {
            std::thread::yield_now();
        }
    }
}
