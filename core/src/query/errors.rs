//! DataFusion's errors as PostgreSQL's.
//!
//! The engine's own errors travel through DataFusion boxed and come out as they went in. What is
//! left are limits of the planner (0A000), of memory (53200), and arithmetic inside Arrow kernels.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::error::{Error, SqlState};

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        from_datafusion(&error)
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        from_arrow(&error)
    }
}

fn from_datafusion(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => from_external(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => from_arrow(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            from_datafusion(inner)
        }
        DataFusionError::Shared(inner) => from_datafusion(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => from_datafusion(first),
            None => Error::internal("an empty list of errors"),
        },
        DataFusionError::ResourcesExhausted(message) => {
            Error::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(message.clone())
        }
        DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
            unsupported(message)
        }
        DataFusionError::SchemaError(inner, _) => unsupported(&inner.to_string()),
        DataFusionError::Execution(message) if message.contains("more than one row") => {
            super::functions::more_than_one_row()
        }
        DataFusionError::Execution(message) => {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message.clone())
        }
        DataFusionError::Internal(message) if message.contains("async functions") => {
            Error::unsupported(
                "a function that waits, in this place",
                "Call it in a select list of its own.",
            )
        }
        other => Error::internal(format!("query: {other}")),
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        "this form of query is not supported",
    )
    .detail(message.to_owned())
}

fn from_external(error: &(dyn StdError + Send + Sync + 'static)) -> Error {
    if let Some(own) = error.downcast_ref::<Error>() {
        return own.clone();
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return from_datafusion(inner);
    }
    Error::internal(format!("query: {error}"))
}

fn from_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => from_external(inner.as_ref()),
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(_) => {
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range")
        }
        ArrowError::MemoryError(message) => {
            Error::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(message.clone())
        }
        ArrowError::CastError(message) | ArrowError::ParseError(message) => {
            Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message.clone())
        }
        ArrowError::ComputeError(message) | ArrowError::InvalidArgumentError(message) => {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message.clone())
        }
        other => Error::internal(format!("query: {other}")),
    }
}

pub(super) fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}
