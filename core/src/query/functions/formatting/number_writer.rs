//! Digits, signs and separators written as a template says: a port of PostgreSQL's `NUM_processor`.

use super::template::{Key, Node, Place, Template};

/// `st`, `nd`, `rd`, `th`.
pub(super) fn ordinal(digits: &str, upper: bool) -> String {
    let tail: Vec<char> = digits.chars().rev().take(2).collect();
    let ending = match tail.as_slice() {
        [_, '1'] => "th",
        ['1', ..] => "st",
        ['2', ..] => "nd",
        ['3', ..] => "rd",
        _ => "th",
    };
    if upper {
        ending.to_uppercase()
    } else {
        ending.to_owned()
    }
}

pub(super) struct Writer<'a> {
    template: &'a Template,
    number: Vec<char>,
    /// Place in `number`.
    at: usize,
    /// The last digit after the point that is worth writing, with `FM`.
    last: Option<usize>,
    spaces: usize,
    sign: char,
    written: bool,
    place: Place,
    brackets: bool,
    /// Whether a digit has just been written.
    inside: bool,
    current: usize,
    count: usize,
    out: String,
}

impl<'a> Writer<'a> {
    pub fn new(template: &'a Template, number: &str, spaces: usize, sign: char) -> Self {
        let number: Vec<char> = number.chars().collect();
        let mut place = template.sign;
        let mut brackets = template.brackets;
        let written = if template.plus || template.minus {
            !template.plus || template.minus
        } else {
            if sign != '-' && template.fill {
                brackets = false;
            }
            if place == Place::Before && template.before == template.sign_at {
                place = Place::After;
            }
            sign == '+' && template.fill && !template.locale
        };
        let mut last = None;
        if template.fill && template.decimal {
            last = number.iter().position(|c| *c == '.').map(|point| {
                let mut last = point;
                for (at, c) in number.iter().enumerate().skip(point + 1) {
                    if *c != '0' {
                        last = at;
                    }
                }
                last
            });
            if let Some(known) = last
                && template.zero_end > spaces
            {
                let zero = (number.len().saturating_sub(1)).min(template.zero_end - spaces);
                last = Some(known.max(zero));
            }
        }
        let mut count = (template.after + template.before).saturating_sub(1);
        if !written && spaces == 0 {
            count += 1;
        }
        Writer {
            template,
            number,
            at: 0,
            last,
            spaces,
            sign,
            written,
            place,
            brackets,
            inside: false,
            current: 0,
            count,
            out: String::new(),
        }
    }

    pub fn run(mut self) -> String {
        for node in &self.template.nodes {
            let key = match node {
                Node::Literal(c) => {
                    self.out.push(*c);
                    continue;
                }
                Node::Key(key) => *key,
            };
            let fill = self.template.fill;
            match key {
                Key::Nine | Key::Zero | Key::Point => self.digit(key),
                Key::Comma | Key::Group if self.inside => self.out.push(','),
                Key::Comma | Key::Group if fill => {}
                Key::Comma | Key::Group => self.out.push(' '),
                Key::Currency => self.out.push(' '),
                Key::Ordinal(upper) => {
                    let none = self.number.first() == Some(&'#')
                        || self.sign == '-'
                        || self.template.decimal;
                    if !none {
                        let digits: String = self.number.iter().collect();
                        self.out.push_str(&ordinal(&digits, upper));
                    }
                }
                Key::Minus if self.sign == '-' => self.out.push('-'),
                Key::Plus if self.sign == '+' => self.out.push('+'),
                Key::Minus | Key::Plus if !fill => self.out.push(' '),
                Key::Sign => self.out.push(self.sign),
                _ => {}
            }
        }
        self.out
    }

    fn last_is_point(&self) -> bool {
        self.last.and_then(|at| self.number.get(at)) == Some(&'.')
    }

    /// Whether the zero before the point is left out: `9.9` writes `.1`.
    fn before_point(&self) -> bool {
        !self.template.zero
            && self.at == 0
            && self.number.first() == Some(&'0')
            && self.template.after != 0
    }

    fn digit(&mut self, key: Key) {
        let template = self.template;
        self.inside = false;
        let starts =
            self.current >= self.spaces || template.zero && template.zero_start == self.current;
        if !self.written && starts && (!self.before_point() || self.last_is_point()) {
            if template.locale {
                if self.place == Place::Before {
                    self.out.push(self.sign);
                    self.written = true;
                }
            } else if self.brackets {
                self.out.push(if self.sign == '+' { ' ' } else { '<' });
                self.written = true;
            } else if self.sign == '+' {
                if !template.fill {
                    self.out.push(' ');
                }
                self.written = true;
            } else {
                self.out.push('-');
                self.written = true;
            }
        }
        if self.current < self.spaces && (template.zero_start > self.current || !template.zero) {
            if !template.fill {
                self.out.push(' ');
            }
        } else if template.zero && self.current < self.spaces {
            self.out.push('0');
            self.inside = true;
        } else {
            match self.number.get(self.at).copied() {
                Some('.') => {
                    if !self.last_is_point() || template.fill {
                        self.out.push('.');
                    }
                }
                digit => {
                    if self.last.is_some_and(|last| self.at > last) && key != Key::Zero {
                        // A zero that FM leaves out.
                    } else if self.before_point() {
                        if !template.fill {
                            self.out.push(' ');
                        } else if self.last_is_point() {
                            self.out.push('0');
                        }
                    } else {
                        self.out.extend(digit);
                        self.inside = true;
                    }
                }
            }
            if self.at < self.number.len() {
                self.at += 1;
            }
        }
        let mut end = self.count + usize::from(self.spaces > 0) + usize::from(template.decimal);
        if self.last.is_some_and(|last| last == self.at) {
            end = self.current;
        }
        if self.current + 1 == end {
            if self.written && self.brackets {
                self.out.push(if self.sign == '+' { ' ' } else { '>' });
            } else if template.locale && self.place == Place::After {
                self.out.push(self.sign);
            }
        }
        self.current += 1;
    }
}
