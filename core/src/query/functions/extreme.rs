//! GREATEST and LEAST of values that Arrow orders otherwise than PostgreSQL does.

use std::cmp::Ordering;

use super::keys::jsonb_bytes;
use super::registry::Definitions;
use super::strings::str_at;
use crate::error::Result;
use crate::types::{Datum, ops};

pub(super) fn define(all: &mut Definitions) {
    all.add("interval_greatest_op", "...interval", "interval", |_, a| {
        Ok(extreme(a, |at, best| ops::compare(at, best).is_gt()))
    })
    .takes_null();
    all.add("interval_least_op", "...interval", "interval", |_, a| {
        Ok(extreme(a, |at, best| ops::compare(at, best).is_lt()))
    })
    .takes_null();
    all.add("jsonb_greatest_op", "...jsonb", "jsonb", |_, a| {
        jsonb(a, Ordering::Greater)
    })
    .takes_null();
    all.add("jsonb_least_op", "...jsonb", "jsonb", |_, a| {
        jsonb(a, Ordering::Less)
    })
    .takes_null();
}

/// The first value that no other beats; NULLs do not count.
fn extreme(args: &[Datum<'_>], beats: impl Fn(&Datum<'_>, &Datum<'_>) -> bool) -> Datum<'static> {
    let values = args.iter().filter(|value| !value.is_null());
    let found = values.reduce(|best, value| if beats(value, best) { value } else { best });
    found.map_or(Datum::Null, |value| value.clone().into_owned())
}

fn jsonb(args: &[Datum<'_>], wanted: Ordering) -> Result<Datum<'static>> {
    let mut best: Option<(Vec<u8>, &Datum<'_>)> = None;
    for (at, value) in args.iter().enumerate() {
        if value.is_null() {
            continue;
        }
        let key = jsonb_bytes(str_at(args, at))?;
        if best
            .as_ref()
            .is_none_or(|(known, _)| key.cmp(known) == wanted)
        {
            best = Some((key, value));
        }
    }
    Ok(best.map_or(Datum::Null, |(_, value)| value.clone().into_owned()))
}
