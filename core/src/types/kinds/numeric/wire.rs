//! The binary format of `numeric`: a header of four words and base-10000 digits.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{Signed, ToPrimitive, Zero};

use super::super::{invalid_binary, short_binary};
use super::{MAX_SCALE, fit, normal, parts, truncate};
use crate::error::Result;
use crate::types::{Numeric, PgType};

const WIRE_POSITIVE: u16 = 0x0000;
const WIRE_NEGATIVE: u16 = 0x4000;
const WIRE_NAN: u16 = 0xc000;
const WIRE_INFINITY: u16 = 0xd000;
const WIRE_MINUS_INFINITY: u16 = 0xf000;

/// Header (digit count, weight, sign, scale) and base-10000 digits.
pub fn recv(bytes: &[u8], ty: PgType) -> Result<Numeric> {
    let short = short_binary;
    let words: Vec<u16> = bytes
        .chunks(2)
        .map(|pair| <[u8; 2]>::try_from(pair).map(u16::from_be_bytes))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| short())?;
    let [count, weight, sign, scale, digits @ ..] = words.as_slice() else {
        return Err(short());
    };
    if digits.len() < usize::from(*count) {
        return Err(short());
    }
    if digits.len() > usize::from(*count) {
        return Err(invalid_binary("incorrect binary data format"));
    }
    let negative = match *sign {
        WIRE_POSITIVE => false,
        WIRE_NEGATIVE => true,
        WIRE_NAN => return Ok(Numeric::NaN),
        WIRE_INFINITY => return fit(Numeric::Infinity, ty),
        WIRE_MINUS_INFINITY => return fit(Numeric::NegativeInfinity, ty),
        _ => return Err(invalid_binary("invalid sign in external \"numeric\" value")),
    };
    if i64::from(*scale) > MAX_SCALE {
        return Err(invalid_binary(
            "invalid scale in external \"numeric\" value",
        ));
    }
    let mut text = Vec::with_capacity(digits.len() * 4);
    for digit in digits {
        if *digit > 9999 {
            return Err(invalid_binary(
                "invalid digit in external \"numeric\" value",
            ));
        }
        super::super::int::write_padded(u64::from(*digit), 4, &mut text);
    }
    let weight = i64::from(*weight as i16);
    // The last digit's place: its weight in base 10000 is weight - count + 1.
    let place = (i64::from(*count) - 1 - weight) * 4;
    let value = if text.is_empty() {
        BigInt::zero()
    } else {
        BigInt::parse_bytes(&text, 10).ok_or_else(|| invalid_binary("numeric"))?
    };
    let value = if negative { -value } else { value };
    // PostgreSQL cuts digits that the scale hides.
    let value = truncate(&normal(value, place), i64::from(*scale));
    fit(Numeric::Finite(value), ty)
}

pub fn send(value: &Numeric, out: &mut Vec<u8>) {
    let value = match value {
        Numeric::Finite(value) => value,
        Numeric::NaN => return header(0, 0, WIRE_NAN, 0, out),
        Numeric::Infinity => return header(0, 0, WIRE_INFINITY, 0, out),
        Numeric::NegativeInfinity => return header(0, 0, WIRE_MINUS_INFINITY, 0, out),
    };
    let (digits, scale) = parts(value);
    // Pad so that the point falls between two base-10000 digits.
    let pad = (4 - scale.rem_euclid(4)) % 4;
    let places_after = (scale + pad) / 4;
    let mut groups = Vec::new();
    let small = digits.magnitude().to_u128();
    match small.and_then(|small| small.checked_mul(10_u128.pow(pad as u32))) {
        Some(mut rest) => {
            while rest > 0 {
                groups.push((rest % 10_000) as u16);
                rest /= 10_000;
            }
            groups.reverse();
        }
        None => {
            let text = digits.magnitude().to_str_radix(10) + &"0".repeat(pad as usize);
            let lead = (4 - text.len() % 4) % 4;
            let padded = "0".repeat(lead) + &text;
            groups.extend(padded.as_bytes().chunks(4).map(|group| {
                group
                    .iter()
                    .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
            }));
        }
    }
    let weight = groups.len() as i64 - places_after - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = if groups.is_empty() { 0 } else { weight };
    let sign = if digits.is_negative() {
        WIRE_NEGATIVE
    } else {
        WIRE_POSITIVE
    };
    header(
        groups.len() as u16,
        weight as i16 as u16,
        sign,
        scale as u16,
        out,
    );
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

fn header(count: u16, weight: u16, sign: u16, scale: u16, out: &mut Vec<u8>) {
    for word in [count, weight, sign, scale] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}
