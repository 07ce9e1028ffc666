//! The PostgreSQL protocol (version 3.0) over any pair of byte streams.
//!
//! | file | what it is |
//! |---|---|
//! | `frontend` | messages from the client, decoded in place |
//! | `backend` | messages to the client, encoded in place |
//! | `io` | the buffers between socket and session |
//! | `startup`, `scram` | from the first byte to an authenticated user |
//! | `connection` | the loop: messages in, answers out |
//! | `control` | who is connected: cancel, limits, shutdown |
//! | `server` | one connection from accept to close |

mod backend;
mod connection;
mod control;
mod frontend;
mod io;
mod scram;
mod server;
mod startup;
#[cfg(test)]
mod tests;

pub use control::Registry;
pub use server::{Backend, Peer, Server};
