//! The compiled way: expressions over single rows, and finding a row by its key, without DataFusion.

mod access;
mod call;
mod compiler;
mod convert;
mod expr;
mod range;
mod select;

pub use access::Access;
pub use compiler::{Compiler, Scope, SecondColumn};
pub use convert::{assignable, assignment, not_assignable, string_value};
pub use expr::{Env, Expr, Node, Row};
pub use range::RangeSelect;
pub use select::{Select, projection};
