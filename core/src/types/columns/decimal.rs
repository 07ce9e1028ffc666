//! NaN and the infinities in Arrow's decimals: integers beyond all precisions, which compare and
//! group as the values do.

use arrow::datatypes::{Decimal128Type, Decimal256Type, DecimalType, i256};

use crate::types::Numeric;

/// A decimal of Arrow that holds numerics.
pub trait Decimal: DecimalType {
    const NAN: Self::Native;
    const INFINITY: Self::Native;
    const NEGATIVE_INFINITY: Self::Native;

    /// Whether an unscaled value stands for NaN or an infinity.
    fn is_special(value: Self::Native) -> bool;

    /// The value that an unscaled value beyond the numbers stands for.
    fn special(value: Self::Native) -> Option<Numeric> {
        if !Self::is_special(value) {
            None
        } else if value == Self::NAN {
            Some(Numeric::NaN)
        } else if value == Self::INFINITY {
            Some(Numeric::Infinity)
        } else {
            Some(Numeric::NegativeInfinity)
        }
    }

    /// What stands for a value, `None` for numbers.
    fn stand_in(value: &Numeric) -> Option<Self::Native> {
        match value {
            Numeric::Finite(_) => None,
            Numeric::NaN => Some(Self::NAN),
            Numeric::Infinity => Some(Self::INFINITY),
            Numeric::NegativeInfinity => Some(Self::NEGATIVE_INFINITY),
        }
    }
}

impl Decimal for Decimal128Type {
    const NAN: i128 = i128::MAX;
    const INFINITY: i128 = i128::MAX - 1;
    const NEGATIVE_INFINITY: i128 = i128::MIN;

    fn is_special(value: i128) -> bool {
        value >= Self::INFINITY || value == Self::NEGATIVE_INFINITY
    }
}

impl Decimal for Decimal256Type {
    const NAN: i256 = i256::MAX;
    const INFINITY: i256 = i256::from_parts(u128::MAX - 1, i128::MAX);
    const NEGATIVE_INFINITY: i256 = i256::MIN;

    fn is_special(value: i256) -> bool {
        value >= Self::INFINITY || value == Self::NEGATIVE_INFINITY
    }
}
