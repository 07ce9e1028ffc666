//! Whose turn it is to run a query.
//!
//! Many queries that run at once all end late, because each gets a share of the cores only. So as many run as
//! keep the cores busy, and others wait in the order in which they came. A query that runs for longer than
//! [`TURN`] goes on without a turn, beside those that have one: short queries do not wait for long ones, and
//! whatever a query waits for, no other waits for it for longer than that.

use std::sync::Arc;
use std::time::Duration;

use omendb_core::env::Turn;
use tokio::sync::Semaphore;

/// How long a turn lasts at most.
const TURN: Duration = Duration::from_millis(100);

pub struct Turns {
    free: Arc<Semaphore>,
}

impl Turns {
    /// So many at a time.
    pub fn new(count: usize) -> Turns {
        Turns {
            free: Arc::new(Semaphore::new(count.max(1))),
        }
    }

    /// Waits for a turn. Within a runtime.
    pub fn next(&self) -> impl Future<Output = Turn> + Send + use<> {
        let free = self.free.clone();
        async move {
            // Nobody closes the semaphore.
            let turn = Turn::new(free.acquire_owned().await);
            tokio::spawn(turn.end_after(tokio::time::sleep(TURN)));
            turn
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn on_a_runtime(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(work);
    }

    #[test]
    fn turns_are_given_in_the_order_of_asking() {
        on_a_runtime(async {
            let turns = Turns::new(2);
            let first = turns.next().await;
            let _second = turns.next().await;
            let (mut third, mut fourth) = (Box::pin(turns.next()), Box::pin(turns.next()));
            assert!((&mut third).now_or_never().is_none());
            assert!((&mut fourth).now_or_never().is_none());
            drop(first);
            assert!((&mut fourth).now_or_never().is_none());
            let third = third.now_or_never().expect("the third's turn");
            third.end();
            fourth.now_or_never().expect("the fourth's turn");
        });
    }

    #[test]
    fn who_gives_up_waiting_is_passed_over() {
        on_a_runtime(async {
            let turns = Turns::new(1);
            let first = turns.next().await;
            let mut second = Box::pin(turns.next());
            let mut third = Box::pin(turns.next());
            assert!((&mut second).now_or_never().is_none());
            assert!((&mut third).now_or_never().is_none());
            drop(second);
            first.end();
            third.now_or_never().expect("the third's turn");
        });
    }

    #[test]
    fn a_turn_ends_although_its_query_goes_on() {
        on_a_runtime(async {
            let turns = Turns::new(1);
            let endless = turns.next().await;
            let second = turns.next().await;
            // That it ended twice gives no turn to anybody.
            endless.end();
            assert!(turns.next().now_or_never().is_none());
            second.end();
            assert!(turns.next().now_or_never().is_some());
        });
    }
}
