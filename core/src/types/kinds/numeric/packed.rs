//! `numeric` as bytes that compare as the numbers do: the form of a key, and of a column without a
//! modifier.
//!
//! A key holds the number alone. A packed value is the key and the display scale (two bytes, big
//! endian): [`key`] cuts the scale off where values are compared, grouped or joined.

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::num_traits::ToPrimitive;

use super::{MAX_SCALE, MAX_WHOLE_DIGITS, normal, parts, power_of_ten};
use crate::error::{Error, Result};
use crate::types::Numeric;

const NEGATIVE: u8 = 0x00;
const ZERO: u8 = 0x01;
const POSITIVE: u8 = 0x02;
const NAN: u8 = 0x03;

/// The place of the first digit that stands for infinity.
const INFINITE: i32 = i32::MAX;

/// Bytes of the scale behind the key.
const SCALE_BYTES: usize = 2;

/// Most digits of a `u128` that is multiplied by ten once more without overflow.
const SMALL_DIGITS: usize = 37;

/// Appends the key: the sign, then for numbers other than 0 the place of the first digit, and pairs
/// of digits as bytes 1..=100 up to a 0 byte; everything after the sign inverted for negative
/// numbers. The infinities have a place beyond all numbers and no digits.
pub fn encode_key(value: &Numeric, out: &mut Vec<u8>) {
    let value = match value {
        Numeric::NaN => return out.push(NAN),
        Numeric::Infinity => {
            out.push(POSITIVE);
            return out.extend_from_slice(&flip(INFINITE).to_be_bytes());
        }
        Numeric::NegativeInfinity => {
            out.push(NEGATIVE);
            return out.extend_from_slice(&(!flip(INFINITE)).to_be_bytes());
        }
        Numeric::Finite(value) => value,
    };
    let (digits, scale) = parts(value);
    match digits.to_i128() {
        Some(small) => encode_small(small, scale, out),
        None => {
            let text = digits.magnitude().to_str_radix(10);
            encode_digits(digits.sign() == Sign::Minus, text.as_bytes(), scale, out);
        }
    }
}

/// The key of `digits / 10^scale`.
pub fn encode_small(digits: i128, scale: i64, out: &mut Vec<u8>) {
    if digits == 0 {
        return out.push(ZERO);
    }
    // 39 digits at most.
    let mut text = [0_u8; 40];
    let mut at = text.len();
    let mut put = |digit: u8| {
        at -= 1;
        if let Some(slot) = text.get_mut(at) {
            *slot = b'0' + digit;
        }
    };
    let mut long = digits.unsigned_abs();
    while long > u128::from(u64::MAX) {
        put((long % 10) as u8);
        long /= 10;
    }
    // Divisions of 64 bits take a fraction of the time.
    let mut rest = long as u64;
    while rest > 0 {
        put((rest % 10) as u8);
        rest /= 10;
    }
    encode_digits(digits < 0, text.get(at..).unwrap_or(&[]), scale, out);
}

fn encode_digits(negative: bool, text: &[u8], scale: i64, out: &mut Vec<u8>) {
    let flipped = if negative { 0xff } else { 0 };
    out.push(if negative { NEGATIVE } else { POSITIVE });
    // A value has far fewer digits than 2^31.
    let place = (text.len() as i64 - scale) as i32;
    out.extend(flip(place).to_be_bytes().map(|byte| byte ^ flipped));
    let zeros = text
        .iter()
        .rev()
        .take_while(|digit| **digit == b'0')
        .count();
    let text = text.get(..text.len() - zeros).unwrap_or(text);
    for pair in text.chunks(2) {
        let tens = pair.first().map_or(0, |digit| digit - b'0');
        let ones = pair.get(1).map_or(0, |digit| digit - b'0');
        out.push((tens * 10 + ones + 1) ^ flipped);
    }
    out.push(flipped);
}

fn flip(value: i32) -> u32 {
    value as u32 ^ 1 << 31
}

fn corrupted() -> Error {
    Error::corrupted("numeric: the bytes are not a number")
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(corrupted)?;
    *bytes = rest;
    Ok(*taken)
}

/// Reads a key off the front of `bytes`: the number at its smallest scale.
///
/// # Errors
/// XX001 when they do not start with one.
pub fn decode_key(bytes: &mut &[u8]) -> Result<Numeric> {
    decode(bytes, 0)
}

/// [`decode_key`] with at least `shown` fractional digits.
fn decode(bytes: &mut &[u8], shown: i64) -> Result<Numeric> {
    let [sign] = take(bytes)?;
    let flipped = match sign {
        ZERO => return Ok(Numeric::new(0, shown)),
        NAN => return Ok(Numeric::NaN),
        POSITIVE => 0,
        NEGATIVE => 0xff,
        _ => return Err(corrupted()),
    };
    let place = take::<4>(bytes)?.map(|byte| byte ^ flipped);
    let place = (u32::from_be_bytes(place) ^ 1 << 31) as i32;
    if place == INFINITE {
        return Ok(if sign == NEGATIVE {
            Numeric::NegativeInfinity
        } else {
            Numeric::Infinity
        });
    }
    let place = i64::from(place);
    if !(-MAX_SCALE..=MAX_WHOLE_DIGITS).contains(&place) {
        return Err(corrupted());
    }
    let end = bytes
        .iter()
        .position(|byte| *byte == flipped)
        .ok_or_else(corrupted)?;
    let (pairs, rest) = bytes.split_at(end);
    *bytes = rest.get(1..).unwrap_or(&[]);
    let last_is_single = match pairs.last().map(|byte| (byte ^ flipped).wrapping_sub(1)) {
        Some(last) => last % 10 == 0,
        None => return Err(corrupted()),
    };
    let count = pairs.len() * 2;
    let digits = if count <= SMALL_DIGITS {
        let mut value = 0_i128;
        for byte in pairs {
            let pair = (byte ^ flipped).wrapping_sub(1);
            if pair > 99 {
                return Err(corrupted());
            }
            value = value * 100 + i128::from(pair);
        }
        BigInt::from(if last_is_single { value / 10 } else { value })
    } else {
        let mut text = Vec::with_capacity(count);
        for byte in pairs {
            let pair = (byte ^ flipped).wrapping_sub(1);
            if pair > 99 {
                return Err(corrupted());
            }
            text.extend_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
        }
        if last_is_single {
            text.pop();
        }
        BigInt::parse_bytes(&text, 10).ok_or_else(corrupted)?
    };
    let digits = if sign == NEGATIVE { -digits } else { digits };
    let scale = count as i64 - i64::from(last_is_single) - place;
    if scale < shown {
        let wider = digits * power_of_ten((shown - scale).unsigned_abs());
        return Ok(Numeric::Finite(BigDecimal::new(wider, shown)));
    }
    Ok(Numeric::Finite(normal(digits, scale)))
}

/// Appends the packed form.
pub fn pack(value: &Numeric, out: &mut Vec<u8>) {
    encode_key(value, out);
    let scale = value.finite().map_or(0, |value| parts(value).1);
    push_scale(scale, out);
}

/// Appends the packed form of `digits / 10^scale`.
pub fn pack_small(digits: i128, scale: i64, out: &mut Vec<u8>) {
    encode_small(digits, scale, out);
    push_scale(scale, out);
}

fn push_scale(scale: i64, out: &mut Vec<u8>) {
    // A scale is at most MAX_SCALE.
    out.extend_from_slice(&(scale as u16).to_be_bytes());
}

/// The key of a packed value.
pub fn key(packed: &[u8]) -> &[u8] {
    packed
        .get(..packed.len().saturating_sub(SCALE_BYTES))
        .unwrap_or(&[])
}

/// The value of its packed form.
///
/// # Errors
/// XX001 when the bytes are not one.
pub fn unpack(packed: &[u8]) -> Result<Numeric> {
    let (mut bytes, scale) = packed
        .split_last_chunk::<SCALE_BYTES>()
        .ok_or_else(corrupted)?;
    let value = decode(&mut bytes, i64::from(u16::from_be_bytes(*scale)))?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(corrupted())
    }
}

/// The digits and the display scale of a number of up to [`SMALL_DIGITS`] digits; `None` for others.
pub fn unpack_small(packed: &[u8]) -> Option<(i128, i64)> {
    let (bytes, scale) = packed.split_last_chunk::<SCALE_BYTES>()?;
    let shown = i64::from(u16::from_be_bytes(*scale));
    let (sign, flipped) = match bytes {
        [ZERO] => return Some((0, shown)),
        [POSITIVE, ..] => (1, 0),
        [NEGATIVE, ..] => (-1, 0xff),
        _ => return None,
    };
    let place = bytes.get(1..5)?.try_into().ok()?;
    let place = u32::from_be_bytes(place) ^ if sign < 0 { u32::MAX } else { 0 };
    let place = i64::from((place ^ 1 << 31) as i32);
    let (end, pairs) = bytes.get(5..)?.split_last()?;
    if *end != flipped || pairs.len() * 2 > SMALL_DIGITS {
        return None;
    }
    let mut value = 0_i128;
    for byte in pairs {
        value = value * 100 + i128::from((byte ^ flipped).wrapping_sub(1));
    }
    // Digits after the point in the pairs, against those that are shown.
    let scale = pairs.len() as i64 * 2 - place;
    let value = match scale - shown {
        0 => value,
        // The last pair's second digit is none.
        1 => value / 10,
        more if more < 0 => value.checked_mul(10_i128.checked_pow(more.unsigned_abs() as u32)?)?,
        _ => return None,
    };
    Some((value * sign, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PgType;
    use crate::types::kinds::numeric;

    fn packed(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        pack(&numeric::parse(text, PgType::NUMERIC).unwrap(), &mut out);
        out
    }

    #[test]
    fn order_and_round_trip() {
        let ordered = [
            "-Infinity",
            "-12345678901234567890123456789012345678901.5",
            "-1e40",
            "-1000",
            "-99.9",
            "-1.01",
            "-1.00",
            "-0.001",
            "0.00",
            "1e-20",
            "0.5",
            "1",
            "1.000000000000000000000000000000000000000000000000001",
            "10.10",
            "123456789012345678901234567890123456789",
            "1e100",
            "Infinity",
            "NaN",
        ];
        for pair in ordered.windows(2) {
            let parse = |text: &str| numeric::parse(text, PgType::NUMERIC).unwrap();
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
            assert!(key(&packed(pair[0])) < key(&packed(pair[1])), "{pair:?}");
        }
        for (text, value) in ordered.iter().zip(ordered.iter().map(|text| packed(text))) {
            let mut shown = Vec::new();
            numeric::write(&unpack(&value).unwrap(), &mut shown);
            let mut wanted = Vec::new();
            numeric::write(&numeric::parse(text, PgType::NUMERIC).unwrap(), &mut wanted);
            assert_eq!(shown, wanted, "{text}");
        }
        assert_eq!(key(&packed("1.0")), key(&packed("1.000")));
        for (text, digits, scale) in [
            ("0.00", 0, 2),
            ("1.50", 150, 2),
            ("-99.9", -999, 1),
            ("1200", 1200, 0),
            ("-0.001", -1, 3),
            ("12345.6789012", 123_456_789_012, 7),
        ] {
            assert_eq!(unpack_small(&packed(text)), Some((digits, scale)), "{text}");
        }
    }
}
