//! `to_number(text, template)`: reads the characters that the template expects.

use super::template::{Key, Node, Place, Template};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::numeric;
use crate::types::ops::{numeric_div, roots};
use crate::types::{Numeric, PgType};

pub(super) fn to_number(text: &str, template: &str) -> Result<Numeric> {
    let template = Template::new(template)?;
    if template.exponent {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "\"EEEE\" not supported for input",
        ));
    }
    if template.roman {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "\"RN\" not supported for input",
        ));
    }
    let mut reader = Reader {
        template: &template,
        input: text.chars().collect(),
        at: 0,
        negative: None,
        digits: String::new(),
        point: false,
        after: 0,
        before: 0,
    };
    reader.run();
    let sign = if reader.negative == Some(true) {
        "-"
    } else {
        ""
    };
    let value = numeric::parse(&format!("{sign}{}", reader.digits), PgType::NUMERIC)?;
    let Some(power) = template.shift else {
        return Ok(value);
    };
    // V: the last digits are those after the point.
    let factor = roots::numeric_power(&Numeric::from(10), &Numeric::from(power as i64))?;
    numeric_div(&value, &factor)
}

struct Reader<'a> {
    template: &'a Template,
    input: Vec<char>,
    at: usize,
    negative: Option<bool>,
    digits: String,
    point: bool,
    /// Digits read before and after the point.
    before: usize,
    after: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.input.get(self.at).copied()
    }

    fn run(&mut self) {
        let template = self.template;
        for node in &template.nodes {
            let Some(c) = self.peek() else { break };
            match node {
                // A character of no meaning stands for any one.
                Node::Literal(_) => self.at += 1,
                Node::Key(key) => match key {
                    Key::Nine | Key::Zero | Key::Point => {
                        self.part();
                        if self.at > self.input.len() {
                            break;
                        }
                    }
                    Key::Comma | Key::Group if c == ',' => {
                        self.at += 1;
                    }
                    Key::Currency if !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | ',') => {
                        self.at += 1;
                    }
                    Key::Minus | Key::Plus | Key::Sign => {
                        if matches!(c, '-' | '+') {
                            self.negative = Some(c == '-');
                            self.at += 1;
                        }
                    }
                    Key::Ordinal(_) => self.at += 2,
                    _ => {}
                },
            }
        }
        // A sign behind the digits.
        if self.negative.is_none() && (self.template.sign != Place::None || self.template.brackets)
        {
            let rest = self.input.get(self.at..).unwrap_or_default();
            self.negative = match rest.iter().find(|c| matches!(c, '-' | '+')) {
                Some('-') => Some(true),
                Some(_) => Some(false),
                None => None,
            };
        }
    }

    /// A sign, a digit or the point.
    fn part(&mut self) {
        if self.peek() == Some(' ') {
            self.at += 1;
            if self.digits.is_empty() && self.peek().is_some_and(|c| c != ' ') {
                self.part();
            }
            return;
        }
        if self.negative.is_none() && self.digits.is_empty() {
            match self.peek() {
                Some('-') => {
                    self.negative = Some(true);
                    self.at += 1;
                }
                Some('<') if self.template.brackets => {
                    self.negative = Some(true);
                    self.at += 1;
                }
                Some('+') => {
                    self.negative = Some(false);
                    self.at += 1;
                }
                _ => {}
            }
        }
        match self.peek() {
            Some(c) if c.is_ascii_digit() => {
                if self.point && self.after == self.template.after {
                    return;
                }
                self.digits.push(c);
                if self.point {
                    self.after += 1;
                } else {
                    self.before += 1;
                }
            }
            Some('.') if self.template.decimal && !self.point => {
                self.digits.push('.');
                self.point = true;
            }
            // A sign that comes too early for the template waits.
            Some('-' | '+') if !self.digits.is_empty() => return,
            _ => {}
        }
        self.at += 1;
    }
}
