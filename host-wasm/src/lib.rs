//! OmenDB inside a web page or an edge function: one thread, no sockets, the same engine.
//!
//! DataFusion wants a tokio runtime around it, so every statement runs inside `block_on` of a
//! current-thread runtime with one partition. Commits are made by the caller itself.

mod connection;
mod host;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod js;

pub use connection::{Connection, StatementResult};
