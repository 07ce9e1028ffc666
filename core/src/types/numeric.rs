//! A value of type `numeric`: a decimal number of any length, or one of the three values that are
//! no numbers.

use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;

/// A `numeric`. Equality is that of the number: `1.0` equals `1.00`, NaN equals NaN. The exponent of
/// a finite value keeps its display scale.
#[derive(Clone, Debug, PartialEq)]
pub enum Numeric {
    NegativeInfinity,
    Finite(BigDecimal),
    Infinity,
    NaN,
}

impl Numeric {
    /// `digits / 10^scale`.
    pub fn new(digits: impl Into<BigInt>, scale: i64) -> Numeric {
        Numeric::Finite(BigDecimal::new(digits.into(), scale))
    }

    pub fn finite(&self) -> Option<&BigDecimal> {
        match self {
            Numeric::Finite(value) => Some(value),
            _ => None,
        }
    }

    pub fn is_nan(&self) -> bool {
        matches!(self, Numeric::NaN)
    }

    /// -1, 0 or 1; 0 for NaN.
    pub fn sign(&self) -> i8 {
        match self {
            Numeric::NegativeInfinity => -1,
            Numeric::Infinity => 1,
            Numeric::NaN => 0,
            Numeric::Finite(value) => match value.sign() {
                bigdecimal::num_bigint::Sign::Minus => -1,
                bigdecimal::num_bigint::Sign::NoSign => 0,
                bigdecimal::num_bigint::Sign::Plus => 1,
            },
        }
    }

    pub fn negated(self) -> Numeric {
        match self {
            Numeric::NegativeInfinity => Numeric::Infinity,
            Numeric::Infinity => Numeric::NegativeInfinity,
            Numeric::NaN => Numeric::NaN,
            Numeric::Finite(value) => Numeric::Finite(-value),
        }
    }

    /// Position among the values that are no numbers.
    fn rank(&self) -> u8 {
        match self {
            Numeric::NegativeInfinity => 0,
            Numeric::Finite(_) => 1,
            Numeric::Infinity => 2,
            Numeric::NaN => 3,
        }
    }
}

/// By value, the infinities around the numbers, NaN above all.
impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        match (self, other) {
            (Numeric::Finite(a), Numeric::Finite(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Numeric {}

impl From<BigDecimal> for Numeric {
    fn from(value: BigDecimal) -> Numeric {
        Numeric::Finite(value)
    }
}

macro_rules! from_integer {
    ($($ty:ty),*) => {
        $(impl From<$ty> for Numeric {
            fn from(value: $ty) -> Numeric {
                Numeric::Finite(BigDecimal::from(value))
            }
        })*
    };
}

from_integer!(i32, i64, u64, i128);
