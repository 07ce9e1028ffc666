//! All integration tests, as one binary: `cargo test -p omendb-tests -- <part of a name>`.
//!
//! They run against an `omendb` process that they start. With `OMENDB_TEST_POSTGRES=host:port` they
//! run against that PostgreSQL, which is how the tests themselves are checked.

mod crash;
mod ddl_races;
mod driver;
mod hostile;
mod isolation;
mod limits;
mod memory;
mod protocol;
mod races;
mod slt;
mod structure;

use libtest_mimic::{Arguments, Trial};

/// Tests that run at once: each has a server of its own, which has threads of its own.
const PARALLEL: usize = 4;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PARALLEL);
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(structure::trials());
    trials.extend(slt::trials());
    trials.extend(isolation::trials());
    trials.extend(races::trials());
    trials.extend(ddl_races::trials());
    trials.extend(protocol::trials());
    trials.extend(hostile::trials());
    trials.extend(limits::trials());
    trials.extend(memory::trials());
    trials.extend(driver::trials());
    trials.extend(crash::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
