//! A bound on what one statement may make the parser read.

use std::cell::Cell;

use datafusion::sql::sqlparser::parser::ParserError;

use super::Parsed;

/// What [`within_steps`] allows where nothing set it.
const UNBOUNDED: usize = usize::MAX;

thread_local! {
    /// Expressions that the parser may still begin to read.
    static STEPS: Cell<usize> = const { Cell::new(UNBOUNDED) };
}

/// Reads with so many beginnings of expressions at most; what needs more fails as what is nested too
/// deeply does. When sqlparser meets an error it goes back and reads the same tokens another way, on
/// every level of nesting: without a bound, an error inside 100 levels takes for ever.
pub fn within_steps<T>(steps: usize, read: impl FnOnce() -> T) -> T {
    let before = STEPS.replace(steps);
    let result = read();
    STEPS.set(before);
    result
}

pub(super) fn take_step() -> Parsed<()> {
    match STEPS.get() {
        UNBOUNDED => Ok(()),
        0 => Err(ParserError::RecursionLimitExceeded),
        left => {
            STEPS.set(left - 1);
            Ok(())
        }
    }
}
