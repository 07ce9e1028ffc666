//! The protocol against a session that is a mock, over in-memory streams.

mod client;
mod fuzz;
mod life;
mod login;
mod mock;
mod queries;
