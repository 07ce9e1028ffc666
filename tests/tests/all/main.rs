//! All integration tests, as one binary: `cargo test -p omendb-tests -- <part of a name>`.
//!
//! They run against an `omendb` process that they start. With `OMENDB_TEST_POSTGRES=host:port` they
//! run against that PostgreSQL, which is how the tests themselves are checked.

mod slt;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(slt::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
