//! Keys of values that are equal, or ordered, otherwise than their Arrow form says.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use crate::error::{Error, Result};

/// A float without a negative zero and with one NaN only, which Arrow orders as PostgreSQL does.
pub(in crate::query) fn float_key(arg: Expr) -> Expr {
    match &arg {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) => {
            return Expr::Literal(ScalarValue::Float64(Some(plain64(*value))), None);
        }
        Expr::Literal(ScalarValue::Float32(Some(value)), _) => {
            return Expr::Literal(ScalarValue::Float32(Some(plain32(*value))), None);
        }
        Expr::Literal(..) => return arg,
        Expr::ScalarFunction(call) if call.func.name() == "float_key" => return arg,
        _ => {}
    }
    ScalarUDF::new_from_impl(FloatKey {
        signature: Signature::any(1, Volatility::Immutable),
    })
    .call(vec![arg])
}

/// Bytes that compare as `jsonb` values do.
pub(in crate::query) fn jsonb_key(arg: Expr) -> Expr {
    ScalarUDF::new_from_impl(JsonbKey {
        signature: Signature::any(1, Volatility::Immutable),
    })
    .call(vec![arg])
}

/// A float as an integer in the same order, for `min` and `max`; [`float_of_rank`] turns it back.
pub(in crate::query) fn float_rank(arg: Expr) -> Expr {
    ScalarUDF::new_from_impl(Rank {
        signature: Signature::any(1, Volatility::Immutable),
        back: false,
    })
    .call(vec![arg])
}

pub(in crate::query) fn float_of_rank(arg: Expr) -> Expr {
    ScalarUDF::new_from_impl(Rank {
        signature: Signature::any(1, Volatility::Immutable),
        back: true,
    })
    .call(vec![arg])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rank {
    signature: Signature,
    back: bool,
}

/// All bits but the sign turn over in a negative number: so the order of the bits is that of floats.
fn turn(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

impl ScalarUDFImpl for Rank {
    fn name(&self) -> &str {
        if self.back {
            "float_of_rank"
        } else {
            "float_rank"
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(match self.back {
            true => DataType::Float64,
            false => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let Some(arg) = args.args.into_iter().next() else {
            return Err(Error::internal("no argument").into());
        };
        let array = arg.into_array(args.number_rows)?;
        let array: ArrayRef = match self.back {
            true => Arc::new(
                array
                    .as_primitive::<Int64Type>()
                    .unary::<_, Float64Type>(|rank| f64::from_bits(turn(rank) as u64)),
            ),
            false => Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Int64Type>(|value| turn(plain64(value).to_bits() as i64)),
            ),
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn plain64(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    }
}

fn plain32(value: f32) -> f32 {
    if value.is_nan() {
        f32::NAN
    } else {
        value + 0.0
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatKey {
    signature: Signature,
}

impl ScalarUDFImpl for FloatKey {
    fn name(&self) -> &str {
        "float_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let Some(arg) = args.args.into_iter().next() else {
            return Err(Error::internal("no argument").into());
        };
        Ok(match arg {
            ColumnarValue::Scalar(ScalarValue::Float64(value)) => {
                ColumnarValue::Scalar(ScalarValue::Float64(value.map(plain64)))
            }
            ColumnarValue::Scalar(ScalarValue::Float32(value)) => {
                ColumnarValue::Scalar(ScalarValue::Float32(value.map(plain32)))
            }
            ColumnarValue::Array(array) => ColumnarValue::Array(match array.data_type() {
                DataType::Float64 => {
                    let floats = array.as_primitive::<Float64Type>();
                    Arc::new(floats.unary::<_, Float64Type>(plain64)) as ArrayRef
                }
                DataType::Float32 => {
                    let floats = array.as_primitive::<Float32Type>();
                    Arc::new(floats.unary::<_, Float32Type>(plain32)) as ArrayRef
                }
                _ => array,
            }),
            other => other,
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonbKey {
    signature: Signature,
}

impl ScalarUDFImpl for JsonbKey {
    fn name(&self) -> &str {
        "jsonb_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::BinaryView)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let Some(arg) = args.args.into_iter().next() else {
            return Err(Error::internal("no argument").into());
        };
        let array = arg.into_array(args.number_rows)?;
        if array.data_type() == &DataType::Null {
            return Ok(ColumnarValue::Scalar(ScalarValue::BinaryView(None)));
        }
        let texts = array.as_string_view();
        let mut keys = BinaryViewBuilder::with_capacity(texts.len());
        for text in texts {
            match text {
                Some(text) => keys.append_value(jsonb_bytes(text)?),
                None => keys.append_null(),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(keys.finish())))
    }
}

/// The key of one `jsonb` value.
pub(super) fn jsonb_bytes(text: &str) -> Result<Vec<u8>> {
    let value: Value = serde_json::from_str(text)
        .map_err(|_| Error::corrupted("a jsonb value that is not JSON"))?;
    let mut bytes = Vec::new();
    encode(&value, true, &mut bytes);
    Ok(bytes)
}

/// PostgreSQL's order: Object > Array > Boolean > Number > String > null; containers by their size,
/// then item by item (a pair's key before its value); an empty array alone is less than all.
fn encode(value: &Value, top: bool, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(1),
        Value::String(text) => {
            out.push(2);
            text_key(text, out);
        }
        Value::Number(number) => {
            out.push(3);
            number_key(&number.to_string(), out);
        }
        Value::Bool(value) => out.extend([4, u8::from(*value)]),
        Value::Array(items) => {
            out.push(if top && items.is_empty() { 0 } else { 5 });
            out.extend((items.len() as u32).to_be_bytes());
            for item in items {
                encode(item, false, out);
            }
        }
        Value::Object(pairs) => {
            out.push(6);
            out.extend((pairs.len() as u32).to_be_bytes());
            let mut pairs: Vec<_> = pairs.iter().collect();
            pairs.sort_by(|(a, _), (b, _)| key_order(a, b));
            for (key, value) in pairs {
                text_key(key, out);
                encode(value, false, out);
            }
        }
    }
}

/// The order in which `jsonb` keeps an object's keys: by length, then bytes.
fn key_order(left: &str, right: &str) -> Ordering {
    left.len()
        .cmp(&right.len())
        .then_with(|| left.as_bytes().cmp(right.as_bytes()))
}

/// Text with an end that sorts below every continuation. JSON text holds no zero byte.
fn text_key(text: &str, out: &mut Vec<u8>) {
    out.extend(text.as_bytes());
    out.push(0);
}

/// A number by its value: sign, decimal exponent, digits without zeros at either end.
fn number_key(text: &str, out: &mut Vec<u8>) {
    let negative = text.starts_with('-');
    let plain = text.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((plain, "0"));
    let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let digits = digits.trim_matches('0');
    if digits.is_empty() {
        out.push(1);
        return;
    }
    // The value is 0.digits × 10^scale.
    let scale = (whole.len() as i64)
        .saturating_sub(leading as i64)
        .saturating_add(exponent);
    let mut bytes = Vec::with_capacity(digits.len() + 9);
    bytes.extend((scale as u64 ^ (1 << 63)).to_be_bytes());
    bytes.extend(digits.bytes());
    bytes.push(0);
    if negative {
        out.push(0);
        out.extend(bytes.iter().map(|byte| !byte));
    } else {
        out.push(2);
        out.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&serde_json::from_str(text).unwrap(), true, &mut bytes);
        bytes
    }

    #[test]
    fn jsonb_values_that_are_equal_have_one_key() {
        for (left, right) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0", "-0.00"),
            ("0.05", "5e-2"),
            (r#"{"a":1,"b":2}"#, r#"{"b":2.0,"a":1}"#),
            ("[1,[2]]", "[1.0, [2]]"),
        ] {
            assert_eq!(key(left), key(right), "{left} {right}");
        }
    }

    #[test]
    fn jsonb_keys_are_in_the_order_of_postgres() {
        let ordered = [
            "[]",
            "null",
            r#""""#,
            r#""a""#,
            r#""ab""#,
            r#""b""#,
            "-10",
            "-1.5",
            "-1",
            "0",
            "0.5",
            "1",
            "9",
            "10",
            "1e30",
            "false",
            "true",
            "[1]",
            "[2]",
            "[[]]",
            "[1, 2]",
            "{}",
            r#"{"a": 1}"#,
            r#"{"aa": 0}"#,
            r#"{"b": 1}"#,
            r#"{"a": 1, "b": 0}"#,
        ];
        for pair in ordered.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{} {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn ranks_of_floats_are_in_their_order() {
        let ordered = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            1e-300,
            2.5,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
        ];
        let rank = |value: f64| turn(plain64(value).to_bits() as i64);
        for pair in ordered.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{} {}", pair[0], pair[1]);
        }
        for value in ordered {
            let back = f64::from_bits(turn(rank(value)) as u64);
            assert_eq!(back.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn floats_have_one_zero_and_one_nan() {
        assert_eq!(plain64(-0.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(plain64(-f64::NAN).to_bits(), f64::NAN.to_bits());
        assert_eq!(plain64(-1.5), -1.5);
    }
}
