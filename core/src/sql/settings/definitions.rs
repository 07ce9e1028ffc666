//! Every setting: its name, its kind of value, and what setting it does here.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One line a setting; its head says what the columns are.
const TEXT: &str = include_str!("definitions.txt");

/// Which values a setting takes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Bool,
    Integer(i64, i64),
    Real(f64, f64),
    Text,
    Enum(Vec<&'static str>),
    Zone,
    DateStyle,
    Encoding,
}

/// What a number counts when it has no unit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    None,
    Milliseconds,
    Seconds,
    Bytes,
    Kilobytes,
    /// Pages of 8 kB.
    Pages,
}

/// What setting it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Works,
    /// Nothing here: any valid value is taken.
    Idle,
    /// Values other than the default are refused.
    Only,
    Fixed,
    Restart,
}

#[derive(Debug)]
pub(super) struct Definition {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub effect: Effect,
    /// Sent to the client whenever it changes.
    pub reported: bool,
    pub description: &'static str,
}

/// All settings, sorted by their names without regard to case.
pub(super) fn all() -> &'static [Definition] {
    static ALL: OnceLock<Vec<Definition>> = OnceLock::new();
    ALL.get_or_init(|| TEXT.lines().filter_map(parse).collect())
}

/// The settings that are sent to the client.
pub(super) fn reported() -> &'static [&'static Definition] {
    static REPORTED: OnceLock<Vec<&'static Definition>> = OnceLock::new();
    REPORTED.get_or_init(|| all().iter().filter(|it| it.reported).collect())
}

/// A setting by its name in any case.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    static BY_NAME: OnceLock<HashMap<String, &'static Definition>> = OnceLock::new();
    let by_name = BY_NAME.get_or_init(|| {
        all()
            .iter()
            .map(|it| (it.name.to_lowercase(), it))
            .collect()
    });
    by_name.get(name.to_lowercase().as_str()).copied()
}

fn parse(line: &'static str) -> Option<Definition> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.splitn(10, '|');
    let mut next = || fields.next();
    let (name, default, kind, unit) = (next()?, next()?, next()?, next()?);
    let (least, most, values, effect) = (next()?, next()?, next()?, next()?);
    let (reported, description) = (next()?, next()?);
    let kind = match kind {
        "bool" => Kind::Bool,
        "integer" => Kind::Integer(
            least.parse().unwrap_or(i64::from(i32::MIN)),
            most.parse().unwrap_or(i64::from(i32::MAX)),
        ),
        "real" => Kind::Real(
            least.parse().unwrap_or(f64::MIN),
            most.parse().unwrap_or(f64::MAX),
        ),
        "enum" => Kind::Enum(values.split(", ").collect()),
        "zone" => Kind::Zone,
        "datestyle" => Kind::DateStyle,
        "encoding" => Kind::Encoding,
        _ => Kind::Text,
    };
    let unit = match unit {
        "ms" => Unit::Milliseconds,
        "s" => Unit::Seconds,
        "B" => Unit::Bytes,
        "kB" => Unit::Kilobytes,
        "8kB" => Unit::Pages,
        _ => Unit::None,
    };
    let effect = match effect {
        "works" => Effect::Works,
        "only" => Effect::Only,
        "fixed" => Effect::Fixed,
        "restart" => Effect::Restart,
        _ => Effect::Idle,
    };
    Some(Definition {
        name,
        default,
        kind,
        unit,
        effect,
        reported: reported == "reported",
        description,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_setting_whose_default_is_valid() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(all().len(), lines);
        assert!(all().iter().map(|it| it.name.to_lowercase()).is_sorted());
        for definition in all() {
            let checked = super::super::value::canonical(definition, definition.default);
            assert!(checked.is_ok(), "{}: {checked:?}", definition.name);
        }
    }
}
