//! `bool`.

use super::{exact, invalid_syntax, is_space};
use crate::error::Result;

/// Unique prefixes of true, false, yes, no, and on, off, 1, 0, in any case.
pub fn parse(text: &str) -> Result<bool> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let prefix_of = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if prefix_of("true", 1) || prefix_of("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(invalid_syntax("boolean", text))
    }
}

pub fn write(value: bool, out: &mut Vec<u8>) {
    out.push(if value { b't' } else { b'f' });
}

pub fn recv(bytes: &[u8]) -> Result<bool> {
    let [byte] = exact::<1>(bytes)?;
    Ok(byte != 0)
}

pub fn send(value: bool, out: &mut Vec<u8>) {
    out.push(u8::from(value));
}
