//! Sessions over a database that crashes, is damaged, and seals rows whenever a test wants it to.

mod alter_sealed;
mod bounded;
mod check;
mod depth;
mod during_seals;
mod load;
mod memory;
mod model;
mod near;
mod references;
pub mod world;
