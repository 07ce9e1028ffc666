//! OmenDB as a server: the PostgreSQL protocol over sockets, storage in a file, configuration.
//!
//! Everything that SQL means lives in `omendb_core`; this crate only moves bytes and lends what a
//! machine has: a file, a clock, randomness, threads, sockets.

pub mod wire;
