//! Tests of transactions: isolation, locks, savepoints, races.

mod isolation;
mod load;
mod locks;
mod model;
mod race;
mod support;
mod transaction;
