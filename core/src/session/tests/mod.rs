//! Sessions over a database that crashes, is damaged, and seals rows whenever a test wants it to.

mod check;
mod load;
mod model;
mod near;
pub mod world;
