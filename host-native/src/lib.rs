//! OmenDB as a server: the PostgreSQL protocol over sockets, storage in a file, configuration.
//!
//! Everything that SQL means lives in `omendb_core`; this crate only moves bytes and lends what a
//! machine has: a file, a clock, randomness, threads, sockets.
//!
//! | module | what it is |
//! |---|---|
//! | [`storage`] | the storage backend on a file |
//! | [`commit_log`] | the commit log on a file |
//! | [`objects`] | the object store on a directory |
//! | [`tend`] | the thread that seals rows |
//! | [`env`] | clock, randomness, the commit thread |
//! | [`config`] | settings: defaults < file < environment < flags |
//! | [`turns`] | whose turn it is to run a query |
//! | [`database`] | a database in a directory, opened with all of these |
//! | [`wire`] | the PostgreSQL protocol over any byte stream |
//! | [`tls`] | encryption |
//! | [`lanes`] | the threads that connections live on |
//! | [`serve`] | the server: listens, accepts, stops |
//! | [`cli`] | `omendb sql` and `omendb check` |

pub mod cli;
pub mod commit_log;
pub mod config;
pub mod database;
pub mod env;
pub mod lanes;
pub mod objects;
pub mod serve;
pub mod storage;
pub mod tend;
pub mod tls;
pub mod turns;
pub mod wire;

#[cfg(test)]
mod test_dir;
