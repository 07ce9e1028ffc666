//! LIKE with a pattern of several pieces (`%special%requests%`), each found behind the one before it.
//! Arrow makes a regular expression of such a pattern, which takes several times as long.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use memchr::memmem::Finder;

use crate::error::Error;

/// `text LIKE pattern`, if the pattern is one of those. One that says how a text begins is not: row
/// groups are left out by that.
pub(in crate::query) fn like_pieces(text: &Expr, pattern: &str) -> Option<Expr> {
    let pieces = Pieces::of(pattern)?;
    (pieces.inner.len() + usize::from(!pieces.end.is_empty()) > 1).then(|| {
        ScalarUDF::new_from_impl(LikePieces {
            pattern: pattern.to_owned(),
            signature: Signature::any(1, Volatility::Immutable),
        })
        .call(vec![text.clone()])
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LikePieces {
    pattern: String,
    signature: Signature,
}

/// A pattern taken apart.
struct Pieces<'p> {
    inner: Vec<Finder<'p>>,
    /// How a text ends.
    end: &'p [u8],
}

impl<'p> Pieces<'p> {
    fn of(pattern: &'p str) -> Option<Pieces<'p>> {
        let rest = pattern.strip_prefix('%')?;
        if rest.contains(['_', '\\']) {
            return None;
        }
        let (inner, end) = rest.rsplit_once('%').unwrap_or(("", rest));
        let inner = inner.split('%').filter(|piece| !piece.is_empty());
        Some(Pieces {
            inner: inner.map(Finder::new).collect(),
            end: end.as_bytes(),
        })
    }

    fn match_all(&self, text: &str) -> bool {
        let Some(mut rest) = text.as_bytes().strip_suffix(self.end) else {
            return false;
        };
        for piece in &self.inner {
            let behind = piece.find(rest).map(|at| at + piece.needle().len());
            match behind.and_then(|behind| rest.get(behind..)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        true
    }
}

impl ScalarUDFImpl for LikePieces {
    fn name(&self) -> &str {
        "like"
    }

    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let text = args.iter().map(|arg| arg.schema_name().to_string());
        Ok(format!(
            "{} LIKE {}",
            text.collect::<String>(),
            self.pattern
        ))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let (Some(text), Some(pieces)) = (args.args.first(), Pieces::of(&self.pattern)) else {
            return Err(Error::internal("LIKE without its operands").into());
        };
        match text {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(matched(array, &pieces))),
            ColumnarValue::Scalar(value) => {
                let found = matched(&value.to_array()?, &pieces);
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &found, 0,
                )?))
            }
        }
    }
}

fn matched(array: &ArrayRef, pieces: &Pieces<'_>) -> ArrayRef {
    let Some(texts) = array.as_string_view_opt() else {
        return arrow::array::new_null_array(&DataType::Boolean, array.len());
    };
    let mut found = BooleanBufferBuilder::new(texts.len());
    for row in 0..texts.len() {
        found.append(texts.is_valid(row) && pieces.match_all(texts.value(row)));
    }
    std::sync::Arc::new(BooleanArray::new(found.finish(), texts.nulls().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_one_another() {
        let like = |text, pattern| Pieces::of(pattern).unwrap().match_all(text);
        assert!(like("a special offer requests", "%special%requests%"));
        assert!(!like("requests, special", "%special%requests%"));
        assert!(!like("specialrequest", "%special%requests%"));
        assert!(like("abab", "%ab%ab%"));
        assert!(!like("aba", "%ab%ba%"));
        assert!(like("one two", "%one%two"));
        assert!(!like("one two ", "%one%two"));
        assert!(!like("onetw", "%one%etw"));
        assert!(like("ä ö ü", "%ä%ü"));
        assert!(like("", "%"));
    }

    #[test]
    fn other_patterns_are_left_to_arrow() {
        let column = datafusion::logical_expr::col("t");
        for pattern in [
            "a%b%",
            "%a%",
            "%a",
            "%a_b%c%",
            "%a\\%b%c%",
            "a",
            "%%a%%",
            "",
        ] {
            assert!(like_pieces(&column, pattern).is_none(), "{pattern}");
        }
        for pattern in ["%a%b%", "%a%b", "%a%%b%c"] {
            assert!(like_pieces(&column, pattern).is_some(), "{pattern}");
        }
    }
}
