//! Templates of numbers: their keywords, and what they say as a whole (`NUMDesc`).

use crate::error::{Error, Result, SqlState};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Nine,
    Zero,
    Point,
    Comma,
    Group,
    Blank,
    Currency,
    Minus,
    Plus,
    Sign,
    Brackets,
    Roman(bool),
    Locale,
    Ordinal(bool),
    Shift,
    Exponent,
    Fill,
}

#[derive(Debug)]
pub(super) enum Node {
    Key(Key),
    Literal(char),
}

/// Keywords, longest first where one starts another.
const KEYS: &[(&str, Key)] = &[
    ("EEEE", Key::Exponent),
    ("eeee", Key::Exponent),
    ("FM", Key::Fill),
    ("fm", Key::Fill),
    ("MI", Key::Minus),
    ("mi", Key::Minus),
    ("PL", Key::Plus),
    ("pl", Key::Plus),
    ("PR", Key::Brackets),
    ("pr", Key::Brackets),
    ("RN", Key::Roman(true)),
    ("rn", Key::Roman(false)),
    ("SG", Key::Sign),
    ("sg", Key::Sign),
    ("TH", Key::Ordinal(true)),
    ("th", Key::Ordinal(false)),
    (",", Key::Comma),
    (".", Key::Point),
    ("0", Key::Zero),
    ("9", Key::Nine),
    ("B", Key::Blank),
    ("b", Key::Blank),
    ("D", Key::Point),
    ("d", Key::Point),
    ("G", Key::Group),
    ("g", Key::Group),
    ("L", Key::Currency),
    ("l", Key::Currency),
    ("S", Key::Locale),
    ("s", Key::Locale),
    ("V", Key::Shift),
    ("v", Key::Shift),
];

/// Where the sign of `S` stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    None,
    Before,
    After,
}

/// A template and what it says as a whole (`NUMDesc`).
#[derive(Debug)]
pub(super) struct Template {
    pub nodes: Vec<Node>,
    pub before: usize,
    pub after: usize,
    pub sign: Place,
    pub sign_at: usize,
    pub decimal: bool,
    pub locale: bool,
    pub fill: bool,
    pub plus: bool,
    pub minus: bool,
    pub brackets: bool,
    pub zero: bool,
    pub zero_start: usize,
    pub zero_end: usize,
    pub shift: Option<usize>,
    pub roman: bool,
    pub exponent: bool,
}

fn syntax(message: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

impl Template {
    pub fn new(text: &str) -> Result<Template> {
        let mut template = Template {
            nodes: Vec::new(),
            before: 0,
            after: 0,
            sign: Place::None,
            sign_at: 0,
            decimal: false,
            locale: false,
            fill: false,
            plus: false,
            minus: false,
            brackets: false,
            zero: false,
            zero_start: 0,
            zero_end: 0,
            shift: None,
            roman: false,
            exponent: false,
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((word, key)) = KEYS.iter().find(|(word, _)| rest.starts_with(word)) {
                template.take(*key)?;
                template.nodes.push(Node::Key(*key));
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            match c {
                '"' => {
                    let mut inside = rest.chars();
                    while let Some(c) = inside.next() {
                        match c {
                            '"' => break,
                            '\\' => template.nodes.extend(inside.next().map(Node::Literal)),
                            c => template.nodes.push(Node::Literal(c)),
                        }
                    }
                    rest = inside.as_str();
                }
                '\\' if rest.starts_with('"') => {
                    template.nodes.push(Node::Literal('"'));
                    rest = rest.get(1..).unwrap_or_default();
                }
                c => template.nodes.push(Node::Literal(c)),
            }
        }
        Ok(template)
    }

    fn take(&mut self, key: Key) -> Result<()> {
        if self.exponent && key != Key::Exponent {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match key {
            Key::Nine => {
                if self.brackets {
                    return Err(syntax("\"9\" must be ahead of \"PR\""));
                }
                match &mut self.shift {
                    Some(count) => *count += 1,
                    None if self.decimal => self.after += 1,
                    None => self.before += 1,
                }
            }
            Key::Zero => {
                if self.brackets {
                    return Err(syntax("\"0\" must be ahead of \"PR\""));
                }
                if !self.zero && !self.decimal {
                    self.zero = true;
                    self.zero_start = self.before;
                }
                if self.decimal {
                    self.after += 1;
                } else {
                    self.before += 1;
                }
                self.zero_end = self.before + self.after;
            }
            Key::Point => {
                if self.decimal {
                    return Err(syntax("multiple decimal points"));
                }
                if self.shift.is_some() {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.decimal = true;
            }
            Key::Fill => self.fill = true,
            Key::Locale => {
                if self.locale {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(syntax(
                        "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together",
                    ));
                }
                self.sign = if self.decimal {
                    Place::After
                } else {
                    self.sign_at = self.before;
                    Place::Before
                };
                self.locale = true;
            }
            Key::Minus | Key::Plus | Key::Sign => {
                if self.locale {
                    return Err(syntax(match key {
                        Key::Minus => "cannot use \"S\" and \"MI\" together",
                        Key::Plus => "cannot use \"S\" and \"PL\" together",
                        _ => "cannot use \"S\" and \"SG\" together",
                    }));
                }
                self.minus |= key != Key::Plus;
                self.plus |= key != Key::Minus;
            }
            Key::Brackets => {
                if self.locale || self.plus || self.minus {
                    return Err(syntax(
                        "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together",
                    ));
                }
                self.brackets = true;
            }
            Key::Roman(_) => self.roman = true,
            Key::Shift => {
                if self.decimal {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.shift = Some(self.shift.unwrap_or(0));
            }
            Key::Exponent => {
                if self.exponent {
                    return Err(syntax("cannot use \"EEEE\" twice"));
                }
                let other = self.fill
                    || self.locale
                    || self.brackets
                    || self.minus
                    || self.plus
                    || self.roman
                    || self.shift.is_some();
                if other {
                    return Err(syntax("\"EEEE\" is incompatible with other formats").detail(
                        "\"EEEE\" may only be used together with digit and decimal point patterns.",
                    ));
                }
                self.exponent = true;
            }
            _ => {}
        }
        Ok(())
    }
}
