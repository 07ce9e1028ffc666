//! Statements: parsed, classified, and run, one file a verb.
//!
//! Three ways for a statement (chosen when it is prepared): compiled (single rows by key, never in
//! DataFusion), DataFusion (everything that reads), writes with a query inside (a DataFusion plan
//! that gives row keys and new values, then lock, recheck, write).

mod context;
mod cursor;
pub mod ddl;
pub mod dml;
mod engine;
mod parse;
pub mod privileges;
mod query_forms;
mod session_verbs;
mod setting_verbs;
pub mod settings;
mod source;
mod statement;
mod trim_form;
mod unique_index;
mod unread;
mod violation;

pub use context::{Context, CopyRows, CopySink, CopySource, Outcome, Tag};
pub use engine::{Engine, RunningSession, seal, shapes, tend};
pub use parse::parse;
pub use statement::{
    Body, Direction, ExplainOptions, IsolationLevel, LockWait, Locking, Modes, SetValue, Statement,
    Verb,
};
