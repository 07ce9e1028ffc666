//! What the integration tests share: a protocol client that hides nothing, servers to test
//! against, and SQL scripts.

pub mod record;
pub mod script;
pub mod sealer;
pub mod server;
pub mod wire;
