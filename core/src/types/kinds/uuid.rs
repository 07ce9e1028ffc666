//! `uuid`: 32 hex digits, a hyphen allowed after every fourth, braces allowed around.

use super::{exact, invalid_syntax};
use crate::error::Result;

pub fn parse(text: &str) -> Result<[u8; 16]> {
    read(text).ok_or_else(|| invalid_syntax("uuid", text))
}

fn read(text: &str) -> Option<[u8; 16]> {
    let mut rest = text.as_bytes();
    let braces = rest.first() == Some(&b'{');
    if braces {
        rest = rest.get(1..)?;
    }
    let mut value = [0; 16];
    for (at, byte) in value.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        let digit = |c: &u8| char::from(*c).to_digit(16);
        *byte = (digit(high)? << 4 | digit(low)?) as u8;
        rest = match tail {
            [b'-', tail @ ..] if at % 2 == 1 && at < 15 => tail,
            _ => tail,
        };
    }
    if braces {
        rest = rest.strip_prefix(b"}")?;
    }
    rest.is_empty().then_some(value)
}

pub fn write(value: &[u8; 16], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (at, byte) in value.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        let hex = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
    }
}

pub fn recv(bytes: &[u8]) -> Result<[u8; 16]> {
    exact(bytes)
}
