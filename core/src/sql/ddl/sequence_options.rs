//! Options of a sequence: read from either parser, checked as PostgreSQL's `init_params` checks.

use datafusion::sql::sqlparser::ast::{self, Expr, UnaryOperator, Value};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::cursor::Cursor;
use crate::catalog::Sequence;
use crate::error::{Error, Result, SqlState};
use crate::types::{PgType, names, oid};

/// What a statement says about a sequence; `None` is what it does not mention. In the doubly
/// optional fields the inner `None` is the NO form (or, for `restart`, the form without a value).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SequenceOptions {
    pub ty: Option<PgType>,
    pub increment: Option<i64>,
    pub minimum: Option<Option<i64>>,
    pub maximum: Option<Option<i64>>,
    pub start: Option<i64>,
    pub restart: Option<Option<i64>>,
    pub cache: Option<i64>,
    pub cycle: Option<bool>,
    /// Parts of `OWNED BY a.b.c`; the inner `None` is OWNED BY NONE.
    pub owned_by: Option<Option<Vec<String>>>,
    /// `SEQUENCE NAME` of an identity column.
    pub name: Option<Vec<String>>,
}

impl SequenceOptions {
    /// From sqlparser's form.
    pub(super) fn from_ast(options: &[ast::SequenceOptions]) -> Result<Self> {
        let mut out = SequenceOptions::default();
        for option in options {
            match option {
                ast::SequenceOptions::IncrementBy(value, _) => out.increment = Some(int(value)?),
                ast::SequenceOptions::MinValue(value) => {
                    out.minimum = Some(value.as_ref().map(int).transpose()?);
                }
                ast::SequenceOptions::MaxValue(value) => {
                    out.maximum = Some(value.as_ref().map(int).transpose()?);
                }
                ast::SequenceOptions::StartWith(value, _) => out.start = Some(int(value)?),
                ast::SequenceOptions::Cache(value) => out.cache = Some(int(value)?),
                // The flag says whether NO was written.
                ast::SequenceOptions::Cycle(no) => out.cycle = Some(!no),
            }
        }
        Ok(out)
    }

    /// Reads options in any order until something else follows.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut out = SequenceOptions::default();
        loop {
            if cursor.keyword("AS") {
                let name = cursor.identifier()?;
                let ty = names::from_name(&name).ok_or_else(|| names::no_such_type(&name))?;
                set(&mut out.ty, ty)?;
            } else if cursor.keyword("INCREMENT") {
                cursor.keyword("BY");
                set(&mut out.increment, number(cursor)?)?;
            } else if cursor.keyword("MINVALUE") {
                set(&mut out.minimum, Some(number(cursor)?))?;
            } else if cursor.keyword("MAXVALUE") {
                set(&mut out.maximum, Some(number(cursor)?))?;
            } else if cursor.keywords(&["NO", "MINVALUE"]) {
                set(&mut out.minimum, None)?;
            } else if cursor.keywords(&["NO", "MAXVALUE"]) {
                set(&mut out.maximum, None)?;
            } else if cursor.keywords(&["NO", "CYCLE"]) {
                set(&mut out.cycle, false)?;
            } else if cursor.keyword("CYCLE") {
                set(&mut out.cycle, true)?;
            } else if cursor.keyword("START") {
                cursor.keyword("WITH");
                set(&mut out.start, number(cursor)?)?;
            } else if cursor.keyword("RESTART") {
                let with = cursor.keyword("WITH");
                let value = match cursor.peek() {
                    Some(Token::Number(..) | Token::Minus | Token::Plus) => Some(number(cursor)?),
                    _ if with => return Err(cursor.unexpected()),
                    _ => None,
                };
                set(&mut out.restart, value)?;
            } else if cursor.keyword("CACHE") {
                set(&mut out.cache, number(cursor)?)?;
            } else if cursor.keywords(&["OWNED", "BY"]) {
                let parts = dotted(cursor)?;
                let none = parts.len() == 1 && parts.first().is_some_and(|part| part == "none");
                set(&mut out.owned_by, (!none).then_some(parts))?;
            } else if cursor.keywords(&["SEQUENCE", "NAME"]) {
                set(&mut out.name, dotted(cursor)?)?;
            } else {
                return Ok(out);
            }
        }
    }

    /// Applies the options to a sequence's definition; `new` when it is being made. Ownership and
    /// RESTART are the caller's.
    ///
    /// # Errors
    /// 22023 with PostgreSQL's messages.
    pub(super) fn apply(&self, sequence: &mut Sequence, new: bool) -> Result<()> {
        let invalid = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        let (mut reset_minimum, mut reset_maximum) = (new, new);
        if let Some(ty) = self.ty {
            let Some((lowest, highest)) = range(ty) else {
                return invalid("sequence type must be smallint, integer, or bigint".to_owned());
            };
            // A bound that was the old type's own follows the type.
            if !new {
                let (old_lowest, old_highest) = range(sequence.ty).unwrap_or((lowest, highest));
                reset_maximum = sequence.increment > 0 && sequence.maximum == old_highest;
                reset_minimum = sequence.increment < 0 && sequence.minimum == old_lowest;
            }
            sequence.ty = PgType::new(ty.oid);
        }
        if let Some(increment) = self.increment {
            if increment == 0 {
                return invalid("INCREMENT must not be zero".to_owned());
            }
            sequence.increment = increment;
        }
        let up = sequence.increment > 0;
        let (lowest, highest) = range(sequence.ty).unwrap_or((i64::MIN, i64::MAX));
        match self.maximum {
            Some(Some(value)) => sequence.maximum = value,
            Some(None) => sequence.maximum = if up { highest } else { -1 },
            None if reset_maximum => sequence.maximum = if up { highest } else { -1 },
            None => {}
        }
        match self.minimum {
            Some(Some(value)) => sequence.minimum = value,
            Some(None) => sequence.minimum = if up { 1 } else { lowest },
            None if reset_minimum => sequence.minimum = if up { 1 } else { lowest },
            None => {}
        }
        let type_name = names::format_type(sequence.ty);
        for (what, value) in [
            ("MAXVALUE", sequence.maximum),
            ("MINVALUE", sequence.minimum),
        ] {
            if value < lowest || value > highest {
                return invalid(format!(
                    "{what} ({value}) is out of range for sequence data type {type_name}"
                ));
            }
        }
        if sequence.minimum >= sequence.maximum {
            return invalid(format!(
                "MINVALUE ({}) must be less than MAXVALUE ({})",
                sequence.minimum, sequence.maximum
            ));
        }
        if let Some(start) = self.start {
            sequence.start = start;
        } else if new {
            sequence.start = if up {
                sequence.minimum
            } else {
                sequence.maximum
            };
        }
        within("START", sequence.start, sequence)?;
        if let Some(cache) = self.cache {
            if cache <= 0 {
                return invalid(format!("CACHE ({cache}) must be greater than zero"));
            }
            sequence.cache = cache;
        }
        if let Some(cycle) = self.cycle {
            sequence.cycle = cycle;
        }
        Ok(())
    }
}

/// `START value (0) cannot be less than MINVALUE (1)` (22023).
pub(super) fn within(what: &str, value: i64, sequence: &Sequence) -> Result<()> {
    let problem = if value < sequence.minimum {
        format!("less than MINVALUE ({})", sequence.minimum)
    } else if value > sequence.maximum {
        format!("greater than MAXVALUE ({})", sequence.maximum)
    } else {
        return Ok(());
    };
    Err(Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("{what} value ({value}) cannot be {problem}"),
    ))
}

/// Least and greatest value of a sequence's type; `None` for a type that it cannot have.
pub(super) fn range(ty: PgType) -> Option<(i64, i64)> {
    match ty.oid {
        oid::INT2 => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
        oid::INT4 => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        oid::INT8 => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.is_some() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "conflicting or redundant options",
        ));
    }
    *slot = Some(value);
    Ok(())
}

fn number(cursor: &mut Cursor<'_>) -> Result<i64> {
    let text = cursor.number().ok_or_else(|| cursor.unexpected())?;
    bigint(&text)
}

fn bigint(text: &str) -> Result<i64> {
    text.parse().map_err(|_| {
        let (state, problem) = if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            (
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("value \"{text}\" is out of range for type bigint"),
            )
        } else {
            (
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("invalid input syntax for type bigint: \"{text}\""),
            )
        };
        Error::new(state, problem)
    })
}

fn int(expr: &Expr) -> Result<i64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => bigint(digits),
            other => bigint(&other.to_string()),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match expr.as_ref() {
            Expr::Value(value) => bigint(&format!("-{value}")),
            other => bigint(&other.to_string()),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Plus,
            expr,
        } => int(expr),
        other => bigint(&other.to_string()),
    }
}

/// `a.b.c`.
pub(super) fn dotted(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut parts = vec![cursor.identifier()?];
    while cursor.token(&Token::Period) {
        parts.push(cursor.identifier()?);
    }
    Ok(parts)
}
