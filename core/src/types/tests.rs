//! Compares this folder with tables recorded from PostgreSQL 15 (`testdata/`, made by
//! `tests/record/record_types.py`).

use super::cast::{Context, allowed, cast};
use super::ops::{self, BinaryOp};
use super::text::{TextStyle, Zone};
use super::{Datum, PgType, binary, kinds, names, oid, text};
use crate::error::{Error, Result};

mod properties;

const INPUT: &str = include_str!("testdata/input.txt");
const CAST: &str = include_str!("testdata/cast.txt");
const ALLOWED: &str = include_str!("testdata/allowed.txt");
const OPERATORS: &str = include_str!("testdata/operators.txt");
const NAMES: &str = include_str!("testdata/names.txt");
const PG_TYPE: &str = include_str!("testdata/pg_type.txt");

fn style() -> TextStyle {
    TextStyle {
        time_zone: Zone::parse("America/New_York").unwrap(),
        ..TextStyle::default()
    }
}

fn rows(table: &str) -> Vec<Vec<String>> {
    let unescape = |field: &str| {
        let mut out = String::new();
        let mut chars = field.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => out.push(match chars.next().unwrap() {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    c => c,
                }),
                c => out.push(c),
            }
        }
        out
    };
    table
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.split('\t').map(unescape).collect())
        .collect()
}

fn ty(name: &str) -> PgType {
    names::from_name(name).unwrap_or_else(|| panic!("type {name}"))
}

fn failure(error: &Error) -> String {
    let fields = error.fields();
    format!(
        "!{} {}|{}|{}",
        error.state().code(),
        error.message(),
        fields.detail.as_deref().unwrap_or(""),
        fields.hint.as_deref().unwrap_or("")
    )
}

fn shown(result: &Result<Datum<'_>>, ty: PgType) -> String {
    match result {
        Ok(datum) => format!("={}", text::to_string(datum, ty, &style())),
        Err(error) => failure(error),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints every difference, then fails if there was one.
fn report(differences: &[String], of: usize) {
    assert!(
        differences.is_empty(),
        "{} of {of} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn input_output_and_binary() {
    let table = rows(INPUT);
    let mut differences = Vec::new();
    for row in &table {
        let [name, input, expected, wire] = row.as_slice() else {
            panic!("{row:?}")
        };
        let ty = ty(name);
        let result = text::parse(ty, input, &style());
        let found = shown(&result, ty);
        if found != *expected {
            differences.push(format!(
                "{name} {input:?}\n  pg   {expected}\n  ours {found}"
            ));
            continue;
        }
        let Ok(datum) = result else { continue };
        let mut bytes = Vec::new();
        binary::write(&datum, ty, &mut bytes).unwrap();
        if hex(&bytes) != *wire {
            differences.push(format!(
                "{name} {input:?} binary\n  pg   {wire}\n  ours {}",
                hex(&bytes)
            ));
        }
        let back = binary::parse(ty, &bytes);
        if shown(&back, ty) != found {
            differences.push(format!("{name} {input:?} read back {back:?}"));
        }
    }
    report(&differences, table.len());
}

#[test]
fn casts() {
    let table = rows(CAST);
    let mut differences = Vec::new();
    for row in &table {
        let [from_name, input, to_name, explicit, assigned] = row.as_slice() else {
            panic!("{row:?}")
        };
        let (from, to) = (ty(from_name), ty(to_name));
        let value = text::parse(from, input, &style()).unwrap();
        for (context, expected) in [
            (Context::Explicit, explicit),
            (Context::Assignment, assigned),
        ] {
            let found = if allowed(from, to, context) {
                shown(&cast(value.clone(), from, to, context, &style()), to)
            } else {
                "not allowed".to_owned()
            };
            let refused = found == "not allowed"
                && (expected.starts_with("!42846") || expected.starts_with("!42804"));
            // Arrays start at 1 here, also those that were vectors.
            let deliberate = expected.starts_with("=[0:");
            if found != *expected && !refused && !deliberate {
                differences.push(format!(
                    "{from_name} {input:?} to {to_name} {context:?}\n  pg   {expected}\n  ours {found}"
                ));
            }
        }
    }
    report(&differences, table.len());
}

#[test]
fn allowed_casts() {
    let table = rows(ALLOWED);
    let mut differences = Vec::new();
    for row in &table {
        let [from, to, expected] = row.as_slice() else {
            panic!("{row:?}")
        };
        let is = |context| allowed(ty(from), ty(to), context);
        let found = match () {
            () if is(Context::Implicit) => "i",
            () if is(Context::Assignment) => "a",
            () if is(Context::Explicit) => "e",
            () => "-",
        };
        if found != expected {
            differences.push(format!("{from} to {to}: pg {expected}, ours {found}"));
        }
    }
    report(&differences, table.len());
}

#[test]
fn operators() {
    let table = rows(OPERATORS);
    let mut differences = Vec::new();
    for row in &table {
        let [op, left_name, left, right_name, right, expected] = row.as_slice() else {
            panic!("{row:?}")
        };
        let operator = match op.as_str() {
            "+" => BinaryOp::Add,
            "-" => BinaryOp::Sub,
            "*" => BinaryOp::Mul,
            "/" => BinaryOp::Div,
            "%" => BinaryOp::Mod,
            "||" => BinaryOp::Concat,
            "=" => BinaryOp::Eq,
            "<>" => BinaryOp::NotEq,
            "<" => BinaryOp::Lt,
            "<=" => BinaryOp::LtEq,
            ">" => BinaryOp::Gt,
            ">=" => BinaryOp::GtEq,
            other => panic!("{other}"),
        };
        let (left_ty, right_ty) = (ty(left_name), ty(right_name));
        let style = style();
        let found = match ops::result_type(operator, left_ty, right_ty) {
            None => "none".to_owned(),
            Some((left_as, right_as, result_as)) => {
                let operand = |value: &str, from: PgType, to: PgType| {
                    let value = text::parse(from, value, &style).unwrap();
                    cast(value, from, to, Context::Assignment, &style)
                };
                let result = operand(left, left_ty, left_as).and_then(|left| {
                    let right = operand(right, right_ty, right_as)?;
                    ops::apply(operator, &left, &right)
                });
                match shown(&result, result_as).strip_prefix('=') {
                    Some(value) => format!("={} {value}", names::format_type(result_as)),
                    None => shown(&result, result_as),
                }
            }
        };
        let undefined = found == "none" && expected.starts_with("!42883");
        if found != *expected && !undefined {
            differences.push(format!(
                "{left_name} {left:?} {op} {right_name} {right:?}\n  pg   {expected}\n  ours {found}"
            ));
        }
    }
    report(&differences, table.len());
}

#[test]
fn type_names() {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    let mut differences = Vec::new();
    let table = rows(NAMES);
    for row in &table {
        let [name, expected] = row.as_slice() else {
            panic!("{row:?}")
        };
        let parsed = Parser::new(&PostgreSqlDialect {})
            .try_with_sql(name)
            .unwrap()
            .parse_data_type()
            .unwrap();
        let found = match names::from_sql(&parsed) {
            Ok(ty) => format!("={} {} {}", ty.oid, ty.typmod, names::format_type(ty)),
            Err(error) => failure(&error),
        };
        if found != *expected {
            differences.push(format!("{name}: pg {expected}, ours {found}"));
        }
    }
    report(&differences, table.len());
}

#[test]
fn type_facts() {
    let table = rows(PG_TYPE);
    let mut checked = 0;
    for row in &table {
        let oid: u32 = row.first().unwrap().parse().unwrap();
        if !names::is_known(oid) {
            continue;
        }
        checked += 1;
        let (length, category, align, by_value) = names::physical(oid).unwrap();
        let found = [
            oid.to_string(),
            names::internal_name(oid).unwrap(),
            length.to_string(),
            if by_value { "t" } else { "f" }.to_owned(),
            category.to_string(),
            align.to_string(),
            names::array_of(oid).unwrap_or(0).to_string(),
            names::element_of(oid)
                .or((oid == oid::NAME).then_some(oid::CHAR))
                .unwrap_or(0)
                .to_string(),
            names::sql_name(oid).replace(' ', "_"),
        ];
        assert_eq!(found.as_slice(), row.as_slice());
    }
    let all: usize = names::TYPES
        .iter()
        .map(|info| 1 + usize::from(info.array != 0))
        .sum();
    assert_eq!(checked, all, "PostgreSQL has all of our types");
}

#[test]
fn zones() {
    let name = |text: &str| match Zone::parse(text) {
        Ok(zone) => zone.name(),
        Err(error) => failure(&error),
    };
    assert_eq!(name("europe/berlin"), "Europe/Berlin");
    assert_eq!(name("+02"), "<+02>-02");
    assert_eq!(name("-3.5"), "<-03:30>+03:30");
    assert_eq!(name("<+02>-02"), "<+02>-02");
    assert_eq!(name("UTC+3"), "<-03>+03");
    assert_eq!(
        name("Moon/Base"),
        "!22023 invalid value for parameter \"TimeZone\": \"Moon/Base\"||"
    );
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    assert_eq!(berlin.offset_at(0), 3600);
    assert_eq!(berlin.offset_at(1_000_000_000_000_000), 7200);
}

/// `SET TimeZone = 'America/New_York'; SELECT x + y`, from PostgreSQL 15.
#[test]
fn intervals_after_zoned_timestamps() {
    for (at, by, expected) in [
        ("2001-03-31 12:00", "1 day", "2001-04-01 12:00:00-04"),
        ("2001-03-31 12:00", "24:00", "2001-04-01 13:00:00-04"),
        ("2001-04-01 03:30", "-1 day", "2001-03-31 03:30:00-05"),
        ("2001-03-31 02:30", "1 day 01:00", "2001-04-01 04:30:00-04"),
        ("2001-01-31 00:00", "1 mon", "2001-02-28 00:00:00-05"),
        ("infinity", "1 mon", "infinity"),
    ] {
        let ty = PgType::TIMESTAMPTZ;
        let Ok(Datum::Timestamptz(at)) = text::parse(ty, at, &style()) else {
            panic!("{at}")
        };
        let Ok(Datum::Interval(by)) = text::parse(PgType::INTERVAL, by, &style()) else {
            panic!("{by}")
        };
        let sum = ops::timestamptz_plus(at, &by, &style().time_zone).unwrap();
        assert_eq!(
            text::to_string(&Datum::Timestamptz(sum), ty, &style()),
            expected
        );
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    for ty in [PgType::JSON, PgType::JSONB] {
        let error = text::parse(ty, &deep, &style()).unwrap_err();
        assert_eq!(error.state().code(), "54001");
    }
    assert!(text::parse(PgType::TEXT_ARRAY, &"{".repeat(100_000), &style()).is_err());
}

#[test]
fn invalid_utf8_and_nul_are_refused() {
    let nul = binary::parse(PgType::TEXT, b"a\0b").unwrap_err();
    assert_eq!(
        failure(&nul),
        "!22021 invalid byte sequence for encoding \"UTF8\": 0x00||"
    );
    let bad = binary::parse(PgType::VARCHAR, b"a\xc3\x28").unwrap_err();
    assert_eq!(
        failure(&bad),
        "!22021 invalid byte sequence for encoding \"UTF8\": 0xc3 0x28||"
    );
    assert!(kinds::string::check(b"ok").is_ok());
}
