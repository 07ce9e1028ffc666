//! Regular expressions with PostgreSQL's flags and escapes, on the regex crate: neither back
//! references nor look-around (0A000).

use super::super::limits::{self, ValueLimit};
use super::super::registry::Definitions;
use super::super::row::Call;
use super::regexp_compile::regex;
use super::{Array, Datum, PgType, int_at, int4, str_at, t, text, texts};
use crate::error::{Error, Result, SqlState};

pub(super) fn define(all: &mut Definitions) {
    all.add("substring", "text,text", "text", |_, a| {
        let regex = regex(str_at(a, 1), "")?;
        Ok(match regex.captures(str_at(a, 0)) {
            Some(found) => match found.get(1).or_else(|| found.get(0)) {
                Some(part) => Datum::text(part.as_str()),
                None => Datum::Null,
            },
            None => Datum::Null,
        })
    });
    all.add("textregexeq", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(regex(str_at(a, 1), "")?.is_match(str_at(a, 0))))
    });
    all.add("texticregexeq", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(
            regex(str_at(a, 1), "i")?.is_match(str_at(a, 0)),
        ))
    });
    all.add("textregexne", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(
            !regex(str_at(a, 1), "")?.is_match(str_at(a, 0)),
        ))
    });
    all.add("texticregexne", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(
            !regex(str_at(a, 1), "i")?.is_match(str_at(a, 0)),
        ))
    });
    all.add("regexp_replace", "text,text,text", "text", |c, a| {
        regexp_replace(c, a, "")
    });
    all.add("regexp_replace", "text,text,text,text", "text", |c, a| {
        regexp_replace(c, a, str_at(a, 3))
    });
    all.add("regexp_replace", "text,text,text,int4", "text", |c, a| {
        regexp_replace_at(c, a, int_at(a, 3), None, "")
    });
    all.add(
        "regexp_replace",
        "text,text,text,int4,int4",
        "text",
        |c, a| regexp_replace_at(c, a, int_at(a, 3), Some(int_at(a, 4)), ""),
    );
    all.add(
        "regexp_replace",
        "text,text,text,int4,int4,text",
        "text",
        |c, a| regexp_replace_at(c, a, int_at(a, 3), Some(int_at(a, 4)), str_at(a, 5)),
    );
    for args in ["text,text", "text,text,text"] {
        all.add("regexp_match", args, "_text", |_, a| {
            refuse_global(str_at(a, 2), "regexp_match")?;
            let regex = regex(str_at(a, 1), str_at(a, 2))?;
            Ok(match regex.captures(str_at(a, 0)) {
                Some(found) => Datum::Array(Box::new(groups(&found))),
                None => Datum::Null,
            })
        });
        all.add("regexp_matches_op", args, "_text", |c, a| {
            let regex = regex(str_at(a, 1), str_at(a, 2))?;
            let limit = if str_at(a, 2).contains('g') {
                usize::MAX
            } else {
                1
            };
            let rows = regex.captures_iter(str_at(a, 0)).take(limit).map(|found| {
                let row = Datum::Array(Box::new(groups(&found)));
                Datum::text(text::to_string(&row, PgType::TEXT_ARRAY, c.style()))
            });
            Ok(Datum::Array(Box::new(Array {
                element: PgType::TEXT,
                items: limits::collect(c.limit, rows)?,
            })))
        });
        all.add("regexp_split_to_array", args, "_text", |c, a| {
            refuse_global(str_at(a, 2), "regexp_split_to_array")?;
            split(c, str_at(a, 0), &regex(str_at(a, 1), str_at(a, 2))?)
        });
        all.add("regexp_like", args, "bool", |_, a| {
            refuse_global(str_at(a, 2), "regexp_like")?;
            Ok(Datum::Bool(
                regex(str_at(a, 1), str_at(a, 2))?.is_match(str_at(a, 0)),
            ))
        });
    }
    for args in ["text,text", "text,text,int4", "text,text,int4,text"] {
        all.add("regexp_count", args, "int4", |_, a| {
            refuse_global(str_at(a, 3), "regexp_count")?;
            let regex = regex(str_at(a, 1), str_at(a, 3))?;
            let start = start_at(str_at(a, 0), a, 2)?;
            int4(
                regex
                    .find_iter(str_at(a, 0).get(start..).unwrap_or(""))
                    .count(),
            )
        });
    }
    for count in 2..=7 {
        let args = ["text", "text", "int4", "int4", "int4", "text", "int4"];
        let args = args.get(..count).unwrap_or_default().join(",");
        all.add("regexp_instr", &args, "int4", |_, a| {
            refuse_global(str_at(a, 5), "regexp_instr")?;
            let option = if a.len() > 4 { int_at(a, 4) } else { 0 };
            if !matches!(option, 0 | 1) {
                return Err(invalid_value("endoption", option));
            }
            let text = str_at(a, 0);
            let part = nth_match(text, a, 5, 6)?;
            Ok(Datum::Int4(match part {
                Some((start, end)) => {
                    let at = if option == 1 { end } else { start };
                    text.get(..at).map_or(0, |before| before.chars().count()) as i32 + 1
                }
                None => 0,
            }))
        });
    }
    for count in 2..=6 {
        let args = ["text", "text", "int4", "int4", "text", "int4"];
        let args = args.get(..count).unwrap_or_default().join(",");
        all.add("regexp_substr", &args, "text", |_, a| {
            refuse_global(str_at(a, 4), "regexp_substr")?;
            let text = str_at(a, 0);
            Ok(match nth_match(text, a, 4, 5)? {
                Some((start, end)) => Datum::text(text.get(start..end).unwrap_or_default()),
                None => Datum::Null,
            })
        });
    }
}

fn refuse_global(flags: &str, function: &str) -> Result<()> {
    if !flags.contains('g') {
        return Ok(());
    }
    let error = Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("{function}() does not support the \"global\" option"),
    );
    Err(match function {
        "regexp_match" => error.hint("Use the regexp_matches function instead."),
        _ => error,
    })
}

fn invalid_value(name: &str, value: i64) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{name}\": {value}"),
    )
}

/// The byte where the search starts: the argument counts characters from 1.
fn start_at(text: &str, args: &[Datum<'_>], at: usize) -> Result<usize> {
    if args.len() <= at {
        return Ok(0);
    }
    let start = int_at(args, at);
    if start <= 0 {
        return Err(invalid_value("start", start));
    }
    Ok(text
        .char_indices()
        .nth((start - 1) as usize)
        .map_or(text.len(), |(at, _)| at))
}

/// The bounds of the n-th match, or of a group of it; arguments 2 and 3 are the start and n.
fn nth_match(
    text: &str,
    args: &[Datum<'_>],
    flags: usize,
    group: usize,
) -> Result<Option<(usize, usize)>> {
    let regex = regex(str_at(args, 1), str_at(args, flags))?;
    let start = start_at(text, args, 2)?;
    let n = if args.len() > 3 { int_at(args, 3) } else { 1 };
    if n <= 0 {
        return Err(invalid_value("n", n));
    }
    let group = if args.len() > group {
        int_at(args, group)
    } else {
        0
    };
    let Ok(group) = usize::try_from(group) else {
        return Err(invalid_value("subexpr", group));
    };
    let rest = text.get(start..).unwrap_or("");
    let found = regex.captures_iter(rest).nth((n - 1) as usize);
    Ok(found
        .and_then(|found| found.get(group))
        .map(|part| (start + part.start(), start + part.end())))
}

/// What lies between matches; an empty match splits characters, not the ends.
fn split(call: &Call<'_>, text: &str, regex: &regex::Regex) -> Result<Datum<'static>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for found in regex.find_iter(text) {
        if found.is_empty() && (found.start() == 0 || found.start() == text.len()) {
            continue;
        }
        if found.is_empty() && found.start() == from {
            continue;
        }
        parts.push(text.get(from..found.start()).unwrap_or_default());
        from = found.end();
    }
    parts.push(text.get(from..).unwrap_or_default());
    texts(call, parts.into_iter())
}

fn groups(found: &regex::Captures<'_>) -> Array {
    let from = usize::from(found.len() > 1);
    Array {
        element: PgType::TEXT,
        items: (from..found.len())
            .map(|at| {
                found
                    .get(at)
                    .map_or(Datum::Null, |part| Datum::text(part.as_str()))
            })
            .collect(),
    }
}

/// The replacement of one match: `\1` and `\&` are PostgreSQL's; `$` is no sign of its own.
fn expand(
    template: &str,
    found: &regex::Captures<'_>,
    limit: ValueLimit,
    out: &mut String,
) -> Result<()> {
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('&') => out.push_str(found.get(0).map_or("", |part| part.as_str())),
            Some(digit @ '1'..='9') => {
                let at = digit as usize - '0' as usize;
                out.push_str(found.get(at).map_or("", |part| part.as_str()));
            }
            Some('\\') => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
        limit.fits(out.len())?;
    }
    limit.fits(out.len())
}

fn regexp_replace(call: &Call<'_>, args: &[Datum<'_>], flags: &str) -> Result<Datum<'static>> {
    let n = if flags.contains('g') { 0 } else { 1 };
    regexp_replace_at(call, args, 1, Some(n), flags)
}

/// Replaces the n-th match behind `start`, all of them for 0.
fn regexp_replace_at(
    call: &Call<'_>,
    args: &[Datum<'_>],
    start: i64,
    n: Option<i64>,
    flags: &str,
) -> Result<Datum<'static>> {
    if start <= 0 {
        return Err(invalid_value("start", start));
    }
    let n = n.unwrap_or(1);
    let Ok(n) = usize::try_from(n) else {
        return Err(invalid_value("n", n));
    };
    let regex = regex(str_at(args, 1), flags)?;
    let text = str_at(args, 0);
    let start = text
        .char_indices()
        .nth((start - 1) as usize)
        .map_or(text.len(), |(at, _)| at);
    let (before, rest) = text.split_at(start);
    let mut out = String::from(before);
    let mut from = 0;
    for (at, found) in regex.captures_iter(rest).enumerate() {
        if n > 0 && at + 1 != n {
            continue;
        }
        let Some(whole) = found.get(0) else { continue };
        out.push_str(rest.get(from..whole.start()).unwrap_or_default());
        expand(str_at(args, 2), &found, call.limit, &mut out)?;
        from = whole.end();
        if n > 0 {
            break;
        }
    }
    out.push_str(rest.get(from..).unwrap_or_default());
    t(out)
}
