//! Runs the measurements of `omendb_benches::index`.

use omendb_benches::index::{Options, run};

fn main() {
    run(&Options::from_arguments(), &[]);
}
