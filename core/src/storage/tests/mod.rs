//! Tests of the store: what commits, in which order, and what survives.

mod commit;
mod crash;
mod io_failure;
mod log;
mod open;
pub(crate) mod seeds;
pub(crate) mod support;
